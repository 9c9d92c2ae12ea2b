#include "net/log.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static char s_output[1024 * 1024];

/* What action writes to standard error. */
static const char *s_capture(void (*action)(void))
{
    FILE *file = tmpfile();
    assert_non_null(file);
    fflush(stderr);
    int saved = dup(STDERR_FILENO);
    assert_true(dup2(fileno(file), STDERR_FILENO) >= 0);
    action();
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
    rewind(file);
    size_t size = fread(s_output, 1, sizeof s_output - 1, file);
    s_output[size] = '\0';
    fclose(file);
    return s_output;
}

static void s_log_one(void)
{
    pcl_log(PCL_LOG_INFO, "broker", "refused", "n=%d name=\"%s\"", 7, "x");
}

static void test_a_line_has_time_level_who_and_event(void **state)
{
    (void)state;
    const char *line = s_capture(s_log_one);
    assert_string_equal(line + 27, " info broker event=refused n=7 name=\"x\"\n");
    assert_int_equal(line[10], 'T');
    assert_int_equal(line[19], '.');
    assert_int_equal(line[26], 'Z');
}

static void s_log_levels(void)
{
    pcl_log_set_level(PCL_LOG_WARNING);
    pcl_log(PCL_LOG_DEBUG, "x", "one", "%s", "");
    pcl_log(PCL_LOG_INFO, "x", "two", "%s", "");
    pcl_log(PCL_LOG_WARNING, "x", "three", "%s", "");
    pcl_log(PCL_LOG_ERROR, "x", "four", "%s", "");
    pcl_log_set_level(PCL_LOG_INFO);
}

static void test_lines_under_the_level_are_dropped(void **state)
{
    (void)state;
    const char *lines = s_capture(s_log_levels);
    assert_null(strstr(lines, "event=one"));
    assert_null(strstr(lines, "event=two"));
    assert_non_null(strstr(lines, " warning x event=three\n"));
    assert_non_null(strstr(lines, " error x event=four\n"));
}

static void s_log_hostile(void)
{
    static char long_text[10000];
    memset(long_text, 'a', sizeof long_text - 1);
    pcl_log(PCL_LOG_INFO, "x", "forged", "name=%s", "a\n2026 info x event=fine\x1b[2J");
    pcl_log(PCL_LOG_INFO, "x", "long", "name=%s", long_text);
}

static void test_values_cannot_make_lines(void **state)
{
    (void)state;
    const char *lines = s_capture(s_log_hostile);
    const char *first_end = strchr(lines, '\n');
    assert_non_null(strstr(lines, "name=a?2026 info x event=fine?[2J\n"));
    assert_true(strlen(first_end + 1) <= 4096);
    assert_string_equal(strchr(first_end + 1, '\n'), "\n");
}

static void *s_write_lines(void *argument)
{
    for (int index = 0; index < 200; index++) {
        pcl_log(PCL_LOG_INFO, argument, "line", "n=%d end=1", index);
    }
    return NULL;
}

static void s_log_from_threads(void)
{
    pthread_t threads[4];
    static char names[4][8] = {"t0", "t1", "t2", "t3"};
    for (int index = 0; index < 4; index++) {
        assert_int_equal(pthread_create(&threads[index], NULL, s_write_lines, names[index]), 0);
    }
    for (int index = 0; index < 4; index++) {
        pthread_join(threads[index], NULL);
    }
}

static void test_lines_of_threads_stay_whole(void **state)
{
    (void)state;
    char *rest = NULL;
    int count = 0;
    s_capture(s_log_from_threads);
    for (char *line = strtok_r(s_output, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        assert_string_equal(line + strlen(line) - 6, " end=1");
        assert_memory_equal(line, "20", 2);
        count++;
    }
    assert_int_equal(count, 800);
}

static void test_escape(void **state)
{
    (void)state;
    char text[16];
    assert_string_equal(pcl_log_escape("a\"b\\c\nd\x7f", text, sizeof text), "a?b?c?d?");
    assert_string_equal(pcl_log_escape("\xc3\xa4 \xc2\x9b", text, sizeof text), "\xc3\xa4 \xc2?");
    assert_string_equal(pcl_log_escape("0123456789abcdefgh", text, sizeof text), "0123456789abcde");
    assert_string_equal(pcl_log_escape("abc", text, 1), "");
}

static void test_id_text(void **state)
{
    (void)state;
    uint8_t id[PCL_ID_SIZE] = {0x00, 0xff, 0x1a};
    char text[2 * PCL_ID_SIZE + 1];
    assert_string_equal(pcl_id_text(id, text), "00ff1a00000000000000000000000000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_line_has_time_level_who_and_event),
        cmocka_unit_test(test_lines_under_the_level_are_dropped),
        cmocka_unit_test(test_values_cannot_make_lines),
        cmocka_unit_test(test_lines_of_threads_stay_whole),
        cmocka_unit_test(test_escape),
        cmocka_unit_test(test_id_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
