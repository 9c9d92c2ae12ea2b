/* writer.h - the audit log on disk: a thread that writes, and what its caller needs not to wait.
 *
 * pcl_audit_append copies a record into a bounded queue and returns a position; it neither
 * allocates nor blocks nor touches a file.  A thread takes what has come, makes lines of it,
 * writes them with one write(2), makes them durable with one fdatasync(2) (group commit), and then
 * pcl_audit_durable passes the position and pcl_audit_fd becomes readable.
 *
 * Who writes what:
 *
 *   a read or a refusal   one DONE when it is over
 *   anything else         START; forward it only when pcl_audit_durable() >= its position; then END
 *                         with its outcome, also when it was never forwarded after all
 *   a txn                 a STATEMENT for each of its statements, then as above
 *
 * When the disk is full or fails, the state is PCL_AUDIT_WAITING: append takes no START and no
 * STATEMENT (it returns 0), and every other record as long as the queue has room.  The thread tries
 * again every 100 ms and what waits is written when there is room; what was lost is counted in a
 * GAP line.  When the data may not have reached the disk although it was written (fsync failed), or
 * a file was taken away, nothing can be trusted any more: PCL_AUDIT_BROKEN, for good; append
 * returns 0 always.  Whoever runs a process shall end it then.
 *
 * One thread calls everything here; the writer's own thread is not seen.
 */
#ifndef PCL_AUDIT_WRITER_H
#define PCL_AUDIT_WRITER_H

#include "audit/chain.h"

#include <stddef.h>
#include <sys/types.h>

typedef struct pcl_audit pcl_audit;

typedef enum pcl_audit_sync {
    PCL_AUDIT_EACH = 0, /* durable: on the disk (fdatasync has returned) */
    PCL_AUDIT_BATCH, /* durable: written to the operating system, which loses at most what came in
                        sync_ms when the machine fails; nothing when only the process does */
} pcl_audit_sync;

#define PCL_AUDIT_SIZE_MAX       (UINT64_C(1) << 40) /* of size_max */
#define PCL_AUDIT_SIZE_MIN       65536u              /* of size_max */
#define PCL_AUDIT_KEEP_MAX       1000000u            /* of keep */
#define PCL_AUDIT_QUEUE_SIZE_MIN 262144u             /* of queue_size */
#define PCL_AUDIT_QUEUE_SIZE_MAX 268435456u          /* of queue_size */
#define PCL_AUDIT_SYNC_MS_MAX    60000u

/* What may fail, for tests to let it. */
typedef struct pcl_audit_disk {
    ssize_t (*write)(int file, const void *octets, size_t size);
    int (*sync)(int file);
} pcl_audit_disk;

typedef struct pcl_audit_options {
    const char *folder; /* made when only it is missing; its files are audit-0000000001.log, ... */
    pcl_audit_sync sync;
    uint32_t sync_ms;   /* BATCH: fsynced at least so often; EACH: what nobody waits for */
    uint64_t size_max;  /* octets of a file; a new one is begun after the line that passes it */
    uint32_t keep;      /* all files together: at most keep * size_max octets; the oldest go */
    size_t queue_size;  /* octets of records that wait for the thread */
    const uint8_t *key; /* PCL_AUDIT_KEY_SIZE octets for a keyed chain, copied; NULL: none */
    const pcl_audit_disk *disk; /* borrowed; NULL: the operating system */
} pcl_audit_options;

/* NULL: error says why (no folder, no rights, another process writes there, no memory, no room). */
pcl_audit *pcl_audit_open(const pcl_audit_options *options, char *error, size_t error_size);

/* Writes what waits, if it can be written at once, and ends the thread; nothing is taken after it,
 * and pcl_audit_count has the last head.  _destroy does it, too. */
void pcl_audit_finish(pcl_audit *self);
void pcl_audit_destroy(pcl_audit **self_p);

/* The record's position, rising from 1; 0: it is not taken (see above), and will never be written.
 * sequence and the writer's own fields are ignored; texts are copied. */
uint64_t pcl_audit_append(pcl_audit *self, const pcl_audit_record *record);

/* Every record up to this position is durable. */
uint64_t pcl_audit_durable(const pcl_audit *self);

typedef enum pcl_audit_state {
    PCL_AUDIT_FINE = 0,
    PCL_AUDIT_WAITING, /* cannot write just now */
    PCL_AUDIT_BROKEN,  /* will never write again */
} pcl_audit_state;

/* reason: NULL or at least 1 octet; "" when it is fine. */
pcl_audit_state pcl_audit_get_state(pcl_audit *self, char *reason, size_t reason_size);

/* What was found at the open that somebody should know ("the last line was torn: 37 octets"); ""
 * when all was in order. */
const char *pcl_audit_notice(const pcl_audit *self);

/* Readable when pcl_audit_durable or the state changed since pcl_audit_clear; owned by self. */
int pcl_audit_fd(const pcl_audit *self);
void pcl_audit_clear(pcl_audit *self);

typedef struct pcl_audit_counts {
    uint64_t lines;                    /* written since the open */
    uint64_t octets;                   /* written since the open */
    uint64_t syncs;                    /* fsyncs that succeeded */
    uint64_t lost;                     /* records that were not taken */
    uint64_t files;                    /* begun since the open */
    uint64_t waiting;                  /* octets in the queue now */
    uint64_t sequence;                 /* of the last line that is durable */
    uint8_t head[PCL_AUDIT_HASH_SIZE]; /* its hash */
} pcl_audit_counts;

pcl_audit_counts pcl_audit_count(pcl_audit *self);

#endif
