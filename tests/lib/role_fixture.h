/* role_fixture.h - a role's actor in a test, over inproc, and a hop below it that the test plays.
 *
 * Everything runs in the test's thread but the actor itself.  Each wait turns
 * the played hop as well, so that beats are answered while the test waits for
 * something else.
 */
#ifndef PCL_TESTS_ROLE_FIXTURE_H
#define PCL_TESTS_ROLE_FIXTURE_H

#include "net/actor.h"
#include "net/daemon.h"
#include "net/hop.h"
#include "net/socket.h"
#include "net/time.h"
#include "net/tsan.h"
#include "tests/lib/hop_plain.h"
#include "wire/reply.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIXTURE_WAIT_MS 20000 /* nothing that shall happen takes so long */
#define FIXTURE_END_MS  3000  /* nor an end */

typedef struct role_fixture {
    pcl_config *config;
    pcl_metrics *metrics;
    pcl_role_args args;
    zactor_t *actor;
} role_fixture;

static inline pcl_config *fixture_config(const pcl_role *role, const char *zpl)
{
    char path[] = "/tmp/portcullis-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, zpl, strlen(zpl)), (ssize_t)strlen(zpl));
    (void)close(fd);
    pcl_buffer problems;
    pcl_buffer_init(&problems, 65536);
    pcl_config *config = pcl_config_load(role->entries, role->entry_count, role->check, path,
                                         &problems);
    (void)unlink(path);
    if (config == NULL) {
        fail_msg("%.*s", (int)problems.size, (const char *)problems.data);
    }
    pcl_buffer_release(&problems);
    return config;
}

static inline void fixture_start(role_fixture *self, const pcl_role *role, const char *zpl)
{
    *self = (role_fixture){.config = fixture_config(role, zpl), .metrics = pcl_metrics_new()};
    self->args = (pcl_role_args){
        .config = self->config, .metrics = self->metrics, .boot_id = 77, .seed = 4711};
    self->actor = zactor_new(role->actor, &self->args);
    assert_non_null(self->actor);
    char *word = zstr_recv(self->actor);
    assert_string_equal(word, PCL_ACTOR_READY);
    zstr_free(&word);
}

/* Hands the actor another configuration and waits until it has taken it. */
static inline void fixture_reload(role_fixture *self, const pcl_role *role, const char *zpl)
{
    pcl_config *fresh = fixture_config(role, zpl);
    PCL_TSAN_GIVES(fresh);
    zmq_msg_t frame;
    pcl_frame_copy_of(&frame, pcl_bytes_of(&fresh, sizeof fresh));
    assert_int_equal(zstr_sendm(self->actor, PCL_ACTOR_RELOAD), 0);
    pcl_err err = pcl_frames_send(&frame, 1, zactor_sock(self->actor));
    assert_int_equal(err, PCL_ERR_OK);
    char *word = zstr_recv(self->actor);
    assert_string_equal(word, PCL_ACTOR_RELOADED);
    zstr_free(&word);
    PCL_TSAN_TAKES(fresh);
    pcl_config_destroy(&self->config);
    self->config = fresh;
    self->args.config = fresh;
}

static inline void fixture_drain(role_fixture *self)
{
    assert_int_equal(zstr_send(self->actor, PCL_ACTOR_DRAIN), 0);
}

/* True when the actor has ended by itself, within wait_ms. */
static inline bool fixture_ended(role_fixture *self, int wait_ms)
{
    zpoller_t *poller = zpoller_new(self->actor, NULL);
    bool ended = zpoller_wait(poller, wait_ms) != NULL;
    zpoller_destroy(&poller);
    return ended;
}

static inline void fixture_stop(role_fixture *self)
{
    zactor_destroy(&self->actor);
    pcl_metrics_destroy(&self->metrics);
    pcl_config_destroy(&self->config);
}

