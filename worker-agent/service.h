/* service.h - how long statements take here, for the proxies' choice.
 *
 * Sums that decay with time, so that no history is kept and a quiet node
 * forgets: one set with a time constant of 3 s, one of 200 ms.  The mean is
 * winsorised (a sample counts at most five times the mean once there are 20),
 * because one report query must not make a node look slow; the variance is of
 * the raw samples, because the proxies' stall detector needs the truth.
 *
 * Only what the database itself did is a sample: execution without queueing
 * and without the making of a connection, of reads that succeeded.  Killed statements and the
 * node's own failures say nothing about speed, and writes mostly measure the replicas' answer.
 *
 * A node that nobody asks is judged by looks: the time of one tiny query that is made all the time.
 * A look is no sample, since it takes nothing like a statement's time: on a node ten times too slow
 * it would still make the mean better than that of any busy node.  How many times as long a look
 * takes as it took while statements were served says how their mean has changed since.  Of the
 * looks of a second the least counts, on both sides, since a tiny query is late by many times its
 * time for reasons of the host; and what looks took is learned anew when statements come back.
 */
#ifndef PCL_WORKER_AGENT_SERVICE_H
#define PCL_WORKER_AGENT_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#define PCL_SERVICE_SLOW_TAU_US      UINT64_C(3000000)
#define PCL_SERVICE_FAST_TAU_US      UINT64_C(200000)
#define PCL_SERVICE_LOOKS_US         UINT64_C(1000000)
#define PCL_SERVICE_WINSOR_COUNT_MIN 20.0
#define PCL_SERVICE_WINSOR_FACTOR    5.0

typedef struct pcl_service {
    uint64_t updated_us;   /* when the sums were last decayed */
    double slow_weight;    /* effective count, time constant 3 s */
    double slow_winsor_us; /* sum of winsorised samples */
    double slow_raw_us;    /* sum of samples */
    double slow_square;    /* sum of squared samples */
    double fast_weight;    /* time constant 200 ms */
    double fast_us;
    double look_least_us; /* of the looks since looked_us; 0 none yet */
    uint64_t looked_us;   /* when the least of them last counted */
    bool served;          /* whether statements were served then */
    double look_us;       /* smoothed, of looks while statements were served; 0 none yet */
    double served_us;     /* the mean then */
} pcl_service;

typedef struct pcl_service_summary {
    float mean_us, count, variance;
    float fast_us, fast_count;
} pcl_service_summary;

/* A zeroed struct is a fresh one.  now_us may not run backwards; if it does,
 * nothing decays. */
void pcl_service_add(pcl_service *self, uint64_t service_us, uint64_t now_us);

/* A look took so long; serves: statements were served lately.  On a node that serves none the least
 * look of a second counts as one sample: the mean of when it did, times what looks take now against
 * then, at most 16 times more or less.  Nothing, where none was ever served. */
void pcl_service_look(pcl_service *self, uint64_t look_us, bool serves, uint64_t now_us);

/* All zero while there is no sample. */
pcl_service_summary pcl_service_summarize(const pcl_service *self, uint64_t now_us);

#endif
