#include "policy/policy.h"

#include "sql/digest.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

/* Twice, the second time from the cache. */
static pcl_policy_verdict s_judge_by(const pcl_policy *policy, const char *name,
                                     const pcl_digest_list *list, const pcl_request *request)
{
    const pcl_policy_principal *principal = pcl_policy_find(policy, pcl_bytes_text(name));
    pcl_sql_cache *cache = pcl_sql_cache_new(NULL, 16, 4096, 4711);
    pcl_buffer digest;
    pcl_buffer_init(&digest, PCL_SQL_DIGEST_SIZE_MAX);
    assert_non_null(principal);
    assert_non_null(cache);
    pcl_policy_verdict verdict = pcl_policy_judge(principal, list, request, cache, &digest);
    pcl_policy_verdict again = pcl_policy_judge(principal, list, request, cache, &digest);
    assert_false(digest.failed);
    assert_int_equal(again.err, verdict.err);
    assert_int_equal(again.rule, verdict.rule);
    assert_int_equal(again.dry_run, verdict.dry_run);
    assert_true(again.digest_id == verdict.digest_id);
    assert_string_equal(again.message, verdict.message);
    assert_int_equal(verdict.err == PCL_ERR_OK, verdict.rule == PCL_POLICY_RULE_NONE);
    assert_int_equal(verdict.err == PCL_ERR_OK, verdict.message[0] == '\0');
    pcl_buffer_release(&digest);
    pcl_sql_cache_destroy(&cache);
    return verdict;
}

/* By the default rules and the built-in policy. */
static pcl_policy_verdict s_judge(const pcl_request *request)
{
    pcl_policy *policy = pcl_policy_builtin();
    assert_non_null(policy);
    pcl_policy_verdict verdict = s_judge_by(policy, "anybody", NULL, request);
    pcl_policy_destroy(&policy);
    return verdict;
}

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
        pcl_policy_verdict verdict = s_judge(&request);
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
        pcl_policy_verdict verdict = s_judge(&request);
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
        pcl_policy_verdict verdict = s_judge(&request);
        assert_int_equal(verdict.err, PCL_ERR_REFUSED);
        assert_non_null(strstr(verdict.message, "db: "));
        request.db = pcl_bytes_text("demo");
        assert_int_equal(s_judge(&request).err, PCL_ERR_OK);
    }
}

static void test_what_is_not_served_is_named(void **state)
{
    (void)state;
    pcl_request admin = {.op = PCL_OP_ADMIN};
    pcl_policy_verdict verdict = s_judge(&admin);
    assert_int_equal(verdict.err, PCL_ERR_UNSUPPORTED);
    assert_string_equal(verdict.message, "op: admin is not available here");
    pcl_request once = s_query("SELECT 1");
    once.once = true;
    verdict = s_judge(&once);
    assert_int_equal(verdict.err, PCL_ERR_UNSUPPORTED);
    assert_string_equal(verdict.message, "once: is not available here");
}

static void test_each_op_has_its_class(void **state)
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
        {PCL_OP_PING, false, PCL_SQL_NONE, true},
        {PCL_OP_STATUS, false, PCL_SQL_NONE, true},
    };
    for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        pcl_request request = {.op = cases[index].op, .read_only = cases[index].read_only};
        pcl_policy_verdict verdict = s_judge(&request);
        assert_int_equal(verdict.err, PCL_ERR_OK);
        assert_int_equal(verdict.sql_class, cases[index].sql_class);
        assert_int_equal(verdict.repeatable, cases[index].repeatable);
    }
}

static void test_what_belongs_to_a_session_runs_in_one(void **state)
{
    (void)state;
    static const struct {
        const char *sql;
        pcl_err err;
        pcl_sql_class sql_class;
    } cases[] = {
        {"BEGIN", PCL_ERR_OK, PCL_SQL_TRANSACTION},
        {"SAVEPOINT a", PCL_ERR_OK, PCL_SQL_TRANSACTION},
        {"SET @a = 1", PCL_ERR_OK, PCL_SQL_STATE},
        {"SELECT LAST_INSERT_ID()", PCL_ERR_OK, PCL_SQL_STATE},
        {"CREATE TEMPORARY TABLE t (a INT)", PCL_ERR_OK, PCL_SQL_STATE},
        {"SELECT 1", PCL_ERR_OK, PCL_SQL_READ},
        {"CREATE TABLE t (a INT)", PCL_ERR_OK, PCL_SQL_DDL},
        {"GRANT ALL ON *.* TO x", PCL_ERR_FORBIDDEN, PCL_SQL_ADMIN},
        {"SELECT 1; SELECT 2", PCL_ERR_REFUSED, PCL_SQL_REFUSED},
    };
    for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        pcl_request request = s_query(cases[index].sql);
        request.has_session = true;
        request.session[0] = 1;
        pcl_policy_verdict verdict = s_judge(&request);
        assert_int_equal(verdict.err, cases[index].err);
        assert_int_equal(verdict.sql_class, cases[index].sql_class);
    }
}

/* The head says "no session" by it: such a statement would run outside of any. */
static void test_the_id_of_no_session_is_of_no_session(void **state)
{
    (void)state;
    pcl_request request = s_query("SET @a = 1");
    request.has_session = true;
    assert_int_equal(s_judge(&request).err, PCL_ERR_GONE);
    request.session[15] = 1;
    assert_int_equal(s_judge(&request).err, PCL_ERR_OK);
    pcl_request fetch = {.op = PCL_OP_FETCH, .has_cursor = true};
    assert_int_equal(s_judge(&fetch).err, PCL_ERR_GONE);
}

