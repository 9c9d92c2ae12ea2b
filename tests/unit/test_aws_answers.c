#include "aws/answers.h"
#include "aws/json_read.h"

#include <stdio.h>
#include <string.h>

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define CREDENTIALS                                                                                \
    "{\"Code\" : \"Success\", \"Type\" : \"AWS-HMAC\", \"AccessKeyId\" : \"ASIAEXAMPLE\",\n"       \
    " \"SecretAccessKey\" : \"aB/c+d\", \"Token\" : \"t==\", "                                     \
    "\"Expiration\" : \"2015-08-30T12:36:00Z\"}"

static bool s_text_is(const char *json, const char *want)
{
    pcl_buffer text;
    pcl_buffer_init(&text, 64);
    bool same = pcl_json_text(pcl_bytes_text(json), &text) &&
                pcl_bytes_is(pcl_buffer_bytes(&text), want);
    pcl_buffer_release(&text);
    return same;
}

static bool s_is_text(const char *json)
{
    pcl_buffer text;
    pcl_buffer_init(&text, 64);
    bool fine = pcl_json_text(pcl_bytes_text(json), &text);
    pcl_buffer_release(&text);
    return fine;
}

/* --- JSON ------------------------------------------------------------------------- */

static void test_what_is_an_object(void **state)
{
    (void)state;
    static const char *const GOOD[] = {
        "{}", " {\"a\":1} \n", "{\"a\":[1,-2.5e+3,true,false,null,\"x\\\"y\"],\"b\":{\"c\":{}}}",
        "{\"a\":[]}", "{\"a\":[[],{}]}"};
    static const char *const BAD[] = {"",
                                      "[]",
                                      "{",
                                      "{\"a\"}",
                                      "{\"a\":}",
                                      "{\"a\":1,}",
                                      "{a:1}",
                                      "{\"a\":01}",
                                      "{\"a\":1}}",
                                      "{\"a\":+1}",
                                      "{\"a\":.5}",
                                      "{\"a\":1.}",
                                      "{\"a\":\"x}",
                                      "{\"a\":tru}",
                                      "{\"a\":1e}",
                                      "{\"a\":[1 2]}",
                                      "{\"a\":\"\n\"}",
                                      "\"a\""};
    for (size_t index = 0; index < sizeof GOOD / sizeof GOOD[0]; index++) {
        assert_true(pcl_json_is_object(pcl_bytes_text(GOOD[index])));
    }
    for (size_t index = 0; index < sizeof BAD / sizeof BAD[0]; index++) {
        assert_false(pcl_json_is_object(pcl_bytes_text(BAD[index])));
    }
    assert_false(pcl_json_is_object(pcl_bytes_of(NULL, 0)));
}

static void test_depth_has_a_bound(void **state)
{
    (void)state;
    char text[256] = "";
    for (uint32_t depth = 0; depth < PCL_JSON_DEPTH_MAX + 1; depth++) {
        (void)strcat(text, "{\"a\":");
    }
    (void)strcat(text, "1");
    for (uint32_t depth = 0; depth < PCL_JSON_DEPTH_MAX + 1; depth++) {
        (void)strcat(text, "}");
    }
    assert_false(pcl_json_is_object(pcl_bytes_text(text)));
}

