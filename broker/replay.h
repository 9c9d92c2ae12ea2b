/* replay.h - which sealed requests are new (docs/rfc/1-client-protocol.md, section 9.2); pure.
 *
 * A seal that fits its key proves who made it, but not that it comes for the first time.  So the
 * table remembers, for each channel of each client, the highest sequence that came, for
 * PCL_REPLAY_KEEP_US after the channel's last request; what is older than that is refused by its
 * time alone.
 *
 *   taken      sequence is above every one of its channel, time_us in its window
 *   the floor  no seal of that time or before is ever taken: first the end of the second after the
 *              start, since what an earlier life took is forgotten; then the time of the last
 *              seal of a channel that was forgotten.  While the wall clock runs forward that lies
 *              behind the window and changes nothing; when it is set back, it keeps what was taken
 *              before from being taken again.
 *
 * Clients are told apart by their public key and not by their name, so a principal that is taken
 * out of the policy and put back finds its channels as they were.  Two clocks: wall_us is what
 * seals are held against, now_us is monotonic and counts how long a channel is kept.
 *
 * Memory is taken at _new: about 180 octets a channel.  One thread.
 */
#ifndef PCL_BROKER_REPLAY_H
#define PCL_BROKER_REPLAY_H

#include <stdint.h>

#define PCL_REPLAY_AGE_US_MAX   UINT64_C(30000000) /* of a seal */
#define PCL_REPLAY_AHEAD_US_MAX UINT64_C(1000000)  /* of the broker's clock */
#define PCL_REPLAY_SLACK_US     UINT64_C(1000000)  /* over the request's timeout_ms */
#define PCL_REPLAY_GUARD_US     UINT64_C(1000000)  /* after the start */
#define PCL_REPLAY_KEEP_US      (PCL_REPLAY_AGE_US_MAX + PCL_REPLAY_AHEAD_US_MAX)
#define PCL_REPLAY_CLIENT_SIZE  40u /* characters of a public key, Z85 */
#define PCL_REPLAY_CHANNELS_MAX 1000000u

typedef enum pcl_replay_verdict {
    PCL_REPLAY_FRESH = 0, /* taken: it will never be FRESH again */
    PCL_REPLAY_OLD,       /* over PCL_REPLAY_AGE_US_MAX */
    PCL_REPLAY_AHEAD,     /* of the broker's clock */
    PCL_REPLAY_LATE,      /* older than its own time and PCL_REPLAY_SLACK_US */
    PCL_REPLAY_REPEATED,  /* its sequence, or a higher one, was there */
    PCL_REPLAY_EARLY,     /* under the floor, or the guard is not over: not a fault of its own */
    PCL_REPLAY_FULL,      /* no room for another channel, of all or of this client */
} pcl_replay_verdict;

typedef struct pcl_replay pcl_replay;

/* What a seal says of its request. */
typedef struct pcl_replay_mark {
    uint64_t time_us; /* wall clock of whoever sealed it */
    uint64_t channel;
    uint64_t sequence;
    uint64_t timeout_ms; /* of the request */
} pcl_replay_mark;

/* channel_max: 1 to PCL_REPLAY_CHANNELS_MAX, of all clients; channel_each_max: of one, not 0.
 * seed: random, of the hash.  NULL only when memory is out. */
pcl_replay *pcl_replay_new(uint32_t channel_max, uint32_t channel_each_max, uint64_t wall_us,
                           uint64_t now_us, uint64_t seed);
void pcl_replay_destroy(pcl_replay **self_p);

/* client: its public key, PCL_REPLAY_CLIENT_SIZE characters.  The seal must have been found to fit
 * before.  Whatever is not FRESH leaves the table as it is. */
pcl_replay_verdict pcl_replay_take(pcl_replay *self, const char *client,
                                   const pcl_replay_mark *mark, uint64_t wall_us, uint64_t now_us);

/* Forgets channels whose time is over; _take does so too, a few at a time. */
void pcl_replay_expire(pcl_replay *self, uint64_t now_us);

uint32_t pcl_replay_count(const pcl_replay *self); /* channels */

/* What the answer says of one that is not FRESH: "is over 30 s old". */
const char *pcl_replay_text(pcl_replay_verdict verdict);

#endif
