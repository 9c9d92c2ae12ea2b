/* policy.h - who may do what: the file of roles and principals, and what it says of a request.
 *
 * Pure: text in, values out.  A policy does not change once it is made: a reload makes another and
 * takes its place.  Reading it needs no lock; docs/policy.md tells the file's format, README.md
 * the order of the rules.
 */
#ifndef PCL_POLICY_POLICY_H
#define PCL_POLICY_POLICY_H

#include "common/buffer.h"
#include "common/bytes.h"
#include "common/error.h"
#include "common/limits.h"
#include "policy/digest_list.h"
#include "sql/cache.h"
#include "wire/head.h"
#include "wire/request.h"

#include <stdbool.h>
#include <stdint.h>

#define PCL_POLICY_FILE_SIZE_MAX  (4u * 1024u * 1024u)
#define PCL_POLICY_ROLES_MAX      64u
#define PCL_POLICY_PRINCIPALS_MAX 10000u
#define PCL_POLICY_NAME_SIZE      (PCL_NAME_SIZE_MAX + 1u)
#define PCL_POLICY_KEY_SIZE       41u /* Z85 and a NUL */
#define PCL_POLICY_SCHEMAS_SIZE   1024u
#define PCL_POLICY_PATH_SIZE      256u
#define PCL_POLICY_MESSAGE_SIZE   160u

/* What can stand in the way of a request.  Audit and metrics have the names: append only. */
typedef enum pcl_policy_rule {
    PCL_POLICY_RULE_NONE = 0,
    PCL_POLICY_RULE_PRINCIPAL, /* nobody of that name */
    PCL_POLICY_RULE_SEAL,
    PCL_POLICY_RULE_OP,        /* not served here, or not like this */
    PCL_POLICY_RULE_STATEMENT, /* the classifier refuses the text; so it does for everybody */
    PCL_POLICY_RULE_CLASS,
    PCL_POLICY_RULE_SCHEMA,
    PCL_POLICY_RULE_STRATEGY,
    PCL_POLICY_RULE_TIMEOUT, /* cuts, and refuses nothing */
    PCL_POLICY_RULE_ROWS,    /* the agent's to hold; here only its number */
    PCL_POLICY_RULE_DIGEST,
    PCL_POLICY_RULE_RATE,        /* policy/meter.h */
    PCL_POLICY_RULE_CONCURRENCY, /* policy/meter.h */
    PCL_POLICY_RULE_COUNT,       /* must stay last */
} pcl_policy_rule;

/* "class": static text, for any value. */
const char *pcl_policy_rule_text(pcl_policy_rule rule);

/* "locking_read": as a role's `classes` names it; NULL of NONE and REFUSED. */
const char *pcl_policy_class_text(pcl_sql_class sql_class);

typedef enum pcl_policy_seal {
    PCL_POLICY_SEAL_AUTO = 0, /* required where gatekeepers come from other hosts */
    PCL_POLICY_SEAL_REQUIRED,
    PCL_POLICY_SEAL_OPTIONAL,
} pcl_policy_seal;

typedef enum pcl_policy_digests {
    PCL_POLICY_DIGESTS_OFF = 0,
    PCL_POLICY_DIGESTS_DETECT,  /* what is not on the list runs, and is noted */
    PCL_POLICY_DIGESTS_PROTECT, /* what is not allowed by the list is refused */
} pcl_policy_digests;

/* As the file has them: "auto", "protect". */
const char *pcl_policy_seal_text(pcl_policy_seal seal);
const char *pcl_policy_digests_text(pcl_policy_digests digests);

typedef struct pcl_policy_role {
    char name[PCL_POLICY_NAME_SIZE];
    uint32_t index;                        /* in its policy, from 0 */
    char accounts[PCL_POLICY_NAME_SIZE];   /* head.role: the agents' accounts of that name */
    uint32_t classes;                      /* bits 1u << pcl_sql_class */
    char schemas[PCL_POLICY_SCHEMAS_SIZE]; /* patterns, blanks between; "": any, none was given */
    uint32_t strategies;                   /* bits 1u << pcl_strategy_kind; DEFAULT is always in */
    uint32_t timeout_ms_max;               /* 1 to PCL_TIMEOUT_MS_MAX */
    uint32_t rows_max;                     /* of a result; 0: any number */
    uint32_t rate;                         /* requests a second of each principal; 0: any */
    uint32_t burst;                        /* how many of them at once; 0: one second's */
    uint32_t concurrency_max;              /* in flight of each principal; 0: any */
    uint32_t share;                        /* weight in the fair queue, 1 to 1000 */
    uint32_t priority;                     /* 0 high, 1, 2 low */
    pcl_policy_seal seal;
    pcl_policy_digests digests;
    char digest_list[PCL_POLICY_PATH_SIZE]; /* as written; see pcl_policy_path; "": none */
    uint32_t dry_run;                       /* bits 1u << pcl_policy_rule: only tell */
} pcl_policy_role;

typedef struct pcl_policy_principal {
    char name[PCL_POLICY_NAME_SIZE];      /* "" of the built-in policy's, which is anybody */
    char public_key[PCL_POLICY_KEY_SIZE]; /* Z85; "": none, so nothing it seals can be checked */
    const pcl_policy_role *role;          /* of the same policy; never NULL */
} pcl_policy_principal;

typedef struct pcl_policy pcl_policy;

