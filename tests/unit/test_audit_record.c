#include "audit/chain.h"
#include "audit/queue.h"
#include "audit/seen.h"

#include "common/clock.h"
#include "tests/lib/seed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static pcl_audit_scratch s_scratch;

static pcl_audit_record s_full(void)
{
    pcl_audit_record record = {
        .time_us = UINT64_C(1795363410123456),
        .sequence = 17,
        .kind = PCL_AUDIT_END,
        .has_id = true,
        .id = {0, 1, 2, 3, 0xff},
        .has_session = true,
        .session = {9},
        .principal = pcl_bytes_text("alice"),
        .role = pcl_bytes_text("app"),
        .op = pcl_bytes_text("query"),
        .sql_class = pcl_bytes_text("write"),
        .strategy = pcl_bytes_text("direct"),
        .db = pcl_bytes_text("demo"),
        .digest = pcl_bytes_text("0123456789abcdef"),
        .code = pcl_bytes_text("OK"),
        .rule = pcl_bytes_text("class"),
        .dry_run = pcl_bytes_text("rate schema"),
        .node = pcl_bytes_text("n1"),
        .token = pcl_bytes_text("mariadb:0-1-17"),
        .peer = pcl_bytes_text("gatekeeper"),
        .has_rows = true,
        .rows = 0,
        .has_statement = true,
        .statement = 3,
        .has_took = true,
        .took_us = UINT64_MAX,
        .sealed = true,
    };
    return record;
}

/* The line of one record, without its end; freed by pcl_buffer_release. */
static pcl_buffer s_line(const pcl_audit_record *record)
{
    uint8_t hash[PCL_AUDIT_HASH_SIZE] = {0};
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, 1 << 20);
    pcl_audit_chain_put(record, NULL, hash, &buffer);
    assert_false(buffer.failed);
    assert_int_equal(buffer.data[buffer.size - 1], '\n');
    buffer.size--;
    return buffer;
}

static bool s_parse(pcl_bytes line, pcl_audit_record *out_record, const char **out_problem)
{
    uint8_t chain[PCL_AUDIT_HASH_SIZE];
    size_t hashed_size = 0;
    return pcl_audit_record_parse(out_record, line, &s_scratch, chain, &hashed_size, out_problem);
}

static void test_a_line_reads_as_it_is_documented(void **state)
{
    (void)state;
    pcl_audit_record record = s_full();
    pcl_buffer line = s_line(&record);
    const char *expected =
        "2026-11-22T16:03:30.123456Z seq=17 kind=end id=00010203ff0000000000000000000000 "
        "session=09000000000000000000000000000000 principal=alice role=app op=query class=write "
        "strategy=direct db=demo statement=3 digest=0123456789abcdef code=OK rule=class "
        "dry_run=\"rate schema\" node=n1 rows=0 took_us=18446744073709551615 sealed=1 "
        "peer=gatekeeper token=mariadb:0-1-17 chain=";
    size_t size = strlen(expected);
    assert_int_equal(line.size, size + PCL_AUDIT_HASH_TEXT);
    assert_memory_equal(line.data, expected, size);
    pcl_buffer_release(&line);
}

static void s_expect_same(const pcl_audit_record *left, const pcl_audit_record *right)
{
    pcl_buffer one;
    pcl_buffer two;
    pcl_buffer_init(&one, 1 << 20);
    pcl_buffer_init(&two, 1 << 20);
    pcl_audit_record_format(left, &one);
    pcl_audit_record_format(right, &two);
    assert_true(pcl_bytes_equal(pcl_buffer_bytes(&one), pcl_buffer_bytes(&two)));
    pcl_buffer_release(&one);
    pcl_buffer_release(&two);
}

