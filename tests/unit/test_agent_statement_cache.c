/* The cache of prepared statements against a plain model of it. */
#include "tests/lib/seed.h"
#include "worker-agent/statement_cache.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static pcl_bytes s_text(const char *text)
{
    return pcl_bytes_text(text);
}

static pcl_statement_key s_typed(const char *db, const char *types, const char *sql)
{
    return (pcl_statement_key){.db = s_text(db), .types = s_text(types), .sql = s_text(sql)};
}

#define KEY(schema, text) (&(pcl_statement_key){.db = s_text(schema), .sql = s_text(text)})

static void *s_handle(uintptr_t number)
{
    return (void *)(number * 8); /* never looked into */
}

static void s_empty(pcl_statement_cache **cache_p)
{
    while (pcl_statement_cache_remove_oldest(*cache_p) != NULL) {
    }
    pcl_statement_cache_destroy(cache_p);
    assert_null(*cache_p);
}

static void test_a_text_is_found_under_its_schema_only(void **state)
{
    (void)state;
    void *evicted = NULL;
    pcl_statement_cache *cache = pcl_statement_cache_new(4);
    assert_true(pcl_statement_cache_put(cache, KEY("a", "bc"), s_handle(1), &evicted));
    assert_null(evicted);
    assert_ptr_equal(pcl_statement_cache_find(cache, KEY("a", "bc")), s_handle(1));
    assert_null(pcl_statement_cache_find(cache, KEY("ab", "c")));
    assert_null(pcl_statement_cache_find(cache, KEY("", "abc")));
    s_empty(&cache);
}

static void test_types_of_parameters_tell_statements_apart(void **state)
{
    (void)state;
    void *evicted = NULL;
    pcl_statement_cache *cache = pcl_statement_cache_new(4);
    const pcl_statement_key keys[] = {s_typed("d", "i", "?"), s_typed("d", "t", "?"),
                                      s_typed("d", "", "?"), s_typed("", "di", "?")};
    for (size_t index = 0; index < 4; index++) {
        assert_null(pcl_statement_cache_find(cache, &keys[index]));
        assert_true(pcl_statement_cache_put(cache, &keys[index], s_handle(index + 1), &evicted));
    }
    for (size_t index = 0; index < 4; index++) {
        assert_ptr_equal(pcl_statement_cache_find(cache, &keys[index]), s_handle(index + 1));
        assert_ptr_equal(pcl_statement_cache_remove(cache, &keys[index]), s_handle(index + 1));
    }
    s_empty(&cache);
}

static void test_the_least_recently_used_goes(void **state)
{
    (void)state;
    void *evicted = NULL;
    pcl_statement_cache *cache = pcl_statement_cache_new(2);
    assert_true(pcl_statement_cache_put(cache, KEY("", "1"), s_handle(1), &evicted));
    assert_true(pcl_statement_cache_put(cache, KEY("", "2"), s_handle(2), &evicted));
    assert_non_null(pcl_statement_cache_find(cache, KEY("", "1")));
    assert_true(pcl_statement_cache_put(cache, KEY("", "3"), s_handle(3), &evicted));
    assert_ptr_equal(evicted, s_handle(2));
    assert_int_equal(pcl_statement_cache_count(cache), 2);
    assert_ptr_equal(pcl_statement_cache_remove_oldest(cache), s_handle(1));
    s_empty(&cache);
}

static void test_a_long_text_is_not_kept(void **state)
{
    (void)state;
    static char text[PCL_STATEMENT_CACHE_TEXT_SIZE_MAX + 2];
    void *evicted = NULL;
    memset(text, 'x', sizeof text - 1);
    pcl_statement_cache *cache = pcl_statement_cache_new(1);
    assert_false(pcl_statement_cache_put(cache, KEY("", text), s_handle(1), &evicted));
    text[PCL_STATEMENT_CACHE_TEXT_SIZE_MAX] = '\0';
    assert_true(pcl_statement_cache_put(cache, KEY("", text), s_handle(1), &evicted));
    s_empty(&cache);
}

static void test_a_removed_text_is_gone(void **state)
{
    (void)state;
    void *evicted = NULL;
    pcl_statement_cache *cache = pcl_statement_cache_new(3);
    assert_true(pcl_statement_cache_put(cache, KEY("d", "q"), s_handle(7), &evicted));
    assert_ptr_equal(pcl_statement_cache_remove(cache, KEY("d", "q")), s_handle(7));
    assert_null(pcl_statement_cache_remove(cache, KEY("d", "q")));
    assert_null(pcl_statement_cache_remove_oldest(cache));
    s_empty(&cache);
}

enum { MODEL_KEYS = 40, MODEL_CAPACITY = 12, MODEL_STEPS = 20000 };

/* used[key]: when it was last used, 0 when it is not in. */
static uint32_t s_model_oldest(const uint32_t *used)
{
    uint32_t oldest = MODEL_KEYS;
    for (uint32_t key = 0; key < MODEL_KEYS; key++) {
        if (used[key] != 0 && (oldest == MODEL_KEYS || used[key] < used[oldest])) {
            oldest = key;
        }
    }
    return oldest;
}

static void s_model_use(pcl_statement_cache *cache, uint32_t *used, uint32_t key, uint32_t step)
{
    char text[16];
    (void)snprintf(text, sizeof text, "q%u", (unsigned)key);
    void *found = pcl_statement_cache_find(cache, KEY("db", text));
    assert_true((found != NULL) == (used[key] != 0));
    if (found == NULL) {
        void *evicted = NULL;
        bool full = pcl_statement_cache_count(cache) == MODEL_CAPACITY;
        uint32_t oldest = s_model_oldest(used);
        assert_true(pcl_statement_cache_put(cache, KEY("db", text), s_handle(key + 1), &evicted));
        assert_ptr_equal(evicted, full ? s_handle(oldest + 1) : NULL);
        if (full) {
            used[oldest] = 0;
        }
    } else {
        assert_ptr_equal(found, s_handle(key + 1));
    }
    used[key] = step;
}

static void test_it_does_as_a_model_does(void **state)
{
    (void)state;
    pcl_rng rng = pcl_test_rng("agent_statement_cache");
    uint32_t used[MODEL_KEYS] = {0};
    pcl_statement_cache *cache = pcl_statement_cache_new(MODEL_CAPACITY);
    for (uint32_t step = 1; step <= MODEL_STEPS; step++) {
        uint32_t key = pcl_rng_below(&rng, MODEL_KEYS);
        if (pcl_rng_below(&rng, 10) > 0) {
            s_model_use(cache, used, key, step);
        } else {
            char text[16];
            (void)snprintf(text, sizeof text, "q%u", (unsigned)key);
            void *removed = pcl_statement_cache_remove(cache, KEY("db", text));
            assert_ptr_equal(removed, used[key] != 0 ? s_handle(key + 1) : NULL);
            used[key] = 0;
        }
    }
    s_empty(&cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_text_is_found_under_its_schema_only),
        cmocka_unit_test(test_types_of_parameters_tell_statements_apart),
        cmocka_unit_test(test_the_least_recently_used_goes),
        cmocka_unit_test(test_a_long_text_is_not_kept),
        cmocka_unit_test(test_a_removed_text_is_gone),
        cmocka_unit_test(test_it_does_as_a_model_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
