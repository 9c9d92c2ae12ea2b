#include "client/format.h"
#include "wire/mp.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* A result under construction, and what became of it. */
typedef struct fixture {
    pcl_buffer columns, rows, text;
    pcl_reply reply;
} fixture;

static void s_column(fixture *self, const char *name, const char *type)
{
    pcl_mp_put_array(&self->columns, 3);
    pcl_mp_put_text(&self->columns, name);
    pcl_mp_put_text(&self->columns, type);
    pcl_mp_put_uint(&self->columns, 0);
}

static bool s_sink(void *context, pcl_bytes text)
{
    fixture *self = context;
    pcl_buffer_put(&self->text, text.data, text.size);
    return true;
}

static void s_open(fixture *self, uint32_t column_count, uint32_t row_count)
{
    memset(self, 0, sizeof *self);
    pcl_buffer_init(&self->columns, 65536);
    pcl_buffer_init(&self->rows, 1 << 20);
    pcl_buffer_init(&self->text, 1 << 20);
    pcl_mp_put_array(&self->columns, column_count);
    pcl_mp_put_array(&self->rows, row_count);
    self->reply = (pcl_reply){
        .ok = true, .has_columns = true, .column_count = column_count, .row_count = row_count};
}

static const char *s_format(fixture *self, pcl_format format)
{
    self->reply.columns = pcl_buffer_bytes(&self->columns);
    self->reply.rows = pcl_buffer_bytes(&self->rows);
    pcl_buffer_clear(&self->text);
    assert_true(pcl_format_rows(format, &self->reply, s_sink, self));
    pcl_buffer_put_u8(&self->text, '\0');
    return (const char *)self->text.data;
}

static void s_close(fixture *self)
{
    pcl_buffer_release(&self->columns);
    pcl_buffer_release(&self->rows);
    pcl_buffer_release(&self->text);
}

/* Every type there is, and texts that want care. */
static void s_make_mixed(fixture *self)
{
    s_open(self, 4, 4);
    s_column(self, "id", "BIGINT");
    s_column(self, "name", "VARCHAR");
    s_column(self, "raw", "BLOB");
    s_column(self, "x", "DOUBLE");
    pcl_mp_put_array(&self->rows, 4);
    pcl_mp_put_uint(&self->rows, 1);
    pcl_mp_put_text(&self->rows, "Zo\xc3\xab");
    pcl_mp_put_bin(&self->rows, pcl_bytes_of("\x00\xff", 2));
    pcl_mp_put_double(&self->rows, 0.1);
    pcl_mp_put_array(&self->rows, 4);
    pcl_mp_put_uint(&self->rows, UINT64_MAX);
    pcl_mp_put_text(&self->rows, "\xe6\x97\xa5\xe6\x9c\xac"); /* two wide characters */
    pcl_mp_put_nil(&self->rows);
    pcl_mp_put_double(&self->rows, -1e300);
    pcl_mp_put_array(&self->rows, 4);
    pcl_mp_put_int(&self->rows, -3);
    pcl_mp_put_text(&self->rows, "a\n\"b\",\x1b[31m");
    pcl_mp_put_bin(&self->rows, pcl_bytes_of(NULL, 0));
    pcl_mp_put_nil(&self->rows);
    pcl_mp_put_array(&self->rows, 4);
    pcl_mp_put_nil(&self->rows);
    pcl_mp_put_text(&self->rows, "");
    pcl_mp_put_nil(&self->rows);
    pcl_mp_put_double(&self->rows, 2);
}

static void a_table_is_drawn(void **state)
{
    (void)state;
    fixture self;
    s_make_mixed(&self);
    assert_string_equal(s_format(&self, PCL_FORMAT_TABLE),
                        "+----------------------+-----------------+--------+---------+\n"
                        "|                   id | name            | raw    |       x |\n"
                        "+----------------------+-----------------+--------+---------+\n"
                        "|                    1 | Zo\xc3\xab             | 0x00ff |     0.1 |\n"
                        "| 18446744073709551615 | \xe6\x97\xa5\xe6\x9c\xac            | NULL   "
                        "| -1e+300 |\n"
                        "|                   -3 | a\\n\"b\",\\x1b[31m | 0x     |    NULL |\n"
                        "|                 NULL |                 | NULL   |       2 |\n"
                        "+----------------------+-----------------+--------+---------+\n");
    s_close(&self);
}

