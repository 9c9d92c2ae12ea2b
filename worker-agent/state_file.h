/* state_file.h - who the source is, on disk: a small text, for people too.
 *
 *   portcullis-topology 1
 *   term 3
 *   attempt 8c1f0e...
 *   stage open
 *   source node2 10.0.0.2 3306
 *   from node1 10.0.0.1 3306
 *   position 0-1-42
 */
#ifndef PCL_WORKER_AGENT_STATE_FILE_H
#define PCL_WORKER_AGENT_STATE_FILE_H

#include "wire/topology.h"

/* *out_record: all zero where there is no such file.  false: it cannot be read, or is none; error
 * says why, naming it. */
bool pcl_state_file_load(const char *file, pcl_topology *out_record, char *error,
                         size_t error_size) PCL_MUST_CHECK;

/* At once or not at all, and on disk when it returns true.  record is DECIDED or OPEN.  false:
 * error says why, and the file is the old one; but where *out_touched it may be the new one. */
bool pcl_state_file_save(const char *file, const pcl_topology *record, bool *out_touched,
                         char *error, size_t error_size) PCL_MUST_CHECK;

/* All of that but the last step: the file stays as it is. */
bool pcl_state_file_try(const char *file, const pcl_topology *record, char *error,
                        size_t error_size) PCL_MUST_CHECK;

#endif
