#include "common/buffer.h"
#include "common/limits.h"
#include "common/rng.h"
#include "sql/classify.h"
#include "sql/digest.h"
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

static const char *s_digest(const char *text)
{
    static uint8_t copy[PCL_SQL_DIGEST_SIZE_MAX + 1];
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, PCL_SQL_DIGEST_SIZE_MAX);
    bool whole = pcl_sql_digest(pcl_bytes_text(text), &buffer);
    assert_true(whole);
    memcpy(copy, buffer.data, buffer.size);
    copy[buffer.size] = 0;
    pcl_buffer_release(&buffer);
    return (const char *)copy;
}

static void test_a_digest_is_the_form_without_the_values(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *digest;
    } rows[] = {
        {"SELECT 1", "select ?"},
        {"SELECT -1, + 2, ?, - ?", "select ?, ?, ?, ?"},
        {"SELECT a -1, (b) - 1, -a", "select a - ?, (b) - ?, - a"},
        {"SELECT - -1", "select - ?"},
        {"select  'a' 'b',\tX'41', N'x', 0x41, 1e5", "select ?, ?, ?, ?, ?"},
        {"SELECT _latin1'x', DATE '2000-01-01'", "select _latin1 ?, date ?"},
        {"SELECT * FROM T WHERE Id=5 -- x", "select * from t where id = ?"},
        {"SELECT/* c */*FROM/**/t;", "select * from t"},
        {"SELECT COUNT( * ),t . a FROM `T`", "select count(*), t.a from `T`"},
        {"SELECT /*+ BKA(t) */ 1", "select ?"},
        {"SELECT a IN (1,2,3), b IN ( ? )", "select a in (?), b in (?)"},
        {"SELECT a IN ((1,2),(3,4))", "select a in ((?, ?))"},
        {"SELECT a IN (1,b,2,3)", "select a in (?, b, ?)"},
        {"SELECT a IN (SELECT 1, 1)", "select a in (select ?, ?)"},
        {"SELECT a NOT IN (NULL, 1)", "select a not in (?)"},
        {"SELECT f(1,1)", "select f(?, ?)"},
        {"INSERT INTO t (a, b) VALUES (1, 2), (3, -4),(5,NULL)",
         "insert into t(a, b) values (?, ?)"},
        {"INSERT INTO t VALUE (1), (2) ON DUPLICATE KEY UPDATE a=VALUES(a), b=VALUES(a)",
         "insert into t value (?) on duplicate key update a = values (a), b = values (a)"},
        {"INSERT INTO t VALUES (1, NOW()), (2, NOW()) RETURNING a",
         "insert into t values (?, now()) returning a"},
        {"VALUES ROW(1,2), ROW(3,4)", "values row(?, ?)"},
        {"SELECT a IS NULL, b = NULL, (TRUE), c IS TRUE",
         "select a is null, b = ?, (?), c is true"},
        {"SELECT a<=1,a<=>1,a<>1,a!=1,a>=1,a||1,a&&1,a<<1,a>>1,a<-1",
         "select a <= ?, a <=> ?, a <> ?, a != ?, a >= ?, a || ?, a && ?, a << ?, a >> ?, a < ?"},
        {"SELECT doc->'$.a', doc->>'$.b'", "select doc -> ?, doc ->> ?"},
        {"SELECT @A:=1, @'secret', @`q`, @@Session.X", "select @a := ?, @?, @`q`, @@session.x"},
        {"SELECT t.null, t.In (1, 1)", "select t.null, t.in(?, ?)"},
        {"UPDATE t SET a=-1,b='x' WHERE c BETWEEN -1 AND -2 LIMIT 5",
         "update t set a = ?, b = ? where c between ? and ? limit ?"},
        {"SELECT CASE WHEN a THEN -1 ELSE -2 END -3", "select case when a then ? else ? end - ?"},
        {"CREATE TABLE t (a VARCHAR(10) NOT NULL, b INT NULL)",
         "create table t(a varchar(?) not null, b int null)"},
        {"SELECT 'it''s', \"a\\\"b\", 'x' /* c */ 'y'", "select ?, ?, ?"},
    };
    for (size_t index = 0; index < sizeof rows / sizeof rows[0]; index++) {
        assert_string_equal(s_digest(rows[index].text), rows[index].digest);
    }
}

static void test_different_statements_have_different_digests(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "SELECT a FROM t",
        "SELECT b FROM t",
        "SELECT a, b FROM t",
        "SELECT a b FROM t",
        "SELECT `a` `b` FROM t",
        "SELECT a FROM t, u",
        "SELECT a FROM t WHERE a",
        "SELECT a.b FROM t",
        "SELECT (a) FROM t",
        "SELECT a FROM `T`",
        "SELECT a FROM `t`",
        "SELECT a IN (1, b)",
        "SELECT a IN (1)",
        "SELECT a + 1",
        "SELECT a - 1",
        "SELECT a = 1",
        "SELECT a IS NULL",
        "SELECT a IS NOT NULL",
        "SELECT @a",
        "SELECT @b",
        "SELECT @@a",
        "SELECT a ORDER BY a",
        "SELECT a GROUP BY a",
        "SELECT 1",
        "SELECT 1, 2",
        "SELECT a(1)",
        "SELECT a FROM t FOR UPDATE",
        "INSERT INTO t VALUES (1)",
        "INSERT INTO t VALUES (1, 2)",
        "INSERT INTO t VALUES (DEFAULT)",
        "REPLACE INTO t VALUES (1)",
    };
    char digests[sizeof texts / sizeof texts[0]][256];
    for (size_t index = 0; index < sizeof texts / sizeof texts[0]; index++) {
        snprintf(digests[index], sizeof digests[index], "%s", s_digest(texts[index]));
        for (size_t other = 0; other < index; other++) {
            assert_string_not_equal(digests[index], digests[other]);
        }
    }
}

