#include "bench/driver/load.h"

#include "client/portcullis.h"
#include "common/clock.h"
#include "net/time.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#define LOOK_US     50000u /* how long a stop may go unseen */
#define PROGRESS_US PCL_US_PER_S
#define DRAIN_US    1000u

/* A connection, and what came over it. */
typedef struct lane {
    pcl_load *load;
    portcullis *client;
    pthread_mutex_t mutex;       /* over all below */
    portcullis_request *request; /* of the present run */
    pcl_rng rng;                 /* of its values */
    pcl_tally tally;
    uint64_t outstanding;
} lane;

struct pcl_load {
    const pcl_plan *plan;
    pcl_load_hooks hooks;
    lane *lanes;
    uint32_t lane_count;
    /* Of the present run; set before its first request is sent. */
    uint64_t warm_us; /* what is due before this time is not measured */
    uint64_t end_us;  /* nothing is due from here on */
};

/* A request on its way. */
typedef struct pending {
    lane *lane;
    uint64_t due_us;
} pending;

static void s_on_result(portcullis_result *result, void *context);

/* The code as the library names it. */
static const char *s_code_name(portcullis_code code)
{
    return pcl_err_code((int)code);
}

static bool s_bind_values(lane *self)
{
    const pcl_plan *plan = self->load->plan;
    char text[PCL_VALUE_TEXT_SIZE_MAX];
    bool good = true;
    portcullis_request_clear_params(self->request);
    for (uint32_t index = 0; index < plan->param_count && good; index++) {
        const pcl_value_rule *rule = &plan->params[index];
        switch (rule->kind) {
        case PCL_VALUE_INT:
            good = portcullis_request_add_int(self->request, pcl_value_draw_int(rule, &self->rng));
            break;
        case PCL_VALUE_REAL:
        case PCL_VALUE_EXP:
            good = portcullis_request_add_double(self->request,
                                                 pcl_value_draw_real(rule, &self->rng));
            break;
        case PCL_VALUE_TEXT:
            pcl_value_draw_text(rule, &self->rng, text);
            good = portcullis_request_add_text_sized(self->request, text, rule->size);
            break;
        }
    }
    return good;
}

/* The mutex is held. */
static void s_note_unsent(lane *self, uint64_t due_us, portcullis_code code)
{
    const pcl_tally_route none = {.attempts = 0};
    if (due_us >= self->load->warm_us) {
        self->tally.unsent++;
        pcl_tally_note_failure(&self->tally, s_code_name(code), 0,
                               self->load->plan->timeout_ms * PCL_US_PER_MS, &none);
    }
}

/* The mutex is held.  Callbacks come on another thread, or, where this is one, later. */
static void s_send(lane *self, uint64_t due_us)
{
    pending *one = malloc(sizeof *one);
    portcullis_code code = PORTCULLIS_NO_MEMORY;
    if (one != NULL && s_bind_values(self)) {
        *one = (pending){.lane = self, .due_us = due_us};
        if (due_us >= self->load->warm_us) {
            pcl_tally_note_sent(&self->tally, pcl_time_since_us(due_us, pcl_now_us()));
        }
        code = portcullis_submit(self->client, self->request, s_on_result, one);
    }
    if (code == PORTCULLIS_OK) {
        self->outstanding++;
    } else {
        free(one);
        s_note_unsent(self, due_us, code);
    }
}

static void s_on_result(portcullis_result *result, void *context)
{
    uint64_t now_us = pcl_now_us();
    pending *one = context;
    lane *self = one->lane;
    const pcl_load *load = self->load;
    uint64_t took_us = pcl_time_since_us(one->due_us, now_us);
    pcl_tally_route route = pcl_tally_read_route(portcullis_result_route(result));
    bool due_still = now_us < load->end_us && !load->hooks.stop();
    (void)pthread_mutex_lock(&self->mutex);
    if (one->due_us < load->warm_us) {
        (void)0; /* it was for warming up */
    } else if (portcullis_result_code(result) == PORTCULLIS_OK) {
        pcl_tally_note_ok(&self->tally, took_us, due_still, &route);
    } else {
        pcl_tally_note_failure(&self->tally, portcullis_result_code_text(result), took_us,
                               load->plan->timeout_ms * PCL_US_PER_MS, &route);
    }
    self->outstanding--;
    if (load->plan->clients > 0 && due_still) {
        s_send(self, now_us); /* this client's next */
    }
    (void)pthread_mutex_unlock(&self->mutex);
    portcullis_result_destroy(&result);
    free(one);
}

/* Processor time of the whole machine: all, and what nobody else could have had, in ticks; 0 and 0
 * where the system does not say.  Nice processes give way, so theirs is to be had. */
