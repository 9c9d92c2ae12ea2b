/* Which tokens a causal client keeps. */
#include "client/seen.h"

#include "wire/token.h"

#include <stdio.h>
#include <string.h>

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The token of a position; the MAC is anybody's.  Valid until the fourth call after. */
static const char *s_token(const char *position)
{
    static char texts[4][PCL_TOKEN_SIZE_MAX + 1];
    static uint32_t next;
    static const uint8_t mac[PCL_TOKEN_MAC_SIZE] = {1, 2, 3};
    char *text = texts[next++ % 4];
    (void)pcl_token_write(mac, pcl_bytes_text(position), text);
    return text;
}

static void s_note(pcl_seen *self, const char *position, uint64_t mark)
{
    pcl_seen_note(self, pcl_bytes_text(s_token(position)), mark);
}

static void s_expect(const pcl_seen *self, const char *text)
{
    char kept[PCL_SEEN_TEXT_SIZE];
    assert_int_equal(pcl_seen_text(self, kept), strlen(text));
    assert_string_equal(kept, text);
}

static void a_later_token_takes_the_place_of_an_earlier_one(void **state)
{
    (void)state;
    pcl_seen seen = {.count = 0};
    s_expect(&seen, "");
    s_note(&seen, "0-1-42", 0);
    s_note(&seen, "0-1-43", 0);
    s_expect(&seen, s_token("0-1-43"));
    s_note(&seen, "0-1-42", 0); /* its reply was late */
    s_expect(&seen, s_token("0-1-43"));
    s_note(&seen, "0-1-43", 0);
    s_expect(&seen, s_token("0-1-43"));
}

static void tokens_that_do_not_cover_each_other_are_all_kept(void **state)
{
    (void)state;
    pcl_seen seen = {.count = 0};
    char both[PCL_SEEN_TEXT_SIZE];
    s_note(&seen, "0-1-42", 0);
    s_note(&seen, "1-1-7", 0);
    (void)snprintf(both, sizeof both, "%s %s", s_token("0-1-42"), s_token("1-1-7"));
    s_expect(&seen, both);
    s_note(&seen, "0-1-50,1-1-7", 0); /* the reply to a request that named both */
    s_expect(&seen, s_token("0-1-50,1-1-7"));
}

static void what_is_no_token_is_not_kept(void **state)
{
    (void)state;
    pcl_seen seen = {.count = 0};
    char large[PCL_TOKEN_SIZE_MAX + 2];
    memset(large, 'a', sizeof large);
    pcl_seen_note(&seen, pcl_bytes_of(large, 0), 0);
    pcl_seen_note(&seen, pcl_bytes_of(large, PCL_TOKEN_SIZE_MAX + 1), 0);
    pcl_seen_note(&seen, pcl_bytes_text("two words"), 0);
    pcl_seen_note(&seen, pcl_bytes_text("caf\xc3\xa9"), 0);
    assert_int_equal(seen.count, 0);
    pcl_seen_note(&seen, pcl_bytes_of(large, PCL_TOKEN_SIZE_MAX), 0); /* of another version */
    pcl_seen_note(&seen, pcl_bytes_of(large, PCL_TOKEN_SIZE_MAX), 0);
    assert_int_equal(seen.count, 1);
}

/* As many as a request may name, of as many domains. */
static void s_fill(pcl_seen *seen)
{
    for (uint32_t domain = 0; domain < PCL_TOKENS_MAX; domain++) {
        char position[32];
        (void)snprintf(position, sizeof position, "%u-1-9", domain);
        s_note(seen, position, 0);
    }
}

static void more_than_can_be_named_turn_to_the_source(void **state)
{
    (void)state;
    pcl_seen seen = {.count = 0};
    s_fill(&seen);
    assert_int_equal(seen.count, PCL_TOKENS_MAX);
    assert_false(seen.source);
    uint64_t before = pcl_seen_mark(&seen);
    s_note(&seen, "77-1-1", 0);
    assert_true(seen.source);
    uint64_t after = pcl_seen_mark(&seen);
    assert_true(after != before);
    s_note(&seen, "0-1-9", before); /* a request that was under way then */
    assert_true(seen.source);
    s_note(&seen, "0-1-10,1-1-9,2-1-9,3-1-9,4-1-9,5-1-9,6-1-9,7-1-9,77-1-1", after);
    assert_false(seen.source);
    assert_int_equal(seen.count, 1);
    assert_int_equal(pcl_seen_mark(&seen), 0);
}