/* A counter's value; labels as it was made. */
static inline uint64_t fixture_counter(const role_fixture *self, const char *name,
                                       const char *labels)
{
    return pcl_metric_count(pcl_metrics_counter(self->metrics, name, labels, ""));
}

/* --- The hop below ---------------------------------------------------------- */

enum { FAKE_HELD_MAX = 64, FAKE_HINTS_MAX = 256 };

/* A CANCEL or RELEASE that came. */
typedef struct fake_hint {
    pcl_kind kind;
    uint64_t ticket;
    uint8_t id[PCL_ID_SIZE];
    uint8_t session[PCL_ID_SIZE];
    char principal[PCL_NAME_SIZE_MAX + 1];
} fake_hint;

typedef struct fake_hop {
    zsock_t *socket; /* ROUTER */
    uint64_t boot_id;
    uint8_t pong_flags;
    bool mute; /* answers no ping */
    uint32_t pings;
    pcl_hop_message held[FAKE_HELD_MAX]; /* requests, the oldest first */
    uint32_t held_count;
    fake_hint hints[FAKE_HINTS_MAX]; /* the oldest first */
    uint32_t hint_count;
} fake_hop;

static inline void fake_open_with(fake_hop *self, const char *endpoint, uint32_t queue_max)
{
    memset(self, 0, sizeof *self);
    self->boot_id = 1;
    char error[256];
    pcl_socket_options options = {.endpoint = endpoint,
                                  .zap_domain = "test",
                                  .queue_max = queue_max,
                                  .message_size_max = PCL_REPLY_SIZE_MAX};
    self->socket = pcl_socket_router(&options, error, sizeof error);
    if (self->socket == NULL) {
        fail_msg("%s", error);
    }
}

static inline void fake_open(fake_hop *self, const char *endpoint)
{
    fake_open_with(self, endpoint, 1000);
}

static inline void fake_close(fake_hop *self)
{
    for (uint32_t index = 0; index < self->held_count; index++) {
        pcl_hop_close(&self->held[index]);
    }
    self->held_count = 0;
    hop_plain_destroy(&self->socket);
}

static inline void fake_say(fake_hop *self, zmq_msg_t *peer, pcl_kind kind)
{
    pcl_head head = {.kind = kind, .flags = self->pong_flags, .sent_us = pcl_now_us()};
    pcl_head_set_boot_id(&head, self->boot_id);
    assert_int_equal(pcl_hop_send(self->socket, peer, &head, NULL, NULL), PCL_ERR_OK);
}

static inline void fake_note_hint(fake_hop *self, const pcl_head *head)
{
    assert_true(self->hint_count < FAKE_HINTS_MAX);
    fake_hint *hint = &self->hints[self->hint_count++];
    *hint = (fake_hint){.kind = head->kind, .ticket = head->ticket};
    memcpy(hint->id, head->id, sizeof hint->id);
    memcpy(hint->session, head->session, sizeof hint->session);
    (void)snprintf(hint->principal, sizeof hint->principal, "%.*s", (int)head->principal.size,
                   (const char *)head->principal.data);
}

/* Answers pings and keeps requests, as many as there are. */
static inline void fake_turn(fake_hop *self)
{
    pcl_hop_message message;
    for (;;) {
        pcl_hop_recv_result result = hop_plain_recv(&message, self->socket, true);
        if (result == PCL_HOP_NONE) {
            return;
        }
        assert_int_equal(result, PCL_HOP_MESSAGE);
        if (message.head.kind == PCL_KIND_REQUEST) {
            assert_true(self->held_count < FAKE_HELD_MAX);
            pcl_hop_message *held = &self->held[self->held_count++];
            zmq_msg_t *from[] = {&message.peer, &message.head_frame, &message.payload,
                                 &message.tail};
            zmq_msg_t *to[] = {&held->peer, &held->head_frame, &held->payload, &held->tail};
            for (size_t index = 0; index < 4; index++) {
                zmq_msg_init(to[index]);
                zmq_msg_move(to[index], from[index]);
            }
            memcpy(held->user_id, message.user_id, sizeof held->user_id);
            pcl_err err = pcl_head_decode(&held->head, pcl_hop_head_octets(&held->head_frame));
            assert_int_equal(err, PCL_ERR_OK);
        } else if (message.head.kind == PCL_KIND_CANCEL || message.head.kind == PCL_KIND_RELEASE) {
            fake_note_hint(self, &message.head);
        } else if (message.head.kind == PCL_KIND_PING) {
            self->pings++;
            if (!self->mute) {
                fake_say(self, &message.peer, PCL_KIND_PONG);
            }
        }
        pcl_hop_close(&message);
    }
}

