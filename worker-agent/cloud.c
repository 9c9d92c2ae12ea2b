#include "worker-agent/cloud.h"

#include "aws/client.h"
#include "aws/store.h"
#include "common/clock.h"
#include "net/file.h"
#include "net/log.h"
#include "net/time.h"
#include "worker-agent/ticker.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_SIZE_MAX 4096u

/* When to ask a service again. */
typedef struct schedule {
    uint64_t due_us;
    uint32_t failures; /* in a row */
} schedule;

struct pcl_cloud {
    const char *who; /* borrowed */
    bool asks_metadata;
    bool zone_given; /* by a setting */
    char secret_id[PCL_AWS_SECRET_ID_MAX + 1];
    char secret_folder[PATH_SIZE_MAX];
    uint32_t refresh_ms;
    pcl_aws_client *client;
    pcl_ticker *ticker; /* NULL: there is nothing to ask */
    /* The thread's own: */
    schedule metadata, secret;
    char secret_version[PCL_AWS_WORD_SIZE];
    pcl_rng rng;
    pthread_mutex_t lock;
    pcl_cloud_view view; /* under the lock; written by the thread only */
};

/* --- Publishing ------------------------------------------------------------------- */

static void s_publish(pcl_cloud *self, const pcl_cloud_view *view)
{
    (void)pthread_mutex_lock(&self->lock);
    self->view = *view;
    (void)pthread_mutex_unlock(&self->lock);
}

/* When it is to be asked again; says each change once. */
static void s_plan(pcl_cloud *self, schedule *plan, const char *what, bool answered,
                   uint32_t interval_ms, const char *error)
{
    uint32_t wait_ms = interval_ms;
    if (answered) {
        if (plan->failures > 0) {
            pcl_log(PCL_LOG_INFO, self->who, "cloud_back", "service=%s failures=%" PRIu32, what,
                    plan->failures);
        }
        plan->failures = 0;
        wait_ms = pcl_aws_jitter_ms(interval_ms, &self->rng);
    } else {
        plan->failures++;
        wait_ms = pcl_aws_pause_ms(plan->failures, &self->rng);
        if (plan->failures == 1) {
            char escaped[PCL_AWS_ERROR_SIZE];
            pcl_log(PCL_LOG_WARNING, self->who, "cloud_lost", "service=%s reason=\"%s\"", what,
                    pcl_log_escape(error, escaped, sizeof escaped));
        }
    }
    plan->due_us = pcl_now_us() + wait_ms * PCL_US_PER_MS;
}

/* --- The instance ------------------------------------------------------------------- */

static bool s_learn_zone(pcl_cloud *self, pcl_cloud_view *view, char error[PCL_AWS_ERROR_SIZE])
{
    char zone[PCL_AWS_WORD_SIZE];
    char instance[PCL_AWS_WORD_SIZE];
    if (view->zone[0] != '\0') {
        return true; /* an instance does not move */
    }
    if (pcl_aws_metadata_word(self->client, "placement/availability-zone", zone, error) !=
            PCL_ERR_OK ||
        pcl_aws_metadata_word(self->client, "instance-id", instance, error) != PCL_ERR_OK) {
        return false;
    }
    if (!pcl_zone_is_valid(pcl_bytes_text(zone))) {
        (void)snprintf(error, PCL_AWS_ERROR_SIZE, "metadata: the zone has no zone's name");
        return false;
    }
    pcl_bytes_to_text(pcl_bytes_text(zone), view->zone, sizeof view->zone);
    pcl_log(PCL_LOG_INFO, self->who, "zone", "zone=%s instance=%s", zone, instance);
    return true;
}

