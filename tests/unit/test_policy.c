#include "policy/policy.h"

#include "sql/digest.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
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

static const char *s_txn_keys; /* of the role that txns are judged by; NULL: the built-in one */
static pcl_policy_verdict s_judge_role(const char *keys, const pcl_request *request);

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
    pcl_policy_verdict verdict = s_txn_keys == NULL ? s_judge(&request)
                                                    : s_judge_role(s_txn_keys, &request);
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

/* The agents would say so, too; nothing shall get that far. */
static void test_params_must_fit_the_placeholders(void **state)
{
    (void)state;
    static const struct {
        const char *sql;
        uint32_t param_count;
        const char *message;
    } cases[] = {
        {"SELECT ?", 1, ""},
        {"SELECT ? + ?", 2, ""},
        {"SELECT '?', `?`, \"?\" -- ?", 0, ""},
        {"SELECT ?", 0, "params: the statement has 1 placeholders, 0 were given"},
        {"SELECT 1", 1, "params: the statement has 0 placeholders, 1 were given"},
        {"SELECT '?'", 1, "params: the statement has 0 placeholders, 1 were given"},
    };
    for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        pcl_request request = s_query(cases[index].sql);
        request.param_count = cases[index].param_count;
        pcl_policy_verdict verdict = s_judge(&request);
        bool fits = cases[index].message[0] == '\0';
        assert_int_equal(verdict.err, fits ? PCL_ERR_OK : PCL_ERR_MALFORMED);
        assert_string_equal(verdict.message, cases[index].message);
    }
    static const char *const texts[] = {"SELECT 1", "UPDATE t SET a = ?"};
    pcl_policy_verdict verdict = s_judge_txn(texts, 2);
    assert_int_equal(verdict.err, PCL_ERR_MALFORMED);
    assert_int_equal(verdict.rule, PCL_POLICY_RULE_STATEMENT);
    assert_string_equal(verdict.message,
                        "statements[1].params: the statement has 1 placeholders, 0 were given");
    assert_true(verdict.has_statement);
    assert_int_equal(verdict.statement, 1);
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

/* --- Roles ----------------------------------------------------------------------- */

#define HEAD "policy\n    version = \"1\"\nroles\n    r\n"
#define TAIL "principals\n    p = \"r\"\n"

/* A policy whose only role has these keys, each a line with its indentation. */
static pcl_policy *s_role_of(const char *keys)
{
    char text[1024];
    pcl_buffer problems;
    pcl_buffer_init(&problems, 1024);
    (void)snprintf(text, sizeof text, "%s%s%s", HEAD, keys, TAIL);
    pcl_policy *policy = pcl_policy_parse(pcl_bytes_text(text), "p", &problems);
    assert_non_null(policy);
    pcl_buffer_release(&problems);
    return policy;
}

static pcl_policy_verdict s_judge_role(const char *keys, const pcl_request *request)
{
    pcl_policy *policy = s_role_of(keys);
    pcl_policy_verdict verdict = s_judge_by(policy, "p", NULL, request);
    pcl_policy_destroy(&policy);
    return verdict;
}

#define CLASSES(words) "        classes = \"" words "\"\n"
#define DRY(words)     "        dry_run = \"" words "\"\n"

static void test_a_role_runs_its_classes_only(void **state)
{
    (void)state;
    static const struct {
        const char *keys;
        const char *sql;
        pcl_err err;
    } cases[] = {
        {CLASSES("read"), "SELECT 1", PCL_ERR_OK},
        {CLASSES("read"), "SELECT a FROM t FOR UPDATE", PCL_ERR_FORBIDDEN},
        {CLASSES("read"), "DELETE FROM t", PCL_ERR_FORBIDDEN},
        {CLASSES("write"), "SELECT 1", PCL_ERR_FORBIDDEN},
        {CLASSES("write"), "DELETE FROM t", PCL_ERR_OK},
        {CLASSES("read write"), "CREATE TABLE t (a INT)", PCL_ERR_FORBIDDEN},
        {CLASSES("ddl"), "CREATE TABLE t (a INT)", PCL_ERR_OK},
        {CLASSES("read"), "CALL p()", PCL_ERR_FORBIDDEN},
        {CLASSES("read"), "BEGIN", PCL_ERR_FORBIDDEN},
        {CLASSES("read transaction"), "BEGIN", PCL_ERR_OK},
        {CLASSES("admin"), "KILL 1", PCL_ERR_OK},
        {CLASSES("read write state"), "KILL 1", PCL_ERR_FORBIDDEN},
        {"", "KILL 1", PCL_ERR_FORBIDDEN},
    };
    for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        pcl_request request = s_query(cases[index].sql);
        request.has_session = true;
        request.session[0] = 1;
        pcl_policy_verdict verdict = s_judge_role(cases[index].keys, &request);
        assert_int_equal(verdict.err, cases[index].err);
        assert_int_equal(verdict.rule,
                         verdict.err == PCL_ERR_OK ? PCL_POLICY_RULE_NONE : PCL_POLICY_RULE_CLASS);
    }
}

