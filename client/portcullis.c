#include "client/portcullis.h"

#include "client/bundle.h"
#include "client/bundle_file.h"
#include "client/channel.h"
#include "client/client.h"
#include "client/future.h"
#include "client/request.h"
#include "client/result.h"
#include "common/endian.h"
#include "net/time.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNECT_TIMEOUT_MS = 2000,
    INFLIGHT_MAX = 10000,
    END_TIMEOUT_MS = 5000, /* of what nobody waits for */
    CLOSE_LOOK_NS = 100000,
};

struct portcullis {
    atomic_uint refs;  /* the opener's, and one for each result and session that holds it */
    atomic_uint users; /* of the channel at this moment; those that see closed are none */
    atomic_bool closed;
    pcl_channel *channel; /* freed when closed, but still there to compare with */
    unsigned forks;       /* that there were until it was opened */
    uint32_t timeout_ms;
    bool causal;
    pthread_mutex_t seen_mutex; /* guards the next one */
    pcl_seen seen;              /* of a causal client: what its requests have seen */
    uint64_t id_prefix;         /* random: ids are this and a count */
    atomic_uint_least64_t id_count;
};

/* A process counts in its own memory how often it became a child: getpid would be a system call for
 * each request. */
static atomic_uint s_forks;
static pthread_once_t s_forks_once = PTHREAD_ONCE_INIT;

static void s_count_fork(void)
{
    (void)atomic_fetch_add(&s_forks, 1);
}

static void s_watch_forks(void)
{
    (void)pthread_atfork(NULL, NULL, s_count_fork);
}

/* It was opened before a fork, and this is the child. */
static bool s_is_forked(const portcullis *self)
{
    return self->forks != atomic_load(&s_forks);
}

const char *portcullis_version(void)
{
    return PCL_VERSION;
}

static bool s_copy_text(char *target, size_t target_size, const char *source)
{
    size_t size = source != NULL ? strlen(source) : 0;
    if (size >= target_size) {
        return false;
    }
    memcpy(target, source != NULL ? source : "", size + 1);
    return true;
}

/* One gatekeeper out of the options; false: error says why. */
static bool s_gatekeeper(pcl_bundle *bundle, const portcullis_gatekeeper *source, bool insecure,
                         char *error, size_t error_size)
{
    pcl_bundle_gatekeeper *target = &bundle->gatekeepers[bundle->gatekeeper_count++];
    const char *endpoint = source->endpoint != NULL ? source->endpoint : "";
    bool plain = source->public_key == NULL;
    if (!pcl_bundle_endpoint_valid(pcl_bytes_text(endpoint)) ||
        !s_copy_text(target->endpoint, sizeof target->endpoint, endpoint)) {
        (void)snprintf(error, error_size, "endpoint \"%s\": must be tcp://HOST:PORT or ipc://PATH",
                       endpoint);
        return false;
    }
    if (plain && !insecure && strncmp(endpoint, "ipc:", 4) != 0) {
        (void)snprintf(error, error_size, "%s: the gatekeeper's public key is missing", endpoint);
        return false;
    }
    if (!plain &&
        (!pcl_bundle_key_valid(pcl_bytes_text(source->public_key)) ||
         !s_copy_text(target->public_key, sizeof target->public_key, source->public_key))) {
        (void)snprintf(error, error_size, "%s: the public key must be 40 characters of Z85",
                       endpoint);
        return false;
    }
    return true;
}

/* Own keys and the broker's; curve: there is somebody to show them to. */
static bool s_keys(pcl_bundle *bundle, const portcullis_options *options, bool curve, char *error,
                   size_t error_size)
{
    bool seals = options->broker_public_key != NULL;
    const struct {
        const char *name, *key;
        char *target;
        bool wanted;
    } keys[] = {{"own public", options->public_key, bundle->public_key, curve || seals},
                {"own secret", options->secret_key, bundle->secret_key, curve || seals},
                {"the broker's public", options->broker_public_key, bundle->broker_key, seals}};
    for (size_t index = 0; index < sizeof keys / sizeof *keys; index++) {
        if (!keys[index].wanted) {
            continue;
        }
        if (keys[index].key == NULL || !pcl_bundle_key_valid(pcl_bytes_text(keys[index].key))) {
            (void)snprintf(error, error_size, "%s key: must be 40 characters of Z85",
                           keys[index].name);
            return false;
        }
        (void)s_copy_text(keys[index].target, sizeof bundle->public_key,
                          keys[index].key); /* it is of the right size */
    }
    return true;
}

