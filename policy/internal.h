/* internal.h - what a policy is made of; for this folder only. */
#ifndef PCL_POLICY_INTERNAL_H
#define PCL_POLICY_INTERNAL_H

#include "policy/policy.h"

struct pcl_policy {
    pcl_policy_role *roles; /* owned; principals point into it */
    uint32_t role_count;
    pcl_policy_principal *principals; /* owned; sorted by name */
    uint32_t principal_count;
    bool anybody;                /* the built-in one: every name is `nobody` */
    pcl_policy_principal nobody; /* ... with the only role */
};

/* Rules that dry_run may name. */
#define PCL_POLICY_DRY_RULES                                                                       \
    ((1u << PCL_POLICY_RULE_SEAL) | (1u << PCL_POLICY_RULE_CLASS) |                                \
     (1u << PCL_POLICY_RULE_SCHEMA) | (1u << PCL_POLICY_RULE_STRATEGY) |                           \
     (1u << PCL_POLICY_RULE_TIMEOUT) | (1u << PCL_POLICY_RULE_ROWS) |                              \
     (1u << PCL_POLICY_RULE_DIGEST) | (1u << PCL_POLICY_RULE_RATE) |                               \
     (1u << PCL_POLICY_RULE_CONCURRENCY))

/* What a role has that says nothing else; name, index and accounts are left empty. */
void pcl_policy_role_init(pcl_policy_role *role);

#endif
