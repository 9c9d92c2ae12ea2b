#include "client/command/command.h"

#include "client/bundle_file.h"
#include "client/command/table.h"
#include "client/format.h"
#include "client/result.h"
#include "wire/json.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const char *s_program; /* argv[0] */

void pcl_command_set_program(const char *path)
{
    s_program = path;
}

int pcl_command_usage(const pcl_cli_line *line, const char *problem)
{
    const char *program = line->cli->program;
    const char *command = line->command != NULL ? line->command->name : "";
    (void)fprintf(stderr, "%s: %s%s%s (%s %s%s--help tells more)\n", program, command,
                  command[0] != '\0' ? ": " : "", problem, program, command,
                  command[0] != '\0' ? " " : "");
    return PCL_EXIT_USAGE;
}

bool pcl_command_find_bundle(char *path, size_t path_size)
{
    return pcl_bundle_find(s_program, path, path_size);
}

static portcullis *s_open(const pcl_cli_line *line, bool causal)
{
    char found[PATH_MAX];
    const char *file = pcl_cli_value(line, "bundle");
    if (file == NULL) {
        if (!pcl_command_find_bundle(found, sizeof found)) {
            (void)fprintf(stderr,
                          "portcullis: no client bundle is found (give --bundle FILE, or start a "
                          "cluster; portcullis --help has the places)\n");
            return NULL;
        }
        file = found;
    }
    char error[4096];
    portcullis_options options = {.bundle_file = file, .causal = causal};
    portcullis *client = portcullis_open_options(&options, error, sizeof error);
    for (char *start = error, *end = NULL; client == NULL && start != NULL; start = end) {
        end = strchr(start, '\n');
        if (end != NULL) {
            *end++ = '\0';
        }
        (void)fputs("portcullis: ", stderr);
        pcl_command_put_text(stderr, start);
        (void)fputc('\n', stderr);
    }
    return client;
}

portcullis *pcl_command_open(const pcl_cli_line *line)
{
    return s_open(line, false);
}

portcullis *pcl_command_open_causal(const pcl_cli_line *line)
{
    return s_open(line, true);
}

bool pcl_command_parse_id(const char *text, uint8_t *out_id)
{
    static const char digits[] = "00112233445566778899aAbBcCdDeEfF";
    uint8_t id[PCL_ID_SIZE] = {0};
    size_t count = 0;
    for (; *text != '\0'; text++) {
        const char *digit = strchr(digits, *text);
        if (*text == '-' && count > 0) {
            continue;
        }
        if (digit == NULL || count == 2 * sizeof id) {
            return false;
        }
        id[count / 2] = (uint8_t)(id[count / 2] << 4 | (uint8_t)((digit - digits) / 2));
        count++;
    }
    memcpy(out_id, id, sizeof id);
    return count == 2 * sizeof id;
}

void pcl_command_put_text(FILE *stream, const char *text)
{
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, SIZE_MAX);
    pcl_format_put_text(&buffer, pcl_bytes_text(text));
    (void)fwrite(buffer.data != NULL ? (const char *)buffer.data : "", 1, buffer.size, stream);
    pcl_buffer_release(&buffer);
}

bool pcl_command_write(void *context, pcl_bytes text)
{
    FILE *out = context != NULL ? context : stdout;
    return text.size == 0 || fwrite(text.data, 1, text.size, out) == text.size;
}

bool pcl_command_set_consistency(portcullis_request *request, const char *text,
                                 const char **out_problem)
{
    char *end = NULL;
    if (strcmp(text, "any") == 0) {
        portcullis_request_set_consistency_any(request);
        return true;
    }
    if (strcmp(text, "source") == 0) {
        portcullis_request_set_consistency_source(request);
        return true;
    }
    if (strncmp(text, "max-lag=", 8) == 0) {
        *out_problem = "max-lag=MS needs a whole number";
        errno = 0;
        unsigned long lag_ms = strtoul(text + 8, &end, 10);
        bool digits = text[8] >= '0' && text[8] <= '9' && *end == '\0';
        if (digits && errno == 0 && lag_ms <= UINT32_MAX) {
            portcullis_request_set_consistency_max_lag(request, (uint32_t)lag_ms);
            return true;
        }
        return false;
    }
    if (strncmp(text, "after=", 6) == 0) {
        *out_problem = "after=TOKEN needs a token";
        return portcullis_request_set_consistency_after(request, text + 6, strlen(text + 6));
    }
    *out_problem = "must be any, source, max-lag=MS or after=TOKEN";
    return false;
}

