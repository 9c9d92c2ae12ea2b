/* main.c - portcullis-sim: the strategies on simulated clusters. */
#include "bench/sim/print.h"
#include "bench/sim/table.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct s_options {
    const char *tables, *policies, *scenarios, *csv;
    uint32_t seeds, threads;
    uint64_t seed_first;
    double shorten;
} s_options;

static const char USAGE[] =
    "usage: portcullis-sim [-t TABLE,...] [-n SCENARIO,...] [-p POLICY,...] [-s SEEDS]\n"
    "                      [-f FIRST] [-j THREADS] [-x TIMES] [-o FILE]\n"
    "\n"
    "Simulates clusters under the shipped strategies and others, and prints tables:\n"
    "medians over the seeds, or multiples of what a perfect-information oracle takes.\n"
    "\n"
    "  -t  these tables only; -t list names them\n"
    "  -n  these scenarios of them only\n"
    "  -p  these policies only, whether the table has them or not\n"
    "  -s  seeds a cell; default: the table's own number\n"
    "  -f  first seed (1)\n"
    "  -j  threads (2)\n"
    "  -x  measure for so many times shorter (1)\n"
    "  -o  write every figure as comma-separated values, too\n";

static bool s_listed(const char *list, const char *name)
{
    size_t size = strlen(name);
    for (const char *at = list; *at != '\0';) {
        size_t length = strcspn(at, ",");
        if (length == size && memcmp(at, name, size) == 0) {
            return true;
        }
        at += length + (at[length] == ',' ? 1 : 0);
    }
    return false;
}

static void s_add_policy(sim_runs *runs, const char *name)
{
    const sim_policy *policy = sim_policy_find(name);
    if (policy == NULL) {
        (void)fprintf(stderr, "portcullis-sim: no policy is called %s\n", name);
        exit(64);
    }
    if (runs->policy_count < SIM_TABLE_POLICIES_MAX) {
        runs->policies[runs->policy_count++] = policy;
    }
}

static void s_choose_policies(sim_runs *runs, const char *wanted)
{
    if (wanted == NULL) {
        for (uint32_t index = 0; runs->table->policies[index] != NULL; index++) {
            s_add_policy(runs, runs->table->policies[index]);
        }
        return;
    }
    const char *first = runs->table->ratios ? runs->table->policies[0] : "";
    if (*first != '\0') {
        s_add_policy(runs, first); /* multiples are of the first one's figures */
    }
    char names[1024];
    (void)snprintf(names, sizeof names, "%s", wanted);
    char *rest = NULL;
    for (char *name = strtok_r(names, ",", &rest); name != NULL;
         name = strtok_r(NULL, ",", &rest)) {
        if (strcmp(name, first) != 0) {
            s_add_policy(runs, name);
        }
    }
}

/* The table with the wanted scenarios only. */
static sim_table s_part(const sim_table *table, const char *wanted, sim_scenario *scenarios)
{
    sim_table part = *table;
    part.scenarios = scenarios;
    part.scenario_count = 0;
    for (uint32_t index = 0; index < table->scenario_count; index++) {
        if (wanted == NULL || s_listed(wanted, table->scenarios[index].name)) {
            scenarios[part.scenario_count++] = table->scenarios[index];
        }
    }
    return part;
}

static void s_do_table(const sim_table *whole, const s_options *options, FILE *csv)
{
    sim_scenario scenarios[SIM_TABLE_SCENARIOS_MAX];
    sim_table table = s_part(whole, options->scenarios, scenarios);
    if (table.scenario_count == 0) {
        return;
    }
    sim_runs runs = {.table = &table,
                     .seed_first = options->seed_first,
                     .seed_count = options->seeds > 0 ? options->seeds : table.seeds};
    s_choose_policies(&runs, options->policies);
    sim_runs_do(&runs, options->threads, options->shorten);
    sim_print_table(stdout, &runs);
    (void)fflush(stdout);
    if (csv != NULL) {
        sim_print_csv(csv, &runs);
    }
    sim_runs_free(&runs);
}

static double s_number(const char *text, double low, double high)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= low && value <= high)) {
        (void)fprintf(stderr, "portcullis-sim: %s is not from %g to %g\n", text, low, high);
        exit(64);
    }
    return value;
}

static s_options s_parse(int argc, char **argv)
{
    s_options options = {.threads = 2, .seed_first = 1, .shorten = 1};
    int option;
    while ((option = getopt(argc, argv, "t:n:p:s:f:j:x:o:h")) != -1) {
        switch (option) {
        case 't':
            options.tables = optarg;
            break;
        case 'n':
            options.scenarios = optarg;
            break;
        case 'p':
            options.policies = optarg;
            break;
        case 's':
            options.seeds = (uint32_t)s_number(optarg, 1, 256);
            break;
        case 'f':
            options.seed_first = (uint64_t)s_number(optarg, 1, 1e9);
            break;
        case 'j':
            options.threads = (uint32_t)s_number(optarg, 1, 64);
            break;
        case 'x':
            options.shorten = s_number(optarg, 1, 1000);
            break;
        case 'o':
            options.csv = optarg;
            break;
        default:
            (void)fputs(USAGE, option == 'h' ? stdout : stderr);
            exit(option == 'h' ? 0 : 64);
        }
    }
    return options;
}

int main(int argc, char **argv)
{
    s_options options = s_parse(argc, argv);
    if (options.tables != NULL && strcmp(options.tables, "list") == 0) {
        for (uint32_t index = 0; SIM_TABLES[index] != NULL; index++) {
            (void)printf("%-12s %s\n", SIM_TABLES[index]->name, SIM_TABLES[index]->title);
        }
        return 0;
    }
    FILE *csv = NULL;
    if (options.csv != NULL) {
        csv = fopen(options.csv, "w");
        if (csv == NULL) {
            perror(options.csv);
            return 1;
        }
        sim_print_csv_head(csv);
    }
    uint32_t done = 0;
    for (uint32_t index = 0; SIM_TABLES[index] != NULL; index++) {
        if (options.tables == NULL || s_listed(options.tables, SIM_TABLES[index]->name)) {
            s_do_table(SIM_TABLES[index], &options, csv);
            done++;
        }
    }
    if (csv != NULL && fclose(csv) != 0) {
        perror(options.csv);
        return 1;
    }
    if (done == 0) {
        (void)fputs("portcullis-sim: no such table; -t list names them\n", stderr);
        return 64;
    }
    return 0;
}
