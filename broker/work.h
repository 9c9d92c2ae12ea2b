/* work.h - what the broker keeps of a request from its judgement to its reply.
 *
 * The relay's entry holds what every hop needs; this is the broker's own: whose it is, how it was
 * sealed, where it waits, and what the audit will say.  A bounded table; nothing is allocated for
 * a request.  One thread.
 */
#ifndef PCL_BROKER_WORK_H
#define PCL_BROKER_WORK_H

#include "broker/queue.h"
#include "net/frames.h"
#include "policy/policy.h"
#include "wire/head.h"

#define PCL_WORKS_NONE UINT32_MAX

typedef struct pcl_work {
    uint32_t caller; /* in the table of callers */
    uint64_t judged_us;
    char peer[PCL_NAME_SIZE_MAX + 1]; /* the gatekeeper that brought it; "" it has no name */

    /* By its seal; the reply gets one with the same numbers. */
    bool sealed;
    uint64_t channel, sequence;

    /* As judged. */
    bool judged;    /* what follows is known */
    bool unbounded; /* no rate bounds how often the like of it comes, though its role has one */
    bool metered;
    pcl_policy_rule rule; /* that refuses it */
    uint32_t dry_run;     /* bits 1u << pcl_policy_rule */
    uint32_t rows_dry_max;
    uint64_t digest_id;
    uint32_t digest_size; /* octets of its digest's text, which stands beside */
    pcl_strategy_kind strategy;
    bool has_session;
    uint8_t session[PCL_ID_SIZE];
    char db[PCL_DB_NAME_SIZE_MAX + 1];
    char role[PCL_POLICY_NAME_SIZE]; /* the policy may be another when the reply comes */

    /* On its way. */
    bool has_lane; /* it goes through a window */
    pcl_queue_lane lane;
    bool in_window;
    bool first;              /* its caller had nothing else in that window */
    uint32_t item;           /* in the queue; NONE: not there */
    uint64_t ticket;         /* while it is held; 0: it is not; set by _hold */
    uint8_t id[PCL_ID_SIZE]; /* while it is held: the request's */
    bool started;            /* the audit has its START */
    bool unsure;             /* its session waits for it: for its line, or behind one that does */
    uint32_t cancelled;      /* of op cancel: requests that it stopped here */
    bool has_payload;  /* it is held, or may go on again: head, payload and accounts are here */
    zmq_msg_t payload; /* only with has_payload */
    pcl_head head;     /* likewise; principal and role are set when it goes on */
    char accounts[PCL_POLICY_NAME_SIZE];

    bool used;
    uint32_t next; /* of the free ones */
} pcl_work;

typedef struct pcl_works pcl_works;

/* capacity: 1 to PCL_INFLIGHT_MAX.  digests: texts of digests are kept.  seed: of the hash.  NULL
 * only when memory is out. */
pcl_works *pcl_works_new(uint32_t capacity, bool digests, uint64_t seed);
void pcl_works_destroy(pcl_works **self_p);

/* A fresh one, all zero but `item`.  NONE: there is no room. */
uint32_t pcl_works_take(pcl_works *self);
pcl_work *pcl_works_at(pcl_works *self, uint32_t index);
/* The work that is held under that ticket, at that place; NULL: not any more. */
pcl_work *pcl_works_held(pcl_works *self, uint32_t index, uint64_t ticket);
/* Keeps what a request goes on with, and takes payload. */
void pcl_works_keep(pcl_works *self, uint32_t index, const pcl_head *head, const char *accounts,
                    zmq_msg_t *payload);
/* It is held from now on, under that ticket; _unhold, _release and _give_back end it. */
void pcl_works_hold(pcl_works *self, uint32_t index, const uint8_t id[PCL_ID_SIZE],
                    uint64_t ticket);
/* What is kept stays. */
void pcl_works_unhold(pcl_works *self, uint32_t index);
/* What is kept goes. */
void pcl_works_release(pcl_works *self, uint32_t index);
/* Walks what the caller has held under that id: start with *cursor 0; NONE is the end.  Nothing may
 * be held or released meanwhile. */
uint32_t pcl_works_find_held(const pcl_works *self, uint32_t caller, const uint8_t id[PCL_ID_SIZE],
                             uint32_t *cursor);

/* Its session has to wait for it; until _unhold, _release or _give_back.  Only of one with a
 * session. */
void pcl_works_set_unsure(pcl_works *self, uint32_t index);
/* Whether something of that session is to wait for. */
bool pcl_works_is_unsure(const pcl_works *self, const uint8_t session[PCL_ID_SIZE]);

/* Frees its payload, too. */
void pcl_works_give_back(pcl_works *self, uint32_t index);

/* Does nothing where texts are not kept. */
void pcl_works_set_digest(pcl_works *self, uint32_t index, pcl_bytes text);
pcl_bytes pcl_works_digest(const pcl_works *self, uint32_t index);

#endif
