/* bundle - the one file that a client needs: made of its parts, or shown without its secret. */
#include "client/bundle.h"

#include "client/bundle_file.h"
#include "client/command/command.h"
#include "client/command/key_argument.h"
#include "net/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

enum { ERROR_SIZE = 4096 };

static int s_fail(const char *error)
{
    pcl_buffer text;
    pcl_buffer_init(&text, ERROR_SIZE);
    pcl_buffer_put(&text, error, strlen(error));
    pcl_command_put_problems(pcl_buffer_bytes(&text));
    pcl_buffer_release(&text);
    return PCL_EXIT_CONFIG;
}

/* ---- showing --------------------------------------------------------------------------- */

static int s_show(const pcl_cli_line *line)
{
    char file[PATH_MAX];
    char error[ERROR_SIZE];
    pcl_bundle bundle;
    const char *named = line->operand_count > 0 ? line->operands[0] : pcl_cli_value(line, "bundle");
    if (named == NULL && !pcl_command_find_bundle(file, sizeof file)) {
        return s_fail("no client bundle is found");
    }
    if (!pcl_bundle_load(&bundle, named != NULL ? named : file, error, sizeof error)) {
        return s_fail(error);
    }
    (void)printf("principal: %s\n", bundle.principal[0] != '\0' ? bundle.principal : "not named");
    for (uint32_t index = 0; index < bundle.gatekeeper_count; index++) {
        (void)printf("gatekeeper: ");
        pcl_command_put_text(stdout, bundle.gatekeepers[index].endpoint);
        (void)printf("  %s\n", bundle.gatekeepers[index].public_key);
    }
    (void)printf("own public key: %s\n", bundle.public_key);
    (void)printf("broker: %s\n", bundle.broker_key[0] != '\0' ? bundle.broker_key : "not named");
    (void)printf("sealed: %s\n", bundle.broker_key[0] != '\0' ? "yes" : "no");
    pcl_bundle_wipe(&bundle);
    return PCL_EXIT_OK;
}

/* ---- making ------------------------------------------------------------------------------ */

/* Gatekeepers in the order of the line; a key is that of all before it that have none yet. */
static bool s_take_gatekeepers(const pcl_cli_line *line, pcl_bundle *bundle, char *error)
{
    for (size_t index = 0; index < line->given_count; index++) {
        const char *name = line->given[index].option->name;
        const char *value = line->given[index].value;
        if (strcmp(name, "gatekeeper") == 0) {
            if (bundle->gatekeeper_count == PCL_BUNDLE_GATEKEEPERS_MAX) {
                (void)snprintf(error, ERROR_SIZE, "there may be %u gatekeepers",
                               PCL_BUNDLE_GATEKEEPERS_MAX);
                return false;
            }
            if (!pcl_bundle_endpoint_valid(pcl_bytes_text(value))) {
                (void)snprintf(error, ERROR_SIZE,
                               "--gatekeeper %s: must be tcp://HOST:PORT or ipc://PATH", value);
                return false;
            }
            memcpy(bundle->gatekeepers[bundle->gatekeeper_count++].endpoint, value,
                   strlen(value) + 1);
        } else if (strcmp(name, "gatekeeper-key") == 0) {
            char key[PCL_KEY_TEXT_SIZE];
            if (!pcl_command_public_key(value, key, error, ERROR_SIZE)) {
                return false;
            }
            for (uint32_t each = 0; each < bundle->gatekeeper_count; each++) {
                if (bundle->gatekeepers[each].public_key[0] == '\0') {
                    memcpy(bundle->gatekeepers[each].public_key, key, sizeof key);
                }
            }
        }
    }
    return true;
}

static bool s_take_keys(const pcl_cli_line *line, pcl_bundle *bundle, char *error)
{
    const char *broker = pcl_cli_value(line, "broker-key");
    if (broker != NULL && !pcl_command_public_key(broker, bundle->broker_key, error, ERROR_SIZE)) {
        return false;
    }
    pcl_keys keys;
    const char *file = pcl_cli_value(line, "key");
    if (file == NULL) {
        pcl_keys_make(&keys); /* they are in the bundle and nowhere else */
    } else if (!pcl_command_own_keys(file, &keys, error, ERROR_SIZE)) {
        return false;
    }
    memcpy(bundle->public_key, keys.public_key, sizeof bundle->public_key);
    memcpy(bundle->secret_key, keys.secret_key, sizeof bundle->secret_key);
    pcl_keys_wipe(&keys);
    return true;
}

