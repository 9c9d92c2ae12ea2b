/* gatekeeper.h - the gatekeeper as a role: the only address that the outside reaches.
 *
 *   clients --ROUTER, domain "clients"--> envelope, decode, principal, admission --link--> broker
 *
 * It reaches nothing but the broker, holds no credential of a database, and
 * forwards a payload unchanged.  The rules are numbered in README.md.
 */
#ifndef PCL_GATEKEEPER_GATEKEEPER_H
#define PCL_GATEKEEPER_GATEKEEPER_H

#include "net/daemon.h"

extern const pcl_role pcl_gatekeeper_role;

/* argument: pcl_role_args *, with the configuration of the role. */
void pcl_gatekeeper_actor(zsock_t *pipe, void *argument);
extern const pcl_role_parts pcl_gatekeeper_parts;

#endif