/* GONE is the usual answer to both questions. */
static bool s_look_for_notices(pcl_cloud *self, pcl_cloud_view *view,
                               char error[PCL_AWS_ERROR_SIZE])
{
    pcl_aws_notice notice;
    pcl_buffer answer;
    pcl_err err = pcl_aws_metadata_notice(self->client, &notice, error);
    if (err == PCL_ERR_OK && view->notice != PCL_CLOUD_ENDS) {
        view->notice = PCL_CLOUD_ENDS;
        pcl_log(PCL_LOG_WARNING, self->who, "spot_notice", "action=%s at=%" PRIu64, notice.action,
                notice.at_s);
    }
    if (err == PCL_ERR_UNAVAILABLE || view->notice != PCL_CLOUD_STAYS) {
        return err != PCL_ERR_UNAVAILABLE;
    }
    pcl_buffer_init(&answer, PCL_AWS_ANSWER_SIZE_MAX);
    err = pcl_aws_metadata(self->client, "events/recommendations/rebalance", &answer, error);
    pcl_buffer_release(&answer); /* that it is there says it */
    if (err == PCL_ERR_OK) {
        view->notice = PCL_CLOUD_REBALANCE;
        pcl_log(PCL_LOG_WARNING, self->who, "rebalance_notice", "%s", "");
    }
    return err != PCL_ERR_UNAVAILABLE;
}

static void s_ask_metadata(pcl_cloud *self, pcl_cloud_view *view)
{
    char error[PCL_AWS_ERROR_SIZE] = "";
    char zone_error[PCL_AWS_ERROR_SIZE] = "";
    bool zoned = s_learn_zone(self, view, zone_error);
    bool looked = s_look_for_notices(self, view, error); /* also where nobody knows the zone */
    view->metadata_failures += zoned && looked ? 0 : 1;
    s_plan(self, &self->metadata, "metadata", zoned && looked, PCL_CLOUD_LOOK_MS,
           zoned ? error : zone_error);
}

/* --- The secret --------------------------------------------------------------------- */

typedef struct stored {
    pcl_cloud *cloud;
    const char *version;
    uint32_t changed;
} stored;

static void s_on_stored(void *context, const char *name, bool changed)
{
    stored *self = context;
    if (changed) {
        self->changed++;
        pcl_log(PCL_LOG_INFO, self->cloud->who, "secret_stored", "file=%s version=%s", name,
                self->version);
    }
}

static void s_refresh_secret(pcl_cloud *self, pcl_cloud_view *view)
{
    char error[PCL_AWS_ERROR_SIZE] = "";
    char version[PCL_AWS_WORD_SIZE] = "";
    pcl_secret secret;
    pcl_buffer octets;
    stored told = {.cloud = self, .version = version};
    pcl_buffer_init(&octets, PCL_SECRET_SIZE_MAX);
    bool done = pcl_aws_secret(self->client, self->secret_id, &octets, &secret, version, error) &&
                pcl_secret_store(self->secret_folder, &secret, pcl_buffer_bytes(&octets),
                                 s_on_stored, &told, error, sizeof error);
    pcl_file_wipe(&octets);
    view->secret_failures += done ? 0 : 1;
    view->secret_changes += told.changed > 0 ? 1 : 0;
    s_plan(self, &self->secret, "secret", done, self->refresh_ms, error);
}

/* --- The thread's turn ---------------------------------------------------------------- */

static uint32_t s_turn(void *context)
{
    pcl_cloud *self = context;
    pcl_cloud_view view = self->view; /* nobody else writes it */
    uint64_t next_us = UINT64_MAX;
    if (self->asks_metadata && pcl_now_us() >= self->metadata.due_us) {
        s_ask_metadata(self, &view);
        s_publish(self, &view);
    }
    if (self->secret_id[0] != '\0' && pcl_now_us() >= self->secret.due_us) {
        s_refresh_secret(self, &view);
        s_publish(self, &view);
    }
    next_us = self->asks_metadata ? self->metadata.due_us : next_us;
    if (self->secret_id[0] != '\0' && self->secret.due_us < next_us) {
        next_us = self->secret.due_us;
    }
    uint64_t wait_ms = pcl_time_left_us(next_us, pcl_now_us()) / PCL_US_PER_MS + 1;
    return wait_ms < UINT32_MAX ? (uint32_t)wait_ms : UINT32_MAX;
}

