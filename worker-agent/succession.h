/* succession.h - who the source is, as one agent knows it, and what it does when that changes.
 * Pure: time and the attempt's number come from outside, one thread.
 *
 * Only the source of a term decides who is that of the next one, and it does so once: the decision
 * stands on its disk before anybody hears of it.  So a term has one source, whatever is lost, said
 * twice or said late.  Everything before the decision can be taken back; nothing after it is.
 *
 *   source                              successor                    others
 *   PROPOSED comes: CLOSING
 *     refuses new writes, then fences
 *     its database: FENCED, position P  FENCED comes: ASKED
 *                                         once it has all of P: ready
 *   ready comes: DECIDED, on disk       DECIDED comes: on its disk
 *                                         has P: stops replication,
 *                                         OPEN, on its disk, writable
 *   OPEN comes: on its disk, follows                                 OPEN comes: on disk, follow
 *
 * Until ready has come the source gives up after PCL_SUCCESSION_WAIT_US, or when its database has
 * let go of it, and takes writes again: nobody was told that he may.
 */
#ifndef PCL_WORKER_AGENT_SUCCESSION_H
#define PCL_WORKER_AGENT_SUCCESSION_H

#include "wire/report.h"
#include "wire/topology.h"

#define PCL_SUCCESSION_WAIT_US        UINT64_C(10000000) /* for the successor to have everything */
#define PCL_SUCCESSION_ASKED_US       UINT64_C(3000000) /* after the source was last heard asking */
/* After an attempt that came to nothing; twice as long after the next, and so on so many times. */
#define PCL_SUCCESSION_REST_US        UINT64_C(15000000)
#define PCL_SUCCESSION_REST_DOUBLINGS 3u

typedef enum pcl_succession_phase {
    PCL_SUCCESSION_IDLE = 0,
    PCL_SUCCESSION_CLOSING, /* the source: to be fenced */
    PCL_SUCCESSION_FENCED,  /* the source: waits for its successor */
    PCL_SUCCESSION_ASKED,   /* the successor: asked for the position */
} pcl_succession_phase;

/* What the node shall be. */
typedef enum pcl_succession_duty {
    PCL_DUTY_SOURCE = 0,
    PCL_DUTY_FOLLOW,    /* a replica of pcl_succession_followed */
    PCL_DUTY_CLOSED,    /* the former source: takes no writes, and follows nobody yet */
    PCL_DUTY_TAKE_OVER, /* the successor: a replica still, which is to become the source */
} pcl_succession_duty;

typedef struct pcl_succession {
    pcl_topology_place own;
    bool configured_source;
    pcl_topology_place configured; /* the source that the settings name, of a replica */
    bool wants;                    /* should not be the source */
    bool unfit;                    /* cannot take over: so it says that it should not, too */
    pcl_topology last;             /* NONE, DECIDED or OPEN: as it stands on disk */
    pcl_succession_phase phase;
    pcl_topology plan; /* of the phase; ready: of the successor */
    uint64_t until_us; /* when the phase is given up */
    uint64_t rest_us;  /* no new attempt before */
    uint32_t failures; /* attempts, one after the other, that came to nothing */
} pcl_succession;

pcl_succession_duty pcl_succession_duty_of(const pcl_succession *self);
/* Of FOLLOW and TAKE_OVER; static in self. */
const pcl_topology_place *pcl_succession_followed(const pcl_succession *self);
/* No write may begin: between the proposal and its end. */
bool pcl_succession_is_closed(const pcl_succession *self);

/* A message of a proxy's.  true: *out_record says more than `last`, and shall become it once it
 * stands on disk.  attempt: random, for one that begins with this message. */
bool pcl_succession_hear(pcl_succession *self, const pcl_topology *heard, uint64_t attempt,
                         uint64_t now_us, pcl_topology *out_record) PCL_MUST_CHECK;

/* The source: fenced at that position, with room for it. */
void pcl_succession_fenced(pcl_succession *self, const char *position, uint64_t now_us);
/* The successor: has everything up to the plan's position. */
void pcl_succession_reached(pcl_succession *self);
/* What the source decides now: true once its successor is ready.  The caller has made sure that
 * the database is still fenced at that position. */
bool pcl_succession_decision(const pcl_succession *self, pcl_topology *out_record) PCL_MUST_CHECK;
/* What the successor says once it is the source. */
pcl_topology pcl_succession_opening(const pcl_succession *self);
/* It stands on disk. */
void pcl_succession_stands(pcl_succession *self, const pcl_topology *record);
/* The attempt is over, without a decision. */
void pcl_succession_give_up(pcl_succession *self, uint64_t now_us);
/* Time is up for the phase. */
bool pcl_succession_is_late(const pcl_succession *self, uint64_t now_us);

/* What the proxies are told: nothing of a phase whose time is up, be it that the database, which
 * its end waits for, is gone. */
pcl_topology pcl_succession_message(const pcl_succession *self, uint64_t now_us);

#endif
