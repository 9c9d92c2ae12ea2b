/* A file of statements with weights.  Statements end at `;`; what stands from BEGIN to COMMIT is a
 * transaction; lines of comment between statements that start with `-- @` describe the next. */
#include "bench/driver/mix.h"
#include "client/splitter.h"
#include "common/limits.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define RULES_MAX      64u /* of one statement */
#define DIRECTIVE_SIZE 128u

/* What the lines in front of a statement say of it. */
typedef struct notes {
    char name[PCL_MIX_NAME_SIZE_MAX + 1u];
    uint32_t weight; /* 0: none was given */
    pcl_value_rule rules[RULES_MAX];
    uint32_t rule_count;
} notes;

typedef struct reader {
    pcl_mix *mix;
    pcl_bytes text;
    size_t offset; /* where the present statement starts, for complaints */
    bool open;     /* between BEGIN and COMMIT */
    char *problem;
} reader;

static bool s_wrong(const reader *self, const char *text)
{
    uint32_t line = 1;
    for (size_t index = 0; index < self->offset; index++) {
        line += self->text.data[index] == '\n' ? 1 : 0;
    }
    (void)snprintf(self->problem, PCL_MIX_PROBLEM_SIZE, "line %u: %.200s", line, text);
    return false;
}

static bool s_read_weight(const char *text, uint32_t *out_weight)
{
    char *end = NULL;
    unsigned long value = isdigit((unsigned char)text[0]) ? strtoul(text, &end, 10) : 0;
    if (end == NULL || *end != '\0' || value == 0 || value > PCL_MIX_WEIGHT_MAX) {
        return false;
    }
    *out_weight = (uint32_t)value;
    return true;
}

/* line: behind the `-- @`, without white space at its end. */
static bool s_read_directive(const reader *self, const char *line, notes *out)
{
    const char *blank = strpbrk(line, " \t");
    const char *value = blank != NULL ? blank + strspn(blank, " \t") : "";
    if (strncmp(line, "weight ", 7) == 0) {
        return s_read_weight(value, &out->weight) ||
               s_wrong(self, "@weight must be a whole number from 1 to 1000000");
    }
    if (strncmp(line, "name ", 5) == 0) {
        (void)snprintf(out->name, sizeof out->name, "%.31s", value);
        return true;
    }
    if (strncmp(line, "param ", 6) == 0) {
        if (out->rule_count == RULES_MAX) {
            return s_wrong(self, "a statement has more than 64 values");
        }
        return pcl_value_parse(value, &out->rules[out->rule_count++]) ||
               s_wrong(self, "@param " PCL_VALUE_RULE);
    }
    return s_wrong(self, "there are @weight NUMBER, @name TEXT and @param RULE");
}

/* Reads the lines that are for us, of what stands between two statements: comments and white
 * space, of which `;` may be the first octet. */
static bool s_read_notes(reader *self, size_t start, size_t end, notes *out)
{
    *out = (notes){.weight = 0};
    while (start < end) {
        const uint8_t *data = self->text.data + start;
        const uint8_t *stop = memchr(data, '\n', end - start);
        size_t size = stop != NULL ? (size_t)(stop - data) : end - start;
        size_t indent = 0;
        while (indent < size && (isspace(data[indent]) || data[indent] == ';')) {
            indent++;
        }
        size_t last = size;
        while (last > indent && isspace(data[last - 1])) {
            last--;
        }
        self->offset = start + indent;
        if (last - indent > 4 && memcmp(data + indent, "-- @", 4) == 0) {
            char line[DIRECTIVE_SIZE];
            (void)snprintf(line, sizeof line, "%.*s", (int)(last - indent - 4),
                           (const char *)data + indent + 4);
            if (!s_read_directive(self, line, out)) {
                return false;
            }
        }
        start += size + 1;
    }
    return true;
}

static bool s_is(pcl_bytes statement, const char *word)
{
    return statement.size == strlen(word) &&
           strncasecmp((const char *)statement.data, word, statement.size) == 0;
}

static bool s_add(reader *self, pcl_bytes statement, const notes *said)
{
    char problem[PCL_MIX_PROBLEM_SIZE];
    uint32_t weight = said->weight > 0 ? said->weight : 1;
    bool begins = s_is(statement, "BEGIN") || s_is(statement, "START TRANSACTION");
    if (s_is(statement, "COMMIT")) {
        bool good = self->open && self->mix->parts[self->mix->part_count - 1].statement_count > 0;
        self->open = false;
        return good || s_wrong(self, "COMMIT without BEGIN, or without statements before it");
    }
    if (self->open && (begins || said->weight > 0 || said->name[0] != '\0')) {
        return s_wrong(self, "COMMIT is missing: @weight and @name stand before BEGIN");
    }
    if (begins && said->rule_count > 0) {
        return s_wrong(self, "BEGIN has no values: @param stands before the statement");
    }
    if (!self->open && !pcl_mix_add_part(self->mix, said->name, weight, begins, problem)) {
        return s_wrong(self, problem);
    }
    self->open = self->open || begins;
    return begins ||
           pcl_mix_add_statement(self->mix, statement, said->rules, said->rule_count, problem) ||
           s_wrong(self, problem);
}

bool pcl_mix_add_file(pcl_mix *self, pcl_bytes text, char *problem)
{
    reader reads = {.mix = self, .text = text, .problem = problem};
    pcl_splitter splitter = pcl_splitter_of(text);
    pcl_bytes statement;
    notes said;
    size_t end = 0; /* of the statement before */
    while (pcl_splitter_next(&splitter, &statement)) {
        size_t start = (size_t)(statement.data - text.data);
        if (!s_read_notes(&reads, end, start, &said)) {
            return false;
        }
        reads.offset = start;
        if (!s_add(&reads, statement, &said)) {
            return false;
        }
        end = start + statement.size;
    }
    if (!s_read_notes(&reads, end, text.size, &said)) {
        return false;
    }
    if (said.weight > 0 || said.name[0] != '\0' || said.rule_count > 0) {
        return s_wrong(&reads, "no statement follows");
    }
    if (reads.open) {
        return s_wrong(&reads, "COMMIT is missing");
    }
    return self->part_count > 0 || s_wrong(&reads, "there is no statement");
}
