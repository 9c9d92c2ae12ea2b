/* Replies as the agent writes them: maps that are counted at their end, errors. */
#include "worker-agent/answer.h"
#include "worker-agent/spares.h"

#include "wire/reply.h"
#include "wire/request.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static pcl_reply s_decode(const pcl_job *job)
{
    pcl_reply reply;
    assert_int_equal(pcl_reply_decode(&reply, pcl_buffer_bytes(&job->reply)), PCL_ERR_OK);
    return reply;
}

static void test_a_map_counts_what_is_put_into_it(void **state)
{
    (void)state;
    pcl_job *job = pcl_job_new();
    assert_non_null(job);
    uint8_t id[PCL_ID_SIZE] = {1, 2, 3};
    pcl_answer answer = pcl_answer_open(job);
    pcl_answer_uint(&answer, "affected", 7);
    pcl_answer_uint(&answer, "warnings", 2);
    pcl_answer_text(&answer, "token", "0-1-2");
    pcl_answer_id(&answer, "cursor", id, 9);
    pcl_reply reply = s_decode(job);
    assert_true(reply.ok && reply.has_affected && reply.has_cursor);
    assert_int_equal(reply.affected, 7);
    assert_int_equal(reply.warnings, 2);
    assert_true(pcl_bytes_is(reply.token, "0-1-2"));
    id[PCL_ID_SIZE - 1] = 9;
    assert_memory_equal(reply.cursor, id, sizeof id);
    answer = pcl_answer_open(job); /* begins again */
    assert_false(s_decode(job).has_affected);
    pcl_job_destroy(&job);
}

static void test_results_of_a_txn_are_maps_in_an_array(void **state)
{
    (void)state;
    pcl_job *job = pcl_job_new();
    assert_non_null(job);
    pcl_answer answer = pcl_answer_open(job);
    pcl_answer_key(&answer, "results");
    uint8_t two = 0x92;
    pcl_buffer_put(&job->reply, &two, 1);
    for (uint64_t count = 1; count <= 2; count++) {
        pcl_answer result = pcl_answer_map(&job->reply);
        pcl_answer_uint(&result, "affected", count);
        pcl_answer_uint(&result, "warnings", 0);
    }
    pcl_answer_text(&answer, "token", "t");
    pcl_reply reply = s_decode(job);
    pcl_reply result;
    assert_int_equal(reply.result_count, 2);
    pcl_reply_result(&reply, 1, &result);
    assert_int_equal(result.affected, 2);
    pcl_job_destroy(&job);
}

static void test_an_error_replaces_what_was_written(void **state)
{
    (void)state;
    pcl_job *job = pcl_job_new();
    assert_non_null(job);
    pcl_answer answer = pcl_answer_open(job);
    pcl_answer_uint(&answer, "affected", 7);
    pcl_sql_error error = {.number = 1213, .sqlstate = "40001", .message = "Deadlock \xc3"};
    pcl_outcome outcome = {.err = PCL_ERR_SQL, .retry = PCL_RETRY_SAFE};
    pcl_answer_error(job, outcome, &error, 3);
    pcl_reply reply = s_decode(job);
    assert_false(reply.ok);
    assert_int_equal(reply.error_errno, 1213);
    assert_true(reply.has_error_statement);
    assert_int_equal(reply.error_statement, 3);
    assert_true(pcl_bytes_is(reply.error_message, "Deadlock "));
    pcl_job_refuse(job, (pcl_outcome){.err = PCL_ERR_GONE, .retry = PCL_RETRY_NEVER}, "");
    reply = s_decode(job);
    assert_true(pcl_bytes_is(reply.error_code, "GONE"));
    assert_false(reply.has_error_statement);
    assert_true(pcl_bytes_is(reply.error_message, pcl_err_text(PCL_ERR_GONE)));
    pcl_job_destroy(&job);
}

static void test_pages_are_as_asked_or_as_usual(void **state)
{
    (void)state;
    pcl_request request = {.page_rows = 10, .page_bytes = 500, .metadata = true};
    pcl_page page = pcl_page_asked(&request);
    assert_int_equal(page.rows_max, 10);
    assert_int_equal(page.bytes_max, 500);
    assert_true(page.metadata);
    page = pcl_page_asked(&(pcl_request){.op = PCL_OP_FETCH});
    assert_int_equal(page.rows_max, PCL_PAGE_ROWS_DEFAULT);
    assert_int_equal(page.bytes_max, PCL_PAGE_BYTES_DEFAULT);
    assert_int_equal(pcl_page_whole(&request).rows_max, UINT32_MAX);
}

static void test_a_connection_that_is_not_open_is_no_spare(void **state)
{
    (void)state;
    pcl_agent_options options = {.statements_max = 4, .threads = 1};
    pcl_spares *spares = pcl_spares_new(&options, 2);
    pcl_accounts accounts = {.name = "app"};
    pcl_connection *connection = pcl_spares_take(spares, &accounts, PCL_ACCOUNT_WRITE, false);
    assert_int_equal(pcl_connection_account(connection), PCL_ACCOUNT_WRITE);
    assert_false(pcl_connection_is_open(connection));
    pcl_spares_give(spares, &connection, 0);
    assert_null(connection);
    assert_int_equal(pcl_spares_count(spares), 0);
    pcl_spares_destroy(&spares);
    assert_null(spares);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_map_counts_what_is_put_into_it),
        cmocka_unit_test(test_results_of_a_txn_are_maps_in_an_array),
        cmocka_unit_test(test_an_error_replaces_what_was_written),
        cmocka_unit_test(test_pages_are_as_asked_or_as_usual),
        cmocka_unit_test(test_a_connection_that_is_not_open_is_no_spare),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
