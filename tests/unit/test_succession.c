/* The rules, and then a whole cluster of them with messages that are lost, doubled and late, and
 * nodes that die at any point: never are two databases writable, and nothing that was acknowledged
 * is missing at the next source. */
#include "tests/lib/seed.h"
#include "worker-agent/succession.h"

#include <stdio.h>
#include <string.h>

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { NODES = 3, LETTERS = 64, TURNS = 60000, RUNS = 20 };

static pcl_topology_place s_place(uint32_t index)
{
    pcl_topology_place place = {.port = (uint16_t)(3306 + index)};
    (void)snprintf(place.name, sizeof place.name, "node%u", index + 1);
    (void)snprintf(place.host, sizeof place.host, "10.0.0.%u", index + 1);
    return place;
}

static pcl_succession s_rules(uint32_t index)
{
    return (pcl_succession){
        .own = s_place(index), .configured_source = index == 0, .configured = s_place(0)};
}

static pcl_topology s_proposal(uint64_t term, uint32_t successor)
{
    return (pcl_topology){
        .term = term, .stage = PCL_TOPOLOGY_PROPOSED, .source = s_place(successor)};
}

/* --- The rules ----------------------------------------------------------------- */

static void test_without_a_record_the_configuration_says_it(void **state)
{
    (void)state;
    pcl_succession source = s_rules(0);
    pcl_succession replica = s_rules(1);
    assert_int_equal(pcl_succession_duty_of(&source), PCL_DUTY_SOURCE);
    assert_int_equal(pcl_succession_duty_of(&replica), PCL_DUTY_FOLLOW);
    assert_string_equal(pcl_succession_followed(&replica)->host, "10.0.0.1");
}

static void test_a_proposal_is_taken_by_a_source_that_wants(void **state)
{
    (void)state;
    pcl_topology record;
    pcl_topology proposal = s_proposal(0, 1);
    pcl_succession source = s_rules(0);
    assert_false(pcl_succession_hear(&source, &proposal, 7, 1, &record));
    assert_int_equal(source.phase, PCL_SUCCESSION_IDLE);
    source.wants = true;
    proposal.term = 1; /* of another term */
    assert_false(pcl_succession_hear(&source, &proposal, 7, 1, &record));
    assert_int_equal(source.phase, PCL_SUCCESSION_IDLE);
    proposal = s_proposal(0, 0); /* itself */
    assert_false(pcl_succession_hear(&source, &proposal, 7, 1, &record));
    assert_int_equal(source.phase, PCL_SUCCESSION_IDLE);
    proposal = s_proposal(0, 1);
    assert_false(pcl_succession_hear(&source, &proposal, 7, 1, &record));
    assert_int_equal(source.phase, PCL_SUCCESSION_CLOSING);
    proposal = s_proposal(0, 2); /* the first counts */
    assert_false(pcl_succession_hear(&source, &proposal, 8, 2, &record));
    assert_string_equal(source.plan.source.name, "node2");
    assert_int_equal(source.plan.attempt, 7);
    pcl_succession_give_up(&source, 10);
    assert_false(pcl_succession_hear(&source, &proposal, 9, 11, &record));
    assert_int_equal(source.phase, PCL_SUCCESSION_IDLE);
    assert_false(pcl_succession_hear(&source, &proposal, 9, 10 + PCL_SUCCESSION_REST_US, &record));
    assert_int_equal(source.phase, PCL_SUCCESSION_CLOSING);
}

static void test_what_fails_again_and_again_is_tried_less_and_less(void **state)
{
    (void)state;
    static const uint64_t FACTORS[] = {1, 2, 4, 8, 8};
    pcl_topology record;
    pcl_topology proposal = s_proposal(0, 1);
    pcl_succession source = s_rules(0);
    uint64_t now_us = 1;
    source.wants = true;
    for (size_t index = 0; index < sizeof FACTORS / sizeof FACTORS[0]; index++) {
        assert_false(pcl_succession_hear(&source, &proposal, 7, now_us, &record));
        assert_int_equal(source.phase, PCL_SUCCESSION_CLOSING);
        pcl_succession_give_up(&source, now_us);
        now_us += FACTORS[index] * PCL_SUCCESSION_REST_US;
        assert_false(pcl_succession_hear(&source, &proposal, 7, now_us - 1, &record));
        assert_int_equal(source.phase, PCL_SUCCESSION_IDLE);
    }
}

