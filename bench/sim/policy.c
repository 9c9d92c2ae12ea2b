#include "bench/sim/policy.h"

#include <stddef.h>
#include <string.h>

static const sim_policy *s_find(const sim_policy *const *list, const char *name)
{
    for (size_t index = 0; list[index] != NULL; index++) {
        if (strcmp(list[index]->name, name) == 0) {
            return list[index];
        }
    }
    return NULL;
}

const sim_policy *sim_policy_find(const char *name)
{
    const sim_policy *const *const LISTS[] = {SIM_POLICIES_SHIPPED, SIM_POLICIES_STALE,
                                              SIM_POLICIES_LEARNING};
    for (size_t index = 0; index < sizeof LISTS / sizeof LISTS[0]; index++) {
        const sim_policy *found = s_find(LISTS[index], name);
        if (found != NULL) {
            return found;
        }
    }
    return NULL;
}

uint32_t sim_policy_choose(const sim_policy *self, const sim_question *question)
{
    if (self->choose != NULL) {
        return self->choose(question);
    }
    return pcl_strategy_choose(self->kind, &question->proxy->state, question->input);
}

uint32_t sim_policy_probe(const sim_policy *self, const sim_question *question)
{
    if (self->choose != NULL) {
        return PCL_CHOICE_NONE;
    }
    return pcl_strategy_probe(self->kind, &question->proxy->state, question->input);
}
