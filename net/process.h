/* process.h - metrics of the process as a whole. */
#ifndef PCL_NET_PROCESS_H
#define PCL_NET_PROCESS_H

#include "common/buffer.h"

/* Appends portcullis_process_... in Prometheus text form; leaves out what the system does not
 * tell. */
void pcl_process_render(pcl_buffer *buffer);

#endif
