/* causal_check.c - sessions that write and read registers, and see to it that none of them reads
 * the past.  What test_causal.py starts, several at a time.
 *
 * A register is a row of demo.causal: `n`, a number that its one session lets grow, and `seen`,
 * what that session had then seen of the next register's n.  A session keeps a floor for each
 * register, which no read of it may be below:
 *
 *   own       what its own writes, as acknowledged, have put there
 *   seen      what an earlier read of it has shown
 *   implied   what a read of the register before it has said of it: who has seen an effect sees its
 *             causes, too
 *
 * Reads of one batch are in flight together, and are held to the floors of the moment when they
 * were sent.  Now and then a session ends its client and goes on with another, to which it gives
 * its tokens.  The last line of output is a JSON object with what was counted; the exit code is 0
 * whatever that is. */
#include <portcullis.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    SESSIONS_MAX = 256,
    REGISTERS_MAX = 4096,
    DEPTH_MAX = 64,
    CODES = 32,
    LOOK_AT_ROUTE = 8, /* of so many reads one */
    BREATH_MS = 2,     /* after a failure */
};

typedef enum why { WHY_OWN, WHY_SEEN, WHY_IMPLIED, WHY_COUNT } why;

typedef struct plan {
    const char *bundle;
    const char *strategy;
    bool causal;
    uint32_t sessions, first, registers, depth, write_percent, reopen, timeout_ms;
    uint64_t reads; /* of all sessions */
    uint32_t seconds;
    uint64_t seed;
} plan;

typedef struct floor_mark {
    uint64_t n;
    why because;
} floor_mark;

typedef struct tally {
    uint64_t reads, writes, lost_writes, reopened, wrong;
    uint64_t stale[WHY_COUNT];
    uint64_t replica, source; /* reads whose route was looked at */
    uint64_t failures[CODES];
    uint64_t silent_ms_max; /* how long a session heard nothing but failures */
} tally;

typedef struct session {
    const plan *setup;
    pthread_t thread;
    portcullis *client;
    uint32_t own;     /* its register */
    uint64_t written; /* the last n that it has tried to write there */
    uint64_t rng;
    floor_mark *floors;
    tally tally;
} session;

static uint64_t s_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

static void s_breathe(void)
{
    struct timespec pause = {.tv_nsec = BREATH_MS * 1000000L};
    (void)nanosleep(&pause, NULL);
}

/* xorshift64*, of Vigna. */
static uint32_t s_random(session *self, uint32_t below)
{
    self->rng ^= self->rng >> 12;
    self->rng ^= self->rng << 25;
    self->rng ^= self->rng >> 27;
    return (uint32_t)((self->rng * UINT64_C(2685821657736338717)) >> 33) % below;
}

static void s_die(const char *what)
{
    (void)fprintf(stderr, "causal-check: %s\n", what);
    exit(1);
}

static portcullis *s_open(const plan *setup)
{
    char error[1024];
    portcullis_options options = {
        .bundle_file = setup->bundle, .causal = setup->causal, .timeout_ms = setup->timeout_ms};
    portcullis *client = portcullis_open_options(&options, error, sizeof error);
    if (client == NULL) {
        s_die(error);
    }
    return client;
}

static void s_reopen(session *self)
{
    char tokens[PORTCULLIS_TOKENS_SIZE];
    portcullis_tokens(self->client, tokens);
    portcullis_close(&self->client);
    self->client = s_open(self->setup);
    if (self->setup->causal && !portcullis_add_tokens(self->client, tokens)) {
        s_die("the tokens of one client are none to another");
    }
    self->tally.reopened++;
}

static void s_fail(session *self, const portcullis_result *result)
{
    uint32_t code = (uint32_t)portcullis_result_code(result);
    code = code < CODES ? code : CODES - 1;
    if (self->tally.failures[code]++ == 0) {
        (void)fprintf(stderr, "session %u: %s: %s [%s]\n", self->own,
                      portcullis_result_code_text(result), portcullis_result_message(result),
                      portcullis_result_hop(result));
    }
    s_breathe();
}

static void s_raise(session *self, uint32_t index, uint64_t n, why because)
{
    floor_mark *mark = &self->floors[index];
    if (n > mark->n) {
        *mark = (floor_mark){.n = n, .because = because};
    }
}

static portcullis_request *s_request(const session *self, const char *sql)
{
    portcullis_request *request = portcullis_request_new(sql);
    if (request == NULL || !portcullis_request_set_db(request, "demo") ||
        !portcullis_request_set_strategy(request, self->setup->strategy)) {
        s_die("a request cannot be made");
    }
    return request;
}

