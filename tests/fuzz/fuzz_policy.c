/* A policy is whole or is not there; what it says is within its bounds, and every request that
 * decodes gets a verdict of it.  A role whose rules are all on trial refuses nothing that a role
 * without any would run. */
#include "policy/policy.h"
#include "sql/digest.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void s_require(bool fact)
{
    if (!fact) {
        abort();
    }
}

static void s_check_role(const pcl_policy_role *role)
{
    s_require(role->name[0] != '\0' && role->accounts[0] != '\0');
    s_require(memchr(role->name, '\0', sizeof role->name) != NULL);
    s_require(memchr(role->accounts, '\0', sizeof role->accounts) != NULL);
    s_require(memchr(role->schemas, '\0', sizeof role->schemas) != NULL);
    s_require(memchr(role->digest_list, '\0', sizeof role->digest_list) != NULL);
    s_require(role->classes != 0 && role->classes < 1u << PCL_SQL_REFUSED);
    s_require((role->strategies & 1u) != 0 && role->strategies < 1u << PCL_STRATEGY_COUNT);
    s_require(role->timeout_ms_max >= 1 && role->timeout_ms_max <= PCL_TIMEOUT_MS_MAX);
    s_require(role->share >= 1 && role->share <= 1000 && role->priority <= 2);
    s_require(role->digests == PCL_POLICY_DIGESTS_OFF || role->digest_list[0] != '\0');
    s_require(pcl_policy_seal_text(role->seal) != NULL);
    s_require(role->dry_run < 1u << PCL_POLICY_RULE_COUNT);
}

static void s_judge(const pcl_policy_principal *principal, const char *sql, const char *db)
{
    static pcl_sql_cache *cache;
    static pcl_buffer digest;
    pcl_request request = {.op = PCL_OP_QUERY,
                           .sql = pcl_bytes_text(sql),
                           .db = pcl_bytes_text(db),
                           .strategy = PCL_STRATEGY_RANDOM,
                           .has_session = true,
                           .session = {1}};
    if (cache == NULL) {
        cache = pcl_sql_cache_new(NULL, 64, (size_t)64 * 1024, 4711);
        s_require(cache != NULL);
        pcl_buffer_init(&digest, PCL_SQL_DIGEST_SIZE_MAX);
    }
    pcl_policy_verdict verdict = pcl_policy_judge(principal, NULL, &request, cache, &digest);
    s_require((verdict.err == PCL_ERR_OK) == (verdict.rule == PCL_POLICY_RULE_NONE));
    s_require((verdict.err == PCL_ERR_OK) == (verdict.message[0] == '\0'));
    s_require((verdict.dry_run == 0) == (verdict.dry_message[0] == '\0'));
    s_require((verdict.dry_run & ~principal->role->dry_run) == 0);
    s_require(!pcl_policy_is_dry(principal->role, verdict.rule) ||
              verdict.sql_class == PCL_SQL_ADMIN);
    s_require(verdict.timeout_ms > 0 && verdict.digest_id != 0);
}

static void s_check_policy(const pcl_policy *policy)
{
    s_require(pcl_policy_role_count(policy) > 0);
    s_require(pcl_policy_role_count(policy) <= PCL_POLICY_ROLES_MAX);
    for (uint32_t index = 0; index < pcl_policy_role_count(policy); index++) {
        s_require(pcl_policy_role_at(policy, index)->index == index);
        s_check_role(pcl_policy_role_at(policy, index));
    }
    for (uint32_t index = 0; index < pcl_policy_principal_count(policy); index++) {
        const pcl_policy_principal *principal = pcl_policy_principal_at(policy, index);
        s_require(pcl_policy_find(policy, pcl_bytes_text(principal->name)) == principal);
        s_require(principal->role == pcl_policy_role_at(policy, principal->role->index));
        s_require(index == 0 ||
                  strcmp(pcl_policy_principal_at(policy, index - 1)->name, principal->name) < 0);
        if (index < 4) {
            s_judge(principal, "SELECT a FROM t WHERE b = 7", "shop_1");
            s_judge(principal, "UPDATE t SET a = @b", "a_b%c");
            s_judge(principal, "KILL 1", "");
            (void)pcl_policy_judge_seal(principal, false, true);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pcl_buffer problems;
    pcl_buffer_init(&problems, 65536);
    pcl_policy *policy = pcl_policy_parse(pcl_bytes_of(data, size), "f", &problems);
    s_require((policy == NULL) == (problems.size > 0 || problems.failed));
    if (policy != NULL) {
        s_check_policy(policy);
        pcl_policy_destroy(&policy);
    }
    pcl_buffer_release(&problems);
    return 0;
}