static void a_token_that_does_not_come_turns_to_the_source(void **state)
{
    (void)state;
    pcl_seen seen = {.count = 0};
    s_note(&seen, "0-1-42", 0);
    pcl_seen_miss(&seen);
    assert_true(seen.source);
    uint64_t mark = pcl_seen_mark(&seen);
    pcl_seen_miss(&seen); /* again, before the answer of the first is there */
    s_note(&seen, "0-1-43", mark);
    assert_true(seen.source);
    s_note(&seen, "0-1-44", pcl_seen_mark(&seen));
    assert_false(seen.source);
    s_expect(&seen, s_token("0-1-44"));
}

static void a_text_hands_them_over(void **state)
{
    (void)state;
    pcl_seen one = {.count = 0};
    pcl_seen other = {.count = 0};
    char text[PCL_SEEN_TEXT_SIZE];
    s_fill(&one);
    assert_true(pcl_seen_text(&one, text) > 0);
    assert_true(pcl_seen_add(&other, pcl_bytes_text(text)));
    s_expect(&other, text);
    assert_true(pcl_seen_add(&other, pcl_bytes_text("")));
    assert_true(pcl_seen_add(&other, pcl_bytes_text(" \n")));
    s_expect(&other, text);
    assert_false(pcl_seen_add(&other, pcl_bytes_text("1.a \x01")));
    assert_false(other.source);
    s_expect(&other, text);
    (void)snprintf(text, sizeof text, "\n%s \t %s\n", s_token("0-1-99"), s_token("0-1-98"));
    pcl_seen third = {.count = 0};
    assert_true(pcl_seen_add(&third, pcl_bytes_text(text)));
    s_expect(&third, s_token("0-1-99"));
}

static void more_than_fit_from_two_are_read_at_the_source(void **state)
{
    (void)state;
    pcl_seen one = {.count = 0};
    char text[PCL_SEEN_TEXT_SIZE];
    char all[2 * PCL_SEEN_TEXT_SIZE];
    s_fill(&one);
    (void)pcl_seen_text(&one, text);
    assert_true(pcl_seen_add(&one, pcl_bytes_text(s_token("8-1-1"))));
    assert_true(one.source);
    (void)snprintf(all, sizeof all, PCL_SEEN_SOURCE " %s", text);
    s_expect(&one, all);
}

static void who_takes_over_reads_from_the_source_too(void **state)
{
    (void)state;
    pcl_seen one = {.count = 0};
    pcl_seen other = {.count = 0};
    char text[PCL_SEEN_TEXT_SIZE];
    s_note(&one, "0-1-42", 0);
    pcl_seen_miss(&one);
    assert_true(pcl_seen_text(&one, text) > 0);
    assert_true(pcl_seen_add(&other, pcl_bytes_text(text)));
    assert_true(other.source);
    s_expect(&other, text);
    s_note(&other, "0-1-50", pcl_seen_mark(&other));
    s_expect(&other, s_token("0-1-50"));
}

static void the_largest_tokens_fit_the_text(void **state)
{
    (void)state;
    pcl_seen seen = {.count = 0};
    char text[PCL_SEEN_TEXT_SIZE];
    char token[PCL_TOKEN_SIZE_MAX];
    memset(token, 'a', sizeof token);
    for (uint32_t index = 0; index < PCL_TOKENS_MAX; index++) {
        token[0] = (char)('a' + index);
        pcl_seen_note(&seen, pcl_bytes_of(token, sizeof token), 0);
    }
    pcl_seen_miss(&seen);
    assert_int_equal(pcl_seen_text(&seen, text), PCL_SEEN_TEXT_SIZE - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_later_token_takes_the_place_of_an_earlier_one),
        cmocka_unit_test(tokens_that_do_not_cover_each_other_are_all_kept),
        cmocka_unit_test(what_is_no_token_is_not_kept),
        cmocka_unit_test(more_than_can_be_named_turn_to_the_source),
        cmocka_unit_test(a_token_that_does_not_come_turns_to_the_source),
        cmocka_unit_test(a_text_hands_them_over),
        cmocka_unit_test(more_than_fit_from_two_are_read_at_the_source),
        cmocka_unit_test(who_takes_over_reads_from_the_source_too),
        cmocka_unit_test(the_largest_tokens_fit_the_text),
    };
    return cmocka_run_group_tests_name("seen", tests, NULL, NULL);
}
