/* agents.c - worker agents without databases, told by lines of standard input how many to be.
 *
 *   scale_agents --proxy ENDPOINT --proxy-key KEY --identities FILE [--first N] [--capacity N]
 *                [--service-us MEAN] [--fixed] [--workers N] [--queue-max N] [--no-source]
 *
 * --identities   names and keys of the nodes (identities.h), from line --first on
 * --capacity     nodes at the most
 * --service-us   how long a statement takes, exponential with this mean, or, with --fixed, just so
 * --workers      statements that a node runs at the same time
 * --queue-max    that wait there
 * --no-source    all are replicas; else the first is the source
 *
 * An order is a line, answered by one line of JSON; the end of standard input ends the program.
 *
 *   grow COUNT     nodes that there shall be; answered when the proxy knows all of them
 */
#include "bench/scale/fleet.h"
#include "bench/scale/lines.h"
#include "common/clock.h"
#include "net/time.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { EXIT_USAGE = 64, ERROR_SIZE = 256 };

#define GROW_US (20 * PCL_US_PER_S)
#define LOOK_US (20 * PCL_US_PER_MS)

typedef struct arguments {
    pcl_fleet_options fleet;
    const char *identities;
    uint32_t first;
} arguments;

static bool s_number(const char *text, uint32_t min, uint32_t max, uint32_t *out_number)
{
    char *end = NULL;
    unsigned long number = strtoul(text, &end, 10);
    if (end == text || *end != '\0' || number < min || number > max) {
        return false;
    }
    *out_number = (uint32_t)number;
    return true;
}

/* false: the option is none, or its value is out of range. */
static bool s_option(arguments *out, int option, const char *value)
{
    uint32_t number = 0;
    switch (option) {
    case 'p':
        out->fleet.endpoint = value;
        return true;
    case 'k':
        out->fleet.proxy_key = value;
        return true;
    case 'i':
        out->identities = value;
        return true;
    case 'f':
        return s_number(value, 0, PCL_IDENTITIES_MAX, &out->first);
    case 'n':
        return s_number(value, 1, PCL_NODES_MAX, &out->fleet.capacity);
    case 'q':
        return s_number(value, 1, PCL_IDENTITIES_MAX, &out->fleet.queue_max);
    case 's':
        out->fleet.service_us = strtod(value, NULL);
        return out->fleet.service_us > 0 && out->fleet.service_us < 1e9;
    case 'w':
        if (!s_number(value, 1, UINT16_MAX, &number)) {
            return false;
        }
        out->fleet.workers = (uint16_t)number;
        return true;
    case 'x':
        out->fleet.exponential = false;
        return true;
    case 'r':
        out->fleet.has_source = false;
        return true;
    default:
        return false;
    }
}

static bool s_parse(arguments *out, int argc, char **argv)
{
    static const struct option OPTIONS[] = {
        {"proxy", required_argument, NULL, 'p'},
        {"proxy-key", required_argument, NULL, 'k'},
        {"identities", required_argument, NULL, 'i'},
        {"first", required_argument, NULL, 'f'},
        {"capacity", required_argument, NULL, 'n'},
        {"service-us", required_argument, NULL, 's'},
        {"fixed", no_argument, NULL, 'x'},
        {"workers", required_argument, NULL, 'w'},
        {"queue-max", required_argument, NULL, 'q'},
        {"no-source", no_argument, NULL, 'r'},
        {NULL, 0, NULL, 0},
    };
    *out = (arguments){.fleet = {.capacity = PCL_NODES_MAX,
                                 .has_source = true,
                                 .service_us = 1000,
                                 .exponential = true,
                                 .workers = 8,
                                 .queue_max = 1024,
                                 .seed = 1}};
    int option = 0;
    while ((option = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        if (!s_option(out, option, optarg)) {
            return false;
        }
    }
    return optind == argc && out->fleet.endpoint != NULL && out->fleet.proxy_key != NULL &&
           out->identities != NULL;
}

/* Serves until so many are up. */
static void s_grow(pcl_fleet *fleet, uint32_t count, uint32_t capacity)
{
    char error[ERROR_SIZE] = "";
    if (count > capacity || !pcl_fleet_grow(fleet, count, error, sizeof error)) {
        printf("{\"error\": \"%s\"}\n", count > capacity ? "that is over --capacity" : error);
        return;
    }
    uint64_t end_us = pcl_now_us() + GROW_US;
    while (pcl_fleet_up(fleet) < pcl_fleet_count(fleet) && pcl_now_us() < end_us) {
        pcl_fleet_serve(fleet, LOOK_US, -1);
    }
    printf("{\"nodes\": %" PRIu32 ", \"up\": %" PRIu32 "}\n", pcl_fleet_count(fleet),
           pcl_fleet_up(fleet));
}

static void s_obey(pcl_fleet *fleet, uint32_t capacity, const char *line)
{
    uint32_t count = 0;
    if (sscanf(line, "grow %" SCNu32, &count) == 1) {
        s_grow(fleet, count, capacity);
    } else {
        printf("{\"error\": \"what is that?\"}\n");
    }
    (void)fflush(stdout);
}

static void s_serve(pcl_fleet *fleet, uint32_t capacity)
{
    pcl_lines orders = pcl_lines_of(STDIN_FILENO);
    char line[PCL_LINE_SIZE];
    while (!orders.ended) {
        pcl_fleet_serve(fleet, PCL_US_PER_S, orders.fd);
        while (pcl_lines_next(&orders, line)) {
            s_obey(fleet, capacity, line);
        }
    }
}

static int s_run(const arguments *settings, pcl_fleet_options *options)
{
    char error[ERROR_SIZE] = "";
    uint32_t count = 0;
    pcl_identity *identities = pcl_identities_load(settings->identities, settings->first,
                                                   options->capacity, &count, error, sizeof error);
    pcl_fleet *fleet = NULL;
    if (identities != NULL) {
        options->identities = identities;
        options->capacity = count;
        options->seed += settings->first;
        fleet = pcl_fleet_new(options, error, sizeof error);
    }
    int code = fleet != NULL ? EXIT_SUCCESS : EXIT_FAILURE;
    if (fleet == NULL) {
        fprintf(stderr, "scale_agents: %s\n", error);
    } else {
        s_serve(fleet, options->capacity);
    }
    pcl_fleet_destroy(&fleet);
    pcl_identities_free(&identities, count);
    return code;
}

int main(int argc, char **argv)
{
    arguments settings;
    if (!s_parse(&settings, argc, argv)) {
        fprintf(stderr,
                "usage: scale_agents --proxy ENDPOINT --proxy-key KEY --identities FILE\n"
                "                    [--first N] [--capacity N] [--service-us MEAN] [--fixed]\n"
                "                    [--workers N] [--queue-max N] [--no-source]\n");
        return EXIT_USAGE;
    }
    pcl_fleet_options options = settings.fleet;
    return s_run(&settings, &options);
}