/* A user variable makes a write class state: that is no way around write. */
static void test_state_is_no_way_around_another_class(void **state)
{
    (void)state;
    static const char *const texts[] = {"UPDATE t SET a = @b", "DELETE FROM t WHERE a = @b",
                                        "INSERT INTO t VALUES (LAST_INSERT_ID())"};
    for (size_t index = 0; index < sizeof texts / sizeof texts[0]; index++) {
        pcl_request request = s_query(texts[index]);
        request.has_session = true;
        request.session[0] = 1;
        assert_int_equal(s_judge_role(CLASSES("read state"), &request).err, PCL_ERR_FORBIDDEN);
        assert_int_equal(s_judge_role(CLASSES("read write"), &request).err, PCL_ERR_FORBIDDEN);
        assert_int_equal(s_judge_role(CLASSES("write state"), &request).err, PCL_ERR_OK);
    }
}

static void test_a_txn_needs_the_class_of_each_statement(void **state)
{
    (void)state;
    static const char *const texts[] = {"SELECT 1", "UPDATE t SET a = @b"};
    s_txn_keys = CLASSES("read");
    pcl_policy_verdict verdict = s_judge_txn(texts, 2);
    assert_int_equal(verdict.err, PCL_ERR_FORBIDDEN);
    assert_int_equal(verdict.rule, PCL_POLICY_RULE_CLASS);
    assert_true(verdict.has_statement);
    assert_int_equal(verdict.statement, 1);
    s_txn_keys = CLASSES("read write");
    assert_int_equal(s_judge_txn(texts, 2).err, PCL_ERR_OK);
    s_txn_keys = NULL;
}

/* EXECUTE shows nothing of what it runs, so PREPARE needs its class, and has no place on a list. */
static void test_prepare_is_no_way_around_a_class_or_a_list(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *keys;
        pcl_policy_rule rule;
    } cases[] = {
        {"PREPARE p FROM 'SELECT 1'", CLASSES("read state"), PCL_POLICY_RULE_NONE},
        {"PREPARE p FROM 'DELETE FROM t WHERE GET_LOCK(1, 1)'", CLASSES("read state"),
         PCL_POLICY_RULE_CLASS},
        {"DELETE FROM t WHERE GET_LOCK('a', 1)", CLASSES("read state"), PCL_POLICY_RULE_CLASS},
        {"DELETE FROM t WHERE GET_LOCK('a', 1)", CLASSES("write state"), PCL_POLICY_RULE_NONE},
        {"SELECT f(), GET_LOCK('a', 1)", CLASSES("read state"), PCL_POLICY_RULE_CLASS},
        {"SELECT GET_LOCK('a', 1), f()", CLASSES("read state"), PCL_POLICY_RULE_CLASS},
        {"SELECT GET_LOCK('a', 1)", CLASSES("read state"), PCL_POLICY_RULE_NONE},
        {"SET @a = f()", CLASSES("read state"), PCL_POLICY_RULE_CLASS},
        {"SET @a = (SELECT shop.f(1))", CLASSES("read state"), PCL_POLICY_RULE_CLASS},
        {"SET @a = f()", CLASSES("write state"), PCL_POLICY_RULE_NONE},
        {"SET @a = 1, @b = (SELECT MAX(n) FROM t)", CLASSES("read state"), PCL_POLICY_RULE_NONE},
        {"PREPARE p FROM 'DELETE FROM t'", CLASSES("read state"), PCL_POLICY_RULE_CLASS},
        {"PREPARE p FROM 'DELETE FROM t'", CLASSES("read write state"), PCL_POLICY_RULE_NONE},
        {"PREPARE p FROM 'DELETE FROM t'", CLASSES("read write"), PCL_POLICY_RULE_CLASS},
        {"PREPARE p FROM 'DROP TABLE t'", CLASSES("read write state"), PCL_POLICY_RULE_CLASS},
        {"PREPARE p FROM 'INSERT INTO t VALUES (@a)'", CLASSES("read state"),
         PCL_POLICY_RULE_CLASS},
        {"PREPARE p FROM \"PREPARE q FROM 'DROP TABLE t'\"", CLASSES("write state"),
         PCL_POLICY_RULE_CLASS},
        {"PREPARE p FROM 'SELECT 1'",
         CLASSES("read state") "        digests = \"protect\"\n        digest_list = \"x\"\n",
         PCL_POLICY_RULE_DIGEST},
    };
    for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        pcl_request request = {.op = PCL_OP_QUERY,
                               .sql = pcl_bytes_text(cases[index].text),
                               .has_session = true,
                               .session = {1}};
        pcl_policy_verdict verdict = s_judge_role(cases[index].keys, &request);
        assert_int_equal(verdict.rule, cases[index].rule);
    }
}

