/* bare_hops - what a message costs on its way through forwarders of bare libzmq, and back.
 *
 *     bare_hops [-h HOPS] [-n REQUESTS] [-i INFLIGHT] [-s SIZE] [-c]
 *
 * The floor under a cluster's own latency: a client, HOPS - 1 forwarders and a worker that sends
 * every message back, each a process of its own, joined by TCP on loopback as the daemons of a
 * cluster are, and doing nothing with what they carry.  INFLIGHT requests are under way at the same
 * time; -c puts CURVE on every hop.  Prints one JSON object; cpu_us is the processor time of the
 * forwarders and the worker for a request.
 *
 * Every process ends when the client does, however that ends: it holds the only writing end of a
 * pipe that all of them watch.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define HOPS_MAX      16u
#define REQUESTS_MAX  10000000u
#define INFLIGHT_MAX  100000u
#define SIZE_MIN      16u
#define SIZE_MOST     65536u
#define ENDPOINT_SIZE 64u
#define KEY_SIZE      41u
#define BATCH_MAX     256u /* messages taken from one socket before the other has a turn */
#define QUEUE_MAX     INT32_C(200000)
#define SILENCE_MS    10000 /* of a chain in which something broke */
#define WARMUP        200u  /* requests that are not counted */

typedef struct chain {
    uint32_t hops, requests, inflight, size;
    bool curve;
    char public_key[KEY_SIZE], secret_key[KEY_SIZE]; /* one pair for every hop */
} chain;

static int s_fail(const char *what)
{
    (void)fprintf(stderr, "bare_hops: %s: %s\n", what, zmq_strerror(errno));
    return 1;
}

static uint64_t s_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- one process ----------------------------------------------------------------------------- */

/* NULL: it could not be made. */
static void *s_socket(void *context, int type, const chain *plan, bool server)
{
    void *socket = context != NULL ? zmq_socket(context, type) : NULL;
    if (socket == NULL) {
        return NULL;
    }
    int queue = QUEUE_MAX;
    int linger = 0;
    int one = 1;
    bool good = zmq_setsockopt(socket, ZMQ_SNDHWM, &queue, sizeof queue) == 0 &&
                zmq_setsockopt(socket, ZMQ_RCVHWM, &queue, sizeof queue) == 0 &&
                zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger) == 0;
    if (good && plan->curve && server) {
        good = zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &one, sizeof one) == 0 &&
               zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, plan->secret_key, KEY_SIZE) == 0;
    } else if (good && plan->curve) {
        good = zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, plan->public_key, KEY_SIZE) == 0 &&
               zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, plan->public_key, KEY_SIZE) == 0 &&
               zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, plan->secret_key, KEY_SIZE) == 0;
    }
    if (!good) {
        (void)zmq_close(socket);
        return NULL;
    }
    return socket;
}

/* Up to BATCH_MAX messages, all their parts.  false: a socket broke. */
static bool s_pass(void *from, void *to)
{
    for (uint32_t count = 0; count < BATCH_MAX; count++) {
        int more = 1;
        while (more != 0) {
            zmq_msg_t part;
            (void)zmq_msg_init(&part);
            if (zmq_msg_recv(&part, from, ZMQ_DONTWAIT) < 0) {
                return errno == EAGAIN || errno == EINTR;
            }
            more = zmq_msg_more(&part);
            if (zmq_msg_send(&part, to, more != 0 ? ZMQ_SNDMORE : 0) < 0) {
                (void)zmq_msg_close(&part);
                return false;
            }
        }
    }
    return true;
}

