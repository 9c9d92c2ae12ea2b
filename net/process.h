/* process.h - metrics of the process as a whole. */
#ifndef PCL_NET_PROCESS_H
#define PCL_NET_PROCESS_H

#include "common/buffer.h"

#include <stdint.h>

/* Appends portcullis_process_... in Prometheus text form; leaves out what the system does not
 * tell. */
void pcl_process_render(pcl_buffer *buffer);

/* Octets of memory that are resident; 0: the system does not tell. */
uint64_t pcl_process_resident_size(void);

/* Gives pages back to the system that hold nothing but freed memory, where the allocator can.  Its
 * locks are held for some milliseconds where there are many. */
void pcl_process_trim(void);

#endif
