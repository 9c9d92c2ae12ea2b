#include "bench/driver/maker.h"

#include <assert.h>
#include <stdlib.h>

struct pcl_maker {
    const pcl_plan *plan;
    const char *strategy; /* borrowed from the plan; NULL: the cluster's own */
    pcl_rng rng;
    /* One a part: a statement's is used again and again, a transaction's is made anew. */
    portcullis_request *requests[PCL_MIX_PARTS_MAX];
    int64_t drawn[PCL_VALUE_SAME_MAX]; /* whole numbers of the present request */
    uint32_t drawn_count;
};

/* All but statements and values. */
static bool s_set(const pcl_maker *self, portcullis_request *request)
{
    const pcl_plan *plan = self->plan;
    if (request == NULL || !portcullis_request_set_db(request, plan->db) ||
        !portcullis_request_set_strategy(request, self->strategy)) {
        return false;
    }
    if (plan->lag_ms_max != UINT32_MAX) {
        portcullis_request_set_consistency_max_lag(request, plan->lag_ms_max);
    }
    portcullis_request_set_timeout(request, plan->timeout_ms);
    return true;
}

static bool s_make(pcl_maker *self, uint32_t index)
{
    const pcl_mix_part *part = &self->plan->mix.parts[index];
    pcl_bytes sql = pcl_mix_sql(&self->plan->mix, part->statement_first);
    portcullis_request_destroy(&self->requests[index]);
    self->requests[index] = part->transaction
                                ? portcullis_request_new_txn()
                                : portcullis_request_new_sized((const char *)sql.data, sql.size);
    return s_set(self, self->requests[index]);
}

pcl_maker *pcl_maker_new(const pcl_plan *plan, const char *strategy, uint64_t seed)
{
    pcl_maker *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    self->plan = plan;
    self->strategy = strategy;
    self->rng = pcl_rng_from_seed(seed);
    for (uint32_t index = 0; index < plan->mix.part_count && self != NULL; index++) {
        if (!s_make(self, index)) {
            pcl_maker_destroy(&self);
        }
    }
    return self;
}

void pcl_maker_destroy(pcl_maker **self_p)
{
    assert(self_p != NULL);
    pcl_maker *self = *self_p;
    if (self == NULL) {
        return;
    }
    for (uint32_t index = 0; index < PCL_MIX_PARTS_MAX; index++) {
        portcullis_request_destroy(&self->requests[index]);
    }
    free(self);
    *self_p = NULL;
}

static bool s_bind_int(pcl_maker *self, portcullis_request *request, const pcl_value_rule *rule)
{
    int64_t value = pcl_value_draw_int(rule, &self->rng);
    if (self->drawn_count < PCL_VALUE_SAME_MAX) {
        self->drawn[self->drawn_count++] = value;
    }
    return portcullis_request_add_int(request, value);
}

static bool s_bind(pcl_maker *self, portcullis_request *request, const pcl_value_rule *rule)
{
    char text[PCL_VALUE_TEXT_SIZE_MAX];
    bool good = false;
    switch (rule->kind) {
    case PCL_VALUE_INT:
        good = s_bind_int(self, request, rule);
        break;
    case PCL_VALUE_REAL:
    case PCL_VALUE_EXP:
        good = portcullis_request_add_double(request, pcl_value_draw_real(rule, &self->rng));
        break;
    case PCL_VALUE_TEXT:
        pcl_value_draw_text(rule, &self->rng, text);
        good = portcullis_request_add_text_sized(request, text, rule->size);
        break;
    case PCL_VALUE_SAME: /* the mix has seen to it that it was drawn */
        assert(rule->size <= self->drawn_count);
        good = portcullis_request_add_int(request, self->drawn[rule->size - 1]);
        break;
    }
    return good;
}

const portcullis_request *pcl_maker_next(pcl_maker *self, uint32_t *out_part)
{
    const pcl_mix *mix = &self->plan->mix;
    uint32_t index = pcl_mix_pick(mix, &self->rng);
    const pcl_mix_part *part = &mix->parts[index];
    *out_part = index;
    bool good = !part->transaction || s_make(self, index);
    portcullis_request *request = self->requests[index];
    self->drawn_count = 0;
    if (good && !part->transaction) {
        portcullis_request_clear_params(request);
    }
    for (uint32_t offset = 0; offset < part->statement_count && good; offset++) {
        const pcl_mix_statement *one = &mix->statements[part->statement_first + offset];
        pcl_bytes sql = pcl_mix_sql(mix, part->statement_first + offset);
        good = !part->transaction ||
               portcullis_request_add_statement_sized(request, (const char *)sql.data, sql.size);
        for (uint32_t param = 0; param < one->param_count && good; param++) {
            good = s_bind(self, request, &mix->params[one->param_first + param]);
        }
    }
    return good ? request : NULL;
}