static inline void fake_forget(fake_hop *self, uint32_t index)
{
    assert_true(index < self->held_count);
    pcl_hop_close(&self->held[index]);
    memmove(&self->held[index], &self->held[index + 1],
            (self->held_count - index - 1) * sizeof self->held[0]);
    self->held_count--;
}

/* Turns for so long. */
static inline void fake_turn_ms(fake_hop *self, uint64_t wait_ms)
{
    for (uint64_t until_us = pcl_now_us() + wait_ms * 1000; pcl_now_us() < until_us;) {
        fake_turn(self);
        zclock_sleep(2);
    }
}

/* Turns until that many requests are held. */
static inline void fake_wait_held(fake_hop *self, uint32_t count)
{
    for (uint64_t until_us = pcl_now_us() + FIXTURE_WAIT_MS * 1000; self->held_count < count;) {
        fake_turn(self);
        assert_true(pcl_now_us() < until_us);
        zclock_sleep(1);
    }
}

/* Turns until that many hints have come. */
static inline void fake_wait_hints(fake_hop *self, uint32_t count)
{
    for (uint64_t until_us = pcl_now_us() + FIXTURE_WAIT_MS * 1000; self->hint_count < count;) {
        fake_turn(self);
        assert_true(pcl_now_us() < until_us);
        zclock_sleep(1);
    }
}

/* Sends a reply to the held request, of that payload, and forgets the request.  session (all
 * octets of its handle) is what it opened or ended, by the flag HELD or RELEASED. */
static inline void fake_reply_with(fake_hop *self, uint32_t index, pcl_err code,
                                   const char *payload, uint8_t flags, uint8_t session)
{
    assert_true(index < self->held_count);
    pcl_hop_message *request = &self->held[index];
    pcl_head head = {.ticket = request->head.ticket,
                     .kind = PCL_KIND_REPLY,
                     .code = code,
                     .flags = flags,
                     .sent_us = pcl_now_us()};
    memset(head.session, session, sizeof head.session);
    pcl_held_id_set_page(head.session, 0); /* agents name it by its canonical id */
    memcpy(head.id, request->head.id, sizeof head.id);
    zmq_msg_t frame;
    pcl_frame_copy_of(&frame, pcl_bytes_text(payload));
    pcl_err err = pcl_hop_send(self->socket, &request->peer, &head, &frame, NULL);
    assert_int_equal(err, PCL_ERR_OK);
    zmq_msg_close(&frame);
    fake_forget(self, index);
}

static inline void fake_reply(fake_hop *self, uint32_t index, pcl_err code, const char *payload)
{
    fake_reply_with(self, index, code, payload, 0, 0);
}

/* The next message on the socket, turning the hop (may be NULL) meanwhile; NULL after wait_ms. */
static inline zmsg_t *fixture_recv(zsock_t *socket, fake_hop *hop, uint64_t wait_ms)
{
    for (uint64_t until_us = pcl_now_us() + wait_ms * 1000;;) {
        if (hop != NULL) {
            fake_turn(hop);
        }
        zpoller_t *poller = zpoller_new(socket, NULL);
        bool readable = zpoller_wait(poller, 2) != NULL;
        zpoller_destroy(&poller);
        if (readable) {
            zmsg_t *message = zmsg_recv(socket);
            for (zframe_t *frame = zmsg_first(message); frame != NULL; frame = zmsg_next(message)) {
                PCL_TSAN_TAKES(zframe_data(frame));
            }
            return message;
        }
        if (pcl_now_us() >= until_us) {
            return NULL;
        }
    }
}