/* Reads a whole policy.  name stands for the text in messages ("policy.cfg").  NULL: *problems
 * (never NULL) got a line "NAME:LINE: path: rule\n" for EVERY mistake, as far as it has room; the
 * line is left out where none can be named.  *problems is untouched on success. */
pcl_policy *pcl_policy_parse(pcl_bytes text, const char *name, pcl_buffer *problems);
/* What stands where there is no file: everybody, whatever its name, has the role `app`, all classes
 * but admin, no limits, seal optional.  NULL: no memory. */
pcl_policy *pcl_policy_builtin(void);
void pcl_policy_destroy(pcl_policy **self_p);

/* NULL: nobody of that name.  Valid as long as the policy.  O(log n). */
const pcl_policy_principal *pcl_policy_find(const pcl_policy *self, pcl_bytes name);

/* In the order of the file for roles, of names for principals; index below the count.  The
 * built-in policy has one role and no principal to count. */
uint32_t pcl_policy_role_count(const pcl_policy *self);
const pcl_policy_role *pcl_policy_role_at(const pcl_policy *self, uint32_t index);
uint32_t pcl_policy_principal_count(const pcl_policy *self);
const pcl_policy_principal *pcl_policy_principal_at(const pcl_policy *self, uint32_t index);

/* Where a role's digest list is: `path` itself when it is absolute, else in the folder of
 * policy_file.  false: it is longer than size. */
bool pcl_policy_path(char *out_path, size_t size, const char *policy_file, const char *path);

static inline bool pcl_policy_is_dry(const pcl_policy_role *role, pcl_policy_rule rule)
{
    return (role->dry_run & (1u << rule)) != 0;
}

typedef struct pcl_policy_verdict {
    pcl_err err;                           /* OK, or: */
    pcl_policy_rule rule;                  /* what refuses it; NONE when it may run */
    char message[PCL_POLICY_MESSAGE_SIZE]; /* of a refusal; "" otherwise */

    uint32_t dry_run; /* bits 1u << pcl_policy_rule: would refuse it (or cut its time), if they
                         were not on trial */
    char dry_message[PCL_POLICY_MESSAGE_SIZE]; /* of the first of them; "" when there is none */

    pcl_sql_class sql_class; /* what the head says: of begin WRITE, or READ for a read-only one; of
                                commit and rollback TRANSACTION; of fetch and close READ; of txn
                                WRITE; NONE where nothing runs */
    bool repeatable;         /* running it twice does what once does */
    bool metered;            /* rate and concurrency count it; not what ends or frees something */
    bool has_statement;      /* of a refused txn: */
    uint32_t statement;      /* which of its statements is to blame */
    uint64_t digest_id;      /* of what *digest got; 0 where no statement was judged */
    bool digest_unknown;     /* mode detect or protect: a statement is not allowed by the list */

    uint32_t timeout_ms;   /* never 0: the budget is at most this */
    uint32_t rows_max;     /* head.rows; 0: any number */
    uint32_t rows_dry_max; /* with the rule rows on trial: say so when more came; else 0 */
} pcl_policy_verdict;

/* May the principal run the request?  Tested in this order; the first that refuses counts:
 *
 *   UNSUPPORTED op         an op or a key that is not served here
 *   GONE        op         the id of no session
 *   REFUSED     statement  the classifier refuses the text
 *   MALFORMED   statement  it has another number of placeholders than params were given
 *   FORBIDDEN   class      the role lacks the statement's class, or `transaction` of a begin
 *   UNSUPPORTED op         a statement that needs a session, or that cannot stand in a txn
 *   FORBIDDEN   digest     not on the list; the message names the digest by its id
 *   REFUSED     schema     `db` is for no client;  FORBIDDEN  schema  ... not for this role
 *   FORBIDDEN   strategy   not of this role
 *
 * cache: judges the statements, by the rules it was given.  list: of the role, NULL: empty; not
 * read with digests off.  digest: cleared, then gets the digest of the statement, or of a txn's
 * statements with "; " between, at most PCL_SQL_DIGEST_SIZE_MAX octets; for the audit.
 * Seal, rate and concurrency are not judged here. */
pcl_policy_verdict pcl_policy_judge(const pcl_policy_principal *principal,
                                    const pcl_digest_list *list, const pcl_request *request,
                                    pcl_sql_cache *cache, pcl_buffer *digest);

/* Calls `unknown` for each statement of an admitted request whose digest the list does not hold in
 * any state: what mode detect adds to it.  text is borrowed for the call. */
typedef void pcl_policy_unknown(void *context, pcl_bytes text);
void pcl_policy_each_unknown(const pcl_digest_list *list, const pcl_request *request,
                             pcl_sql_cache *cache, pcl_policy_unknown *unknown, void *context);

/* Whether the role is served without a seal: err OK or FORBIDDEN, rule SEAL.  remote: gatekeepers
 * come from other hosts.  (A seal that is there must fit in any case.) */
pcl_policy_verdict pcl_policy_judge_seal(const pcl_policy_principal *principal, bool sealed,
                                         bool remote);

/* What a gatekeeper's head says of the request must be what the payload says: the same op, the
 * same id when the payload has one, and no more time than the payload asks for (or than
 * PCL_TIMEOUT_MS_MAX); and it must name a principal.  OK or MALFORMED with a message. */
pcl_policy_verdict pcl_policy_agree(const pcl_head *head, const pcl_request *request);

#endif