static void test_a_session_needs_transaction_or_state(void **state)
{
    (void)state;
    pcl_request begin = {.op = PCL_OP_BEGIN, .read_only = true};
    assert_int_equal(s_judge_role(CLASSES("read write"), &begin).rule, PCL_POLICY_RULE_CLASS);
    assert_int_equal(s_judge_role(CLASSES("transaction"), &begin).err, PCL_ERR_OK);
    assert_int_equal(s_judge_role(CLASSES("state"), &begin).err, PCL_ERR_OK);
    static const pcl_op frees[] = {PCL_OP_COMMIT, PCL_OP_ROLLBACK, PCL_OP_CLOSE, PCL_OP_CANCEL};
    for (size_t index = 0; index < sizeof frees / sizeof frees[0]; index++) {
        pcl_request request = {.op = frees[index]};
        pcl_policy_verdict verdict = s_judge_role(CLASSES("read"), &request);
        assert_int_equal(verdict.err, PCL_ERR_OK);
        assert_false(verdict.metered);
    }
    static const pcl_op counted[] = {PCL_OP_FETCH, PCL_OP_PING, PCL_OP_STATUS};
    for (size_t index = 0; index < sizeof counted / sizeof counted[0]; index++) {
        pcl_request request = {.op = counted[index]};
        assert_true(s_judge_role(CLASSES("read"), &request).metered);
    }
    pcl_request fetch = {.op = PCL_OP_FETCH};
    assert_int_equal(s_judge_role(CLASSES("locking_read"), &fetch).err, PCL_ERR_OK);
    assert_int_equal(s_judge_role(CLASSES("write ddl"), &fetch).rule, PCL_POLICY_RULE_CLASS);
}

static void test_a_schema_must_fit_a_pattern(void **state)
{
    (void)state;
    static const char keys[] = "        schemas = \"demo shop_% a\\_b %x%y%\"\n";
    static const struct {
        const char *db;
        bool fits;
    } cases[] = {
        {"", true},
        {"demo", true},
        {"demos", false},
        {"DEMO", false},
        {"shop", false},
        {"shop_", true},
        {"shop_1", true},
        {"shopx1", true},
        {"a_b", true},
        {"acb", false},
        {"xy", true},
        {"axbycz", true},
        {"yx", false},
        {"shop_\xc3\xa4", true},
        {"xxxxxxxy", true},
        {"xxxxxxxx", false},
        {"shop\xc3\xa4"
         "1",
         true},
    };
    for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        pcl_request request = s_query("SELECT 1");
        request.db = pcl_bytes_text(cases[index].db);
        pcl_policy_verdict verdict = s_judge_role(keys, &request);
        assert_int_equal(verdict.err, cases[index].fits ? PCL_ERR_OK : PCL_ERR_FORBIDDEN);
        assert_int_equal(verdict.rule,
                         cases[index].fits ? PCL_POLICY_RULE_NONE : PCL_POLICY_RULE_SCHEMA);
    }
    pcl_request request = s_query("SELECT 1");
    request.db = pcl_bytes_text("mysql"); /* nobody's, whatever a role says */
    assert_int_equal(s_judge_role("        schemas = \"%\"\n", &request).err, PCL_ERR_REFUSED);
    assert_int_equal(s_judge_role("        schemas = \"%\"\n" DRY("schema"), &request).err,
                     PCL_ERR_REFUSED);
}

