#include "common/limits.h"
#include "common/rng.h"
#include "sql/classify.h"
#include "sql/functions.h"
#include "tests/lib/seed.h"
#include "tests/lib/sql_variant.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/sql_file.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = PCL_SQL_ROW_TEXT_MAX, ROWS_MIN = 3700, VARIANTS_OF_EACH = 8 };

static pcl_bytes s_bytes(const pcl_sql_row *tested)
{
    return pcl_bytes_of(tested->text, tested->size);
}

static void s_fail(const pcl_sql_row *tested, pcl_bytes text, const char *what,
                   pcl_sql_verdict verdict)
{
    print_error("%s.txt:%u: %s: %s (%s at %u): %.*s\n", tested->file, tested->line, what,
                pcl_sql_class_text(verdict.sql_class), verdict.rule, verdict.offset, (int)text.size,
                (const char *)text.data);
}

static void s_check_class(const pcl_sql_row *tested, void *context)
{
    unsigned *wrong = context;
    pcl_sql_verdict verdict = pcl_sql_classify_by(&tested->rules, s_bytes(tested));
    if (verdict.sql_class != tested->expected) {
        s_fail(tested, s_bytes(tested), "wrong class", verdict);
        (*wrong)++;
    }
    assert_true(verdict.sql_class == PCL_SQL_STATE || verdict.statement_class == verdict.sql_class);
    assert_non_null(verdict.rule);
    assert_true(verdict.offset <= tested->size);
}

static void test_each_statement_has_its_class(void **state)
{
    (void)state;
    unsigned wrong = 0;
    unsigned count = pcl_sql_each_row(PCL_SQL_DATA, s_check_class, &wrong);
    assert_int_equal(wrong, 0);
    assert_true(count >= ROWS_MIN);
}

typedef struct campaign {
    pcl_rng rng;
    unsigned wrong;
} campaign;

static void s_check_variants(const pcl_sql_row *tested, void *context)
{
    static uint8_t text[TEXT_MAX * 4];
    campaign *self = context;
    uint32_t offset = 0;
    if (pcl_sql_text_check(s_bytes(tested), &offset) != NULL) {
        return;
    }
    for (unsigned round = 0; round < PCL_SQL_VARIANT_COUNT * VARIANTS_OF_EACH; round++) {
        pcl_sql_variant variant = (pcl_sql_variant)(round % PCL_SQL_VARIANT_COUNT);
        size_t size = pcl_sql_variant_write(s_bytes(tested), variant, &self->rng, text,
                                            sizeof text);
        pcl_bytes varied = pcl_bytes_of(text, size);
        pcl_sql_verdict verdict = pcl_sql_classify_by(&tested->rules, varied);
        bool same = verdict.sql_class == tested->expected;
        bool new_read = verdict.sql_class == PCL_SQL_READ && tested->expected != PCL_SQL_READ;
        if (new_read || (variant <= PCL_SQL_VARIANT_GAPS && !same)) {
            s_fail(tested, varied, "variant changes the class", verdict);
            self->wrong++;
        }
    }
}

static void test_no_spelling_makes_a_read(void **state)
{
    (void)state;
    campaign self = {.rng = pcl_test_rng("classify")};
    (void)pcl_sql_each_row(PCL_SQL_DATA, s_check_variants, &self);
    assert_int_equal(self.wrong, 0);
}

static void s_check_appended(const pcl_sql_row *tested, void *context)
{
    static const char *const tails[] = {
        "\n;x", "\n; DELETE FROM t", "\n;;", "\n;'", "\n/*! */", "\n'", "\n`", "\n/*", "\n)",
        "\n("};
    static uint8_t text[TEXT_MAX + 64];
    unsigned *wrong = context;
    if (tested->expected == PCL_SQL_REFUSED) {
        return; /* a quote may finish what was not finished */
    }
    for (size_t index = 0; index < sizeof tails / sizeof tails[0]; index++) {
        size_t size = strlen(tails[index]);
        memcpy(text, tested->text, tested->size);
        memcpy(text + tested->size, tails[index], size);
        pcl_bytes longer = pcl_bytes_of(text, tested->size + size);
        pcl_sql_verdict verdict = pcl_sql_classify_by(&tested->rules, longer);
        if (verdict.sql_class != PCL_SQL_REFUSED) {
            s_fail(tested, longer, "not refused", verdict);
            (*wrong)++;
        }
    }
}

static void test_what_follows_a_statement_is_refused(void **state)
{
    (void)state;
    unsigned wrong = 0;
    (void)pcl_sql_each_row(PCL_SQL_DATA, s_check_appended, &wrong);
    assert_int_equal(wrong, 0);
}

