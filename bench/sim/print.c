#include "bench/sim/print.h"

#include <math.h>

enum { NAME_WIDTH = 18, CELL_WIDTH = 15 };

static void s_heads(FILE *out, const sim_runs *runs)
{
    (void)fprintf(out, "%-*s", NAME_WIDTH, "");
    for (uint32_t scenario = 0; scenario < runs->table->scenario_count; scenario++) {
        (void)fprintf(out, "%*s", CELL_WIDTH, runs->table->scenarios[scenario].name);
    }
    (void)fputc('\n', out);
}

static void s_number(char *target, size_t size, double value)
{
    int digits = fabs(value) >= 101 ? 0 : fabs(value) >= 99 ? 2 : fabs(value) >= 10 ? 1 : 2;
    (void)snprintf(target, size, "%.*f", digits, value);
}

/* A row a policy, a column a scenario; published values in brackets. */
static void s_by_policy(FILE *out, const sim_runs *runs, sim_figure figure, bool with_published)
{
    s_heads(out, runs);
    for (uint32_t policy = 0; policy < runs->policy_count; policy++) {
        (void)fprintf(out, "%-*s", NAME_WIDTH, runs->policies[policy]->name);
        for (uint32_t scenario = 0; scenario < runs->table->scenario_count; scenario++) {
            char number[32];
            char cell[80];
            s_number(number, sizeof number,
                     sim_runs_median(runs, scenario, policy, figure, NULL, NULL));
            double published = sim_table_published(runs->table, scenario,
                                                   runs->policies[policy]->name);
            if (with_published && !isnan(published)) {
                (void)snprintf(cell, sizeof cell, "%s [%g]", number, published);
            } else {
                (void)snprintf(cell, sizeof cell, "%s", number);
            }
            (void)fprintf(out, "%*s", CELL_WIDTH, cell);
        }
        (void)fputc('\n', out);
    }
}

static void s_policy_heads(FILE *out, const sim_runs *runs)
{
    (void)fprintf(out, "%-*s", NAME_WIDTH, "");
    for (uint32_t policy = 0; policy < runs->policy_count; policy++) {
        (void)fprintf(out, " %17.17s", runs->policies[policy]->name);
    }
    (void)fputc('\n', out);
}

static bool s_is_all_zero(const sim_runs *runs, uint32_t scenario, sim_figure figure)
{
    for (uint32_t policy = 0; policy < runs->policy_count; policy++) {
        double median = sim_runs_median(runs, scenario, policy, figure, NULL, NULL);
        if (median < 0 || median > 0) {
            return false;
        }
    }
    return true;
}

/* A row a scenario: medians.  Where all is 0 there is no row. */
static void s_medians_by_scenario(FILE *out, const sim_runs *runs, sim_figure figure)
{
    s_policy_heads(out, runs);
    for (uint32_t scenario = 0; scenario < runs->table->scenario_count; scenario++) {
        if (s_is_all_zero(runs, scenario, figure)) {
            continue;
        }
        (void)fprintf(out, "%-*s", NAME_WIDTH, runs->table->scenarios[scenario].name);
        for (uint32_t policy = 0; policy < runs->policy_count; policy++) {
            (void)fprintf(out, " %17.3f",
                          sim_runs_median(runs, scenario, policy, figure, NULL, NULL));
        }
        (void)fputc('\n', out);
    }
}

/* A row a scenario: what the oracle took, then each policy as a multiple. */
static void s_ratios_by_scenario(FILE *out, const sim_runs *runs, sim_figure figure)
{
    double logs[SIM_TABLE_POLICIES_MAX] = {0};
    double worst[SIM_TABLE_POLICIES_MAX] = {0};
    s_policy_heads(out, runs);
    for (uint32_t scenario = 0; scenario < runs->table->scenario_count; scenario++) {
        (void)fprintf(out, "%-*s", NAME_WIDTH, runs->table->scenarios[scenario].name);
        (void)fprintf(out, " %17.2f", sim_runs_median(runs, scenario, 0, figure, NULL, NULL));
        for (uint32_t policy = 1; policy < runs->policy_count; policy++) {
            double ratio = sim_runs_ratio(runs, scenario, policy, figure);
            logs[policy] += log(ratio);
            worst[policy] = fmax(worst[policy], ratio);
            (void)fprintf(out, " %17.3f", ratio);
        }
        (void)fputc('\n', out);
    }
    (void)fprintf(out, "%-*s %17s", NAME_WIDTH, "geometric mean", "");
    for (uint32_t policy = 1; policy < runs->policy_count; policy++) {
        (void)fprintf(out, " %17.4f", exp(logs[policy] / runs->table->scenario_count));
    }
    (void)fprintf(out, "\n%-*s %17s", NAME_WIDTH, "worst", "");
    for (uint32_t policy = 1; policy < runs->policy_count; policy++) {
        (void)fprintf(out, " %17.3f", worst[policy]);
    }
    (void)fputc('\n', out);
}

static bool s_is_ratio(sim_figure figure)
{
    return figure <= SIM_P999_MS;
}

void sim_print_table(FILE *out, const sim_runs *runs)
{
    const sim_table *table = runs->table;
    (void)fprintf(out, "== %s: %s; %u seeds\n", table->name, table->title, runs->seed_count);
    for (uint32_t index = 0; index < table->figure_count; index++) {
        sim_figure figure = table->figures[index];
        if (table->ratios && s_is_ratio(figure)) {
            (void)fprintf(out, "\n%s: oracle's, and the others as multiples\n",
                          sim_figure_name(figure));
            s_ratios_by_scenario(out, runs, figure);
        } else if (table->ratios) {
            (void)fprintf(out, "\n%s: median\n", sim_figure_name(figure));
            s_medians_by_scenario(out, runs, figure);
        } else {
            (void)fprintf(out, "\n%s: median%s\n", sim_figure_name(figure),
                          index == 0 && table->published_count > 0 ? " [published]" : "");
            s_by_policy(out, runs, figure, index == 0);
        }
    }
    (void)fputc('\n', out);
}

void sim_print_csv_head(FILE *out)
{
    (void)fputs("table,scenario,policy,figure,median,low,high,published,seeds\n", out);
}

void sim_print_csv(FILE *out, const sim_runs *runs)
{
    const sim_table *table = runs->table;
    for (uint32_t scenario = 0; scenario < table->scenario_count; scenario++) {
        for (uint32_t policy = 0; policy < runs->policy_count; policy++) {
            for (sim_figure figure = 0; figure < SIM_FIGURE_COUNT; figure++) {
                double low;
                double high;
                double median = sim_runs_median(runs, scenario, policy, figure, &low, &high);
                double published = figure == table->figures[0]
                                       ? sim_table_published(table, scenario,
                                                             runs->policies[policy]->name)
                                       : NAN;
                (void)fprintf(out, "%s,%s,%s,%s,%.6g,%.6g,%.6g,", table->name,
                              table->scenarios[scenario].name, runs->policies[policy]->name,
                              sim_figure_name(figure), median, low, high);
                if (!isnan(published)) {
                    (void)fprintf(out, "%g", published);
                }
                (void)fprintf(out, ",%u\n", runs->seed_count);
            }
        }
    }
}
