/* membership.h - which nodes there are, and which of them live.
 *
 * Nodes are known by name and keep their index for the life of the proxy.  An
 * agent beats every PCL_BEAT_INTERVAL_MS; whatever it says counts as a beat.
 *
 *          HEARD         REBORN       SILENT         LOST_LONG   BYE            UNREACHABLE
 * NEW      UP admit      UP admit     NEW            NEW         NEW            NEW
 * UP       UP            UP replace   SUSPECT doubt  GONE lose   LEAVING close  SUSPECT doubt
 * SUSPECT  UP clear      UP replace   SUSPECT        GONE lose   LEAVING close  SUSPECT
 * LEAVING  LEAVING       UP replace   GONE lose      GONE lose   LEAVING        GONE lose
 * GONE     UP return     UP return    GONE           GONE        GONE           GONE
 *
 * SILENT is three missed beats, LOST_LONG five.  UNREACHABLE: the socket says
 * that no connection is there, which is no proof of death, since it may be
 * made again.  REBORN: another run of the agent, which knows nothing of what
 * the old one had.
 *
 * Silence counts only while the proxy listened: when the time between two
 * ticks was longer than a beat, it was the proxy that stood still, and every
 * node is given that time back.
 *
 * Pure; one thread.  No call but _new allocates.
 */
#ifndef PCL_PROXY_MEMBERSHIP_H
#define PCL_PROXY_MEMBERSHIP_H

#include "common/bytes.h"
#include "common/limits.h"
#include "proxy/candidate.h"
#include "proxy/health.h"
#include "proxy/lag_gate.h"
#include "wire/report.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum pcl_member_state {
    PCL_MEMBER_NEW = 0, /* expected, never heard of */
    PCL_MEMBER_UP,
    PCL_MEMBER_SUSPECT, /* silent; gets work only when nobody else can take it */
    PCL_MEMBER_LEAVING, /* said goodbye; finishes what it has */
    PCL_MEMBER_GONE,
    PCL_MEMBER_STATE_COUNT, /* must stay last */
} pcl_member_state;

typedef enum pcl_member_event {
    PCL_MEMBER_HEARD = 0,
    PCL_MEMBER_REBORN,
    PCL_MEMBER_SILENT,
    PCL_MEMBER_LOST_LONG,
    PCL_MEMBER_BYE,
    PCL_MEMBER_UNREACHABLE,
    PCL_MEMBER_EVENT_COUNT, /* must stay last */
} pcl_member_event;

/* What the caller must do about it. */
typedef enum pcl_member_action {
    PCL_MEMBER_NOTHING = 0,
    PCL_MEMBER_ADMIT,        /* it is here for the first time */
    PCL_MEMBER_RETURN,       /* it is here again */
    PCL_MEMBER_CLEAR,        /* a suspicion was wrong */
    PCL_MEMBER_REPLACE,      /* what was in flight there is lost; the node is up */
    PCL_MEMBER_DOUBT,        /* its reads should go elsewhere */
    PCL_MEMBER_CLOSE,        /* it takes no more work */
    PCL_MEMBER_LOSE,         /* what was in flight there is lost */
    PCL_MEMBER_ACTION_COUNT, /* must stay last */
} pcl_member_action;

typedef struct pcl_member_step {
    pcl_member_state next;
    pcl_member_action action;
} pcl_member_step;

/* The table above. */
pcl_member_step pcl_member_on(pcl_member_state state, pcl_member_event event);

#define PCL_MEMBER_OLD_BOOTS 4u
#define PCL_MEMBER_NONE      UINT32_MAX

/* Whoever was away for longer starts slowly (candidate.h): its caches may be cold. */
#define PCL_MEMBER_AWAY_US UINT64_C(5000000)

typedef struct pcl_member {
    char name[PCL_NAME_SIZE_MAX + 1]; /* NUL terminated */
    pcl_member_state state;
    bool drained;      /* by an operator; no monitor ever lifts it */
    uint64_t boot_id;  /* of the agent's present run; 0 never heard */
    uint64_t heard_us; /* its last sign of life */
    bool reported;     /* report holds one of this run */
    pcl_report report; /* gtid borrowed from gtid_text */
    uint8_t gtid_text[PCL_REPORT_GTID_SIZE_MAX];
    pcl_candidate candidate;
    pcl_health health; /* outlives the agent's runs */
    pcl_lag_gate lag_gate;
    uint64_t unready_us;                      /* since when its database is not ready; 0: it is */
    uint64_t old_boots[PCL_MEMBER_OLD_BOOTS]; /* runs that ended, against their late messages */
    uint32_t old_boot_next;
} pcl_member;

typedef struct pcl_membership pcl_membership;

/* capacity: 1 to PCL_NODES_MAX nodes.  NULL only when memory is out. */
pcl_membership *pcl_membership_new(uint32_t capacity, uint64_t now_us);
void pcl_membership_destroy(pcl_membership **self_p);

/* Replicas beyond that leave by their gate (lag_gate.h).  Before it is said, none does. */
void pcl_membership_set_lag_max(pcl_membership *self, uint32_t lag_ms_max);
/* Where we are; "" (as before the first call): unknown.  It places each node. */
void pcl_membership_set_zone(pcl_membership *self, const char *zone);

/* The node of that name, added when it is not there yet.  PCL_MEMBER_NONE when
 * the name is no name (keys.h) or there is no room. */
uint32_t pcl_membership_add(pcl_membership *self, pcl_bytes name);
/* PCL_MEMBER_NONE when there is none. */
uint32_t pcl_membership_find(const pcl_membership *self, pcl_bytes name);
/* The node whose agent runs, or ran not long ago, under boot_id. */
uint32_t pcl_membership_find_boot(const pcl_membership *self, uint64_t boot_id);

uint32_t pcl_membership_count(const pcl_membership *self);
/* index < count.  Stays where it is. */
pcl_member *pcl_membership_at(const pcl_membership *self, uint32_t index);

/* A message of the agent came.  boot_id 0: the message does not say which run
 * it is of, and is taken to be of the present one.  *out_action receives what
 * to do.  false: it is of a run that ended; look no further at it. */
bool pcl_membership_heard(pcl_membership *self, uint32_t index, uint64_t boot_id, uint64_t now_us,
                          pcl_member_action *out_action) PCL_MUST_CHECK;

/* Notes a report that was true at reported_us.  false, and nothing noted, when
 * it is not newer than the last or of another run than the present. */
bool pcl_membership_report(pcl_membership *self, uint32_t index, const pcl_report *report,
                           uint64_t reported_us);

pcl_member_action pcl_membership_bye(pcl_membership *self, uint32_t index);
pcl_member_action pcl_membership_unreachable(pcl_membership *self, uint32_t index);

/* Whether it is there and was not heard for two beats, of which one may be late. */
bool pcl_membership_is_silent(const pcl_membership *self, uint32_t index, uint64_t now_us);
/* Octets of it have come that are no message yet: its silence begins anew. */
void pcl_membership_stirs(pcl_membership *self, uint32_t index, uint64_t now_us);

/* Opens a tick; then call _next until it gives PCL_MEMBER_NOTHING. */
void pcl_membership_tick(pcl_membership *self, uint64_t now_us);
pcl_member_action pcl_membership_next(pcl_membership *self, uint64_t now_us, uint32_t *out_index);

const char *pcl_member_state_text(pcl_member_state state); /* "up", "suspect", ... */

#endif
