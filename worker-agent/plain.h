/* plain.h - a plain read that is run without waiting: sent to the database here, read when the
 * answer is there.
 *
 * Plain is what needs one command and its answer: a query that stands alone and reads, neither
 * waits for a write nor names what it has seen, and whose statement an open spare connection keeps
 * prepared in the right schema.  Whatever else it turns out to be, or needs (another try, a new
 * connection, an error told), is a thread's work: since a read leaves nothing behind, a thread
 * runs it from its beginning, as if nothing had been done here.  So what is answered here is what
 * worked, what was refused before it ran, what is too large (for which the connection goes, since
 * its rows are not read here), and what was ended at its deadline or cancelled.
 */
#ifndef PCL_WORKER_AGENT_PLAIN_H
#define PCL_WORKER_AGENT_PLAIN_H

#include "worker-agent/execute.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct pcl_plain pcl_plain;

typedef enum pcl_plain_step {
    PCL_PLAIN_WAITS = 0, /* for what pcl_plain_waits_for says */
    PCL_PLAIN_DONE,      /* the job has its reply */
    PCL_PLAIN_OTHER,     /* a thread shall run it */
} pcl_plain_step;

/* Its connection is about to be given away or closed: who watches its descriptor stops that now.
 * Where the connection is lost, so that the client library has closed the descriptor already,
 * nobody is told, and the kernel watches it no more. */
typedef void(pcl_plain_parting)(void *context);

/* All but slot, the watchdog's, are borrowed.  Aborts when memory is out. */
pcl_plain *pcl_plain_new(const pcl_agent_options *options, pcl_watchdog *watchdog,
                         pcl_spares *spares, pcl_causal *causal, uint32_t slot,
                         pcl_plain_parting *parting, void *context);
/* What is under way is cut off; its job is still the caller's. */
void pcl_plain_destroy(pcl_plain **self_p);

/* What the head and the sizes say; it may still be another. */
bool pcl_plain_may_be(const pcl_job *job);

/* The job is borrowed until DONE or OTHER. */
pcl_plain_step pcl_plain_begin(pcl_plain *self, pcl_job *job) PCL_MUST_CHECK;
/* After WAITS, once it has come; to be called too early does no harm. */
pcl_plain_step pcl_plain_go_on(pcl_plain *self) PCL_MUST_CHECK;
/* PCL_WAIT_READ, PCL_WAIT_WRITE, of the descriptor; 0: it has only had its share of time. */
int pcl_plain_waits_for(const pcl_plain *self);

/* It keeps its connection for the next job.  -1: it has none.  Each has another serial. */
int pcl_plain_fd(const pcl_plain *self, uint64_t *out_serial);
uint32_t pcl_plain_connections(const pcl_plain *self);
/* Its connection is one of those accounts. */
bool pcl_plain_suits(const pcl_plain *self, const pcl_accounts *accounts);
/* Between jobs: its connection goes to the spares. */
void pcl_plain_rest(pcl_plain *self);
/* Between jobs: the server has something to say, which is its farewell. */
void pcl_plain_hang_up(pcl_plain *self);
/* After OTHER: because the connection that it found has no calls that do not wait (over TLS). Those
 * to the same server will have none either. */
bool pcl_plain_cannot(const pcl_plain *self);

#endif