static void a_vertical_text_is_written(void **state)
{
    (void)state;
    fixture self;
    s_open(&self, 2, 2);
    s_column(&self, "id", "INT");
    s_column(&self, "long name", "VARCHAR");
    for (uint32_t row = 0; row < 2; row++) {
        pcl_mp_put_array(&self.rows, 2);
        pcl_mp_put_uint(&self.rows, row);
        pcl_mp_put_text(&self.rows, "tab\there");
    }
    assert_string_equal(s_format(&self, PCL_FORMAT_VERTICAL),
                        "*************************** 1. row ***************************\n"
                        "       id: 0\n"
                        "long name: tab\\there\n"
                        "*************************** 2. row ***************************\n"
                        "       id: 1\n"
                        "long name: tab\\there\n");
    s_close(&self);
}

static void csv_is_quoted_where_it_must_be(void **state)
{
    (void)state;
    fixture self;
    s_make_mixed(&self);
    assert_string_equal(s_format(&self, PCL_FORMAT_CSV),
                        "id,name,raw,x\n"
                        "1,Zo\xc3\xab,0x00ff,0.1\n"
                        "18446744073709551615,\xe6\x97\xa5\xe6\x9c\xac,,-1e+300\n"
                        "-3,\"a\n\"\"b\"\",\x1b[31m\",0x,\n"
                        ",\"\",,2\n");
    s_close(&self);
}

static void json_is_an_array_of_objects(void **state)
{
    (void)state;
    fixture self;
    s_make_mixed(&self);
    assert_string_equal(
        s_format(&self, PCL_FORMAT_JSON),
        "[\n{\"id\":1,\"name\":\"Zo\xc3\xab\",\"raw\":\"0x00ff\",\"x\":0.1},\n"
        "{\"id\":18446744073709551615,\"name\":\"\xe6\x97\xa5\xe6\x9c\xac\",\"raw\":null,"
        "\"x\":-1e+300},\n"
        "{\"id\":-3,\"name\":\"a\\n\\\"b\\\",\\u001b[31m\",\"raw\":\"0x\",\"x\":null},\n"
        "{\"id\":null,\"name\":\"\",\"raw\":null,\"x\":2}\n]\n");
    s_close(&self);
}

static void no_rows_are_little_text(void **state)
{
    (void)state;
    fixture self;
    s_open(&self, 1, 0);
    s_column(&self, "id", "INT");
    assert_string_equal(s_format(&self, PCL_FORMAT_TABLE), "");
    assert_string_equal(s_format(&self, PCL_FORMAT_VERTICAL), "");
    assert_string_equal(s_format(&self, PCL_FORMAT_CSV), "id\n");
    assert_string_equal(s_format(&self, PCL_FORMAT_JSON), "[]\n");
    s_close(&self);
}

/* 1.1 in single precision is no 1.1 in double. */
static void floats_are_as_short_as_they_can_be(void **state)
{
    (void)state;
    fixture self;
    s_open(&self, 2, 1);
    s_column(&self, "f", "FLOAT");
    s_column(&self, "d", "DOUBLE");
    pcl_mp_put_array(&self.rows, 2);
    pcl_mp_put_float(&self.rows, 1.1f);
    pcl_mp_put_double(&self.rows, (double)1.1f);
    assert_string_equal(s_format(&self, PCL_FORMAT_CSV), "f,d\n1.1,1.100000023841858\n");
    s_close(&self);
}

static void nothing_is_cut_off(void **state)
{
    (void)state;
    static char large[2000];
    memset(large, 'x', sizeof large);
    fixture self;
    s_open(&self, 1, 2);
    s_column(&self, "t", "TEXT");
    pcl_mp_put_array(&self.rows, 1);
    pcl_mp_put_str(&self.rows, pcl_bytes_of(large, sizeof large));
    pcl_mp_put_array(&self.rows, 1);
    pcl_mp_put_text(&self.rows, "short");
    const char *text = s_format(&self, PCL_FORMAT_TABLE);
    const char *longest = strchr(text, 'x');
    assert_non_null(longest);
    assert_int_equal(strspn(longest, "x"), sizeof large);
    const char *line = strstr(text, "| short");
    assert_non_null(line);
    assert_int_equal(strcspn(line, "\n"), PCL_FORMAT_WIDTH_MAX + 4);
    s_close(&self);
}

