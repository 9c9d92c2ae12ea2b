/* spares.h - open connections that nobody uses just now, of each account, for whoever needs one
 * next: a bounded list, last given first taken.
 *
 * From any thread.  What is given is clean (pcl_connection_reset), or has run reads only.
 */
#ifndef PCL_WORKER_AGENT_SPARES_H
#define PCL_WORKER_AGENT_SPARES_H

#include "worker-agent/connection.h"

#include <stdint.h>

typedef struct pcl_spares pcl_spares;

/* Keeps at most count_max of each account; at least 1.  options is borrowed.  Aborts when memory
 * is out. */
pcl_spares *pcl_spares_new(const pcl_agent_options *options, uint32_t count_max);
/* Closes what it has. */
void pcl_spares_destroy(pcl_spares **self_p);

/* A spare one, or a new one that is not open yet; the caller's.  The server may have ended it
 * meanwhile: pcl_connection_open sees to that. */
pcl_connection *pcl_spares_take(pcl_spares *self, pcl_account account);

/* Takes the connection over.  It is kept if it is open, holds little memory and there is room,
 * else closed. */
void pcl_spares_give(pcl_spares *self, pcl_connection **connection_p);

/* Of all accounts. */
uint32_t pcl_spares_count(pcl_spares *self);

#endif
