#include "policy/policy.h"

#include "policy/internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *pcl_policy_rule_text(pcl_policy_rule rule)
{
    static const char *const TEXTS[PCL_POLICY_RULE_COUNT] = {
        [PCL_POLICY_RULE_NONE] = "none",
        [PCL_POLICY_RULE_PRINCIPAL] = "principal",
        [PCL_POLICY_RULE_SEAL] = "seal",
        [PCL_POLICY_RULE_OP] = "op",
        [PCL_POLICY_RULE_STATEMENT] = "statement",
        [PCL_POLICY_RULE_CLASS] = "class",
        [PCL_POLICY_RULE_SCHEMA] = "schema",
        [PCL_POLICY_RULE_STRATEGY] = "strategy",
        [PCL_POLICY_RULE_TIMEOUT] = "timeout",
        [PCL_POLICY_RULE_ROWS] = "rows",
        [PCL_POLICY_RULE_DIGEST] = "digest",
        [PCL_POLICY_RULE_RATE] = "rate",
        [PCL_POLICY_RULE_CONCURRENCY] = "concurrency",
    };
    return (unsigned)rule < PCL_POLICY_RULE_COUNT ? TEXTS[rule] : "unknown";
}

const char *pcl_policy_class_text(pcl_sql_class sql_class)
{
    static const char *const NAMES[PCL_SQL_CLASS_COUNT] = {
        [PCL_SQL_READ] = "read",   [PCL_SQL_LOCKING_READ] = "locking_read",
        [PCL_SQL_WRITE] = "write", [PCL_SQL_CALL] = "call",
        [PCL_SQL_DDL] = "ddl",     [PCL_SQL_TRANSACTION] = "transaction",
        [PCL_SQL_STATE] = "state", [PCL_SQL_ADMIN] = "admin",
    };
    return (unsigned)sql_class < PCL_SQL_CLASS_COUNT ? NAMES[sql_class] : NULL;
}

const char *pcl_policy_seal_text(pcl_policy_seal seal)
{
    static const char *const TEXTS[] = {"auto", "required", "optional"};
    return (unsigned)seal < sizeof TEXTS / sizeof TEXTS[0] ? TEXTS[seal] : "unknown";
}

const char *pcl_policy_digests_text(pcl_policy_digests digests)
{
    static const char *const TEXTS[] = {"off", "detect", "protect"};
    return (unsigned)digests < sizeof TEXTS / sizeof TEXTS[0] ? TEXTS[digests] : "unknown";
}

void pcl_policy_role_init(pcl_policy_role *role)
{
    assert(role != NULL);
    *role = (pcl_policy_role){
        .strategies = (1u << PCL_STRATEGY_COUNT) - 1u,
        .timeout_ms_max = PCL_TIMEOUT_MS_MAX,
        .share = 1,
        .priority = 1,
    };
    for (int value = PCL_SQL_READ; value < PCL_SQL_ADMIN; value++) {
        role->classes |= 1u << value;
    }
}

pcl_policy *pcl_policy_builtin(void)
{
    pcl_policy *self = calloc(1, sizeof *self);
    pcl_policy_role *role = calloc(1, sizeof *role);
    if (self == NULL || role == NULL) {
        free(self);
        free(role);
        return NULL;
    }
    pcl_policy_role_init(role);
    (void)snprintf(role->name, sizeof role->name, "app");
    (void)snprintf(role->accounts, sizeof role->accounts, "app");
    role->seal = PCL_POLICY_SEAL_OPTIONAL;
    self->roles = role;
    self->role_count = 1;
    self->anybody = true;
    self->nobody.role = role;
    return self;
}

void pcl_policy_destroy(pcl_policy **self_p)
{
    assert(self_p != NULL);
    if (*self_p != NULL) {
        free((*self_p)->roles);
        free((*self_p)->principals);
        free(*self_p);
        *self_p = NULL;
    }
}

static int s_compare(pcl_bytes name, const char *other)
{
    size_t other_size = strlen(other);
    size_t size = name.size < other_size ? name.size : other_size;
    int order = size == 0 ? 0 : memcmp(name.data, other, size);
    return order != 0 ? order : (name.size > other_size) - (name.size < other_size);
}

const pcl_policy_principal *pcl_policy_find(const pcl_policy *self, pcl_bytes name)
{
    assert(self != NULL);
    if (self->anybody) {
        return &self->nobody;
    }
    uint32_t low = 0;
    uint32_t high = self->principal_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = s_compare(name, self->principals[middle].name);
        if (order == 0) {
            return &self->principals[middle];
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

uint32_t pcl_policy_role_count(const pcl_policy *self)
{
    assert(self != NULL);
    return self->role_count;
}

const pcl_policy_role *pcl_policy_role_at(const pcl_policy *self, uint32_t index)
{
    assert(self != NULL && index < self->role_count);
    return &self->roles[index];
}

uint32_t pcl_policy_principal_count(const pcl_policy *self)
{
    assert(self != NULL);
    return self->principal_count;
}

const pcl_policy_principal *pcl_policy_principal_at(const pcl_policy *self, uint32_t index)
{
    assert(self != NULL && index < self->principal_count);
    return &self->principals[index];
}

bool pcl_policy_path(char *out_path, size_t size, const char *policy_file, const char *path)
{
    assert(out_path != NULL && policy_file != NULL && path != NULL);
    const char *slash = path[0] == '/' ? NULL : strrchr(policy_file, '/');
    size_t folder = slash == NULL ? 0 : (size_t)(slash - policy_file) + 1;
    if (folder + strlen(path) >= size) {
        return false;
    }
    memcpy(out_path, policy_file, folder);
    memcpy(out_path + folder, path, strlen(path) + 1);
    return true;
}
