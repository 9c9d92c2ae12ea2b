/* window.h - how many requests may be below the broker at a time; pure.
 *
 * A queue has to stand somewhere when there is more work than the databases can do.  It shall stand
 * at the broker, where it is fair (broker/queue.h), and not at the agents, where whoever asks most
 * gets most.  So the window follows how long requests waited for a thread at their agents:
 *
 *   more than the target on average   the window becomes an eighth smaller, a third when far more,
 *                                     once for each round: what was sent before it shrank says
 *                                     nothing of the new size
 *   less than half of it, and full    a sixteenth larger; a quarter when it has grown for long; at
 *                                     first, until it has been too large once, twice as large
 *
 * The target is an eighth of what requests took beside waiting, at most target_us_max: so who comes
 * into a window that is full of another's requests hardly waits behind them.
 *
 * Looked at each PCL_WINDOW_INTERVAL_US at most, and only when something came back.
 */
#ifndef PCL_BROKER_WINDOW_H
#define PCL_BROKER_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#define PCL_WINDOW_INTERVAL_US UINT64_C(20000)
#define PCL_WINDOW_START       64u
#define PCL_WINDOW_TARGET_US   UINT64_C(250) /* the least; to be woken up takes about that */

/* One lane; made by pcl_window_of. */
typedef struct pcl_window {
    uint32_t size;     /* now */
    uint32_t inflight; /* may be above size after it shrank */
    uint32_t min, max;
    uint64_t target_us_max;
    uint64_t shrunk_us;       /* only what was sent since then counts */
    uint64_t interval_end_us; /* 0: nothing came back yet */
    uint64_t waited_us_sum;   /* in this interval */
    uint64_t took_us_sum;     /* likewise, without the waiting */
    uint32_t waited_count;
    uint32_t calm;      /* how often it grew since it shrank */
    bool was_full;      /* in this interval */
    bool has_been_full; /* it was too large once */
} pcl_window;

/* 1 <= min <= max; target_us_max not 0. */
pcl_window pcl_window_of(uint32_t min, uint32_t max, uint64_t target_us_max);
/* Other bounds; what is below stays there. */
void pcl_window_set(pcl_window *self, uint32_t min, uint32_t max, uint64_t target_us_max);

static inline bool pcl_window_is_open(const pcl_window *self)
{
    return self->inflight < self->size;
}

void pcl_window_sent(pcl_window *self);
/* It came back, or never will. */
void pcl_window_ended(pcl_window *self);
/* The reply of an agent says how long that request, which was sent then, waited for a thread. */
void pcl_window_waited(pcl_window *self, uint64_t sent_us, uint64_t waited_us, uint64_t now_us);

#endif
