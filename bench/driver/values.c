#include "bench/driver/values.h"

#include "bench/driver/arrivals.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool s_parse_int(const char *text, const char *end, int64_t *out_value)
{
    char *stop = NULL;
    errno = 0;
    long long value = strtoll(text, &stop, 10);
    *out_value = (int64_t)value;
    return errno == 0 && stop == end && stop != text;
}

static bool s_parse_size(const char *text, const char *end, int64_t min, int64_t max,
                         uint32_t *out_value)
{
    int64_t value = 0;
    if (!s_parse_int(text, end, &value) || value < min || value > max) {
        return false;
    }
    *out_value = (uint32_t)value;
    return true;
}

static bool s_parse_real(const char *text, const char *end, double *out_value)
{
    char *stop = NULL;
    *out_value = strtod(text, &stop);
    return stop == end && stop != text && isfinite(*out_value);
}

/* Where the upper bound of "MIN..MAX" begins; NULL: there are no two dots. */
static const char *s_upper(const char *bounds)
{
    const char *dots = strstr(bounds, "..");
    return dots != NULL ? dots + 2 : NULL;
}

bool pcl_value_parse(const char *text, pcl_value_rule *out_rule)
{
    pcl_value_rule rule = {.kind = PCL_VALUE_INT};
    bool good = false;
    const char *end = text + strlen(text);
    const char *colon = strchr(text, ':');
    const char *bounds = colon != NULL ? colon + 1 : end;
    const char *upper = s_upper(bounds);
    if (strncmp(text, "int:", 4) == 0 && upper != NULL) {
        good = s_parse_int(bounds, upper - 2, &rule.int_min) &&
               s_parse_int(upper, end, &rule.int_max) && rule.int_min <= rule.int_max &&
               (uint64_t)rule.int_max - (uint64_t)rule.int_min < UINT32_MAX;
    } else if (strncmp(text, "real:", 5) == 0 && upper != NULL) {
        rule.kind = PCL_VALUE_REAL;
        good = s_parse_real(bounds, upper - 2, &rule.real_min) &&
               s_parse_real(upper, end, &rule.real_max) && rule.real_min <= rule.real_max;
    } else if (strncmp(text, "exp:", 4) == 0) {
        rule.kind = PCL_VALUE_EXP;
        good = s_parse_real(bounds, end, &rule.real_min) && rule.real_min > 0.0;
    } else if (strncmp(text, "text:", 5) == 0) {
        rule.kind = PCL_VALUE_TEXT;
        good = s_parse_size(bounds, end, 0, PCL_VALUE_TEXT_SIZE_MAX, &rule.size);
    } else if (strncmp(text, "same:", 5) == 0) {
        rule.kind = PCL_VALUE_SAME;
        good = s_parse_size(bounds, end, 1, PCL_VALUE_SAME_MAX, &rule.size);
    }
    if (good) {
        *out_rule = rule;
    }
    return good;
}

int64_t pcl_value_draw_int(const pcl_value_rule *rule, pcl_rng *rng)
{
    assert(rule->kind == PCL_VALUE_INT);
    uint32_t span = (uint32_t)((uint64_t)rule->int_max - (uint64_t)rule->int_min + 1);
    return rule->int_min + (int64_t)pcl_rng_below(rng, span);
}

double pcl_value_draw_real(const pcl_value_rule *rule, pcl_rng *rng)
{
    if (rule->kind == PCL_VALUE_EXP) {
        return pcl_draw_exponential(rng, rule->real_min);
    }
    assert(rule->kind == PCL_VALUE_REAL);
    return rule->real_min + (rule->real_max - rule->real_min) * pcl_draw_unit(rng);
}

void pcl_value_draw_text(const pcl_value_rule *rule, pcl_rng *rng, char *out_text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    assert(rule->kind == PCL_VALUE_TEXT);
    for (uint32_t index = 0; index < rule->size; index++) {
        out_text[index] = letters[pcl_rng_below(rng, sizeof letters - 1)];
    }
}
