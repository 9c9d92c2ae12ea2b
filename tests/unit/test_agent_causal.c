/* What the tokens of replies name. */
#include "worker-agent/causal.h"

#include "wire/reply.h"
#include "wire/token.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the token of a reply names; "" where it has none. */
static void s_name(const char *named, const char *after, bool furthest,
                   char position[PCL_GTID_SIZE_MAX + 1])
{
    pcl_keyring_content content = {.count = PCL_PLACE_ACCOUNTS, .tokens = {.count = 1}};
    content.passwords = calloc(content.count, sizeof *content.passwords);
    assert_non_null(content.passwords);
    pcl_agent_options options = {.keyring = pcl_keyring_new(&content)};
    uint8_t mac[PCL_TOKEN_MAC_SIZE];
    pcl_bytes text = {0};
    pcl_reply reply;
    pcl_job *job = pcl_job_new();
    assert_non_null(job);
    pcl_answer answer = pcl_answer_open(job);
    pcl_causal_put_token(&answer, &options, pcl_bytes_text(named), pcl_bytes_text(after), furthest);
    assert_int_equal(pcl_reply_decode(&reply, pcl_buffer_bytes(&job->reply)), PCL_ERR_OK);
    if (reply.token.size > 0) {
        assert_true(pcl_token_read(reply.token, mac, &text));
    }
    (void)snprintf(position, PCL_GTID_SIZE_MAX + 1, "%.*s", (int)text.size,
                   text.size > 0 ? (const char *)text.data : "");
    pcl_job_destroy(&job);
    pcl_keyring_destroy(&options.keyring);
}

static void test_a_token_names_what_was_done_and_asked_for(void **state)
{
    (void)state;
    char position[PCL_GTID_SIZE_MAX + 1];
    s_name("0-1-43", "", false, position);
    assert_string_equal(position, "0-1-43");
    s_name("0-2-43", "0-1-42", false, position);
    assert_string_equal(position, "0-1-42,0-2-43");
    s_name("0-2-43", "0-1-42", true, position);
    assert_string_equal(position, "0-2-43");
}

static void test_what_has_no_name_gets_no_token(void **state)
{
    (void)state;
    char position[PCL_GTID_SIZE_MAX + 1];
    char after[PCL_GTID_SIZE_MAX + 1] = "";
    for (int server = 1; server <= 12; server++) { /* of 38 octets each: 480 is the most */
        size_t size = strlen(after);
        (void)snprintf(after + size, sizeof after - size,
                       "%s3e11fa47-71ca-11e1-9e33-0000000000%02x:1", size > 0 ? "," : "",
                       (unsigned)server);
    }
    s_name("", "0-1-42", true, position);
    assert_string_equal(position, "");
    s_name("", "0-1-42", false, position);
    assert_string_equal(position, "");
    s_name("3e11fa47-71ca-11e1-9e33-c80aa9429562:7", after, false, position);
    assert_string_equal(position, "");
    s_name("3e11fa47-71ca-11e1-9e33-c80aa9429562:7", "", false, position);
    assert_string_equal(position, "3e11fa47-71ca-11e1-9e33-c80aa9429562:7");
}

static void test_reads_that_wait_leave_a_thread(void **state)
{
    (void)state;
    for (uint32_t threads = 2; threads <= 64; threads++) {
        pcl_causal_room room = pcl_causal_room_of(threads);
        assert_in_range(room.long_max + room.short_max, 1, threads - 1);
        assert_true(room.short_max > 0);
        assert_true(threads < 3 || room.long_max > 0);
    }
    pcl_causal_room alone = pcl_causal_room_of(1);
    assert_int_equal(alone.long_max, 0);
    assert_int_equal(alone.short_max, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_token_names_what_was_done_and_asked_for),
        cmocka_unit_test(test_what_has_no_name_gets_no_token),
        cmocka_unit_test(test_reads_that_wait_leave_a_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
