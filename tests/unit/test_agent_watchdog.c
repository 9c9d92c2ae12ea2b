/* The watchdog's promise: a KILL never meets the next statement.  The server is played: its KILL
 * can be slow, or never answered. */
#include "worker-agent/watchdog.h"

#include "net/time.h"
#include "tests/lib/seed.h"
#include "worker-agent/query.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define IDS_MAX 100000u

struct pcl_connection {
    uint64_t id;
};

/* The played server. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool held;    /* a KILL waits for its answer */
    bool waiting; /* one does */
    bool answers; /* else the connection is lost instead */
    uint32_t kills[IDS_MAX];
    uint32_t count;
} server = {
    .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .answers = true};

pcl_connection *pcl_connection_new(const pcl_agent_options *options, const pcl_accounts *accounts,
                                   pcl_account account, uint32_t statements_max,
                                   uint32_t read_timeout_s)
{
    (void)options;
    (void)accounts;
    (void)account;
    (void)statements_max;
    (void)read_timeout_s;
    return calloc(1, sizeof(pcl_connection));
}

void pcl_connection_destroy(pcl_connection **self_p)
{
    free(*self_p);
    *self_p = NULL;
}

bool pcl_connection_open(pcl_connection *self, pcl_sql_error *out_error)
{
    (void)self;
    (void)out_error;
    return true;
}

void pcl_connection_close(pcl_connection *self)
{
    (void)self;
}

MYSQL *pcl_connection_mysql(pcl_connection *self)
{
    (void)self;
    return NULL;
}

uint64_t pcl_connection_id(const pcl_connection *self)
{
    return self->id;
}

void pcl_connection_interrupt(pcl_connection *self)
{
    (void)self;
}

void pcl_sql_error_of(pcl_sql_error *out_error, MYSQL *mysql)
{
    (void)mysql;
    *out_error = (pcl_sql_error){.number = 2013};
}

bool pcl_query_row(MYSQL *mysql, const char *sql, pcl_row *out_row, pcl_sql_error *out_error)
{
    (void)mysql;
    (void)sql;
    (void)out_row;
    (void)out_error;
    return false; /* it does not say whether the statement is idle */
}

const char *pcl_row_text(const pcl_row *row, const char *column)
{
    (void)row;
    return column;
}

void pcl_row_free(pcl_row *row)
{
    (void)row;
}

int mysql_query(MYSQL *mysql, const char *sql)
{
    (void)mysql;
    static const char KILL[] = "KILL QUERY ";
    assert_memory_equal(sql, KILL, sizeof KILL - 1);
    uint64_t id = strtoull(sql + sizeof KILL - 1, NULL, 10);
    assert_true(id < IDS_MAX);
    (void)pthread_mutex_lock(&server.lock);
    server.waiting = true;
    (void)pthread_cond_broadcast(&server.changed);
    while (server.held) {
        (void)pthread_cond_wait(&server.changed, &server.lock);
    }
    server.waiting = false;
    server.kills[id]++;
    server.count++;
    (void)pthread_cond_broadcast(&server.changed);
    bool answers = server.answers;
    (void)pthread_mutex_unlock(&server.lock);
    return answers ? 0 : 1;
}

static void s_play(bool held, bool answers)
{
    (void)pthread_mutex_lock(&server.lock);
    server.held = held;
    server.answers = answers;
    (void)pthread_cond_broadcast(&server.changed);
    (void)pthread_mutex_unlock(&server.lock);
}

static uint32_t s_kills(uint64_t id)
{
    (void)pthread_mutex_lock(&server.lock);
    uint32_t kills = server.kills[id];
    (void)pthread_mutex_unlock(&server.lock);
    return kills;
}

static void s_wait_for_kill_under_way(void)
{
    (void)pthread_mutex_lock(&server.lock);
    while (!server.waiting) {
        (void)pthread_cond_wait(&server.changed, &server.lock);
    }
    (void)pthread_mutex_unlock(&server.lock);
}

static void s_wait_for_kills(uint64_t id, uint32_t kills)
{
    (void)pthread_mutex_lock(&server.lock);
    while (server.kills[id] < kills) {
        (void)pthread_cond_wait(&server.changed, &server.lock);
    }
    (void)pthread_mutex_unlock(&server.lock);
}

static void s_sleep_us(uint64_t us)
{
    struct timespec span = {.tv_sec = (time_t)(us / 1000000),
                            .tv_nsec = (long)(us % 1000000) * 1000};
    (void)nanosleep(&span, NULL);
}