static void s_check_wrapped(const pcl_sql_row *tested, void *context)
{
    static const char *const heads[] = {" ", "\n\t", "/* x */", "-- '\n", "#\"\n", "/*;*/ /**/"};
    static uint8_t text[TEXT_MAX + 64];
    unsigned *wrong = context;
    for (size_t index = 0; index < sizeof heads / sizeof heads[0]; index++) {
        size_t size = strlen(heads[index]);
        memcpy(text, heads[index], size);
        memcpy(text + size, tested->text, tested->size);
        memcpy(text + size + tested->size, "\n ", 2);
        pcl_bytes longer = pcl_bytes_of(text, size + tested->size + 2);
        pcl_sql_verdict verdict = pcl_sql_classify_by(&tested->rules, longer);
        bool mark = tested->size >= 3 && memcmp(tested->text, "\xEF\xBB\xBF", 3) == 0;
        if (verdict.sql_class != tested->expected && !mark) {
            s_fail(tested, longer, "blanks around it change the class", verdict);
            (*wrong)++;
        }
    }
}

static void test_blanks_around_a_statement_change_nothing(void **state)
{
    (void)state;
    unsigned wrong = 0;
    (void)pcl_sql_each_row(PCL_SQL_DATA, s_check_wrapped, &wrong);
    assert_int_equal(wrong, 0);
}

static void test_every_truncation_and_octet_gets_a_verdict(void **state)
{
    (void)state;
    static const char sample[] = "WITH c (a) AS (SELECT @@x, 'a\\'b', 0x4, `q``q`) /*+ BKA(t) */ "
                                 "SELECT t.1e5, 1.5e-3, ? FROM c -- x";
    uint8_t text[sizeof sample];
    for (size_t size = 0; size < sizeof sample; size++) {
        for (unsigned octet = 0; octet < 256; octet++) {
            memcpy(text, sample, sizeof sample);
            text[size] = (uint8_t)octet;
            pcl_sql_verdict verdict = pcl_sql_classify(pcl_bytes_of(text, size + 1));
            assert_true(verdict.offset <= size + 1);
            assert_true(verdict.sql_class > PCL_SQL_NONE);
            assert_true(verdict.sql_class < PCL_SQL_CLASS_COUNT);
        }
    }
}

static void test_the_form_of_a_statement_has_a_class_of_its_own(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        pcl_sql_class sql_class;
        pcl_sql_class statement_class;
    } rows[] = {
        {"INSERT INTO t VALUES (LAST_INSERT_ID())", PCL_SQL_STATE, PCL_SQL_WRITE},
        {"UPDATE t SET a = @x WHERE b = ROW_COUNT()", PCL_SQL_STATE, PCL_SQL_WRITE},
        {"SELECT @a := 1", PCL_SQL_STATE, PCL_SQL_READ},
        {"SELECT FOUND_ROWS()", PCL_SQL_STATE, PCL_SQL_READ},
        {"SELECT LAST_INSERT_ID()", PCL_SQL_STATE, PCL_SQL_READ},
        {"SELECT @@last_insert_id", PCL_SQL_STATE, PCL_SQL_READ},
        {"SELECT a FROM t INTO @v", PCL_SQL_STATE, PCL_SQL_READ},
        {"SELECT a INTO @v FROM t FOR UPDATE", PCL_SQL_STATE, PCL_SQL_LOCKING_READ},
        {"SELECT @a FROM t FOR SHARE", PCL_SQL_STATE, PCL_SQL_LOCKING_READ},
        {"SELECT f(@a)", PCL_SQL_STATE, PCL_SQL_WRITE},
        {"SELECT @a, f(1)", PCL_SQL_STATE, PCL_SQL_WRITE},
        {"SELECT @a, GET_LOCK('x', 1)", PCL_SQL_STATE, PCL_SQL_STATE},
        {"SELECT GET_LOCK('x', @a)", PCL_SQL_STATE, PCL_SQL_STATE},
        {"INSERT INTO t VALUES (@x, RELEASE_LOCK('x'))", PCL_SQL_STATE, PCL_SQL_STATE},
        {"CALL p(@a)", PCL_SQL_STATE, PCL_SQL_CALL},
        {"CREATE TABLE t AS SELECT @x AS a", PCL_SQL_STATE, PCL_SQL_DDL},
        {"CREATE TEMPORARY TABLE t (a INT)", PCL_SQL_STATE, PCL_SQL_STATE},
        {"CREATE TEMPORARY TABLE t AS SELECT @x", PCL_SQL_STATE, PCL_SQL_STATE},
        {"CREATE VIEW v AS SELECT @x", PCL_SQL_REFUSED, PCL_SQL_REFUSED},
        {"SELECT @x INTO OUTFILE 'y'", PCL_SQL_REFUSED, PCL_SQL_REFUSED},
        {"SET @a = 1", PCL_SQL_STATE, PCL_SQL_STATE},
        {"SET autocommit = @a", PCL_SQL_STATE, PCL_SQL_STATE},
        {"USE app", PCL_SQL_STATE, PCL_SQL_STATE},
        {"LOCK TABLES t READ", PCL_SQL_STATE, PCL_SQL_STATE},
        {"PREPARE p FROM 'SELECT 1'", PCL_SQL_STATE, PCL_SQL_STATE},
        {"EXECUTE p USING @a", PCL_SQL_STATE, PCL_SQL_STATE},
        {"HANDLER t OPEN", PCL_SQL_STATE, PCL_SQL_STATE},
        {"SHOW WARNINGS", PCL_SQL_STATE, PCL_SQL_STATE},
    };
    for (size_t index = 0; index < sizeof rows / sizeof rows[0]; index++) {
        pcl_sql_verdict verdict = pcl_sql_classify(pcl_bytes_text(rows[index].text));
        assert_int_equal(verdict.sql_class, rows[index].sql_class);
        assert_int_equal(verdict.statement_class, rows[index].statement_class);
    }
}

