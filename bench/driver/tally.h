/* tally.h - what came of the requests of one strategy.  Pure.
 *
 * Latency runs from the time at which a request was due, not from that at which it could be sent,
 * so a driver or a cluster that falls behind hides nothing (no coordinated omission).  A request
 * that failed counts as having taken its whole timeout, so that nobody looks fast by refusing.
 */
#ifndef PCL_BENCH_TALLY_H
#define PCL_BENCH_TALLY_H

#include "bench/driver/histogram.h"
#include "bench/driver/mix.h"
#include "common/error.h"
#include "common/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PCL_TALLY_CODES_MAX    32u
#define PCL_TALLY_MESSAGE_SIZE 160u

/* What a route says. */
typedef struct pcl_tally_route {
    char node[PCL_NAME_SIZE_MAX + 1u]; /* "": none */
    uint32_t attempts;                 /* 0: not said */
    bool hedged;
} pcl_tally_route;

typedef struct pcl_tally_node {
    char name[PCL_NAME_SIZE_MAX + 1u];
    uint64_t count; /* answers that it gave */
    uint64_t sum_us;
} pcl_tally_node;

typedef struct pcl_tally_code {
    char name[32];
    uint64_t count;
    char message[PCL_TALLY_MESSAGE_SIZE]; /* of the first; cut, as text */
} pcl_tally_code;

/* Of one of a mix's parts. */
typedef struct pcl_tally_part {
    uint64_t count;
    uint64_t failures;
    pcl_coarse all_us; /* failures as their timeout */
} pcl_tally_part;

/* Zero it to begin with. */
typedef struct pcl_tally {
    pcl_histogram all_us; /* failures as their timeout */
    pcl_histogram ok_us;  /* successes alone */
    pcl_histogram lag_us; /* how much later than due requests were sent */
    uint64_t unsent;      /* due, but this side had no room for them; they count as failed */
    uint64_t retries;     /* attempts beyond the first */
    uint64_t hedged;      /* answers of second copies */
    uint64_t in_time;     /* successes that came while requests were still due */
    uint64_t time_us;     /* how long requests were due */
    uint64_t busy;        /* of the machine's processors, meanwhile: 0 to machine */
    uint64_t machine;     /* 0: not known */
    pcl_tally_code codes[PCL_TALLY_CODES_MAX]; /* of failures, by name */
    uint32_t code_count;
    pcl_tally_node nodes[PCL_NODES_MAX];
    uint32_t node_count;
    pcl_tally_part parts[PCL_MIX_PARTS_MAX];
} pcl_tally;

void pcl_tally_note_sent(pcl_tally *self, uint64_t lag_us);
void pcl_tally_note_ok(pcl_tally *self, uint64_t took_us, bool in_time,
                       const pcl_tally_route *route);
/* code: its name; message: what is said of it, UTF-8.  took_us below timeout_us counts as
 * timeout_us. */
void pcl_tally_note_failure(pcl_tally *self, const char *code, const char *message,
                            uint64_t took_us, uint64_t timeout_us, const pcl_tally_route *route);
/* The same for the part that it was of, besides one of those two.  took_us of a failure: at least
 * its timeout. */
void pcl_tally_note_part(pcl_tally *self, uint32_t part, uint64_t took_us, bool ok);
void pcl_tally_merge(pcl_tally *self, const pcl_tally *other);

uint64_t pcl_tally_failures(const pcl_tally *self);
/* Successes a second, without those that came after the last request was due. */
double pcl_tally_throughput(const pcl_tally *self);

/* Was the driver too slow, or the machine too busy, for its numbers to be believed?  reason says
 * why. */
bool pcl_tally_doubt(const pcl_tally *self, char *reason, size_t reason_size) PCL_MUST_CHECK;

#endif
