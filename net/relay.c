#include "net/relay.h"

#include "common/clock.h"
#include "common/endian.h"
#include "common/id_index.h"
#include "common/ticket_table.h"
#include "net/log.h"
#include "net/log_limit.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    REFUSED_LINES_MAX = 20,      /* log lines a second */
    ERROR_REPLY_SIZE_MAX = 4096, /* a message has at most some hundred octets */
    CODE_COUNT = PCL_ERR_COUNT,
    LABEL_SIZE = 64,   /* `code="UNAVAILABLE"` */
    MESSAGE_SIZE = 256 /* an error's text, in the log */
};

typedef struct relay_metrics {
    pcl_metric *requests, *request_bytes, *reply_bytes, *duration, *inflight, *link_up, *parked;
    pcl_metric *cancels, *releases, *again;
    pcl_metric *replies[CODE_COUNT];
    pcl_metric *unroutable, *slow, *stale, *foreign; /* dropped, by cause */
} relay_metrics;

/* One next hop. */
typedef struct relay_link {
    struct pcl_relay *relay;
    pcl_link *link;
    const char *name;
    uint32_t index;
    uint64_t shunned_until_us; /* it has refused what another may take */
    pcl_metric *up, *inflight; /* NULL where there is only one */
} relay_link;

struct pcl_relay {
    pcl_relay_options options;
    relay_link links[PCL_SPREAD_MAX];
    uint32_t link_count;
    pcl_spread spread;
    pcl_ticket_table *table; /* of pcl_relay_entry */
    pcl_id_index *ids;       /* of those in flight; NULL unless by_id */
    pcl_id_index *named;     /* likewise, by the id alone; NULL unless there are several links */
    pcl_id_index *sessions;  /* of those in flight, by session; likewise */
    uint64_t *parked;        /* ring of tickets; as many as the table has entries */
    uint32_t parked_first;
    uint32_t parked_count; /* tickets in the ring; some may be of entries that left */
    size_t parked_size;    /* octets of the replies that wait */
    bool draining;
    const char *unready; /* the owner's reason; NULL: none */
    pcl_buffer error;    /* an error reply while it is encoded */
    pcl_log_limit log_limit;
    relay_metrics metrics;
};

/* --- Entries and replies --------------------------------------------------- */

void pcl_relay_entry_init(pcl_relay_entry *entry)
{
    assert(entry != NULL);
    memset(entry, 0, sizeof *entry);
    zmq_msg_init(&entry->peer);
    entry->owner_index = PCL_RELAY_OWNER_NONE;
    entry->connection = PCL_RELAY_OWNER_NONE;
    entry->work = PCL_RELAY_OWNER_NONE;
}

static void s_reply_init(pcl_relay_reply *reply, pcl_err code, pcl_retry retry)
{
    memset(reply, 0, sizeof *reply);
    zmq_msg_init(&reply->payload);
    zmq_msg_init(&reply->tail);
    reply->code = code;
    reply->retry = retry;
}

static void s_reply_close(pcl_relay_reply *reply)
{
    zmq_msg_close(&reply->payload);
    zmq_msg_close(&reply->tail);
}

static void s_reply_move(pcl_relay_reply *target, pcl_relay_reply *source)
{
    s_reply_init(target, source->code, source->retry);
    target->flags = source->flags;
    memcpy(target->session, source->session, sizeof target->session);
    target->rows = source->rows;
    target->waited_us = source->waited_us;
    memcpy(target->node, source->node, sizeof target->node);
    zmq_msg_move(&target->payload, &source->payload);
    zmq_msg_move(&target->tail, &source->tail);
}

void pcl_relay_entry_release(pcl_relay_entry *entry)
{
    assert(entry != NULL);
    zmq_msg_close(&entry->peer);
    for (uint32_t index = 0; index < entry->envelope_count; index++) {
        zmq_msg_close(&entry->envelope[index]);
    }
    entry->envelope_count = 0;
    if (entry->parked) {
        s_reply_close(&entry->reply);
        entry->parked = false;
    }
}

/* target is fresh from the table; source is left released. */
static void s_entry_move(pcl_relay_entry *target, pcl_relay_entry *source)
{
    assert(!source->parked);
    pcl_relay_entry_init(target);
    zmq_msg_move(&target->peer, &source->peer);
    for (uint32_t index = 0; index < source->envelope_count; index++) {
        zmq_msg_init(&target->envelope[index]);
        zmq_msg_move(&target->envelope[index], &source->envelope[index]);
    }
    target->envelope_count = source->envelope_count;
    target->owner_index = source->owner_index;
    target->connection = source->connection;
    target->work = source->work;
    target->peer_ticket = source->peer_ticket;
    target->packed = source->packed;
    target->batched = source->batched;
    target->arrived_us = source->arrived_us;
    target->deadline_us = source->deadline_us;
    memcpy(target->id, source->id, sizeof target->id);
    target->has_id = source->has_id;
    target->op = source->op;
    target->sql_class = source->sql_class;
    target->repeatable = source->repeatable;
    target->payload_size = source->payload_size;
    memcpy(target->principal, source->principal, sizeof target->principal);
    pcl_relay_entry_release(source);
}

/* What an entry is found by: its id and its peer's ticket, so that requests to which a client gave
 * one id do not meet in one chain. */
static void s_index_key(uint8_t out_key[PCL_ID_SIZE], const uint8_t id[PCL_ID_SIZE],
                        uint64_t peer_ticket)
{
    memcpy(out_key, id, PCL_ID_SIZE);
    pcl_put_be(out_key, pcl_get_be(id, sizeof peer_ticket) ^ peer_ticket, sizeof peer_ticket);
}

/* It is not in flight below any more: answered, or lost there. */
static void s_leave_link(pcl_relay *self, uint64_t ticket, pcl_relay_entry *entry)
{
    if (!entry->below) {
        return;
    }
    entry->below = false;
    pcl_spread_end(&self->spread, entry->link);
    if (entry->in_session) {
        entry->in_session = false;
        pcl_id_index_remove(self->sessions, entry->session, ticket);
    }
}

/* The one way out of the table. */
static void s_remove(pcl_relay *self, uint64_t ticket, pcl_relay_entry *entry)
{
    s_leave_link(self, ticket, entry);
    self->parked_size -= entry->parked_size;
    if (self->options.gone != NULL) {
        self->options.gone(self->options.context, entry);
    }
    if (self->ids != NULL) {
        uint8_t key[PCL_ID_SIZE];
        s_index_key(key, entry->id, entry->peer_ticket);
        pcl_id_index_remove(self->ids, key, ticket);
    }
    if (self->named != NULL) {
        pcl_id_index_remove(self->named, entry->id, ticket);
    }
    pcl_relay_entry_release(entry);
    pcl_ticket_table_remove(self->table, ticket);
}

/* --- Life ------------------------------------------------------------------ */

