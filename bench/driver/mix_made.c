/* The workloads on a table of our own.  The transaction is that of sysbench's oltp_read_write, with
 * its numbers of statements as defaults of the command line. */
#include "bench/driver/mix.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SQL_SIZE    256u
#define PAD_SIZE    100u
#define SHARES_SIZE 256u

typedef struct maker {
    pcl_mix *mix;
    const pcl_mix_shape *shape;
    char *problem;
} maker;

static pcl_value_rule s_key(const pcl_mix_shape *shape)
{
    return (pcl_value_rule){.kind = PCL_VALUE_INT, .int_min = 1, .int_max = shape->rows};
}

static const pcl_value_rule s_pad = {.kind = PCL_VALUE_TEXT, .size = PAD_SIZE};

/* format: with @ where the table's name goes. */
static bool s_add(const maker *self, const char *format, const pcl_value_rule *rules,
                  uint32_t count)
{
    char sql[SQL_SIZE];
    const char *hole = strchr(format, '@');
    (void)snprintf(sql, sizeof sql, "%.*s%.64s%s", (int)(hole - format), format, self->shape->table,
                   hole + 1);
    return pcl_mix_add_statement(self->mix, pcl_bytes_text(sql), rules, count, self->problem);
}

static bool s_point(const maker *self)
{
    pcl_value_rule key = s_key(self->shape);
    return s_add(self, "SELECT pad FROM @ WHERE id = ?", &key, 1);
}

static bool s_range(const maker *self)
{
    pcl_value_rule key = s_key(self->shape);
    char format[SQL_SIZE];
    (void)snprintf(format, sizeof format, "SELECT pad FROM @ WHERE id >= ? ORDER BY id LIMIT %u",
                   self->shape->span);
    return s_add(self, format, &key, 1);
}

static bool s_update(const maker *self)
{
    pcl_value_rule key = s_key(self->shape);
    return s_add(self, "UPDATE @ SET k = k + 1 WHERE id = ?", &key, 1);
}

static bool s_insert(const maker *self)
{
    pcl_value_rule rules[] = {s_key(self->shape), s_pad};
    return s_add(self, "INSERT INTO @ (k, pad) VALUES (?, ?)", rules, 2);
}

/* From a key that is drawn anew to one that is span - 1 further. */
static bool s_between(const maker *self, uint32_t *ints, const char *start, const char *end)
{
    pcl_value_rule rules[] = {s_key(self->shape), {.kind = PCL_VALUE_SAME, .size = ++*ints}};
    char format[SQL_SIZE];
    (void)snprintf(format, sizeof format, "SELECT %s FROM @ WHERE id BETWEEN ? AND ? + %u%s", start,
                   self->shape->span - 1, end);
    return s_add(self, format, rules, 2);
}

static bool s_replace(const maker *self, uint32_t *ints)
{
    pcl_value_rule key = s_key(self->shape);
    pcl_value_rule again = {.kind = PCL_VALUE_SAME, .size = ++*ints};
    pcl_value_rule row[] = {again, key, s_pad};
    ++*ints; /* the value of k */
    return s_add(self, "DELETE FROM @ WHERE id = ?", &key, 1) &&
           s_add(self, "INSERT INTO @ (id, k, pad) VALUES (?, ?, ?)", row, 3);
}

static bool s_writes(const maker *self, uint32_t *ints)
{
    pcl_value_rule rules[] = {s_pad, s_key(self->shape)};
    *ints += 2; /* the keys of the two updates */
    return s_update(self) && s_add(self, "UPDATE @ SET pad = ? WHERE id = ?", rules, 2) &&
           s_replace(self, ints);
}

/* In sysbench's order: locks are taken last, and held shortly. */
static bool s_txn(const maker *self)
{
    const pcl_mix_shape *shape = self->shape;
    uint32_t ints = shape->points;
    bool good = true;
    if (shape->points + shape->ranges * 4 + shape->writes * 4 > PCL_VALUE_SAME_MAX) {
        (void)snprintf(self->problem, PCL_MIX_PROBLEM_SIZE,
                       "points and four times ranges and writes may be at most 64 together");
        return false;
    }
    if (shape->points + shape->ranges + shape->writes == 0) {
        (void)snprintf(self->problem, PCL_MIX_PROBLEM_SIZE, "the transaction has no statement");
        return false;
    }
    for (uint32_t index = 0; index < shape->points && good; index++) {
        good = s_point(self);
    }
    for (uint32_t index = 0; index < shape->ranges && good; index++) {
        good = s_between(self, &ints, "pad", "") && s_between(self, &ints, "SUM(k)", "") &&
               s_between(self, &ints, "pad", " ORDER BY pad") &&
               s_between(self, &ints, "DISTINCT pad", " ORDER BY pad");
    }
    for (uint32_t index = 0; index < shape->writes && good; index++) {
        good = s_writes(self, &ints);
    }
    return good;
}

bool pcl_mix_add_made(pcl_mix *self, const char *kind, uint32_t weight, const pcl_mix_shape *shape,
                      char *problem)
{
    static const struct {
        const char *kind;
        bool (*add)(const maker *self);
    } kinds[] = {
        {"point", s_point},   {"range", s_range}, {"update", s_update},
        {"insert", s_insert}, {"txn", s_txn},
    };
    maker makes = {.mix = self, .shape = shape, .problem = problem};
    for (size_t index = 0; index < sizeof kinds / sizeof kinds[0]; index++) {
        if (strcmp(kinds[index].kind, kind) == 0) {
            return pcl_mix_add_part(self, kind, weight, kinds[index].add == s_txn, problem) &&
                   kinds[index].add(&makes);
        }
    }
    (void)snprintf(problem, PCL_MIX_PROBLEM_SIZE,
                   "\"%.60s\" is none of point, range, update, insert, txn", kind);
    return false;
}

bool pcl_mix_add_shares(pcl_mix *self, const char *shares, const pcl_mix_shape *shape,
                        char *problem)
{
    char text[SHARES_SIZE];
    if (strlen(shares) >= sizeof text) {
        (void)snprintf(problem, PCL_MIX_PROBLEM_SIZE, "it is too long");
        return false;
    }
    memcpy(text, shares, strlen(shares) + 1);
    char *next = text;
    while (next != NULL) {
        char *kind = next;
        next = strchr(kind, ',');
        if (next != NULL) {
            *next++ = '\0';
        }
        char *colon = strchr(kind, ':');
        char *end = NULL;
        unsigned long weight = colon != NULL ? strtoul(colon + 1, &end, 10) : 0;
        if (colon == NULL || *end != '\0' || weight == 0 || weight > PCL_MIX_WEIGHT_MAX) {
            (void)snprintf(problem, PCL_MIX_PROBLEM_SIZE,
                           "\"%.60s\" must be as point:90, with a whole number from 1 to 1000000",
                           kind);
            return false;
        }
        *colon = '\0';
        if (!pcl_mix_add_made(self, kind, (uint32_t)weight, shape, problem)) {
            return false;
        }
    }
    return true;
}