static bool s_bundle_of_options(pcl_bundle *bundle, const portcullis_options *options, char *error,
                                size_t error_size)
{
    memset(bundle, 0, sizeof *bundle);
    if (options->gatekeeper_count == 0 || options->gatekeeper_count > PCL_BUNDLE_GATEKEEPERS_MAX) {
        (void)snprintf(error, error_size, "there must be 1 to %u gatekeepers",
                       PCL_BUNDLE_GATEKEEPERS_MAX);
        return false;
    }
    bool curve = false;
    for (size_t index = 0; index < options->gatekeeper_count; index++) {
        const portcullis_gatekeeper *gatekeeper = &options->gatekeepers[index];
        if (!s_gatekeeper(bundle, gatekeeper, options->insecure, error, error_size)) {
            return false;
        }
        curve = curve || gatekeeper->public_key != NULL;
    }
    return s_keys(bundle, options, curve, error, error_size);
}

static portcullis *s_open(const pcl_bundle *bundle, const portcullis_options *options, char *error,
                          size_t error_size)
{
    portcullis *self = calloc(1, sizeof *self);
    if (self == NULL) {
        (void)snprintf(error, error_size, "out of memory");
        return NULL;
    }
    uint32_t inflight_max = options->inflight_max != 0 ? options->inflight_max : INFLIGHT_MAX;
    pcl_channel_options channel = {
        .bundle = bundle,
        .inflight_max = inflight_max < PCL_CHANNEL_INFLIGHT_MAX ? inflight_max
                                                                : PCL_CHANNEL_INFLIGHT_MAX,
        .connect_timeout_ms = options->connect_timeout_ms != 0 ? options->connect_timeout_ms
                                                               : CONNECT_TIMEOUT_MS,
    };
    atomic_init(&self->refs, 1);
    (void)pthread_once(&s_forks_once, s_watch_forks);
    (void)pthread_mutex_init(&self->seen_mutex, NULL); /* cannot fail with default attributes */
    self->causal = options->causal;
    self->forks = atomic_load(&s_forks);
    self->timeout_ms = options->timeout_ms != 0 ? options->timeout_ms : PCL_TIMEOUT_MS_DEFAULT;
    self->id_prefix = pcl_random_u64();
    atomic_init(&self->id_count, pcl_random_u64());
    self->channel = pcl_channel_new(&channel, error, error_size);
    if (self->channel == NULL) {
        pcl_client_unref(&self);
    }
    return self;
}

portcullis *pcl_client_ref(portcullis *self)
{
    (void)atomic_fetch_add(&self->refs, 1);
    return self;
}

void pcl_client_unref(portcullis **self_p)
{
    portcullis *self = *self_p;
    *self_p = NULL;
    if (self != NULL && atomic_fetch_sub(&self->refs, 1) == 1) {
        (void)pthread_mutex_destroy(&self->seen_mutex);
        free(self);
    }
}

portcullis *portcullis_open_options(const portcullis_options *options, char *error,
                                    size_t error_size)
{
    char nothing[1];
    if (error == NULL || error_size == 0) {
        error = nothing;
        error_size = sizeof nothing;
    }
    error[0] = '\0';
    pcl_bundle bundle;
    bool good = options->gatekeepers == NULL
                    ? pcl_bundle_load(&bundle, options->bundle_file, error, error_size)
                    : s_bundle_of_options(&bundle, options, error, error_size);
    portcullis *self = good ? s_open(&bundle, options, error, error_size) : NULL;
    pcl_bundle_wipe(&bundle);
    return self;
}

portcullis *portcullis_open(const char *bundle_file, char *error, size_t error_size)
{
    portcullis_options options = {.bundle_file = bundle_file};
    return portcullis_open_options(&options, error, error_size);
}

void portcullis_close(portcullis **self_p)
{
    if (self_p == NULL || *self_p == NULL) {
        return;
    }
    portcullis *self = *self_p;
    *self_p = NULL;
    if (!s_is_forked(self)) { /* a child has neither the thread nor a right to the sockets */
        assert(!pcl_channel_is_own_thread(self->channel));
        pcl_channel *channel = self->channel;
        atomic_store(&self->closed, true);
        pcl_channel_stop(channel);
        while (atomic_load(&self->users) > 0) { /* they are out in no time */
            (void)nanosleep(&(struct timespec){.tv_nsec = CLOSE_LOOK_NS}, NULL);
        }
        pcl_channel_destroy(&channel);
    }
    pcl_client_unref(&self);
}

void portcullis_make_id(portcullis *self, uint8_t *out_id)
{
    pcl_put_be(out_id, self->id_prefix, 8);
    pcl_put_be(out_id + 8, atomic_fetch_add(&self->id_count, 1), 8);
}

bool pcl_client_may_wait(const portcullis *self)
{
    return s_is_forked(self) || !pcl_channel_is_own_thread(self->channel);
}