static void s_link_metrics_make(pcl_relay *self)
{
    pcl_metrics *registry = self->options.args->metrics;
    const pcl_relay_names *names = &self->options.names;
    for (uint32_t index = 0; self->link_count > 1 && index < self->link_count; index++) {
        char labels[LABEL_SIZE];
        relay_link *one = &self->links[index];
        (void)snprintf(labels, sizeof labels, "next=\"%s\"", one->name);
        one->up = pcl_metrics_gauge(registry, names->next_up, labels,
                                    "1 when that one of several next hops takes new work.");
        one->inflight = pcl_metrics_gauge(registry, names->next_inflight, labels,
                                          "Requests in flight at that one of several next hops.");
    }
    self->metrics.again = pcl_metrics_counter(
        registry, names->again, "",
        "Requests that one of several next hops refused as it stopped, and reads that were lost "
        "with it, that went to another.");
}

static void s_metrics_make(pcl_relay *self)
{
    pcl_metrics *registry = self->options.args->metrics;
    const pcl_relay_names *names = &self->options.names;
    relay_metrics *made = &self->metrics;
    made->requests = pcl_metrics_counter(registry, names->requests, "",
                                         "Requests that arrived, good or bad.");
    made->request_bytes = pcl_metrics_counter(registry, names->request_bytes, "",
                                              "Octets of the payloads of requests that arrived.");
    made->reply_bytes = pcl_metrics_counter(registry, names->reply_bytes, "",
                                            "Octets of the payloads of replies that were sent.");
    made->duration = pcl_metrics_histogram(registry, names->duration, "",
                                           "From a request's arrival to its reply's departure.");
    made->inflight = pcl_metrics_gauge(registry, names->inflight, "",
                                       "Requests that wait for their reply.");
    made->link_up = pcl_metrics_gauge(registry, names->link_up, "",
                                      "1 when the next hop takes new work.");
    made->parked = pcl_metrics_counter(registry, names->parked, "",
                                       "Replies that had to wait for their peer's queue.");
    made->cancels = pcl_metrics_counter(registry, names->cancels, "",
                                        "Requests that the next hop was told to stop, since "
                                        "nobody waits for them.");
    made->releases = pcl_metrics_counter(registry, names->releases, "",
                                         "Sessions and cursors that the next hop was told to end, "
                                         "since nobody holds them.");
    for (int code = 0; code < CODE_COUNT; code++) {
        char labels[LABEL_SIZE];
        (void)snprintf(labels, sizeof labels, "code=\"%s\"", pcl_err_code(code));
        made->replies[code] = pcl_metrics_counter(registry, names->replies, labels,
                                                  "Replies sent, by their code.");
    }
    static const char help[] = "Replies that were dropped: the peer is gone (unroutable) or does "
                               "not read (slow), the request is not in flight any more (stale), "
                               "or the id is another's (foreign).";
    made->unroutable = pcl_metrics_counter(registry, names->dropped, "cause=\"unroutable\"", help);
    made->slow = pcl_metrics_counter(registry, names->dropped, "cause=\"slow\"", help);
    made->stale = pcl_metrics_counter(registry, names->dropped, "cause=\"stale\"", help);
    made->foreign = pcl_metrics_counter(registry, names->dropped, "cause=\"foreign\"", help);
}

static bool s_on_link(void *context, uint64_t now_us);
static bool s_on_watch(void *context, uint64_t now_us);
static void s_on_unsent(void *context, zmq_msg_t *peer, const pcl_head *head, pcl_err why,
                        uint64_t now_us);

/* Bit 1u << index of each link in that state. */
static uint32_t s_links_in(const pcl_relay *self, pcl_link_state state)
{
    uint32_t links = 0;
    for (uint32_t index = 0; index < self->link_count; index++) {
        links |= pcl_link_state_now(self->links[index].link) == state ? 1u << index : 0;
    }
    return links;
}

/* The best of the links. */
static pcl_link_state s_state(const pcl_relay *self)
{
    return s_links_in(self, PCL_LINK_UP) != 0         ? PCL_LINK_UP
           : s_links_in(self, PCL_LINK_DRAINING) != 0 ? PCL_LINK_DRAINING
                                                      : PCL_LINK_DOWN;
}

static void s_publish_link(pcl_relay *self)
{
    pcl_link_state state = s_state(self);
    pcl_metric_set(self->metrics.link_up, state == PCL_LINK_UP ? 1 : 0);
    char reason[LABEL_SIZE] = "";
    if (self->draining) {
        (void)snprintf(reason, sizeof reason, "draining");
    } else if (state != PCL_LINK_UP) {
        (void)snprintf(reason, sizeof reason, "%s is %s", self->options.next,
                       state == PCL_LINK_DOWN ? "not there" : "draining");
    } else if (self->unready != NULL) {
        (void)snprintf(reason, sizeof reason, "%s", self->unready);
    }
    pcl_http_set_ready(self->options.args->http, reason[0] == '\0', reason);
}

static bool s_open_link(pcl_relay *self, uint32_t index, char *error, size_t error_size)
{
    const pcl_relay_options *options = &self->options;
    relay_link *one = &self->links[index];
    const char *name = options->link_names[index];
    one->relay = self;
    one->index = index;
    one->name = name != NULL ? name : options->next;
    /* Beats of several links do not march in step. */
    one->link = pcl_link_new(&options->links[index], "", options->args->boot_id,
                             options->args->seed + index, error, error_size);
    zsock_t *watch = one->link == NULL ? NULL : pcl_link_watch(one->link, error, error_size);
    if (watch == NULL) {
        return false;
    }
    pcl_link_lend(one->link);
    if (self->link_count == 1) {
        pcl_link_be_patient(one->link);
    }
    pcl_link_on_unsent(one->link, s_on_unsent, one);
    pcl_loop_add_socket(options->loop, pcl_link_socket(one->link), s_on_link, one);
    pcl_loop_add_socket(options->loop, watch, s_on_watch, one);
    return true;
}

/* What only several links need; with one, a request costs nothing of it. */
static bool s_open_indexes(pcl_relay *self)
{
    uint32_t capacity = self->options.inflight_max;
    uint64_t seed = self->options.args->seed;
    self->ids = self->options.by_id ? pcl_id_index_new(capacity, seed) : NULL;
    if (self->link_count > 1) {
        self->sessions = pcl_id_index_new(capacity, seed);
        self->named = self->options.by_id ? pcl_id_index_new(capacity, seed) : NULL;
    }
    return (!self->options.by_id || self->ids != NULL) &&
           (self->link_count == 1 || self->sessions != NULL) &&
           (self->link_count == 1 || !self->options.by_id || self->named != NULL);
}

