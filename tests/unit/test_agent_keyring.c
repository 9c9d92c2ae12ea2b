#include "worker-agent/keyring.h"

#include <stdlib.h>
#include <string.h>

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { READ = PCL_PLACE_ACCOUNTS, COUNT = PCL_PLACE_ACCOUNTS + 2 };

/* As files have it: all passwords are "same" but the one of reads. */
static pcl_keyring_content s_content(const char *now, const char *before)
{
    pcl_keyring_content content = {.count = COUNT};
    content.passwords = calloc(COUNT, sizeof *content.passwords);
    assert_non_null(content.passwords);
    for (uint32_t place = 0; place < COUNT; place++) {
        memcpy(content.passwords[place].now, "same", 5);
    }
    memcpy(content.passwords[READ].now, now, strlen(now) + 1);
    memcpy(content.passwords[READ].before, before, strlen(before) + 1);
    return content;
}

static pcl_keyring *s_keyring(const char *now, const char *before)
{
    pcl_keyring_content content = s_content(now, before);
    pcl_keyring *keyring = pcl_keyring_new(&content);
    assert_null(content.passwords);
    return keyring;
}

static bool s_renew(pcl_keyring *keyring, const char *now, const char *before)
{
    pcl_keyring_content content = s_content(now, before);
    bool changed = pcl_keyring_renew(keyring, &content);
    assert_null(content.passwords);
    return changed;
}

static void s_assert(pcl_keyring *keyring, const char *now, const char *before)
{
    pcl_password password;
    pcl_keyring_password(keyring, READ, &password);
    assert_string_equal(password.now, now);
    assert_string_equal(password.before, before);
    pcl_keyring_password(keyring, PCL_PLACE_ADMIN, &password);
    assert_string_equal(password.now, "same");
    assert_string_equal(password.before, "");
    pcl_password_wipe(&password);
    assert_string_equal(password.now, "");
}

static bool s_between_is(pcl_keyring *keyring, const char *want)
{
    pcl_password password;
    pcl_keyring_password(keyring, READ, &password);
    return strcmp(password.between, want) == 0;
}

static void test_a_changed_password_keeps_the_one_before(void **state)
{
    (void)state;
    pcl_keyring *keyring = s_keyring("one", "");
    s_assert(keyring, "one", "");
    assert_false(s_renew(keyring, "one", ""));
    assert_int_equal(pcl_keyring_turn(keyring), 0);
    assert_true(s_renew(keyring, "two", ""));
    s_assert(keyring, "two", "one");
    assert_int_equal(pcl_keyring_turn(keyring), 1);
    assert_false(s_renew(keyring, "two", "")); /* the same again forgets nothing */
    s_assert(keyring, "two", "one");
    pcl_keyring_destroy(&keyring);
}

static void test_what_the_server_has_for_certain_is_kept_over_two_changes(void **state)
{
    (void)state;
    pcl_keyring *keyring = s_keyring("one", "");
    assert_true(s_renew(keyring, "two", ""));
    assert_true(s_renew(keyring, "three", ""));
    s_assert(keyring, "three", "one"); /* nobody has settled "two" */
    assert_true(s_between_is(keyring, "two"));
    assert_false(s_renew(keyring, "three", ""));
    assert_true(s_between_is(keyring, "two"));
    pcl_keyring_settle(keyring, 1, false); /* of a turn that is over */
    s_assert(keyring, "three", "one");
    pcl_keyring_settle(keyring, 2, false);
    s_assert(keyring, "three", "");
    assert_true(s_between_is(keyring, ""));
    assert_true(s_renew(keyring, "four", ""));
    s_assert(keyring, "four", "three");
    assert_true(s_between_is(keyring, ""));
    pcl_keyring_destroy(&keyring);
}

static void test_the_files_word_for_what_was_before_counts(void **state)
{
    (void)state;
    pcl_keyring *keyring = s_keyring("two", "one");
    s_assert(keyring, "two", "one");
    pcl_keyring_settle(keyring, 0, false);
    s_assert(keyring, "two", "");
    assert_true(s_renew(keyring, "three", "other"));
    s_assert(keyring, "three", "other");
    assert_true(s_between_is(keyring, "two"));
    pcl_keyring_destroy(&keyring);
}

static void test_an_own_password_that_was_refused_keeps_the_one_before(void **state)
{
    (void)state;
    pcl_password password;
    pcl_keyring *keyring = s_keyring("one", "");
    pcl_keyring_content content = s_content("two", "");
    memcpy(content.passwords[PCL_PLACE_ADMIN].now, "weak", 5);
    assert_true(pcl_keyring_renew(keyring, &content));
    pcl_keyring_settle(keyring, 1, true);
    pcl_keyring_password(keyring, READ, &password);
    assert_string_equal(password.before, "");
    pcl_keyring_password(keyring, PCL_PLACE_ADMIN, &password);
    assert_string_equal(password.before, "same");
    pcl_keyring_settle(keyring, 1, false);
    pcl_keyring_password(keyring, PCL_PLACE_ADMIN, &password);
    assert_string_equal(password.before, "");
    pcl_keyring_destroy(&keyring);
}

static void test_token_keys_change_at_once(void **state)
{
    (void)state;
    pcl_keyring *keyring = s_keyring("one", "");
    pcl_token_keys keys;
    pcl_keyring_tokens(keyring, &keys);
    assert_int_equal(keys.count, 0);
    pcl_keyring_content content = s_content("one", "");
    content.tokens.count = 2;
    assert_false(pcl_keyring_renew(keyring, &content)); /* no password has changed */
    pcl_keyring_tokens(keyring, &keys);
    assert_int_equal(keys.count, 2);
    pcl_keyring_destroy(&keyring);
    assert_null(keyring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_changed_password_keeps_the_one_before),
        cmocka_unit_test(test_what_the_server_has_for_certain_is_kept_over_two_changes),
        cmocka_unit_test(test_the_files_word_for_what_was_before_counts),
        cmocka_unit_test(test_an_own_password_that_was_refused_keeps_the_one_before),
        cmocka_unit_test(test_token_keys_change_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
