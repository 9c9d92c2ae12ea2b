/* A small cache answers as the judge does, whatever texts come; a digest holds
 * together; and any list of functions is taken or refused whole.  The first octet
 * says what the rest is: a list of functions, or texts that LF parts. */
#include "common/limits.h"
#include "sql/cache.h"
#include "sql/digest.h"
#include "tests/lib/sql_variant.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void s_check_answer(pcl_sql_cache *cache, const pcl_sql_rules *rules, pcl_bytes sql)
{
    static uint8_t varied[PCL_SQL_SIZE_MAX];
    pcl_sql_judged judged = pcl_sql_cache_judge(cache, sql);
    pcl_sql_verdict verdict = pcl_sql_classify_by(rules, sql);
    assert(judged.verdict.sql_class == verdict.sql_class && judged.verdict.rule == verdict.rule);
    assert(judged.verdict.statement_class == verdict.statement_class);
    assert(judged.verdict.offset == verdict.offset);
    assert(judged.verdict.placeholder_count == verdict.placeholder_count);
    if (verdict.sql_class == PCL_SQL_REFUSED) {
        assert(judged.digest.size == 0);
        return;
    }
    assert(judged.digest.size > 0 && judged.digest.size <= PCL_SQL_DIGEST_SIZE_MAX);
    pcl_buffer digest;
    pcl_buffer_init(&digest, PCL_SQL_DIGEST_SIZE_MAX);
    pcl_rng rng = pcl_rng_from_seed(sql.size);
    for (unsigned index = 0; index <= PCL_SQL_VARIANT_GAPS; index++) {
        pcl_sql_variant variant = (pcl_sql_variant)index;
        size_t count = pcl_sql_variant_write(sql, variant, &rng, varied, sizeof varied);
        if (count > 0) {
            pcl_buffer_clear(&digest);
            assert(pcl_sql_digest(pcl_bytes_of(varied, count), &digest));
            assert(pcl_bytes_equal(pcl_buffer_bytes(&digest), judged.digest));
        }
    }
    pcl_buffer_release(&digest);
}

static void s_check_texts(const pcl_sql_rules *rules, pcl_bytes texts)
{
    pcl_sql_cache *cache = pcl_sql_cache_new(rules, 5, 4096, texts.size);
    assert(cache != NULL);
    for (unsigned round = 0; round < 2; round++) {
        size_t at = 0;
        while (at < texts.size) {
            const uint8_t *end = memchr(texts.data + at, '\n', texts.size - at);
            size_t size = end == NULL ? texts.size - at : (size_t)(end - texts.data) - at;
            s_check_answer(cache, rules, pcl_bytes_of(texts.data + at, size));
            at += size + 1;
        }
    }
    pcl_sql_cache_counts counts = pcl_sql_cache_count(cache);
    assert(counts.entries <= 5 && counts.octets <= 4096);
    pcl_sql_cache_destroy(&cache);
}

static void s_check_list(pcl_bytes list)
{
    static pcl_sql_rules rules;
    static pcl_sql_rules before;
    rules = (pcl_sql_rules){.flavor = PCL_SQL_FLAVOR_MYSQL};
    before = rules;
    pcl_bytes name = {0};
    if (pcl_sql_rules_set_extra(&rules, list, &name) != NULL) {
        assert(memcmp(&rules, &before, sizeof rules) == 0);
        assert(name.data >= list.data && name.size <= list.size);
        return;
    }
    assert(rules.extra_count <= PCL_SQL_EXTRA_COUNT_MAX);
    uint32_t start = 0;
    for (uint32_t index = 0; index < rules.extra_count; index++) {
        uint32_t end = rules.extra_ends[index];
        assert(end > start && end <= PCL_SQL_EXTRA_SIZE_MAX);
        assert(pcl_sql_rules_lists(&rules, (const uint8_t *)rules.extra_text + start, end - start));
        start = end;
    }
    assert(!pcl_sql_rules_lists(&rules, (const uint8_t *)"get_lock", 8));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > PCL_SQL_SIZE_MAX) {
        return 0;
    }
    pcl_bytes rest = pcl_bytes_of(data + 1, size - 1);
    if (data[0] == 'f') {
        s_check_list(rest);
        return 0;
    }
    pcl_sql_rules rules = {.flavor = (pcl_sql_flavor)(data[0] % PCL_SQL_FLAVOR_COUNT)};
    s_check_texts(&rules, rest);
    return 0;
}