pcl_relay *pcl_relay_new(const pcl_relay_options *options, char *error, size_t error_size)
{
    assert(options != NULL);
    assert(options->send != NULL);
    assert(options->link_count > 0 && options->link_count <= PCL_SPREAD_MAX);
    assert(options->inflight_max > 0 && options->inflight_max <= PCL_INFLIGHT_MAX);
    bool whole = false;
    pcl_relay *self = calloc(1, sizeof *self);
    if (self != NULL) {
        self->options = *options;
        self->link_count = options->link_count;
        self->spread = pcl_spread_of(options->link_count);
        self->log_limit = pcl_log_limit_of(REFUSED_LINES_MAX);
        pcl_buffer_init(&self->error, ERROR_REPLY_SIZE_MAX);
        self->parked = calloc(options->inflight_max, sizeof *self->parked);
        self->table = pcl_ticket_table_new(options->inflight_max, sizeof(pcl_relay_entry),
                                           options->args->seed);
        whole = s_open_indexes(self) && self->parked != NULL && self->table != NULL;
    }
    if (!whole) {
        (void)snprintf(error, error_size, "no memory for %u requests in flight",
                       options->inflight_max);
        pcl_relay_destroy(&self);
        return NULL;
    }
    for (uint32_t index = 0; index < self->link_count; index++) {
        if (!s_open_link(self, index, error, error_size)) {
            pcl_relay_destroy(&self);
            return NULL;
        }
    }
    s_metrics_make(self);
    s_link_metrics_make(self);
    s_publish_link(self);
    return self;
}

void pcl_relay_destroy(pcl_relay **self_p)
{
    assert(self_p != NULL);
    pcl_relay *self = *self_p;
    if (self == NULL) {
        return;
    }
    if (self->table != NULL) {
        uint32_t cursor = 0;
        uint64_t ticket = 0;
        pcl_relay_entry *entry = NULL;
        while ((entry = pcl_ticket_table_each(self->table, &cursor, &ticket)) != NULL) {
            s_remove(self, ticket, entry);
        }
        pcl_ticket_table_destroy(&self->table);
    }
    for (uint32_t index = 0; index < self->link_count; index++) {
        pcl_link_destroy(&self->links[index].link);
    }
    pcl_id_index_destroy(&self->ids);
    pcl_id_index_destroy(&self->named);
    pcl_id_index_destroy(&self->sessions);
    pcl_buffer_release(&self->error);
    free(self->parked);
    free(self);
    *self_p = NULL;
}

void pcl_relay_drain(pcl_relay *self)
{
    assert(self != NULL);
    self->draining = true;
    s_publish_link(self);
}

void pcl_relay_set_unready(pcl_relay *self, const char *why)
{
    assert(self != NULL);
    self->unready = why;
    s_publish_link(self);
}

uint32_t pcl_relay_count(const pcl_relay *self)
{
    assert(self != NULL);
    return pcl_ticket_table_count(self->table);
}

uint32_t pcl_relay_next_count(const pcl_relay *self)
{
    assert(self != NULL);
    return self->link_count;
}

pcl_relay_next pcl_relay_next_at(const pcl_relay *self, uint32_t index)
{
    assert(self != NULL && index < self->link_count);
    return (pcl_relay_next){
        .name = self->links[index].name,
        .state = pcl_link_state_now(self->links[index].link),
        .inflight = self->spread.inflight[index],
    };
}

/* --- Hints to the next hop -------------------------------------------------- */

static void s_error_reply(pcl_relay *self, const pcl_relay_entry *entry,
                          const pcl_reply_error *error, pcl_relay_reply *out_reply,
                          uint64_t now_us);
static void s_answer(pcl_relay *self, uint64_t ticket, pcl_relay_entry *entry,
                     pcl_relay_reply *reply, uint64_t now_us);

/* Answers what is held: it never ran. */
static void s_refuse_held(pcl_relay *self, uint64_t ticket, pcl_relay_entry *entry,
                          const pcl_reply_error *error, uint64_t now_us)
{
    assert(entry->held);
    entry->held = false;
    pcl_relay_reply reply;
    s_error_reply(self, entry, error, &reply, now_us);
    s_answer(self, ticket, entry, &reply, now_us);
}

/* true: it was told to stop, or was stopped here. */
static bool s_cancel(pcl_relay *self, uint64_t ticket, pcl_relay_entry *entry, uint64_t now_us)
{
    if (entry->parked || entry->cancelled) {
        return false;
    }
    if (entry->held) {
        pcl_reply_error error = {.err = PCL_ERR_CANCELLED, .retry = PCL_RETRY_SAFE};
        s_refuse_held(self, ticket, entry, &error, now_us);
        return true;
    }
    pcl_head head = {.kind = PCL_KIND_CANCEL, .op = entry->op, .ticket = ticket};
    memcpy(head.id, entry->id, sizeof head.id);
    pcl_link *link = self->links[entry->link].link;
    entry->cancelled = pcl_link_send(link, &head, NULL, NULL, now_us) == PCL_ERR_OK;
    pcl_metric_add(self->metrics.cancels, entry->cancelled ? 1 : 0);
    return entry->cancelled;
}

void pcl_relay_cancel(pcl_relay *self, uint64_t ticket, uint64_t now_us)
{
    assert(self != NULL);
    pcl_relay_entry *entry = pcl_ticket_table_find(self->table, ticket);
    if (entry != NULL) {
        (void)s_cancel(self, ticket, entry, now_us); /* a hint */
    }
}

/* Stops what it finds first that is not stopped yet.  false: there is no other. */
static bool s_cancel_one(pcl_relay *self, const uint8_t *id, pcl_bytes peer, uint64_t peer_ticket,
                         uint64_t now_us)
{
    uint32_t cursor = 0;
    uint64_t ticket = 0;
    uint8_t key[PCL_ID_SIZE];
    s_index_key(key, id, peer_ticket);
    while ((ticket = pcl_id_index_find(self->ids, key, &cursor)) != 0) {
        pcl_relay_entry *entry = pcl_ticket_table_find(self->table, ticket);
        assert(entry != NULL); /* it leaves the index with the table */
        if (entry->peer_ticket == peer_ticket && memcmp(entry->id, id, PCL_ID_SIZE) == 0 &&
            pcl_bytes_equal(pcl_frame_bytes(&entry->peer), peer) &&
            s_cancel(self, ticket, entry, now_us)) {
            return true; /* it may have left the index, which must not be walked on */
        }
    }
    return false;
}

void pcl_relay_cancel_asked(pcl_relay *self, const uint8_t id[PCL_ID_SIZE], pcl_bytes peer,
                            uint64_t peer_ticket, uint64_t now_us)
{
    assert(self != NULL);
    assert(self->ids != NULL);
    while (s_cancel_one(self, id, peer, peer_ticket, now_us)) {
    }
}

uint32_t pcl_relay_cancel_named(pcl_relay *self, pcl_relay_entry *entry, uint64_t now_us)
{
    assert(self != NULL && entry != NULL && !entry->held);
    uint32_t told = 0;
    uint32_t cursor = 0;
    uint64_t ticket = 0;
    while (self->named != NULL &&
           (ticket = pcl_id_index_find(self->named, entry->id, &cursor)) != 0) {
        pcl_relay_entry *other = pcl_ticket_table_find(self->table, ticket);
        assert(other != NULL); /* it leaves the index with the table */
        if (!other->below || other->owner_index != entry->owner_index ||
            other->op == PCL_OP_CANCEL) {
            continue;
        }
        bool up = pcl_link_state_now(self->links[other->link].link) == PCL_LINK_UP;
        if (!entry->wished && up) {
            entry->wished = true;
            entry->link = other->link;
        } else if (!entry->wished || other->link != entry->link) {
            told += s_cancel(self, ticket, other, now_us) ? 1 : 0; /* in flight: it stays there */
        }
    }
    return told;
}