int pcl_command_exit(const portcullis_result *result)
{
    portcullis_code code = portcullis_result_code(result);
    if (code == PORTCULLIS_OK) {
        return PCL_EXIT_OK;
    }
    if (code == PORTCULLIS_SQL) {
        return PCL_EXIT_SQL;
    }
    switch (portcullis_result_retry(result)) {
    case PORTCULLIS_RETRY_SAFE:
        return PCL_EXIT_RETRY;
    case PORTCULLIS_RETRY_UNSAFE:
        return PCL_EXIT_UNKNOWN;
    case PORTCULLIS_RETRY_NEVER:
        break;
    }
    return PCL_EXIT_REFUSED;
}

/* What the person at the terminal may do. */
static const char *s_hint(const portcullis_result *result)
{
    portcullis_code code = portcullis_result_code(result);
    portcullis_retry retry = portcullis_result_retry(result);
    if (retry == PORTCULLIS_RETRY_UNSAFE) {
        return "it may have run: look before you send it again";
    }
    if (code == PORTCULLIS_UNAVAILABLE && strcmp(portcullis_result_hop(result), "client") == 0) {
        return "nothing ran; is the cluster up, and the bundle of this cluster?";
    }
    if (code == PORTCULLIS_DEADLINE) {
        return "send it again with a longer --timeout";
    }
    if (code == PORTCULLIS_CANCELLED) {
        return ""; /* that is what was asked for */
    }
    if (code == PORTCULLIS_GONE) {
        return "what it belonged to has ended: begin anew";
    }
    if (code == PORTCULLIS_FORBIDDEN) {
        return "ask whoever runs the cluster";
    }
    if (retry == PORTCULLIS_RETRY_SAFE) {
        return "it is safe to send it again";
    }
    if (code == PORTCULLIS_TOO_LARGE) {
        return "make it smaller";
    }
    return "";
}

int pcl_command_fail(const portcullis_result *result, const char *what)
{
    (void)fflush(stdout); /* what went well comes first */
    (void)fputs("portcullis: ", stderr);
    if (what != NULL) {
        (void)fprintf(stderr, "%s: ", what);
    }
    pcl_command_put_text(stderr, portcullis_result_code_text(result));
    (void)fputs(": ", stderr);
    pcl_command_put_text(stderr, portcullis_result_message(result));
    if (portcullis_result_errno(result) != 0) {
        (void)fprintf(stderr, " (error %u, %s)", portcullis_result_errno(result),
                      portcullis_result_sqlstate(result));
    }
    const char *hint = s_hint(result);
    (void)fputs(" [", stderr);
    pcl_command_put_text(stderr, portcullis_result_hop(result));
    (void)fprintf(stderr, "%s%s]\n", hint[0] != '\0' ? "; " : "", hint);
    return pcl_command_exit(result);
}

/* key=value of the plain values of a map; what holds others is left out. */
static void s_put_pairs(pcl_buffer *text, pcl_bytes map)
{
    pcl_tree_walk walk = pcl_tree_pairs(map);
    pcl_bytes key;
    pcl_bytes octets;
    while (pcl_tree_next_pair(&walk, &key, &octets)) {
        pcl_mp_value value = pcl_tree_value(octets);
        if (value.type == PCL_MP_ARRAY || value.type == PCL_MP_MAP) {
            continue;
        }
        pcl_buffer_put_u8(text, ' ');
        pcl_format_put_text(text, key);
        pcl_buffer_put_u8(text, '=');
        if (value.type == PCL_MP_STR) {
            pcl_format_put_text(text, value.bytes);
        } else if (!pcl_json_put(text, octets)) {
            return;
        }
    }
}

/* A line for each map in the arrays of a map: candidates, nodes left out. */
static void s_put_lists(pcl_buffer *text, pcl_bytes map)
{
    pcl_tree_walk walk = pcl_tree_pairs(map);
    pcl_bytes key;
    pcl_bytes list;
    pcl_bytes item;
    while (pcl_tree_next_pair(&walk, &key, &list)) {
        pcl_tree_walk items = pcl_tree_items(list);
        while (pcl_tree_next_item(&items, &item)) {
            pcl_buffer_put(text, "\n  ", 3);
            pcl_format_put_text(text, key);
            pcl_buffer_put_u8(text, ':');
            s_put_pairs(text, item);
        }
    }
}

void pcl_command_put_route(const portcullis_result *result)
{
    const pcl_reply *reply = pcl_result_reply(result);
    if (reply == NULL || reply->route.size == 0) {
        return;
    }
    pcl_buffer text;
    pcl_buffer_init(&text, SIZE_MAX);
    pcl_buffer_put(&text, "route:", 6);
    s_put_pairs(&text, reply->route);
    s_put_lists(&text, reply->route);
    pcl_buffer_put_u8(&text, '\n');
    if (!text.failed) {
        (void)fflush(stdout);
        (void)fwrite(text.data, 1, text.size, stderr);
    }
    pcl_buffer_release(&text);
}