static void test_what_is_written_is_read_back(void **state)
{
    (void)state;
    pcl_audit_record record = s_full();
    record.principal = pcl_bytes_of("a\"b\\c\n d\xc3\xbc\x00\x7f=", 14);
    pcl_buffer line = s_line(&record);
    pcl_audit_record back;
    const char *problem = "";
    assert_true(s_parse(pcl_buffer_bytes(&line), &back, &problem));
    s_expect_same(&record, &back);
    assert_true(pcl_bytes_equal(record.principal, back.principal));
    assert_true(back.has_rows && back.rows == 0);
    assert_int_equal(back.sequence, 17);
    assert_true(back.time_us == record.time_us);
    assert_true(back.sealed);
    pcl_buffer_release(&line);
}

/* Whatever a client calls itself, it forges neither a field nor a line. */
static void test_values_stay_within_their_quotes(void **state)
{
    (void)state;
    pcl_audit_record record = {
        .principal = pcl_bytes_text("x\" code=OK \n2026-01-01T00:00:00.000000Z seq=1"),
    };
    pcl_buffer line = s_line(&record);
    assert_null(memchr(line.data, '\n', line.size));
    pcl_audit_record back;
    const char *problem = "";
    assert_true(s_parse(pcl_buffer_bytes(&line), &back, &problem));
    assert_true(pcl_bytes_equal(record.principal, back.principal));
    assert_int_equal(back.code.size, 0);
    for (size_t index = 0; index < line.size; index++) {
        assert_in_range(line.data[index], 0x20, 0x7e);
    }
    pcl_buffer_release(&line);
}

static void test_only_plain_octets_stand_without_quotes(void **state)
{
    (void)state;
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "._:/+-";
    for (int octet = 1; octet < 256; octet++) {
        uint8_t text = (uint8_t)octet;
        pcl_audit_record record = {.role = pcl_bytes_of(&text, 1)};
        pcl_buffer line = s_line(&record);
        pcl_buffer_put_u8(&line, '\0');
        bool quoted = strstr((const char *)line.data, " role=\"") != NULL;
        assert_true(quoted == (strchr(plain, octet) == NULL));
        pcl_buffer_release(&line);
    }
}

static void test_long_texts_are_cut_and_no_line_is_too_long(void **state)
{
    (void)state;
    static uint8_t octets[100000];
    memset(octets, 0xff, sizeof octets);
    pcl_bytes text = pcl_bytes_of(octets, sizeof octets);
    pcl_audit_record record = s_full();
    record.principal = record.role = record.op = record.sql_class = record.strategy = text;
    record.db = record.digest = record.code = record.rule = record.dry_run = record.node = text;
    record.token = record.peer = record.digest_text = text;
    pcl_buffer line = s_line(&record);
    assert_in_range(line.size, 1, PCL_AUDIT_LINE_SIZE_MAX - 1);
    pcl_audit_record back;
    const char *problem = "";
    assert_true(s_parse(pcl_buffer_bytes(&line), &back, &problem));
    assert_int_equal(back.role.size, PCL_AUDIT_WORD_SIZE_MAX);
    assert_int_equal(back.token.size, PCL_AUDIT_TEXT_SIZE_MAX);
    pcl_buffer_release(&line);
}

#define CHAIN "chain=0000000000000000000000000000000000000000000000000000000000000000"
#define START "2026-11-22T16:03:30.123456Z seq=1 kind=done "

