#include "bench/driver/mix.h"

#include "common/limits.h"
#include "sql/lexer.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

void pcl_mix_init(pcl_mix *self)
{
    memset(self, 0, sizeof *self);
    pcl_buffer_init(&self->text, PCL_MIX_TEXT_SIZE_MAX);
}

void pcl_mix_release(pcl_mix *self)
{
    pcl_buffer_release(&self->text);
}

static bool s_wrong(char *problem, const char *text)
{
    (void)snprintf(problem, PCL_MIX_PROBLEM_SIZE, "%s", text);
    return false;
}

bool pcl_mix_add_part(pcl_mix *self, const char *name, uint32_t weight, bool transaction,
                      char *problem)
{
    if (self->part_count == PCL_MIX_PARTS_MAX) {
        return s_wrong(problem, "there are more than 32 statements and transactions");
    }
    if (weight == 0 || weight > PCL_MIX_WEIGHT_MAX) {
        return s_wrong(problem, "a weight must be a whole number from 1 to 1000000");
    }
    pcl_mix_part *part = &self->parts[self->part_count++];
    *part = (pcl_mix_part){
        .weight = weight, .transaction = transaction, .statement_first = self->statement_count};
    if (name[0] != '\0') {
        (void)snprintf(part->name, sizeof part->name, "%s", name);
    } else {
        (void)snprintf(part->name, sizeof part->name, "%u", self->part_count);
    }
    self->weights += weight;
    return true;
}

/* How many `?` it has.  false: it cannot be read, and the database will say why. */
static bool s_count_params(pcl_bytes sql, uint32_t *out_count)
{
    uint32_t offset = 0;
    if (pcl_sql_text_check(sql, &offset) != NULL) {
        return false;
    }
    pcl_sql_lexer lexer = pcl_sql_lexer_on(sql);
    pcl_sql_token token = pcl_sql_lexer_next(&lexer);
    *out_count = 0;
    while (token.kind != PCL_SQL_TOKEN_END && token.kind != PCL_SQL_TOKEN_ERROR) {
        *out_count += token.kind == PCL_SQL_TOKEN_PARAMETER ? 1 : 0;
        token = pcl_sql_lexer_next(&lexer);
    }
    return token.kind == PCL_SQL_TOKEN_END;
}

/* Of a part: how many whole numbers are drawn for it. */
static uint32_t s_ints_of(const pcl_mix *self, const pcl_mix_part *part)
{
    uint32_t count = 0;
    for (uint32_t index = 0; index < part->statement_count; index++) {
        const pcl_mix_statement *one = &self->statements[part->statement_first + index];
        for (uint32_t param = 0; param < one->param_count; param++) {
            count += self->params[one->param_first + param].kind == PCL_VALUE_INT ? 1 : 0;
        }
    }
    return count;
}

static bool s_check_rules(const pcl_mix *self, pcl_bytes sql, const pcl_value_rule *rules,
                          uint32_t rule_count, char *problem)
{
    uint32_t param_count = 0;
    if (s_count_params(sql, &param_count) && param_count != rule_count) {
        (void)snprintf(problem, PCL_MIX_PROBLEM_SIZE,
                       "\"%.*s%s\" has %u `?`, and values were given for %u",
                       (int)(sql.size < 60 ? sql.size : 60), (const char *)sql.data,
                       sql.size > 60 ? "..." : "", param_count, rule_count);
        return false;
    }
    uint32_t ints = s_ints_of(self, &self->parts[self->part_count - 1]);
    for (uint32_t index = 0; index < rule_count; index++) {
        if (rules[index].kind == PCL_VALUE_SAME && rules[index].size > ints) {
            (void)snprintf(problem, PCL_MIX_PROBLEM_SIZE,
                           "same:%u: only %u whole numbers are drawn before it", rules[index].size,
                           ints);
            return false;
        }
        ints += rules[index].kind == PCL_VALUE_INT ? 1 : 0;
    }
    return true;
}

bool pcl_mix_add_statement(pcl_mix *self, pcl_bytes sql, const pcl_value_rule *rules,
                           uint32_t rule_count, char *problem)
{
    assert(self->part_count > 0);
    pcl_mix_part *part = &self->parts[self->part_count - 1];
    assert(part->transaction || part->statement_count == 0);
    if (sql.size > PCL_SQL_SIZE_MAX) {
        return s_wrong(problem, "a statement is over 512 KiB");
    }
    if (part->statement_count == PCL_STATEMENTS_MAX) {
        return s_wrong(problem, "a transaction has more than 256 statements");
    }
    if (self->statement_count == PCL_MIX_STATEMENTS_MAX ||
        rule_count > PCL_MIX_PARAMS_MAX - self->param_count) {
        return s_wrong(problem, "there are more than 512 statements, or 1024 values");
    }
    if (!s_check_rules(self, sql, rules, rule_count, problem)) {
        return false;
    }
    self->statements[self->statement_count++] = (pcl_mix_statement){
        .offset = self->text.size,
        .size = sql.size,
        .param_first = self->param_count,
        .param_count = rule_count};
    part->statement_count++;
    pcl_buffer_put(&self->text, sql.data, sql.size);
    for (uint32_t index = 0; index < rule_count; index++) {
        self->params[self->param_count++] = rules[index];
    }
    return !self->text.failed ||
           s_wrong(problem, "the statements are over 4 MiB, or memory is out");
}

uint32_t pcl_mix_pick(const pcl_mix *self, pcl_rng *rng)
{
    assert(self->part_count > 0);
    uint32_t index = 0;
    if (self->part_count > 1) { /* one alone takes nothing from the stream */
        uint32_t drawn = pcl_rng_below(rng, self->weights);
        while (drawn >= self->parts[index].weight) {
            drawn -= self->parts[index++].weight;
        }
    }
    return index;
}

pcl_bytes pcl_mix_sql(const pcl_mix *self, uint32_t statement)
{
    assert(statement < self->statement_count);
    const pcl_mix_statement *one = &self->statements[statement];
    return pcl_bytes_of(self->text.data + one->offset, one->size);
}

bool pcl_mix_is_single(const pcl_mix *self)
{
    return self->part_count == 1 && !self->parts[0].transaction;
}
