/* clients.c - very many clients in one process, told by lines of standard input what to do.
 *
 *   scale_clients --bundle FILE [--identities FILE [--first N]] [--capacity N] [--connect N]
 *                 [--beat-ms N]
 *
 * --bundle       gatekeeper, broker and, without --identities, the key that all use
 * --identities   names and keys of the clients (identities.h), from line --first on
 * --capacity     clients at the most
 * --connect      connect so many first
 * --beat-ms      heartbeats of each, 1 to 10000 ms apart (500, as the library's)
 *
 * Each order is answered by one line of JSON; the end of standard input ends the program.
 *
 *   connect COUNT
 *   open RATE SECONDS WARMUP [STRATEGY]
 *   closed IN_FLIGHT SECONDS WARMUP [STRATEGY]
 */
#include "bench/scale/crowd.h"
#include "bench/scale/lines.h"
#include "client/bundle_file.h"

#include <assert.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_USAGE = 64, ERROR_SIZE = 256, TIMEOUT_MS = 10000, BEAT_MS_MAX = 10000 };

typedef struct arguments {
    const char *bundle;
    const char *identities;
    uint32_t first;
    uint32_t capacity;
    uint32_t connect;
    uint32_t beat_ms;
} arguments;

static bool s_number(const char *text, uint32_t max, uint32_t *out_number)
{
    char *end = NULL;
    unsigned long number = strtoul(text, &end, 10);
    if (end == text || *end != '\0' || number > max) {
        return false;
    }
    *out_number = (uint32_t)number;
    return true;
}

static bool s_parse(arguments *out, int argc, char **argv)
{
    static const struct option OPTIONS[] = {
        {"bundle", required_argument, NULL, 'b'},
        {"identities", required_argument, NULL, 'i'},
        {"first", required_argument, NULL, 'f'},
        {"capacity", required_argument, NULL, 'n'},
        {"connect", required_argument, NULL, 'c'},
        {"beat-ms", required_argument, NULL, 't'},
        {NULL, 0, NULL, 0},
    };
    *out = (arguments){.bundle = NULL};
    bool good = true;
    int option = 0;
    while ((option = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        switch (option) {
        case 'b':
            out->bundle = optarg;
            break;
        case 'i':
            out->identities = optarg;
            break;
        case 'f':
            good = s_number(optarg, PCL_IDENTITIES_MAX, &out->first) && good;
            break;
        case 'n':
            good = s_number(optarg, PCL_IDENTITIES_MAX, &out->capacity) && good;
            break;
        case 't':
            good = s_number(optarg, BEAT_MS_MAX, &out->beat_ms) && good;
            break;
        case 'c':
            good = s_number(optarg, PCL_IDENTITIES_MAX, &out->connect) && good;
            break;
        default:
            good = false;
            break;
        }
    }
    out->capacity = out->capacity > out->connect ? out->capacity : out->connect;
    return good && optind == argc && out->bundle != NULL && out->capacity > 0;
}

/* --- Answers ----------------------------------------------------------------------- */

static void s_print_histogram(const char *name, const pcl_histogram *histogram)
{
    uint32_t cursor = 0;
    uint64_t edge = 0;
    uint64_t count = 0;
    const char *between = "";
    printf(", \"%s\": [", name);
    while (pcl_histogram_each(histogram, &cursor, &edge, &count)) {
        printf("%s[%" PRIu64 ", %" PRIu64 "]", between, edge, count);
        between = ", ";
    }
    printf("]");
}

static void s_print_outcome(const pcl_crowd_outcome *outcome)
{
    printf("{\"requests\": %" PRIu64 ", \"ok\": %" PRIu64 ", \"seconds\": %.3f, \"errors\": {",
           outcome->requests, outcome->ok, outcome->seconds);
    const char *between = "";
    for (uint32_t code = 0; code < PCL_CROWD_FAILURES_MAX; code++) {
        if (outcome->failures[code] > 0) {
            const char *name = code == PCL_CROWD_SILENCE   ? "SILENCE"
                               : code == PCL_CROWD_STRANGE ? "STRANGE"
                                                           : pcl_err_code((int)code);
            printf("%s\"%s\": %" PRIu64, between, name, outcome->failures[code]);
            between = ", ";
        }
    }
    printf("}");
    s_print_histogram("latency_us", &outcome->latency_us);
    s_print_histogram("late_us", &outcome->late_us);
    printf("}\n");
}

static void s_print_error(const char *text)
{
    char clean[ERROR_SIZE];
    (void)snprintf(clean, sizeof clean, "%s", text);
    for (char *at = clean; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\' || (unsigned char)*at < 32) {
            *at = '\'';
        }
    }
    printf("{\"error\": \"%s\"}\n", clean);
}

/* --- Orders ------------------------------------------------------------------------ */

