#include "net/door.h"

#include "common/clock.h"
#include "net/log.h"
#include "net/socket.h"
#include "net/time.h"
#include "net/zap.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LOG_INTERVAL_US PCL_US_PER_S

enum { PATH_SIZE = 64, ERROR_SIZE = 256, LABELS_SIZE = 96 };

static const char *const RULES[PCL_ARRIVALS_RULES] = {
    [PCL_ARRIVALS_FINE] = "silent", /* made room for a newcomer */
    [PCL_ARRIVALS_RATE] = "handshakes",
    [PCL_ARRIVALS_ADDRESS_RATE] = "handshakes_address",
    [PCL_ARRIVALS_CONNECTIONS] = "connections",
    [PCL_ARRIVALS_KEY] = "connections_principal",
    [PCL_ARRIVALS_STUFFED] = "handshake_size",
    [PCL_ARRIVALS_FORGED] = "forged_route",
    [PCL_ARRIVALS_FROZEN] = "frozen",
};

/* NULL: no failure. */
static const char *const FAILURES[PCL_PEER_EVENTS] = {
    [PCL_PEER_FAILED_KEY] = "key",
    [PCL_PEER_FAILED_OTHER] = "ended",
};

static void s_path(const pcl_door *self, const char *key, char out_path[PATH_SIZE])
{
    int size = snprintf(out_path, PATH_SIZE, "%s/%s", self->peers, key);
    assert(size > 0 && size < PATH_SIZE);
}

static const char *s_setting(const pcl_door *self, const pcl_config *config, const char *key)
{
    char path[PATH_SIZE];
    s_path(self, key, path);
    return pcl_config_text(config, path);
}

static uint32_t s_limit(const pcl_door *self, const pcl_config *config, const char *key)
{
    char path[PATH_SIZE];
    s_path(self, key, path);
    return (uint32_t)pcl_config_uint(config, path);
}

static bool s_is_admitted(void *context, const char *key)
{
    return pcl_door_name(context, key) != NULL;
}

/* The connections of who is not in the list any more. */
static void s_revoke(pcl_door *self)
{
    if (self->watch == NULL) {
        return;
    }
    uint32_t revoked = pcl_peer_watch_revoke(self->watch, s_is_admitted, self, pcl_now_us());
    if (revoked > 0) {
        pcl_log(PCL_LOG_WARNING, self->who, "revoked", "%s=%u", self->peers, revoked);
    }
}

bool pcl_door_read_keys(pcl_door *self, const pcl_config *config)
{
    assert(self != NULL);
    const char *file = s_setting(self, config, "keys");
    if (file[0] == '\0') {
        return true;
    }
    char error[ERROR_SIZE];
    pcl_key_list *keys = pcl_key_list_load(file, error, sizeof error);
    if (keys == NULL) {
        pcl_log(PCL_LOG_ERROR, self->who, "keys_refused", "reason=\"%s\"", error);
        return false;
    }
    pcl_zap_set(self->peers, keys);
    pcl_key_list_destroy(&self->keys);
    self->keys = keys;
    pcl_log(PCL_LOG_INFO, self->who, "keys_loaded", "%s=%zu", self->peers,
            pcl_key_list_count(keys));
    s_revoke(self);
    return true;
}

bool pcl_door_open(pcl_door *self, const pcl_config *config, const pcl_keys *own,
                   uint32_t queue_max, uint32_t message_size_max, char *error, size_t error_size)
{
    assert(self != NULL);
    assert(self->socket == NULL);
    const char *endpoint = s_setting(self, config, "endpoint");
    bool insecure = pcl_config_bool(config, "curve/insecure");
    bool tcp = strncmp(endpoint, "tcp:", 4) == 0;
    self->unnamed_allowed = insecure || !tcp;
    if (insecure && tcp) {
        pcl_log(PCL_LOG_WARNING, self->who, "insecure", "endpoint=%s", endpoint);
    }
    pcl_socket_options options = {
        .endpoint = endpoint,
        .keys = own,
        .zap_domain = self->peers,
        .queue_max = queue_max,
        .message_size_max = message_size_max,
        .insecure = insecure,
        .out_first_route = tcp ? &self->first_route : NULL,
    };
    self->socket = pcl_socket_router(&options, error, error_size);
    return self->socket != NULL;
}

void pcl_door_read_limits(pcl_door *self, const pcl_config *config)
{
    assert(self != NULL && self->watch != NULL);
    pcl_arrivals_limits limits = {
        .connections_max = s_limit(self, config, "connections_max"),
        .key_max = s_limit(self, config, "connections_principal_max"),
        .rate_max = s_limit(self, config, "handshakes_max"),
        .address_rate_max = s_limit(self, config, "handshakes_address_max"),
    };
    pcl_peer_watch_set_limits(self->watch, &limits);
}

