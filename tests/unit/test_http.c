#include "net/http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static pcl_metrics *s_metrics;
static pcl_http *s_http;
static char s_error[256];
static char s_reply[65536];

/* Sends text and returns all that comes back. */
static const char *s_exchange(const char *text)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(pcl_http_port(s_http)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(send(fd, text, strlen(text), 0), strlen(text));
    size_t used = 0;
    ssize_t count;
    while ((count = recv(fd, s_reply + used, sizeof s_reply - 1 - used, 0)) > 0) {
        used += (size_t)count;
    }
    s_reply[used] = '\0';
    close(fd);
    return s_reply;
}

static const char *s_request(const char *method, const char *path)
{
    char text[512];
    snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", method,
             path);
    return s_exchange(text);
}

static void s_expect(const char *method, const char *path, const char *status, const char *body)
{
    const char *reply = s_request(method, path);
    char expected[64];
    snprintf(expected, sizeof expected, "HTTP/1.1 %s ", status);
    assert_memory_equal(reply, expected, strlen(expected));
    const char *end = strstr(reply, "\r\n\r\n");
    assert_non_null(end);
    assert_string_equal(end + 4, body);
}

static void test_health_and_readiness(void **state)
{
    (void)state;
    s_expect("GET", "/health", "200", "ok\n");
    s_expect("HEAD", "/health", "200", "");
    s_expect("GET", "/ready", "503", "starting\n");
    pcl_http_set_ready(s_http, true, "");
    s_expect("GET", "/ready", "200", "ready\n");
    pcl_http_set_ready(s_http, false, "the broker is not there");
    s_expect("GET", "/ready", "503", "the broker is not there\n");
    pcl_http_set_ready(NULL, false, "no listener, nobody to tell");
}

static void test_metrics(void **state)
{
    (void)state;
    pcl_metric_add(pcl_metrics_counter(s_metrics, "portcullis_test_total", "", "Test."), 5);
    const char *reply = s_request("GET", "/metrics");
    assert_non_null(strstr(reply, "Content-Type: text/plain; version=0.0.4"));
    assert_non_null(strstr(reply, "\nportcullis_test_total 5\n"));
    assert_non_null(strstr(reply, "\nportcullis_process_resident_memory_bytes "));
}

static void test_pages(void **state)
{
    (void)state;
    s_expect("GET", "/api/cluster", "404", "not found\n");
    pcl_http_publish(s_http, "/api/cluster", "application/json", pcl_bytes_text("{}"));
    s_expect("GET", "/api/cluster", "200", "{}");
    assert_non_null(strstr(s_reply, "Content-Type: application/json"));
    pcl_http_publish(s_http, "/api/cluster", "application/json", pcl_bytes_text("{\"a\":1}"));
    s_expect("GET", "/api/cluster", "200", "{\"a\":1}");
    pcl_http_publish(s_http, "/api/cluster", "application/json", pcl_bytes_of(NULL, 0));
    s_expect("GET", "/api/cluster", "200", "");
}

static void test_only_get_and_head(void **state)
{
    (void)state;
    s_expect("POST", "/health", "405", "only GET and HEAD\n");
    assert_non_null(strstr(s_reply, "Allow: GET, HEAD"));
    s_expect("DELETE", "/metrics", "405", "only GET and HEAD\n");
}

static void test_garbage_leaves_it_alive(void **state)
{
    (void)state;
    (void)s_exchange("garbage\r\n\r\n");
    (void)s_exchange("GET /health HTTP/9.9\r\n\r\n");
    (void)s_exchange("POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
                     "Connection: close\r\n\r\n12345");
    s_expect("GET", "/health", "200", "ok\n");
}

static void test_only_private_addresses_are_listened_on(void **state)
{
    (void)state;
    assert_null(pcl_http_start("0.0.0.0:0", s_metrics, s_error, sizeof s_error));
    assert_non_null(strstr(s_error, "must be a loopback or private address"));
    assert_null(pcl_http_start("8.8.8.8:0", s_metrics, s_error, sizeof s_error));
    assert_null(pcl_http_start("nonsense", s_metrics, s_error, sizeof s_error));
    char used[64];
    snprintf(used, sizeof used, "127.0.0.1:%u", (unsigned)pcl_http_port(s_http));
    assert_null(pcl_http_start(used, s_metrics, s_error, sizeof s_error));
    assert_non_null(strstr(s_error, "cannot listen"));
}

static int s_set_up(void **state)
{
    (void)state;
    s_metrics = pcl_metrics_new();
    s_http = pcl_http_start("127.0.0.1:0", s_metrics, s_error, sizeof s_error);
    return s_http == NULL;
}

static int s_tear_down(void **state)
{
    (void)state;
    pcl_http_stop(&s_http);
    pcl_metrics_destroy(&s_metrics);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_health_and_readiness),
        cmocka_unit_test(test_metrics),
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_only_get_and_head),
        cmocka_unit_test(test_garbage_leaves_it_alive),
        cmocka_unit_test(test_only_private_addresses_are_listened_on),
    };
    return cmocka_run_group_tests(tests, s_set_up, s_tear_down);
}