pcl_cloud *pcl_cloud_new(const pcl_config *config, const char *who)
{
    pcl_cloud *self = calloc(1, sizeof *self);
    assert(self != NULL);
    int failed = pthread_mutex_init(&self->lock, NULL);
    assert(failed == 0);
    self->who = who;
    self->rng = pcl_rng_from_seed(pcl_random_u64());
    self->asks_metadata = pcl_config_bool(config, "aws/metadata");
    self->refresh_ms = (uint32_t)pcl_config_uint(config, "aws/refresh_ms");
    pcl_bytes_to_text(pcl_bytes_text(pcl_config_text(config, "node/zone")), self->view.zone,
                      sizeof self->view.zone);
    (void)snprintf(self->secret_id, sizeof self->secret_id, "%s",
                   pcl_config_text(config, "aws/secret_id"));
    (void)snprintf(self->secret_folder, sizeof self->secret_folder, "%s",
                   pcl_config_text(config, "aws/secret_directory"));
    if (self->asks_metadata || self->secret_id[0] != '\0') {
        pcl_aws_options options = {
            .metadata_url = pcl_config_text(config, "aws/metadata_endpoint"),
            .secrets_url = pcl_config_text(config, "aws/secrets_endpoint"),
            .region = pcl_config_text(config, "aws/region"),
            .timeout_ms = (uint32_t)pcl_config_uint(config, "aws/timeout_ms"),
        };
        self->client = pcl_aws_client_new(&options);
        self->ticker = pcl_ticker_new(s_turn, self);
    }
    return self;
}

bool pcl_cloud_destroy(pcl_cloud **self_p, uint32_t wait_ms)
{
    pcl_cloud *self = *self_p;
    if (self == NULL) {
        return true;
    }
    if (self->client != NULL) {
        pcl_aws_client_stop(self->client);
        if (!pcl_ticker_stop(&self->ticker, wait_ms)) {
            return false;
        }
    }
    pcl_aws_client_destroy(&self->client);
    (void)pthread_mutex_destroy(&self->lock);
    free(self);
    *self_p = NULL;
    return true;
}

void pcl_cloud_look(pcl_cloud *self, pcl_cloud_view *out_view)
{
    (void)pthread_mutex_lock(&self->lock);
    *out_view = self->view;
    (void)pthread_mutex_unlock(&self->lock);
}

/* --- Settings --------------------------------------------------------------------------- */

static void s_check_url(const pcl_config *config, pcl_buffer *problems, const char *path)
{
    const char *url = pcl_config_text(config, path);
    const char *fault = url[0] != '\0' ? pcl_aws_url_fault(url) : NULL;
    if (fault != NULL) {
        pcl_config_problem(config, problems, path, "%s", fault);
    }
}

void pcl_cloud_check(const pcl_config *config, pcl_buffer *problems)
{
    char word[PCL_AWS_WORD_SIZE];
    const char *region = pcl_config_text(config, "aws/region");
    s_check_url(config, problems, "aws/metadata_endpoint");
    s_check_url(config, problems, "aws/secrets_endpoint");
    if (!pcl_zone_is_valid(pcl_bytes_text(pcl_config_text(config, "node/zone")))) {
        pcl_config_problem(config, problems, "node/zone",
                           "may have letters, digits, -, . and _ only");
    }
    if (region[0] != '\0' && !pcl_aws_word(pcl_bytes_text(region), word)) {
        pcl_config_problem(config, problems, "aws/region", "must be the name of a region");
    }
    if (pcl_config_text(config, "aws/secret_id")[0] != '\0' &&
        pcl_config_text(config, "aws/secret_directory")[0] == '\0') {
        pcl_config_problem(config, problems, "aws/secret_directory",
                           "must be given, since aws/secret_id is");
    }
}