static uint64_t s_in_ms(uint64_t ms)
{
    return pcl_now_us() + ms * 1000;
}

static void test_what_ends_in_time_is_let_alone(void **state)
{
    pcl_watchdog *watchdog = *state;
    pcl_connection connection = {.id = 1};
    atomic_bool cancelled = false;
    pcl_watchdog_arm(watchdog, 0, &connection, s_in_ms(300), &cancelled);
    assert_int_equal(pcl_watchdog_disarm(watchdog, 0), PCL_WATCHDOG_QUIET);
    pcl_watchdog_cancel(watchdog, &cancelled); /* too late, and nobody is hit */
    assert_true(cancelled);
    s_sleep_us(400000);
    assert_int_equal(s_kills(1), 0);
}

static void test_the_deadline_and_a_cancel_are_told_apart(void **state)
{
    pcl_watchdog *watchdog = *state;
    pcl_connection connections[3] = {{.id = 2}, {.id = 3}, {.id = 4}};
    atomic_bool cancelled[3] = {false, false, true};
    pcl_watchdog_arm(watchdog, 0, &connections[0], s_in_ms(10), &cancelled[0]);
    pcl_watchdog_arm(watchdog, 1, &connections[1], s_in_ms(60000), &cancelled[1]);
    pcl_watchdog_arm(watchdog, 2, &connections[2], s_in_ms(60000), &cancelled[2]);
    pcl_watchdog_cancel(watchdog, &cancelled[1]);
    for (uint32_t slot = 0; slot < 3; slot++) {
        s_wait_for_kills(2 + slot, 1);
        assert_int_equal(pcl_watchdog_disarm(watchdog, slot),
                         slot == 0 ? PCL_WATCHDOG_DEADLINE : PCL_WATCHDOG_CANCELLED);
        assert_true(pcl_watchdog_settle(watchdog, slot));
    }
}

static void test_a_kill_comes_again_until_the_statement_is_back(void **state)
{
    pcl_watchdog *watchdog = *state;
    pcl_connection connection = {.id = 5};
    uint64_t begun_us = pcl_now_us();
    pcl_watchdog_arm(watchdog, 0, &connection, 0, NULL);
    s_wait_for_kills(5, 4); /* three soon, and from then on less often */
    assert_true(pcl_now_us() - begun_us >= PCL_WATCHDOG_AGAIN_MS * UINT64_C(1000));
    assert_int_equal(pcl_watchdog_disarm(watchdog, 0), PCL_WATCHDOG_DEADLINE);
    assert_true(pcl_watchdog_settle(watchdog, 0));
    uint32_t kills = s_kills(5);
    s_sleep_us(300000);
    assert_int_equal(s_kills(5), kills);
}

typedef struct settling {
    pcl_watchdog *watchdog;
    atomic_bool over;
    bool answered;
} settling;

static void *s_settle(void *argument)
{
    settling *self = argument;
    self->answered = pcl_watchdog_settle(self->watchdog, 0);
    self->over = true;
    return NULL;
}

/* The statement ends by itself while its KILL is on the way. */
static bool s_settle_around_a_slow_kill(pcl_watchdog *watchdog, uint64_t id, bool answers)
{
    pcl_connection connection = {.id = id};
    s_play(true, answers);
    pcl_watchdog_arm(watchdog, 0, &connection, 0, NULL);
    s_wait_for_kill_under_way();
    assert_int_equal(pcl_watchdog_disarm(watchdog, 0), PCL_WATCHDOG_DEADLINE);
    settling waiter = {.watchdog = watchdog};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, s_settle, &waiter), 0);
    s_sleep_us(50000);
    assert_false(waiter.over);
    s_play(false, answers);
    (void)pthread_join(thread, NULL);
    assert_int_equal(s_kills(id), 1);
    s_play(false, true);
    return waiter.answered;
}

static void test_settle_waits_for_the_answer(void **state)
{
    assert_true(s_settle_around_a_slow_kill(*state, 6, true));
}

static void test_settle_says_when_there_is_no_answer(void **state)
{
    assert_false(s_settle_around_a_slow_kill(*state, 7, false));
    /* The doubt is of that session only. */
    pcl_connection connection = {.id = 8};
    pcl_watchdog_arm(*state, 0, &connection, 0, NULL);
    s_wait_for_kills(8, 1);
    assert_int_equal(pcl_watchdog_disarm(*state, 0), PCL_WATCHDOG_DEADLINE);
    assert_true(pcl_watchdog_settle(*state, 0));
}