static void widths_are_what_a_terminal_shows(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t width;
    } cases[] = {
        {"", 0},
        {"abc", 3},
        {"\xc3\xab", 1},         /* e with diaeresis */
        {"e\xcc\x88", 1},        /* the same, combined */
        {"\xe6\x97\xa5", 2},     /* wide */
        {"\xf0\x9f\x98\x80", 2}, /* an emoji */
        {"\xef\xbd\xb1", 1},     /* half-width */
        {"a\nb", 4},             /* a\nb */
        {"\xff", 4},             /* \xff */
        {"\xe2\x80\xae", 6},     /* \u202e, which turns the text around */
        {"\xc2\x9b", 6},         /* \u009b, which starts a control sequence */
    };
    for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        size_t width = pcl_format_width(pcl_bytes_text(cases[index].text));
        if (width != cases[index].width) {
            fail_msg("case %zu: %zu, not %zu", index, width, cases[index].width);
        }
    }
}

static void formats_have_names(void **state)
{
    (void)state;
    pcl_format format;
    assert_true(pcl_format_parse("vertical", &format));
    assert_int_equal(format, PCL_FORMAT_VERTICAL);
    assert_true(pcl_format_parse("msgpack", &format));
    assert_false(pcl_format_parse("xml", &format));
    assert_false(pcl_format_parse("", &format));
}

/* Two pages of one INT column, the second with a wider value. */
static const char *s_format_pages(fixture *self, pcl_format format)
{
    fixture pages[2];
    static const uint64_t values[2][2] = {{1, 22}, {333, 4444}};
    pcl_buffer_clear(&self->text);
    pcl_format_writer *writer = pcl_format_writer_new(format, s_sink, self);
    assert_non_null(writer);
    for (size_t index = 0; index < 2; index++) {
        s_open(&pages[index], 1, 2);
        s_column(&pages[index], "n", "INT");
        for (size_t row = 0; row < 2; row++) {
            pcl_mp_put_array(&pages[index].rows, 1);
            pcl_mp_put_uint(&pages[index].rows, values[index][row]);
        }
        pages[index].reply.columns = pcl_buffer_bytes(&pages[index].columns);
        pages[index].reply.rows = pcl_buffer_bytes(&pages[index].rows);
        assert_true(pcl_format_writer_page(writer, &pages[index].reply));
        s_close(&pages[index]); /* nothing is borrowed from a page that was written */
    }
    assert_true(pcl_format_writer_end(writer));
    assert_int_equal(pcl_format_writer_rows(writer), 4);
    pcl_format_writer_destroy(&writer);
    assert_null(writer);
    pcl_buffer_put_u8(&self->text, '\0');
    return (const char *)self->text.data;
}

static void pages_are_one_result(void **state)
{
    (void)state;
    fixture self;
    s_open(&self, 0, 0);
    assert_string_equal(s_format_pages(&self, PCL_FORMAT_TABLE), "+----+\n"
                                                                 "|  n |\n"
                                                                 "+----+\n"
                                                                 "|  1 |\n"
                                                                 "| 22 |\n"
                                                                 "+------+\n"
                                                                 "|  333 |\n"
                                                                 "| 4444 |\n"
                                                                 "+------+\n");
    assert_string_equal(s_format_pages(&self, PCL_FORMAT_CSV), "n\n1\n22\n333\n4444\n");
    assert_string_equal(s_format_pages(&self, PCL_FORMAT_JSON),
                        "[\n{\"n\":1},\n{\"n\":22},\n{\"n\":333},\n{\"n\":4444}\n]\n");
    const char *vertical = s_format_pages(&self, PCL_FORMAT_VERTICAL);
    assert_non_null(strstr(vertical, " 4. row "));
    assert_null(strstr(strstr(vertical, " 1. row ") + 1, " 1. row "));
    s_close(&self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_is_drawn),
        cmocka_unit_test(pages_are_one_result),
        cmocka_unit_test(a_vertical_text_is_written),
        cmocka_unit_test(csv_is_quoted_where_it_must_be),
        cmocka_unit_test(json_is_an_array_of_objects),
        cmocka_unit_test(no_rows_are_little_text),
        cmocka_unit_test(floats_are_as_short_as_they_can_be),
        cmocka_unit_test(nothing_is_cut_off),
        cmocka_unit_test(widths_are_what_a_terminal_shows),
        cmocka_unit_test(formats_have_names),
    };
    if (setlocale(LC_CTYPE, "C.UTF-8") == NULL) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
