/* Any octets get a verdict, and neither blanks nor spelling make a read. */
#include "common/limits.h"
#include "sql/classify.h"
#include "tests/lib/sql_variant.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static pcl_sql_class s_class(pcl_bytes sql)
{
    pcl_sql_verdict verdict = pcl_sql_classify(sql);
    assert(verdict.sql_class > PCL_SQL_NONE && verdict.sql_class < PCL_SQL_CLASS_COUNT);
    assert(verdict.offset <= sql.size);
    assert(verdict.placeholder_count <= sql.size);
    assert(verdict.rule != NULL);
    return verdict.sql_class;
}

/* The tokens lie one behind the other, inside the text. */
static void s_check_tokens(pcl_bytes sql)
{
    pcl_sql_lexer lexer = pcl_sql_lexer_on(sql);
    uint32_t end = 0;
    for (;;) {
        pcl_sql_token token = pcl_sql_lexer_next(&lexer);
        if (token.kind == PCL_SQL_TOKEN_END || token.kind == PCL_SQL_TOKEN_ERROR) {
            assert(token.offset <= sql.size);
            return;
        }
        assert(token.offset >= end && token.size > 0);
        end = token.offset + token.size;
        assert(end <= sql.size);
    }
}

static void s_check_appended(pcl_bytes sql, pcl_sql_class sql_class, const char *tail,
                             pcl_sql_class expected)
{
    static uint8_t longer[PCL_SQL_SIZE_MAX];
    size_t size = strlen(tail);
    if (sql_class == PCL_SQL_REFUSED || sql.size > sizeof longer - size) {
        return;
    }
    memcpy(longer, sql.data, sql.size);
    memcpy(longer + sql.size, tail, size);
    assert(s_class(pcl_bytes_of(longer, sql.size + size)) == expected);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t varied[PCL_SQL_SIZE_MAX];
    pcl_bytes sql = pcl_bytes_of(data, size);
    pcl_sql_class sql_class = s_class(sql);
    uint32_t offset = 0;
    if (size > PCL_SQL_SIZE_MAX || pcl_sql_text_check(sql, &offset) != NULL) {
        assert(sql_class == PCL_SQL_REFUSED);
        return 0;
    }
    s_check_tokens(sql);
    s_check_appended(sql, sql_class, "\n /* x */", sql_class);
    s_check_appended(sql, sql_class, "\n;x", PCL_SQL_REFUSED);
    pcl_rng rng = pcl_rng_from_seed(size); /* the same octets, the same variants */
    for (unsigned index = 0; index < PCL_SQL_VARIANT_COUNT; index++) {
        pcl_sql_variant variant = (pcl_sql_variant)index;
        size_t count = pcl_sql_variant_write(sql, variant, &rng, varied, sizeof varied);
        if (count == 0) {
            continue;
        }
        pcl_sql_class other = s_class(pcl_bytes_of(varied, count));
        assert(other != PCL_SQL_READ || sql_class == PCL_SQL_READ);
        assert(other == sql_class || variant > PCL_SQL_VARIANT_GAPS);
    }
    return 0;
}
