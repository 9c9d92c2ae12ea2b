/* broker.h - the broker as a role: the first daemon of the trusted zone.
 *
 *   gatekeepers --ROUTER, domain "gatekeepers"--> decode, agree, policy --link--> proxy
 *
 * It believes nothing of the gatekeeper but the principal's name: payload and
 * head must agree, and class, strategy and consistency are its own reading.  It
 * holds no credential of a database and chooses no node.  The rules are
 * numbered in README.md.
 */
#ifndef PCL_BROKER_BROKER_H
#define PCL_BROKER_BROKER_H

#include "net/daemon.h"

extern const pcl_role pcl_broker_role;

/* argument: pcl_role_args *, with the configuration of the role. */
void pcl_broker_actor(zsock_t *pipe, void *argument);
extern const pcl_role_parts pcl_broker_parts;

#endif
