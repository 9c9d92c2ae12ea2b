/* options.h - a daemon's command line; pure. */
#ifndef PCL_NET_OPTIONS_H
#define PCL_NET_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#define PCL_ROLES_MAX 8u

typedef enum pcl_options_action {
    PCL_OPTIONS_RUN = 0,
    PCL_OPTIONS_CHECK_CONFIG,
    PCL_OPTIONS_PRINT_CONFIG,
    PCL_OPTIONS_VERSION,
    PCL_OPTIONS_HELP,
} pcl_options_action;

typedef struct pcl_options {
    pcl_options_action action;
    const char *config;          /* borrowed from argv; NULL: not given */
    const char *config_dir;      /* likewise */
    size_t roles[PCL_ROLES_MAX]; /* indexes into the names, in the order asked for */
    size_t role_count;
    bool thread_each; /* a thread for each role, instead of one for all that can share one */
} pcl_options;

/* names: the roles of this binary; with more than one, --roles and
 * --config-dir take the place of --config, and there is --threads.  false: error says why. */
bool pcl_options_parse(pcl_options *out_options, int argc, char **argv, const char *const *names,
                       size_t name_count, char *error, size_t error_size);

#endif