static void test_a_strategy_must_be_the_roles(void **state)
{
    (void)state;
    static const char keys[] = "        strategies = \"direct\"\n";
    pcl_request request = s_query("SELECT 1");
    assert_int_equal(s_judge_role(keys, &request).err, PCL_ERR_OK); /* the proxy's own */
    request.strategy = PCL_STRATEGY_DIRECT;
    assert_int_equal(s_judge_role(keys, &request).err, PCL_ERR_OK);
    request.strategy = PCL_STRATEGY_RANDOM;
    pcl_policy_verdict verdict = s_judge_role(keys, &request);
    assert_int_equal(verdict.err, PCL_ERR_FORBIDDEN);
    assert_int_equal(verdict.rule, PCL_POLICY_RULE_STRATEGY);
    assert_string_equal(verdict.message, "strategy: the role may not choose random");
}

static void test_time_and_rows_are_bounded(void **state)
{
    (void)state;
    static const char keys[] = "        timeout_ms_max = \"1000\"\n        rows_max = \"7\"\n";
    static const char trial[] = "        timeout_ms_max = \"1000\"\n        rows_max = \"7\"\n" DRY(
        "timeout rows");
    pcl_request request = s_query("SELECT 1");
    request.timeout_ms = 2000;
    pcl_policy_verdict verdict = s_judge_role("", &request);
    assert_int_equal(verdict.timeout_ms, PCL_TIMEOUT_MS_MAX);
    assert_int_equal(verdict.rows_max, 0);
    verdict = s_judge_role(keys, &request);
    assert_int_equal(verdict.err, PCL_ERR_OK);
    assert_int_equal(verdict.timeout_ms, 1000);
    assert_int_equal(verdict.rows_max, 7);
    assert_int_equal(verdict.rows_dry_max, 0);
    assert_int_equal(verdict.dry_run, 0);
    verdict = s_judge_role(trial, &request);
    assert_int_equal(verdict.timeout_ms, PCL_TIMEOUT_MS_MAX);
    assert_int_equal(verdict.rows_max, 0);
    assert_int_equal(verdict.rows_dry_max, 7);
    assert_int_equal(verdict.dry_run, 1u << PCL_POLICY_RULE_TIMEOUT);
    assert_string_equal(verdict.dry_message, "timeout_ms: would be cut to 1000");
    request.timeout_ms = 1000;
    assert_int_equal(s_judge_role(trial, &request).dry_run, 0);
}

static void test_rules_on_trial_only_tell(void **state)
{
    (void)state;
    static const char keys[] = CLASSES("read") "        schemas = \"demo\"\n"
                                               "        strategies = \"direct\"\n";
    static const char trial[] = CLASSES("read") "        schemas = \"demo\"\n"
                                                "        strategies = \"direct\"\n" DRY(
                                                    "class schema strategy");
    pcl_request request = s_query("DELETE FROM t");
    request.db = pcl_bytes_text("other");
    request.strategy = PCL_STRATEGY_RANDOM;
    pcl_policy_verdict verdict = s_judge_role(keys, &request);
    assert_int_equal(verdict.rule, PCL_POLICY_RULE_CLASS);
    verdict = s_judge_role(trial, &request);
    assert_int_equal(verdict.err, PCL_ERR_OK);
    assert_int_equal(verdict.sql_class, PCL_SQL_WRITE);
    assert_int_equal(verdict.dry_run, 1u << PCL_POLICY_RULE_CLASS | 1u << PCL_POLICY_RULE_SCHEMA |
                                          1u << PCL_POLICY_RULE_STRATEGY);
    assert_string_equal(verdict.dry_message, "sql: the role may not run a write statement");
    request = s_query("KILL 1"); /* not even then */
    assert_int_equal(s_judge_role(trial, &request).err, PCL_ERR_FORBIDDEN);
    request = s_query("SELECT 1; SELECT 2");
    assert_int_equal(s_judge_role(trial, &request).err, PCL_ERR_REFUSED);
}

/* --- Digests ------------------------------------------------------------------------- */

#define PROTECT "        digests = \"protect\"\n        digest_list = \"x\"\n"
#define DETECT  "        digests = \"detect\"\n        digest_list = \"x\"\n"