/* Of the peer, or where peer is NULL of the owner. */
static uint32_t s_cancel_of(pcl_relay *self, const pcl_bytes *peer, uint32_t owner_index,
                            uint64_t now_us)
{
    uint32_t told = 0;
    uint32_t cursor = 0;
    uint64_t ticket = 0;
    pcl_relay_entry *entry = NULL;
    while ((entry = pcl_ticket_table_each(self->table, &cursor, &ticket)) != NULL) {
        bool theirs = peer != NULL ? pcl_bytes_equal(pcl_frame_bytes(&entry->peer), *peer)
                                   : entry->owner_index == owner_index;
        told += theirs && s_cancel(self, ticket, entry, now_us) ? 1 : 0;
    }
    return told;
}

uint32_t pcl_relay_cancel_peer(pcl_relay *self, pcl_bytes peer, uint64_t now_us)
{
    assert(self != NULL);
    return s_cancel_of(self, &peer, 0, now_us);
}

uint32_t pcl_relay_cancel_owner(pcl_relay *self, uint32_t owner_index, uint64_t now_us)
{
    assert(self != NULL);
    return s_cancel_of(self, NULL, owner_index, now_us);
}

/* links: bit 1u << index of each that may be told. */
static void s_release(pcl_relay *self, const uint8_t session[PCL_ID_SIZE], pcl_bytes principal,
                      uint32_t links, uint64_t now_us)
{
    pcl_head head = {.kind = PCL_KIND_RELEASE, .principal = principal};
    memcpy(head.session, session, sizeof head.session);
    /* Whichever: the next hop finds what is held by its id. */
    uint32_t up = s_links_in(self, PCL_LINK_UP) & links;
    uint32_t may = up != 0 ? up : s_links_in(self, PCL_LINK_DRAINING) & links;
    uint32_t chosen = pcl_spread_choose(&self->spread, may);
    if (chosen != PCL_SPREAD_NONE &&
        pcl_link_send(self->links[chosen].link, &head, NULL, NULL, now_us) == PCL_ERR_OK) {
        pcl_metric_add(self->metrics.releases, 1);
    }
}

void pcl_relay_release(pcl_relay *self, const uint8_t session[PCL_ID_SIZE], pcl_bytes principal,
                       uint64_t now_us)
{
    assert(self != NULL);
    s_release(self, session, principal, UINT32_MAX, now_us);
}

/* What was lost with one of several, and may have run, may run yet: behind what its session would
 * send by another way, were there a session.  entry is in flight still. */
static void s_end_session(pcl_relay *self, const pcl_relay_entry *entry,
                          const pcl_relay_reply *reply, uint64_t now_us)
{
    bool ended = (reply->flags & (PCL_HEAD_HELD | PCL_HEAD_RELEASED)) != 0;
    if (self->link_count > 1 && entry->below && entry->in_session && !ended &&
        reply->code == PCL_ERR_LOST && reply->retry == PCL_RETRY_UNSAFE) {
        s_release(self, entry->session, pcl_bytes_text(entry->principal), ~(1u << entry->link),
                  now_us);
    }
}

/* The reply reaches nobody, so nobody knows what it opened. */
static void s_undelivered(pcl_relay *self, const pcl_relay_entry *entry,
                          const pcl_relay_reply *reply, uint64_t now_us)
{
    if ((reply->flags & PCL_HEAD_HELD) != 0) {
        pcl_relay_release(self, reply->session, pcl_bytes_text(entry->principal), now_us);
    }
}

/* --- Answers --------------------------------------------------------------- */

/* Counts what became of a reply of that size, which was tried last with err. */
static void s_count_reply(pcl_relay *self, const pcl_relay_entry *entry, pcl_err code, size_t size,
                          pcl_err err, uint64_t now_us)
{
    relay_metrics *metrics = &self->metrics;
    if (err != PCL_ERR_OK) {
        pcl_metric_add(err == PCL_ERR_OVERLOADED ? metrics->slow : metrics->unroutable, 1);
        return;
    }
    assert((int)code >= 0 && (int)code < CODE_COUNT);
    pcl_metric_add(metrics->replies[code], 1);
    pcl_metric_add(metrics->reply_bytes, size);
    pcl_metric_observe_us(metrics->duration, pcl_time_since_us(entry->arrived_us, now_us));
}

/* Tries once.  On OVERLOADED nothing was counted and the reply is still whole. */
static pcl_err s_try(pcl_relay *self, pcl_relay_entry *entry, pcl_relay_reply *reply,
                     uint64_t now_us)
{
    size_t size = zmq_msg_size(&reply->payload);
    pcl_err code = reply->code;
    pcl_err err = self->options.send(self->options.context, entry, reply, now_us);
    if (err != PCL_ERR_OVERLOADED) {
        s_count_reply(self, entry, code, size, err, now_us);
    }
    if (err != PCL_ERR_OK && err != PCL_ERR_OVERLOADED) {
        s_undelivered(self, entry, reply, now_us);
    }
    return err;
}

/* Keeps the reply until the peer's queue has room.  entry is in the table under ticket. */
static bool s_park(pcl_relay *self, uint64_t ticket, pcl_relay_entry *entry, pcl_relay_reply *reply,
                   uint64_t now_us)
{
    uint32_t capacity = pcl_ticket_table_capacity(self->table);
    size_t size = zmq_msg_size(&reply->payload);
    if (self->parked_count == capacity || size > PCL_RELAY_PARKED_SIZE_MAX - self->parked_size) {
        return false;
    }
    uint64_t index = ((uint64_t)self->parked_first + self->parked_count) % capacity;
    self->parked[index] = ticket;
    self->parked_count++;
    s_reply_move(&entry->reply, reply);
    pcl_frame_keep(&entry->reply.payload);
    pcl_frame_keep(&entry->reply.tail);
    entry->parked = true;
    entry->parked_size = size;
    self->parked_size += size;
    pcl_ticket_table_set_deadline(self->table, ticket, now_us + PCL_RELAY_PARK_MS * PCL_US_PER_MS);
    pcl_metric_add(self->metrics.parked, 1);
    return true;
}

/* The owner's last word on it, before it is sent or parked. */
static void s_prepare(pcl_relay *self, pcl_relay_entry *entry, pcl_relay_reply *reply,
                      uint64_t now_us)
{
    if (self->options.answer != NULL) {
        self->options.answer(self->options.context, entry, reply, now_us);
    }
}

/* Answers an entry of the table; closes the reply. */
static void s_answer(pcl_relay *self, uint64_t ticket, pcl_relay_entry *entry,
                     pcl_relay_reply *reply, uint64_t now_us)
{
    assert(!entry->parked);
    s_leave_link(self, ticket, entry);
    s_prepare(self, entry, reply, now_us);
    pcl_err err = s_try(self, entry, reply, now_us);
    bool parked = err == PCL_ERR_OVERLOADED && s_park(self, ticket, entry, reply, now_us);
    if (!parked) {
        if (err == PCL_ERR_OVERLOADED) {
            pcl_metric_add(self->metrics.slow, 1);
            s_undelivered(self, entry, reply, now_us);
        }
        s_remove(self, ticket, entry);
    }
    s_reply_close(reply);
}

