/* A million ways to hide an effect, judged: no read among them that must be none,
 * and none that breaks the lexer or the digest.  PCL_TEST_SEED replays a run,
 * PCL_TEST_VARIANTS says how many. */
#include "sql/digest.h"
#include "tests/lib/seed.h"
#include "tests/lib/sql_evasion.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/sql_file.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define S_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define S_SANITIZED 1
#endif
#endif
#ifdef S_SANITIZED
enum { VARIANTS_DEFAULT = 100000 }; /* they are many times slower */
#else
enum { VARIANTS_DEFAULT = 1000000 };
#endif
enum { SEEDS_MAX = 8192, WRONG_SHOWN = 20 };

typedef struct campaign {
    pcl_sql_evasion_seed seeds[SEEDS_MAX];
    pcl_sql_evasion evasion;
    pcl_buffer digest;
    unsigned classes[PCL_SQL_CLASS_COUNT];
    unsigned claims[PCL_SQL_CLAIM_SAME + 1];
    unsigned wrong;
} campaign;

static void s_add_seed(const pcl_sql_row *row, void *context)
{
    campaign *self = context;
    if (row->size == 0 || row->rules.flavor != PCL_SQL_FLAVOR_BOTH ||
        row->size > PCL_SQL_EVASION_SEED_MAX || self->evasion.seed_count == SEEDS_MAX) {
        return;
    }
    uint8_t *copy = malloc(row->size);
    assert_non_null(copy);
    memcpy(copy, row->text, row->size);
    self->seeds[self->evasion.seed_count++] = (pcl_sql_evasion_seed){
        .text = copy, .size = row->size, .sql_class = row->expected};
}

/* Tokens lie one behind the other, and nothing but gaps between them. */
static void s_check_tokens(pcl_bytes sql)
{
    pcl_sql_lexer lexer = pcl_sql_lexer_on(sql);
    uint32_t end = 0;
    for (;;) {
        pcl_sql_token token = pcl_sql_lexer_next(&lexer);
        if (token.kind == PCL_SQL_TOKEN_END || token.kind == PCL_SQL_TOKEN_ERROR) {
            assert_true(token.offset >= end && token.offset <= sql.size);
            return;
        }
        assert_true(token.offset >= end && token.size > 0);
        end = token.offset + token.size;
        assert_true(end <= sql.size);
    }
}

static void s_check_variant(campaign *self)
{
    pcl_bytes sql = pcl_bytes_of(self->evasion.text, self->evasion.size);
    pcl_sql_verdict verdict = pcl_sql_classify(sql);
    self->classes[verdict.sql_class]++;
    self->claims[self->evasion.claim]++;
    assert_true(verdict.offset <= sql.size && verdict.rule != NULL);
    if (!pcl_sql_evasion_holds(&self->evasion, verdict.sql_class)) {
        self->wrong++;
        if (self->wrong <= WRONG_SHOWN) {
            print_error("claim %d of a %s: %s (%s at %u): %.*s\n", (int)self->evasion.claim,
                        pcl_sql_class_text(self->evasion.sql_class),
                        pcl_sql_class_text(verdict.sql_class), verdict.rule, verdict.offset,
                        (int)sql.size, (const char *)sql.data);
        }
    }
    if (verdict.sql_class == PCL_SQL_REFUSED) {
        return;
    }
    s_check_tokens(sql);
    pcl_buffer_clear(&self->digest);
    assert_true(pcl_sql_digest(sql, &self->digest));
    assert_true(self->digest.size > 0 && self->digest.size <= PCL_SQL_DIGEST_SIZE_MAX);
}

static void test_no_variant_hides_an_effect(void **state)
{
    (void)state;
    campaign *self = calloc(1, sizeof *self);
    assert_non_null(self);
    self->evasion.rng = pcl_test_rng("sql_evasion");
    self->evasion.seeds = self->seeds;
    pcl_buffer_init(&self->digest, PCL_SQL_DIGEST_SIZE_MAX);
    (void)pcl_sql_each_row_of(PCL_SQL_DATA, "evasion", s_add_seed, self);
    self->evasion.base_count = self->evasion.seed_count;
    (void)pcl_sql_each_row(PCL_SQL_DATA, s_add_seed, self);
    const char *given = getenv("PCL_TEST_VARIANTS");
    unsigned long count = given != NULL ? strtoul(given, NULL, 0) : VARIANTS_DEFAULT;
    for (unsigned long index = 0; index < count; index++) {
        self->evasion.damage = index % 2 == 1;
        pcl_sql_evasion_next(&self->evasion);
        s_check_variant(self);
    }
    print_message(
        "%lu variants of the %u statements of the evasion list (%u to splice), %u claims:", count,
        self->evasion.base_count, self->evasion.seed_count,
        (unsigned)count - self->claims[PCL_SQL_CLAIM_NOTHING]);
    for (unsigned index = 1; index < PCL_SQL_CLASS_COUNT; index++) {
        print_message(" %s %u", pcl_sql_class_text((pcl_sql_class)index), self->classes[index]);
    }
    print_message("; %u wrong\n", self->wrong);
    assert_int_equal(self->wrong, 0);
    for (uint32_t index = 0; index < self->evasion.seed_count; index++) {
        free((void *)(uintptr_t)self->seeds[index].text);
    }
    pcl_buffer_release(&self->digest);
    free(self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_variant_hides_an_effect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
