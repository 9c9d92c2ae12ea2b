/* options.h - the agent's settings, copied out of the configuration (role.c has
 * the table). */
#ifndef PCL_WORKER_AGENT_OPTIONS_H
#define PCL_WORKER_AGENT_OPTIONS_H

#include "common/limits.h"
#include "net/config.h"
#include "net/token_keys.h"
#include "wire/report.h"
#include "worker-agent/accounts.h"
#include "worker-agent/keyring.h"

#include <stdbool.h>
#include <stdint.h>

#define PCL_SOCKET_SIZE     108u
#define PCL_HOST_SIZE       256u
#define PCL_ERROR_TEXT_SIZE 512u

/* Of sessions, or of cursors outside of them. */
typedef struct pcl_held_limits {
    uint32_t count_max;           /* open at a time */
    uint32_t principal_count_max; /* ... of one principal */
    uint32_t idle_ms, age_ms;
} pcl_held_limits;

typedef struct pcl_agent_options {
    uint64_t boot_id; /* of this run, as the beats say it; the caller's to set */
    char node[PCL_NAME_SIZE_MAX + 1];
    pcl_node_role role; /* what the node shall be; UNKNOWN: closed, and nobody's replica */
    bool succeeds;      /* the source is not the one of the settings any more */
    char socket[PCL_SOCKET_SIZE];
    char host[PCL_HOST_SIZE];
    uint16_t port;
    char admin_user[PCL_USER_SIZE];
    char source_host[PCL_HOST_SIZE];
    uint16_t source_port;
    bool semi_sync;
    uint32_t threads;
    uint32_t queue_max;
    uint32_t statements_max;
    uint32_t idle_ms; /* after which a connection that nobody uses is closed */
    pcl_held_limits sessions, cursors;
    uint32_t line_max; /* requests of one session or cursor that wait for another of its own */
    pcl_accounts_list *accounts; /* owned; the settings' own first, at least these */
    pcl_keyring *keyring;        /* owned; their secrets, never logged */
    /* Files of secrets, beside those of the accounts: the actor's alone, once it runs. */
    char admin_password_file[PCL_PASSWORD_PATH_SIZE];
    char replication_password_file[PCL_PASSWORD_PATH_SIZE];
    char tokens_key_file[PCL_PASSWORD_PATH_SIZE];
} pcl_agent_options;

/* The accounts that the settings name, their own pair first, without passwords.  Appends a line to
 * problems for each mistake, also of the files with passwords; NULL: there was one.  The caller's.
 */
pcl_accounts_list *pcl_agent_accounts_read(const pcl_config *config, pcl_buffer *problems);

/* Threads above `threads`, for requests whose principal has nothing else under way. */
uint32_t pcl_threads_first(const pcl_agent_options *options);

/* Connections of statements that stand alone which are kept for the next: one of each account for
 * each thread of one pair of accounts, and some that sessions leave.  With more pairs the same
 * number is shared. */
uint32_t pcl_spares_max(const pcl_agent_options *options);

/* false: error says what is wrong, for what the table cannot check. */
bool pcl_agent_options_read(pcl_agent_options *out_options, const pcl_config *config, char *error,
                            size_t error_size);
/* Reads all files of secrets again, in their places of now (config: by these settings; NULL: where
 * they were), and takes them over together.  *out_changed: a password is another.  false: error
 * says why, and everything is as it was. */
bool pcl_agent_options_renew(pcl_agent_options *self, const pcl_config *config, bool *out_changed,
                             char *error, size_t error_size);
/* Wipes the secrets, and frees what it owns. */
void pcl_agent_options_wipe(pcl_agent_options *self);

#endif
