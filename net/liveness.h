/* liveness.h - whether the peer at the other end of a link is there; pure.
 *
 * Silence is counted only while we were looking: of the time between two looks
 * at most one beat interval counts, so a process that was stopped for a while
 * does not take its own absence for its peer's.
 */
#ifndef PCL_NET_LIVENESS_H
#define PCL_NET_LIVENESS_H

#include <stdbool.h>
#include <stdint.h>

typedef enum pcl_link_state {
    PCL_LINK_DOWN = 0,
    PCL_LINK_UP,
    PCL_LINK_DRAINING, /* finishes what it has, takes nothing new */
} pcl_link_state;

typedef enum pcl_link_event {
    PCL_LINK_NOTHING = 0,
    PCL_LINK_CAME_UP,
    PCL_LINK_LOST,     /* was up or draining, now down: in-flight work is lost */
    PCL_LINK_REPLACED, /* another boot id: in-flight work is lost, the link is up */
    PCL_LINK_DRAINS,
} pcl_link_event;

typedef struct pcl_liveness {
    pcl_link_state state;
    uint64_t boot_id;   /* of the peer, as last heard */
    uint64_t looked_us; /* 0: never */
    uint64_t silent_us; /* since the last word, as far as we looked */
    bool left;          /* this boot of the peer said BYE; it does not come back */
    bool patient;       /* it is LOST after PCL_BEATS_GONE_ALONE intervals of silence */
} pcl_liveness;

typedef enum pcl_word {
    PCL_WORD_ANY = 0, /* a message that carries no boot id */
    PCL_WORD_BEAT,    /* PING, PONG or BEAT */
    PCL_WORD_BYE,
} pcl_word;

/* A zeroed pcl_liveness is DOWN.  boot_id and draining are looked at unless
 * word is PCL_WORD_ANY.  A peer that comes back draining is REPLACED or DRAINS,
 * and the state is DRAINING. */
pcl_link_event pcl_liveness_heard(pcl_liveness *self, pcl_word word, uint64_t boot_id,
                                  bool draining);

/* The connection ended: what was sent on it is not answered on another.  LOST unless the link was
 * down.  The peer's next beat brings the link up again, be it the same boot or not. */
pcl_link_event pcl_liveness_cut(pcl_liveness *self);

/* At least once a beat interval.  LOST after PCL_BEATS_GONE intervals of silence, unless patient.
 */
pcl_link_event pcl_liveness_look(pcl_liveness *self, uint64_t now_us);

#endif
