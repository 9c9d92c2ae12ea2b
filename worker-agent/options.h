/* options.h - the agent's settings, copied out of the configuration (role.c has
 * the table). */
#ifndef PCL_WORKER_AGENT_OPTIONS_H
#define PCL_WORKER_AGENT_OPTIONS_H

#include "common/limits.h"
#include "net/config.h"
#include "wire/report.h"

#include <stdbool.h>
#include <stdint.h>

#define PCL_PASSWORD_SIZE   256u
#define PCL_SOCKET_SIZE     108u
#define PCL_HOST_SIZE       256u
#define PCL_USER_SIZE       81u
#define PCL_SCHEMAS_SIZE    1024u
#define PCL_SCHEMA_SIZE     257u /* 64 characters of up to 4 octets */
#define PCL_ERROR_TEXT_SIZE 512u

/* The accounts that the agents make. */
#define PCL_USER_READ        "portcullis_read"
#define PCL_USER_WRITE       "portcullis_write"
#define PCL_USER_REPLICATION "portcullis_repl"

/* Of sessions, or of cursors outside of them. */
typedef struct pcl_held_limits {
    uint32_t count_max;           /* open at a time */
    uint32_t principal_count_max; /* ... of one principal */
    uint32_t idle_ms, age_ms;
} pcl_held_limits;

typedef struct pcl_agent_options {
    uint64_t boot_id; /* of this run, as the beats say it; the caller's to set */
    char node[PCL_NAME_SIZE_MAX + 1];
    pcl_node_role role; /* what the node shall be */
    char socket[PCL_SOCKET_SIZE];
    char host[PCL_HOST_SIZE];
    uint16_t port;
    char admin_user[PCL_USER_SIZE];
    char schemas[PCL_SCHEMAS_SIZE];       /* blank-separated patterns */
    char default_schema[PCL_SCHEMA_SIZE]; /* the first of them that is a name, or "" */
    char source_host[PCL_HOST_SIZE];
    uint16_t source_port;
    bool semi_sync;
    uint32_t threads;
    uint32_t queue_max;
    uint32_t statements_max;
    pcl_held_limits sessions, cursors;
    uint32_t line_max; /* requests of one session or cursor that wait for another of its own */
    /* Secrets: never logged, wiped with the struct. */
    char admin_password[PCL_PASSWORD_SIZE];
    char read_password[PCL_PASSWORD_SIZE];
    char write_password[PCL_PASSWORD_SIZE];
    char replication_password[PCL_PASSWORD_SIZE];
} pcl_agent_options;

/* false: error says what is wrong, for what the table cannot check. */
bool pcl_agent_options_read(pcl_agent_options *out_options, const pcl_config *config, char *error,
                            size_t error_size);
void pcl_agent_options_wipe(pcl_agent_options *self);

#endif