static void s_write(session *self)
{
    uint32_t next = (self->own + 1) % self->setup->registers;
    portcullis_request *request = s_request(
        self, "UPDATE causal SET n = GREATEST(n, ?), seen = GREATEST(seen, ?) WHERE id = ?");
    self->written++;
    if (!portcullis_request_add_uint(request, self->written) ||
        !portcullis_request_add_uint(request, self->floors[next].n) ||
        !portcullis_request_add_uint(request, self->own)) {
        s_die("memory is out");
    }
    portcullis_result *result = portcullis_call(self->client, request);
    if (portcullis_result_code(result) == PORTCULLIS_OK) {
        self->tally.writes++;
        s_raise(self, self->own, self->written, WHY_OWN);
    } else {
        self->tally.lost_writes++;
        s_fail(self, result);
    }
    portcullis_result_destroy(&result);
    portcullis_request_destroy(&request);
}

typedef struct read_mark {
    portcullis_future *future;
    uint32_t index;
    floor_mark floor; /* when it was sent */
} read_mark;

static void s_look_at_route(session *self, portcullis_result *result)
{
    if (self->tally.reads % LOOK_AT_ROUTE == 0) {
        bool replica = strstr(portcullis_result_route(result), "\"replica\"") != NULL;
        self->tally.replica += replica ? 1 : 0;
        self->tally.source += replica ? 0 : 1;
    }
}

static void s_judge(session *self, const read_mark *mark, portcullis_result *result)
{
    if (portcullis_result_code(result) != PORTCULLIS_OK) {
        s_fail(self, result);
        return;
    }
    self->tally.reads++;
    s_look_at_route(self, result);
    if (!portcullis_result_next(result)) {
        self->tally.wrong++; /* the row was there before the first session began */
        return;
    }
    uint64_t n = portcullis_result_value(result, 0)->uinteger;
    uint64_t seen = portcullis_result_value(result, 1)->uinteger;
    if (n < mark->floor.n) {
        self->tally.stale[mark->floor.because]++;
    }
    if (mark->index == self->own && n > self->written) {
        self->tally.wrong++; /* nobody else writes it */
    }
    s_raise(self, mark->index, n, WHY_SEEN);
    s_raise(self, (mark->index + 1) % self->setup->registers, seen, WHY_IMPLIED);
}

static uint32_t s_any_register(session *self)
{
    uint32_t own = self->own;
    uint32_t count = self->setup->registers;
    switch (s_random(self, 4)) {
    case 0:
        return own;
    case 1:
        return (own + 1) % count;
    default:
        return s_random(self, count);
    }
}

static void s_read(session *self)
{
    read_mark marks[DEPTH_MAX];
    uint32_t depth = self->setup->depth;
    for (uint32_t at = 0; at < depth; at++) {
        portcullis_request *request = s_request(self, "SELECT n, seen FROM causal WHERE id = ?");
        marks[at].index = s_any_register(self);
        marks[at].floor = self->floors[marks[at].index];
        if (!portcullis_request_add_uint(request, marks[at].index)) {
            s_die("memory is out");
        }
        marks[at].future = portcullis_start(self->client, request);
        portcullis_request_destroy(&request);
        if (marks[at].future == NULL) {
            s_die("memory is out");
        }
    }
    for (uint32_t at = 0; at < depth; at++) {
        portcullis_result *result = portcullis_future_wait(&marks[at].future, -1);
        s_judge(self, &marks[at], result);
        portcullis_result_destroy(&result);
    }
}

static void *s_run(void *argument)
{
    session *self = argument;
    const plan *setup = self->setup;
    uint64_t quota = setup->reads / setup->sessions;
    uint64_t until_ms = s_now_ms() + setup->seconds * UINT64_C(1000);
    uint64_t good_ms = s_now_ms();
    self->client = s_open(setup);
    for (uint64_t turn = 1; self->tally.reads < quota; turn++) {
        uint64_t reads = self->tally.reads;
        uint64_t now_ms = s_now_ms();
        if (now_ms >= until_ms) {
            break;
        }
        if (turn % setup->reopen == 0) {
            s_reopen(self);
        }
        if (s_random(self, 100) < setup->write_percent) {
            s_write(self);
            continue;
        }
        s_read(self);
        now_ms = s_now_ms();
        if (now_ms - good_ms > self->tally.silent_ms_max) {
            self->tally.silent_ms_max = now_ms - good_ms;
        }
        good_ms = self->tally.reads > reads ? now_ms : good_ms;
    }
    portcullis_close(&self->client);
    return NULL;
}

