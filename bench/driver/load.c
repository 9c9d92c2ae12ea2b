#include "bench/driver/load.h"

#include "bench/driver/maker.h"
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
    pthread_mutex_t mutex; /* over all below */
    pcl_maker *maker;      /* of the present run */
    pcl_tally tally;
    pcl_series_cell cell; /* what was not poured into the run's series yet: */
    uint32_t cell_index;  /* it belongs there */
    uint64_t outstanding;
} lane;

struct pcl_load {
    const pcl_plan *plan;
    pcl_load_hooks hooks;
    lane *lanes;
    uint32_t lane_count;
    pthread_mutex_t series_mutex; /* taken last */
    /* Of the present run; set before its first request is sent. */
    pcl_load_run *run;
    uint64_t warm_us; /* what is due before this time is not measured */
    uint64_t end_us;  /* nothing is due from here on */
};

/* A request on its way. */
typedef struct pending {
    lane *lane;
    uint64_t due_us;
    uint32_t part;
} pending;

static void s_on_result(portcullis_result *result, void *context);

/* The code as the library names it. */
static const char *s_code_name(portcullis_code code)
{
    return pcl_err_code((int)code);
}

/* The lane's mutex is held. */
static void s_pour(lane *self)
{
    pcl_load *load = self->load;
    (void)pthread_mutex_lock(&load->series_mutex);
    pcl_series_cell_merge(&load->run->series.cells[self->cell_index], &self->cell);
    (void)pthread_mutex_unlock(&load->series_mutex);
    memset(&self->cell, 0, sizeof self->cell);
}

/* How a request failed; code NULL: it did not. */
typedef struct failure {
    const char *code;
    const char *message;
} failure;

/* The mutex is held.  What came of a request that counts. */
static void s_note(lane *self, const pending *one, uint64_t now_us, failure why, bool due_still,
                   const pcl_tally_route *route)
{
    uint64_t took_us = pcl_time_since_us(one->due_us, now_us);
    uint64_t timeout_us = self->load->plan->timeout_ms * PCL_US_PER_MS;
    if (why.code == NULL) {
        pcl_tally_note_ok(&self->tally, took_us, due_still, route);
    } else {
        pcl_tally_note_failure(&self->tally, why.code, why.message, took_us, timeout_us, route);
        took_us = took_us > timeout_us ? took_us : timeout_us;
    }
    pcl_tally_note_part(&self->tally, one->part, took_us, why.code == NULL);
    uint64_t gone_us = pcl_time_since_us(self->load->warm_us, now_us);
    uint32_t index = pcl_series_index(&self->load->run->series, gone_us);
    if (index != self->cell_index) {
        s_pour(self);
        self->cell_index = index;
    }
    pcl_series_cell_note(&self->cell, took_us, why.code == NULL);
}

/* The mutex is held.  Callbacks come on another thread, or, where this is one, later. */
static void s_send(lane *self, uint64_t due_us)
{
    pending now = {.lane = self, .due_us = due_us};
    pending *one = malloc(sizeof *one);
    const portcullis_request *request = pcl_maker_next(self->maker, &now.part);
    portcullis_code code = PORTCULLIS_NO_MEMORY;
    bool counts = due_us >= self->load->warm_us;
    if (one != NULL && request != NULL) {
        *one = now;
        if (counts) {
            pcl_tally_note_sent(&self->tally, pcl_time_since_us(due_us, pcl_now_us()));
        }
        code = portcullis_submit(self->client, request, s_on_result, one);
    }
    if (code == PORTCULLIS_OK) {
        self->outstanding++;
        return;
    }
    free(one);
    if (counts) {
        const pcl_tally_route none = {.attempts = 0};
        failure why = {.code = s_code_name(code), .message = "it could not be sent"};
        self->tally.unsent++;
        s_note(self, &now, pcl_now_us(), why, false, &none);
    }
}

static pcl_tally_route s_route_of(const portcullis_result *result)
{
    portcullis_way way = portcullis_result_way(result);
    pcl_tally_route route = {.attempts = way.attempts, .hedged = way.hedged};
    size_t size = way.node_size < sizeof route.node ? way.node_size : sizeof route.node - 1;
    memcpy(route.node, way.node, size); /* the rest is 0 */
    return route;
}