/* Turns the hop until the registry shows that line ("portcullis_x_link_up 1"). */
static inline void fixture_wait_metric(const role_fixture *self, fake_hop *hop, const char *line)
{
    char wanted[128];
    (void)snprintf(wanted, sizeof wanted, "\n%s\n", line);
    pcl_buffer text;
    pcl_buffer_init(&text, 1024 * 1024);
    for (uint64_t until_us = pcl_now_us() + FIXTURE_WAIT_MS * 1000;;) {
        fake_turn(hop);
        pcl_buffer_clear(&text);
        pcl_metrics_render(self->metrics, &text);
        pcl_buffer_put_u8(&text, 0);
        assert_false(text.failed);
        if (strstr((const char *)text.data, wanted) != NULL) {
            break;
        }
        if (pcl_now_us() >= until_us) {
            fail_msg("no metric says: %s", line);
        }
        zclock_sleep(2);
    }
    pcl_buffer_release(&text);
}

/* --- Requests and replies ---------------------------------------------------- */

/* A request of one op or statement, into a buffer that the caller releases. */
static inline void fixture_request(pcl_buffer *out_buffer, const char *sql, uint8_t id,
                                   uint32_t timeout_ms)
{
    pcl_request request = {.op = sql == NULL ? PCL_OP_PING : PCL_OP_QUERY,
                           .sql = sql == NULL ? pcl_bytes_of(NULL, 0) : pcl_bytes_text(sql),
                           .has_id = id != 0,
                           .timeout_ms = timeout_ms};
    memset(request.id, id, sizeof request.id);
    pcl_buffer_init(out_buffer, 65536);
    pcl_request_encode(&request, out_buffer);
    assert_false(out_buffer->failed);
}

/* Sends the message and takes it. */
static inline void fixture_send(zsock_t *socket, zmsg_t *message)
{
    for (zframe_t *frame = zmsg_first(message); frame != NULL; frame = zmsg_next(message)) {
        PCL_TSAN_GIVES(zframe_data(frame));
    }
    assert_int_equal(zmsg_send(&message, socket), 0);
}

/* The last frame is an error reply of that code and retry, made by hop; NULL: any. */
static inline void assert_error_reply(zmsg_t *message, const char *code, const char *retry,
                                      const char *hop)
{
    assert_non_null(message);
    zframe_t *payload = zmsg_last(message);
    pcl_reply reply;
    pcl_err err = pcl_reply_decode(&reply,
                                   pcl_bytes_of(zframe_data(payload), zframe_size(payload)));
    assert_int_equal(err, PCL_ERR_OK);
    assert_false(reply.ok);
    if (!pcl_bytes_is(reply.error_code, code) ||
        strcmp(pcl_retry_text((int)reply.error_retry), retry) != 0) {
        fail_msg("%.*s (%s): %.*s", (int)reply.error_code.size, (const char *)reply.error_code.data,
                 pcl_retry_text((int)reply.error_retry), (int)reply.error_message.size,
                 (const char *)reply.error_message.data);
    }
    if (hop != NULL) {
        assert_true(pcl_bytes_is(reply.error_hop, hop));
    }
}

/* Its message, cut; text must hold 256 characters. */
static inline const char *error_message_of(zmsg_t *message, char *text)
{
    zframe_t *payload = zmsg_last(message);
    pcl_reply reply;
    pcl_err err = pcl_reply_decode(&reply,
                                   pcl_bytes_of(zframe_data(payload), zframe_size(payload)));
    assert_int_equal(err, PCL_ERR_OK);
    (void)snprintf(text, 256, "%.*s", (int)reply.error_message.size,
                   (const char *)reply.error_message.data);
    return text;
}

#endif
