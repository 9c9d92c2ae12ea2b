/* What a file of statements gives can be sent: each part has its statements, each statement its
 * values, and what is to be used again was drawn before.  Rules and shares take any text. */
#include "bench/driver/mix.h"

#include <stdlib.h>
#include <string.h>

#define LINE_SIZE_MAX 300u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void s_require(bool fact)
{
    if (!fact) {
        abort();
    }
}

static void s_check_part(const pcl_mix *mix, const pcl_mix_part *part)
{
    uint32_t ints = 0;
    s_require(part->weight > 0 && part->statement_count > 0);
    s_require(part->transaction || part->statement_count == 1);
    for (uint32_t offset = 0; offset < part->statement_count; offset++) {
        uint32_t index = part->statement_first + offset;
        const pcl_mix_statement *one = &mix->statements[index];
        s_require(pcl_mix_sql(mix, index).size > 0);
        s_require(one->param_first + one->param_count <= mix->param_count);
        for (uint32_t param = 0; param < one->param_count; param++) {
            const pcl_value_rule *rule = &mix->params[one->param_first + param];
            s_require(rule->kind != PCL_VALUE_SAME || (rule->size > 0 && rule->size <= ints));
            ints += rule->kind == PCL_VALUE_INT ? 1 : 0;
        }
    }
}

static void s_check(const pcl_mix *mix)
{
    uint32_t weights = 0;
    s_require(mix->part_count > 0);
    for (uint32_t index = 0; index < mix->part_count; index++) {
        weights += mix->parts[index].weight;
        s_check_part(mix, &mix->parts[index]);
    }
    pcl_rng rng = pcl_rng_from_seed(1);
    s_require(weights == mix->weights && pcl_mix_pick(mix, &rng) < mix->part_count);
}

/* The file that is measured, or a complaint that is not empty. */
static void s_read(pcl_mix *mix, bool good, const char *problem)
{
    s_require(good || (problem[0] != '\0' && strlen(problem) < PCL_MIX_PROBLEM_SIZE));
    if (good) {
        s_check(mix);
    }
    pcl_mix_release(mix);
}

static void s_try_line(const char *text)
{
    static pcl_mix mix;
    const pcl_mix_shape shape = {.table = "t", .rows = 9, .span = 3, .ranges = 1, .writes = 1};
    char problem[PCL_MIX_PROBLEM_SIZE] = "";
    pcl_value_rule rule;
    pcl_mix_init(&mix);
    s_read(&mix, pcl_mix_add_shares(&mix, text, &shape, problem), problem);
    if (pcl_value_parse(text, &rule)) {
        char target[PCL_VALUE_TEXT_SIZE_MAX];
        pcl_rng rng = pcl_rng_from_seed(1);
        if (rule.kind == PCL_VALUE_INT) {
            int64_t value = pcl_value_draw_int(&rule, &rng);
            s_require(value >= rule.int_min && value <= rule.int_max);
        } else if (rule.kind == PCL_VALUE_TEXT) {
            pcl_value_draw_text(&rule, &rng, target);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static pcl_mix mix;
    char problem[PCL_MIX_PROBLEM_SIZE] = "";
    char line[LINE_SIZE_MAX + 1];
    pcl_mix_init(&mix);
    s_read(&mix, pcl_mix_add_file(&mix, pcl_bytes_of(data, size), problem), problem);
    size_t kept = size < LINE_SIZE_MAX ? size : LINE_SIZE_MAX;
    if (kept > 0) {
        memcpy(line, data, kept);
    }
    line[kept] = '\0';
    s_try_line(line);
    return 0;
}
