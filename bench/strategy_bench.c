/* strategy_bench.c - what a choice costs, in microseconds of one core.
 *
 * usage: strategy_bench [CHOICES]
 * Each strategy among 3, 10, 100 and 200 nodes that are busy, differ in speed and
 * reported a moment ago, as a proxy under load sees them: nothing is so old or
 * so empty that a rule gets away without its arithmetic.
 */
#include "common/clock.h"
#include "common/limits.h"
#include "proxy/strategy.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { CHOICES_DEFAULT = 200000 };

static const uint64_t START_US = 1000 * PCL_US_PER_S;

typedef struct fleet {
    pcl_candidate nodes[PCL_NODES_MAX];
    const pcl_candidate *views[PCL_NODES_MAX];
    uint32_t count;
    pcl_rng rng;
} fleet;

/* Processor time: a busy machine does not change it much. */
static double s_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void s_fill(fleet *self, uint32_t count)
{
    *self = (fleet){.count = count, .rng = pcl_rng_from_seed(1)};
    for (uint32_t index = 0; index < count; index++) {
        uint32_t own = 1 + index % 5;
        self->nodes[index] = (pcl_candidate){
            .index = index,
            .role = index == 0 ? PCL_NODE_SOURCE : PCL_NODE_REPLICA,
            .own = own,
            .sent_sum_us = own * (START_US - 4000),
            .rtt_us = 200 + (float)index * 40,
            .rtt_at_us = START_US - 2000,
            .latency_us = 6000,
            .peak_us = 9000,
            .peak_at_us = START_US - 2000,
            .answer_us = 6000,
            .execution_us = 5000,
            .reported_us = START_US - 2000,
            .sampled_us = START_US - 2000,
            .rif = 12,
            .foreign = 7,
            .running = 8,
            .queued = 4,
            .workers = 8,
            .lag_ms = 100,
            .service_mean_us = 5000 + (float)(index % 7) * 1000,
            .service_count = 300,
            .service_variance = 2.5e7f,
            .service_fast_us = 9000,
            .service_fast_count = 20,
        };
        self->views[index] = &self->nodes[index];
    }
}

static volatile uint64_t s_sum; /* keeps the work from being optimised away */

static double s_cost_us(fleet *self, pcl_strategy_kind kind, uint32_t choices)
{
    pcl_strategy_state state = {0};
    double began_us = s_now_us();
    for (uint32_t choice = 0; choice < choices; choice++) {
        pcl_choice_input input = {.candidates = self->views,
                                  .count = self->count,
                                  .now_us = START_US + choice % 512,
                                  .lag_ms_max = 10000,
                                  .rng = &self->rng};
        s_sum += pcl_strategy_choose(kind, &state, &input);
        uint32_t probe = pcl_strategy_probe(kind, &state, &input);
        if (probe != PCL_CHOICE_NONE) {
            pcl_strategy_probed(&state, self->views[probe], input.now_us);
        }
    }
    return (s_now_us() - began_us) / choices;
}

int main(int argc, char **argv)
{
    static const uint32_t COUNTS[] = {3, 10, 100, 200};
    static fleet nodes;
    long choices = argc > 1 ? strtol(argv[1], NULL, 10) : CHOICES_DEFAULT;
    if (choices < 1 || choices > 100000000) {
        fprintf(stderr, "strategy_bench: CHOICES must be from 1 to 100000000\n");
        return 64;
    }
    printf("%-16s %10s %10s %10s %10s  us a choice\n", "nodes", "3", "10", "100", "200");
    for (int kind = PCL_STRATEGY_DIRECT; kind < PCL_STRATEGY_COUNT; kind++) {
        printf("%-16s", pcl_strategy_text((pcl_strategy_kind)kind));
        for (size_t size = 0; size < sizeof COUNTS / sizeof COUNTS[0]; size++) {
            s_fill(&nodes, COUNTS[size]);
            printf(" %10.3f", s_cost_us(&nodes, (pcl_strategy_kind)kind, (uint32_t)choices));
        }
        printf("\n");
    }
    return 0;
}
