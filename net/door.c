#include "net/door.h"

#include "net/log.h"
#include "net/socket.h"
#include "net/zap.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { PATH_SIZE = 64, ERROR_SIZE = 256 };

static const char *s_setting(const pcl_door *self, const pcl_config *config, const char *key)
{
    char path[PATH_SIZE];
    int size = snprintf(path, sizeof path, "%s/%s", self->peers, key);
    assert(size > 0 && size < PATH_SIZE);
    return pcl_config_text(config, path);
}

bool pcl_door_read_keys(pcl_door *self, const pcl_config *config)
{
    assert(self != NULL);
    const char *file = s_setting(self, config, "keys");
    if (file[0] == '\0') {
        return true;
    }
    char error[ERROR_SIZE];
    pcl_key_list *keys = pcl_key_list_load(file, error, sizeof error);
    if (keys == NULL) {
        pcl_log(PCL_LOG_ERROR, self->who, "keys_refused", "reason=\"%s\"", error);
        return false;
    }
    pcl_zap_set(self->peers, keys);
    pcl_key_list_destroy(&self->keys);
    self->keys = keys;
    pcl_log(PCL_LOG_INFO, self->who, "keys_loaded", "%s=%zu", self->peers,
            pcl_key_list_count(keys));
    return true;
}

bool pcl_door_open(pcl_door *self, const pcl_config *config, const pcl_keys *own,
                   uint32_t queue_max, uint32_t message_size_max, char *error, size_t error_size)
{
    assert(self != NULL);
    assert(self->socket == NULL);
    const char *endpoint = s_setting(self, config, "endpoint");
    bool insecure = pcl_config_bool(config, "curve/insecure");
    bool tcp = strncmp(endpoint, "tcp:", 4) == 0;
    self->unnamed_allowed = insecure || !tcp;
    if (insecure && tcp) {
        pcl_log(PCL_LOG_WARNING, self->who, "insecure", "endpoint=%s", endpoint);
    }
    pcl_socket_options options = {
        .endpoint = endpoint,
        .keys = own,
        .zap_domain = self->peers,
        .queue_max = queue_max,
        .message_size_max = message_size_max,
        .insecure = insecure,
    };
    self->socket = pcl_socket_router(&options, error, error_size);
    return self->socket != NULL;
}

void pcl_door_close(pcl_door *self)
{
    assert(self != NULL);
    zsock_destroy(&self->socket);
    pcl_key_list_destroy(&self->keys);
}

const char *pcl_door_name(const pcl_door *self, const char *user_id)
{
    assert(self != NULL);
    if (user_id[0] == '\0') {
        return self->unnamed_allowed ? "" : NULL;
    }
    const pcl_key_entry *key = self->keys != NULL ? pcl_key_list_find(self->keys, user_id) : NULL;
    return key != NULL ? key->name : NULL;
}
