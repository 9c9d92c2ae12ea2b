/* callers.h - the principals that talk to this broker, and what is kept of each beyond one request
 * and beyond one policy; pure.
 *
 * A policy is replaced whole, but how much of its rate a principal has used, and what it has in
 * flight, goes on.  A caller is made at a principal's first message, and is who it is by name and
 * key: when the policy gives the name another key, or does not have it any more, the old caller is
 * dismissed: nothing finds it any more, and it ends with the last request that it has in flight,
 * whose reply is still sealed with its key.
 *
 * Memory is taken at _new.  One thread.
 */
#ifndef PCL_BROKER_CALLERS_H
#define PCL_BROKER_CALLERS_H

#include "net/seal.h"
#include "policy/meter.h"
#include "policy/policy.h"

#include <stdbool.h>
#include <stdint.h>

#define PCL_CALLER_NONE 0xffffffffu
#define PCL_CALLERS_MAX 65536u

typedef enum pcl_caller_key {
    PCL_CALLER_KEY_UNMADE = 0, /* nobody sealed anything yet */
    PCL_CALLER_KEY_MADE,
    PCL_CALLER_KEY_WRONG, /* the policy has none, or one that cannot be used */
} pcl_caller_key;

typedef struct pcl_caller {
    char name[PCL_POLICY_NAME_SIZE];
    char public_key[PCL_POLICY_KEY_SIZE];
    const pcl_policy_principal *principal; /* of the present policy; NULL: dismissed, or free */
    pcl_meter meter;
    pcl_meter cancels; /* its rate alone */
    pcl_caller_key key_state;
    pcl_seal_key key;  /* when made; the owner's to wipe */
    uint32_t below[2]; /* of each lane: how many of its requests are below; the owner's */
    bool lonely;       /* it has something waiting and nothing below; likewise */
    uint32_t works;    /* requests of its that are not answered */
    bool used;
    uint32_t next; /* of the free ones */
} pcl_caller;

typedef struct pcl_callers pcl_callers;

/* capacity: 1 to PCL_CALLERS_MAX.  seed: of the hash.  NULL only when memory is out. */
pcl_callers *pcl_callers_new(uint32_t capacity, uint64_t seed);
void pcl_callers_destroy(pcl_callers **self_p);

/* The caller of that name; NONE when there is none yet. */
uint32_t pcl_callers_find(pcl_callers *self, pcl_bytes name);
/* A new one, whose name (1 to PCL_NAME_SIZE_MAX octets) has none.  NONE: all places have work in
 * flight; otherwise, when all are taken, somebody who has nothing in flight is forgotten:
 * *out_forgotten says whether, and it is the place that is returned. */
uint32_t pcl_callers_add(pcl_callers *self, pcl_bytes name, const pcl_policy_principal *principal,
                         bool *out_forgotten);
/* index: of _find or _add, until it is forgotten or gone. */
pcl_caller *pcl_callers_at(pcl_callers *self, uint32_t index);

/* NULL: nobody is there. */
pcl_caller *pcl_callers_find_place(pcl_callers *self, uint32_t index);

/* A request of the caller begins, and ends. */
void pcl_callers_begin(pcl_callers *self, uint32_t index);
void pcl_callers_end(pcl_callers *self, uint32_t index);

/* Nobody finds it any more; it is gone when its last request ends: at once, without any. */
void pcl_callers_dismiss(pcl_callers *self, uint32_t index);

/* Walks those that are found: start with *cursor 0; NONE is the end.  The one just returned may be
 * dismissed. */
uint32_t pcl_callers_each(const pcl_callers *self, uint32_t *cursor);

uint32_t pcl_callers_count(const pcl_callers *self); /* those that are found */

#endif
