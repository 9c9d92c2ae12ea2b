/* server.h - a node and its agent: a queue, workers, a speed, and the agent's
 * own estimator of service times, linked as it ships.
 *
 * A statement is an attempt of a query; the world owns them, the server links
 * them.  First come, first served; each of the running ones gets the server's
 * whole speed, which may change while it runs.
 */
#ifndef PCL_BENCH_SIM_SERVER_H
#define PCL_BENCH_SIM_SERVER_H

#include "bench/sim/scenario.h"
#include "wire/report.h"
#include "worker-agent/service.h"

#include <stdbool.h>
#include <stdint.h>

#define SIM_NONE UINT32_MAX

typedef struct sim_attempt {
    uint32_t query;
    uint32_t server, proxy;
    uint32_t version; /* rises whenever an end scheduled for it becomes void */
    uint32_t life;    /* rises whenever the place is used anew */
    uint32_t next;    /* in the server's queue, or the list of free ones */
    bool withdrawn;   /* the proxy expects no answer any more */
    bool killed;      /* cancelled while its server stands still: it goes when that moves again */
    bool here, in_queue, is_running;
    bool failed; /* the node failed it, or it was cancelled */
    bool fault;  /* the node failed it */
    bool is_hedge;
    uint32_t class_index;
    uint32_t met_rif;   /* at the server on arrival, itself included */
    uint32_t seen_rif;  /* what the policy took the server's queue for */
    double left_us;     /* work that is not done yet, at speed 1 */
    uint64_t worked_us; /* when left_us was true */
    uint64_t sent_us, reached_us, began_us, ended_us;
} sim_attempt;

typedef struct sim_server {
    double own_speed;    /* of the scenario */
    double factor;       /* by the scenario's changes */
    double class_factor; /* for class 1 */
    double drift_factor; /* by chance */
    double cold_factor;  /* at cold_since_us, 1 when warm */
    uint64_t cold_since_us;
    bool paused, noisy;
    bool away;      /* its agent has said goodbye and says nothing more of itself */
    double failing; /* share of statements */
    double lag_us;  /* of replication, at lag_since_us ... */
    double lag_slope;
    uint64_t lag_since_us;
    uint32_t workers;
    uint32_t running[SIM_WORKERS_MAX]; /* attempts */
    uint32_t running_count;
    uint32_t queue_first, queue_last; /* attempts, SIM_NONE */
    uint32_t rif;
    uint32_t *yours;                   /* of these, each proxy's */
    uint32_t expected;                 /* rif and those on their way here: for the oracle */
    double speed_now[SIM_CLASSES_MAX]; /* since the running ones were last brought up to date */
    uint64_t served, errors, seq, boot_id;
    double slot_us; /* prequal-3: smoothed latency over how full it was on arrival */
    pcl_service service;
} sim_server;

/* Work done a microsecond for a statement of this class; 0 while it pauses. */
double sim_server_speed(const sim_server *self, uint32_t class_index);

/* How far behind its replication is. */
double sim_server_lag_ms(const sim_server *self, uint64_t now_us);

/* What the agent says now to that proxy; the answered attempt or NULL in a beat. */
pcl_report sim_server_report(sim_server *self, uint32_t proxy, const sim_attempt *answered,
                             uint64_t now_us);

/* How many rounds of the workers so many statements are, at least 1. */
double sim_server_rounds(const sim_server *self, uint32_t rif);

#endif
