/* accounts.h - the pairs of database accounts that statements run under, by name: what a role's
 * reads run under and what everything else of it does, and the schemas that both may use.
 *
 * The first pair is the settings' own; others stand in the file of accounts/file:
 *
 *   accounts
 *       reporting
 *           read_user = "reporting_read"
 *           read_password_file = "reporting-read.password"
 *           write_user = "reporting_write"
 *           write_password_file = "reporting-write.password"
 *           schemas = "reports shop_%"
 *
 * No two pairs share an account: what one role can do would be what another can do.  Pure, but
 * for the passwords, which options.c reads.
 */
#ifndef PCL_WORKER_AGENT_ACCOUNTS_H
#define PCL_WORKER_AGENT_ACCOUNTS_H

#include "common/buffer.h"
#include "common/bytes.h"
#include "common/error.h"
#include "common/limits.h"

#include <stdbool.h>
#include <stdint.h>

#define PCL_ACCOUNTS_MAX           32u
#define PCL_ACCOUNTS_FILE_SIZE_MAX (64u * 1024u)
#define PCL_PASSWORD_SIZE          256u
#define PCL_PASSWORD_PATH_SIZE     512u
#define PCL_USER_SIZE              81u
#define PCL_USER_SIZE_MAX          32u /* octets that both flavors take */
#define PCL_SCHEMAS_SIZE           1024u
#define PCL_SCHEMA_SIZE            257u /* 64 characters of up to 4 octets */

/* The accounts that the agents make by themselves. */
#define PCL_USER_READ        "portcullis_read"
#define PCL_USER_WRITE       "portcullis_write"
#define PCL_USER_REPLICATION "portcullis_repl"

typedef struct pcl_accounts {
    uint32_t index; /* in the list */
    char name[PCL_NAME_SIZE_MAX + 1];
    char read_user[PCL_USER_SIZE];
    char write_user[PCL_USER_SIZE];
    char schemas[PCL_SCHEMAS_SIZE];       /* blank-separated patterns (schemas.h) */
    char default_schema[PCL_SCHEMA_SIZE]; /* the first of them that is a name, or "" */
    char read_password_file[PCL_PASSWORD_PATH_SIZE];
    char write_password_file[PCL_PASSWORD_PATH_SIZE];
} pcl_accounts;

typedef struct pcl_accounts_list {
    uint32_t count;
    pcl_accounts items[PCL_ACCOUNTS_MAX];
} pcl_accounts_list;

/* Empty.  Aborts when memory is out: it is start-up. */
pcl_accounts_list *pcl_accounts_list_new(void);
void pcl_accounts_list_destroy(pcl_accounts_list **self_p);

/* One more, whose name and schemas are set and nothing else; NULL: the list is full. */
pcl_accounts *pcl_accounts_list_add(pcl_accounts_list *self, pcl_bytes name, const char *schemas);

/* Those of exactly that name; NULL when there are none. */
const pcl_accounts *pcl_accounts_find(const pcl_accounts_list *self, pcl_bytes name);

/* What a file's text must be beside the settings. */
typedef struct pcl_accounts_rules {
    const char *file;       /* for the lines of problems; borrowed, like the rest */
    const char *schemas;    /* of those that name none */
    const char *admin_user; /* the agent's own, which no role may have */
} pcl_accounts_rules;

/* Adds what stands in text, which follows the settings' own.  Appends a line "FILE:LINE: PATH:
 * rule" for each mistake; false: there was one, and the list is good for nothing. */
bool pcl_accounts_parse(pcl_accounts_list *self, pcl_bytes text, const pcl_accounts_rules *rules,
                        pcl_buffer *problems) PCL_MUST_CHECK;

#endif
