#include "gatekeeper/admission.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static const pcl_admission_limits LIMITS = {.timeout_ms_default = 500,
                                            .timeout_ms_max = 2000,
                                            .inflight_principal_max = 3,
                                            .inflight_principal_size_max = 1000,
                                            .inflight_size_max = 5000};

static const pcl_principal_load IDLE = {0};

static pcl_request s_query(const char *sql)
{
    return (pcl_request){.op = PCL_OP_QUERY, .sql = pcl_bytes_text(sql)};
}

static pcl_admission s_judge(const pcl_admission_limits *limits, const pcl_request *request,
                             pcl_principal_load load)
{
    pcl_sql_cache *cache = pcl_sql_cache_new(NULL, 16, 4096, 4711);
    assert_non_null(cache);
    pcl_admission admission = pcl_admission_judge(limits, request, false, load, cache);
    pcl_sql_cache_destroy(&cache);
    return admission;
}

static void test_octets_in_flight_are_bounded_too(void **state)
{
    (void)state;
    pcl_request request = s_query("SELECT 1");
    pcl_admission full = s_judge(&LIMITS, &request, (pcl_principal_load){.octets = 1000});
    assert_int_equal(full.err, PCL_ERR_OVERLOADED);
    assert_int_equal(full.retry, PCL_RETRY_SAFE);
    assert_non_null(strstr(full.message, "1000 octets"));
    pcl_admission all = s_judge(&LIMITS, &request, (pcl_principal_load){.octets_all = 5000});
    assert_int_equal(all.err, PCL_ERR_OVERLOADED);
    assert_int_equal(all.retry, PCL_RETRY_SAFE);
    assert_non_null(strstr(all.message, "5000 octets"));
    request = (pcl_request){.op = PCL_OP_CANCEL}; /* what ends work is let in */
    assert_int_equal(s_judge(&LIMITS, &request, (pcl_principal_load){.octets_all = 5000}).err,
                     PCL_ERR_OK);
}

static void test_time_has_a_default_and_a_ceiling(void **state)
{
    (void)state;
    pcl_request request = s_query("SELECT 1");
    assert_int_equal(s_judge(&LIMITS, &request, IDLE).timeout_ms, 500);
    request.timeout_ms = 1;
    assert_int_equal(s_judge(&LIMITS, &request, IDLE).timeout_ms, 1);
    request.timeout_ms = 2001;
    assert_int_equal(s_judge(&LIMITS, &request, IDLE).timeout_ms, 2000);
    pcl_admission_limits tight = LIMITS;
    tight.timeout_ms_max = 100; /* under the default */
    request.timeout_ms = 0;
    assert_int_equal(s_judge(&tight, &request, IDLE).timeout_ms, 100);
}

static void test_a_principal_has_a_share(void **state)
{
    (void)state;
    pcl_request request = s_query("SELECT 1");
    assert_int_equal(
        s_judge(&LIMITS, &request, (pcl_principal_load){.requests = 2, .octets = 999}).err,
        PCL_ERR_OK);
    pcl_admission full = s_judge(&LIMITS, &request,
                                 (pcl_principal_load){.requests = 3, .octets = 0});
    assert_int_equal(full.err, PCL_ERR_OVERLOADED);
    assert_int_equal(full.retry, PCL_RETRY_SAFE);
    assert_non_null(strstr(full.message, "3 requests in flight"));
}

static void test_what_ends_work_is_let_in_at_the_limit(void **state)
{
    (void)state;
    static const pcl_op ops[] = {PCL_OP_CANCEL, PCL_OP_CLOSE, PCL_OP_COMMIT, PCL_OP_ROLLBACK};
    for (size_t index = 0; index < sizeof ops / sizeof ops[0]; index++) {
        pcl_request request = {.op = ops[index]};
        assert_int_equal(
            s_judge(&LIMITS, &request, (pcl_principal_load){.requests = 3, .octets = 5000}).err,
            PCL_ERR_OK);
        assert_int_equal(
            s_judge(&LIMITS, &request, (pcl_principal_load){.requests = 4, .octets = 5000}).err,
            PCL_ERR_OVERLOADED); /* its room has an end, too */
    }
    pcl_request begin = {.op = PCL_OP_BEGIN};
    assert_int_equal(s_judge(&LIMITS, &begin, (pcl_principal_load){.requests = 3, .octets = 0}).err,
                     PCL_ERR_OVERLOADED);
}

static void test_only_reads_and_questions_are_repeatable(void **state)
{
    (void)state;
    pcl_request request = s_query("SELECT 1");
    assert_true(s_judge(&LIMITS, &request, IDLE).repeatable);
    request = s_query("UPDATE t SET a = 1");
    assert_false(s_judge(&LIMITS, &request, IDLE).repeatable);
    request = (pcl_request){.op = PCL_OP_PING};
    assert_true(s_judge(&LIMITS, &request, IDLE).repeatable);
    request = (pcl_request){.op = PCL_OP_COMMIT};
    assert_false(s_judge(&LIMITS, &request, IDLE).repeatable);
}