static void test_who_cannot_take_over_says_so(void **state)
{
    (void)state;
    pcl_succession replica = s_rules(1);
    assert_false(pcl_succession_message(&replica, 1).wants);
    replica.unfit = true;
    assert_true(pcl_succession_message(&replica, 1).wants);
}

/* As where the database is gone, so that nobody can open it again, or the source says no more. */
static void test_what_is_late_is_not_told(void **state)
{
    (void)state;
    pcl_topology record;
    pcl_topology proposal = s_proposal(0, 1);
    pcl_succession source = s_rules(0);
    pcl_succession successor = s_rules(1);
    source.wants = true;
    (void)!pcl_succession_hear(&source, &proposal, 7, 1, &record);
    pcl_succession_fenced(&source, "0-1-5", 2);
    pcl_topology asks = pcl_succession_message(&source, 1 + PCL_SUCCESSION_WAIT_US);
    assert_int_equal(asks.stage, PCL_TOPOLOGY_FENCED);
    assert_int_equal(pcl_succession_message(&source, 2 + PCL_SUCCESSION_WAIT_US).stage,
                     PCL_TOPOLOGY_NONE);
    (void)!pcl_succession_hear(&successor, &asks, 0, 3, &record);
    pcl_succession_reached(&successor);
    assert_true(pcl_succession_message(&successor, 4).ready);
    pcl_topology late = pcl_succession_message(&successor, 3 + PCL_SUCCESSION_ASKED_US);
    assert_int_equal(late.stage, PCL_TOPOLOGY_NONE);
    assert_false(late.ready);
}

static void test_only_the_answer_to_this_attempt_counts(void **state)
{
    (void)state;
    pcl_topology record;
    pcl_topology proposal = s_proposal(0, 1);
    pcl_succession source = s_rules(0);
    source.wants = true;
    (void)!pcl_succession_hear(&source, &proposal, 7, 1, &record);
    pcl_succession_fenced(&source, "0-1-5", 2);
    assert_false(pcl_succession_decision(&source, &record));
    pcl_topology answer = pcl_succession_message(&source, 3);
    assert_int_equal(answer.stage, PCL_TOPOLOGY_FENCED);
    answer.ready = true;
    answer.attempt = 6;
    assert_false(pcl_succession_hear(&source, &answer, 0, 3, &record));
    assert_false(pcl_succession_decision(&source, &record));
    answer.attempt = 7;
    assert_false(pcl_succession_hear(&source, &answer, 0, 3, &record));
    assert_true(pcl_succession_decision(&source, &record));
    assert_int_equal(record.stage, PCL_TOPOLOGY_DECIDED);
    assert_int_equal(record.term, 1);
    assert_int_equal(pcl_succession_duty_of(&source), PCL_DUTY_SOURCE); /* it stands nowhere yet */
    pcl_succession_stands(&source, &record);
    assert_int_equal(pcl_succession_duty_of(&source), PCL_DUTY_CLOSED);
}

static void test_others_than_the_successor_wait_until_it_is_open(void **state)
{
    (void)state;
    pcl_topology record;
    pcl_succession other = s_rules(2);
    pcl_topology heard = {.term = 1,
                          .stage = PCL_TOPOLOGY_DECIDED,
                          .source = s_place(1),
                          .from = s_place(0),
                          .position = "0-1-5"};
    assert_false(pcl_succession_hear(&other, &heard, 0, 1, &record));
    heard.stage = PCL_TOPOLOGY_OPEN;
    assert_true(pcl_succession_hear(&other, &heard, 0, 1, &record));
    pcl_succession_stands(&other, &record);
    assert_string_equal(pcl_succession_followed(&other)->name, "node2");
    assert_false(pcl_succession_hear(&other, &heard, 0, 1, &record)); /* said twice */
}

