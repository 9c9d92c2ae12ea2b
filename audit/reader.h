/* reader.h - the log's files: their names, and their lines one by one. */
#ifndef PCL_AUDIT_READER_H
#define PCL_AUDIT_READER_H

#include "audit/record.h"

#include <stddef.h>

#define PCL_AUDIT_NAME_SIZE 21u /* "audit-0000000001.log" and a NUL */

void pcl_audit_name_format(uint64_t number, char name[PCL_AUDIT_NAME_SIZE]);
/* false: it is not the name of a file of the log. */
bool pcl_audit_name_parse(const char *name, uint64_t *out_number) PCL_MUST_CHECK;

/* The numbers of the files in a folder, rising. */
typedef struct pcl_audit_files {
    uint64_t *numbers; /* owned */
    size_t count;
} pcl_audit_files;

/* false: error says why. */
bool pcl_audit_files_list(pcl_audit_files *out_files, const char *folder, char *error,
                          size_t error_size) PCL_MUST_CHECK;
void pcl_audit_files_release(pcl_audit_files *files);

typedef struct pcl_audit_reader pcl_audit_reader;

typedef enum pcl_audit_read {
    PCL_AUDIT_READ_LINE = 0,
    PCL_AUDIT_READ_END,  /* for now: a file that is written may have more later */
    PCL_AUDIT_READ_TORN, /* the end, and what stands before it has no line's end yet */
    PCL_AUDIT_READ_FAILED,
} pcl_audit_read;

/* NULL: error says why. */
pcl_audit_reader *pcl_audit_reader_open(const char *path, char *error, size_t error_size);
void pcl_audit_reader_close(pcl_audit_reader **self_p);

/* The next line without its end, borrowed until the next call; of a torn end its octets, too, and
 * they come again with the next call.  Of a line over PCL_AUDIT_LINE_SIZE_MAX the first so many. */
pcl_audit_read pcl_audit_reader_next(pcl_audit_reader *self, pcl_bytes *out_line);

/* Number of the line that came last, from 1. */
uint64_t pcl_audit_reader_line(const pcl_audit_reader *self);
int pcl_audit_reader_fd(const pcl_audit_reader *self);

#endif
