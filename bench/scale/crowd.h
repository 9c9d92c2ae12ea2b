/* crowd.h - very many clients, each on a connection of its own, all on one thread.
 *
 * Each is what the client library makes of a program (client/peer.h): CURVE, heartbeats, a key of
 * its own and, where the broker's key is known, a seal on each request and a look at the seal of
 * each reply.  Only the library's thread for each is left out, which thousands in one process would
 * not bear.
 *
 * Latencies run from when a request was due.  A reply that is not the request's, not sealed as it
 * must be, or not well formed counts as failed, and so does silence.
 */
#ifndef PCL_BENCH_SCALE_CROWD_H
#define PCL_BENCH_SCALE_CROWD_H

#include "bench/driver/histogram.h"
#include "bench/scale/identities.h"
#include "common/error.h"
#include "wire/request.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct pcl_crowd pcl_crowd;

typedef struct pcl_crowd_options {
    const char *endpoint;       /* of the gatekeeper; not kept, as the others */
    const char *gatekeeper_key; /* its public key */
    const char *broker_key;     /* "": nothing is sealed */
    const pcl_identity *identities;
    uint32_t identity_count; /* client number n is identity n modulo this */
    uint32_t capacity;       /* clients at the most */
    uint32_t timeout_ms;     /* of each request */
    uint32_t heartbeat_ms;   /* of each connection; 0: as the library's */
    uint64_t seed;
} pcl_crowd_options;

/* NULL: error says why. */
pcl_crowd *pcl_crowd_new(const pcl_crowd_options *options, char *error, size_t error_size);
void pcl_crowd_destroy(pcl_crowd **self_p);

uint32_t pcl_crowd_count(const pcl_crowd *self);

/* Until so many clients (at most the capacity) are connected and have had an answer each.  false:
 * error says why; those that were connected stay. */
bool pcl_crowd_connect(pcl_crowd *self, uint32_t count, char *error, size_t error_size);

/* Until that descriptor can be read: connects anew who has lost his connection.  Needed while
 * nothing else is called. */
void pcl_crowd_serve(pcl_crowd *self, int fd);

typedef struct pcl_crowd_load {
    double rate;        /* requests a second of all together, by chance; 0: a closed loop */
    uint32_t in_flight; /* of a closed loop: as many, each of any client, whatever comes back */
    double seconds;
    double warmup_seconds; /* before that; not counted */
    pcl_strategy_kind strategy;
} pcl_crowd_load;

#define PCL_CROWD_FAILURES_MAX (PCL_ERR_COUNT + 2u)
#define PCL_CROWD_SILENCE      PCL_ERR_COUNT        /* no reply, or no connection to send on */
#define PCL_CROWD_STRANGE      (PCL_ERR_COUNT + 1u) /* a reply that cannot be the request's */

typedef struct pcl_crowd_outcome {
    uint64_t requests; /* that were due in the time measured */
    uint64_t ok;
    uint64_t failures[PCL_CROWD_FAILURES_MAX]; /* by pcl_err, or one of the two above */
    pcl_histogram latency_us;                  /* of those that were answered well */
    pcl_histogram late_us;                     /* how late they were sent */
    double seconds;                            /* that were measured */
} pcl_crowd_outcome;

/* Returns when all is answered or given up. */
void pcl_crowd_run(pcl_crowd *self, const pcl_crowd_load *load, pcl_crowd_outcome *out_outcome);

#endif