static bool s_connect(pcl_crowd *crowd, const arguments *settings, uint32_t count)
{
    char error[ERROR_SIZE] = "";
    if (count > settings->capacity) {
        s_print_error("that is over --capacity");
        return false;
    }
    if (!pcl_crowd_connect(crowd, count, error, sizeof error)) {
        s_print_error(error);
        return false;
    }
    printf("{\"connected\": %" PRIu32 "}\n", pcl_crowd_count(crowd));
    return true;
}

static bool s_strategy(const char *text, pcl_strategy_kind *out_strategy)
{
    *out_strategy = PCL_STRATEGY_DEFAULT;
    return text[0] == '\0' || pcl_strategy_parse(pcl_bytes_text(text), out_strategy);
}

static void s_obey(pcl_crowd *crowd, const arguments *settings, const char *line)
{
    char word[16] = "";
    char strategy[32] = "";
    double amount = 0;
    pcl_crowd_load load = {.rate = 0};
    int count = sscanf(line, "%15s %lf %lf %lf %31s", word, &amount, &load.seconds,
                       &load.warmup_seconds, strategy);
    bool known = amount > 0 && amount < 1e6 && s_strategy(strategy, &load.strategy);
    bool loads = known && count >= 4 && load.seconds > 0 && load.warmup_seconds >= 0 &&
                 pcl_crowd_count(crowd) > 0;
    if (known && strcmp(word, "connect") == 0) {
        (void)s_connect(crowd, settings, (uint32_t)amount); /* it has told */
        return;
    }
    if (loads && strcmp(word, "open") == 0) {
        load.rate = amount;
    } else if (loads && strcmp(word, "closed") == 0 && amount >= 1) {
        load.in_flight = (uint32_t)amount;
    } else {
        s_print_error("what is that?");
        return;
    }
    pcl_crowd_outcome *outcome = calloc(1, sizeof *outcome);
    assert(outcome != NULL);
    pcl_crowd_run(crowd, &load, outcome);
    s_print_outcome(outcome);
    free(outcome);
}

static void s_serve(pcl_crowd *crowd, const arguments *settings)
{
    pcl_lines orders = pcl_lines_of(STDIN_FILENO);
    char line[PCL_LINE_SIZE];
    if (settings->connect > 0 && !s_connect(crowd, settings, settings->connect)) {
        return;
    }
    (void)fflush(stdout);
    while (!orders.ended) {
        pcl_crowd_serve(crowd, orders.fd);
        while (pcl_lines_next(&orders, line)) {
            s_obey(crowd, settings, line);
            (void)fflush(stdout);
        }
    }
}

int main(int argc, char **argv)
{
    arguments settings;
    if (!s_parse(&settings, argc, argv)) {
        fprintf(stderr, "usage: scale_clients --bundle FILE [--identities FILE [--first N]] "
                        "[--capacity N] [--connect N] [--beat-ms N]\n");
        return EXIT_USAGE;
    }
    char error[PCL_BUNDLE_SIZE_MAX / 64] = "";
    pcl_bundle bundle;
    if (!pcl_bundle_load(&bundle, settings.bundle, error, sizeof error)) {
        fprintf(stderr, "scale_clients: %s\n", error);
        return EXIT_FAILURE;
    }
    uint32_t count = 1;
    pcl_identity own = {.name = ""};
    memcpy(own.keys.public_key, bundle.public_key, sizeof own.keys.public_key);
    memcpy(own.keys.secret_key, bundle.secret_key, sizeof own.keys.secret_key);
    pcl_identity *many = NULL;
    if (settings.identities != NULL) {
        many = pcl_identities_load(settings.identities, settings.first, settings.capacity, &count,
                                   error, sizeof error);
    }
    pcl_crowd_options options = {
        .endpoint = bundle.gatekeepers[0].endpoint,
        .gatekeeper_key = bundle.gatekeepers[0].public_key,
        .broker_key = bundle.broker_key,
        .identities = many != NULL ? many : &own,
        .identity_count = count,
        .capacity = settings.capacity,
        .timeout_ms = TIMEOUT_MS,
        .heartbeat_ms = settings.beat_ms,
        .seed = 1 + settings.first,
    };
    pcl_crowd *crowd = settings.identities != NULL && many == NULL
                           ? NULL
                           : pcl_crowd_new(&options, error, sizeof error);
    if (crowd == NULL) {
        fprintf(stderr, "scale_clients: %s\n", error);
    } else {
        s_serve(crowd, &settings);
    }
    int code = crowd == NULL ? EXIT_FAILURE : EXIT_SUCCESS;
    pcl_crowd_destroy(&crowd);
    pcl_identities_free(&many, count);
    pcl_keys_wipe(&own.keys);
    pcl_bundle_wipe(&bundle);
    return code;
}
