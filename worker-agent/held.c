#include "worker-agent/held.h"

#include "net/time.h"
#include "wire/head.h"
#include "worker-agent/connection.h"
#include "worker-agent/stream.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

pcl_held *pcl_held_new(uint64_t boot_id, bool session, bool read_only, pcl_bytes principal)
{
    assert(principal.size <= PCL_NAME_SIZE_MAX);
    pcl_held *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    uint8_t handle[PCL_HELD_HANDLE_SIZE];
    pcl_random(handle, sizeof handle);
    pcl_held_id_make(self->id, boot_id, handle, 0);
    self->session = session;
    self->read_only = read_only;
    self->page = 1;
    self->principal_size = (uint8_t)principal.size;
    if (principal.size > 0) {
        memcpy(self->principal, principal.data, principal.size);
    }
    return self;
}

void pcl_held_destroy(pcl_held **self_p)
{
    pcl_held *self = *self_p;
    if (self != NULL) {
        assert(self->running == NULL && self->line.first == NULL);
        if (self->connection != NULL) {
            pcl_connection_close(self->connection);
        }
        pcl_stream_destroy(&self->stream);
        pcl_connection_destroy(&self->connection);
        free(self);
        *self_p = NULL;
    }
}
