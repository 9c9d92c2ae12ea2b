/* What a shell makes of lines, commands and half a statement. */
#include "client/shell/complete.h"
#include "client/shell/input.h"
#include "client/shell/order.h"
#include "wire/request.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define TEXT_SIZE 512u

/* --- Input ------------------------------------------------------------------- */

/* What the lines give: statements in brackets (vertical ones in braces), commands in angle
 * brackets. */
static const char *s_read(pcl_shell_input *input, const char *lines, bool end)
{
    static char target[TEXT_SIZE];
    size_t used = 0;
    target[0] = '\0';
    bool more = true;
    while (more) {
        pcl_shell_item item;
        if (*lines != '\0') {
            size_t size = strcspn(lines, "\n");
            assert_true(pcl_shell_input_add(input, pcl_bytes_of(lines, size)));
            lines += size + (lines[size] == '\n' ? 1 : 0);
        } else {
            more = false;
            if (end) {
                pcl_shell_input_end(input);
            }
        }
        while ((item = pcl_shell_input_next(input)).kind != PCL_SHELL_NOTHING) {
            const char *marks = item.kind == PCL_SHELL_COMMAND ? "<>" : item.vertical ? "{}" : "[]";
            used += (size_t)snprintf(target + used, TEXT_SIZE - used, "%c%.*s%c", marks[0],
                                     (int)item.text.size, (const char *)item.text.data, marks[1]);
        }
    }
    return target;
}

static void test_lines_become_statements_and_commands(void **state)
{
    (void)state;
    static const struct {
        const char *lines, *items;
    } cases[] = {
        {"", ""},
        {"SELECT 1", ""},
        {"SELECT 1;", "[SELECT 1]"},
        {"SELECT 1; SELECT 2;", "[SELECT 1][SELECT 2]"},
        {"SELECT\n  1\n;", "[SELECT\n  1]"},
        {"SELECT 1\\G", "{SELECT 1}"},
        {"SELECT 1\\g SELECT 2\\G", "[SELECT 1]{SELECT 2}"},
        {"SELECT ';\n\\G';", "[SELECT ';\n\\G']"},
        {"SELECT /* ;\n */ 1;", "[SELECT /* ;\n */ 1]"},
        {"/* a comment\nover lines; */\nSELECT 1;", "[SELECT 1]"},
        {"-- a comment;\nSELECT 1;", "[SELECT 1]"},
        {"\\timing on\nSELECT 1;", "<\\timing on>[SELECT 1]"},
        {"  \\q  ", "<\\q>"},
        {"SELECT 1\n\\timing on;", "[SELECT 1\n\\timing on]"},
        {"SELECT 1; \\timing", "[SELECT 1]<\\timing>"},
        {"SELECT wrong\\c\nSELECT 1;", "[SELECT 1]"},
        {"SELECT\nwrong \\c\nSELECT 1;", "[SELECT 1]"},
        {"DELIMITER //\nCREATE PROCEDURE p() SELECT 1; //\nDELIMITER ;\nSELECT 2;",
         "[CREATE PROCEDURE p() SELECT 1;][SELECT 2]"},
    };
    for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        pcl_shell_input input;
        pcl_shell_input_init(&input, 1024);
        assert_string_equal(s_read(&input, cases[index].lines, false), cases[index].items);
        pcl_shell_input_release(&input);
    }
}

static void test_the_end_of_the_text_ends_a_statement(void **state)
{
    (void)state;
    static const struct {
        const char *lines, *items;
    } cases[] = {
        {"SELECT 1", "[SELECT 1]"},         {"SELECT 1; SELECT 2", "[SELECT 1][SELECT 2]"},
        {"SELECT 'open", "[SELECT 'open]"}, {"SELECT 1; /* open", "[SELECT 1]"},
        {"SELECT 1;\n\n", "[SELECT 1]"},
    };
    for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        pcl_shell_input input;
        pcl_shell_input_init(&input, 1024);
        assert_string_equal(s_read(&input, cases[index].lines, true), cases[index].items);
        assert_false(pcl_shell_input_is_open(&input) && cases[index].items[0] == '\0');
        pcl_shell_input_release(&input);
    }
}