static void test_the_count_of_rows_and_items_does_not_matter(void **state)
{
    (void)state;
    static char text[PCL_SQL_SIZE_MAX];
    char first[PCL_SQL_DIGEST_SIZE_MAX + 1];
    for (unsigned columns = 1; columns <= 2000; columns = columns * 3 + 1) {
        for (unsigned row_count = 1; row_count <= 27; row_count *= 3) {
            size_t used = (size_t)snprintf(text, sizeof text, "INSERT INTO t VALUES ");
            for (unsigned row = 0; row < row_count; row++) {
                used += (size_t)snprintf(text + used, sizeof text - used, "%s(",
                                         row > 0 ? "," : "");
                for (unsigned column = 0; column < columns; column++) {
                    used += (size_t)snprintf(text + used, sizeof text - used, "%sx%u(%u)",
                                             column > 0 ? "," : "", column, row);
                }
                used += (size_t)snprintf(text + used, sizeof text - used, ")");
            }
            assert_true(used < sizeof text - 1);
            const char *digest = s_digest(text);
            assert_true(strlen(digest) <= PCL_SQL_DIGEST_SIZE_MAX);
            if (row_count == 1) {
                memcpy(first, digest, strlen(digest) + 1);
            }
            assert_string_equal(digest, first);
        }
    }
    assert_non_null(strstr(first, "..."));
}

static void test_what_is_too_long_is_cut_at_a_token(void **state)
{
    (void)state;
    char text[8192] = "SELECT ";
    for (unsigned index = 0; index < 1200; index++) {
        memcpy(text + 7 + (size_t)index * 6, "abcde,", 7);
    }
    const char *digest = s_digest(text);
    assert_true(strlen(digest) <= PCL_SQL_DIGEST_SIZE_MAX);
    assert_true(strlen(digest) > PCL_SQL_DIGEST_SIZE_MAX - 16);
    const char *tail = digest + strlen(digest) - 9;
    assert_true(strcmp(tail, "abcde,...") == 0 || strcmp(tail, " abcde...") == 0);
}

static void test_a_broken_text_and_a_full_buffer_are_told(void **state)
{
    (void)state;
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, 8);
    assert_false(pcl_sql_digest(pcl_bytes_text("SELECT a /*! b */"), &buffer));
    assert_true(pcl_bytes_is(pcl_buffer_bytes(&buffer), "select a"));
    pcl_buffer_clear(&buffer);
    assert_false(pcl_sql_digest(pcl_bytes_text("SELECT abcdef"), &buffer));
    assert_true(buffer.failed);
    pcl_buffer_release(&buffer);
}

typedef struct campaign {
    pcl_rng rng;
    pcl_buffer plain;
    pcl_buffer varied;
    unsigned wrong;
} campaign;

/* Cases, white space and comments never change a digest. */
static void s_check_variants(const pcl_sql_row *row, void *context)
{
    static uint8_t text[PCL_SQL_ROW_TEXT_MAX * 4];
    campaign *self = context;
    pcl_bytes sql = pcl_bytes_of(row->text, row->size);
    if (pcl_sql_classify(sql).sql_class == PCL_SQL_REFUSED) {
        return;
    }
    pcl_buffer_clear(&self->plain);
    assert_true(pcl_sql_digest(sql, &self->plain));
    for (unsigned round = 0; round < 16; round++) {
        pcl_sql_variant variant = (pcl_sql_variant)(round % (PCL_SQL_VARIANT_GAPS + 1));
        size_t size = pcl_sql_variant_write(sql, variant, &self->rng, text, sizeof text);
        pcl_buffer_clear(&self->varied);
        assert_true(pcl_sql_digest(pcl_bytes_of(text, size), &self->varied));
        if (!pcl_bytes_equal(pcl_buffer_bytes(&self->plain), pcl_buffer_bytes(&self->varied))) {
            print_error("%s.txt:%u: %.*s\n  %.*s\n  %.*s\n", row->file, row->line, (int)size, text,
                        (int)self->plain.size, self->plain.data, (int)self->varied.size,
                        self->varied.data);
            self->wrong++;
        }
    }
}

static void test_spelling_does_not_change_a_digest(void **state)
{
    (void)state;
    campaign self = {.rng = pcl_test_rng("digest")};
    pcl_buffer_init(&self.plain, PCL_SQL_DIGEST_SIZE_MAX);
    pcl_buffer_init(&self.varied, PCL_SQL_DIGEST_SIZE_MAX);
    assert_true(pcl_sql_each_row(PCL_SQL_DATA, s_check_variants, &self) > 1000);
    assert_int_equal(self.wrong, 0);
    pcl_buffer_release(&self.plain);
    pcl_buffer_release(&self.varied);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_digest_is_the_form_without_the_values),
        cmocka_unit_test(test_different_statements_have_different_digests),
        cmocka_unit_test(test_the_count_of_rows_and_items_does_not_matter),
        cmocka_unit_test(test_what_is_too_long_is_cut_at_a_token),
        cmocka_unit_test(test_a_broken_text_and_a_full_buffer_are_told),
        cmocka_unit_test(test_spelling_does_not_change_a_digest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
