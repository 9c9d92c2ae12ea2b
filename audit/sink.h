/* sink.h - the files that the log is written to: which one, how large, and what goes wrong there.
 *
 * Files are only ever appended to; what stands in one is never touched again.  No threads.
 */
#ifndef PCL_AUDIT_SINK_H
#define PCL_AUDIT_SINK_H

#include "audit/writer.h"

#define PCL_AUDIT_REASON_SIZE 512u

typedef enum pcl_audit_outcome {
    PCL_AUDIT_SINK_OK = 0,
    PCL_AUDIT_SINK_LATER,  /* no room; the same may go well later */
    PCL_AUDIT_SINK_BROKEN, /* what was written may not be there: never again */
} pcl_audit_outcome;

typedef struct pcl_audit_sink {
    const pcl_audit_disk *disk;         /* borrowed */
    char *path;                         /* of the folder; owned */
    int folder;                         /* -1: not open, as below */
    int lock;                           /* held as long as the sink is */
    int file;                           /* that is written to; -1: one must be begun */
    uint64_t number;                    /* of the file; of the last one, when none is open */
    uint64_t size;                      /* octets in it */
    uint64_t octets_max;                /* of all files together */
    char reason[PCL_AUDIT_REASON_SIZE]; /* why an outcome is not OK */
} pcl_audit_sink;

/* Where an earlier log ended. */
typedef struct pcl_audit_end {
    uint8_t hash[PCL_AUDIT_HASH_SIZE]; /* of its last line; 0 when there is none */
    uint64_t sequence;                 /* of its last line; 0 when there is none */
    uint64_t torn;                     /* octets behind it */
    char notice[PCL_AUDIT_REASON_SIZE];
} pcl_audit_end;

/* Locks the folder and reads where the log ended; goes on in its last file when that ends with a
 * whole line, else file is -1.  false: error says why; *self is as after _close. */
bool pcl_audit_sink_open(pcl_audit_sink *self, const pcl_audit_options *options,
                         pcl_audit_end *out_end, char *error, size_t error_size) PCL_MUST_CHECK;
void pcl_audit_sink_close(pcl_audit_sink *self);

/* Begins the next file, which must be durable so far (pcl_audit_sink_sync), and deletes the oldest
 * ones that are too many. */
pcl_audit_outcome pcl_audit_sink_begin(pcl_audit_sink *self);

/* Appends; *out_written says how much, whatever the outcome. */
pcl_audit_outcome pcl_audit_sink_write(pcl_audit_sink *self, const uint8_t *octets, size_t size,
                                       size_t *out_written);

/* OK: all that was written is durable. */
pcl_audit_outcome pcl_audit_sink_sync(pcl_audit_sink *self);

#endif