static void test_the_prompt_knows_what_is_open(void **state)
{
    (void)state;
    pcl_shell_input input;
    pcl_shell_input_init(&input, 1024);
    assert_false(pcl_shell_input_is_open(&input));
    (void)s_read(&input, "SELECT 'a", false);
    assert_true(pcl_shell_input_is_open(&input));
    assert_int_equal(pcl_shell_input_quote(&input), '\'');
    (void)s_read(&input, "b' /* c", false);
    assert_int_equal(pcl_shell_input_quote(&input), '*');
    (void)s_read(&input, "d */", false);
    assert_int_equal(pcl_shell_input_quote(&input), 0);
    assert_true(pcl_shell_input_is_open(&input));
    pcl_shell_input_clear(&input);
    assert_false(pcl_shell_input_is_open(&input));
    pcl_shell_input_release(&input);
}

static void test_a_statement_over_its_limit_is_thrown_away(void **state)
{
    (void)state;
    pcl_shell_input input;
    pcl_shell_input_init(&input, 16);
    assert_true(pcl_shell_input_add(&input, pcl_bytes_text("SELECT 1")));
    assert_int_equal(pcl_shell_input_next(&input).kind, PCL_SHELL_NOTHING);
    assert_false(pcl_shell_input_add(&input, pcl_bytes_text("+ 2 + 3 + 4;")));
    assert_string_equal(s_read(&input, "SELECT 2;", false), "[SELECT 2]");
    pcl_shell_input_release(&input);
}

/* --- Commands ---------------------------------------------------------------- */

static void test_commands(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        pcl_shell_verb verb;
        const char *argument;
    } cases[] = {
        {"\\q", PCL_SHELL_QUIT, ""},
        {"\\quit", PCL_SHELL_QUIT, ""},
        {"\\?", PCL_SHELL_HELP, ""},
        {"\\strategy  random ", PCL_SHELL_STRATEGY, "random"},
        {"\\strat random;", PCL_SHELL_STRATEGY, "random"},
        {"\\d orders", PCL_SHELL_DESCRIBE, "orders"},
        {"\\timing", PCL_SHELL_TIMING, ""},
        {"\\begin read-only", PCL_SHELL_BEGIN, "read-only"},
        {"\\pager less -S", PCL_SHELL_PAGER, "less -S"},
    };
    char problem[PCL_SHELL_PROBLEM_SIZE];
    for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        pcl_shell_order order;
        assert_true(pcl_shell_command_parse(&order, pcl_bytes_text(cases[index].text), problem));
        assert_int_equal(order.verb, cases[index].verb);
        assert_true(pcl_bytes_is(order.argument, cases[index].argument));
    }
}

static void test_bad_commands_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *problem;
    } cases[] = {
        {"\\nothing", "\\nothing is no command; \\help lists them"},
        {"\\", "\\ is no command; \\help lists them"},
        {"\\ti", "\\ti is the beginning of several commands; \\help lists them"},
        {"\\strategy", "\\strategy needs " PCL_STRATEGY_NAMES("|") "|default"},
        {"\\strategy best", "\\strategy: must be one of " PCL_STRATEGY_NAMES("|") "|default"},
        {"\\quit now", "\\quit takes nothing behind it"},
        {"\\describe", "\\describe needs TABLE"},
    };
    for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        pcl_shell_order order;
        char problem[PCL_SHELL_PROBLEM_SIZE];
        assert_false(pcl_shell_command_parse(&order, pcl_bytes_text(cases[index].text), problem));
        assert_string_equal(problem, cases[index].problem);
    }
}

