#include "common/rng.h"
#include "sql/cache.h"
#include "sql/digest.h"
#include "tests/lib/seed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static void s_assert_is(pcl_sql_judged judged, pcl_bytes sql)
{
    pcl_sql_verdict verdict = pcl_sql_classify(sql);
    assert_int_equal(judged.verdict.sql_class, verdict.sql_class);
    assert_int_equal(judged.verdict.statement_class, verdict.statement_class);
    assert_ptr_equal(judged.verdict.rule, verdict.rule);
    assert_int_equal(judged.verdict.offset, verdict.offset);
    assert_int_equal(judged.verdict.placeholder_count, verdict.placeholder_count);
    pcl_buffer digest;
    pcl_buffer_init(&digest, PCL_SQL_DIGEST_SIZE_MAX);
    if (verdict.sql_class != PCL_SQL_REFUSED) {
        assert_true(pcl_sql_digest(sql, &digest));
    }
    assert_true(pcl_bytes_equal(judged.digest, pcl_buffer_bytes(&digest)));
    pcl_buffer_release(&digest);
}

static pcl_sql_cache *s_new(uint32_t entry_max, size_t octets_max)
{
    pcl_sql_cache *cache = pcl_sql_cache_new(NULL, entry_max, octets_max, 42);
    assert_non_null(cache);
    return cache;
}

static void s_judge(pcl_sql_cache *cache, const char *text)
{
    s_assert_is(pcl_sql_cache_judge(cache, pcl_bytes_text(text)), pcl_bytes_text(text));
}

static void test_a_repeated_text_is_a_hit(void **state)
{
    (void)state;
    pcl_sql_cache *cache = s_new(16, 4096);
    s_judge(cache, "SELECT a FROM t WHERE b = 1");
    s_judge(cache, "SELECT a FROM t WHERE b = 1");
    s_judge(cache, "SELECT a FROM t WHERE b = 2");
    s_judge(cache, "DELETE FROM t WHERE a = ?");
    s_judge(cache, "DELETE FROM t WHERE a = ?");
    pcl_sql_cache_counts counts = pcl_sql_cache_count(cache);
    assert_int_equal(counts.hits, 2);
    assert_int_equal(counts.misses, 3);
    assert_int_equal(counts.entries, 3);
    assert_int_equal(counts.evictions, 0);
    pcl_sql_cache_destroy(&cache);
    assert_null(cache);
    pcl_sql_cache_destroy(&cache);
}

static void test_what_is_refused_or_long_is_judged_and_not_kept(void **state)
{
    (void)state;
    pcl_sql_cache *cache = s_new(16, 4096);
    char text[1024];
    memset(text, ' ', sizeof text);
    memcpy(text, "SELECT 1", 8);
    pcl_bytes sql = pcl_bytes_of(text, sizeof text);
    for (unsigned round = 0; round < 2; round++) {
        s_judge(cache, "SELECT 1; SELECT 2");
        s_judge(cache, "");
        s_assert_is(pcl_sql_cache_judge(cache, sql), sql);
    }
    pcl_sql_cache_counts counts = pcl_sql_cache_count(cache);
    assert_int_equal(counts.hits, 0);
    assert_int_equal(counts.entries, 0);
    assert_int_equal(counts.octets, 0);
    pcl_sql_cache_destroy(&cache);
}

static void test_the_oldest_go_and_the_asked_for_stay(void **state)
{
    (void)state;
    pcl_sql_cache *cache = s_new(4, 4096);
    char text[64];
    for (unsigned index = 0; index < 100; index++) {
        s_judge(cache, "SELECT hot");
        snprintf(text, sizeof text, "SELECT cold%u", index);
        s_judge(cache, text);
    }
    pcl_sql_cache_counts counts = pcl_sql_cache_count(cache);
    assert_int_equal(counts.entries, 4);
    assert_int_equal(counts.hits, 99);
    assert_int_equal(counts.misses, 101);
    assert_int_equal(counts.evictions, 97);
    pcl_sql_cache_destroy(&cache);
}

static void test_a_reset_forgets_and_takes_other_rules(void **state)
{
    (void)state;
    pcl_sql_cache *cache = s_new(4, 4096);
    pcl_bytes sql = pcl_bytes_text("SELECT area_of(a) FROM t");
    assert_int_equal(pcl_sql_cache_judge(cache, sql).verdict.sql_class, PCL_SQL_WRITE);
    pcl_sql_rules rules = {.flavor = PCL_SQL_FLAVOR_MARIADB};
    assert_null(pcl_sql_rules_set_extra(&rules, pcl_bytes_text("area_of"), NULL));
    pcl_sql_cache_reset(cache, &rules);
    assert_int_equal(pcl_sql_cache_count(cache).entries, 0);
    assert_int_equal(pcl_sql_cache_judge(cache, sql).verdict.sql_class, PCL_SQL_READ);
    assert_int_equal(pcl_sql_cache_judge(cache, sql).verdict.sql_class, PCL_SQL_READ);
    pcl_sql_cache_reset(cache, NULL);
    assert_int_equal(pcl_sql_cache_judge(cache, sql).verdict.sql_class, PCL_SQL_WRITE);
    pcl_sql_cache_destroy(&cache);
}

/* Whatever comes in whatever order, an answer is the judge's own, and the bounds
 * hold. */
static void test_an_answer_is_always_the_judges(void **state)
{
    (void)state;
    pcl_rng rng = pcl_test_rng("sql_cache");
    for (unsigned round = 0; round < 20; round++) {
        uint32_t entry_max = 1 + pcl_rng_below(&rng, 60);
        size_t octets_max = 4096 + pcl_rng_below(&rng, 8192);
        pcl_sql_cache *cache = pcl_sql_cache_new(NULL, entry_max, octets_max, pcl_rng_next(&rng));
        assert_non_null(cache);
        for (unsigned count = 0; count < 2000; count++) {
            char text[1024];
            unsigned which = pcl_rng_below(&rng, 1 + pcl_rng_below(&rng, 100));
            int width = (int)(which * which % 700);
            snprintf(text, sizeof text, "%s %*u FROM t%u", which % 3 == 0 ? "DELETE" : "SELECT",
                     width, which, which);
            s_judge(cache, text);
            pcl_sql_cache_counts counts = pcl_sql_cache_count(cache);
            assert_true(counts.entries <= entry_max && counts.octets <= octets_max);
        }
        assert_true(pcl_sql_cache_count(cache).hits > 0);
        pcl_sql_cache_destroy(&cache);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_repeated_text_is_a_hit),
        cmocka_unit_test(test_what_is_refused_or_long_is_judged_and_not_kept),
        cmocka_unit_test(test_the_oldest_go_and_the_asked_for_stay),
        cmocka_unit_test(test_a_reset_forgets_and_takes_other_rules),
        cmocka_unit_test(test_an_answer_is_always_the_judges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