static void test_each_op_has_the_class_that_the_broker_gives_it(void **state)
{
    (void)state;
    static const struct {
        pcl_op op;
        bool read_only;
        pcl_sql_class sql_class;
        bool repeatable;
    } cases[] = {
        {PCL_OP_BEGIN, false, PCL_SQL_WRITE, true},
        {PCL_OP_BEGIN, true, PCL_SQL_READ, true},
        {PCL_OP_COMMIT, false, PCL_SQL_TRANSACTION, false},
        {PCL_OP_ROLLBACK, false, PCL_SQL_TRANSACTION, true},
        {PCL_OP_FETCH, false, PCL_SQL_READ, false},
        {PCL_OP_CLOSE, false, PCL_SQL_READ, true},
        {PCL_OP_TXN, false, PCL_SQL_WRITE, false},
        {PCL_OP_CANCEL, false, PCL_SQL_NONE, true},
        {PCL_OP_STATUS, false, PCL_SQL_NONE, true},
        {PCL_OP_ADMIN, false, PCL_SQL_NONE, false},
    };
    for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        pcl_request request = {.op = cases[index].op, .read_only = cases[index].read_only};
        pcl_admission admission = s_judge(&LIMITS, &request, IDLE);
        assert_int_equal(admission.err, PCL_ERR_OK);
        assert_int_equal(admission.sql_class, cases[index].sql_class);
        assert_int_equal(admission.repeatable, cases[index].repeatable);
    }
}

static void test_what_nobody_may_run_stops_here(void **state)
{
    (void)state;
    pcl_request request = s_query("SELECT 1; SELECT 2");
    pcl_admission admission = s_judge(&LIMITS, &request, IDLE);
    assert_int_equal(admission.err, PCL_ERR_REFUSED);
    assert_int_equal(admission.retry, PCL_RETRY_NEVER);
    assert_non_null(strstr(admission.message, " at offset "));
    assert_false(admission.repeatable);
}

static void test_params_must_fit_the_placeholders(void **state)
{
    (void)state;
    pcl_request request = s_query("SELECT ?, '?'");
    pcl_admission admission = s_judge(&LIMITS, &request, IDLE);
    assert_int_equal(admission.err, PCL_ERR_MALFORMED);
    assert_int_equal(admission.retry, PCL_RETRY_NEVER);
    assert_string_equal(admission.message,
                        "params: the statement has 1 placeholders, 0 were given");
    request.param_count = 1;
    assert_int_equal(s_judge(&LIMITS, &request, IDLE).err, PCL_ERR_OK);
    request.param_count = 2;
    assert_int_equal(s_judge(&LIMITS, &request, IDLE).err, PCL_ERR_MALFORMED);
}

/* It could not say so under a seal: the broker does. */
static void test_the_statement_of_a_sealed_request_is_the_brokers(void **state)
{
    (void)state;
    pcl_sql_cache *cache = pcl_sql_cache_new(NULL, 16, 4096, 4711);
    assert_non_null(cache);
    pcl_request request = s_query("SELECT 1; SELECT ?");
    pcl_admission admission = pcl_admission_judge(&LIMITS, &request, true, IDLE, cache);
    assert_int_equal(admission.err, PCL_ERR_OK);
    assert_string_equal(admission.message, "");
    assert_int_equal(admission.sql_class, PCL_SQL_REFUSED);
    assert_false(admission.repeatable);
    request = s_query("SELECT ?");
    assert_int_equal(pcl_admission_judge(&LIMITS, &request, true, IDLE, cache).err, PCL_ERR_OK);
    pcl_principal_load full = {.requests = 3};
    assert_int_equal(pcl_admission_judge(&LIMITS, &request, true, full, cache).err,
                     PCL_ERR_OVERLOADED);
    pcl_sql_cache_destroy(&cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_params_must_fit_the_placeholders),
        cmocka_unit_test(test_the_statement_of_a_sealed_request_is_the_brokers),
        cmocka_unit_test(test_octets_in_flight_are_bounded_too),
        cmocka_unit_test(test_time_has_a_default_and_a_ceiling),
        cmocka_unit_test(test_a_principal_has_a_share),
        cmocka_unit_test(test_what_ends_work_is_let_in_at_the_limit),
        cmocka_unit_test(test_only_reads_and_questions_are_repeatable),
        cmocka_unit_test(test_each_op_has_the_class_that_the_broker_gives_it),
        cmocka_unit_test(test_what_nobody_may_run_stops_here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