pcl_err pcl_client_make_call(portcullis *self, const portcullis_request *request,
                             const uint8_t *session, uint32_t timeout_ms, pcl_call **out_call)
{
    uint8_t id[PCL_ID_SIZE];
    portcullis_make_id(self, id);
    timeout_ms = timeout_ms != 0 ? timeout_ms : self->timeout_ms;
    if (!self->causal || s_is_forked(self)) { /* a child's call is refused later */
        return pcl_request_make_call(request, id, timeout_ms, session, NULL, out_call);
    }
    (void)pthread_mutex_lock(&self->seen_mutex);
    pcl_seen seen = self->seen; /* a long request is not encoded under the mutex */
    (void)pthread_mutex_unlock(&self->seen_mutex);
    return pcl_request_make_call(request, id, timeout_ms, session, &seen, out_call);
}

void pcl_client_note(portcullis *self, const pcl_call *call, const portcullis_result *result)
{
    size_t size = 0;
    const char *token = portcullis_result_token(result, &size);
    if (portcullis_result_code(result) != PORTCULLIS_OK) {
        return;
    }
    (void)pthread_mutex_lock(&self->seen_mutex);
    if (size > 0) {
        pcl_seen_note(&self->seen, pcl_bytes_of(token, size), call->promise.mark);
    } else if (call->promise.token && call->op != PCL_OP_BEGIN) {
        pcl_seen_miss(&self->seen);
    }
    (void)pthread_mutex_unlock(&self->seen_mutex);
}

void portcullis_tokens(portcullis *self, char target[PORTCULLIS_TOKENS_SIZE])
{
    static_assert(PORTCULLIS_TOKENS_SIZE == PCL_SEEN_TEXT_SIZE, "as the header says");
    target[0] = '\0';
    if (!s_is_forked(self)) {
        (void)pthread_mutex_lock(&self->seen_mutex);
        (void)pcl_seen_text(&self->seen, target);
        (void)pthread_mutex_unlock(&self->seen_mutex);
    }
}

bool portcullis_add_tokens(portcullis *self, const char *tokens)
{
    if (!self->causal || s_is_forked(self)) {
        return false;
    }
    (void)pthread_mutex_lock(&self->seen_mutex);
    bool added = pcl_seen_add(&self->seen, pcl_bytes_text(tokens));
    (void)pthread_mutex_unlock(&self->seen_mutex);
    return added;
}

void portcullis_forget_tokens(portcullis *self)
{
    if (!s_is_forked(self)) {
        (void)pthread_mutex_lock(&self->seen_mutex);
        uint64_t turns = self->seen.turns; /* no reply that is under way may end a later turn */
        self->seen = (pcl_seen){.turns = turns};
        (void)pthread_mutex_unlock(&self->seen_mutex);
    }
}

/* Gives the call to the channel by submit or run.  On failure it is destroyed.  Without
 * cancellation: a thread that ended in the midst of it would leave the channel unwoken, or in use
 * for ever. */
