/* queue.h - requests that wait for room below, fairly between principals; pure.
 *
 * Each principal (a flow) has a line in each lane; a lane is a kind of work that has a window of
 * its own (reads; all else).  Who is next in a lane:
 *
 *   1. the highest priority that has anything waiting;
 *   2. in it the line that has had least by its share (start-time fair queueing): a line's clock
 *      goes on by 1 / share with each request, and who comes back from an empty line starts at the
 *      clock of whoever was served last, so that nobody saves up;
 *   3. in a line the oldest.
 *
 * Admission follows the time that a line's requests wait, not its length (CoDel, as servers use
 * it): when in a whole interval not one of a line's requests waited less than the target, the line
 * stands, and until that changes its requests are given up after twice the target.  A short burst
 * waits; a load that lasts is answered early, and only whose it is.
 *
 * A request is an item: a number below item_max, under which the owner keeps what belongs to it.
 * Push, pop and remove are O(log lines).  Memory is taken at _new.  One thread.
 */
#ifndef PCL_BROKER_QUEUE_H
#define PCL_BROKER_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PCL_QUEUE_NONE           UINT32_MAX
#define PCL_QUEUE_LANES          2u
#define PCL_QUEUE_PRIORITIES     3u
#define PCL_QUEUE_SHARE_MAX      1000u
#define PCL_QUEUE_ITEMS_MAX      1000000u
#define PCL_QUEUE_FLOWS_MAX      65536u
#define PCL_QUEUE_STANDING_TIMES 2u /* the target: how long a request of a standing line waits */

typedef enum pcl_queue_lane {
    PCL_QUEUE_READS = 0,
    PCL_QUEUE_REST = 1,
} pcl_queue_lane;

typedef struct pcl_queue_options {
    uint32_t item_max;    /* 1 to PCL_QUEUE_ITEMS_MAX */
    size_t octets_max;    /* of all items; not 0 */
    uint32_t flow_max;    /* 1 to PCL_QUEUE_FLOWS_MAX */
    uint64_t target_us;   /* not 0 */
    uint64_t interval_us; /* not 0 */
} pcl_queue_options;

typedef enum pcl_queue_fate {
    PCL_QUEUE_NEXT = 0, /* its turn */
    PCL_QUEUE_DROPPED,  /* it has waited too long in a line that stands: OVERLOADED */
} pcl_queue_fate;

typedef struct pcl_queue pcl_queue;

/* NULL only when memory is out. */
pcl_queue *pcl_queue_new(const pcl_queue_options *options);
void pcl_queue_destroy(pcl_queue **self_p);

/* Other times; what waits goes by them from now on. */
void pcl_queue_set_times(pcl_queue *self, uint64_t target_us, uint64_t interval_us);

/* share: 1 to PCL_QUEUE_SHARE_MAX; priority: 0 high to PCL_QUEUE_PRIORITIES - 1.  A flow that was
 * never set has 1 and 1. */
void pcl_queue_set_flow(pcl_queue *self, uint32_t flow, uint32_t share, uint32_t priority);

/* The item's number; NONE: there is no room. */
uint32_t pcl_queue_push(pcl_queue *self, uint32_t flow, pcl_queue_lane lane, size_t octets,
                        uint64_t now_us);

/* Takes out the next of the lane, or one that is given up on the way to it; NONE: nothing waits. */
uint32_t pcl_queue_pop(pcl_queue *self, pcl_queue_lane lane, uint64_t now_us,
                       pcl_queue_fate *out_fate);

/* The same of one flow's line, whoever else waits. */
uint32_t pcl_queue_pop_flow(pcl_queue *self, uint32_t flow, pcl_queue_lane lane, uint64_t now_us,
                            pcl_queue_fate *out_fate);

/* Takes out one that is to be given up although nobody asked for the next; call until NONE, at
 * least every 50 ms.  Walks the lines. */
uint32_t pcl_queue_expire(pcl_queue *self, uint64_t now_us);

/* Its request has gone in another way; item must wait here. */
void pcl_queue_remove(pcl_queue *self, uint32_t item);

uint32_t pcl_queue_count(const pcl_queue *self);                           /* of all */
uint32_t pcl_queue_lane_count(const pcl_queue *self, pcl_queue_lane lane); /* of one lane */
uint32_t pcl_queue_flow_count(const pcl_queue *self, uint32_t flow, pcl_queue_lane lane);
size_t pcl_queue_octets(const pcl_queue *self);

/* How long it has waited; item must wait here. */
uint64_t pcl_queue_waited_us(const pcl_queue *self, uint32_t item, uint64_t now_us);

#endif