static void s_log_error(pcl_relay *self, const pcl_relay_entry *entry, const pcl_reply_error *error,
                        pcl_bytes text, uint64_t now_us)
{
    if (!pcl_log_limit_take(&self->log_limit, now_us)) {
        return;
    }
    char id[2 * PCL_ID_SIZE + 1] = "";
    char principal[2 * PCL_NAME_SIZE_MAX + 1];
    char plain[MESSAGE_SIZE];
    char message[2 * MESSAGE_SIZE];
    (void)snprintf(plain, sizeof plain, "%.*s", (int)text.size, (const char *)text.data);
    pcl_log(PCL_LOG_INFO, self->options.hop, "refused",
            "id=%s principal=\"%s\" op=%s code=%s retry=%s message=\"%s\"",
            entry->has_id ? pcl_id_text(entry->id, id) : "none",
            pcl_log_escape(entry->principal, principal, sizeof principal), pcl_op_text(entry->op),
            pcl_err_code((int)error->err), pcl_retry_text((int)error->retry),
            pcl_log_escape(plain, message, sizeof message));
}

static void s_error_reply(pcl_relay *self, const pcl_relay_entry *entry,
                          const pcl_reply_error *error, pcl_relay_reply *out_reply, uint64_t now_us)
{
    pcl_reply_error full = *error;
    full.hop = self->options.hop;
    if (full.message.size == 0) {
        full.message = pcl_bytes_text(pcl_err_text((int)full.err));
    }
    s_reply_init(out_reply, full.err, full.retry);
    pcl_buffer_clear(&self->error);
    pcl_reply_error_encode(&self->error, entry->has_id ? entry->id : NULL, &full);
    assert(!self->error.failed || self->error.out_of_memory); /* every message is bounded */
    pcl_frame_copy_of(&out_reply->payload, pcl_buffer_bytes(&self->error));
    s_log_error(self, entry, &full, full.message, now_us);
}

/* Answers an entry of the table with an error that says what became of the next hop. */
static void s_fail(pcl_relay *self, uint64_t ticket, pcl_relay_entry *entry, pcl_err err,
                   uint64_t now_us)
{
    char message[MESSAGE_SIZE];
    const char *more = entry->op == PCL_OP_FETCH    ? "; its page is lost, read the result again"
                       : entry->op == PCL_OP_COMMIT ? "; whether it committed is not known"
                                                    : "";
    (void)snprintf(message, sizeof message,
                   err == PCL_ERR_LOST ? "the %s that held the request is gone%s"
                                       : "the deadline passed while the %s had the request%s",
                   self->options.next, more);
    pcl_reply_error error = {
        .err = err,
        .retry = entry->op == PCL_OP_FETCH ? PCL_RETRY_NEVER
                 : entry->repeatable       ? PCL_RETRY_SAFE
                                           : PCL_RETRY_UNSAFE,
        .message = pcl_bytes_text(message),
    };
    pcl_relay_reply reply;
    s_error_reply(self, entry, &error, &reply, now_us);
    s_end_session(self, entry, &reply, now_us);
    s_answer(self, ticket, entry, &reply, now_us);
}

/* As s_park, for an entry that is not in the table. */
static bool s_park_refusal(pcl_relay *self, pcl_relay_entry *entry, pcl_relay_reply *reply,
                           uint64_t now_us)
{
    if (self->parked_count > pcl_ticket_table_capacity(self->table) / 4) {
        return false;
    }
    uint64_t ticket = 0;
    pcl_relay_entry *kept = pcl_ticket_table_add(self->table, now_us, &ticket);
    if (kept == NULL) {
        return false;
    }
    s_entry_move(kept, entry);
    if (!s_park(self, ticket, kept, reply, now_us)) {
        s_remove(self, ticket, kept);
        return false;
    }
    return true;
}

void pcl_relay_refuse(pcl_relay *self, pcl_relay_entry *entry, const pcl_reply_error *error,
                      uint64_t now_us)
{
    assert(self != NULL);
    assert(entry != NULL);
    assert(error != NULL);
    pcl_relay_reply reply;
    s_error_reply(self, entry, error, &reply, now_us);
    s_prepare(self, entry, &reply, now_us);
    pcl_err err = s_try(self, entry, &reply, now_us);
    if (err == PCL_ERR_OVERLOADED && !s_park_refusal(self, entry, &reply, now_us)) {
        pcl_metric_add(self->metrics.slow, 1);
    }
    s_reply_close(&reply);
    pcl_relay_entry_release(entry);
}

/* What is said of work that was not handed on; text holds the message and must have MESSAGE_SIZE
 * octets. */
static pcl_reply_error s_unsent(const pcl_relay *self, pcl_err err, char *text)
{
    text[0] = '\0';
    if (err == PCL_ERR_UNAVAILABLE) {
        (void)snprintf(text, MESSAGE_SIZE, "the %s is %s", self->options.next,
                       s_state(self) == PCL_LINK_DRAINING ? "shutting down" : "not there");
    } else if (err == PCL_ERR_DRAINING) {
        (void)snprintf(text, MESSAGE_SIZE, "the %s is shutting down", self->options.hop);
    } else if (err == PCL_ERR_DEADLINE) {
        (void)snprintf(text, MESSAGE_SIZE, "the deadline passed before the %s handed it on",
                       self->options.hop);
    }
    return (pcl_reply_error){
        .err = err,
        .retry = PCL_RETRY_SAFE,
        .message = pcl_bytes_text(text),
        .retry_after_ms = err == PCL_ERR_OVERLOADED ? PCL_RELAY_RETRY_AFTER_MS : 0,
    };
}

void pcl_relay_refuse_unsent(pcl_relay *self, pcl_relay_entry *entry, pcl_err err, uint64_t now_us)
{
    char text[MESSAGE_SIZE];
    pcl_reply_error error = s_unsent(self, err, text);
    pcl_relay_refuse(self, entry, &error, now_us);
}

const pcl_relay_entry *pcl_relay_held(const pcl_relay *self, uint64_t ticket)
{
    assert(self != NULL);
    const pcl_relay_entry *entry = pcl_ticket_table_find(self->table, ticket);
    return entry != NULL && entry->held ? entry : NULL;
}

void pcl_relay_refuse_held(pcl_relay *self, uint64_t ticket, const pcl_reply_error *error,
                           uint64_t now_us)
{
    assert(self != NULL);
    assert(error != NULL);
    pcl_relay_entry *entry = pcl_ticket_table_find(self->table, ticket);
    if (entry != NULL && entry->held) {
        s_refuse_held(self, ticket, entry, error, now_us);
    }
}

void pcl_relay_refuse_held_unsent(pcl_relay *self, uint64_t ticket, pcl_err err, uint64_t now_us)
{
    char text[MESSAGE_SIZE];
    pcl_reply_error error = s_unsent(self, err, text);
    pcl_relay_refuse_held(self, ticket, &error, now_us);
}