static pcl_err s_give_to(portcullis *self, pcl_call *call,
                         pcl_err (*take)(pcl_channel *channel, pcl_call *call))
{
    pcl_err err = PCL_ERR_UNAVAILABLE;
    call->client = self;
    if (!s_is_forked(self)) { /* in a child nobody answers */
        int cancel_state;
        (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
        (void)atomic_fetch_add(&self->users, 1);
        err = atomic_load(&self->closed) ? PCL_ERR_UNAVAILABLE : take(self->channel, call);
        (void)atomic_fetch_sub(&self->users, 1);
        (void)pthread_setcancelstate(cancel_state, &cancel_state);
    }
    if (err != PCL_ERR_OK) {
        pcl_call_destroy(&call);
    }
    return err;
}

pcl_err pcl_client_submit(portcullis *self, pcl_err err, pcl_call *call,
                          portcullis_callback *callback, void *context)
{
    if (err != PCL_ERR_OK) {
        return err;
    }
    call->callback = callback;
    call->context = context;
    return s_give_to(self, call, pcl_channel_submit);
}

portcullis_code portcullis_submit(portcullis *self, const portcullis_request *request,
                                  portcullis_callback *callback, void *context)
{
    assert(callback != NULL);
    pcl_call *call = NULL;
    pcl_err err = pcl_client_make_call(self, request, NULL, 0, &call);
    return (portcullis_code)pcl_client_submit(self, err, call, callback, context);
}

/* Nobody waits for it. */
static void s_forget(portcullis_result *result, void *context)
{
    (void)context;
    portcullis_result_destroy(&result);
}

portcullis_code portcullis_cancel(portcullis *self, const uint8_t *id)
{
    pcl_request request = {.op = PCL_OP_CANCEL, .has_id = true, .timeout_ms = END_TIMEOUT_MS};
    memcpy(request.id, id, sizeof request.id);
    pcl_call *call = NULL;
    pcl_err err = pcl_request_encode_call(&request, &call);
    if (err == PCL_ERR_OK) {
        call->idempotent = true;
    }
    return (portcullis_code)pcl_client_submit(self, err, call, s_forget, NULL);
}

void pcl_client_end(portcullis *self, pcl_op op, const uint8_t *held, pcl_pin pin)
{
    pcl_request request = {.op = op, .has_id = true, .timeout_ms = END_TIMEOUT_MS};
    portcullis_make_id(self, request.id);
    request.has_cursor = op == PCL_OP_CLOSE;
    request.has_session = op == PCL_OP_ROLLBACK;
    memcpy(op == PCL_OP_CLOSE ? request.cursor : request.session, held, PCL_ID_SIZE);
    pcl_call *call = NULL;
    pcl_err err = pcl_request_encode_call(&request, &call);
    if (err == PCL_ERR_OK) {
        call->pin = pin;
    }
    err = pcl_client_submit(self, err, call, s_forget, NULL);
    (void)err; /* then the node ends it when it was idle */
}

static portcullis_result *s_refusal(const portcullis *self, pcl_err err)
{
    if (err == PCL_ERR_OVERLOADED) {
        return pcl_result_local(err, PCL_RETRY_SAFE, NULL,
                                "too many requests of this client are under way");
    }
    if (err == PCL_ERR_UNAVAILABLE && s_is_forked(self)) {
        return pcl_result_local(err, PCL_RETRY_SAFE, NULL, "the client was opened before a fork");
    }
    if (err == PCL_ERR_UNAVAILABLE) {
        return pcl_result_local(err, PCL_RETRY_SAFE, NULL, "the client is closing");
    }
    if (err == PCL_ERR_TOO_LARGE) {
        return pcl_result_local(err, PCL_RETRY_NEVER, NULL, "the request is over %u octets",
                                PCL_REQUEST_SIZE_MAX);
    }
    if (err == PCL_ERR_MALFORMED) {
        return pcl_result_local(err, PCL_RETRY_NEVER, NULL,
                                "commit and rollback go through a session, and into one go they "
                                "and queries only");
    }
    return pcl_result_local(err, pcl_err_retry((int)err), NULL, "%s", pcl_err_text((int)err));
}

static portcullis_future *s_start(portcullis *self, pcl_err err, pcl_call *call,
                                  pcl_err (*take)(pcl_channel *channel, pcl_call *call),
                                  bool *out_sent)
{
    portcullis_future *future = pcl_future_new(err == PCL_ERR_OK ? call->id : NULL);
    if (future == NULL) {
        if (err == PCL_ERR_OK) {
            pcl_call_destroy(&call);
        }
        return NULL;
    }
    if (err == PCL_ERR_OK) {
        call->callback = pcl_future_complete;
        call->context = future;
        err = s_give_to(self, call, take);
    }
    if (out_sent != NULL) {
        *out_sent = err == PCL_ERR_OK;
    }
    if (err != PCL_ERR_OK) {
        pcl_future_complete(s_refusal(self, err), future);
    }
    return future;
}

portcullis_future *pcl_client_start(portcullis *self, pcl_err err, pcl_call *call, bool *out_sent)
{
    return s_start(self, err, call, pcl_channel_submit, out_sent);
}

portcullis_future *portcullis_start(portcullis *self, const portcullis_request *request)
{
    pcl_call *call = NULL;
    pcl_err err = pcl_client_make_call(self, request, NULL, 0, &call);
    return pcl_client_start(self, err, call, NULL);
}

portcullis_result *pcl_client_call(portcullis *self, pcl_err err, pcl_call *call)
{
    if (!pcl_client_may_wait(self)) {
        if (err == PCL_ERR_OK) {
            pcl_call_destroy(&call);
        }
        return pcl_result_local(PCL_ERR_UNSUPPORTED, PCL_RETRY_NEVER, NULL,
                                "a call from a callback would wait for itself");
    }
    portcullis_future *future = s_start(self, err, call, pcl_channel_run, NULL);
    if (future == NULL) {
        return pcl_result_local(PCL_ERR_NO_MEMORY, PCL_RETRY_SAFE, NULL, "out of memory");
    }
    portcullis_result *result = portcullis_future_wait(&future, -1);
    assert(result != NULL);
    return result;
}

portcullis_result *portcullis_call(portcullis *self, const portcullis_request *request)
{
    pcl_call *call = NULL;
    pcl_err err = pcl_client_make_call(self, request, NULL, 0, &call);
    return pcl_client_call(self, err, call);
}
