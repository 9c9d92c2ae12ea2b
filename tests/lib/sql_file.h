/* sql_file.h - the statements of tests/data/sql, for cmocka tests.
 *
 * FILE.txt: one statement a line, CLASS TAB text, with \n \r \t \0 \\ and \xHH; a
 * line that begins with # is a comment.  Behind `# only: mariadb` or `# only: mysql`
 * the statements are judged by the rules of that flavor, until the next such line.
 */
#ifndef PCL_TESTS_SQL_FILE_H
#define PCL_TESTS_SQL_FILE_H

#include "sql/classify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const PCL_SQL_FILES[] = {
    "read",        "write",      "other",       "evasion",       "definition",
    "app_bench",   "app_django", "app_drupal",  "app_hibernate", "app_laravel",
    "app_magento", "app_rails",  "app_reports", "app_wordpress",
};
enum { PCL_SQL_ROW_TEXT_MAX = 65536 };

typedef struct pcl_sql_row {
    const char *file;
    unsigned line;
    pcl_sql_class expected;
    pcl_sql_rules rules; /* to be judged by */
    uint8_t text[PCL_SQL_ROW_TEXT_MAX];
    size_t size;
} pcl_sql_row;

typedef void pcl_sql_row_check(const pcl_sql_row *row, void *context);

static inline size_t s_unescape(uint8_t *target, const char *source)
{
    size_t size = 0;
    while (*source != 0) {
        assert_true(size < PCL_SQL_ROW_TEXT_MAX);
        if (*source != '\\') {
            target[size++] = (uint8_t)*source++;
            continue;
        }
        char hex[3] = {0};
        switch (source[1]) {
        case 'n':
            target[size++] = '\n';
            break;
        case 'r':
            target[size++] = '\r';
            break;
        case 't':
            target[size++] = '\t';
            break;
        case '0':
            target[size++] = 0;
            break;
        case 'x':
            memcpy(hex, source + 2, 2);
            target[size++] = (uint8_t)strtoul(hex, NULL, 16);
            source += 2;
            break;
        default:
            assert_int_equal(source[1], '\\');
            target[size++] = '\\';
            break;
        }
        source += 2;
    }
    return size;
}

static inline pcl_sql_class s_class_of(const char *text)
{
    for (unsigned index = 1; index < PCL_SQL_CLASS_COUNT; index++) {
        if (strcmp(text, pcl_sql_class_text((pcl_sql_class)index)) == 0) {
            return (pcl_sql_class)index;
        }
    }
    fail_msg("no class: %s", text);
    return PCL_SQL_NONE;
}

/* Calls check for each statement of one file; returns how many. */
static inline unsigned pcl_sql_each_row_of(const char *folder, const char *name,
                                           pcl_sql_row_check *check, void *context)
{
    static char line[PCL_SQL_ROW_TEXT_MAX];
    static pcl_sql_row row;
    static const char only[] = "# only: ";
    char path[512];
    snprintf(path, sizeof path, "%s/%s.txt", folder, name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    unsigned count = 0;
    row.file = name;
    row.line = 0;
    row.rules = (pcl_sql_rules){.flavor = PCL_SQL_FLAVOR_BOTH};
    while (fgets(line, sizeof line, file) != NULL) {
        row.line++;
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, only, sizeof only - 1) == 0) {
            row.rules.flavor = PCL_SQL_FLAVOR_BOTH;
            (void)pcl_sql_flavor_parse(pcl_bytes_text(line + sizeof only - 1), &row.rules.flavor);
        }
        if (line[0] == '#') {
            continue;
        }
        char *tab = strchr(line, '\t');
        const char *text = tab == NULL ? "" : tab + 1;
        if (tab != NULL) {
            *tab = 0;
        }
        row.expected = s_class_of(line);
        row.size = s_unescape(row.text, text);
        check(&row, context);
        count++;
    }
    fclose(file);
    return count;
}

static inline unsigned pcl_sql_each_row(const char *folder, pcl_sql_row_check *check, void *context)
{
    unsigned count = 0;
    for (size_t index = 0; index < sizeof PCL_SQL_FILES / sizeof PCL_SQL_FILES[0]; index++) {
        count += pcl_sql_each_row_of(folder, PCL_SQL_FILES[index], check, context);
    }
    return count;
}

#endif