static void s_machine(uint64_t *out_all, uint64_t *out_busy)
{
    unsigned long long ticks[8] = {0};
    *out_all = 0;
    *out_busy = 0;
    FILE *file = fopen("/proc/stat", "re");
    if (file == NULL) {
        return;
    }
    int count = fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &ticks[0], &ticks[1],
                       &ticks[2], &ticks[3], &ticks[4], &ticks[5], &ticks[6], &ticks[7]);
    (void)fclose(file);
    for (int index = 0; index < count; index++) {
        bool idle = index == 1 || index == 3 || index == 4; /* nice, idle, waiting for a disk */
        *out_all += ticks[index];
        *out_busy += idle ? 0 : ticks[index];
    }
}

static uint64_t s_outstanding(pcl_load *self)
{
    uint64_t sum = 0;
    for (uint32_t index = 0; index < self->lane_count; index++) {
        lane *one = &self->lanes[index];
        (void)pthread_mutex_lock(&one->mutex);
        sum += one->outstanding;
        (void)pthread_mutex_unlock(&one->mutex);
    }
    return sum;
}

static void s_collect(pcl_load *self, pcl_tally *out_tally)
{
    for (uint32_t index = 0; index < self->lane_count; index++) {
        lane *one = &self->lanes[index];
        (void)pthread_mutex_lock(&one->mutex);
        pcl_tally_merge(out_tally, &one->tally);
        (void)pthread_mutex_unlock(&one->mutex);
    }
}

static void s_sleep_us(uint64_t us)
{
    struct timespec time = {.tv_sec = (time_t)(us / PCL_US_PER_S),
                            .tv_nsec = (long)(us % PCL_US_PER_S) * 1000L};
    (void)nanosleep(&time, NULL); /* cut short by a signal: whoever sleeps looks again */
}

static void s_show(pcl_load *self, uint64_t now_us, uint64_t *next_us)
{
    if (self->hooks.progress == NULL || now_us < *next_us) {
        return;
    }
    *next_us = now_us + PROGRESS_US;
    pcl_tally *tally = calloc(1, sizeof *tally);
    if (tally != NULL) {
        s_collect(self, tally);
        tally->time_us = pcl_time_since_us(self->warm_us, now_us);
        self->hooks.progress(self->hooks.context, tally, tally->time_us);
        free(tally);
    }
}

/* Sends each when it is due, whatever comes back; when this side is late, all that are due at
 * once.  Returns when it ended. */
static uint64_t s_open_loop(pcl_load *self, uint64_t start_us, uint64_t seed)
{
    pcl_arrivals arrivals = pcl_arrivals_of(self->plan->arrivals, self->plan->rate, seed);
    uint64_t due_us = start_us + pcl_arrivals_next_us(&arrivals);
    uint64_t show_us = start_us;
    uint32_t next = 0;
    while (due_us < self->end_us && !self->hooks.stop()) {
        uint64_t now_us = pcl_now_us();
        if (now_us < due_us) {
            uint64_t left_us = due_us - now_us;
            s_show(self, now_us, &show_us);
            s_sleep_us(left_us < LOOK_US ? left_us : LOOK_US);
            continue;
        }
        lane *one = &self->lanes[next++ % self->lane_count];
        (void)pthread_mutex_lock(&one->mutex);
        s_send(one, due_us);
        (void)pthread_mutex_unlock(&one->mutex);
        due_us = start_us + pcl_arrivals_next_us(&arrivals);
    }
    return due_us < self->end_us ? pcl_now_us() : self->end_us;
}

/* The callbacks send all but the first request of each client. */
static uint64_t s_closed_loop(pcl_load *self, uint64_t start_us)
{
    uint64_t show_us = start_us;
    for (uint32_t index = 0; index < self->plan->clients; index++) {
        lane *one = &self->lanes[index % self->lane_count];
        (void)pthread_mutex_lock(&one->mutex);
        s_send(one, pcl_now_us());
        (void)pthread_mutex_unlock(&one->mutex);
    }
    uint64_t now_us = pcl_now_us();
    while (now_us < self->end_us && !self->hooks.stop()) {
        s_show(self, now_us, &show_us);
        uint64_t left_us = self->end_us - now_us;
        s_sleep_us(left_us < LOOK_US ? left_us : LOOK_US);
        now_us = pcl_now_us();
    }
    return now_us < self->end_us ? now_us : self->end_us;
}