static void test_placeholders_are_counted_outside_literals(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t count;
    } rows[] = {
        {"SELECT 1", 0},
        {"SELECT ?", 1},
        {"SELECT ?,?,?", 3},
        {"SELECT '?', \"?\", `?`, ? /* ? */ -- ?", 1},
        {"INSERT INTO t VALUES (?, '?', ?)", 2},
        {"UPDATE t SET a=?WHERE id=?", 2},
        {"SELECT a->>'$.?' FROM t # ?", 0},
        {"CALL p(?)", 1},
    };
    for (size_t index = 0; index < sizeof rows / sizeof rows[0]; index++) {
        pcl_sql_verdict verdict = pcl_sql_classify(pcl_bytes_text(rows[index].text));
        assert_int_equal(verdict.placeholder_count, rows[index].count);
    }
}

static void test_a_refusal_names_its_rule_and_offset(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *rule;
        uint32_t offset;
    } rows[] = {
        {"SELECT 1; DELETE FROM t", "second statement", 10},
        {"SELECT 1 /*! +1 */", "executable comment", 9},
        {"SELECT 'abc", "string without an end", 7},
        {"SELECT `abc", "quoted name without an end", 7},
        {"SELECT 1 /* abc", "comment without an end", 9},
        {"SELECT '\xff'", "invalid UTF-8", 8},
        {"SELECT \x01", "control character", 7},
        {"SELECT a INTO OUTFILE 'x'", "INTO OUTFILE or INTO DUMPFILE", 9},
        {"SELECT LOAD_FILE('x')", "LOAD_FILE", 7},
        {"SELECT * FROM portcullis.ledger", "reserved schema", 14},
        {"FROB", "unknown statement", 0},
        {"", "empty statement", 0},
        {"SELECT $a$", "name that begins with $", 7},
        {"SELECT (1", "unbalanced parenthesis", 9},
        {"BEGIN NOT ATOMIC SELECT 1; END", "compound statement", 6},
        {"CREATE PROCEDURE p() KILL 5", "statement not allowed in a stored program", 21},
        {"CREATE PROCEDURE p() BEGIN SELECT 1; END", "body of several statements", 21},
        {"CREATE PROCEDURE p() SELECT @x", "user variable", 28},
        {"CREATE PROCEDURE p) KILL 5", "stored program with an unknown head", 7},
        {"CREATE DEFINER=root VIEW v AS SELECT 1", "DEFINER other than CURRENT_USER", 7},
        {"CREATE VIEW v AS SELECT f()", "function not known to be free of effects", 24},
        {"CREATE VIEW v AS TABLE information_schema.views", "view over information_schema", 23},
        {"ALTER VIEW v AS SELECT 1 FROM `Information_Schema` .tables",
         "view over information_schema", 30},
        {"CREATE PROCEDURE p() CREATE VIEW v AS TABLE information_schema.views",
         "view over information_schema", 44},
        {"PREPARE p FROM 'CREATE VIEW v AS TABLE information_schema.views'",
         "view over information_schema", 39},
        {"CREATE TABLE t (a INT) DATA DIRECTORY='x'", "DATA DIRECTORY or INDEX DIRECTORY", 28},
        {"ALTER TABLE t ENGINE=CONNECT", "ENGINE that is not open", 14},
        {"TABLE information_schema.processlist", "table of information_schema that is not open", 6},
    };
    for (size_t index = 0; index < sizeof rows / sizeof rows[0]; index++) {
        pcl_sql_verdict verdict = pcl_sql_classify(pcl_bytes_text(rows[index].text));
        assert_int_equal(verdict.sql_class, PCL_SQL_REFUSED);
        assert_string_equal(verdict.rule, rows[index].rule);
        assert_int_equal(verdict.offset, rows[index].offset);
    }
}

