/* spares.h - open connections that nobody uses just now, for whoever needs one next: one bounded
 * list, last given first taken.
 *
 *  1. What is taken was opened for the accounts and the account that are asked for, and for no
 *     other: a connection is never given another identity.
 *  2. Who needs a connection without a trace gets one that was reset, or a new one: one that is in
 *     use by single statements keeps what it has prepared.  Who does not need that gets one that
 *     single statements have used, if there is one.
 *  3. Where the list is full, what was idle for the longest time goes, whosever it is.
 *
 * From any thread.  What is given is clean (pcl_connection_reset), or has run statements that stand
 * alone only.
 */
#ifndef PCL_WORKER_AGENT_SPARES_H
#define PCL_WORKER_AGENT_SPARES_H

#include "worker-agent/connection.h"

#include <stdint.h>

typedef struct pcl_spares pcl_spares;

/* Keeps at most count_max; at least 1.  options is borrowed.  Aborts when memory is out. */
pcl_spares *pcl_spares_new(const pcl_agent_options *options, uint32_t count_max);
/* Closes what it has. */
void pcl_spares_destroy(pcl_spares **self_p);

/* A spare one, or a new one that is not open yet; the caller's.  The server may have ended it
 * meanwhile: pcl_connection_open sees to that.  account: not ADMIN. */
pcl_connection *pcl_spares_take(pcl_spares *self, const pcl_accounts *accounts, pcl_account account,
                                bool clean);

/* Only a spare one that single statements may use; NULL: there is none. */
pcl_connection *pcl_spares_take_open(pcl_spares *self, const pcl_accounts *accounts,
                                     pcl_account account);

/* Takes the connection over.  It is kept if it is open and holds little memory, else closed. */
void pcl_spares_give(pcl_spares *self, pcl_connection **connection_p, uint64_t now_us);

/* Closes the one that is idle for the longest time, if it was given before before_us. */
void pcl_spares_close_idle(pcl_spares *self, uint64_t before_us);

uint32_t pcl_spares_count(pcl_spares *self);

#endif