static void test_strings_mean_what_their_escapes_say(void **state)
{
    (void)state;
    assert_true(s_text_is("\"a\\nb\\t\\\"\\\\\\/\"", "a\nb\t\"\\/"));
    assert_true(
        s_text_is("\"\\u00e9\\u20AC\\ud83d\\ude00\"", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"));
    assert_true(s_text_is("\"\"", ""));
    assert_false(s_is_text("\"\\ud83d\""));
    assert_false(s_is_text("\"\\ude00\""));
    assert_false(s_is_text("\"\\ud83d\\u0041\""));
    assert_false(s_is_text("\"\\u12\""));
    assert_false(s_is_text("\"\\x\""));
    assert_false(s_is_text("\"a"));
    assert_false(s_is_text("\"a\\\""));
    assert_false(s_is_text("\"\xff\""));
    assert_false(s_is_text("17"));
}

static void test_members_are_found_by_name(void **state)
{
    (void)state;
    pcl_bytes object = pcl_bytes_text("{\"x\":{\"b\":\"no\"}, \"b\" : \"yes\",\"c\":\"a\\nb\"}");
    char text[8] = "old";
    assert_true(pcl_json_find_text(object, "b", text, sizeof text));
    assert_string_equal(text, "yes");
    assert_false(pcl_json_find_text(object, "c", text, sizeof text)); /* a line end */
    assert_false(pcl_json_find_text(object, "x", text, sizeof text));
    assert_false(pcl_json_find_text(object, "d", text, sizeof text));
    assert_false(pcl_json_find_text(object, "b", text, 3)); /* no room for the NUL */
    assert_string_equal(text, "yes");
}

/* --- The metadata service ----------------------------------------------------------- */

static void test_a_word_is_a_word(void **state)
{
    (void)state;
    char word[PCL_AWS_WORD_SIZE] = "old";
    assert_false(pcl_aws_word(pcl_bytes_text(""), word));
    assert_false(pcl_aws_word(pcl_bytes_text("a b"), word));
    assert_false(pcl_aws_word(pcl_bytes_text("<html>"), word));
    assert_false(pcl_aws_word(pcl_bytes_text("a\n\n"), word));
    assert_false(pcl_aws_word(pcl_bytes_of("a\0", 2), word));
    assert_string_equal(word, "old");
    assert_true(pcl_aws_word(pcl_bytes_text("eu-central-1a\n"), word));
    assert_string_equal(word, "eu-central-1a");
    assert_false(pcl_aws_word(pcl_bytes_text("a@b"), word)); /* a region is a host's name, too */
}

static void test_a_role_may_have_each_name_that_aws_allows(void **state)
{
    (void)state;
    static const char LONGEST[] = "role+with=all,that@may.be-in_it-"
                                  "0123456789abcdefghijklmnopqrstuv";
    char name[PCL_AWS_WORD_SIZE] = "old";
    assert_int_equal(strlen(LONGEST), 64);
    assert_false(pcl_aws_role_name(pcl_bytes_text("a/b"), name));
    assert_false(pcl_aws_role_name(pcl_bytes_text("a?b"), name));
    assert_false(pcl_aws_role_name(pcl_bytes_text("a\nb"), name));
    assert_string_equal(name, "old");
    assert_true(pcl_aws_role_name(pcl_bytes_text(LONGEST), name));
    assert_string_equal(name, LONGEST);
}

static void test_credentials_are_whole_or_none(void **state)
{
    (void)state;
    static pcl_aws_credentials read;
    assert_true(pcl_aws_read_credentials(pcl_bytes_text(CREDENTIALS), &read));
    assert_string_equal(read.access_key, "ASIAEXAMPLE");
    assert_string_equal(read.secret_key, "aB/c+d");
    assert_string_equal(read.token, "t==");
    assert_int_equal(read.expires_s, 1440938160);
    assert_false(pcl_aws_credentials_age(&read, 1440938160 - 301));
    assert_true(pcl_aws_credentials_age(&read, 1440938160 - 300));
    assert_false(pcl_aws_credentials_expired(&read, 1440938160 - 1));
    assert_true(pcl_aws_credentials_expired(&read, 1440938160));

    static const char *const BAD[] = {
        "",
        "{}",
        "{\"Code\":\"Failed\",\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"b\","
        "\"Token\":\"t\",\"Expiration\":\"2015-08-30T12:36:00Z\"}",
        "{\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"b\",\"Token\":\"t\",\"Expiration\":\"soon\"}",
        "{\"AccessKeyId\":\"\",\"SecretAccessKey\":\"b\",\"Token\":\"t\","
        "\"Expiration\":\"2015-08-30T12:36:00Z\"}",
        "{\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"b\\r\\nX: y\",\"Token\":\"t\","
        "\"Expiration\":\"2015-08-30T12:36:00Z\"}"};
    for (size_t index = 0; index < sizeof BAD / sizeof BAD[0]; index++) {
        assert_false(pcl_aws_read_credentials(pcl_bytes_text(BAD[index]), &read));
        assert_string_equal(read.access_key, "ASIAEXAMPLE");
    }
}

static void test_a_notice_says_what_and_when(void **state)
{
    (void)state;
    pcl_aws_notice notice = {.at_s = 1};
    assert_true(pcl_aws_read_notice(
        pcl_bytes_text("{\"action\": \"terminate\", \"time\": \"2015-08-30T12:36:00Z\"}"),
        &notice));
    assert_string_equal(notice.action, "terminate");
    assert_int_equal(notice.at_s, 1440938160);
    assert_true(pcl_aws_read_notice(pcl_bytes_text("{\"action\":\"stop\"}"), &notice));
    assert_string_equal(notice.action, "stop");
    assert_int_equal(notice.at_s, 0);
    assert_false(pcl_aws_read_notice(pcl_bytes_text("none"), &notice));
    assert_false(pcl_aws_read_notice(pcl_bytes_text("{\"action\":\"a\\\"b\"}"), &notice));
    assert_string_equal(notice.action, "stop");
}

/* --- Secrets --------------------------------------------------------------------------- */

static const char *s_read(const char *value, pcl_secret *secret, char *content, size_t size)
{
    pcl_buffer octets;
    pcl_buffer_init(&octets, 256);
    const char *fault = pcl_secret_read(pcl_bytes_text(value), &octets, secret);
    pcl_bytes_to_text(pcl_buffer_bytes(&octets), content, size);
    pcl_buffer_release(&octets);
    return fault;
}

static void test_a_secret_is_its_files(void **state)
{
    (void)state;
    static pcl_secret secret;
    char content[64];
    assert_null(s_read("{\"files\":{\"agent.key\":\"one\\n\",\"read.password\":\"\"},\"more\":1}",
                       &secret, content, sizeof content));
    assert_int_equal(secret.count, 2);
    assert_string_equal(secret.files[0].name, "agent.key");
    assert_int_equal(secret.files[0].size, 4);
    assert_string_equal(secret.files[1].name, "read.password");
    assert_int_equal(secret.files[1].offset, 4);
    assert_int_equal(secret.files[1].size, 0);
    assert_string_equal(content, "one\n");
}

static void test_a_secret_that_is_none_is_refused_without_its_words(void **state)
{
    (void)state;
    static const char *const BAD[] = {"",
                                      "HUSH",
                                      "{\"files\":\"HUSH\"}",
                                      "{\"files\":{}}",
                                      "{\"files\":{\"a\":7}}",
                                      "{\"files\":{\"../HUSH\":\"x\"}}",
                                      "{\"files\":{\".HUSH\":\"x\"}}",
                                      "{\"files\":{\"a/b\":\"x\"}}",
                                      "{\"files\":{\"\":\"x\"}}",
                                      "{\"files\":{\"a\":\"HUSH\",\"a\":\"x\"}}",
                                      "{\"files\":{\"a\":\"HUSH\""};
    for (size_t index = 0; index < sizeof BAD / sizeof BAD[0]; index++) {
        pcl_secret secret = {.count = 77};
        char content[64];
        const char *fault = s_read(BAD[index], &secret, content, sizeof content);
        assert_non_null(fault);
        assert_null(strstr(fault, "HUSH"));
        assert_int_equal(secret.count, 77);
    }
}

static void test_files_of_a_secret_have_bounds(void **state)
{
    (void)state;
    static pcl_secret secret;
    char text[4096] = "{\"files\":{";
    char content[64];
    for (uint32_t index = 0; index <= PCL_SECRET_FILES_MAX; index++) {
        char one[32];
        (void)snprintf(one, sizeof one, "%s\"f%u\":\"\"", index > 0 ? "," : "", (unsigned)index);
        (void)strcat(text, one);
    }
    (void)strcat(text, "}}");
    assert_non_null(s_read(text, &secret, content, sizeof content));
    (void)snprintf(text, sizeof text, "{\"files\":{\"a\":\"%0300d\"}}", 7);
    assert_non_null(s_read(text, &secret, content, sizeof content));
    (void)snprintf(text, sizeof text, "{\"files\":{\"%064d\":\"\"}}", 7);
    assert_null(s_read(text, &secret, content, sizeof content));
    (void)snprintf(text, sizeof text, "{\"files\":{\"%065d\":\"\"}}", 7);
    assert_non_null(s_read(text, &secret, content, sizeof content));
}

static void test_an_answer_has_the_value_and_its_version(void **state)
{
    (void)state;
    char version[PCL_AWS_WORD_SIZE] = "old";
    pcl_buffer value;
    pcl_buffer_init(&value, 64);
    assert_false(pcl_secret_of_answer(
        pcl_bytes_text("{\"SecretBinary\":\"aGk=\",\"VersionId\":\"v1\"}"), &value, version));
    assert_string_equal(version, "old");
    assert_true(pcl_secret_of_answer(
        pcl_bytes_text("{\"Name\":\"n\",\"SecretString\":\"{\\\"a\\\":1}\",\"VersionId\":\"v1\"}"),
        &value, version));
    assert_true(pcl_bytes_is(pcl_buffer_bytes(&value), "{\"a\":1}"));
    assert_string_equal(version, "v1");
    pcl_buffer_clear(&value);
    assert_true(pcl_secret_of_answer(pcl_bytes_text("{\"SecretString\":\"b\"}"), &value, version));
    assert_true(pcl_bytes_is(pcl_buffer_bytes(&value), "b"));
    assert_string_equal(version, ""); /* it need not say which it is */
    pcl_buffer_clear(&value);
    char text[128];
    (void)snprintf(text, sizeof text, "{\"SecretString\":\"c\",\"VersionId\":\"%064d\"}", 7);
    assert_true(pcl_secret_of_answer(pcl_bytes_text(text), &value, version));
    assert_int_equal(strlen(version), 64);
    pcl_buffer_release(&value);
}

static void test_errors_have_types(void **state)
{
    (void)state;
    char type[PCL_AWS_WORD_SIZE];
    pcl_aws_error_type(pcl_bytes_text("{\"__type\":\"ThrottlingException\"}"), type);
    assert_string_equal(type, "ThrottlingException");
    assert_false(pcl_aws_error_is_of_credentials(type));
    pcl_aws_error_type(pcl_bytes_text("{\"__type\":\"com.amazon.x#ExpiredTokenException\"}"), type);
    assert_string_equal(type, "ExpiredTokenException");
    assert_true(pcl_aws_error_is_of_credentials(type));
    pcl_aws_error_type(pcl_bytes_text("<html>"), type);
    assert_string_equal(type, "");
}

/* --- Waiting ----------------------------------------------------------------------------- */

static void test_pauses_grow_to_a_bound_and_differ(void **state)
{
    (void)state;
    pcl_rng rng = pcl_rng_from_seed(7);
    uint32_t limit_ms = 200;
    for (uint32_t failures = 1; failures < 40; failures++) {
        uint32_t pause_ms = pcl_aws_pause_ms(failures, &rng);
        assert_in_range(pause_ms, limit_ms / 2, limit_ms);
        limit_ms = limit_ms * 2 < PCL_AWS_PAUSE_MS_MAX ? limit_ms * 2 : PCL_AWS_PAUSE_MS_MAX;
    }
    uint32_t least_ms = UINT32_MAX;
    uint32_t most_ms = 0;
    for (uint32_t turn = 0; turn < 1000; turn++) {
        uint32_t wait_ms = pcl_aws_jitter_ms(1000, &rng);
        assert_in_range(wait_ms, 900, 1100);
        least_ms = wait_ms < least_ms ? wait_ms : least_ms;
        most_ms = wait_ms > most_ms ? wait_ms : most_ms;
    }
    assert_true(most_ms - least_ms > 100);
    assert_in_range(pcl_aws_jitter_ms(1, &rng), 1, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_an_object),
        cmocka_unit_test(test_depth_has_a_bound),
        cmocka_unit_test(test_strings_mean_what_their_escapes_say),
        cmocka_unit_test(test_members_are_found_by_name),
        cmocka_unit_test(test_a_word_is_a_word),
        cmocka_unit_test(test_a_role_may_have_each_name_that_aws_allows),
        cmocka_unit_test(test_credentials_are_whole_or_none),
        cmocka_unit_test(test_a_notice_says_what_and_when),
        cmocka_unit_test(test_a_secret_is_its_files),
        cmocka_unit_test(test_a_secret_that_is_none_is_refused_without_its_words),
        cmocka_unit_test(test_files_of_a_secret_have_bounds),
        cmocka_unit_test(test_an_answer_has_the_value_and_its_version),
        cmocka_unit_test(test_errors_have_types),
        cmocka_unit_test(test_pauses_grow_to_a_bound_and_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