static void test_a_text_has_a_greatest_size(void **state)
{
    (void)state;
    static uint8_t text[PCL_SQL_SIZE_MAX + 1];
    memset(text, ' ', sizeof text);
    memcpy(text, "SELECT 1", 8);
    pcl_sql_verdict fits = pcl_sql_classify(pcl_bytes_of(text, PCL_SQL_SIZE_MAX));
    pcl_sql_verdict long_one = pcl_sql_classify(pcl_bytes_of(text, sizeof text));
    assert_int_equal(fits.sql_class, PCL_SQL_READ);
    assert_int_equal(long_one.sql_class, PCL_SQL_REFUSED);
    assert_string_equal(long_one.rule, "text too long");
    assert_int_equal(pcl_sql_classify(pcl_bytes_of(NULL, 0)).sql_class, PCL_SQL_REFUSED);
}

static void test_the_reserved_schemas_are_known_in_any_case(void **state)
{
    (void)state;
    assert_true(pcl_sql_schema_is_reserved(pcl_bytes_text("portcullis")));
    assert_true(pcl_sql_schema_is_reserved(pcl_bytes_text("PortCullis")));
    assert_true(pcl_sql_schema_is_reserved(pcl_bytes_text("MYSQL")));
    assert_true(pcl_sql_schema_is_reserved(pcl_bytes_text("Information_Schema")));
    assert_true(pcl_sql_schema_is_reserved(pcl_bytes_text("performance_schema")));
    assert_true(pcl_sql_schema_is_reserved(pcl_bytes_text("sys")));
    assert_false(pcl_sql_schema_is_reserved(pcl_bytes_text("system")));
    assert_false(pcl_sql_schema_is_reserved(pcl_bytes_text("portcullis2")));
    assert_false(pcl_sql_schema_is_reserved(pcl_bytes_text("mysq")));
    assert_false(pcl_sql_schema_is_reserved(pcl_bytes_text("")));
}

static void test_the_function_table_is_sorted_and_found(void **state)
{
    (void)state;
    size_t index = 0;
    for (; pcl_sql_function_name(index) != NULL; index++) {
        const char *name = pcl_sql_function_name(index);
        assert_true(index == 0 || strcmp(pcl_sql_function_name(index - 1), name) < 0);
        const uint8_t *text = (const uint8_t *)name;
        pcl_sql_function mariadb = pcl_sql_function_find(PCL_SQL_FLAVOR_MARIADB, text,
                                                         strlen(name));
        pcl_sql_function mysql = pcl_sql_function_find(PCL_SQL_FLAVOR_MYSQL, text, strlen(name));
        pcl_sql_function both = pcl_sql_function_find(PCL_SQL_FLAVOR_BOTH, text, strlen(name));
        assert_true(mariadb != PCL_SQL_FUNCTION_UNKNOWN || mysql != PCL_SQL_FUNCTION_UNKNOWN);
        assert_int_equal(both, mariadb == mysql ? mariadb : PCL_SQL_FUNCTION_UNKNOWN);
        assert_int_equal(pcl_sql_function_find(PCL_SQL_FLAVOR_BOTH, (const uint8_t *)name, 0),
                         PCL_SQL_FUNCTION_UNKNOWN);
    }
    assert_true(index > 300);
    assert_int_equal(pcl_sql_function_find(PCL_SQL_FLAVOR_BOTH, (const uint8_t *)"ABSX", 4),
                     PCL_SQL_FUNCTION_UNKNOWN);
    assert_int_equal(pcl_sql_function_find(PCL_SQL_FLAVOR_BOTH, (const uint8_t *)"abs\0", 4),
                     PCL_SQL_FUNCTION_UNKNOWN);
    assert_int_equal(pcl_sql_function_find(PCL_SQL_FLAVOR_BOTH, (const uint8_t *)"ABS", 3),
                     PCL_SQL_FUNCTION_PURE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_statement_has_its_class),
        cmocka_unit_test(test_no_spelling_makes_a_read),
        cmocka_unit_test(test_what_follows_a_statement_is_refused),
        cmocka_unit_test(test_blanks_around_a_statement_change_nothing),
        cmocka_unit_test(test_every_truncation_and_octet_gets_a_verdict),
        cmocka_unit_test(test_the_form_of_a_statement_has_a_class_of_its_own),
        cmocka_unit_test(test_placeholders_are_counted_outside_literals),
        cmocka_unit_test(test_a_refusal_names_its_rule_and_offset),
        cmocka_unit_test(test_a_text_has_a_greatest_size),
        cmocka_unit_test(test_the_reserved_schemas_are_known_in_any_case),
        cmocka_unit_test(test_the_function_table_is_sorted_and_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
