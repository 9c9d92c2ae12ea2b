/* queue.h - records on their way from one thread to another: a ring of octets.
 *
 * One thread pushes, one takes; neither locks, neither waits, and nothing is allocated after _new.
 * A record is copied with its texts, in one piece.
 */
#ifndef PCL_AUDIT_QUEUE_H
#define PCL_AUDIT_QUEUE_H

#include "audit/record.h"

#include <stddef.h>

typedef struct pcl_audit_queue pcl_audit_queue;

/* size: octets, a multiple of 64, and enough for several of the longest records.  NULL: no memory.
 */
pcl_audit_queue *pcl_audit_queue_new(size_t size);
void pcl_audit_queue_destroy(pcl_audit_queue **self_p);

/* By the pushing thread.  false: with this record the queue would hold more than fill_max octets.
 */
bool pcl_audit_queue_push(pcl_audit_queue *self, const pcl_audit_record *record,
                          size_t fill_max) PCL_MUST_CHECK;

/* By the taking thread: the oldest record, valid until it is popped; NULL: none. */
const pcl_audit_record *pcl_audit_queue_peek(pcl_audit_queue *self);
void pcl_audit_queue_pop(pcl_audit_queue *self);

/* By any thread: octets held, perhaps of a moment ago. */
size_t pcl_audit_queue_fill(const pcl_audit_queue *self);

#endif