/* --- The way down ---------------------------------------------------------- */

void pcl_relay_arrived(pcl_relay *self, size_t payload_size)
{
    assert(self != NULL);
    pcl_metric_add(self->metrics.requests, 1);
    pcl_metric_add(self->metrics.request_bytes, payload_size);
}

void pcl_relay_head_fill(pcl_head *head, const pcl_request *request)
{
    assert(head != NULL);
    assert(request != NULL);
    head->op = request->op;
    head->strategy = request->strategy;
    head->consistency = request->consistency;
    head->max_lag_ms = request->max_lag_ms;
    if (request->has_id) {
        memcpy(head->id, request->id, sizeof head->id);
    }
    if (request->has_session) {
        memcpy(head->session, request->session, sizeof head->session);
    } else if (request->has_cursor) {
        memcpy(head->session, request->cursor, sizeof head->session);
    }
    if (request->explain_route) {
        head->flags |= PCL_HEAD_EXPLAIN;
    }
    if (request->dry_run) {
        head->flags |= PCL_HEAD_DRY_RUN;
    }
}

/* Whether there is somebody to hand it on to, and time for it.  DRAINING is our own stop alone: who
 * hears it asks us nothing more until we are connected to anew. */
static pcl_err s_may_go(const pcl_relay *self, const pcl_relay_entry *entry, uint64_t now_us)
{
    if (self->draining && !entry->held) {
        return PCL_ERR_DRAINING; /* what was accepted before a stop is finished */
    }
    if (s_state(self) != PCL_LINK_UP) {
        return PCL_ERR_UNAVAILABLE;
    }
    return pcl_time_left_us(entry->deadline_us, now_us) == 0 ? PCL_ERR_DEADLINE : PCL_ERR_OK;
}

/* The canonical id of the session or cursor that the head names.  false: it names none. */
static bool s_session_of(const pcl_head *head, uint8_t out_session[PCL_ID_SIZE])
{
    static const uint8_t NONE[PCL_ID_SIZE];
    memcpy(out_session, head->session, PCL_ID_SIZE);
    pcl_held_id_set_page(out_session, 0);
    return memcmp(out_session, NONE, PCL_ID_SIZE) != 0;
}

/* The links that may have it: all that take new work, or the one that it has to go to. */
static uint32_t s_links_for(const pcl_relay *self, const pcl_relay_entry *entry,
                            const uint8_t *session, uint64_t now_us)
{
    uint32_t up = s_links_in(self, PCL_LINK_UP);
    if (self->link_count == 1) {
        return up;
    }
    if (entry->again) {
        return up & ~(1u << entry->link); /* another than the one with which it was lost */
    }
    if (entry->wished && (up & 1u << entry->link) != 0) {
        return 1u << entry->link;
    }
    uint32_t cursor = 0;
    uint64_t other = session == NULL ? 0 : pcl_id_index_find(self->sessions, session, &cursor);
    if (other == 0) {
        uint32_t fresh = up;
        for (uint32_t index = 0; index < self->link_count; index++) {
            fresh &= self->links[index].shunned_until_us > now_us ? ~(1u << index) : UINT32_MAX;
        }
        return fresh != 0 ? fresh : up;
    }
    const pcl_relay_entry *before = pcl_ticket_table_find(self->table, other);
    assert(before != NULL); /* it leaves the index with the table */
    return up & 1u << before->link;
}

/* To the one with the fewest; where that has no room, or its connection has just ended, to the
 * next. */
static pcl_err s_hand_on(pcl_relay *self, uint64_t ticket, const pcl_relay_entry *entry,
                         pcl_head *head, zmq_msg_t *payload, zmq_msg_t *tail, uint64_t now_us,
                         uint32_t *out_link)
{
    uint64_t left_us = pcl_time_left_us(entry->deadline_us, now_us);
    head->kind = PCL_KIND_REQUEST;
    head->ticket = ticket;
    head->budget_us = left_us < UINT32_MAX ? (uint32_t)left_us : UINT32_MAX;
    memcpy(head->id, entry->id, sizeof head->id);
    uint8_t session[PCL_ID_SIZE];
    bool in_session = self->link_count > 1 && s_session_of(head, session);
    uint32_t may = s_links_for(self, entry, in_session ? session : NULL, now_us);
    pcl_err err = PCL_ERR_UNAVAILABLE;
    while (err != PCL_ERR_OK && may != 0) {
        *out_link = pcl_spread_choose(&self->spread, may);
        may &= ~(1u << *out_link);
        err = pcl_link_send(self->links[*out_link].link, head, payload, tail, now_us);
    }
    return err;
}

/* It is on its way there. */
static void s_enter_link(pcl_relay *self, uint64_t ticket, pcl_relay_entry *kept,
                         const pcl_head *head, uint32_t link, uint64_t now_us)
{
    kept->link = link;
    kept->below = true;
    kept->sent_us = now_us;
    pcl_spread_begin(&self->spread, link);
    if (self->sessions != NULL && s_session_of(head, kept->session)) {
        kept->in_session = true;
        pcl_id_index_add(self->sessions, kept->session, ticket);
    }
}

/* kept is fresh from the table under that ticket. */
static void s_keep(pcl_relay *self, uint64_t ticket, pcl_relay_entry *kept, pcl_relay_entry *entry)
{
    s_entry_move(kept, entry);
    if (self->ids != NULL) {
        uint8_t key[PCL_ID_SIZE];
        s_index_key(key, kept->id, kept->peer_ticket);
        pcl_id_index_add(self->ids, key, ticket);
    }
    if (self->named != NULL) {
        pcl_id_index_add(self->named, kept->id, ticket);
    }
}

/* When we answer by ourselves what is in flight. */
static uint64_t s_due_us(const pcl_relay *self, const pcl_relay_entry *entry)
{
    return entry->deadline_us + self->options.grace_ms * PCL_US_PER_MS;
}

pcl_err pcl_relay_forward(pcl_relay *self, pcl_relay_entry *entry, pcl_head *head,
                          zmq_msg_t *payload, zmq_msg_t *tail, uint64_t now_us)
{
    assert(self != NULL);
    assert(entry != NULL);
    assert(entry->has_id);
    assert(!entry->parked && !entry->held);
    pcl_err err = s_may_go(self, entry, now_us);
    if (err != PCL_ERR_OK) {
        return err;
    }
    uint64_t ticket = 0;
    pcl_relay_entry *kept = pcl_ticket_table_add(self->table, s_due_us(self, entry), &ticket);
    if (kept == NULL) {
        return PCL_ERR_OVERLOADED;
    }
    uint32_t link = 0;
    err = s_hand_on(self, ticket, entry, head, payload, tail, now_us, &link);
    if (err != PCL_ERR_OK) {
        pcl_ticket_table_remove(self->table, ticket);
        return err;
    }
    s_keep(self, ticket, kept, entry);
    s_enter_link(self, ticket, kept, head, link, now_us);
    return PCL_ERR_OK;
}

