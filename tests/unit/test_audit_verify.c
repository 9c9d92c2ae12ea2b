#include "audit/verify.h"

#include "tests/lib/seed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { LINES_MAX = 64, LINE_SIZE = 512 };

/* A log in memory: lines with their ends, and where files begin. */
static char s_lines[LINES_MAX][LINE_SIZE];
static size_t s_count;

static pcl_audit_verify s_verify;
static pcl_audit_finding s_findings[LINES_MAX]; /* of the last s_check */
static char s_texts[LINES_MAX][PCL_AUDIT_FINDING_SIZE];

static uint64_t s_sequence;
static uint8_t s_hash[PCL_AUDIT_HASH_SIZE];

static void s_put(pcl_audit_record *record, const uint8_t *key)
{
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, LINE_SIZE);
    record->sequence = ++s_sequence;
    record->time_us = UINT64_C(1795363410123456) + s_sequence;
    pcl_audit_chain_put(record, key, s_hash, &buffer);
    assert_false(buffer.failed);
    assert_true(s_count < LINES_MAX);
    memcpy(s_lines[s_count], buffer.data, buffer.size);
    s_lines[s_count++][buffer.size - 1] = '\0';
    pcl_buffer_release(&buffer);
}

static void s_put_open(uint64_t torn, const uint8_t *key)
{
    pcl_audit_record record = {.kind = PCL_AUDIT_OPEN, .has_previous = true, .torn = torn};
    memcpy(record.previous, s_hash, sizeof record.previous);
    s_put(&record, key);
}

/* An open line and `count` others. */
static void s_make(size_t count, const uint8_t *key)
{
    s_count = 0;
    s_sequence = 0;
    memset(s_hash, 0, sizeof s_hash);
    s_put_open(0, key);
    for (size_t index = 0; index < count; index++) {
        pcl_audit_record record = {
            .kind = PCL_AUDIT_DONE,
            .principal = pcl_bytes_text("alice"),
            .code = pcl_bytes_text("OK"),
            .has_rows = true,
            .rows = index,
        };
        s_put(&record, key);
    }
}

/* Reads all lines; file_starts: where other files begin, torn octets before each; -1 ends it. */
static size_t s_check_files(const int *file_starts, uint64_t torn, const uint8_t *key)
{
    size_t damages = 0;
    pcl_audit_verify_start(&s_verify, key);
    pcl_audit_verify_file(&s_verify);
    for (size_t index = 0; index < s_count; index++) {
        if (*file_starts == (int)index) {
            pcl_audit_verify_file_end(&s_verify, torn);
            pcl_audit_verify_file(&s_verify);
            file_starts++;
        }
        s_findings[index] = pcl_audit_verify_line(&s_verify, pcl_bytes_text(s_lines[index]),
                                                  s_texts[index]);
        assert_int_equal(s_findings[index] == PCL_AUDIT_SOUND, s_texts[index][0] == '\0');
        damages += s_findings[index] != PCL_AUDIT_SOUND && s_findings[index] != PCL_AUDIT_TORN;
    }
    pcl_audit_verify_file_end(&s_verify, 0);
    return damages;
}

static size_t s_check(void)
{
    static const int ONE[] = {-1};
    return s_check_files(ONE, 0, NULL);
}

static void s_remove(size_t at)
{
    memmove(s_lines[at], s_lines[at + 1], (s_count - at - 1) * LINE_SIZE);
    s_count--;
}

static void s_swap(size_t one, size_t other)
{
    char line[LINE_SIZE];
    memcpy(line, s_lines[one], LINE_SIZE);
    memcpy(s_lines[one], s_lines[other], LINE_SIZE);
    memcpy(s_lines[other], line, LINE_SIZE);
}

