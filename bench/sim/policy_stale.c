/* policy_stale.c - baselines that go by what was last reported and nothing
 * else, and the oracle, which knows everything but the size of each query. */
#include "bench/sim/dice.h"
#include "bench/sim/policy.h"

#include <math.h>
#include <stddef.h>

/* The least of scores that are given one after another; ties uniformly. */
typedef struct least {
    double score;
    uint32_t position, ties;
} least;

static void s_note(least *self, double score, uint32_t position, pcl_rng *rng)
{
    if (self->ties == 0 || score < self->score) {
        *self = (least){.score = score, .position = position, .ties = 1};
    } else if (score <= self->score && pcl_rng_below(rng, ++self->ties) == 0) {
        self->position = position;
    }
}

static uint32_t s_node(const sim_question *question, uint32_t position)
{
    return question->input->candidates[position]->index;
}

static double s_speed(const sim_question *question, uint32_t position)
{
    return question->servers[s_node(question, position)].own_speed;
}

static uint32_t s_weighted_random(const sim_question *question)
{
    double sum = 0;
    for (uint32_t position = 0; position < question->input->count; position++) {
        sum += s_speed(question, position);
    }
    double drawn = sim_between(question->input->rng, 0, sum);
    uint32_t position = 0;
    while (position + 1 < question->input->count) {
        drawn -= s_speed(question, position);
        if (drawn < 0) {
            break;
        }
        position++;
    }
    return position;
}

static uint32_t s_shortest_queue(const sim_question *question)
{
    least best = {0};
    for (uint32_t position = 0; position < question->input->count; position++) {
        s_note(&best, sim_known_rif(question, s_node(question, position)), position,
               question->input->rng);
    }
    return best.position;
}

static double s_delay(const sim_question *question, uint32_t position)
{
    double queue = sim_known_rif(question, s_node(question, position));
    return (queue + 1) / s_speed(question, position);
}

static uint32_t s_shortest_delay(const sim_question *question)
{
    least best = {0};
    for (uint32_t position = 0; position < question->input->count; position++) {
        s_note(&best, s_delay(question, position), position, question->input->rng);
    }
    return best.position;
}

/* count different positions. */
static uint32_t s_sample(const sim_question *question, uint32_t *positions, uint32_t count)
{
    uint32_t among = question->input->count;
    uint32_t drawn = 0;
    while (drawn < count && drawn < among) {
        uint32_t position = pcl_rng_below(question->input->rng, among);
        bool known = false;
        for (uint32_t index = 0; index < drawn; index++) {
            known = known || positions[index] == position;
        }
        if (!known) {
            positions[drawn++] = position;
        }
    }
    return drawn;
}

static uint32_t s_two_choices(const sim_question *question)
{
    uint32_t positions[2];
    uint32_t count = s_sample(question, positions, 2);
    least best = {0};
    for (uint32_t index = 0; index < count; index++) {
        s_note(&best, sim_known_rif(question, s_node(question, positions[index])), positions[index],
               question->input->rng);
    }
    return best.position;
}

/* Three synchronous probes, the true speeds. */
static uint32_t s_three_probes(const sim_question *question)
{
    uint32_t positions[3];
    uint32_t count = s_sample(question, positions, 3);
    least best = {0};
    for (uint32_t index = 0; index < count; index++) {
        const sim_server *server = &question->servers[s_node(question, positions[index])];
        double delay = ((double)server->rif + 1) / server->own_speed;
        s_note(&best, delay, positions[index], question->input->rng);
    }
    return best.position;
}

/* Shortest expected delay with the truth of speeds, queues and what is on its
 * way.  It cannot tell how big a query is, nor what will happen next. */
static uint32_t s_oracle(const sim_question *question)
{
    least best = {0};
    double work_us = question->scenario->work.mean_ms * 1e3;
    for (uint32_t position = 0; position < question->input->count; position++) {
        const sim_server *server = &question->servers[s_node(question, position)];
        double speed = server->failing > 0 ? 0 : sim_server_speed(server, question->class_index);
        double workers = server->workers;
        double there = server->expected;
        double wait = fmax(0, (there + 1 - workers) / workers);
        double cost = speed > 0 ? work_us / speed * (1 + wait + 1e-3 * there / workers) : 1e15;
        s_note(&best, cost + (speed > 0 ? 0 : there), position, question->input->rng);
    }
    return best.position;
}

static const sim_policy ORACLE = {.name = "oracle",
                                  .help = "knows speeds, queues, messages on their way",
                                  .choose = s_oracle,
                                  .is_oracle = true};
static const sim_policy WEIGHTED = {
    .name = "weighted-random", .help = "by the nominal speeds", .choose = s_weighted_random};
static const sim_policy JSQ = {.name = "jsq",
                               .help = "shortest reported queue",
                               .choose = s_shortest_queue,
                               .no_piggyback = true};
static const sim_policy SED = {.name = "sed",
                               .help = "shortest reported queue over nominal speed",
                               .choose = s_shortest_delay,
                               .no_piggyback = true};
static const sim_policy P2C = {.name = "p2c",
                               .help = "shorter reported queue of two",
                               .choose = s_two_choices,
                               .no_piggyback = true};
static const sim_policy SED3 = {.name = "sed3-probe",
                                .help = "sed of three synchronous probes",
                                .choose = s_three_probes,
                                .wait_us = 500,
                                .no_piggyback = true};

const sim_policy *const SIM_POLICIES_STALE[] = {&ORACLE, &WEIGHTED, &JSQ, &SED, &P2C, &SED3, NULL};