static void test_sql_that_a_shell_does_itself(void **state)
{
    (void)state;
    static const struct {
        const char *sql;
        pcl_shell_verb verb;
        const char *argument;
    } cases[] = {
        {"use demo", PCL_SHELL_DB, "demo"},
        {"USE `my schema`", PCL_SHELL_DB, "my schema"},
        {"Begin", PCL_SHELL_BEGIN, ""},
        {"BEGIN\n WORK", PCL_SHELL_BEGIN, ""},
        {"start transaction", PCL_SHELL_BEGIN, ""},
        {"START TRANSACTION READ ONLY", PCL_SHELL_BEGIN, "read-only"},
        {"START TRANSACTION READ WRITE", PCL_SHELL_BEGIN, ""},
        {"COMMIT", PCL_SHELL_COMMIT, ""},
        {"ROLLBACK WORK ", PCL_SHELL_ROLLBACK, ""},
        {"", PCL_SHELL_VERB_COUNT, ""},
        {"USE", PCL_SHELL_VERB_COUNT, ""},
        {"USE a b", PCL_SHELL_VERB_COUNT, ""},
        {"USE `open", PCL_SHELL_VERB_COUNT, ""},
        {"BEGIN NOT ATOMIC", PCL_SHELL_VERB_COUNT, ""},
        {"START TRANSACTION WITH CONSISTENT SNAPSHOT", PCL_SHELL_VERB_COUNT, ""},
        {"START REPLICA", PCL_SHELL_VERB_COUNT, ""},
        {"COMMIT AND CHAIN", PCL_SHELL_VERB_COUNT, ""},
        {"ROLLBACK TO a", PCL_SHELL_VERB_COUNT, ""},
        {"SELECT 1", PCL_SHELL_VERB_COUNT, ""},
    };
    for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        pcl_shell_order order;
        bool own = pcl_shell_statement_order(&order, pcl_bytes_text(cases[index].sql));
        assert_int_equal(own, cases[index].verb != PCL_SHELL_VERB_COUNT);
        assert_int_equal(order.verb, cases[index].verb);
        assert_true(pcl_bytes_is(order.argument, cases[index].argument));
    }
}

static void test_help_has_every_command(void **state)
{
    (void)state;
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, SIZE_MAX);
    pcl_shell_command_help(&buffer);
    pcl_buffer_put_u8(&buffer, 0);
    for (int verb = 0; verb < PCL_SHELL_VERB_COUNT; verb++) {
        assert_non_null(
            strstr((const char *)buffer.data, pcl_shell_command_at((pcl_shell_verb)verb)->help));
    }
    pcl_buffer_release(&buffer);
}

/* --- Completion -------------------------------------------------------------- */

typedef struct found {
    char text[TEXT_SIZE]; /* each candidate with a blank before it */
    size_t used;
} found;

static bool s_take(void *context, pcl_bytes text)
{
    found *self = context;
    self->used += (size_t)snprintf(self->text + self->used, TEXT_SIZE - self->used, " %.*s",
                                   (int)text.size, (const char *)text.data);
    return self->used < TEXT_SIZE - 64;
}

static void s_fill(pcl_shell_catalog *catalog)
{
    static const struct {
        pcl_shell_name_kind kind;
        const char *name;
    } names[] = {
        {PCL_SHELL_NAME_SCHEMA, "demo"},       {PCL_SHELL_NAME_SCHEMA, "depot"},
        {PCL_SHELL_NAME_TABLE, "customers"},   {PCL_SHELL_NAME_COLUMN, "id"},
        {PCL_SHELL_NAME_COLUMN, "city"},       {PCL_SHELL_NAME_TABLE, "orders"},
        {PCL_SHELL_NAME_COLUMN, "id"},         {PCL_SHELL_NAME_COLUMN, "customer_id"},
        {PCL_SHELL_NAME_COLUMN, "order date"},
    };
    for (size_t index = 0; index < sizeof names / sizeof names[0]; index++) {
        pcl_shell_catalog_add(catalog, names[index].kind, pcl_bytes_text(names[index].name));
    }
}