static void test_a_log_as_it_was_written_is_sound(void **state)
{
    (void)state;
    s_make(40, NULL);
    assert_int_equal(s_check(), 0);
    char text[PCL_AUDIT_FINDING_SIZE];
    assert_int_equal(pcl_audit_verify_finish(&s_verify, text), PCL_AUDIT_SOUND);
    assert_int_equal(s_verify.lines, 41);
    assert_int_equal(s_verify.first, 1);
    assert_int_equal(s_verify.sequence, 41);
    assert_memory_equal(s_verify.hash, s_hash, sizeof s_hash);
}

/* Each octet of a line, changed to each of some others: the line is named, or, when its hash was
 * changed, the line behind it, too. */
static void test_every_changed_octet_is_found_in_its_line(void **state)
{
    (void)state;
    static const char OTHERS[] = "0af \"\\x=\n~Z9";
    enum { AT = 5 };
    s_make(10, NULL);
    size_t size = strlen(s_lines[AT]);
    for (size_t place = 0; place < size; place++) {
        for (const char *other = OTHERS; *other != '\0'; other++) {
            char was = s_lines[AT][place];
            if (was == *other) {
                continue;
            }
            s_lines[AT][place] = *other;
            assert_in_range(s_check(), 1, 3);
            for (size_t index = 0; index < AT; index++) {
                assert_int_equal(s_findings[index], PCL_AUDIT_SOUND);
            }
            assert_int_not_equal(s_findings[AT], PCL_AUDIT_SOUND);
            for (size_t index = AT + 3; index < s_count; index++) {
                assert_int_equal(s_findings[index], PCL_AUDIT_SOUND);
            }
            s_lines[AT][place] = was;
        }
    }
}

static void test_a_line_that_was_made_anew_is_found_at_the_next_one(void **state)
{
    (void)state;
    s_make(10, NULL);
    /* With its own hash made right: whoever has no key can do that when there is none. */
    pcl_audit_record record;
    uint8_t chain[PCL_AUDIT_HASH_SIZE];
    size_t hashed_size = 0;
    const char *problem = NULL;
    static pcl_audit_scratch scratch;
    uint8_t before[PCL_AUDIT_HASH_SIZE];
    assert_true(pcl_audit_record_parse(&record, pcl_bytes_text(s_lines[4]), &scratch, before,
                                       &hashed_size, &problem));
    assert_true(pcl_audit_record_parse(&record, pcl_bytes_text(s_lines[5]), &scratch, chain,
                                       &hashed_size, &problem));
    record.rows = 1000;
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, LINE_SIZE);
    pcl_audit_chain_put(&record, NULL, before, &buffer);
    memcpy(s_lines[5], buffer.data, buffer.size);
    s_lines[5][buffer.size - 1] = '\0';
    pcl_buffer_release(&buffer);
    assert_int_equal(s_check(), 1);
    assert_int_equal(s_findings[6], PCL_AUDIT_CHANGED);
}

static void test_missing_lines_are_named_where_they_were(void **state)
{
    (void)state;
    s_make(10, NULL);
    s_remove(5);
    assert_int_equal(s_check(), 1);
    assert_int_equal(s_findings[5], PCL_AUDIT_MISSING);
    assert_string_equal(s_texts[5], "seq 6 is missing before seq 7");
    s_remove(5);
    assert_int_equal(s_check(), 1);
    assert_string_equal(s_texts[5], "seq 6 and more are missing before seq 8");
}

static void test_a_missing_start_is_named(void **state)
{
    (void)state;
    s_make(10, NULL);
    s_remove(0);
    assert_int_equal(s_check(), 1);
    assert_int_equal(s_findings[0], PCL_AUDIT_NO_START);
}

static void test_moved_and_repeated_lines_are_named(void **state)
{
    (void)state;
    s_make(10, NULL);
    s_swap(5, 6);
    assert_int_equal(s_check(), 2);
    assert_int_equal(s_findings[5], PCL_AUDIT_MISSING);
    assert_int_equal(s_findings[6], PCL_AUDIT_MOVED);
    s_make(10, NULL);
    memcpy(s_lines[7], s_lines[6], LINE_SIZE);
    assert_int_equal(s_check(), 2);
    assert_int_equal(s_findings[7], PCL_AUDIT_MOVED);
    assert_int_equal(s_findings[8], PCL_AUDIT_MISSING);
}

