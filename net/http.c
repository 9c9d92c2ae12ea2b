#include "net/http.h"

#include "net/address.h"
#include "net/process.h"

#include <assert.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAGES_MAX = 8,
    CONNECTIONS_MAX = 32,
    TIMEOUT_S = 5,
    MEMORY_MAX = 32 * 1024, /* of one connection */
    METRICS_SIZE_MAX = 4 * 1024 * 1024,
    REASON_SIZE_MAX = 255,
};

typedef struct s_page {
    const char *path; /* borrowed, static */
    const char *type; /* borrowed, static */
    uint8_t *octets;  /* owned */
    size_t size;
} s_page;

struct pcl_http {
    struct MHD_Daemon *daemon;
    pcl_metrics *metrics;  /* borrowed */
    pthread_mutex_t mutex; /* guards all below */
    bool ready;
    char reason[REASON_SIZE_MAX + 1];
    s_page pages[PAGES_MAX];
    size_t page_count;
};

/* Sends a copy of octets. */
static enum MHD_Result s_reply(struct MHD_Connection *connection, unsigned status, const char *type,
                               const void *octets, size_t size)
{
    /* libmicrohttpd copies and does not write, whatever the type says. */
    union {
        const void *read_only;
        void *pointer;
    } body = {.read_only = size > 0 ? octets : ""};
    struct MHD_Response *response = MHD_create_response_from_buffer(size, body.pointer,
                                                                    MHD_RESPMEM_MUST_COPY);
    if (response == NULL) {
        return MHD_NO;
    }
    (void)MHD_add_response_header(response, "Content-Type", type);
    (void)MHD_add_response_header(response, "Cache-Control", "no-store");
    (void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED) {
        (void)MHD_add_response_header(response, "Allow", "GET, HEAD");
    }
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result s_reply_text(struct MHD_Connection *connection, unsigned status,
                                    const char *text)
{
    return s_reply(connection, status, "text/plain; charset=utf-8", text, strlen(text));
}

static enum MHD_Result s_reply_ready(pcl_http *self, struct MHD_Connection *connection)
{
    char text[REASON_SIZE_MAX + 2];
    (void)pthread_mutex_lock(&self->mutex);
    bool ready = self->ready;
    snprintf(text, sizeof text, "%s\n", ready ? "ready" : self->reason);
    (void)pthread_mutex_unlock(&self->mutex);
    return s_reply_text(connection, ready ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, text);
}

static enum MHD_Result s_reply_metrics(pcl_http *self, struct MHD_Connection *connection)
{
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, METRICS_SIZE_MAX);
    pcl_metrics_render(self->metrics, &buffer);
    pcl_process_render(&buffer);
    enum MHD_Result result = buffer.failed
                                 ? s_reply_text(connection, MHD_HTTP_INTERNAL_SERVER_ERROR,
                                                "too many metrics\n")
                                 : s_reply(connection, MHD_HTTP_OK,
                                           "text/plain; version=0.0.4; charset=utf-8", buffer.data,
                                           buffer.size);
    pcl_buffer_release(&buffer);
    return result;
}

static enum MHD_Result s_reply_page(pcl_http *self, struct MHD_Connection *connection,
                                    const char *path)
{
    enum MHD_Result result = MHD_NO;
    bool found = false;
    (void)pthread_mutex_lock(&self->mutex);
    for (size_t index = 0; index < self->page_count && !found; index++) {
        const s_page *page = &self->pages[index];
        if (strcmp(page->path, path) == 0) {
            found = true;
            result = s_reply(connection, MHD_HTTP_OK, page->type, page->octets, page->size);
        }
    }
    (void)pthread_mutex_unlock(&self->mutex);
    return found ? result : s_reply_text(connection, MHD_HTTP_NOT_FOUND, "not found\n");
}

