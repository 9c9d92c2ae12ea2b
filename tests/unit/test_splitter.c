#include "client/splitter.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

/* The statements of text, each in brackets. */
static const char *s_split(const char *text)
{
    static char target[512];
    size_t used = 0;
    target[0] = '\0';
    pcl_splitter splitter = pcl_splitter_of(pcl_bytes_text(text));
    pcl_bytes statement;
    while (pcl_splitter_next(&splitter, &statement)) {
        used += (size_t)snprintf(target + used, sizeof target - used, "[%.*s]", (int)statement.size,
                                 (const char *)statement.data);
    }
    assert_false(pcl_splitter_next(&splitter, &statement)); /* the end stays the end */
    return target;
}

static void statements_are_cut(void **state)
{
    (void)state;
    static const struct {
        const char *text, *statements;
    } cases[] = {
        {"", ""},
        {" \n;; ;\t", ""},
        {"SELECT 1", "[SELECT 1]"},
        {"SELECT 1;", "[SELECT 1]"},
        {"SELECT 1;SELECT 2", "[SELECT 1][SELECT 2]"},
        {" SELECT 1 ;\n SELECT 2 ;\n", "[SELECT 1][SELECT 2]"},
        {"SELECT 'a;b'; SELECT \"c;d\"; SELECT `e;f`",
         "[SELECT 'a;b'][SELECT \"c;d\"][SELECT `e;f`]"},
        {"SELECT 'a\\';b'; 2", "[SELECT 'a\\';b'][2]"},
        {"SELECT 'a'';b'; 2", "[SELECT 'a'';b'][2]"},
        {"SELECT `a\\`; 2", "[SELECT `a\\`][2]"},
        {"SELECT 1 -- a;b\n; 2", "[SELECT 1 -- a;b][2]"},
        {"SELECT 1 # a;b\n; 2", "[SELECT 1 # a;b][2]"},
        {"SELECT /* ; */ 1; 2", "[SELECT /* ; */ 1][2]"},
        {"SELECT 5--3; 2", "[SELECT 5--3][2]"},
        {"SELECT 1;--", "[SELECT 1]"},
        {"-- only a comment\n# and another; one\n/* ; */", ""},
        {"-- first\nSELECT 1", "[SELECT 1]"},
        {"/*!40000 SET x=1; */; 2", "[/*!40000 SET x=1; */][2]"},
        {"/*M! x; */ 1", "[/*M! x; */ 1]"},
        {"SELECT 'open; 2", "[SELECT 'open; 2]"},
        {"SELECT 1 /* open; 2", "[SELECT 1 /* open; 2]"},
        {"SELECT 'open\\", "[SELECT 'open\\]"},
        {"DELIMITER $$\nCREATE PROCEDURE p() BEGIN SELECT 1; END$$\ndelimiter ;\nSELECT 2;",
         "[CREATE PROCEDURE p() BEGIN SELECT 1; END][SELECT 2]"},
        {"DELIMITER\nSELECT 1", "[DELIMITER\nSELECT 1]"},
    };
    for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        const char *found = s_split(cases[index].text);
        if (strcmp(found, cases[index].statements) != 0) {
            fail_msg("case %zu: %s -> %s", index, cases[index].text, found);
        }
    }
}

/* It would be empty, and stand everywhere. */
static void a_delimiter_holds_no_nul(void **state)
{
    (void)state;
    static const char text[] = "DELIMITER \0\nSELECT 1";
    pcl_splitter splitter = pcl_splitter_of(pcl_bytes_of(text, sizeof text - 1));
    pcl_bytes statement;
    assert_true(pcl_splitter_next(&splitter, &statement));
    assert_int_equal(statement.size, sizeof text - 1);
    assert_false(pcl_splitter_next(&splitter, &statement));
}

static void no_octets_do_harm(void **state)
{
    (void)state;
    static const char alphabet[] = "';\"`\\-#/*! \nd\0";
    uint32_t random = 4711;
    for (int round = 0; round < 20000; round++) {
        uint8_t text[24];
        size_t size = (size_t)(round % 24);
        for (size_t index = 0; index < size; index++) {
            random = random * 1664525u + 1013904223u;
            text[index] = (uint8_t)alphabet[(random >> 16) % (sizeof alphabet - 1)];
        }
        pcl_splitter splitter = pcl_splitter_of(pcl_bytes_of(text, size));
        pcl_bytes statement;
        for (size_t count = 0; pcl_splitter_next(&splitter, &statement); count++) {
            assert_true(count < size && statement.size > 0);
            assert_true(splitter.offset <= size);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statements_are_cut),
        cmocka_unit_test(a_delimiter_holds_no_nul),
        cmocka_unit_test(no_octets_do_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
