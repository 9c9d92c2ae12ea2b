/* Against the vectors that AWS publishes: its SigV4 test suite, and the worked example of the IAM
 * User Guide. */
#include "aws/sigv4.h"

#include <stdio.h>
#include <string.h>

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define DATE   "20150830T123600Z"
#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define HOST                                                                                       \
    {                                                                                              \
        "host", "example.amazonaws.com"                                                            \
    }
#define NOW                                                                                        \
    {                                                                                              \
        "x-amz-date", DATE                                                                         \
    }
#define STS                                                                                        \
    "AQoDYXdzEPT//////////"                                                                        \
    "wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfI"                    \
    "eoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/"                                                          \
    "kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0"                                  \
    "wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+"            \
    "scqKmlzm8FDry"                                                                                \
    "pNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="

typedef struct vector {
    const char *name, *method, *query;
    pcl_aws_header headers[5];
    const char *body, *names, *signature;
} vector;

static const vector VECTORS[] = {
    {"get-vanilla",
     "GET",
     "",
     {HOST, NOW},
     "",
     "host;x-amz-date",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"post-vanilla",
     "POST",
     "",
     {NOW, HOST},
     "",
     "host;x-amz-date",
     "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
    {"get-vanilla-query-order-key-case",
     "GET",
     "Param1=value1&Param2=value2",
     {HOST, NOW},
     "",
     "host;x-amz-date",
     "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
    {"post-x-www-form-urlencoded",
     "POST",
     "",
     {{"content-type", "application/x-www-form-urlencoded"}, HOST, NOW},
     "Param1=value1",
     "content-type;host;x-amz-date",
     "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
    {"get-header-value-trim",
     "GET",
     "",
     {HOST, {"my-header1", " value1 "}, {"my-header2", " \"a   b   c\""}, NOW},
     "",
     "host;my-header1;my-header2;x-amz-date",
     "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
    {"get-header-key-duplicate",
     "GET",
     "",
     {HOST, {"my-header1", "value2"}, {"my-header1", "value2"}, {"my-header1", "value1"}, NOW},
     "",
     "host;my-header1;x-amz-date",
     "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
    {"post-sts-header-before",
     "POST",
     "",
     {HOST, NOW, {"x-amz-security-token", STS}},
     "",
     "host;x-amz-date;x-amz-security-token",
     "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"},
};

static uint32_t s_count(const pcl_aws_header *headers, uint32_t count_max)
{
    uint32_t count = 0;
    while (count < count_max && headers[count].name != NULL) {
        count++;
    }
    return count;
}

static void s_sign(const pcl_aws_request *request, const char *service, char *target, size_t size)
{
    static const pcl_aws_credentials CREDENTIALS = {.access_key = "AKIDEXAMPLE",
                                                    .secret_key = SECRET};
    pcl_buffer authorization;
    pcl_buffer_init(&authorization, 4096);
    assert_true(pcl_aws_sign(request, &CREDENTIALS, "us-east-1", service, DATE, &authorization));
    pcl_bytes_to_text(pcl_buffer_bytes(&authorization), target, size);
    pcl_buffer_release(&authorization);
}

static void test_the_published_vectors_come_out(void **state)
{
    (void)state;
    for (size_t index = 0; index < sizeof VECTORS / sizeof VECTORS[0]; index++) {
        const vector *one = &VECTORS[index];
        char got[512];
        char want[512];
        pcl_aws_request request = {.method = one->method,
                                   .path = "/",
                                   .query = one->query,
                                   .headers = one->headers,
                                   .header_count = s_count(one->headers, 5),
                                   .body = pcl_bytes_text(one->body)};
        s_sign(&request, "service", got, sizeof got);
        (void)snprintf(want, sizeof want,
                       "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/"
                       "aws4_request, SignedHeaders=%s, Signature=%s",
                       one->names, one->signature);
        print_message("%s\n", one->name);
        assert_string_equal(got, want);
    }
}

static void test_the_worked_example_comes_out(void **state)
{
    (void)state;
    static const pcl_aws_header HEADERS[] = {
        {"content-type", "application/x-www-form-urlencoded; charset=utf-8"},
        {"host", "iam.amazonaws.com"},
        NOW};
    char got[512];
    pcl_aws_request request = {.method = "GET",
                               .path = "/",
                               .query = "Action=ListUsers&Version=2010-05-08",
                               .headers = HEADERS,
                               .header_count = 3};
    s_sign(&request, "iam", got, sizeof got);
    assert_non_null(
        strstr(got, "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"));
}

static void test_the_canonical_form_is_as_published(void **state)
{
    (void)state;
    static const pcl_aws_header HEADERS[] = {NOW, HOST};
    pcl_buffer canonical;
    pcl_buffer_init(&canonical, 4096);
    pcl_aws_request request = {
        .method = "GET", .path = "/", .query = "", .headers = HEADERS, .header_count = 2};
    pcl_aws_canonical(&request, &canonical);
    assert_true(pcl_bytes_is(pcl_buffer_bytes(&canonical),
                             "GET\n/\n\nhost:example.amazonaws.com\nx-amz-date:" DATE "\n\n"
                             "host;x-amz-date\n"
                             "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
    pcl_buffer_release(&canonical);
}

static void test_a_full_buffer_is_no_signature(void **state)
{
    (void)state;
    static const pcl_aws_header HEADERS[] = {HOST, NOW};
    static const pcl_aws_credentials CREDENTIALS = {.access_key = "A", .secret_key = "B"};
    pcl_buffer small;
    pcl_buffer_init(&small, 40);
    pcl_aws_request request = {
        .method = "GET", .path = "/", .query = "", .headers = HEADERS, .header_count = 2};
    assert_false(pcl_aws_sign(&request, &CREDENTIALS, "r", "s", DATE, &small));
    pcl_buffer_release(&small);
}

static void test_times_go_there_and_back(void **state)
{
    (void)state;
    static const struct {
        const char *text, *date;
        uint64_t wall_s;
    } TIMES[] = {
        {"1970-01-01T00:00:00Z", "19700101T000000Z", 0},
        {"2000-02-29T23:59:59Z", "20000229T235959Z", 951868799},
        {"2015-08-30T12:36:00Z", DATE, 1440938160},
        {"2038-01-19T03:14:08Z", "20380119T031408Z", 2147483648},
        {"2099-12-31T00:00:00Z", "20991231T000000Z", 4102358400},
    };
    for (size_t index = 0; index < sizeof TIMES / sizeof TIMES[0]; index++) {
        char date[PCL_AWS_DATE_SIZE];
        uint64_t wall_s = 1;
        pcl_aws_date(TIMES[index].wall_s, date);
        assert_string_equal(date, TIMES[index].date);
        assert_true(pcl_aws_time(TIMES[index].text, &wall_s));
        assert_int_equal(wall_s, TIMES[index].wall_s);
    }
}

static void test_what_is_no_time_is_refused(void **state)
{
    (void)state;
    static const char *const TEXTS[] = {"",
                                        "2015-08-30",
                                        "2015-08-30T12:36:00",
                                        "2015-08-30 12:36:00Z",
                                        "2015-13-30T12:36:00Z",
                                        "2015-08-00T12:36:00Z",
                                        "2015-08-30T24:36:00Z",
                                        "1969-08-30T12:36:00Z",
                                        "2015-08-30T12:36:00+01:00",
                                        "2015-08-30T12:3a:00Z"};
    for (size_t index = 0; index < sizeof TEXTS / sizeof TEXTS[0]; index++) {
        uint64_t wall_s = 77;
        assert_false(pcl_aws_time(TEXTS[index], &wall_s));
        assert_int_equal(wall_s, 77);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_published_vectors_come_out),
        cmocka_unit_test(test_the_worked_example_comes_out),
        cmocka_unit_test(test_the_canonical_form_is_as_published),
        cmocka_unit_test(test_a_full_buffer_is_no_signature),
        cmocka_unit_test(test_times_go_there_and_back),
        cmocka_unit_test(test_what_is_no_time_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