pcl_err pcl_relay_hold(pcl_relay *self, pcl_relay_entry *entry, uint64_t *out_ticket,
                       uint64_t now_us)
{
    assert(self != NULL);
    assert(entry != NULL && entry->has_id);
    assert(!entry->parked && !entry->held);
    assert(out_ticket != NULL);
    pcl_err err = s_may_go(self, entry, now_us);
    if (err != PCL_ERR_OK) {
        return err;
    }
    uint64_t ticket = 0;
    pcl_relay_entry *kept = pcl_ticket_table_add(self->table, entry->deadline_us, &ticket);
    if (kept == NULL) {
        return PCL_ERR_OVERLOADED;
    }
    s_keep(self, ticket, kept, entry);
    kept->held = true;
    *out_ticket = ticket;
    return PCL_ERR_OK;
}

pcl_err pcl_relay_forward_held(pcl_relay *self, uint64_t ticket, pcl_head *head, zmq_msg_t *payload,
                               zmq_msg_t *tail, uint64_t now_us)
{
    assert(self != NULL);
    pcl_relay_entry *entry = pcl_ticket_table_find(self->table, ticket);
    if (entry == NULL || !entry->held) {
        return PCL_ERR_GONE;
    }
    pcl_err err = s_may_go(self, entry, now_us);
    uint32_t link = 0;
    if (err == PCL_ERR_OK) {
        err = s_hand_on(self, ticket, entry, head, payload, tail, now_us, &link);
    }
    if (err == PCL_ERR_OK) {
        entry->held = false;
        s_enter_link(self, ticket, entry, head, link, now_us);
        pcl_ticket_table_set_deadline(self->table, ticket, s_due_us(self, entry));
    }
    return err;
}

pcl_err pcl_relay_forward_again(pcl_relay *self, uint64_t ticket, pcl_head *head,
                                zmq_msg_t *payload, uint64_t now_us)
{
    assert(self != NULL);
    pcl_relay_entry *entry = pcl_ticket_table_find(self->table, ticket);
    assert(entry != NULL && !entry->held && !entry->parked && !entry->below);
    pcl_err err = s_may_go(self, entry, now_us);
    uint32_t link = 0;
    if (err == PCL_ERR_OK) {
        err = s_hand_on(self, ticket, entry, head, payload, NULL, now_us, &link);
    }
    if (err == PCL_ERR_OK) {
        s_enter_link(self, ticket, entry, head, link, now_us);
    }
    return err;
}

/* Others of its session are in flight, which it must not overtake; and what comes behind one that
 * was given up stays there, too. */
static bool s_has_company(pcl_relay *self, const uint8_t session[PCL_ID_SIZE])
{
    uint32_t cursor = 0;
    uint64_t ticket = 0;
    bool found = false;
    while ((ticket = pcl_id_index_find(self->sessions, session, &cursor)) != 0) {
        pcl_relay_entry *other = pcl_ticket_table_find(self->table, ticket);
        assert(other != NULL); /* it leaves the index with the table */
        other->again = true;
        found = true;
    }
    return found;
}

/* ran: it may have run.  true: another next hop has it now. */
static bool s_try_again(pcl_relay *self, uint64_t ticket, pcl_relay_entry *entry, bool ran,
                        uint64_t now_us)
{
    bool in_session = entry->in_session;
    if (self->options.again == NULL || self->link_count == 1 || entry->again || entry->cancelled ||
        (ran && (in_session || !entry->repeatable))) {
        return false;
    }
    s_leave_link(self, ticket, entry);
    if (in_session && s_has_company(self, entry->session)) {
        return false;
    }
    entry->again = true;
    bool gone = self->options.again(self->options.context, ticket, entry, now_us);
    pcl_metric_add(self->metrics.again, gone ? 1 : 0);
    return gone;
}

/* Did not leave the link after all, which has lost its peer, or found no room: it never ran, and is
 * refused as if that had been known at once.  A CANCEL may be said again. */
static void s_on_unsent(void *context, zmq_msg_t *peer, const pcl_head *head, pcl_err why,
                        uint64_t now_us)
{
    (void)peer;
    const relay_link *one = context;
    pcl_relay *self = one->relay;
    pcl_relay_entry *entry = pcl_ticket_table_find(self->table, head->ticket);
    if (entry == NULL || !entry->below || entry->link != one->index) {
        return; /* answered meanwhile */
    }
    if (head->kind != PCL_KIND_REQUEST) {
        entry->cancelled = entry->cancelled && head->kind != PCL_KIND_CANCEL;
        return;
    }
    if (s_try_again(self, head->ticket, entry, false, now_us)) {
        return;
    }
    char text[MESSAGE_SIZE];
    pcl_reply_error error = s_unsent(self, why, text);
    pcl_relay_reply reply;
    s_error_reply(self, entry, &error, &reply, now_us);
    s_answer(self, head->ticket, entry, &reply, now_us);
}

void pcl_relay_undelivered(pcl_relay *self, const pcl_head *reply, pcl_err why, uint64_t now_us)
{
    assert(self != NULL && reply != NULL);
    pcl_metric_add(why == PCL_ERR_OVERLOADED ? self->metrics.slow : self->metrics.unroutable, 1);
    if ((reply->flags & PCL_HEAD_HELD) != 0) {
        pcl_relay_release(self, reply->session, reply->principal, now_us);
    }
}

/* --- The way back ---------------------------------------------------------- */

/* What was in flight there is lost, and what is held when nobody else is there. */
static void s_lose(pcl_relay *self, const relay_link *one, uint64_t now_us)
{
    bool alone = self->link_count == 1 || s_state(self) == PCL_LINK_DOWN;
    uint32_t cursor = 0;
    uint64_t ticket = 0;
    pcl_relay_entry *entry = NULL;
    while ((entry = pcl_ticket_table_each(self->table, &cursor, &ticket)) != NULL) {
        if (entry->held && alone) {
            pcl_relay_refuse_held_unsent(self, ticket, PCL_ERR_UNAVAILABLE, now_us);
        } else if (entry->below && entry->link == one->index &&
                   !s_try_again(self, ticket, entry, true, now_us)) {
            s_fail(self, ticket, entry, PCL_ERR_LOST, now_us);
        }
    }
}

static void s_on_event(const relay_link *one, pcl_link_event event, uint64_t now_us)
{
    pcl_relay *self = one->relay;
    static const char *const names[] = {
        [PCL_LINK_NOTHING] = "",       [PCL_LINK_CAME_UP] = "up",      [PCL_LINK_LOST] = "lost",
        [PCL_LINK_REPLACED] = "other", [PCL_LINK_DRAINS] = "draining",
    };
    if (event == PCL_LINK_NOTHING) {
        return;
    }
    bool lost = event == PCL_LINK_LOST || event == PCL_LINK_REPLACED;
    pcl_log(lost ? PCL_LOG_WARNING : PCL_LOG_INFO, self->options.hop, "link",
            "peer=%s state=%s in_flight=%u", one->name, names[event],
            self->spread.inflight[one->index]);
    s_publish_link(self);
    if (lost) {
        s_lose(self, one, now_us);
    }
}