static void test_what_is_no_line_is_refused(void **state)
{
    (void)state;
    static const char *const GOOD[] = {START CHAIN, START "code=OK " CHAIN,
                                       START "principal=\"\\x00\" " CHAIN};
    static const char *const BAD[] = {
        "",
        " ",
        "chain=",
        START,
        START "chain=00",
        START CHAIN " ",
        START CHAIN "0",
        " " START CHAIN,
        START "code=OK" CHAIN,
        START "code= " CHAIN,
        START "code=\"\" " CHAIN,
        START "code=\"OK " CHAIN,
        START "code=\"OK\"" CHAIN,
        START "code=O\"K " CHAIN,
        START "code=\"\\X00\" " CHAIN,
        START "code=\"\\xFF\" " CHAIN,
        START "code=\"\\\" " CHAIN,
        START "code=\"\xff\" " CHAIN,
        START "code=OK code=OK " CHAIN,
        START "code=OK principal=a " CHAIN,
        START "colour=red " CHAIN,
        START "id=00 " CHAIN,
        START "rows=01 " CHAIN,
        START "rows=-1 " CHAIN,
        START "rows=18446744073709551616 " CHAIN,
        START "sealed=0 " CHAIN,
        START "lost=0 " CHAIN,
        "2026-11-31T16:43:30.123456Z seq=1 kind=done " CHAIN,
        "2026-11-22T16:03:30Z seq=1 kind=done " CHAIN,
        "2026-11-22T16:03:30.123456Z seq= kind=done " CHAIN,
        "2026-11-22T16:03:30.123456Z seq=1 kind=dome " CHAIN,
        "2026-11-22T16:03:30.123456Z kind=done seq=1 " CHAIN,
    };
    pcl_audit_record record;
    const char *problem = NULL;
    for (size_t index = 0; index < sizeof GOOD / sizeof GOOD[0]; index++) {
        assert_true(s_parse(pcl_bytes_text(GOOD[index]), &record, &problem));
    }
    for (size_t index = 0; index < sizeof BAD / sizeof BAD[0]; index++) {
        problem = NULL;
        if (s_parse(pcl_bytes_text(BAD[index]), &record, &problem)) {
            fail_msg("taken: %s", BAD[index]);
        }
        assert_non_null(problem);
    }
}

static void test_times_are_those_of_the_calendar(void **state)
{
    (void)state;
    pcl_rng rng = pcl_test_rng("test_audit_record");
    char text[PCL_AUDIT_TIME_SIZE];
    for (int round = 0; round < 20000; round++) {
        uint64_t time_us = pcl_rng_next(&rng) % UINT64_C(253402300799999999);
        time_t seconds = (time_t)(time_us / PCL_US_PER_S);
        struct tm utc;
        char expected[64];
        assert_non_null(gmtime_r(&seconds, &utc));
        size_t used = strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S", &utc);
        (void)snprintf(expected + used, sizeof expected - used, ".%06uZ",
                       (unsigned)(time_us % PCL_US_PER_S));
        pcl_audit_time_format(time_us, text);
        assert_string_equal(text, expected);
        uint64_t back = 0;
        assert_true(pcl_audit_time_parse(pcl_bytes_text(text), &back));
        assert_true(back == time_us);
    }
}

static void test_a_time_may_lack_its_end(void **state)
{
    (void)state;
    static const char *const GOOD[] = {"2026-11-22",           "2026-11-22T00",
                                       "2026-11-22T00:00",     "2026-11-22T00:00:00",
                                       "2026-11-22T00:00:00Z", "2026-11-22T00:00:00.000000",
                                       "2026-11-22Z"};
    static const char *const BAD[] = {"",
                                      "2026",
                                      "2026-11",
                                      "2026-11-",
                                      "2026-13-01",
                                      "2026-02-29",
                                      "2026-00-10",
                                      "2026-11-22T",
                                      "2026-11-2",
                                      "2026-11-22 ",
                                      "2026-11-22T24",
                                      "1969-01-01",
                                      "2026-11-22T00:00:00.0000000",
                                      "2026-11-22T00:60"};
    for (size_t index = 0; index < sizeof GOOD / sizeof GOOD[0]; index++) {
        uint64_t time_us = 0;
        assert_true(pcl_audit_time_parse(pcl_bytes_text(GOOD[index]), &time_us));
        assert_true(time_us == UINT64_C(1795305600000000));
    }
    for (size_t index = 0; index < sizeof BAD / sizeof BAD[0]; index++) {
        uint64_t time_us = 7;
        if (pcl_audit_time_parse(pcl_bytes_text(BAD[index]), &time_us)) {
            fail_msg("taken: %s", BAD[index]);
        }
        assert_true(time_us == 7);
    }
}

