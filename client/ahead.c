#include "client/ahead.h"

#include "client/client.h"
#include "client/future.h"
#include "client/request.h"
#include "client/result.h"
#include "wire/head.h"

#include <stdlib.h>
#include <string.h>

#define PAGES_FOR_ONE_AHEAD 4u

struct pcl_ahead {
    pcl_page_ask ask;          /* its client is counted */
    bool early;                /* asked for before the page in front of it had come */
    portcullis_future *behind; /* owned; of the next page; NULL: none is under way */
};

pcl_err pcl_ahead_make_call(const pcl_page_ask *ask, pcl_call **out_call)
{
    pcl_request request = {.op = PCL_OP_FETCH,
                           .has_id = true,
                           .timeout_ms = ask->terms.timeout_ms,
                           .page_rows = ask->terms.page_rows,
                           .page_bytes = ask->terms.page_size,
                           .has_cursor = true};
    memcpy(request.id, ask->id, sizeof request.id);
    memcpy(request.cursor, ask->cursor, sizeof request.cursor);
    pcl_err err = pcl_request_encode_call(&request, out_call);
    if (err == PCL_ERR_OK) {
        (*out_call)->pin = ask->pin;
        (*out_call)->terms = ask->terms;
    }
    return err;
}

/* place: how many pages are under way in front of it. */
static portcullis_future *s_send(const pcl_page_ask *ask, uint32_t place, bool *out_sent)
{
    pcl_ahead *ahead = calloc(1, sizeof *ahead);
    if (ahead == NULL) {
        return NULL;
    }
    ahead->ask = *ask;
    ahead->ask.client = pcl_client_ref(ask->client);
    ahead->early = place > 0;
    pcl_page_ask asked = *ask;
    uint64_t timeout_ms = (place + 1) * (uint64_t)ask->terms.timeout_ms;
    asked.terms.timeout_ms = timeout_ms < PCL_TIMEOUT_MS_MAX ? (uint32_t)timeout_ms
                                                             : PCL_TIMEOUT_MS_MAX;
    pcl_call *call = NULL;
    pcl_err err = pcl_ahead_make_call(&asked, &call);
    portcullis_future *future = pcl_client_start(ask->client, err, call, out_sent);
    if (future == NULL) {
        pcl_ahead_destroy(&ahead);
        return NULL;
    }
    *pcl_future_ahead_of(future) = ahead;
    return future;
}

static void s_to_next_page(pcl_page_ask *ask)
{
    uint16_t next = pcl_held_id_next_page(pcl_held_id_page(ask->cursor));
    pcl_held_id_set_page(ask->cursor, next);
    ask->page++;
}

/* How many pages may be under way, that one among them. */
static uint32_t s_pages(const pcl_page_ask *ask)
{
    uint32_t earned = 1 + (ask->page - 1) / PAGES_FOR_ONE_AHEAD;
    return earned < ask->terms.pages_ahead ? earned : ask->terms.pages_ahead;
}

/* As many behind the first as are wanted; where one has failed or cannot be sent, fewer. */
static void s_send_behind(const pcl_page_ask *ask, portcullis_future *first)
{
    pcl_page_ask next = *ask;
    portcullis_future *last = first;
    for (uint32_t place = 1; last != NULL && place < s_pages(ask); place++) {
        if (pcl_future_has_failed(last)) {
            return;
        }
        s_to_next_page(&next);
        pcl_ahead *ahead = *pcl_future_ahead_of(last);
        bool sent = true;
        if (ahead->behind == NULL) {
            ahead->behind = s_send(&next, place, &sent);
        }
        if (!sent) {
            portcullis_future_destroy(&ahead->behind);
        }
        last = ahead->behind;
    }
}

portcullis_future *pcl_ahead_start(const pcl_page_ask *ask, portcullis_future **chain_p,
                                   bool *out_sent)
{
    portcullis_future *first = *chain_p;
    *chain_p = NULL;
    *out_sent = first != NULL;
    if (first == NULL) {
        first = s_send(ask, 0, out_sent);
    }
    if (*out_sent) {
        s_send_behind(ask, first);
    }
    return first;
}

static void s_end_asking_early(pcl_ahead *self)
{
    while (self != NULL) {
        self->ask.terms.pages_ahead = 0;
        self = self->behind != NULL ? *pcl_future_ahead_of(self->behind) : NULL;
    }
}

portcullis_future *pcl_ahead_settle(pcl_ahead **self_p, portcullis_result *result)
{
    pcl_ahead *self = *self_p;
    portcullis_code code = portcullis_result_code(result);
    bool refused = code != PORTCULLIS_OK && code != PORTCULLIS_CANCELLED &&
                   portcullis_result_retry(result) == PORTCULLIS_RETRY_SAFE;
    if (self->early && (code == PORTCULLIS_GONE || refused)) {
        if (refused) {
            s_end_asking_early(self);
        }
        bool sent = false;
        portcullis_future *again = s_send(&self->ask, 0, &sent);
        if (sent) {
            pcl_ahead *fresh = *pcl_future_ahead_of(again);
            fresh->behind = self->behind;
            self->behind = NULL;
            pcl_ahead_destroy(self_p);
            pcl_result_forget(result);
            return again;
        }
        portcullis_future_destroy(&again);
    }
    pcl_result_take_ahead(result, &self->ask, &self->behind);
    pcl_ahead_destroy(self_p);
    return NULL;
}

void pcl_ahead_destroy(pcl_ahead **self_p)
{
    pcl_ahead *self = *self_p;
    if (self != NULL) {
        *self_p = NULL;
        portcullis_future_destroy(&self->behind);
        pcl_client_unref(&self->ask.client);
        free(self);
    }
}
