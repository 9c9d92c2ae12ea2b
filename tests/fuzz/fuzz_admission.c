/* Gatekeeper and broker read one request with one decoder and one classifier:
 * what the gatekeeper refuses the broker would refuse too, and both say the
 * same of whether it may run twice. */
#include "gatekeeper/admission.h"
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const pcl_admission_limits limits = {.timeout_ms_default = 5000,
                                                .timeout_ms_max = 60000,
                                                .inflight_principal_max = 1,
                                                .inflight_principal_size_max = 1,
                                                .inflight_size_max = 1};
    static pcl_sql_cache *cache; /* of the whole run, so that verdicts are found again, too */
    static pcl_policy *policy;
    static pcl_buffer digest;
    pcl_request request;
    pcl_fault fault;
    if (cache == NULL) {
        cache = pcl_sql_cache_new(NULL, 64, (size_t)64 * 1024, 4711);
        policy = pcl_policy_builtin();
        s_require(cache != NULL && policy != NULL);
        pcl_buffer_init(&digest, PCL_SQL_DIGEST_SIZE_MAX);
    }
    pcl_err err = pcl_request_decode(&request, pcl_bytes_of(data, size), &fault, NULL, NULL);
    if (err != PCL_ERR_OK) {
        return 0;
    }
    pcl_admission admission = pcl_admission_judge(&limits, &request, false, (pcl_principal_load){0},
                                                  cache);
    const pcl_policy_principal *principal = pcl_policy_find(policy, pcl_bytes_text("fuzz"));
    pcl_policy_verdict verdict = pcl_policy_judge(principal, NULL, &request, cache, &digest);
    s_require(!digest.failed && (digest.size > 0) == (verdict.digest_id != 0));
    s_require((verdict.err == PCL_ERR_OK) == (verdict.rule == PCL_POLICY_RULE_NONE));
    pcl_admission sealed = pcl_admission_judge(&limits, &request, true, (pcl_principal_load){0},
                                               cache);
    s_require(sealed.err == PCL_ERR_OK && sealed.sql_class == admission.sql_class);
    s_require(admission.timeout_ms > 0 && admission.timeout_ms <= limits.timeout_ms_max);
    s_require((admission.err == PCL_ERR_OK) == (admission.message[0] == '\0'));
    s_require((verdict.err == PCL_ERR_OK) == (verdict.message[0] == '\0'));
    s_require(admission.err == PCL_ERR_OK || verdict.err != PCL_ERR_OK);
    if (admission.err == PCL_ERR_MALFORMED && verdict.err == PCL_ERR_MALFORMED) {
        s_require(strcmp(admission.message, verdict.message) == 0);
    }
    if (verdict.err == PCL_ERR_OK) {
        s_require(admission.sql_class == verdict.sql_class);
        s_require(admission.repeatable == verdict.repeatable);
    }
    pcl_head head = {.op = request.op,
                     .budget_us = admission.timeout_ms * 1000,
                     .principal = pcl_bytes_text("fuzz")};
    memcpy(head.id, request.id, sizeof head.id);
    s_require(pcl_policy_agree(&head, &request).err == PCL_ERR_OK);
    return 0;
}
