/* principals.h - adding and removing one principal's line in the text of a policy, and in that of a
 * gatekeeper's key list.  All other lines stay as they are, octet for octet.  Pure.
 *
 * The texts are those of files that were found to be without mistakes; what comes out is to be
 * checked likewise before anybody uses it.
 */
#ifndef PCL_CLIENT_COMMAND_PRINCIPALS_H
#define PCL_CLIENT_COMMAND_PRINCIPALS_H

#include "common/buffer.h"
#include "common/bytes.h"

#include <stdbool.h>

/* Appends to out the policy with NAME = "ROLE KEY" behind the other principals; key may be "". */
void pcl_principals_add(pcl_buffer *out, pcl_bytes policy, const char *name, const char *role,
                        const char *key);
/* Appends the policy without the principal's line.  false: it has none, and nothing is appended. */
bool pcl_principals_remove(pcl_buffer *out, pcl_bytes policy, const char *name);

/* The same of a key list's text. */
void pcl_clients_add(pcl_buffer *out, pcl_bytes list, const char *name, const char *key);
bool pcl_clients_remove(pcl_buffer *out, pcl_bytes list, const char *name);

#endif
