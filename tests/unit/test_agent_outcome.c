/* What a failure means to the client. */
#include "worker-agent/outcome.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

typedef struct failure_case {
    pcl_stage stage;
    uint8_t sql_class;
    uint32_t number;
    pcl_ending ending;
    bool rolled_back; /* the server says so */
    pcl_err err;
    pcl_retry retry;
} failure_case;

/* clang-format off */
#define ROW(stage, sql_class, number, ending, err, retry) \
    {PCL_STAGE_##stage, PCL_SQL_##sql_class, number, PCL_ENDING_##ending, false, PCL_ERR_##err, \
     PCL_RETRY_##retry}
#define WHOLE(sql_class, number, retry) \
    {PCL_STAGE_EXECUTE, PCL_SQL_##sql_class, number, PCL_ENDING_NONE, true, PCL_ERR_SQL, \
     PCL_RETRY_##retry}
static const failure_case FAILURES[] = {
    /* The server refuses the statement. */
    ROW(PREPARE, READ, 1064, NONE, SQL, NEVER),
    ROW(EXECUTE, WRITE, 1062, NONE, SQL, NEVER),
    ROW(EXECUTE, WRITE, 1290, NONE, SQL, NEVER),
    ROW(EXECUTE, READ, 1792, NONE, SQL, NEVER),
    ROW(EXECUTE, READ, 1142, NONE, SQL, NEVER),
    /* It rolled the statement back, and all of it only where it says so. */
    WHOLE(WRITE, 1213, SAFE),
    WHOLE(WRITE, 1205, SAFE),
    WHOLE(LOCKING_READ, 1205, SAFE),
    WHOLE(WRITE, 1317, UNSAFE),
    WHOLE(WRITE, 1062, NEVER),
    ROW(EXECUTE, WRITE, 1213, NONE, SQL, UNSAFE),
    ROW(EXECUTE, WRITE, 1205, NONE, SQL, UNSAFE),
    ROW(EXECUTE, READ, 1205, NONE, SQL, SAFE),
    ROW(PREPARE, WRITE, 1205, NONE, SQL, SAFE),
    ROW(EXECUTE, CALL, 1213, NONE, SQL, UNSAFE),
    /* The connection is gone. */
    ROW(CONNECT, WRITE, 2002, NONE, NO_NODE, SAFE),
    ROW(CONNECT, READ, 1045, NONE, NO_NODE, SAFE),
    ROW(PREPARE, WRITE, 2006, NONE, LOST, SAFE),
    ROW(EXECUTE, READ, 2013, NONE, LOST, SAFE),
    ROW(EXECUTE, WRITE, 2013, NONE, LOST, UNSAFE),
    ROW(EXECUTE, WRITE, 2006, NONE, LOST, UNSAFE),
    ROW(EXECUTE, WRITE, 1053, NONE, LOST, UNSAFE),
    ROW(EXECUTE, DDL, 1927, NONE, LOST, UNSAFE),
    /* Ended at its deadline. */
    ROW(EXECUTE, READ, 1317, DEADLINE, DEADLINE, SAFE),
    ROW(EXECUTE, WRITE, 1317, DEADLINE, DEADLINE, UNSAFE),
    ROW(EXECUTE, WRITE, 3024, DEADLINE, DEADLINE, UNSAFE),
    ROW(EXECUTE, LOCKING_READ, 1317, DEADLINE, DEADLINE, UNSAFE),
    ROW(EXECUTE, READ, 1969, DEADLINE, DEADLINE, SAFE),
    ROW(EXECUTE, CALL, 1317, DEADLINE, DEADLINE, UNSAFE),
    ROW(EXECUTE, DDL, 1317, DEADLINE, DEADLINE, UNSAFE),
    ROW(PREPARE, DDL, 1317, DEADLINE, DEADLINE, SAFE),
    ROW(EXECUTE, WRITE, 2013, DEADLINE, DEADLINE, UNSAFE),
    ROW(EXECUTE, READ, 2013, DEADLINE, DEADLINE, SAFE),
    /* Ended since it was cancelled. */
    ROW(EXECUTE, READ, 1317, CANCELLED, CANCELLED, SAFE),
    ROW(EXECUTE, WRITE, 1317, CANCELLED, CANCELLED, UNSAFE),
    ROW(EXECUTE, WRITE, 3100, CANCELLED, CANCELLED, UNSAFE),
    ROW(EXECUTE, WRITE, 3100, NONE, SQL, UNSAFE),
    ROW(PREPARE, WRITE, 1317, CANCELLED, CANCELLED, SAFE),
    ROW(EXECUTE, WRITE, 2013, CANCELLED, CANCELLED, UNSAFE),
    ROW(EXECUTE, STATE, 1317, CANCELLED, CANCELLED, UNSAFE),
    /* Ended by someone else. */
    ROW(EXECUTE, WRITE, 1317, NONE, SQL, UNSAFE),
    /* The node is short of something. */
    ROW(CONNECT, READ, 1040, NONE, OVERLOADED, SAFE),
    ROW(PREPARE, WRITE, 1461, NONE, OVERLOADED, SAFE),
    /* Rows that do not fit, columns that changed. */
    ROW(EXECUTE, READ, 2020, NONE, TOO_LARGE, NEVER),
    ROW(EXECUTE, WRITE, 2020, NONE, TOO_LARGE, UNSAFE),
    ROW(EXECUTE, WRITE, 2057, NONE, INTERNAL, UNSAFE),
};
/* clang-format on */

static void test_failures_mean_what_the_table_says(void **state)
{
    (void)state;
    for (size_t index = 0; index < sizeof FAILURES / sizeof FAILURES[0]; index++) {
        const failure_case *row = &FAILURES[index];
        pcl_outcome outcome = pcl_outcome_of_error(row->stage, row->sql_class, row->number,
                                                   row->ending, row->rolled_back);
        if (outcome.err != row->err || outcome.retry != row->retry) {
            fail_msg("row %zu: %s %s", index, pcl_err_code((int)outcome.err),
                     pcl_retry_text((int)outcome.retry));
        }
    }
}

/* What says something of the node, and what any client could bring about: the first take
 * it out of the choice, the second must never. */
static void test_the_node_is_blamed_for_its_own_failures_only(void **state)
{
    (void)state;
    static const uint32_t NODES[] = {1037, 1040, 1053, 1184, 1927, 2002, 2003,
                                     2006, 2008, 2013, 2055, 3169, 4031};
    static const uint32_t CLIENTS[] = {1021, 1038, 1048, 1054, 1062, 1064, 1142, 1146, 1203,
                                       1205, 1213, 1264, 1290, 1317, 1365, 1451, 1461, 1792,
                                       1969, 2020, 2057, 3024, 3100, 3819, 4025};
    static const uint32_t ACCOUNTS[] = {1044, 1045, 1203, 1226, 1698, 1862};
    for (pcl_stage stage = PCL_STAGE_CONNECT; stage <= PCL_STAGE_EXECUTE; stage++) {
        for (size_t index = 0; index < sizeof NODES / sizeof NODES[0]; index++) {
            assert_true(
                pcl_outcome_of_error(stage, PCL_SQL_READ, NODES[index], PCL_ENDING_NONE, false)
                    .node_fault);
        }
        for (size_t index = 0; index < sizeof CLIENTS / sizeof CLIENTS[0]; index++) {
            if (stage != PCL_STAGE_CONNECT) {
                assert_false(pcl_outcome_of_error(stage, PCL_SQL_READ, CLIENTS[index],
                                                  PCL_ENDING_NONE, false)
                                 .node_fault);
            }
        }
    }
    /* The server refuses the agent itself, or only one role's account. */
    assert_true(pcl_outcome_of_error(PCL_STAGE_CONNECT, PCL_SQL_READ, 1130, PCL_ENDING_NONE, false)
                    .node_fault);
    for (size_t index = 0; index < sizeof ACCOUNTS / sizeof ACCOUNTS[0]; index++) {
        pcl_outcome outcome = pcl_outcome_of_error(PCL_STAGE_CONNECT, PCL_SQL_READ, ACCOUNTS[index],
                                                   PCL_ENDING_NONE, false);
        assert_false(outcome.node_fault);
        assert_int_equal(outcome.retry, PCL_RETRY_SAFE);
    }
    /* What we ended was ended by us, whatever the server then said. */
    for (uint32_t number = 1; number < 5000; number++) {
        if (pcl_errno_is_loss(number)) {
            assert_false(pcl_outcome_of_error(PCL_STAGE_EXECUTE, PCL_SQL_READ, number,
                                              PCL_ENDING_DEADLINE, false)
                             .node_fault);
        }
    }
    /* A statement may be one that no KILL ends soon, while the database answers others. */
    assert_true(pcl_outcome_of_silence(PCL_OP_QUERY, PCL_SQL_READ, false).node_fault);
    assert_false(pcl_outcome_of_silence(PCL_OP_QUERY, PCL_SQL_READ, true).node_fault);
    assert_false(pcl_outcome_of_silence(PCL_OP_QUERY, PCL_SQL_WRITE, false).node_fault);
}

/* Whatever the error: a write that was sent is only said to be safe when the
 * server was asked and said that it rolled back. */
static void test_a_write_that_was_sent_is_seldom_safe(void **state)
{
    (void)state;
    for (uint32_t number = 1; number < 5000; number++) {
        pcl_outcome outcome = pcl_outcome_of_error(PCL_STAGE_EXECUTE, PCL_SQL_WRITE, number,
                                                   PCL_ENDING_NONE, false);
        assert_int_not_equal(outcome.retry, PCL_RETRY_SAFE);
        assert_int_not_equal(outcome.err, PCL_ERR_OK);
        if (pcl_errno_is_loss(number)) {
            assert_true(outcome.broken);
        }
    }
}

static void test_only_single_statements_are_asked_about(void **state)
{
    (void)state;
    for (uint8_t sql_class = PCL_SQL_NONE; sql_class <= PCL_SQL_REFUSED; sql_class++) {
        for (uint32_t number = 1; number < 5000; number++) {
            bool single = sql_class == PCL_SQL_WRITE || sql_class == PCL_SQL_LOCKING_READ;
            bool asked = pcl_may_be_rolled_back(PCL_STAGE_EXECUTE, sql_class, number);
            assert_int_equal(asked, single && (number == 1205 || number == 1213));
            assert_false(pcl_may_be_rolled_back(PCL_STAGE_PREPARE, sql_class, number));
        }
    }
}

static void test_a_refused_account_is_told_from_a_lost_server(void **state)
{
    (void)state;
    uint32_t refusals = 0;
    for (uint32_t number = 1; number < 5000; number++) {
        if (pcl_errno_is_refusal(number)) {
            assert_false(pcl_errno_is_loss(number));
            refusals++;
        }
    }
    assert_int_equal(refusals, 6);
    assert_true(pcl_errno_is_refusal(1045));
    assert_false(pcl_errno_is_refusal(2002));
}

static void test_what_came_back_after_its_kill_is_not_believed(void **state)
{
    (void)state;
    pcl_outcome outcome = pcl_outcome_of_success(PCL_SQL_WRITE, PCL_ENDING_NONE);
    assert_int_equal(outcome.err, PCL_ERR_OK);
    outcome = pcl_outcome_of_success(PCL_SQL_WRITE, PCL_ENDING_DEADLINE);
    assert_int_equal(outcome.err, PCL_ERR_DEADLINE);
    assert_int_equal(outcome.retry, PCL_RETRY_UNSAFE);
    outcome = pcl_outcome_of_success(PCL_SQL_READ, PCL_ENDING_DEADLINE);
    assert_int_equal(outcome.err, PCL_ERR_DEADLINE);
    assert_int_equal(outcome.retry, PCL_RETRY_SAFE);
}

static void test_silence_is_safe_only_where_nothing_can_stand(void **state)
{
    (void)state;
    static const struct {
        pcl_op op;
        pcl_sql_class sql_class;
        pcl_retry retry;
    } ROWS[] = {
        {PCL_OP_QUERY, PCL_SQL_READ, PCL_RETRY_SAFE},
        {PCL_OP_QUERY, PCL_SQL_WRITE, PCL_RETRY_UNSAFE},
        {PCL_OP_QUERY, PCL_SQL_STATE, PCL_RETRY_UNSAFE},
        {PCL_OP_BEGIN, PCL_SQL_WRITE, PCL_RETRY_SAFE},
        {PCL_OP_ROLLBACK, PCL_SQL_TRANSACTION, PCL_RETRY_SAFE},
        {PCL_OP_CLOSE, PCL_SQL_READ, PCL_RETRY_SAFE},
        {PCL_OP_COMMIT, PCL_SQL_TRANSACTION, PCL_RETRY_UNSAFE},
        {PCL_OP_TXN, PCL_SQL_WRITE, PCL_RETRY_UNSAFE},
        {PCL_OP_FETCH, PCL_SQL_READ, PCL_RETRY_NEVER},
    };
    for (size_t index = 0; index < sizeof ROWS / sizeof ROWS[0]; index++) {
        pcl_outcome outcome = pcl_outcome_of_silence(ROWS[index].op, (uint8_t)ROWS[index].sql_class,
                                                     true);
        assert_int_equal(outcome.err, PCL_ERR_DEADLINE);
        assert_int_equal(outcome.retry, ROWS[index].retry);
    }
}

static void test_what_became_of_a_commit_is_known_in_one_case_only(void **state)
{
    (void)state;
    for (uint32_t number = 1; number < 5000; number++) {
        for (pcl_ending ending = PCL_ENDING_NONE; ending <= PCL_ENDING_CANCELLED; ending++) {
            pcl_outcome outcome = pcl_outcome_of_commit(number, ending);
            assert_int_not_equal(outcome.err, PCL_ERR_OK);
            assert_int_equal(outcome.retry,
                             number == PCL_ER_DEADLOCK ? PCL_RETRY_SAFE : PCL_RETRY_UNSAFE);
        }
    }
    assert_int_equal(pcl_outcome_of_commit(2013, PCL_ENDING_NONE).err, PCL_ERR_LOST);
    assert_int_equal(pcl_outcome_of_commit(1317, PCL_ENDING_DEADLINE).err, PCL_ERR_DEADLINE);
    assert_int_equal(pcl_outcome_of_commit(1317, PCL_ENDING_CANCELLED).err, PCL_ERR_CANCELLED);
}

static void test_a_txn_is_unsafe_exactly_where_a_trace_may_be_left(void **state)
{
    (void)state;
    for (uint32_t number = 1; number < 5000; number++) {
        pcl_outcome left = pcl_outcome_in_txn(PCL_STAGE_EXECUTE, number, PCL_ENDING_NONE, false);
        pcl_outcome gone = pcl_outcome_in_txn(PCL_STAGE_EXECUTE, number, PCL_ENDING_NONE, true);
        assert_int_equal(left.retry, PCL_RETRY_UNSAFE);
        assert_int_not_equal(gone.retry, PCL_RETRY_UNSAFE);
        assert_int_equal(left.err, gone.err);
    }
    /* What fails for its own reason fails again; what met something else may not. */
    assert_int_equal(pcl_outcome_in_txn(PCL_STAGE_EXECUTE, 1062, PCL_ENDING_NONE, true).retry,
                     PCL_RETRY_NEVER);
    assert_int_equal(pcl_outcome_in_txn(PCL_STAGE_EXECUTE, 1213, PCL_ENDING_NONE, true).retry,
                     PCL_RETRY_SAFE);
    assert_int_equal(pcl_outcome_in_txn(PCL_STAGE_EXECUTE, 2013, PCL_ENDING_NONE, true).retry,
                     PCL_RETRY_SAFE);
}

static void test_what_was_ended_is_said_with_its_reason(void **state)
{
    (void)state;
    pcl_outcome outcome = pcl_outcome_of_ending(PCL_ENDING_CANCELLED, true);
    assert_int_equal(outcome.err, PCL_ERR_CANCELLED);
    assert_int_equal(outcome.retry, PCL_RETRY_SAFE);
    outcome = pcl_outcome_of_ending(PCL_ENDING_DEADLINE, false);
    assert_int_equal(outcome.err, PCL_ERR_DEADLINE);
    assert_int_equal(outcome.retry, PCL_RETRY_UNSAFE);
}

static void test_statements_that_end_a_transaction_themselves_abort_nothing(void **state)
{
    (void)state;
    for (uint8_t sql_class = PCL_SQL_NONE; sql_class <= PCL_SQL_REFUSED; sql_class++) {
        bool rows = sql_class >= PCL_SQL_READ && sql_class <= PCL_SQL_CALL;
        assert_int_equal(pcl_class_may_not_end(sql_class), rows);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_silence_is_safe_only_where_nothing_can_stand),
        cmocka_unit_test(test_failures_mean_what_the_table_says),
        cmocka_unit_test(test_the_node_is_blamed_for_its_own_failures_only),
        cmocka_unit_test(test_a_write_that_was_sent_is_seldom_safe),
        cmocka_unit_test(test_only_single_statements_are_asked_about),
        cmocka_unit_test(test_a_refused_account_is_told_from_a_lost_server),
        cmocka_unit_test(test_what_came_back_after_its_kill_is_not_believed),
        cmocka_unit_test(test_what_became_of_a_commit_is_known_in_one_case_only),
        cmocka_unit_test(test_a_txn_is_unsafe_exactly_where_a_trace_may_be_left),
        cmocka_unit_test(test_what_was_ended_is_said_with_its_reason),
        cmocka_unit_test(test_statements_that_end_a_transaction_themselves_abort_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