static void test_a_line_that_is_none_is_told_once(void **state)
{
    (void)state;
    s_make(10, NULL);
    (void)snprintf(s_lines[5], LINE_SIZE, "nothing");
    assert_int_equal(s_check(), 1);
    assert_int_equal(s_findings[5], PCL_AUDIT_NO_LINE);
}

static void test_files_are_one_chain(void **state)
{
    (void)state;
    static const int STARTS[] = {6, 10, -1};
    s_make(5, NULL);
    s_put_open(0, NULL);
    for (int index = 0; index < 3; index++) {
        pcl_audit_record record = {.kind = PCL_AUDIT_START};
        s_put(&record, NULL);
    }
    s_put_open(0, NULL);
    assert_int_equal(s_check_files(STARTS, 0, NULL), 0);
    /* The oldest files may be gone: the first that is there says what it follows. */
    for (int index = 0; index < 6; index++) {
        s_remove(0);
    }
    static const int REST[] = {4, -1};
    assert_int_equal(s_check_files(REST, 0, NULL), 0);
    assert_int_equal(s_verify.first, 7);
    /* The one in the middle may not. */
    s_make(5, NULL);
    s_put_open(0, NULL);
    s_put_open(0, NULL);
    s_remove(6);
    static const int TWO[] = {6, -1};
    assert_int_equal(s_check_files(TWO, 0, NULL), 1);
    assert_int_equal(s_findings[6], PCL_AUDIT_MISSING);
}

static void test_a_torn_end_is_no_damage_when_the_next_file_tells_of_it(void **state)
{
    (void)state;
    static const int STARTS[] = {6, -1};
    s_make(5, NULL);
    s_put_open(37, NULL);
    assert_int_equal(s_check_files(STARTS, 37, NULL), 0);
    assert_int_equal(s_findings[6], PCL_AUDIT_TORN);
    assert_int_equal(s_check_files(STARTS, 36, NULL), 1);
    assert_int_equal(s_findings[6], PCL_AUDIT_CUT);
    assert_int_equal(s_check_files(STARTS, 0, NULL), 1);
    char text[PCL_AUDIT_FINDING_SIZE];
    pcl_audit_verify_file_end(&s_verify, 5);
    assert_int_equal(pcl_audit_verify_finish(&s_verify, text), PCL_AUDIT_CUT);
}

static void test_a_keyed_chain_needs_its_key(void **state)
{
    (void)state;
    static const int ONE[] = {-1};
    uint8_t key[PCL_AUDIT_KEY_SIZE] = {1};
    s_make(10, key);
    assert_int_equal(s_check_files(ONE, 0, key), 0);
    assert_int_equal(s_check_files(ONE, 0, NULL), 11);
    key[0] = 2;
    assert_int_equal(s_check_files(ONE, 0, key), 11);
}

/* The lines in docs/audit.md. */
static void test_the_documentation_shows_a_log(void **state)
{
    (void)state;
    char line[LINE_SIZE * 4];
    char text[PCL_AUDIT_FINDING_SIZE];
    bool inside = false;
    FILE *file = fopen(PCL_SOURCE_DIR "/docs/audit.md", "re");
    assert_non_null(file);
    pcl_audit_verify_start(&s_verify, NULL);
    pcl_audit_verify_file(&s_verify);
    while (fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        inside = inside ? strncmp(line, "```", 3) != 0 : strstr(line, "kind=open") != NULL;
        if (inside && pcl_audit_verify_line(&s_verify, pcl_bytes_text(line), text) != 0) {
            fail_msg("%s: %s", text, line);
        }
    }
    assert_int_equal(fclose(file), 0);
    assert_int_equal(s_verify.lines, 6);
}

