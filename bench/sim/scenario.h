/* scenario.h - what is simulated: fleet, load, and what happens to them.
 *
 * A scenario is data.  Times are milliseconds or seconds as named; a speed is
 * relative: a statement of 5 ms of work takes 5 ms at speed 1, 25 ms at 0.2.
 */
#ifndef PCL_BENCH_SIM_SCENARIO_H
#define PCL_BENCH_SIM_SCENARIO_H

#include <stdbool.h>
#include <stdint.h>

#define SIM_NODES_MAX   128u
#define SIM_WORKERS_MAX 256u
#define SIM_CLASSES_MAX 2u
#define SIM_ALL         UINT32_MAX

typedef enum sim_work_kind {
    SIM_WORK_EXPONENTIAL,
    SIM_WORK_NORMAL,    /* deviation = spread x mean_ms; none below 0, so the mean is more */
    SIM_WORK_TWO,       /* exponential; a share of them has another mean */
    SIM_WORK_LOGNORMAL, /* coefficient of variation: spread */
} sim_work_kind;

typedef struct sim_work {
    sim_work_kind kind;
    double mean_ms;
    double spread;
    double share, share_mean_ms; /* of SIM_WORK_TWO: also the share of class 1 */
} sim_work;

typedef enum sim_change_kind {
    SIM_CHANGE_SPEED, /* of the nodes, times their own */
    SIM_CHANGE_LOAD,  /* of all arrivals, times the scenario's */
    SIM_CHANGE_FAIL,  /* this share of statements the nodes answer with an error at once */
    SIM_CHANGE_LAG,   /* so many seconds a second the nodes' replication falls behind, or,
                         below 0, catches up */
    SIM_CHANGE_LEAVE, /* the nodes' agents say goodbye; what they have they finish */
    SIM_CHANGE_COLD,  /* the nodes restart, this many times slower; it fades in cold_s */
    SIM_CHANGE_BEATS, /* 0: no beat arrives any more */
    SIM_CHANGE_CLASS, /* speed of the nodes for statements of class 1 */
} sim_change_kind;

typedef struct sim_change {
    double at_s;
    sim_change_kind kind;
    double value;
    uint32_t first, count; /* nodes */
    double every_s;        /* happens again after so long; 0 once */
} sim_change;

/* What happens to each node by itself, by chance. */
typedef enum sim_drift_kind {
    SIM_DRIFT_NONE,
    SIM_DRIFT_PAUSES, /* stands still for drift_for_ms, every drift_every_ms, phases random */
    SIM_DRIFT_FLIP,   /* every drift_every_ms: speed 1 or drift_factor, by a coin */
    SIM_DRIFT_NOISE,  /* every drift_every_ms +-50%: 30% of nodes noisy at 0.3-0.7 half of the
                         time and 0.9-1.3 else, the others at 1.2-2.0 */
} sim_drift_kind;

typedef enum sim_beats_kind {
    SIM_BEATS_PAIR,  /* each agent to each proxy, phase random, period +-20% */
    SIM_BEATS_PROXY, /* all agents to one proxy at once, each proxy its own phase */
    SIM_BEATS_SYNC,  /* all at once */
    SIM_BEATS_LIVE,  /* none; who reads reports sees the truth (2.A's first column) */
} sim_beats_kind;

typedef struct sim_scenario {
    const char *name;
    uint32_t nodes, proxies, workers;
    const double *speeds; /* of the nodes; NULL: all 1 */
    double load;          /* arrivals as a part of what the nodes can serve */
    double rate_per_s;    /* instead of load, when not 0 */
    sim_work work;
    double net_ms;   /* one way */
    double probe_ms; /* one way, of a probe; 0: net_ms */
    double beat_ms;
    sim_beats_kind beats;
    double warm_s, run_s; /* measured are arrivals between */
    double timeout_ms;    /* a query that takes longer has failed; 0: 5 s */
    double failed_ms;     /* what a failed one counts; 0: 5 s */
    const sim_change *changes;
    uint32_t change_count;
    sim_drift_kind drift;
    double drift_every_ms, drift_for_ms, drift_factor;
    double cold_s;                 /* how long a cold node takes to be warm */
    double lag_noise_ms;           /* agents measure it so much too long at most */
    double slow_from_s, slow_to_s; /* when the watched node is slow, for the two figures */
    double lag_bound_ms;           /* reads must not go to nodes further behind; 0 no bound */
    uint32_t replicas_of_each; /* a query may go to so many neighbours of a random node; 0: all */
    bool no_ejection;          /* failures and timeouts eject nobody */
    bool retry;                /* failed statements are tried once more elsewhere */
    bool constant_rate;        /* arrivals evenly spaced instead of Poisson */
    uint32_t watched;          /* node whose share is reported; 0 is the one that mishaps befall */
} sim_scenario;

#endif
