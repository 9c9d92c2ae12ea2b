/* binding.h - parameters of a request as the client library wants them. */
#ifndef PCL_WORKER_AGENT_BINDING_H
#define PCL_WORKER_AGENT_BINDING_H

#include "worker-agent/mysql_api.h"
#include "worker-agent/params.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct pcl_binding {
    pcl_param *params;    /* owned; the values that binds point to */
    MYSQL_BIND *binds;    /* owned */
    uint8_t *types;       /* owned; a pcl_param_kind each */
    uint32_t capacity;    /* of the three */
    uint32_t count;       /* of the request at hand */
    uint32_t fault_index; /* of a failed read */
    const char *fault_rule;
} pcl_binding;

/* A zeroed struct is an empty one. */
void pcl_binding_release(pcl_binding *self);

/* Reads the request's params; array is borrowed until the statement has run.
 * MALFORMED: fault_index and fault_rule say why.  NO_MEMORY. */
pcl_err pcl_binding_read(pcl_binding *self, pcl_bytes array, uint32_t count) PCL_MUST_CHECK;

/* The kinds of what was read, an octet each, until the next read. */
pcl_bytes pcl_binding_types(const pcl_binding *self);

/* Binds what was read; the statement has that many placeholders. */
bool pcl_binding_apply(const pcl_binding *self, MYSQL_STMT *stmt) PCL_MUST_CHECK;

#endif