/* Every key that a line can have stands in the table, in the order of the line. */
static void test_the_documentation_names_every_key(void **state)
{
    (void)state;
    static char document[65536];
    pcl_bytes word = pcl_bytes_text("x");
    pcl_audit_record all = {
        .has_id = true,
        .has_session = true,
        .principal = word,
        .role = word,
        .op = word,
        .sql_class = word,
        .strategy = word,
        .db = word,
        .digest = word,
        .digest_text = word,
        .code = word,
        .rule = word,
        .dry_run = word,
        .node = word,
        .token = word,
        .peer = word,
        .has_rows = true,
        .has_statement = true,
        .has_took = true,
        .sealed = true,
        .has_previous = true,
        .torn = 1,
        .lost = 1,
    };
    FILE *file = fopen(PCL_SOURCE_DIR "/docs/audit.md", "re");
    assert_non_null(file);
    size_t size = fread(document, 1, sizeof document - 1, file);
    assert_in_range(size, 1000, sizeof document - 2);
    assert_int_equal(fclose(file), 0);
    pcl_buffer line;
    pcl_buffer_init(&line, LINE_SIZE * 4);
    pcl_audit_record_format(&all, &line);
    pcl_buffer_put_u8(&line, '\0');
    const char *place = strstr(document, "| key | holds |");
    size_t count = 0;
    char *rest = NULL;
    for (char *pair = strtok_r((char *)line.data, " ", &rest); pair != NULL;
         pair = strtok_r(NULL, " ", &rest)) {
        char *equals = strchr(pair, '=');
        if (equals != NULL) {
            char row[64];
            (void)snprintf(row, sizeof row, "| `%.*s` |", (int)(equals - pair), pair);
            place = place != NULL ? strstr(place, row) : NULL;
            if (place == NULL) {
                fail_msg("not in the table, or not in order: %s", row);
            }
            count++;
        }
    }
    assert_int_equal(count, 25);
    pcl_buffer_release(&line);
}

/* Any of: drop, double, move, change; nothing of it passes. */
static void test_random_damage_is_always_found(void **state)
{
    (void)state;
    pcl_rng rng = pcl_test_rng("test_audit_verify");
    for (int round = 0; round < 2000; round++) {
        s_make(12, NULL);
        /* The last line can be cut off unseen: that is what a noted head is for. */
        size_t at = pcl_rng_below(&rng, (uint32_t)s_count - 1);
        switch (pcl_rng_below(&rng, 4)) {
        case 0:
            s_remove(at);
            break;
        case 1:
            memcpy(s_lines[at + 1], s_lines[at], LINE_SIZE);
            break;
        case 2:
            s_swap(at, at + 1);
            break;
        default: {
            size_t place = pcl_rng_below(&rng, (uint32_t)strlen(s_lines[at]));
            s_lines[at][place] = (char)(s_lines[at][place] ^ (1 + (int)pcl_rng_below(&rng, 127)));
            if (s_lines[at][place] == '\0') {
                s_lines[at][place] = '?';
            }
            break;
        }
        }
        assert_true(s_check() > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_log_as_it_was_written_is_sound),
        cmocka_unit_test(test_every_changed_octet_is_found_in_its_line),
        cmocka_unit_test(test_a_line_that_was_made_anew_is_found_at_the_next_one),
        cmocka_unit_test(test_missing_lines_are_named_where_they_were),
        cmocka_unit_test(test_a_missing_start_is_named),
        cmocka_unit_test(test_moved_and_repeated_lines_are_named),
        cmocka_unit_test(test_a_line_that_is_none_is_told_once),
        cmocka_unit_test(test_files_are_one_chain),
        cmocka_unit_test(test_a_torn_end_is_no_damage_when_the_next_file_tells_of_it),
        cmocka_unit_test(test_a_keyed_chain_needs_its_key),
        cmocka_unit_test(test_the_documentation_shows_a_log),
        cmocka_unit_test(test_the_documentation_names_every_key),
        cmocka_unit_test(test_random_damage_is_always_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
