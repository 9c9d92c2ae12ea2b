/* portcullis-secret - writes the files of a secret of Secrets Manager into a folder, with the
 * credentials of the instance's role.  What an instance needs before any daemon can start. */
#include "aws/client.h"
#include "aws/store.h"
#include "common/clock.h"
#include "net/file.h"
#include "net/time.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 64 };

#define WAIT_S_MAX 3600u
#define TIMEOUT_MS 5000u

static const char USAGE[] =
    "usage: portcullis-secret --id ID --directory DIR [--region REGION] [--endpoint URL]\n"
    "                         [--imds URL] [--wait SECONDS]\n"
    "\n"
    "Writes each file of the secret {\"files\": {\"NAME\": \"CONTENT\", ...}} into DIR, readable "
    "by\n"
    "its owner alone, and says which of them changed.  The credentials are those of the\n"
    "instance's role, from its metadata service (IMDSv2).\n"
    "\n"
    "  --id ID           name or ARN of the secret\n"
    "  --directory DIR   where the files go; it must exist\n"
    "  --region REGION   default: the instance's own\n"
    "  --endpoint URL    of Secrets Manager; default: https://secretsmanager.REGION.amazonaws.com\n"
    "  --imds URL        of the metadata service; default: " PCL_AWS_METADATA_URL "\n"
    "  --wait SECONDS    how long it tries again, 0 to 3600; default: 60\n"
    "\n"
    "Exit status: 0 all files stand, 1 they do not (those that were there are as they were),\n"
    "64 usage.\n";

typedef struct command {
    const char *id, *folder, *region, *endpoint, *imds, *wait; /* borrowed from argv */
    uint32_t wait_s;
} command;

static bool s_take(command *self, const char *name, const char *value)
{
    const struct {
        const char *name;
        const char **place;
    } options[] = {{"--id", &self->id},         {"--directory", &self->folder},
                   {"--region", &self->region}, {"--endpoint", &self->endpoint},
                   {"--imds", &self->imds},     {"--wait", &self->wait}};
    for (size_t index = 0; index < sizeof options / sizeof options[0]; index++) {
        if (strcmp(name, options[index].name) == 0 && value != NULL) {
            *options[index].place = value;
            return true;
        }
    }
    return false;
}

/* NULL, or what is wrong. */
static const char *s_check(command *self)
{
    char *end = NULL;
    char word[PCL_AWS_WORD_SIZE];
    errno = 0;
    unsigned long wait_s = strtoul(self->wait, &end, 10);
    if (self->wait[0] < '0' || self->wait[0] > '9' || *end != '\0' || errno != 0 ||
        wait_s > WAIT_S_MAX) {
        return "--wait must be 0 to 3600 seconds";
    }
    self->wait_s = (uint32_t)wait_s;
    if (self->id[0] == '\0' || self->folder[0] == '\0') {
        return "--id and --directory must be given";
    }
    if (self->region[0] != '\0' && !pcl_aws_word(pcl_bytes_text(self->region), word)) {
        return "--region is not the name of a region";
    }
    if ((self->endpoint[0] != '\0' && pcl_aws_url_fault(self->endpoint) != NULL) ||
        (self->imds[0] != '\0' && pcl_aws_url_fault(self->imds) != NULL)) {
        return "an address must be http:// or https://, and a host, without a path behind it";
    }
    return NULL;
}

static bool s_parse(command *self, int argc, char **argv)
{
    *self = (command){
        .id = "", .folder = "", .region = "", .endpoint = "", .imds = "", .wait = "60"};
    for (int index = 1; index < argc; index += 2) {
        if (!s_take(self, argv[index], index + 1 < argc ? argv[index + 1] : NULL)) {
            (void)fprintf(stderr, "error: %s: not an option, or without its value\n", argv[index]);
            return false;
        }
    }
    const char *fault = s_check(self);
    if (fault != NULL) {
        (void)fprintf(stderr, "error: %s\n", fault);
    }
    return fault == NULL;
}

static void s_say_stored(void *context, const char *name, bool changed)
{
    (void)context;
    (void)printf("%s %s\n", name, changed ? "written" : "unchanged");
}

static bool s_try(const command *self, pcl_aws_client *client, char error[PCL_AWS_ERROR_SIZE])
{
    pcl_secret secret;
    char version[PCL_AWS_WORD_SIZE];
    pcl_buffer octets;
    pcl_buffer_init(&octets, PCL_SECRET_SIZE_MAX);
    bool done = pcl_aws_secret(client, self->id, &octets, &secret, version, error) &&
                pcl_secret_store(self->folder, &secret, pcl_buffer_bytes(&octets), s_say_stored,
                                 NULL, error, PCL_AWS_ERROR_SIZE);
    pcl_file_wipe(&octets);
    return done;
}

/* A role that was just made is not known everywhere at once, so every failure is tried again. */
static bool s_run(const command *self)
{
    pcl_aws_options options = {.metadata_url = self->imds,
                               .secrets_url = self->endpoint,
                               .region = self->region,
                               .timeout_ms = TIMEOUT_MS};
    pcl_aws_client *client = pcl_aws_client_new(&options);
    pcl_rng rng = pcl_rng_from_seed(pcl_random_u64());
    uint64_t end_us = pcl_now_us() + self->wait_s * PCL_US_PER_S;
    uint32_t failures = 0;
    bool done = false;
    for (;;) {
        char error[PCL_AWS_ERROR_SIZE] = "";
        done = s_try(self, client, error);
        if (done) {
            break;
        }
        uint32_t pause_ms = pcl_aws_pause_ms(++failures, &rng);
        bool again = pcl_now_us() + pause_ms * PCL_US_PER_MS <= end_us;
        (void)fprintf(stderr, "%s: %s\n", again ? "warning" : "error", error);
        if (!again) {
            break;
        }
        struct timespec pause = {.tv_sec = pause_ms / 1000,
                                 .tv_nsec = (long)(pause_ms % 1000) * 1000000};
        (void)nanosleep(&pause, NULL);
    }
    pcl_aws_client_destroy(&client);
    return done;
}

int main(int argc, char **argv)
{
    command self;
    (void)signal(SIGPIPE, SIG_IGN); /* a service that hangs up is a failure, and tried again */
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        (void)fputs(USAGE, stdout);
        return EXIT_DONE;
    }
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        (void)puts("portcullis-secret " PCL_VERSION);
        return EXIT_DONE;
    }
    if (!s_parse(&self, argc, argv)) {
        (void)fputs("Try 'portcullis-secret --help'.\n", stderr);
        return EXIT_USAGE;
    }
    return s_run(&self) ? EXIT_DONE : EXIT_FAILED;
}