static void test_nobody_becomes_the_source_by_hearsay(void **state)
{
    (void)state;
    pcl_topology record;
    pcl_succession node = s_rules(1);
    pcl_topology heard = {.term = 1,
                          .stage = PCL_TOPOLOGY_OPEN,
                          .source = s_place(1),
                          .from = s_place(0),
                          .position = "0-1-5"};
    assert_false(pcl_succession_hear(&node, &heard, 0, 1, &record));
    assert_int_equal(pcl_succession_duty_of(&node), PCL_DUTY_FOLLOW);
}

static void test_a_source_whose_disk_was_lost_closes(void **state)
{
    (void)state;
    pcl_topology record;
    pcl_succession source = s_rules(0);
    pcl_topology heard = {.term = 4,
                          .stage = PCL_TOPOLOGY_DECIDED,
                          .source = s_place(2),
                          .from = s_place(1),
                          .position = "0-1-5"};
    assert_true(pcl_succession_hear(&source, &heard, 0, 1, &record));
    pcl_succession_stands(&source, &record);
    assert_int_equal(pcl_succession_duty_of(&source), PCL_DUTY_CLOSED);
}

/* --- A cluster ------------------------------------------------------------------ */

typedef struct node {
    pcl_succession rules;
    pcl_topology disk;
    bool writable;
    uint64_t written; /* the last write that it has */
} node;

typedef struct cluster {
    node nodes[NODES];
    pcl_topology letters[LETTERS]; /* anybody may get any of them, any number of times */
    uint32_t letter_count;
    uint64_t acknowledged, now_us, attempt, opened;
    pcl_rng rng;
} cluster;

static uint32_t s_draw(cluster *self, uint32_t limit)
{
    return (uint32_t)(pcl_rng_next(&self->rng) % limit);
}

static void s_post(cluster *self, const pcl_topology *letter)
{
    uint32_t index = self->letter_count < LETTERS ? self->letter_count++ : s_draw(self, LETTERS);
    self->letters[index] = *letter;
}

static void s_commit(node *one, const pcl_topology *record)
{
    one->disk = *record;
    pcl_succession_stands(&one->rules, record);
    pcl_succession_duty duty = pcl_succession_duty_of(&one->rules);
    one->writable = one->writable && duty == PCL_DUTY_SOURCE;
}

static void s_deliver(cluster *self, node *one)
{
    pcl_topology record;
    if (self->letter_count > 0 &&
        pcl_succession_hear(&one->rules, &self->letters[s_draw(self, self->letter_count)],
                            ++self->attempt, self->now_us, &record)) {
        s_commit(one, &record);
    }
}

static uint64_t s_number(const char *position)
{
    return strtoull(position, NULL, 10);
}

/* What the observer's thread does, one step of it. */
static void s_act(cluster *self, node *one)
{
    pcl_topology record;
    char position[24];
    pcl_succession *rules = &one->rules;
    bool ours = rules->phase == PCL_SUCCESSION_CLOSING || rules->phase == PCL_SUCCESSION_FENCED;
    (void)snprintf(position, sizeof position, "%" PRIu64, one->written);
    if (pcl_succession_is_late(rules, self->now_us)) {
        one->writable = one->writable || ours;
        pcl_succession_give_up(rules, self->now_us);
    } else if (pcl_succession_duty_of(rules) == PCL_DUTY_TAKE_OVER) {
        if (s_number(rules->last.position) == one->written) {
            record = pcl_succession_opening(rules);
            s_commit(one, &record);
        }
    } else if (rules->phase == PCL_SUCCESSION_CLOSING) {
        one->writable = false;
        pcl_succession_fenced(rules, position, self->now_us);
    } else if (rules->phase == PCL_SUCCESSION_ASKED &&
               s_number(rules->plan.position) == one->written) {
        pcl_succession_reached(rules);
    } else if (pcl_succession_decision(rules, &record)) {
        assert_true(s_number(record.position) == one->written);
        s_commit(one, &record);
    } else if (rules->phase == PCL_SUCCESSION_IDLE &&
               pcl_succession_duty_of(rules) == PCL_DUTY_SOURCE && !one->writable) {
        assert_true(one->written >= self->acknowledged); /* nothing acknowledged is missing */
        one->writable = true;
        self->opened++;
    }
}