/* Appends the bundle; false: error says what is wrong with it.  What is written is what the same
 * reader takes that clients have. */
static bool s_write_text(const pcl_bundle *bundle, pcl_buffer *text, char *error)
{
    pcl_bundle again;
    pcl_buffer problems;
    pcl_buffer_init(&problems, ERROR_SIZE - 1);
    pcl_bundle_put(bundle, text);
    bool good = !text->failed &&
                pcl_bundle_parse(&again, pcl_buffer_bytes(text), "the bundle", &problems);
    if (good) {
        pcl_bundle_wipe(&again);
    } else {
        (void)snprintf(error, ERROR_SIZE, "%.*s", (int)problems.size,
                       problems.size > 0 ? (const char *)problems.data : "out of memory");
    }
    pcl_buffer_release(&problems);
    return good;
}

static bool s_write_file(const char *file, pcl_bytes text, char *error)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    size_t done = 0;
    bool good = fd >= 0;
    while (good && done < text.size) {
        ssize_t count = write(fd, text.data + done, text.size - done);
        good = count > 0 || (count < 0 && errno == EINTR);
        done += count > 0 ? (size_t)count : 0;
    }
    good = good && fsync(fd) == 0;
    int why = errno;
    if (fd >= 0 && close(fd) != 0 && good) {
        good = false;
        why = errno;
    }
    if (!good) {
        (void)snprintf(error, ERROR_SIZE, "%s: %s", file, strerror(why));
        if (fd >= 0) {
            (void)unlink(file); /* half a bundle helps nobody */
        }
    }
    return good;
}

static bool s_make(const pcl_cli_line *line, pcl_bundle *bundle, pcl_buffer *text, char *error)
{
    const char *principal = pcl_cli_value(line, "principal");
    if (principal != NULL && strlen(principal) > PCL_BUNDLE_NAME_SIZE_MAX) {
        (void)snprintf(error, ERROR_SIZE, "--principal: must be 1 to 63 characters");
        return false;
    }
    (void)snprintf(bundle->principal, sizeof bundle->principal, "%s",
                   principal != NULL ? principal : "");
    return s_take_gatekeepers(line, bundle, error) && s_take_keys(line, bundle, error) &&
           s_write_text(bundle, text, error);
}

int pcl_command_bundle(const pcl_cli_line *line)
{
    if (pcl_cli_has(line, "show")) {
        return s_show(line);
    }
    if (pcl_cli_value(line, "gatekeeper") == NULL) {
        return pcl_command_usage(line, "name a gatekeeper with --gatekeeper, or give --show");
    }
    const char *file = line->operand_count > 0 ? line->operands[0] : "client.bundle";
    bool to_stdout = strcmp(file, "-") == 0;
    char error[ERROR_SIZE];
    pcl_bundle bundle;
    pcl_buffer text;
    memset(&bundle, 0, sizeof bundle);
    pcl_buffer_init(&text, PCL_BUNDLE_SIZE_MAX);
    int code = PCL_EXIT_OK;
    if (!s_make(line, &bundle, &text, error) ||
        (!to_stdout && !s_write_file(file, pcl_buffer_bytes(&text), error))) {
        code = s_fail(error);
    } else if (to_stdout) {
        bool good = pcl_command_write(NULL, pcl_buffer_bytes(&text)) && fflush(stdout) == 0;
        code = good ? PCL_EXIT_OK : PCL_EXIT_CONFIG;
    } else {
        (void)printf("%s\n", bundle.public_key);
    }
    if (code == PCL_EXIT_OK && bundle.broker_key[0] == '\0') {
        (void)fputs("portcullis: without --broker-key nothing is sealed\n", stderr);
    }
    pcl_bundle_wipe(&bundle);
    pcl_file_wipe(&text);
    return code;
}