static void test_a_key_changes_every_hash(void **state)
{
    (void)state;
    pcl_audit_record record = s_full();
    uint8_t plain[PCL_AUDIT_HASH_SIZE] = {0};
    uint8_t keyed[PCL_AUDIT_HASH_SIZE] = {0};
    uint8_t key[PCL_AUDIT_KEY_SIZE];
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, 1 << 20);
    assert_true(pcl_audit_key_read(
        pcl_bytes_text("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"), key));
    assert_int_equal(key[31], 0x1f);
    assert_false(pcl_audit_key_read(pcl_bytes_text("0001"), key));
    assert_false(pcl_audit_key_read(
        pcl_bytes_text("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1g"), key));
    pcl_audit_chain_put(&record, NULL, plain, &buffer);
    pcl_audit_chain_put(&record, key, keyed, &buffer);
    assert_memory_not_equal(plain, keyed, sizeof plain);
    pcl_buffer_release(&buffer);
}

static void test_a_queue_gives_back_what_was_pushed_in_order(void **state)
{
    (void)state;
    static char long_text[4096];
    memset(long_text, 'x', sizeof long_text);
    pcl_rng rng = pcl_test_rng("test_audit_record");
    pcl_audit_queue *queue = pcl_audit_queue_new(65536);
    uint64_t pushed = 0;
    uint64_t popped = 0;
    for (int round = 0; round < 100000; round++) {
        pcl_audit_record record = s_full();
        record.sequence = pushed;
        record.token = pcl_bytes_of(long_text, pcl_rng_below(&rng, sizeof long_text));
        if (pcl_rng_below(&rng, 2) == 0) {
            pushed += pcl_audit_queue_push(queue, &record, 65536) ? 1 : 0;
            assert_in_range(pcl_audit_queue_fill(queue), 1, 65536);
        } else {
            const pcl_audit_record *oldest = pcl_audit_queue_peek(queue);
            assert_int_equal(oldest == NULL, pushed == popped);
            if (oldest != NULL) {
                assert_true(oldest->sequence == popped++);
                assert_true(pcl_bytes_is(oldest->principal, "alice"));
                pcl_audit_queue_pop(queue);
            }
        }
    }
    assert_in_range(popped, 1000, 100000);
    pcl_audit_record record = s_full();
    assert_false(pcl_audit_queue_push(queue, &record, 100));
    pcl_audit_queue_destroy(&queue);
    assert_null(queue);
}

static void test_a_digest_is_seen_once(void **state)
{
    (void)state;
    static pcl_audit_seen seen;
    uint64_t digest = 0;
    assert_true(pcl_audit_digest_parse(pcl_bytes_text("00000000000000ff"), &digest));
    assert_int_equal(digest, 255);
    assert_false(pcl_audit_digest_parse(pcl_bytes_text("00000000000000fg"), &digest));
    assert_false(pcl_audit_digest_parse(pcl_bytes_text("00000000000000f"), &digest));
    assert_true(pcl_audit_seen_add(&seen, 255));
    assert_false(pcl_audit_seen_add(&seen, 255));
    assert_true(pcl_audit_seen_add(&seen, 255 + PCL_AUDIT_SEEN_SLOTS));
    /* More than it can hold: it forgets, and says "new" once more; it never loops. */
    for (uint64_t index = 1000; index < 1000 + 3 * PCL_AUDIT_SEEN_SLOTS; index++) {
        assert_true(pcl_audit_seen_add(&seen, index * 77));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_line_reads_as_it_is_documented),
        cmocka_unit_test(test_what_is_written_is_read_back),
        cmocka_unit_test(test_values_stay_within_their_quotes),
        cmocka_unit_test(test_only_plain_octets_stand_without_quotes),
        cmocka_unit_test(test_long_texts_are_cut_and_no_line_is_too_long),
        cmocka_unit_test(test_what_is_no_line_is_refused),
        cmocka_unit_test(test_times_are_those_of_the_calendar),
        cmocka_unit_test(test_a_time_may_lack_its_end),
        cmocka_unit_test(test_a_key_changes_every_hash),
        cmocka_unit_test(test_a_queue_gives_back_what_was_pushed_in_order),
        cmocka_unit_test(test_a_digest_is_seen_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