/* false: memory is out. */
static bool s_prepare(lane *self, const char *strategy, uint64_t seed)
{
    const pcl_plan *plan = self->load->plan;
    memset(&self->tally, 0, sizeof self->tally);
    self->rng = pcl_rng_from_seed(seed);
    portcullis_request_destroy(&self->request);
    self->request = portcullis_request_new(plan->sql);
    if (self->request == NULL || !portcullis_request_set_db(self->request, plan->db) ||
        !portcullis_request_set_strategy(self->request, strategy)) {
        return false;
    }
    if (plan->lag_ms_max != UINT32_MAX) {
        portcullis_request_set_consistency_max_lag(self->request, plan->lag_ms_max);
    }
    portcullis_request_set_timeout(self->request, plan->timeout_ms);
    return true;
}

bool pcl_load_run(pcl_load *self, const char *strategy, uint64_t seed, pcl_tally *out_tally)
{
    pcl_rng seeds = pcl_rng_from_seed(seed);
    uint64_t arrivals_seed = pcl_rng_next(&seeds);
    for (uint32_t index = 0; index < self->lane_count; index++) {
        if (!s_prepare(&self->lanes[index], strategy, pcl_rng_next(&seeds))) {
            return false;
        }
    }
    uint64_t all[2];
    uint64_t busy[2];
    uint64_t start_us = pcl_now_us();
    self->warm_us = start_us + self->plan->warmup_us;
    self->end_us = self->warm_us + self->plan->time_us;
    s_machine(&all[0], &busy[0]);
    uint64_t ended_us = self->plan->clients > 0 ? s_closed_loop(self, start_us)
                                                : s_open_loop(self, start_us, arrivals_seed);
    s_machine(&all[1], &busy[1]);
    /* The library promises each an answer soon after its deadline. */
    while (s_outstanding(self) > 0) {
        s_sleep_us(DRAIN_US);
    }
    s_collect(self, out_tally);
    out_tally->time_us += pcl_time_since_us(self->warm_us, ended_us);
    out_tally->machine += all[1] - all[0];
    out_tally->busy += busy[1] - busy[0];
    return true;
}

/* Is the cluster there?  Over the connection, so that no request has to wait for its making. */
static bool s_greet(portcullis *client, char *error, size_t error_size)
{
    portcullis_request *ping = portcullis_request_new_ping();
    portcullis_result *result = ping != NULL ? portcullis_call(client, ping) : NULL;
    bool good = result != NULL && portcullis_result_code(result) == PORTCULLIS_OK;
    if (!good) {
        (void)snprintf(error, error_size, "%s",
                       result != NULL ? portcullis_result_message(result) : "out of memory");
    }
    portcullis_result_destroy(&result);
    portcullis_request_destroy(&ping);
    return good;
}

static bool s_open_lane(pcl_load *self, char *error, size_t error_size)
{
    lane *one = &self->lanes[self->lane_count];
    portcullis_options options = {
        .bundle_file = self->plan->bundle,
        .inflight_max = self->plan->inflight_max / self->plan->connections + 1,
        .timeout_ms = self->plan->timeout_ms,
    };
    *one = (lane){.load = self};
    one->client = portcullis_open_options(&options, error, error_size);
    if (one->client == NULL) {
        return false;
    }
    (void)pthread_mutex_init(&one->mutex, NULL); /* cannot fail with default attributes */
    self->lane_count++;
    return s_greet(one->client, error, error_size);
}

pcl_load *pcl_load_open(const pcl_plan *plan, pcl_load_hooks hooks, char *error, size_t error_size)
{
    assert(plan->connections > 0 && hooks.stop != NULL);
#ifdef __linux__
    (void)prctl(PR_SET_TIMERSLACK, 1000UL); /* else each sleep is 50 us too long; 1 us will do */
#endif
    pcl_load *self = calloc(1, sizeof *self);
    lane *lanes = calloc(plan->connections, sizeof *lanes);
    if (self == NULL || lanes == NULL) {
        (void)snprintf(error, error_size, "out of memory");
        free(self);
        free(lanes);
        return NULL;
    }
    *self = (pcl_load){.plan = plan, .hooks = hooks, .lanes = lanes};
    for (uint32_t index = 0; index < plan->connections && self != NULL; index++) {
        if (!s_open_lane(self, error, error_size)) {
            pcl_load_close(&self);
        }
    }
    return self;
}

void pcl_load_close(pcl_load **self_p)
{
    assert(self_p != NULL);
    pcl_load *self = *self_p;
    if (self == NULL) {
        return;
    }
    for (uint32_t index = 0; index < self->lane_count; index++) {
        lane *one = &self->lanes[index];
        portcullis_close(&one->client);
        portcullis_request_destroy(&one->request);
        (void)pthread_mutex_destroy(&one->mutex);
    }
    free(self->lanes);
    free(self);
    *self_p = NULL;
}
