/* keyring.h - the passwords of the agent's accounts and the keys of its tokens, which may change
 * while it runs.  From any thread; each call copies.
 *
 * A password changes without a moment at which no login would do: for as long as the server may
 * still have the old one, a login that is refused under the new one tries that before
 * (connection.c), and the observer gives the accounts the new one (setup.h).
 */
#ifndef PCL_WORKER_AGENT_KEYRING_H
#define PCL_WORKER_AGENT_KEYRING_H

#include "common/error.h"
#include "net/token_keys.h"
#include "worker-agent/accounts.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One of an account. */
typedef struct pcl_password {
    char now[PCL_PASSWORD_SIZE];
    char before[PCL_PASSWORD_SIZE]; /* what the server had for certain; "": it has that of now */
    /* What it was to become when it changed again: the server may have that, too; "": none. */
    char between[PCL_PASSWORD_SIZE];
} pcl_password;

/* Places of passwords: two that every agent has, then two for each pair of accounts, in the order
 * of their list. */
enum { PCL_PLACE_ADMIN = 0, PCL_PLACE_REPLICATION, PCL_PLACE_ACCOUNTS };

static inline uint32_t pcl_place_of(uint32_t pair, bool write)
{
    return PCL_PLACE_ACCOUNTS + 2 * pair + (write ? 1 : 0);
}

/* Everything, as files have it. */
typedef struct pcl_keyring_content {
    uint32_t count;          /* of passwords */
    pcl_password *passwords; /* owned */
    pcl_token_keys tokens;   /* none: there are no tokens */
} pcl_keyring_content;

typedef struct pcl_keyring pcl_keyring;

/* Takes the content over. */
pcl_keyring *pcl_keyring_new(pcl_keyring_content *content);
void pcl_keyring_destroy(pcl_keyring **self_p);

/* The same places anew; takes the content over.  A password that has changed keeps, unless the
 * content says what was before it, the one of now as that.  Returns whether one has. */
bool pcl_keyring_renew(pcl_keyring *self, pcl_keyring_content *content);

/* Counts the renewals that changed a password. */
uint64_t pcl_keyring_turn(pcl_keyring *self);
/* The server has all the passwords as they were at that turn, but_admin: with the exception of
 * PCL_PLACE_ADMIN's: what was before is forgotten, unless there was another turn since. */
void pcl_keyring_settle(pcl_keyring *self, uint64_t turn, bool but_admin);

/* Wipe what you got with pcl_password_wipe. */
void pcl_keyring_password(pcl_keyring *self, uint32_t place, pcl_password *out_password);
void pcl_keyring_tokens(pcl_keyring *self, pcl_token_keys *out_keys);
void pcl_password_wipe(pcl_password *self);
/* Also one that is half made; NULL members are fine. */
void pcl_keyring_content_wipe(pcl_keyring_content *self);

#endif
