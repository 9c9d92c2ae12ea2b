/* transit.h - how long a message lay on its way, without comparing clocks.
 *
 * Each hop message carries its sender's monotonic clock.  Receiver clock minus
 * sender clock is the clocks' offset plus the time on the way; the smallest
 * such difference seen is the offset plus the shortest way, so what a message
 * is above it is time it spent waiting: in a socket queue, in a kernel buffer,
 * in a frozen receiver.  A relative time budget is shortened by that wait
 * before it becomes a deadline, so a process that was stopped does not start
 * work that nobody waits for any more (one-way delay as in LEDBAT, RFC 6817).
 *
 * The base drifts up slowly, so that two clocks that run apart by some parts
 * per million never look like waiting.  One filter a sender and boot; start a
 * new one when the sender restarts.
 */
#ifndef PCL_COMMON_TRANSIT_H
#define PCL_COMMON_TRANSIT_H

#include <stdbool.h>
#include <stdint.h>

typedef struct pcl_transit {
    int64_t base_us;     /* smallest receiver minus sender, drifting up */
    uint64_t updated_us; /* receiver's clock when the base last drifted */
    bool known;
} pcl_transit;

/* Notes a message and returns how long it waited, in microseconds.  received_us must be read after
 * the message was taken from its socket: an older one teaches a way that is too short, and every
 * message after it would seem to have waited. */
uint64_t pcl_transit_wait_us(pcl_transit *self, uint64_t sent_us, uint64_t received_us);

#endif
