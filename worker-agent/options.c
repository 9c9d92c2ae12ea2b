#include "worker-agent/options.h"

#include "worker-agent/schemas.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void s_copy(char *target, size_t size, const char *source)
{
    (void)snprintf(target, size, "%s", source); /* the table bounds the texts */
}

/* The first line of a file, without its end.  An empty path is no password. */
static bool s_password(char target[PCL_PASSWORD_SIZE], const char *path, char *error,
                       size_t error_size)
{
    target[0] = '\0';
    if (path[0] == '\0') {
        return true;
    }
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        (void)snprintf(error, error_size, "%s: %s", path, strerror(errno));
        return false;
    }
    setvbuf(file, NULL, _IONBF, 0); /* no second copy of the secret in a buffer of stdio */
    bool read = fgets(target, (int)PCL_PASSWORD_SIZE, file) != NULL;
    (void)fclose(file);
    size_t length = read ? strcspn(target, "\r\n") : 0;
    bool whole = length + 1 < PCL_PASSWORD_SIZE;
    target[length] = '\0';
    if (length == 0 || !whole) {
        (void)snprintf(error, error_size, "%s: must hold one line of 1 to %u characters", path,
                       PCL_PASSWORD_SIZE - 2);
        return false;
    }
    return true;
}

/* The first pattern without a wildcard. */
static void s_default_schema(pcl_agent_options *options)
{
    const char *cursor = options->schemas;
    pcl_bytes pattern;
    while ((pattern = pcl_schemas_next(&cursor)).size > 0) {
        if (memchr(pattern.data, '%', pattern.size) == NULL && pattern.size < PCL_SCHEMA_SIZE) {
            memcpy(options->default_schema, pattern.data, pattern.size);
            options->default_schema[pattern.size] = '\0';
            return;
        }
    }
}

static bool s_secrets(pcl_agent_options *options, const pcl_config *config, char *error,
                      size_t error_size)
{
    return s_password(options->admin_password,
                      pcl_config_text(config, "database/admin_password_file"), error, error_size) &&
           s_password(options->read_password,
                      pcl_config_text(config, "accounts/read_password_file"), error, error_size) &&
           s_password(options->write_password,
                      pcl_config_text(config, "accounts/write_password_file"), error, error_size) &&
           s_password(options->replication_password,
                      pcl_config_text(config, "accounts/replication_password_file"), error,
                      error_size);
}

static pcl_held_limits s_limits(const pcl_config *config, bool sessions)
{
    const char *count_max = sessions ? "sessions/max" : "cursors/max";
    const char *principal_max = sessions ? "sessions/principal_max" : "cursors/principal_max";
    const char *idle_ms = sessions ? "sessions/idle_ms" : "cursors/idle_ms";
    const char *age_ms = sessions ? "sessions/age_ms" : "cursors/age_ms";
    return (pcl_held_limits){
        .count_max = (uint32_t)pcl_config_uint(config, count_max),
        .principal_count_max = (uint32_t)pcl_config_uint(config, principal_max),
        .idle_ms = (uint32_t)pcl_config_uint(config, idle_ms),
        .age_ms = (uint32_t)pcl_config_uint(config, age_ms),
    };
}

bool pcl_agent_options_read(pcl_agent_options *out_options, const pcl_config *config, char *error,
                            size_t error_size)
{
    pcl_agent_options options = {
        .role = strcmp(pcl_config_text(config, "node/role"), "source") == 0 ? PCL_NODE_SOURCE
                                                                            : PCL_NODE_REPLICA,
        .port = (uint16_t)pcl_config_uint(config, "database/port"),
        .source_port = (uint16_t)pcl_config_uint(config, "replication/source_port"),
        .semi_sync = pcl_config_bool(config, "replication/semi_sync"),
        .threads = (uint32_t)pcl_config_uint(config, "pool/threads"),
        .queue_max = (uint32_t)pcl_config_uint(config, "pool/queue_max"),
        .statements_max = (uint32_t)pcl_config_uint(config, "pool/statements_max"),
        .sessions = s_limits(config, true),
        .cursors = s_limits(config, false),
        .line_max = (uint32_t)pcl_config_uint(config, "sessions/queue_max"),
    };
    const char *socket = pcl_config_text(config, "database/socket");
    if (strlen(socket) >= PCL_SOCKET_SIZE) {
        (void)snprintf(error, error_size, "database/socket: must be under %u characters",
                       PCL_SOCKET_SIZE);
        return false;
    }
    s_copy(options.socket, sizeof options.socket, socket);
    s_copy(options.node, sizeof options.node, pcl_config_text(config, "node/name"));
    s_copy(options.host, sizeof options.host, pcl_config_text(config, "database/host"));
    s_copy(options.admin_user, sizeof options.admin_user,
           pcl_config_text(config, "database/admin_user"));
    s_copy(options.schemas, sizeof options.schemas, pcl_config_text(config, "database/schemas"));
    s_copy(options.source_host, sizeof options.source_host,
           pcl_config_text(config, "replication/source_host"));
    s_default_schema(&options);
    if (options.role == PCL_NODE_REPLICA && options.source_host[0] == '\0') {
        (void)snprintf(error, error_size, "replication/source_host: a replica must have one");
        return false;
    }
    bool ok = s_secrets(&options, config, error, error_size);
    if (ok) {
        *out_options = options;
    }
    pcl_agent_options_wipe(&options);
    return ok;
}

void pcl_agent_options_wipe(pcl_agent_options *self)
{
    volatile char *octets = (volatile char *)self;
    for (size_t index = 0; index < sizeof *self; index++) {
        octets[index] = 0;
    }
}