static void s_add(tally *sum, const tally *one)
{
    sum->reads += one->reads;
    sum->writes += one->writes;
    sum->lost_writes += one->lost_writes;
    sum->reopened += one->reopened;
    sum->wrong += one->wrong;
    sum->replica += one->replica;
    sum->source += one->source;
    for (int index = 0; index < WHY_COUNT; index++) {
        sum->stale[index] += one->stale[index];
    }
    for (int code = 0; code < CODES; code++) {
        sum->failures[code] += one->failures[code];
    }
    if (one->silent_ms_max > sum->silent_ms_max) {
        sum->silent_ms_max = one->silent_ms_max;
    }
}

static void s_print(const tally *sum)
{
    (void)printf("{\"reads\": %" PRIu64 ", \"writes\": %" PRIu64 ", \"lost_writes\": %" PRIu64
                 ", \"reopened\": %" PRIu64 ", \"wrong\": %" PRIu64 ", \"replica\": %" PRIu64
                 ", \"source\": %" PRIu64 ", \"silent_ms_max\": %" PRIu64,
                 sum->reads, sum->writes, sum->lost_writes, sum->reopened, sum->wrong, sum->replica,
                 sum->source, sum->silent_ms_max);
    (void)printf(", \"stale\": {\"own\": %" PRIu64 ", \"seen\": %" PRIu64 ", \"implied\": %" PRIu64
                 "}, \"failures\": {",
                 sum->stale[WHY_OWN], sum->stale[WHY_SEEN], sum->stale[WHY_IMPLIED]);
    const char *between = "";
    for (int code = 0; code < CODES; code++) {
        if (sum->failures[code] > 0) {
            (void)printf("%s\"%d\": %" PRIu64, between, code, sum->failures[code]);
            between = ", ";
        }
    }
    (void)puts("}}");
}

/* Of the arguments NAME=NUMBER. */
static uint64_t s_number(int argc, char **argv, const char *name, uint64_t value, uint64_t max)
{
    size_t size = strlen(name);
    for (int index = 1; index < argc; index++) {
        if (strncmp(argv[index], name, size) == 0 && argv[index][size] == '=') {
            value = strtoull(argv[index] + size + 1, NULL, 10);
        }
    }
    if (value > max) {
        s_die("a number is too large");
    }
    return value;
}

static void s_start(session *self, const plan *setup, uint32_t number)
{
    *self = (session){.setup = setup, .own = setup->first + number};
    self->rng = (setup->seed + self->own + 1) * UINT64_C(0x9e3779b97f4a7c15);
    self->floors = calloc(setup->registers, sizeof *self->floors);
    if (self->own >= setup->registers || self->floors == NULL ||
        pthread_create(&self->thread, NULL, s_run, self) != 0) {
        s_die("a session cannot be started");
    }
}

int main(int argc, char **argv)
{
    static session sessions[SESSIONS_MAX];
    if (argc < 4) {
        s_die("usage: causal-check BUNDLE causal|any STRATEGY [sessions=N] [first=N] [registers=N] "
              "[reads=N] [seconds=N] [depth=N] [writes=PERCENT] [reopen=N] [timeout=MS] [seed=N]");
    }
    plan setup = {
        .bundle = argv[1],
        .causal = strcmp(argv[2], "causal") == 0,
        .strategy = argv[3],
        .sessions = (uint32_t)s_number(argc, argv, "sessions", 8, SESSIONS_MAX),
        .first = (uint32_t)s_number(argc, argv, "first", 0, REGISTERS_MAX),
        .registers = (uint32_t)s_number(argc, argv, "registers", 8, REGISTERS_MAX),
        .reads = s_number(argc, argv, "reads", 1000, UINT64_MAX),
        .seconds = (uint32_t)s_number(argc, argv, "seconds", 60, 86400),
        .depth = (uint32_t)s_number(argc, argv, "depth", 1, DEPTH_MAX),
        .write_percent = (uint32_t)s_number(argc, argv, "writes", 10, 100),
        .reopen = (uint32_t)s_number(argc, argv, "reopen", 100, UINT32_MAX),
        .timeout_ms = (uint32_t)s_number(argc, argv, "timeout", 5000, 600000),
        .seed = s_number(argc, argv, "seed", 1, UINT64_MAX),
    };
    for (uint32_t number = 0; number < setup.sessions; number++) {
        s_start(&sessions[number], &setup, number);
    }
    tally sum = {0};
    for (uint32_t number = 0; number < setup.sessions; number++) {
        (void)pthread_join(sessions[number].thread, NULL);
        s_add(&sum, &sessions[number].tally);
        free(sessions[number].floors);
    }
    s_print(&sum);
    return 0;
}