/* A worker watches the session anew before it has asked what became of the KILL. */
static void test_a_kill_is_remembered_when_its_session_is_watched_again(void **state)
{
    pcl_watchdog *watchdog = *state;
    pcl_connection connection = {.id = 9};
    s_play(true, false);
    pcl_watchdog_arm(watchdog, 0, &connection, 0, NULL);
    s_wait_for_kill_under_way();
    pcl_watchdog_arm(watchdog, 0, &connection, s_in_ms(60000), NULL);
    assert_int_equal(pcl_watchdog_disarm(watchdog, 0), PCL_WATCHDOG_QUIET);
    s_play(false, false);
    assert_false(pcl_watchdog_settle(watchdog, 0));
    s_play(false, true);
    pcl_watchdog_arm(watchdog, 0, &connection, s_in_ms(60000), NULL);
    assert_int_equal(pcl_watchdog_disarm(watchdog, 0), PCL_WATCHDOG_QUIET);
    assert_false(pcl_watchdog_settle(watchdog, 0));
    assert_int_equal(s_kills(9), 1);
}

/* Many statements of several workers, each with an id of its own, ended by deadlines and cancels
 * at random moments. */
typedef struct player {
    pcl_watchdog *watchdog;
    uint32_t slot;
    pcl_rng rng;
    uint64_t first_id;
    uint32_t fired;
} player;

#define TURNS 1500u

static void *s_play_worker(void *argument)
{
    player *self = argument;
    for (uint32_t turn = 0; turn < TURNS; turn++) {
        pcl_connection connection = {.id = self->first_id + turn};
        atomic_bool cancelled = false;
        uint64_t deadline_us = pcl_now_us() + pcl_rng_below(&self->rng, 400);
        pcl_watchdog_arm(self->watchdog, self->slot, &connection, deadline_us, &cancelled);
        if (pcl_rng_below(&self->rng, 3) == 0) {
            pcl_watchdog_cancel(self->watchdog, &cancelled);
        }
        if (pcl_rng_below(&self->rng, 4) != 0) {
            s_sleep_us(pcl_rng_below(&self->rng, 300));
        }
        if (pcl_watchdog_disarm(self->watchdog, self->slot) == PCL_WATCHDOG_QUIET) {
            assert_int_equal(s_kills(connection.id), 0);
            continue;
        }
        assert_true(pcl_watchdog_settle(self->watchdog, self->slot));
        self->fired++;
        assert_true(s_kills(connection.id) > 0);
        /* From here on nothing may come: looked at when all is over. */
        (void)pthread_mutex_lock(&server.lock);
        server.kills[connection.id] = 0;
        (void)pthread_mutex_unlock(&server.lock);
    }
    return NULL;
}

static void test_no_kill_is_sent_before_arm_or_after_settle(void **state)
{
    enum { PLAYERS = 4 };
    player players[PLAYERS];
    pthread_t threads[PLAYERS];
    pcl_rng seeds = pcl_test_rng("agent_watchdog");
    for (uint32_t index = 0; index < PLAYERS; index++) {
        players[index] = (player){.watchdog = *state,
                                  .slot = index,
                                  .rng = pcl_rng_from_seed(pcl_rng_next(&seeds)),
                                  .first_id = 1000 + index * TURNS};
        assert_int_equal(pthread_create(&threads[index], NULL, s_play_worker, &players[index]), 0);
    }
    uint32_t fired = 0;
    for (uint32_t index = 0; index < PLAYERS; index++) {
        (void)pthread_join(threads[index], NULL);
        fired += players[index].fired;
    }
    s_sleep_us(300000);
    for (uint32_t id = 1000; id < 1000 + PLAYERS * TURNS; id++) {
        assert_int_equal(server.kills[id], 0);
    }
    assert_true(fired > PLAYERS * TURNS / 10 && fired < PLAYERS * TURNS);
}

static int s_setup(void **state)
{
    *state = pcl_watchdog_new(NULL, 4);
    return 0;
}

static int s_teardown(void **state)
{
    pcl_watchdog *watchdog = *state;
    pcl_watchdog_destroy(&watchdog);
    return 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, s_setup, s_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_what_ends_in_time_is_let_alone),
        TEST(test_the_deadline_and_a_cancel_are_told_apart),
        TEST(test_a_kill_comes_again_until_the_statement_is_back),
        TEST(test_settle_waits_for_the_answer),
        TEST(test_settle_says_when_there_is_no_answer),
        TEST(test_a_kill_is_remembered_when_its_session_is_watched_again),
        TEST(test_no_kill_is_sent_before_arm_or_after_settle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