static void test_what_is_not_allowed_by_the_list_is_refused(void **state)
{
    (void)state;
    pcl_policy *policy = s_role_of(PROTECT);
    pcl_digest_list *list = pcl_digest_list_new();
    assert_non_null(list);
    (void)pcl_digest_list_put(list, pcl_bytes_text("select a from t where b = ?"),
                              PCL_DIGEST_ALLOWED);
    (void)pcl_digest_list_put(list, pcl_bytes_text("select ?"), PCL_DIGEST_SEEN);
    pcl_request request = s_query("SELECT a FROM t WHERE b = 'x'");
    pcl_policy_verdict verdict = s_judge_by(policy, "p", list, &request);
    assert_int_equal(verdict.err, PCL_ERR_OK);
    assert_true(verdict.digest_id == UINT64_C(0x503f02b04c3e6ef7));
    assert_false(verdict.digest_unknown);
    request = s_query("SELECT 1"); /* seen is not allowed */
    verdict = s_judge_by(policy, "p", list, &request);
    assert_int_equal(verdict.err, PCL_ERR_FORBIDDEN);
    assert_int_equal(verdict.rule, PCL_POLICY_RULE_DIGEST);
    assert_string_equal(verdict.message, "sql: digest 58aaeed564aa450f is not on the list");
    assert_true(verdict.digest_unknown);
    request = s_query("SELECT a FROM t WHERE b = 'x' OR 1 = 1");
    assert_int_equal(s_judge_by(policy, "p", list, &request).err, PCL_ERR_FORBIDDEN);
    assert_int_equal(s_judge_by(policy, "p", NULL, &request).err, PCL_ERR_FORBIDDEN);
    pcl_request ping = {.op = PCL_OP_PING};
    assert_int_equal(s_judge_by(policy, "p", NULL, &ping).err, PCL_ERR_OK);
    pcl_digest_list_destroy(&list);
    pcl_policy_destroy(&policy);
}

static void s_count_unknown(void *context, pcl_bytes text)
{
    assert_true(text.size > 0);
    ++*(int *)context;
}

static int s_unknown(const pcl_digest_list *list, const pcl_request *request)
{
    int count = 0;
    pcl_sql_cache *cache = pcl_sql_cache_new(NULL, 16, 65536, 4711);
    assert_non_null(cache);
    pcl_policy_each_unknown(list, request, cache, s_count_unknown, &count);
    pcl_sql_cache_destroy(&cache);
    return count;
}

static void test_detect_runs_and_tells(void **state)
{
    (void)state;
    pcl_digest_list *list = pcl_digest_list_new();
    assert_non_null(list);
    pcl_request request = s_query("SELECT 1");
    pcl_policy_verdict verdict = s_judge_role(DETECT, &request);
    assert_int_equal(verdict.err, PCL_ERR_OK);
    assert_int_equal(verdict.dry_run, 0);
    assert_true(verdict.digest_unknown);
    assert_int_equal(s_unknown(list, &request), 1);
    assert_int_equal(s_unknown(NULL, &request), 1);
    (void)pcl_digest_list_put(list, pcl_bytes_text("select ?"), PCL_DIGEST_SEEN);
    assert_int_equal(s_unknown(list, &request), 0);
    pcl_digest_list_destroy(&list);
    verdict = s_judge_role(PROTECT DRY("digest"), &request);
    assert_int_equal(verdict.err, PCL_ERR_OK);
    assert_int_equal(verdict.dry_run, 1u << PCL_POLICY_RULE_DIGEST);
    assert_true(verdict.digest_unknown);
}

/* Behind 4096 octets a statement could go on with anything. */
static void test_a_digest_that_was_cut_is_on_no_list(void **state)
{
    (void)state;
    static char sql[6000];
    (void)snprintf(sql, sizeof sql, "SELECT a");
    while (strlen(sql) < sizeof sql - 16) {
        (void)strcat(sql, ", aaaaaaaa");
    }
    pcl_request request = s_query(sql);
    pcl_policy *policy = s_role_of(PROTECT);
    const pcl_policy_principal *principal = pcl_policy_find(policy, pcl_bytes_text("p"));
    pcl_sql_cache *cache = pcl_sql_cache_new(NULL, 16, (size_t)1024 * 1024, 4711);
    pcl_digest_list *list = pcl_digest_list_new();
    assert_non_null(cache);
    assert_non_null(list);
    pcl_buffer digest;
    pcl_buffer_init(&digest, PCL_SQL_DIGEST_SIZE_MAX);
    pcl_policy_verdict verdict = pcl_policy_judge(principal, list, &request, cache, &digest);
    assert_int_equal(verdict.rule, PCL_POLICY_RULE_DIGEST);
    assert_non_null(strstr(verdict.message, "for it is too long"));
    assert_true(digest.size <= PCL_SQL_DIGEST_SIZE_MAX && digest.size > 4000);
    assert_false(pcl_digest_list_put(list, pcl_buffer_bytes(&digest), PCL_DIGEST_ALLOWED));
    assert_int_equal(s_unknown(list, &request), 0);
    pcl_buffer_release(&digest);
    pcl_digest_list_destroy(&list);
    pcl_sql_cache_destroy(&cache);
    pcl_policy_destroy(&policy);
}

