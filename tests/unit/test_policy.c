#include "broker/policy.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static pcl_request s_query(const char *sql)
{
    return (pcl_request){.op = PCL_OP_QUERY, .sql = pcl_bytes_text(sql)};
}

static void test_reads_and_writes_run(void **state)
{
    (void)state;
    static const struct {
        const char *sql;
        pcl_sql_class sql_class;
        bool repeatable;
    } cases[] = {
        {"SELECT 1", PCL_SQL_READ, true},
        {"SELECT a FROM t FOR UPDATE", PCL_SQL_LOCKING_READ, false},
        {"INSERT INTO t VALUES (1)", PCL_SQL_WRITE, false},
        {"CALL p()", PCL_SQL_CALL, false},
        {"CREATE TABLE t (a INT)", PCL_SQL_DDL, false},
    };
    for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        pcl_request request = s_query(cases[index].sql);
        pcl_policy_verdict verdict = pcl_policy_judge(&request);
        assert_int_equal(verdict.err, PCL_ERR_OK);
        assert_int_equal(verdict.sql_class, cases[index].sql_class);
        assert_int_equal(verdict.repeatable, cases[index].repeatable);
        assert_string_equal(verdict.message, "");
    }
}

static void test_classes_that_do_not_run(void **state)
{
    (void)state;
    static const struct {
        const char *sql;
        pcl_err err;
        const char *said; /* part of the message */
    } cases[] = {
        {"BEGIN", PCL_ERR_UNSUPPORTED, "needs a session"},
        {"SET @a = 1", PCL_ERR_UNSUPPORTED, "needs a session"},
        {"GRANT ALL ON *.* TO x", PCL_ERR_FORBIDDEN, "admin"},
        {"SELECT 1; SELECT 2", PCL_ERR_REFUSED, "sql: "},
        {"SELECT 'unfinished", PCL_ERR_REFUSED, " at offset "},
    };
    for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        pcl_request request = s_query(cases[index].sql);
        pcl_policy_verdict verdict = pcl_policy_judge(&request);
        assert_int_equal(verdict.err, cases[index].err);
        assert_non_null(strstr(verdict.message, cases[index].said));
        assert_false(verdict.repeatable);
    }
}

static void test_a_reserved_schema_is_no_default(void **state)
{
    (void)state;
    const char *reserved[] = {"portcullis", "PORTCULLIS", "mysql"};
    for (size_t index = 0; index < sizeof reserved / sizeof reserved[0]; index++) {
        pcl_request request = s_query("SELECT * FROM heartbeat");
        request.db = pcl_bytes_text(reserved[index]);
        pcl_policy_verdict verdict = pcl_policy_judge(&request);
        assert_int_equal(verdict.err, PCL_ERR_REFUSED);
        assert_non_null(strstr(verdict.message, "db: "));
        request.db = pcl_bytes_text("demo");
        assert_int_equal(pcl_policy_judge(&request).err, PCL_ERR_OK);
    }
}

static void test_ops_that_are_not_served_are_named(void **state)
{
    (void)state;
    for (int op = 0; op < PCL_OP_COUNT; op++) {
        pcl_request request = {.op = (pcl_op)op, .sql = pcl_bytes_text("SELECT 1")};
        pcl_policy_verdict verdict = pcl_policy_judge(&request);
        bool served = op == PCL_OP_QUERY || op == PCL_OP_PING || op == PCL_OP_STATUS;
        assert_int_equal(verdict.err, served ? PCL_ERR_OK : PCL_ERR_UNSUPPORTED);
        if (!served) {
            assert_non_null(strstr(verdict.message, pcl_op_text((pcl_op)op)));
        } else {
            assert_true(verdict.repeatable);
        }
    }
}

static void test_keys_that_are_not_served_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        pcl_request with;
    } cases[] = {
        {"once", {.once = true}},         {"session", {.has_session = true}},
        {"page_rows", {.page_rows = 1}},  {"page_bytes", {.page_bytes = 1}},
        {"cursor", {.has_cursor = true}},
    };
    for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        pcl_request request = cases[index].with;
        request.sql = pcl_bytes_text("SELECT 1");
        pcl_policy_verdict verdict = pcl_policy_judge(&request);
        assert_int_equal(verdict.err, PCL_ERR_UNSUPPORTED);
        assert_memory_equal(verdict.message, cases[index].key, strlen(cases[index].key));
    }
}

static void test_the_head_must_agree_with_the_payload(void **state)
{
    (void)state;
    pcl_request request = s_query("SELECT 1");
    request.has_id = true;
    request.id[0] = 7;
    request.timeout_ms = 100;
    pcl_head head = {
        .op = PCL_OP_QUERY, .id = {7}, .budget_us = 100000, .principal = pcl_bytes_text("alice")};
    assert_int_equal(pcl_policy_agree(&head, &request).err, PCL_ERR_OK);

    pcl_head other = head;
    other.op = PCL_OP_PING;
    assert_int_equal(pcl_policy_agree(&other, &request).err, PCL_ERR_MALFORMED);
    other = head;
    other.id[15] = 1;
    assert_int_equal(pcl_policy_agree(&other, &request).err, PCL_ERR_MALFORMED);
    other = head;
    other.budget_us = 100001;
    assert_int_equal(pcl_policy_agree(&other, &request).err, PCL_ERR_MALFORMED);
    other = head;
    other.principal = pcl_bytes_text("");
    assert_int_equal(pcl_policy_agree(&other, &request).err, PCL_ERR_MALFORMED);
}

/* The gatekeeper makes up the id, and chooses the time, of a request that says neither. */
static void test_what_the_payload_leaves_open_is_the_gatekeepers(void **state)
{
    (void)state;
    pcl_request request = s_query("SELECT 1");
    pcl_head head = {
        .id = {9}, .budget_us = PCL_TIMEOUT_MS_MAX * 1000u, .principal = pcl_bytes_text("alice")};
    assert_int_equal(pcl_policy_agree(&head, &request).err, PCL_ERR_OK);
    head.budget_us++;
    assert_int_equal(pcl_policy_agree(&head, &request).err, PCL_ERR_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_and_writes_run),
        cmocka_unit_test(test_classes_that_do_not_run),
        cmocka_unit_test(test_a_reserved_schema_is_no_default),
        cmocka_unit_test(test_ops_that_are_not_served_are_named),
        cmocka_unit_test(test_keys_that_are_not_served_are_named),
        cmocka_unit_test(test_the_head_must_agree_with_the_payload),
        cmocka_unit_test(test_what_the_payload_leaves_open_is_the_gatekeepers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