static void s_metrics_make(pcl_door *self, pcl_metrics *metrics)
{
    char labels[LABELS_SIZE];
    for (int rule = 0; rule < PCL_ARRIVALS_RULES; rule++) {
        (void)snprintf(labels, sizeof labels, "peers=\"%s\",rule=\"%s\"", self->peers, RULES[rule]);
        self->refused[rule] = pcl_metrics_counter(
            metrics, "portcullis_door_connections_refused_total", labels,
            "Connections that were ended since they broke a rule.");
    }
    static const char name[] = "portcullis_door_handshakes_failed_total";
    static const char help[] = "Connections that came to nothing: the key is not let in, the peer "
                               "does not speak ZMTP 3 with CURVE, ended early.";
    for (int event = 0; event < PCL_PEER_EVENTS; event++) {
        if (FAILURES[event] != NULL) {
            (void)snprintf(labels, sizeof labels, "peers=\"%s\",reason=\"%s\"", self->peers,
                           FAILURES[event]);
            self->failed[event] = pcl_metrics_counter(metrics, name, labels, help);
        }
    }
    (void)snprintf(labels, sizeof labels, "peers=\"%s\",reason=\"protocol\"", self->peers);
    self->failed_protocol = pcl_metrics_counter(metrics, name, labels, help);
    (void)snprintf(labels, sizeof labels, "peers=\"%s\"", self->peers);
    self->revoked = pcl_metrics_counter(
        metrics, "portcullis_door_connections_revoked_total", labels,
        "Connections that were ended since their key was taken off the list.");
    self->open = pcl_metrics_gauge(metrics, "portcullis_door_connections", labels,
                                   "Connections, also those that have said nothing.");
    self->silent = pcl_metrics_gauge(metrics, "portcullis_door_connections_silent", labels,
                                     "Connections that have said nothing since they were made.");
}

void pcl_door_watch(pcl_door *self, pcl_peer_watch *watch, const pcl_config *config,
                    pcl_metrics *metrics)
{
    assert(self != NULL && watch != NULL && metrics != NULL);
    self->watch = watch;
    if (strncmp(s_setting(self, config, "endpoint"), "tcp:", 4) == 0) {
        pcl_peer_watch_set_first_route(watch, self->first_route);
    }
    pcl_door_read_limits(self, config);
    s_metrics_make(self, metrics);
}

static void s_show(pcl_door *self, const pcl_peer_watch_counts *counts)
{
    for (int rule = 0; rule < PCL_ARRIVALS_RULES; rule++) {
        pcl_metric_add(self->refused[rule], counts->refused[rule] - self->shown.refused[rule]);
    }
    for (int event = 0; event < PCL_PEER_EVENTS; event++) {
        if (FAILURES[event] != NULL) {
            pcl_metric_add(self->failed[event], counts->events[event] - self->shown.events[event]);
        }
    }
    pcl_metric_add(self->failed_protocol, counts->failed_protocol - self->shown.failed_protocol);
    pcl_metric_add(self->revoked, counts->revoked - self->shown.revoked);
    const pcl_arrivals *arrivals = pcl_peer_watch_arrivals(self->watch);
    pcl_metric_set(self->open, pcl_arrivals_count(arrivals));
    pcl_metric_set(self->silent, pcl_arrivals_silent_count(arrivals));
    self->shown = *counts;
}

/* One line a rule and second at most, whatever comes. */
static void s_log(pcl_door *self, const pcl_peer_watch_counts *counts)
{
    for (int rule = 0; rule < PCL_ARRIVALS_RULES; rule++) {
        uint64_t more = counts->refused[rule] - self->logged.refused[rule];
        if (more > 0) {
            pcl_log(PCL_LOG_WARNING, self->who, "connections_refused",
                    "peers=%s rule=%s count=%" PRIu64, self->peers, RULES[rule], more);
        }
    }
    for (int event = 0; event < PCL_PEER_EVENTS; event++) {
        uint64_t more = counts->events[event] - self->logged.events[event];
        if (FAILURES[event] != NULL && more > 0) {
            pcl_log(PCL_LOG_INFO, self->who, "handshakes_failed",
                    "peers=%s reason=%s count=%" PRIu64, self->peers, FAILURES[event], more);
        }
    }
    uint64_t more = counts->failed_protocol - self->logged.failed_protocol;
    if (more > 0) {
        pcl_log(PCL_LOG_INFO, self->who, "handshakes_failed",
                "peers=%s reason=protocol count=%" PRIu64, self->peers, more);
    }
    self->logged = *counts;
}

void pcl_door_tick(pcl_door *self, uint64_t now_us)
{
    assert(self != NULL);
    if (self->watch == NULL) {
        return;
    }
    pcl_peer_watch_tick(self->watch, now_us);
    pcl_peer_watch_counts counts = pcl_peer_watch_count(self->watch);
    s_show(self, &counts);
    if (now_us >= self->log_due_us) {
        s_log(self, &counts);
        self->log_due_us = now_us + LOG_INTERVAL_US;
    }
}

void pcl_door_close(pcl_door *self)
{
    assert(self != NULL);
    self->watch = NULL;
    zsock_destroy(&self->socket);
    pcl_key_list_destroy(&self->keys);
}

const char *pcl_door_name(const pcl_door *self, const char *user_id)
{
    assert(self != NULL);
    if (user_id[0] == '\0') {
        return self->unnamed_allowed ? "" : NULL;
    }
    const pcl_key_entry *key = self->keys != NULL ? pcl_key_list_find(self->keys, user_id) : NULL;
    return key != NULL ? key->name : NULL;
}