/* The agent, and its database, which comes back closed. */
static void s_restart(node *one, uint32_t index)
{
    bool wants = one->rules.wants;
    one->rules = s_rules(index);
    one->rules.last = one->disk;
    one->rules.wants = wants;
    one->writable = false;
}

/* A replica gets one more write of whom it follows. */
static void s_replicate(cluster *self, node *one)
{
    pcl_succession_duty duty = pcl_succession_duty_of(&one->rules);
    if (duty != PCL_DUTY_FOLLOW && duty != PCL_DUTY_TAKE_OVER) {
        return;
    }
    const pcl_topology_place *followed = pcl_succession_followed(&one->rules);
    for (uint32_t index = 0; index < NODES; index++) {
        uint64_t there = self->nodes[index].written;
        if (followed->port == self->nodes[index].rules.own.port && there > one->written) {
            one->written++;
        }
    }
}

static void s_turn(cluster *self)
{
    uint32_t index = s_draw(self, NODES);
    node *one = &self->nodes[index];
    pcl_topology letter;
    self->now_us += s_draw(self, 50000);
    switch (s_draw(self, 40)) {
    case 0:
        s_restart(one, index);
        break;
    case 1:
        one->rules.wants = !one->rules.wants;
        break;
    case 2:
        letter = s_proposal(one->rules.last.term, (index + 1 + s_draw(self, NODES - 1)) % NODES);
        s_post(self, &letter);
        break;
    case 3:
    case 4:
    case 5:
        if (one->writable) {
            self->acknowledged = ++one->written;
        }
        break;
    case 6:
        self->letter_count = 0; /* all proxies forget */
        break;
    default:
        if (s_draw(self, 3) == 0) {
            letter = pcl_succession_message(&one->rules, self->now_us);
            s_post(self, &letter);
        }
        s_deliver(self, one);
        s_replicate(self, one);
        s_act(self, one);
        break;
    }
    uint32_t writable = 0;
    for (index = 0; index < NODES; index++) {
        writable += self->nodes[index].writable ? 1 : 0;
    }
    assert_true(writable <= 1);
}

static void test_never_two_sources_and_nothing_lost(void **state)
{
    (void)state;
    pcl_rng rng = pcl_test_rng("succession");
    uint64_t opened = 0;
    uint64_t terms = 0;
    for (uint32_t run = 0; run < RUNS; run++) {
        cluster self = {.rng = pcl_rng_from_seed(pcl_rng_next(&rng)), .now_us = 1};
        for (uint32_t index = 0; index < NODES; index++) {
            self.nodes[index].rules = s_rules(index);
        }
        for (uint32_t turn = 0; turn < TURNS; turn++) {
            s_turn(&self);
        }
        opened += self.opened;
        for (uint32_t index = 0; index < NODES; index++) {
            uint64_t term = self.nodes[index].disk.term;
            terms = term > terms ? term : terms;
        }
    }
    print_message("opened %" PRIu64 " times, at most term %" PRIu64 "\n", opened, terms);
    assert_true(opened > RUNS && terms > 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_a_record_the_configuration_says_it),
        cmocka_unit_test(test_a_proposal_is_taken_by_a_source_that_wants),
        cmocka_unit_test(test_what_fails_again_and_again_is_tried_less_and_less),
        cmocka_unit_test(test_who_cannot_take_over_says_so),
        cmocka_unit_test(test_what_is_late_is_not_told),
        cmocka_unit_test(test_only_the_answer_to_this_attempt_counts),
        cmocka_unit_test(test_others_than_the_successor_wait_until_it_is_open),
        cmocka_unit_test(test_nobody_becomes_the_source_by_hearsay),
        cmocka_unit_test(test_a_source_whose_disk_was_lost_closes),
        cmocka_unit_test(test_never_two_sources_and_nothing_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