/* Passes messages on, or back where next is NULL, until the client has ended. */
static int s_serve(const chain *plan, const char *next, int report_fd, int end_fd)
{
    void *context = zmq_ctx_new();
    void *front = s_socket(context, ZMQ_ROUTER, plan, true);
    void *back = next != NULL ? s_socket(context, ZMQ_DEALER, plan, false) : NULL;
    char endpoint[ENDPOINT_SIZE] = "";
    size_t size = sizeof endpoint;
    bool good = front != NULL && (next == NULL || back != NULL) &&
                zmq_bind(front, "tcp://127.0.0.1:*") == 0 &&
                zmq_getsockopt(front, ZMQ_LAST_ENDPOINT, endpoint, &size) == 0 &&
                (next == NULL || zmq_connect(back, next) == 0) &&
                write(report_fd, endpoint, sizeof endpoint) == (ssize_t)sizeof endpoint;
    (void)close(report_fd);
    zmq_pollitem_t items[] = {{.fd = end_fd, .events = ZMQ_POLLIN},
                              {.socket = front, .events = ZMQ_POLLIN},
                              {.socket = back, .events = ZMQ_POLLIN}};
    while (good && zmq_poll(items, next != NULL ? 3 : 2, -1) >= 0 && items[0].revents == 0) {
        good = items[1].revents == 0 || s_pass(front, next != NULL ? back : front);
        good = good && (items[2].revents == 0 || s_pass(back, front));
    }
    int code = good ? 0 : s_fail("a forwarder broke");
    if (back != NULL) {
        (void)zmq_close(back);
    }
    if (front != NULL) {
        (void)zmq_close(front);
    }
    (void)zmq_ctx_term(context);
    return code;
}

/* Starts the chain from its end: every process needs to know the one behind it.  endpoint becomes
 * that of the first.  false: one did not come up. */
static bool s_start(const chain *plan, char endpoint[ENDPOINT_SIZE], const int end_pipe[2])
{
    for (uint32_t hop = 0; hop < plan->hops; hop++) {
        int report[2];
        if (pipe(report) != 0) {
            return false;
        }
        pid_t pid = fork();
        if (pid == 0) {
            (void)close(report[0]);
            (void)close(end_pipe[1]);
            _exit(s_serve(plan, hop > 0 ? endpoint : NULL, report[1], end_pipe[0]));
        }
        (void)close(report[1]);
        bool good = pid > 0 && read(report[0], endpoint, ENDPOINT_SIZE) == (ssize_t)ENDPOINT_SIZE;
        (void)close(report[0]);
        if (!good) {
            return false;
        }
    }
    return true;
}

/* ---- the client --------------------------------------------------------------------------------
 */

static bool s_send(void *socket, char *payload, const chain *plan)
{
    uint64_t now_ns = s_now_ns();
    memcpy(payload, &now_ns, sizeof now_ns);
    return zmq_send(socket, payload, plan->size, 0) == (int)plan->size;
}

/* Sends and takes back plan->requests messages after those of the warm-up; times_ns has room for as
 * many.  false: it broke, or nothing came back for too long. */
static bool s_measure(const chain *plan, const char *endpoint, uint64_t *times_ns,
                      uint64_t *out_took_ns)
{
    void *context = zmq_ctx_new();
    void *socket = s_socket(context, ZMQ_DEALER, plan, false);
    char *payload = calloc(1, plan->size);
    int silence = SILENCE_MS;
    bool good = socket != NULL && payload != NULL &&
                zmq_setsockopt(socket, ZMQ_RCVTIMEO, &silence, sizeof silence) == 0 &&
                zmq_connect(socket, endpoint) == 0;
    uint32_t whole = WARMUP + plan->requests;
    uint32_t sent = 0;
    uint64_t begun_ns = 0;
    for (; good && sent < plan->inflight && sent < whole; sent++) {
        good = s_send(socket, payload, plan);
    }
    for (uint32_t got = 0; good && got < whole; got++) {
        good = zmq_recv(socket, payload, plan->size, 0) == (int)plan->size;
        uint64_t sent_ns;
        memcpy(&sent_ns, payload, sizeof sent_ns);
        if (got >= WARMUP) {
            times_ns[got - WARMUP] = s_now_ns() - sent_ns;
        } else if (got == WARMUP - 1) {
            begun_ns = s_now_ns();
        }
        if (good && sent < whole) {
            good = s_send(socket, payload, plan);
            sent++;
        }
    }
    *out_took_ns = s_now_ns() - begun_ns;
    free(payload);
    if (socket != NULL) {
        (void)zmq_close(socket);
    }
    (void)zmq_ctx_term(context);
    return good;
}