static void s_on_result(portcullis_result *result, void *context)
{
    uint64_t now_us = pcl_now_us();
    pending *one = context;
    lane *self = one->lane;
    const pcl_load *load = self->load;
    failure why = {.code = NULL};
    if (portcullis_result_code(result) != PORTCULLIS_OK) {
        why.code = portcullis_result_code_text(result);
        why.message = portcullis_result_message(result);
    }
    pcl_tally_route route = s_route_of(result);
    bool due_still = now_us < load->end_us && !load->hooks.stop();
    (void)pthread_mutex_lock(&self->mutex);
    if (one->due_us >= load->warm_us) { /* else it was for warming up */
        s_note(self, one, now_us, why, due_still, &route);
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

static void s_pour_all(pcl_load *self)
{
    for (uint32_t index = 0; index < self->lane_count; index++) {
        lane *one = &self->lanes[index];
        (void)pthread_mutex_lock(&one->mutex);
        s_pour(one);
        (void)pthread_mutex_unlock(&one->mutex);
    }
}

/* The last point that is whole. */
static void s_view(pcl_load *self, uint64_t now_us, pcl_progress_view *out_view)
{
    const pcl_series *series = &self->run->series;
    uint64_t gone_us = pcl_time_since_us(self->warm_us, now_us);
    uint32_t index = pcl_series_index(series, gone_us);
    (void)pthread_mutex_lock(&self->series_mutex);
    for (uint32_t each = 0; each <= index; each++) {
        out_view->failed += series->cells[each].failed;
    }
    if (index > 0) {
        pcl_series_point point = pcl_series_at(series, index - 1);
        out_view->measures = true;
        out_view->rate = (double)point.ok / (double)series->width_s;
        out_view->p50_us = point.p50_us;
        out_view->p99_us = point.p99_us;
    }
    (void)pthread_mutex_unlock(&self->series_mutex);
}

static void s_show(pcl_load *self, uint64_t now_us, uint64_t *next_us)
{
    if (self->hooks.progress == NULL || now_us < *next_us) {
        return;
    }
    *next_us = now_us + PROGRESS_US;
    pcl_progress_view view = {.gone_us = now_us + self->plan->warmup_us - self->warm_us};
    s_pour_all(self);
    s_view(self, now_us, &view);
    self->hooks.progress(self->hooks.context, &view);
}

/* Sends each when it is due, whatever comes back; when this side is late, all that are due at
 * once.  Returns when it ended. */
static uint64_t s_open_loop(pcl_load *self, uint64_t start_us, uint64_t seed)
{
    const pcl_plan *plan = self->plan;
    pcl_arrivals arrivals = pcl_arrivals_ramp(plan->arrivals,
                                              (pcl_arrivals_rate){.from = plan->rate,
                                                                  .to = plan->rate_end,
                                                                  .hold_us = plan->warmup_us,
                                                                  .ramp_us = plan->time_us},
                                              seed);
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
    memset(&self->tally, 0, sizeof self->tally);
    memset(&self->cell, 0, sizeof self->cell);
    self->cell_index = 0;
    pcl_maker_destroy(&self->maker);
    self->maker = pcl_maker_new(self->load->plan, strategy, seed);
    return self->maker != NULL;
}

/* false: memory is out. */
static bool s_prepare_all(pcl_load *self, const char *strategy, pcl_rng *seeds)
{
    const pcl_plan *plan = self->plan;
    uint64_t total_us = plan->time_us + plan->timeout_ms * PCL_US_PER_MS;
    bool good = pcl_series_init(&self->run->series, total_us, plan->points_max);
    for (uint32_t index = 0; index < self->lane_count && good; index++) {
        good = s_prepare(&self->lanes[index], strategy, pcl_rng_next(seeds));
    }
    return good;
}

/* Sends, and waits for all answers. */
static void s_run(pcl_load *self, uint64_t arrivals_seed)
{
    pcl_tally *tally = &self->run->tally;
    uint64_t all[2];
    uint64_t busy[2];
    uint64_t start_us = pcl_now_us();
    self->warm_us = start_us + self->plan->warmup_us;
    self->end_us = self->warm_us + self->plan->time_us;
    self->run->start_us = self->warm_us;
    s_machine(&all[0], &busy[0]);
    uint64_t ended_us = self->plan->clients > 0 ? s_closed_loop(self, start_us)
                                                : s_open_loop(self, start_us, arrivals_seed);
    s_machine(&all[1], &busy[1]);
    /* The library promises each an answer soon after its deadline. */
    while (s_outstanding(self) > 0) {
        s_sleep_us(DRAIN_US);
    }
    s_pour_all(self);
    s_collect(self, tally);
    tally->time_us += pcl_time_since_us(self->warm_us, ended_us);
    tally->machine += all[1] - all[0];
    tally->busy += busy[1] - busy[0];
}

pcl_load_run *pcl_load_do(pcl_load *self, const char *strategy, uint64_t seed)
{
    pcl_rng seeds = pcl_rng_from_seed(seed);
    uint64_t arrivals_seed = pcl_rng_next(&seeds);
    pcl_load_run *run = calloc(1, sizeof *run);
    self->run = run;
    if (run != NULL && !s_prepare_all(self, strategy, &seeds)) {
        pcl_load_run_destroy(&run);
    }
    if (run != NULL) {
        s_run(self, arrivals_seed);
    }
    self->run = NULL;
    return run;
}

void pcl_load_run_destroy(pcl_load_run **self_p)
{
    assert(self_p != NULL);
    if (*self_p != NULL) {
        pcl_series_release(&(*self_p)->series);
        free(*self_p);
        *self_p = NULL;
    }
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
    (void)pthread_mutex_init(&one->mutex, NULL); /* as above */
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
    (void)pthread_mutex_init(&self->series_mutex, NULL); /* cannot fail with default attributes */
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
        pcl_maker_destroy(&one->maker);
        (void)pthread_mutex_destroy(&one->mutex);
    }
    (void)pthread_mutex_destroy(&self->series_mutex);
    free(self->lanes);
    free(self);
    *self_p = NULL;
}