/* For the audit: the digests of all statements, cut where they are too many. */
static void test_a_txn_has_one_digest(void **state)
{
    (void)state;
    static const char *const two[] = {"SELECT 1", "DELETE FROM t WHERE a = 7"};
    pcl_policy_verdict verdict = s_judge_txn(two, 2);
    assert_true(verdict.digest_id == pcl_digest_id(pcl_bytes_text("select ?; delete from t where "
                                                                  "a = ?")));
    static char wide[200];
    (void)snprintf(wide, sizeof wide, "SELECT %0180d", 1);
    (void)memset(wide + 7, 'a', 180);
    const char *many[15];
    for (size_t index = 0; index < sizeof many / sizeof many[0]; index++) {
        many[index] = wide;
    }
    assert_int_equal(s_judge_txn(many, 15).err, PCL_ERR_OK);
}

/* --- Seals ------------------------------------------------------------------------------ */

static void test_a_seal_is_asked_for_as_the_role_says(void **state)
{
    (void)state;
    static const struct {
        const char *keys;
        bool sealed, remote;
        pcl_err err;
        uint32_t dry_run;
    } cases[] = {
        {"", false, false, PCL_ERR_OK, 0},
        {"", false, true, PCL_ERR_FORBIDDEN, 0},
        {"", true, true, PCL_ERR_OK, 0},
        {"        seal = \"optional\"\n", false, true, PCL_ERR_OK, 0},
        {DRY("seal"), false, true, PCL_ERR_OK, 1u << PCL_POLICY_RULE_SEAL},
        {DRY("seal"), true, true, PCL_ERR_OK, 0},
    };
    for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        pcl_policy *policy = s_role_of(cases[index].keys);
        pcl_policy_verdict verdict = pcl_policy_judge_seal(
            pcl_policy_find(policy, pcl_bytes_text("p")), cases[index].sealed, cases[index].remote);
        assert_int_equal(verdict.err, cases[index].err);
        assert_int_equal(verdict.dry_run, cases[index].dry_run);
        assert_int_equal(verdict.rule,
                         verdict.err == PCL_ERR_OK ? PCL_POLICY_RULE_NONE : PCL_POLICY_RULE_SEAL);
        pcl_policy_destroy(&policy);
    }
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
        cmocka_unit_test(test_params_must_fit_the_placeholders),
        cmocka_unit_test(test_the_rules_of_the_cache_say_which_functions_are_harmless),
        cmocka_unit_test(test_the_head_must_agree_with_the_payload),
        cmocka_unit_test(test_what_the_payload_leaves_open_is_the_gatekeepers),
        cmocka_unit_test(test_a_role_runs_its_classes_only),
        cmocka_unit_test(test_state_is_no_way_around_another_class),
        cmocka_unit_test(test_a_txn_needs_the_class_of_each_statement),
        cmocka_unit_test(test_prepare_is_no_way_around_a_class_or_a_list),
        cmocka_unit_test(test_a_session_needs_transaction_or_state),
        cmocka_unit_test(test_a_schema_must_fit_a_pattern),
        cmocka_unit_test(test_a_strategy_must_be_the_roles),
        cmocka_unit_test(test_time_and_rows_are_bounded),
        cmocka_unit_test(test_rules_on_trial_only_tell),
        cmocka_unit_test(test_what_is_not_allowed_by_the_list_is_refused),
        cmocka_unit_test(test_detect_runs_and_tells),
        cmocka_unit_test(test_a_digest_that_was_cut_is_on_no_list),
        cmocka_unit_test(test_a_txn_has_one_digest),
        cmocka_unit_test(test_a_seal_is_asked_for_as_the_role_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