/* A txn of these statements, encoded and decoded, judged. */
static pcl_policy_verdict s_judge_txn(const char *const *texts, uint32_t count)
{
    pcl_buffer array;
    pcl_buffer octets;
    pcl_buffer_init(&array, 4096);
    pcl_buffer_init(&octets, 4096);
    pcl_buffer_put_u8(&array, (uint8_t)(0x90 | count));
    for (uint32_t index = 0; index < count; index++) {
        size_t size = strlen(texts[index]);
        pcl_buffer_put(&array, "\x81\xa3sql\xd9", 6);
        pcl_buffer_put_u8(&array, (uint8_t)size);
        pcl_buffer_put(&array, texts[index], size);
    }
    pcl_request made = {
        .op = PCL_OP_TXN, .statements = pcl_buffer_bytes(&array), .statement_count = count};
    pcl_request_encode(&made, &octets);
    pcl_request request;
    pcl_fault fault;
    pcl_err err = pcl_request_decode(&request, pcl_buffer_bytes(&octets), &fault, NULL, NULL);
    assert_int_equal(err, PCL_ERR_OK);
    pcl_policy_verdict verdict = s_judge(&request);
    pcl_buffer_release(&array);
    pcl_buffer_release(&octets);
    return verdict;
}

static void test_a_txn_takes_what_it_can_roll_back(void **state)
{
    (void)state;
    static const char *const fine[] = {
        "INSERT INTO t VALUES (1)",
        "UPDATE u SET a = LAST_INSERT_ID()",
        "SELECT a FROM t FOR UPDATE",
        "SELECT @a := 1",
        "SELECT 1",
    };
    pcl_policy_verdict verdict = s_judge_txn(fine, sizeof fine / sizeof fine[0]);
    assert_int_equal(verdict.err, PCL_ERR_OK);
    assert_int_equal(verdict.sql_class, PCL_SQL_WRITE);
    assert_false(verdict.repeatable);
}

static void test_a_txn_names_the_statement_that_cannot_stand_in_it(void **state)
{
    (void)state;
    static const struct {
        const char *sql;
        pcl_err err;
        const char *said;
    } cases[] = {
        {"CALL p()", PCL_ERR_UNSUPPORTED, "a call statement cannot stand in a txn"},
        {"CREATE TABLE t (a INT)", PCL_ERR_UNSUPPORTED, "a ddl statement"},
        {"COMMIT", PCL_ERR_UNSUPPORTED, "a transaction statement"},
        {"SET @a = 1", PCL_ERR_UNSUPPORTED, "a state statement"},
        {"SET autocommit = 1", PCL_ERR_UNSUPPORTED, "a state statement"},
        {"USE other", PCL_ERR_UNSUPPORTED, "a state statement"},
        {"LOCK TABLES t READ", PCL_ERR_UNSUPPORTED, "a state statement"},
        {"CREATE TEMPORARY TABLE t (a INT)", PCL_ERR_UNSUPPORTED, "a state statement"},
        {"SELECT GET_LOCK('a', 1)", PCL_ERR_UNSUPPORTED, "a state statement"},
        {"KILL 1", PCL_ERR_FORBIDDEN, "admin"},
        {"SELECT 1; SELECT 2", PCL_ERR_REFUSED, " at offset "},
    };
    for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        const char *texts[] = {"SELECT 1", cases[index].sql, "SELECT 2"};
        pcl_policy_verdict verdict = s_judge_txn(texts, 3);
        assert_int_equal(verdict.err, cases[index].err);
        assert_memory_equal(verdict.message, "statements[1].sql: ", 19);
        assert_non_null(strstr(verdict.message, cases[index].said));
        assert_true(verdict.has_statement);
        assert_int_equal(verdict.statement, 1);
    }
}

/* What one server builds in, or policy lists, may be called by a read. */
static void test_the_rules_of_the_cache_say_which_functions_are_harmless(void **state)
{
    (void)state;
    pcl_request request = s_query("SELECT app_price(1)");
    assert_int_equal(s_judge(&request).sql_class, PCL_SQL_WRITE);
    pcl_sql_rules rules = {0};
    assert_null(pcl_sql_rules_set_extra(&rules, pcl_bytes_text("app_price, app_tax"), NULL));
    pcl_sql_cache *cache = pcl_sql_cache_new(&rules, 16, 4096, 4711);
    assert_non_null(cache);
    pcl_policy *policy = pcl_policy_builtin();
    assert_non_null(policy);
    pcl_buffer digest;
    pcl_buffer_init(&digest, PCL_SQL_DIGEST_SIZE_MAX);
    pcl_policy_verdict verdict = pcl_policy_judge(pcl_policy_find(policy, pcl_bytes_text("a")),
                                                  NULL, &request, cache, &digest);
    assert_int_equal(verdict.sql_class, PCL_SQL_READ);
    assert_true(verdict.repeatable);
    assert_true(pcl_bytes_is(pcl_buffer_bytes(&digest), "select app_price(?)"));
    pcl_buffer_release(&digest);
    pcl_policy_destroy(&policy);
    pcl_sql_cache_destroy(&cache);
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
        cmocka_unit_test(test_what_is_not_served_is_named),
        cmocka_unit_test(test_each_op_has_its_class),
        cmocka_unit_test(test_what_belongs_to_a_session_runs_in_one),
        cmocka_unit_test(test_the_id_of_no_session_is_of_no_session),
        cmocka_unit_test(test_a_txn_takes_what_it_can_roll_back),
        cmocka_unit_test(test_a_txn_names_the_statement_that_cannot_stand_in_it),
        cmocka_unit_test(test_the_rules_of_the_cache_say_which_functions_are_harmless),
        cmocka_unit_test(test_the_head_must_agree_with_the_payload),
        cmocka_unit_test(test_what_the_payload_leaves_open_is_the_gatekeepers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
