#include "client/session.h"

#include "client/client.h"
#include "client/request.h"
#include "client/result.h"
#include "wire/request.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct portcullis_session {
    atomic_uint refs;   /* the caller's, and one for each call under way */
    portcullis *client; /* counted */
    uint8_t id[PCL_ID_SIZE];
    pcl_pin pin;
    uint32_t timeout_ms; /* of commit and rollback */
    pcl_call_promise promise;
    atomic_bool open; /* as far as the answers until now say */
};

portcullis_session *pcl_session_new(portcullis *client, const uint8_t *id, pcl_pin pin,
                                    uint32_t timeout_ms, pcl_call_promise promise)
{
    portcullis_session *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    atomic_init(&self->refs, 1);
    atomic_init(&self->open, true);
    self->client = pcl_client_ref(client);
    self->pin = pin;
    self->timeout_ms = timeout_ms;
    self->promise = promise;
    memcpy(self->id, id, sizeof self->id);
    return self;
}

void pcl_session_unref(portcullis_session **self_p)
{
    portcullis_session *self = *self_p;
    *self_p = NULL;
    if (self != NULL && atomic_fetch_sub(&self->refs, 1) == 1) {
        pcl_client_unref(&self->client);
        free(self);
    }
}

void pcl_session_note(portcullis_session *self, pcl_op op, const portcullis_result *result)
{
    portcullis_code code = portcullis_result_code(result);
    bool ended = code == PORTCULLIS_OK && (op == PCL_OP_COMMIT || op == PCL_OP_ROLLBACK);
    /* LOST of our own is its connection's end; another hop's may leave the session. */
    bool lost = code == PORTCULLIS_LOST && strcmp(portcullis_result_hop(result), "client") == 0;
    if (ended || lost || code == PORTCULLIS_GONE) {
        atomic_store(&self->open, false);
    }
}

portcullis_session *portcullis_session_begin(portcullis *client, const portcullis_request *begin,
                                             portcullis_result **out_result)
{
    if (!pcl_request_is_begin(begin)) {
        *out_result = pcl_result_local(PCL_ERR_MALFORMED, PCL_RETRY_NEVER, NULL,
                                       "the request is not of portcullis_request_new_begin");
        return NULL;
    }
    *out_result = portcullis_call(client, begin);
    portcullis_session *self = portcullis_result_take_session(*out_result);
    if (self == NULL && portcullis_result_code(*out_result) == PORTCULLIS_OK) {
        portcullis_result_destroy(out_result); /* rolls back the session that found no memory */
        *out_result = pcl_result_local(PCL_ERR_NO_MEMORY, PCL_RETRY_SAFE, NULL, "out of memory");
    }
    return self;
}

void portcullis_session_destroy(portcullis_session **self_p)
{
    if (self_p == NULL || *self_p == NULL) {
        return;
    }
    portcullis_session *self = *self_p;
    if (atomic_load(&self->open)) {
        pcl_client_end(self->client, PCL_OP_ROLLBACK, self->id, self->pin);
    }
    pcl_session_unref(self_p);
}

bool portcullis_session_is_open(const portcullis_session *self)
{
    return atomic_load(&self->open);
}

/* timeout_ms: 0, the client's. */
static pcl_err s_make_call(portcullis_session *self, const portcullis_request *request,
                           uint32_t timeout_ms, pcl_call **out_call)
{
    pcl_err err = pcl_client_make_call(self->client, request, self->id, timeout_ms, out_call);
    if (err == PCL_ERR_OK) {
        (void)atomic_fetch_add(&self->refs, 1);
        (*out_call)->session = self;
        (*out_call)->pin = self->pin;
        (*out_call)->promise = self->promise;
    }
    return err;
}

portcullis_code portcullis_session_submit(portcullis_session *self,
                                          const portcullis_request *request,
                                          portcullis_callback *callback, void *context)
{
    pcl_call *call = NULL;
    pcl_err err = s_make_call(self, request, 0, &call);
    return (portcullis_code)pcl_client_submit(self->client, err, call, callback, context);
}

portcullis_future *portcullis_session_start(portcullis_session *self,
                                            const portcullis_request *request)
{
    pcl_call *call = NULL;
    pcl_err err = s_make_call(self, request, 0, &call);
    return pcl_client_start(self->client, err, call, NULL);
}

static portcullis_result *s_call(portcullis_session *self, const portcullis_request *request,
                                 uint32_t timeout_ms)
{
    pcl_call *call = NULL;
    pcl_err err = s_make_call(self, request, timeout_ms, &call);
    return pcl_client_call(self->client, err, call);
}

portcullis_result *portcullis_session_call(portcullis_session *self,
                                           const portcullis_request *request)
{
    return s_call(self, request, 0);
}

/* Takes the request. */
static portcullis_result *s_end(portcullis_session *self, portcullis_request *request)
{
    if (request == NULL) {
        return pcl_result_local(PCL_ERR_NO_MEMORY, PCL_RETRY_SAFE, NULL, "out of memory");
    }
    portcullis_result *result = s_call(self, request, self->timeout_ms);
    portcullis_request_destroy(&request);
    return result;
}

portcullis_result *portcullis_session_commit(portcullis_session *self)
{
    return s_end(self, portcullis_request_new_commit());
}

portcullis_result *portcullis_session_rollback(portcullis_session *self)
{
    return s_end(self, portcullis_request_new_rollback());
}