static int s_compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static double s_cpu_us(void)
{
    struct rusage used;
    (void)getrusage(RUSAGE_CHILDREN, &used); /* cannot fail */
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e6 +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

static void s_print(const chain *plan, uint64_t *times_ns, uint64_t took_ns)
{
    uint32_t count = plan->requests;
    qsort(times_ns, count, sizeof *times_ns, s_compare);
    (void)printf("{\"hops\": %" PRIu32 ", \"requests\": %" PRIu32 ", \"inflight\": %" PRIu32
                 ", \"size\": %" PRIu32 ", \"curve\": %s, \"p50_us\": %.1f, \"p99_us\": %.1f, "
                 "\"throughput\": %.0f, \"cpu_us\": %.2f}\n",
                 plan->hops, count, plan->inflight, plan->size, plan->curve ? "true" : "false",
                 (double)times_ns[count / 2] / 1e3,
                 (double)times_ns[(uint64_t)count * 99 / 100] / 1e3,
                 (double)count * 1e9 / (double)took_ns, s_cpu_us() / (WARMUP + count));
}

/* Starts all, measures, ends all. */
static int s_run(const chain *plan)
{
    uint64_t *times_ns = calloc(plan->requests, sizeof *times_ns);
    int end_pipe[2];
    if (times_ns == NULL || pipe(end_pipe) != 0) {
        free(times_ns);
        return s_fail("the start");
    }
    char endpoint[ENDPOINT_SIZE] = "";
    uint64_t took_ns = 0;
    bool good = s_start(plan, endpoint, end_pipe) && s_measure(plan, endpoint, times_ns, &took_ns);
    int code = good ? 0 : s_fail("the measurement");
    (void)close(end_pipe[1]);
    (void)close(end_pipe[0]);
    int status = 0;
    while (wait(&status) > 0) {
        if (good && status != 0) {
            code = s_fail("a forwarder");
        }
    }
    if (code == 0) {
        s_print(plan, times_ns, took_ns);
    }
    free(times_ns);
    return code;
}

/* ---- the command line --------------------------------------------------------------------------
 */

static bool s_number(const char *text, uint32_t min, uint32_t max, uint32_t *out_value)
{
    char *end = NULL;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < min || value > max) {
        return false;
    }
    *out_value = (uint32_t)value;
    return true;
}

static bool s_read(chain *plan, int argc, char **argv)
{
    int option;
    bool good = true;
    while (good && (option = getopt(argc, argv, "h:n:i:s:c")) != -1) {
        switch (option) {
        case 'h':
            good = s_number(optarg, 1, HOPS_MAX, &plan->hops);
            break;
        case 'n':
            good = s_number(optarg, 1, REQUESTS_MAX, &plan->requests);
            break;
        case 'i':
            good = s_number(optarg, 1, INFLIGHT_MAX, &plan->inflight);
            break;
        case 's':
            good = s_number(optarg, SIZE_MIN, SIZE_MOST, &plan->size);
            break;
        case 'c':
            plan->curve = true;
            break;
        default:
            good = false;
            break;
        }
    }
    return good && optind == argc;
}

int main(int argc, char **argv)
{
    chain plan = {.hops = 4, .requests = 5000, .inflight = 1, .size = 200};
    if (!s_read(&plan, argc, argv)) {
        (void)fprintf(stderr,
                      "usage: bare_hops [-h HOPS] [-n REQUESTS] [-i INFLIGHT] [-s SIZE] [-c]\n");
        return 64;
    }
    if (plan.curve && zmq_curve_keypair(plan.public_key, plan.secret_key) != 0) {
        return s_fail("a pair of keys");
    }
    return s_run(&plan);
}
