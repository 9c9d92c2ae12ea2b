#include "client/command/cli.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static int s_run(const pcl_cli_line *line)
{
    (void)line;
    return 0;
}

static const pcl_cli_option s_common[] = {{"help", 'h', NULL, NULL, "Helps."},
                                          {"bundle", 'b', "FILE", NULL, "A file."}};
static const pcl_cli_option s_eat_options[] = {
    {"sauce", 's', "KIND", "red|green", "Which sauce; none when it is not given."},
    {"times", 'n', "NUMBER", NULL, "How often."},
};
static const pcl_cli_command s_commands[] = {
    {"eat", "[DISH]", "soup|cake", 1, "eats", "Eats a dish.\n\nAll of it.", s_eat_options, 2,
     "cook eat soup\n", s_run},
    {"wash", "", NULL, 0, "washes up", "Washes up.", NULL, 0, "cook wash\n", s_run},
};
static const pcl_cli s_cli = {.program = "cook",
                              .summary = "cooks",
                              .description = "Cooks.",
                              .options = s_common,
                              .option_count = 2,
                              .commands = s_commands,
                              .command_count = 2,
                              .examples = "cook eat\n",
                              .exits = " 0  fine\n",
                              .files = "~/.cook\n"};

/* NULL ends the words. */
static bool s_parse(pcl_cli_line *line, char *problem, const char *const *words)
{
    int count = 0;
    while (words[count] != NULL) {
        count++;
    }
    return pcl_cli_parse(line, &s_cli, count, words, problem);
}

static void lines_are_read(void **state)
{
    (void)state;
    char problem[PCL_CLI_PROBLEM_SIZE] = "";
    pcl_cli_line line;
    const char *words[] = {"-bx", "eat", "--sauce=red", "-s", "green", "--", "-soup", NULL};
    assert_true(s_parse(&line, problem, words));
    assert_string_equal(line.command->name, "eat");
    assert_string_equal(pcl_cli_value(&line, "bundle"), "x");
    assert_string_equal(pcl_cli_value(&line, "sauce"), "green"); /* the last one counts */
    assert_null(pcl_cli_value(&line, "times"));
    assert_int_equal(line.operand_count, 1);
    assert_string_equal(line.operands[0], "-soup");
    pcl_cli_release(&line);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *words[5];
        const char *problem;
    } cases[] = {
        {{"drink", NULL}, "there is no command drink"},
        {{"eat", "--salt", NULL}, "there is no option --salt"},
        {{"--sauce", "red", NULL}, "there is no option --sauce"}, /* before its command */
        {{"eat", "-x", NULL}, "there is no option -x"},
        {{"eat", "--sauce", NULL}, "--sauce needs an argument, KIND"},
        {{"eat", "--sauce", "blue", NULL}, "--sauce must be one of red|green"},
        {{"eat", "--sauce=", NULL}, "--sauce must be one of"},
        {{"eat", "--sauce=re", NULL}, "--sauce must be one of"},
        {{"eat", "--help=yes", NULL}, "--help takes no argument"},
        {{"eat", "soup", "cake", NULL}, "cake is one word too many"},
        {{"wash", "cups", NULL}, "cups is one word too many"},
    };
    for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        char problem[PCL_CLI_PROBLEM_SIZE] = "";
        pcl_cli_line line;
        assert_false(s_parse(&line, problem, cases[index].words));
        if (strstr(problem, cases[index].problem) == NULL) {
            fail_msg("case %zu: %s", index, problem);
        }
        pcl_cli_release(&line);
    }
}

static void numbers_are_bounded(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
    } cases[] = {{"1", true},   {"100", true}, {"0", false},  {"101", false},
                 {"-1", false}, {"", false},   {"1x", false}, {"99999999999999999999", false}};
    for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        char problem[PCL_CLI_PROBLEM_SIZE] = "";
        pcl_cli_line line;
        const char *words[] = {"eat", "-n", cases[index].text, NULL};
        uint32_t value = 0;
        assert_true(s_parse(&line, problem, words));
        assert_int_equal(pcl_cli_uint(&line, "times", 1, 100, 5, &value, problem),
                         cases[index].good);
        pcl_cli_release(&line);
    }
}

static bool s_has(pcl_buffer *text, const char *part)
{
    pcl_buffer_put_u8(text, '\0');
    bool found = strstr((const char *)text->data, part) != NULL;
    pcl_buffer_truncate(text, text->size - 1);
    return found;
}

/* All four are made from the tables: each has each command and option. */
static void help_manual_and_completion_have_all_options(void **state)
{
    (void)state;
    static const char *const shells[] = {"bash", "zsh", "fish"};
    pcl_buffer text;
    pcl_buffer_init(&text, 1 << 20);
    pcl_cli_help(&s_cli, NULL, &text);
    assert_true(s_has(&text, "  eat ") && s_has(&text, "  wash ") && s_has(&text, "--bundle FILE"));
    pcl_buffer_clear(&text);
    pcl_cli_help(&s_cli, &s_commands[0], &text);
    assert_true(s_has(&text, "-s, --sauce KIND") && s_has(&text, "red|green: Which sauce"));
    pcl_buffer_clear(&text);
    pcl_cli_manual(&s_cli, &text);
    assert_true(s_has(&text, "\\fB\\-\\-sauce\\fR") && s_has(&text, "\\fB\\-\\-bundle\\fR") &&
                s_has(&text, ".SS cook wash"));
    for (size_t index = 0; index < 3; index++) {
        pcl_buffer_clear(&text);
        assert_true(pcl_cli_completion(&s_cli, shells[index], &text));
        assert_true(s_has(&text, "sauce") && s_has(&text, "red green") && s_has(&text, "wash") &&
                    s_has(&text, "bundle") && s_has(&text, "soup cake"));
    }
    assert_false(pcl_cli_completion(&s_cli, "csh", &text));
    pcl_buffer_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_read),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(numbers_are_bounded),
        cmocka_unit_test(help_manual_and_completion_have_all_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