static void test_completion(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t replaced;
        const char *candidates;
    } cases[] = {
        {"\\strat", 6, " \\strategy"},
        {"\\strategy r", 1, " random round-robin"},
        {"\\d cu", 2, " customers"},
        {"\\db de", 2, " demo depot"},
        {"\\nothing x", 0, ""},
        {"USE d", 1, " demo depot"},
        {"SELECT * FROM ", 0, " customers orders"},
        {"select * from or", 2, " orders"},
        {"SELECT 1 FROM customers JOIN o", 1, " orders"},
        {"SELECT * FROM orders WHERE cust", 4, " customer_id customers"},
        {"SELECT * FROM orders o WHERE o.", 0, " id customer_id `order date`"},
        {"SELECT * FROM orders AS o, customers c WHERE c.c", 1, " city"},
        {"SELECT * FROM orders WHERE orders.ord", 3, " `order date`"},
        {"SELECT * FROM nowhere n WHERE n.", 0, ""},
        {"sel", 3, " select"},
        {"SEL", 3, " SELECT"},
        {"SELECT 'cu", 0, ""},
        {"SELECT \"FROM ", 0, ""},
        {"SELECT 1 /* cu", 0, ""},
        {"SELECT 1 -- cu", 0, ""},
        {"SELECT '-- ' FROM cu", 2, " customers"},
    };
    pcl_shell_catalog catalog;
    pcl_shell_catalog_init(&catalog);
    s_fill(&catalog);
    for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        found all = {.used = 0};
        pcl_bytes text = pcl_bytes_text(cases[index].text);
        size_t replaced = pcl_shell_complete(&catalog, text, s_take, &all);
        assert_string_equal(all.text, cases[index].candidates);
        if (all.used > 0) {
            assert_int_equal(replaced, cases[index].replaced);
        }
    }
    pcl_shell_catalog_release(&catalog);
}

static void test_names_that_a_terminal_would_obey_are_not_completed(void **state)
{
    (void)state;
    static const char *const names[] = {
        "t\x1b]0;title\x07", "t\x7f",         "t\n",  "t\302\23331m",
        "t\xe2\x80\xae",     "t\xe2\x81\xa9", "t` x", "t\xc3\xa9\xc2\xa0\xe2\x82\xac",
    };
    pcl_shell_catalog catalog;
    pcl_shell_catalog_init(&catalog);
    for (size_t index = 0; index < sizeof names / sizeof names[0]; index++) {
        pcl_shell_catalog_add(&catalog, PCL_SHELL_NAME_TABLE, pcl_bytes_text(names[index]));
    }
    found all = {.used = 0};
    (void)pcl_shell_complete(&catalog, pcl_bytes_text("SELECT * FROM t"), s_take, &all);
    assert_string_equal(all.text, " t\xc3\xa9\xc2\xa0\xe2\x82\xac");
    pcl_shell_catalog_release(&catalog);
}

static void test_a_full_catalog_keeps_what_it_has(void **state)
{
    (void)state;
    pcl_shell_catalog catalog;
    pcl_shell_catalog_init(&catalog);
    for (uint32_t count = 0; count < PCL_SHELL_NAMES_MAX + 10; count++) {
        pcl_shell_catalog_add(&catalog, PCL_SHELL_NAME_TABLE, pcl_bytes_text("t"));
    }
    assert_int_equal(pcl_shell_catalog_count(&catalog), PCL_SHELL_NAMES_MAX);
    assert_true(pcl_bytes_is(pcl_shell_catalog_at(&catalog, PCL_SHELL_NAMES_MAX - 1).text, "t"));
    pcl_shell_catalog_clear(&catalog);
    assert_int_equal(pcl_shell_catalog_count(&catalog), 0);
    pcl_shell_catalog_release(&catalog);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_become_statements_and_commands),
        cmocka_unit_test(test_the_end_of_the_text_ends_a_statement),
        cmocka_unit_test(test_the_prompt_knows_what_is_open),
        cmocka_unit_test(test_a_statement_over_its_limit_is_thrown_away),
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_bad_commands_are_named),
        cmocka_unit_test(test_sql_that_a_shell_does_itself),
        cmocka_unit_test(test_help_has_every_command),
        cmocka_unit_test(test_completion),
        cmocka_unit_test(test_names_that_a_terminal_would_obey_are_not_completed),
        cmocka_unit_test(test_a_full_catalog_keeps_what_it_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