/* libmicrohttpd's thread; the parameters are its own. */
static enum MHD_Result s_on_request(void *context, struct MHD_Connection *connection,
                                    const char *path, const char *method, const char *version,
                                    const char *upload, size_t *upload_size, void **state)
{
    (void)version;
    (void)upload;
    (void)upload_size;
    (void)state;
    pcl_http *self = context;
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        return s_reply_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
    }
    if (strcmp(path, "/health") == 0) {
        return s_reply_text(connection, MHD_HTTP_OK, "ok\n");
    }
    if (strcmp(path, "/ready") == 0) {
        return s_reply_ready(self, connection);
    }
    if (strcmp(path, "/metrics") == 0) {
        return s_reply_metrics(self, connection);
    }
    return s_reply_page(self, connection, path);
}

static bool s_listen(pcl_http *self, const pcl_address *address)
{
    unsigned flags = MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD;
    if (address->any.sa_family == AF_INET6) {
        flags |= MHD_USE_IPv6;
    }
    self->daemon = MHD_start_daemon(flags, 0, NULL, NULL, s_on_request, self, MHD_OPTION_SOCK_ADDR,
                                    &address->any, MHD_OPTION_CONNECTION_LIMIT,
                                    (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
                                    (unsigned)TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                                    (size_t)MEMORY_MAX, MHD_OPTION_END);
    return self->daemon != NULL;
}

pcl_http *pcl_http_start(const char *address, pcl_metrics *metrics, char *error, size_t error_size)
{
    assert(address != NULL && metrics != NULL && error != NULL);
    pcl_address parsed;
    const char *fault = pcl_address_parse(&parsed, address);
    if (fault == NULL && !pcl_address_is_private(&parsed)) {
        fault = "must be a loopback or private address";
    }
    if (fault != NULL) {
        snprintf(error, error_size, "%s: %s", address, fault);
        return NULL;
    }
    pcl_http *self = calloc(1, sizeof *self);
    assert(self != NULL);
    self->metrics = metrics;
    snprintf(self->reason, sizeof self->reason, "starting");
    int rc = pthread_mutex_init(&self->mutex, NULL);
    assert(rc == 0);
    if (!s_listen(self, &parsed)) {
        snprintf(error, error_size, "%s: cannot listen there", address);
        pcl_http_stop(&self);
    }
    return self;
}

void pcl_http_stop(pcl_http **self_p)
{
    assert(self_p != NULL);
    pcl_http *self = *self_p;
    if (self == NULL) {
        return;
    }
    if (self->daemon != NULL) {
        MHD_stop_daemon(self->daemon);
    }
    for (size_t index = 0; index < self->page_count; index++) {
        free(self->pages[index].octets);
    }
    (void)pthread_mutex_destroy(&self->mutex); /* its other user, the daemon, is stopped */
    free(self);
    *self_p = NULL;
}

uint16_t pcl_http_port(const pcl_http *self)
{
    assert(self != NULL);
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(self->daemon, MHD_DAEMON_INFO_BIND_PORT);
    return info == NULL ? 0 : info->port;
}

void pcl_http_set_ready(pcl_http *self, bool ready, const char *reason)
{
    assert(reason != NULL);
    if (self == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&self->mutex);
    self->ready = ready;
    snprintf(self->reason, sizeof self->reason, "%s", reason);
    (void)pthread_mutex_unlock(&self->mutex);
}

void pcl_http_publish(pcl_http *self, const char *path, const char *content_type, pcl_bytes octets)
{
    assert(path != NULL && path[0] == '/' && content_type != NULL);
    if (self == NULL) {
        return;
    }
    uint8_t *copy = malloc(octets.size + 1);
    assert(copy != NULL);
    if (octets.size > 0) {
        memcpy(copy, octets.data, octets.size);
    }
    (void)pthread_mutex_lock(&self->mutex);
    size_t index = 0;
    while (index < self->page_count && strcmp(self->pages[index].path, path) != 0) {
        index++;
    }
    assert(index < PAGES_MAX);
    if (index == self->page_count) {
        self->pages[self->page_count++] = (s_page){.path = path};
    }
    s_page *page = &self->pages[index];
    uint8_t *old = page->octets;
    page->type = content_type;
    page->octets = copy;
    page->size = octets.size;
    (void)pthread_mutex_unlock(&self->mutex);
    free(old);
}
