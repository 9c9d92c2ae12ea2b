#include "net/options.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

typedef struct s_parser {
    pcl_options options;
    const char *const *names;
    size_t name_count;
    char *error;
    size_t error_size;
} s_parser;

static bool s_fail(s_parser *self, const char *subject, const char *why)
{
    snprintf(self->error, self->error_size, "%s: %s", subject, why);
    return false;
}

static bool s_add_role(s_parser *self, const char *name, size_t size)
{
    pcl_options *options = &self->options;
    for (size_t index = 0; index < self->name_count; index++) {
        if (strlen(self->names[index]) != size || strncmp(self->names[index], name, size) != 0) {
            continue;
        }
        for (size_t held = 0; held < options->role_count; held++) {
            if (options->roles[held] == index) {
                return s_fail(self, self->names[index], "stands twice in --roles");
            }
        }
        options->roles[options->role_count++] = index;
        return true;
    }
    return s_fail(self, "--roles", "names a role that is not in this program");
}

static bool s_parse_roles(s_parser *self, const char *text)
{
    self->options.role_count = 0;
    for (;;) {
        size_t size = strcspn(text, ",");
        if (!s_add_role(self, text, size)) {
            return false;
        }
        if (text[size] == '\0') {
            return true;
        }
        text += size + 1;
    }
}

static bool s_is_action(s_parser *self, const char *option)
{
    static const struct {
        const char *name;
        pcl_options_action action;
    } ACTIONS[] = {
        {"--check-config", PCL_OPTIONS_CHECK_CONFIG},
        {"--print-config", PCL_OPTIONS_PRINT_CONFIG},
        {"--version", PCL_OPTIONS_VERSION},
        {"--help", PCL_OPTIONS_HELP},
        {"-h", PCL_OPTIONS_HELP},
    };
    for (size_t index = 0; index < sizeof ACTIONS / sizeof ACTIONS[0]; index++) {
        if (strcmp(option, ACTIONS[index].name) == 0) {
            self->options.action = ACTIONS[index].action;
            return true;
        }
    }
    return false;
}

static bool s_parse_threads(s_parser *self, const char *text)
{
    self->options.thread_each = strcmp(text, "each") == 0;
    return self->options.thread_each || strcmp(text, "one") == 0 ||
           s_fail(self, "--threads", "is one or each");
}

/* An option with a value: "--name VALUE" or "--name=VALUE". */
static bool s_parse_valued(s_parser *self, int argc, char **argv, int *index)
{
    const char *option = argv[*index];
    size_t size = strcspn(option, "=");
    bool several = self->name_count > 1;
    bool is_config = size == 8 && strncmp(option, "--config", size) == 0 && !several;
    bool is_folder = size == 12 && strncmp(option, "--config-dir", size) == 0 && several;
    bool is_roles = size == 7 && strncmp(option, "--roles", size) == 0 && several;
    bool is_threads = size == 9 && strncmp(option, "--threads", size) == 0 && several;
    if (!is_config && !is_folder && !is_roles && !is_threads) {
        return s_fail(self, option, "no such option; see --help");
    }
    const char *value = option + size + 1;
    if (option[size] == '\0') {
        ++*index;
        value = *index < argc ? argv[*index] : "";
    }
    if (value[0] == '\0') {
        return s_fail(self, option, "needs a value");
    }
    if (is_roles) {
        return s_parse_roles(self, value);
    }
    if (is_threads) {
        return s_parse_threads(self, value);
    }
    if (is_config) {
        self->options.config = value;
    } else {
        self->options.config_dir = value;
    }
    return true;
}

/* What the action needs beside itself. */
static bool s_complete(s_parser *self)
{
    pcl_options *options = &self->options;
    bool several = self->name_count > 1;
    bool needs_file = options->action == PCL_OPTIONS_RUN ||
                      options->action == PCL_OPTIONS_CHECK_CONFIG;
    if (needs_file && several && options->role_count == 0) {
        return s_fail(self, "--roles", "is missing; see --help");
    }
    if (needs_file && options->config == NULL && options->config_dir == NULL) {
        return s_fail(self, several ? "--config-dir" : "--config", "is missing; see --help");
    }
    if (options->role_count == 0) {
        for (size_t index = 0; index < self->name_count; index++) {
            options->roles[options->role_count++] = index;
        }
    }
    return true;
}

bool pcl_options_parse(pcl_options *out_options, int argc, char **argv, const char *const *names,
                       size_t name_count, char *error, size_t error_size)
{
    assert(out_options != NULL && argv != NULL && names != NULL && error != NULL);
    assert(name_count > 0 && name_count <= PCL_ROLES_MAX);
    s_parser self = {
        .names = names, .name_count = name_count, .error = error, .error_size = error_size};
    for (int index = 1; index < argc; index++) {
        if (!s_is_action(&self, argv[index]) && !s_parse_valued(&self, argc, argv, &index)) {
            return false;
        }
        if (self.options.action == PCL_OPTIONS_HELP || self.options.action == PCL_OPTIONS_VERSION) {
            break; /* whoever asks for help gets it */
        }
    }
    if (!s_complete(&self)) {
        return false;
    }
    *out_options = self.options;
    return true;
}