/* It crossed the word that the next hop stops, or came to one that has just started. */
static bool s_is_refused_there(const relay_link *one, const pcl_head *reply)
{
    bool refused = reply->code == PCL_ERR_DRAINING || reply->code == PCL_ERR_NO_NODE;
    return one->relay->link_count > 1 && refused && reply->retry == PCL_RETRY_SAFE;
}

/* Nothing ran, and who says so may merely have lost sight of the node. */
static bool s_is_gone_there(const pcl_relay_entry *entry, const pcl_head *reply)
{
    return entry->in_session && reply->code == PCL_ERR_GONE;
}

static void s_on_reply(relay_link *one, pcl_hop_message *message, uint64_t now_us)
{
    pcl_relay *self = one->relay;
    pcl_relay_entry *entry = pcl_ticket_table_find(self->table, message->head.ticket);
    if (entry == NULL || !entry->below || entry->link != one->index) {
        pcl_metric_add(self->metrics.stale, 1);
        if ((message->head.flags & PCL_HEAD_HELD) != 0) { /* nobody learns what it opened */
            pcl_relay_release(self, message->head.session, message->head.principal, now_us);
        }
        return;
    }
    if (memcmp(entry->id, message->head.id, sizeof entry->id) != 0) {
        pcl_metric_add(self->metrics.foreign, 1);
        return;
    }
    bool refused = s_is_refused_there(one, &message->head);
    one->shunned_until_us = refused ? now_us + PCL_RELAY_SHUN_MS * PCL_US_PER_MS
                                    : one->shunned_until_us;
    if ((refused || s_is_gone_there(entry, &message->head)) &&
        s_try_again(self, message->head.ticket, entry, false, now_us)) {
        return;
    }
    pcl_relay_reply reply;
    s_reply_init(&reply, message->head.code, message->head.retry);
    zmq_msg_move(&reply.payload, &message->payload);
    reply.flags = message->head.flags & (PCL_HEAD_SEALED | PCL_HEAD_HELD | PCL_HEAD_RELEASED);
    if ((reply.flags & PCL_HEAD_SEALED) != 0) {
        zmq_msg_move(&reply.tail, &message->tail);
    }
    if ((reply.flags & (PCL_HEAD_HELD | PCL_HEAD_RELEASED)) != 0) {
        memcpy(reply.session, message->head.session, sizeof reply.session);
    }
    reply.rows = message->head.rows;
    reply.waited_us = message->head.budget_us;
    memcpy(reply.node, message->head.role.data, message->head.role.size); /* the rest is 0 */
    s_end_session(self, entry, &reply, now_us);
    s_answer(self, message->head.ticket, entry, &reply, now_us);
}

static bool s_on_link(void *context, uint64_t now_us)
{
    relay_link *one = context;
    pcl_relay *self = one->relay;
    for (uint32_t count = 0; count < PCL_BATCH_MAX; count++) {
        pcl_hop_message message;
        switch (pcl_link_recv(one->link, &message)) {
        case PCL_HOP_NONE:
            return false;
        case PCL_HOP_FAILED:
            pcl_loop_stop(self->options.loop);
            return false;
        case PCL_HOP_DROPPED:
            pcl_metric_add(self->metrics.foreign, 1);
            continue;
        case PCL_HOP_MESSAGE:
            break;
        }
        now_us = message.received_us;
        s_on_event(one, pcl_link_heard(one->link, &message.head, now_us, NULL), now_us);
        if (message.head.kind == PCL_KIND_REPLY) {
            s_on_reply(one, &message, now_us);
        } else if (message.head.kind == PCL_KIND_PING) {
            pcl_link_answer(one->link, &message.head, now_us, NULL);
        }
        pcl_hop_close(&message);
    }
    return true;
}

/* The connection ended.  What the next hop had answered before is delivered first. */
static bool s_on_watch(void *context, uint64_t now_us)
{
    relay_link *one = context;
    if (s_on_link(one, now_us)) {
        return true;
    }
    s_on_event(one, pcl_link_cut(one->link, now_us), now_us);
    return false;
}

/* --- Time ------------------------------------------------------------------ */

/* Tries at most count of the parked replies once more, the oldest first. */
static void s_flush(pcl_relay *self, uint32_t count, uint64_t now_us)
{
    uint32_t capacity = pcl_ticket_table_capacity(self->table);
    for (; count > 0 && self->parked_count > 0; count--) {
        uint64_t ticket = self->parked[self->parked_first];
        self->parked_first = (self->parked_first + 1) % capacity;
        self->parked_count--;
        pcl_relay_entry *entry = pcl_ticket_table_find(self->table, ticket);
        if (entry == NULL) {
            continue;
        }
        assert(entry->parked);
        if (s_try(self, entry, &entry->reply, now_us) == PCL_ERR_OVERLOADED) {
            uint64_t index = ((uint64_t)self->parked_first + self->parked_count) % capacity;
            self->parked[index] = ticket;
            self->parked_count++;
        } else {
            s_remove(self, ticket, entry);
        }
    }
}

static void s_sweep(pcl_relay *self, uint64_t now_us)
{
    uint64_t ticket = 0;
    pcl_relay_entry *entry = NULL;
    while ((entry = pcl_ticket_table_due(self->table, now_us, &ticket)) != NULL) {
        if (entry->parked) {
            pcl_metric_add(self->metrics.slow, 1);
            s_undelivered(self, entry, &entry->reply, now_us);
            s_remove(self, ticket, entry);
        } else if (entry->held) {
            pcl_relay_refuse_held_unsent(self, ticket, PCL_ERR_DEADLINE, now_us);
        } else {
            s_fail(self, ticket, entry, PCL_ERR_DEADLINE, now_us);
        }
    }
}

void pcl_relay_tick(pcl_relay *self, uint64_t now_us)
{
    assert(self != NULL);
    for (uint32_t index = 0; index < self->link_count; index++) {
        relay_link *one = &self->links[index];
        s_on_event(one, pcl_link_tick(one->link, now_us, NULL), now_us);
        if (one->up != NULL) {
            bool up = pcl_link_state_now(one->link) == PCL_LINK_UP;
            pcl_metric_set(one->up, up ? 1 : 0);
            pcl_metric_set(one->inflight, self->spread.inflight[index]);
        }
    }
    s_flush(self, self->parked_count, now_us);
    s_sweep(self, now_us);
    pcl_metric_set(self->metrics.inflight, pcl_ticket_table_count(self->table));
    uint64_t suppressed = pcl_log_limit_suppressed(&self->log_limit, now_us);
    if (suppressed > 0) {
        pcl_log(PCL_LOG_INFO, self->options.hop, "refused_more", "lines=%llu",
                (unsigned long long)suppressed);
    }
}

void pcl_relay_turn(pcl_relay *self, uint64_t now_us)
{
    assert(self != NULL);
    if (self->parked_count > 0) {
        s_flush(self, PCL_BATCH_MAX, now_us);
    }
    pcl_relay_flush(self, now_us);
}

void pcl_relay_flush(pcl_relay *self, uint64_t now_us)
{
    assert(self != NULL);
    for (uint32_t index = 0; index < self->link_count; index++) {
        pcl_link_flush(self->links[index].link, now_us);
    }
}
