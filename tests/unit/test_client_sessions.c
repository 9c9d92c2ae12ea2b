/* libportcullis' sessions, pages, transactions and cancel, against gatekeepers that the test plays.
 * A gatekeeper keeps a log of what it got; a statement says how it is answered:
 *
 *   rows N        one INT column with the rows 0 to N - 1, in pages of page_rows (1000)
 *   break N       the same, but the first fetch fails with an error of the database
 *   widen N       the same, but the second page has another column
 *   busy N        the same, but the first fetch is refused with OVERLOADED
 *   tight N       the same, but the sixth fetch is refused with OVERLOADED once
 *   overtake N    the same, but the sixth fetch is refused with GONE once
 *   halt N        the same, but the sixth fetch fails with an error of the database
 *   hold          not at all, until it is cancelled
 *   mute          not at all
 *   anything else one row with the statement
 */
#include "client/portcullis.h"
#include "common/buffer.h"
#include "common/endian.h"
#include "net/time.h"
#include "wire/mp.h"
#include "wire/reply.h"
#include "wire/request.h"

#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <zmq.h>

#include "tests/lib/packed.h"

#define CURSORS_MAX 16u
#define LOG_SIZE    65536u

/* A message that is not answered yet, or is being answered. */
typedef struct message {
    zmq_msg_t peer;
    uint64_t tag;
    uint8_t id[PCL_ID_SIZE];
} message;

typedef struct cursor {
    char kind[12];   /* "rows", "break", ... */
    uint32_t number; /* of all of its gatekeeper; others have had the place before */
    uint64_t next, total;
    uint32_t page;
    bool was_busy;
} cursor;

typedef struct gate {
    pthread_t thread;
    char endpoint[64];
    bool runs; /* the test's own */
    atomic_bool stop, ready;
    void *socket;
    cursor cursors[CURSORS_MAX];
    uint32_t cursor_count;
    message held;
    bool has_held;
    pthread_mutex_t mutex; /* guards the log */
    char log[LOG_SIZE];    /* a line for each request */
} gate;

static gate s_gates[2];

static void s_sleep_ms(long ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    (void)nanosleep(&time, NULL);
}

/* ---- the gatekeeper ---------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void s_log(gate *self, const char *format, ...)
{
    (void)pthread_mutex_lock(&self->mutex);
    size_t used = strlen(self->log); /* what does not fit is not kept */
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(self->log + used, sizeof self->log - used, format, arguments);
    va_end(arguments);
    (void)pthread_mutex_unlock(&self->mutex);
}

static void s_send(gate *self, message *to, const pcl_buffer *payload)
{
    packed_send(self->socket, zmq_msg_data(&to->peer), zmq_msg_size(&to->peer), to->tag,
                pcl_bytes_of(NULL, 0), pcl_buffer_bytes(payload));
}

static void s_close_message(message *item)
{
    (void)zmq_msg_close(&item->peer);
}

static void s_refuse(gate *self, message *to, const pcl_reply_error *error)
{
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, PCL_REPLY_SIZE_MAX);
    pcl_reply_error_encode(&buffer, to->id, error);
    s_send(self, to, &buffer);
    pcl_buffer_release(&buffer);
}

static void s_put_column(pcl_buffer *buffer, const char *name, const char *type)
{
    pcl_mp_put_array(buffer, 3);
    pcl_mp_put_text(buffer, name);
    pcl_mp_put_text(buffer, type);
    pcl_mp_put_uint(buffer, 0);
}

/* The id of a session is 0x55 throughout; of a cursor its number, and its page at the end.  No
 * number comes twice, as no id of an agent does, whoever is slow to fetch and whatever dies. */
static void s_make_cursor(uint8_t *id, uint32_t number, uint32_t page)
{
    memset(id, 0xcc, PCL_ID_SIZE);
    pcl_put_be(id, number, 4);
    pcl_put_be(id + 14, page, 2);
}

/* The page of a cursor that comes next, and the cursor where more wait. */
static void s_answer_page(gate *self, message *to, cursor *rows, const pcl_request *request)
{
    uint64_t size = request->page_rows > 0 ? request->page_rows : PCL_PAGE_ROWS_DEFAULT;
    uint64_t count = rows->total - rows->next < size ? rows->total - rows->next : size;
    bool more = rows->next + count < rows->total;
    bool wide = rows->page > 0 && strcmp(rows->kind, "widen") == 0;
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, PCL_REPLY_SIZE_MAX);
    pcl_reply_open(&buffer, to->id, true, 3 + (more ? 1 : 0));
    pcl_mp_put_text(&buffer, "columns");
    pcl_mp_put_array(&buffer, wide ? 2 : 1);
    s_put_column(&buffer, "n", "INT");
    if (wide) {
        s_put_column(&buffer, "m", "INT");
    }
    pcl_mp_put_text(&buffer, "rows");
    pcl_mp_put_array(&buffer, (uint32_t)count);
    for (uint64_t row = 0; row < count; row++) {
        pcl_mp_put_array(&buffer, wide ? 2 : 1);
        pcl_mp_put_uint(&buffer, rows->next++);
        if (wide) {
            pcl_mp_put_nil(&buffer);
        }
    }
    if (more) {
        uint8_t id[PCL_ID_SIZE];
        s_make_cursor(id, rows->number, ++rows->page);
        pcl_mp_put_text(&buffer, "cursor");
        pcl_mp_put_bin(&buffer, pcl_bytes_of(id, sizeof id));
    }
    pcl_mp_put_text(&buffer, "warnings");
    pcl_mp_put_uint(&buffer, more ? 0 : 2);
    s_send(self, to, &buffer);
    pcl_buffer_release(&buffer);
}

static void s_answer_fetch(gate *self, message *to, const pcl_request *request)
{
    uint32_t number = (uint32_t)pcl_get_be(request->cursor, 4);
    uint32_t page = (uint32_t)pcl_get_be(request->cursor + 14, 2);
    s_log(self, "fetch %" PRIu32 "\n", page);
    pcl_reply_error error = {.err = PCL_ERR_OK, .hop = "agent"};
    cursor *rows = &self->cursors[number % CURSORS_MAX];
    bool sixth_once = page == 6 && !rows->was_busy;
    if (number >= self->cursor_count || rows->number != number || rows->page != page) {
        error.err = PCL_ERR_GONE;
        error.retry = PCL_RETRY_NEVER;
    } else if (strcmp(rows->kind, "overtake") == 0 && sixth_once) {
        rows->was_busy = true;
        error.err = PCL_ERR_GONE;
        error.retry = PCL_RETRY_NEVER;
    } else if (strcmp(rows->kind, "break") == 0 || (strcmp(rows->kind, "halt") == 0 && page == 6)) {
        error.err = PCL_ERR_SQL;
        error.retry = PCL_RETRY_NEVER;
        error.mysql_errno = 1317;
        error.sqlstate = "70100";
    } else if ((strcmp(rows->kind, "busy") == 0 && !rows->was_busy) ||
               (strcmp(rows->kind, "tight") == 0 && sixth_once)) {
        rows->was_busy = true;
        error.err = PCL_ERR_OVERLOADED;
        error.retry = PCL_RETRY_SAFE;
    } else if (strcmp(rows->kind, "mute") == 0) {
        return;
    }
    if (error.err != PCL_ERR_OK) {
        s_refuse(self, to, &error);
    } else {
        s_answer_page(self, to, rows, request);
    }
}

/* One row with the statement, or a result of its own for `metadata`. */
static void s_answer_text(gate *self, message *to, const pcl_request *request, bool wrote)
{
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, PCL_REPLY_SIZE_MAX);
    pcl_reply_open(&buffer, to->id, true, wrote ? 2 : request->metadata ? 3 : 2);
    if (wrote) {
        pcl_mp_put_text(&buffer, "affected");
        pcl_mp_put_uint(&buffer, 1);
        pcl_mp_put_text(&buffer, "token");
        pcl_mp_put_text(&buffer, "0-1-42");
    } else {
        pcl_mp_put_text(&buffer, "columns");
        pcl_mp_put_array(&buffer, 1);
        s_put_column(&buffer, "said", "VARCHAR");
        pcl_mp_put_text(&buffer, "rows");
        pcl_mp_put_array(&buffer, 1);
        pcl_mp_put_array(&buffer, 1);
        pcl_mp_put_str(&buffer, request->sql);
        if (request->metadata) {
            pcl_mp_put_text(&buffer, "metadata");
            pcl_mp_put_array(&buffer, 1);
            pcl_mp_put_array(&buffer, 7);
            pcl_mp_put_text(&buffer, "demo");
            pcl_mp_put_text(&buffer, "c");
            pcl_mp_put_text(&buffer, "customers");
            pcl_mp_put_text(&buffer, "name");
            pcl_mp_put_uint(&buffer, 255);
            pcl_mp_put_uint(&buffer, 400);
            pcl_mp_put_uint(&buffer, 31);
        }
    }
    s_send(self, to, &buffer);
    pcl_buffer_release(&buffer);
}

/* {id, ok, key: value}; key NULL: nothing more. */
static void s_answer_plain(gate *self, message *to, const char *key, uint64_t value)
{
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, PCL_REPLY_SIZE_MAX);
    pcl_reply_open(&buffer, to->id, true, key != NULL ? 1 : 0);
    if (key != NULL) {
        pcl_mp_put_text(&buffer, key);
        pcl_mp_put_uint(&buffer, value);
    }
    s_send(self, to, &buffer);
    pcl_buffer_release(&buffer);
}

/* Of which a rollback is answered with a session, too. */
#define LIAR 0x66

static void s_answer_session(gate *self, message *to, uint8_t octet)
{
    uint8_t session[PCL_ID_SIZE];
    memset(session, octet, sizeof session);
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, PCL_REPLY_SIZE_MAX);
    pcl_reply_open(&buffer, to->id, true, 1);
    pcl_mp_put_text(&buffer, "session");
    pcl_mp_put_bin(&buffer, pcl_bytes_of(session, sizeof session));
    s_send(self, to, &buffer);
    pcl_buffer_release(&buffer);
}

static void s_answer_begin(gate *self, message *to, const pcl_request *request)
{
    bool lies = pcl_bytes_is(request->db, "liar");
    if (pcl_bytes_is(request->db, "late") || lies) { /* behind the deadline and the grace */
        s_sleep_ms((long)request->timeout_ms + 200);
    }
    s_log(self, "begin %s%.*s%s\n", request->read_only ? "read-only " : "", (int)request->db.size,
          request->db.size > 0 ? (const char *)request->db.data : "",
          request->strategy == PCL_STRATEGY_RANDOM ? " random" : "");
    s_answer_session(self, to, lies ? LIAR : 0x55);
}

/* Reads give a row each, all else a write each; "fail" fails, and so does what expects 7 rows. */
static void s_answer_txn(gate *self, message *to, const pcl_request *request)
{
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, PCL_REPLY_SIZE_MAX);
    pcl_reply_open(&buffer, to->id, true, 1);
    pcl_mp_put_text(&buffer, "results");
    pcl_mp_put_array(&buffer, request->statement_count);
    pcl_reply_error error = {.err = PCL_ERR_OK, .hop = "agent", .retry = PCL_RETRY_NEVER};
    pcl_statements statements = pcl_request_statements(request);
    pcl_statement statement;
    for (uint32_t index = 0; pcl_statements_next(&statements, &statement); index++) {
        s_log(self,
              "txn %.*s params=%" PRIu32 " expect=%d:%" PRIu64 " %d:%" PRIu64 " %d:%" PRIu64 "\n",
              (int)statement.sql.size, (const char *)statement.sql.data, statement.param_count,
              statement.has_rows, statement.rows, statement.has_min_rows, statement.min_rows,
              statement.has_max_rows, statement.max_rows);
        bool fails = pcl_bytes_is(statement.sql, "fail");
        bool unmet = statement.has_rows && statement.rows == 7;
        if ((fails || unmet) && error.err == PCL_ERR_OK) {
            error.err = fails ? PCL_ERR_SQL : PCL_ERR_EXPECT;
            error.has_statement = true;
            error.statement = index;
        }
        if (statement.sql.size > 6 && memcmp(statement.sql.data, "SELECT", 6) == 0) {
            pcl_mp_put_map(&buffer, 2);
            pcl_mp_put_text(&buffer, "columns");
            pcl_mp_put_array(&buffer, 1);
            s_put_column(&buffer, "said", "VARCHAR");
            pcl_mp_put_text(&buffer, "rows");
            pcl_mp_put_array(&buffer, 1);
            pcl_mp_put_array(&buffer, 1);
            pcl_mp_put_str(&buffer, statement.sql);
        } else {
            pcl_mp_put_map(&buffer, 2);
            pcl_mp_put_text(&buffer, "affected");
            pcl_mp_put_uint(&buffer, index + 1);
            pcl_mp_put_text(&buffer, "warnings");
            pcl_mp_put_uint(&buffer, 0);
        }
    }
    if (error.err != PCL_ERR_OK) {
        s_refuse(self, to, &error);
    } else {
        s_send(self, to, &buffer);
    }
    pcl_buffer_release(&buffer);
}

static void s_answer_cancel(gate *self, message *to)
{
    s_log(self, "cancel\n");
    bool found = self->has_held && memcmp(self->held.id, to->id, PCL_ID_SIZE) == 0;
    if (found) {
        pcl_reply_error error = {.err = PCL_ERR_CANCELLED, .hop = "agent", .retry = PCL_RETRY_SAFE};
        s_refuse(self, &self->held, &error);
        s_close_message(&self->held);
        self->has_held = false;
    }
    s_answer_plain(self, to, "affected", found ? 1 : 0);
}

static bool s_is_kind(const char *sql, const char *kind)
{
    return strncmp(sql, kind, strlen(kind)) == 0;
}

/* true: the message is kept. */
static bool s_answer_query(gate *self, message *to, const pcl_request *request)
{
    char sql[64];
    (void)snprintf(sql, sizeof sql, "%.*s", (int)request->sql.size,
                   (const char *)request->sql.data);
    s_log(self, "query%s %s\n", request->has_session ? " in session" : "", sql);
    uint64_t total = 0;
    char kind[12];
    if (sscanf(sql, "%11s %" SCNu64, kind, &total) == 2 && total > 0) {
        uint32_t number = self->cursor_count++;
        cursor *rows = &self->cursors[number % CURSORS_MAX];
        *rows = (cursor){.number = number, .total = total};
        memcpy(rows->kind, kind, sizeof rows->kind);
        s_answer_page(self, to, rows, request);
        return false;
    }
    if (s_is_kind(sql, "hold") && !self->has_held) {
        self->held = *to;
        self->has_held = true;
        return true;
    }
    if (s_is_kind(sql, "drain")) {
        pcl_reply_error error = {
            .err = PCL_ERR_DRAINING, .hop = "gatekeeper", .retry = PCL_RETRY_SAFE};
        s_refuse(self, to, &error);
    } else if (s_is_kind(sql, "gone")) {
        pcl_reply_error error = {.err = PCL_ERR_GONE, .hop = "agent", .retry = PCL_RETRY_NEVER};
        s_refuse(self, to, &error);
    } else if (!s_is_kind(sql, "mute")) {
        s_answer_text(self, to, request, false);
    }
    return false;
}

/* true: the message is kept. */
static bool s_answer(gate *self, message *to, const pcl_request *request)
{
    memcpy(to->id, request->id, sizeof to->id);
    switch (request->op) {
    case PCL_OP_QUERY:
        return s_answer_query(self, to, request);
    case PCL_OP_FETCH:
        s_answer_fetch(self, to, request);
        break;
    case PCL_OP_CLOSE:
        s_log(self, "close\n");
        s_answer_plain(self, to, NULL, 0);
        break;
    case PCL_OP_BEGIN:
        s_answer_begin(self, to, request);
        break;
    case PCL_OP_COMMIT:
        s_log(self, "commit %" PRIu32 "\n", request->timeout_ms);
        s_answer_text(self, to, request, true);
        break;
    case PCL_OP_ROLLBACK:
        s_log(self, "rollback\n");
        if (request->session[0] == LIAR) {
            s_answer_session(self, to, LIAR);
        } else {
            s_answer_plain(self, to, NULL, 0);
        }
        break;
    case PCL_OP_TXN:
        s_answer_txn(self, to, request);
        break;
    case PCL_OP_CANCEL:
        s_answer_cancel(self, to);
        break;
    case PCL_OP_PING:
    case PCL_OP_STATUS:
    case PCL_OP_ADMIN:
    case PCL_OP_COUNT:
        s_answer_plain(self, to, NULL, 0);
        break;
    }
    return false;
}

static bool s_receive(gate *self)
{
    message item;
    packed_message asked;
    if (!packed_recv(self->socket, ZMQ_DONTWAIT, &asked)) {
        return false;
    }
    item.tag = asked.packed.tag;
    (void)zmq_msg_init(&item.peer);
    (void)zmq_msg_copy(&item.peer, &asked.peer);
    pcl_request request;
    pcl_fault fault;
    bool kept = false;
    if (pcl_request_decode(&request, asked.packed.payload, &fault, NULL, NULL) == PCL_ERR_OK) {
        kept = s_answer(self, &item, &request);
    } else {
        s_log(self, "malformed %s %s\n", fault.field, fault.rule);
    }
    packed_close(&asked);
    if (!kept) {
        s_close_message(&item);
    }
    return true;
}

static void *s_gate_run(void *argument)
{
    gate *self = argument;
    void *context = zmq_ctx_new();
    self->socket = zmq_socket(context, ZMQ_ROUTER);
    (void)zmq_setsockopt(self->socket, ZMQ_LINGER, &(int){0}, sizeof(int));
    (void)zmq_setsockopt(self->socket, ZMQ_SNDHWM, &(int){100000}, sizeof(int));
    for (int attempt = 0; zmq_bind(self->socket, self->endpoint) != 0 && attempt < 100; attempt++) {
        s_sleep_ms(20); /* the port of a gatekeeper that was just stopped */
    }
    size_t size = sizeof self->endpoint;
    (void)zmq_getsockopt(self->socket, ZMQ_LAST_ENDPOINT, self->endpoint, &size);
    atomic_store(&self->ready, true);
    while (!atomic_load(&self->stop)) {
        zmq_pollitem_t item = {.socket = self->socket, .events = ZMQ_POLLIN};
        (void)zmq_poll(&item, 1, 5);
        while (s_receive(self)) {
        }
    }
    if (self->has_held) {
        s_close_message(&self->held);
        self->has_held = false;
    }
    packed_forget(self->socket);
    (void)zmq_close(self->socket);
    (void)zmq_ctx_term(context);
    return NULL;
}

static void s_gate_start(gate *self, bool same_port)
{
    if (!same_port) {
        (void)snprintf(self->endpoint, sizeof self->endpoint, "tcp://127.0.0.1:*");
    }
    atomic_store(&self->stop, false);
    atomic_store(&self->ready, false);
    assert_int_equal(pthread_create(&self->thread, NULL, s_gate_run, self), 0);
    self->runs = true;
    while (!atomic_load(&self->ready)) {
        s_sleep_ms(1);
    }
}

static void s_gate_stop(gate *self)
{
    if (self->runs) {
        self->runs = false;
        atomic_store(&self->stop, true);
        assert_int_equal(pthread_join(self->thread, NULL), 0);
    }
}

/* ---- helpers --------------------------------------------------------------------------- */

static int s_setup(void **state)
{
    (void)state;
    for (size_t index = 0; index < 2; index++) {
        memset(&s_gates[index], 0, sizeof s_gates[index]);
        (void)pthread_mutex_init(&s_gates[index].mutex, NULL);
        s_gate_start(&s_gates[index], false);
    }
    return 0;
}

static int s_teardown(void **state)
{
    (void)state;
    for (size_t index = 0; index < 2; index++) {
        s_gate_stop(&s_gates[index]);
        (void)pthread_mutex_destroy(&s_gates[index].mutex);
    }
    return 0;
}

static portcullis *s_open(size_t gate_count, uint32_t inflight_max)
{
    portcullis_gatekeeper gatekeepers[2] = {{.endpoint = s_gates[0].endpoint},
                                            {.endpoint = s_gates[1].endpoint}};
    portcullis_options options = {.gatekeepers = gatekeepers,
                                  .gatekeeper_count = gate_count,
                                  .insecure = true,
                                  .connect_timeout_ms = 1500,
                                  .inflight_max = inflight_max};
    char error[256];
    portcullis *client = portcullis_open_options(&options, error, sizeof error);
    if (client == NULL) {
        fail_msg("%s", error);
    }
    return client;
}

static portcullis_result *s_call(portcullis *client, const char *sql)
{
    portcullis_request *request = portcullis_request_new(sql);
    portcullis_result *result = portcullis_call(client, request);
    portcullis_request_destroy(&request);
    return result;
}

static portcullis_result *s_in(portcullis_session *session, const char *sql)
{
    portcullis_request *request = portcullis_request_new(sql);
    portcullis_result *result = portcullis_session_call(session, request);
    portcullis_request_destroy(&request);
    return result;
}

static portcullis_session *s_begin(portcullis *client)
{
    portcullis_request *begin = portcullis_request_new_begin(false);
    portcullis_result *result = NULL;
    portcullis_session *session = portcullis_session_begin(client, begin, &result);
    assert_non_null(session);
    assert_int_equal(portcullis_result_code(result), PORTCULLIS_OK);
    portcullis_result_destroy(&result);
    portcullis_request_destroy(&begin);
    return session;
}

static void s_expect(portcullis_result **result, portcullis_code code, portcullis_retry retry)
{
    if (portcullis_result_code(*result) != code) {
        fail_msg("%s: %s", portcullis_result_code_text(*result),
                 portcullis_result_message(*result));
    }
    assert_int_equal(portcullis_result_retry(*result), retry);
    portcullis_result_destroy(result);
}

static void s_expect_ok(portcullis_result **result)
{
    s_expect(result, PORTCULLIS_OK, PORTCULLIS_RETRY_NEVER);
}

/* Waits until the log of a gate has count lines that start with line. */
static void s_await(gate *self, const char *line, uint32_t count)
{
    for (int attempt = 0; attempt < 10000; attempt++) {
        uint32_t found = 0;
        (void)pthread_mutex_lock(&self->mutex);
        for (const char *at = self->log; at != NULL && *at != '\0';) {
            found += strncmp(at, line, strlen(line)) == 0;
            at = strchr(at, '\n');
            at = at != NULL ? at + 1 : NULL;
        }
        (void)pthread_mutex_unlock(&self->mutex);
        if (found == count) {
            return;
        }
        s_sleep_ms(1);
    }
    fail_msg("no %u lines \"%s\" in:\n%s", count, line, self->log);
}

static void s_expect_log(gate *self, const char *log)
{
    (void)pthread_mutex_lock(&self->mutex);
    char copy[LOG_SIZE];
    memcpy(copy, self->log, sizeof copy);
    self->log[0] = '\0';
    (void)pthread_mutex_unlock(&self->mutex);
    assert_string_equal(copy, log);
}

/* The gate that a client's requests go to. */
static gate *s_in_use(portcullis *client)
{
    portcullis_result *result = s_call(client, "who");
    s_expect_ok(&result);
    bool first = false;
    for (size_t index = 0; index < 2; index++) {
        (void)pthread_mutex_lock(&s_gates[index].mutex);
        first = first || (index == 0 && strstr(s_gates[0].log, "who") != NULL);
        s_gates[index].log[0] = '\0';
        (void)pthread_mutex_unlock(&s_gates[index].mutex);
    }
    return first ? &s_gates[0] : &s_gates[1];
}

/* Reads on from row `from` as far as it goes; the number of the row behind the last. */
static uint64_t s_read_rows(portcullis_result *result, uint64_t from)
{
    while (portcullis_result_next(result)) {
        const portcullis_value *value = portcullis_result_value(result, 0);
        assert_int_equal(value->type, PORTCULLIS_TYPE_INT);
        assert_int_equal(value->uinteger, from);
        from++;
    }
    return from;
}

/* ---- pages ----------------------------------------------------------------------------- */

static void all_rows_of_all_pages_are_seen(void **state)
{
    (void)state;
    portcullis *client = s_open(1, 0);
    portcullis_result *result = s_call(client, "rows 2500");
    assert_int_equal(portcullis_result_row_count(result), 1000);
    assert_true(portcullis_result_has_more(result));
    const portcullis_column *column = portcullis_result_column(result, 0);
    assert_int_equal(s_read_rows(result, 0), 2500);
    assert_int_equal(portcullis_result_code(result), PORTCULLIS_OK);
    assert_string_equal(portcullis_result_code_text(result), "OK");
    assert_false(portcullis_result_has_more(result));
    assert_false(portcullis_result_next(result));
    assert_ptr_equal(portcullis_result_column(result, 0), column);
    assert_string_equal(column->name, "n");
    assert_int_equal(portcullis_result_row_count(result), 500);
    assert_int_equal(portcullis_result_warnings(result), 2);
    assert_false(portcullis_result_rewind(result));
    portcullis_result_destroy(&result);
    s_expect_log(&s_gates[0], "query rows 2500\nfetch 1\nfetch 2\n");
    portcullis_close(&client);
}

static void a_page_is_as_large_as_was_asked_for(void **state)
{
    (void)state;
    portcullis *client = s_open(1, 0);
    portcullis_request *request = portcullis_request_new("rows 25");
    portcullis_request_set_page_rows(request, 10);
    portcullis_result *result = portcullis_call(client, request);
    portcullis_request_destroy(&request);
    for (uint32_t page = 0; page < 3; page++) {
        uint32_t rows = 0;
        while (portcullis_result_next_in_page(result)) {
            rows++;
        }
        assert_int_equal(rows, page < 2 ? 10 : 5);
        assert_int_equal(portcullis_result_has_more(result), page < 2);
        assert_int_equal(portcullis_result_fetch(result), page < 2);
    }
    s_expect_ok(&result);
    s_expect_log(&s_gates[0], "query rows 25\nfetch 1\nfetch 2\n");
    portcullis_close(&client);
}

static void a_page_that_cannot_be_had_is_an_error(void **state)
{
    (void)state;
    portcullis *client = s_open(1, 0);
    portcullis_result *result = s_call(client, "break 2500");
    assert_int_equal(s_read_rows(result, 0), 1000);
    assert_int_equal(portcullis_result_errno(result), 1317);
    assert_string_equal(portcullis_result_sqlstate(result), "70100");
    assert_string_equal(portcullis_result_hop(result), "agent");
    assert_int_equal(portcullis_result_column_count(result), 1);
    assert_false(portcullis_result_next(result));
    s_expect(&result, PORTCULLIS_SQL, PORTCULLIS_RETRY_NEVER);

    result = s_call(client, "widen 2500");
    assert_int_equal(s_read_rows(result, 0), 1000);
    s_expect(&result, PORTCULLIS_INTERNAL, PORTCULLIS_RETRY_UNSAFE);
    portcullis_close(&client);
}

static void what_was_refused_can_be_fetched_again(void **state)
{
    (void)state;
    portcullis *client = s_open(1, 0);
    portcullis_result *result = s_call(client, "busy 1500");
    assert_int_equal(s_read_rows(result, 0), 1000);
    assert_int_equal(portcullis_result_code(result), PORTCULLIS_OVERLOADED);
    assert_int_equal(portcullis_result_retry(result), PORTCULLIS_RETRY_SAFE);
    assert_true(portcullis_result_has_more(result));
    assert_int_equal(s_read_rows(result, 1000), 1500);
    s_expect_ok(&result);
    portcullis_close(&client);
}

static void what_is_unread_is_given_up(void **state)
{
    (void)state;
    portcullis *client = s_open(1, 0);
    portcullis_result *result = s_call(client, "rows 2500");
    portcullis_result_destroy(&result);
    s_await(&s_gates[0], "close", 1);
    result = s_call(client, "rows 2500");
    portcullis_result_give_up(result);
    assert_int_equal(s_read_rows(result, 0), 1000); /* the page is there, and nothing more */
    s_expect_ok(&result);
    s_await(&s_gates[0], "close", 2);
    result = s_call(client, "rows 1000");
    portcullis_result_destroy(&result);
    result = s_call(client, "last");
    portcullis_result_destroy(&result);
    s_expect_log(&s_gates[0], "query rows 2500\nclose\nquery rows 2500\nclose\nquery rows 1000\n"
                              "query last\n");
    portcullis_close(&client);
}

static void a_page_goes_with_its_connection(void **state)
{
    (void)state;
    portcullis *client = s_open(2, 0);
    s_sleep_ms(200); /* both are connected */
    gate *used = s_in_use(client);
    gate *other = used == &s_gates[0] ? &s_gates[1] : &s_gates[0];
    portcullis_result *unread = s_call(client, "rows 2500");
    portcullis_result *asked = s_call(client, "mute 2500");
    portcullis_future *future = portcullis_result_start_fetch(asked);
    s_await(used, "fetch", 1);
    s_gate_stop(used);
    portcullis_result *page = portcullis_future_wait(&future, 5000);
    assert_non_null(page);
    s_expect(&page, PORTCULLIS_GONE, PORTCULLIS_RETRY_NEVER);
    s_gate_start(used, true);
    s_sleep_ms(700); /* it is connected again, but that is another connection */
    assert_int_equal(s_read_rows(unread, 0), 1000);
    assert_non_null(strstr(portcullis_result_message(unread), "connection"));
    s_expect(&unread, PORTCULLIS_GONE, PORTCULLIS_RETRY_NEVER);
    portcullis_result_destroy(&asked);
    portcullis_close(&client);
    assert_null(strstr(other->log, "fetch"));
}

/* Counts the rows of all pages in callbacks, each of which asks for the next page. */
typedef struct walker {
    atomic_uint rows, pages;
    atomic_bool done;
    bool waits; /* tries to wait first */
    atomic_int code_of_wait;
} walker;

static void s_walk(portcullis_result *result, void *context)
{
    walker *self = context;
    (void)atomic_fetch_add(&self->pages, 1);
    while (self->waits ? portcullis_result_next(result) : portcullis_result_next_in_page(result)) {
        (void)atomic_fetch_add(&self->rows, 1);
    }
    if (self->waits) {
        atomic_store(&self->code_of_wait, (int)portcullis_result_code(result));
        self->waits = false;
    }
    if (portcullis_result_submit_fetch(result, s_walk, self) != PORTCULLIS_OK) {
        atomic_store(&self->done, true);
    }
    portcullis_result_destroy(&result);
}

static void a_callback_asks_for_pages_and_never_waits(void **state)
{
    (void)state;
    portcullis *client = s_open(1, 0);
    portcullis_request *request = portcullis_request_new("rows 2500");
    for (int round = 0; round < 2; round++) {
        walker walk = {.waits = round == 1};
        assert_int_equal(portcullis_submit(client, request, s_walk, &walk), PORTCULLIS_OK);
        while (!atomic_load(&walk.done)) {
            s_sleep_ms(1);
        }
        assert_int_equal(atomic_load(&walk.rows), 2500);
        assert_int_equal(atomic_load(&walk.pages), 3);
        if (round == 1) {
            assert_int_equal(atomic_load(&walk.code_of_wait), PORTCULLIS_UNSUPPORTED);
        }
    }
    portcullis_request_destroy(&request);
    portcullis_close(&client);
}

static void pages_can_be_fetched_ahead(void **state)
{
    (void)state;
    portcullis *client = s_open(1, 0);
    portcullis_result *first = s_call(client, "rows 1500");
    portcullis_future *future = portcullis_result_start_fetch(first);
    assert_memory_equal(portcullis_future_id(future), portcullis_result_id(first), 16);
    assert_false(portcullis_result_has_more(first));
    assert_int_equal(s_read_rows(first, 0), 1000);
    assert_int_equal(portcullis_result_code(first), PORTCULLIS_OK);
    portcullis_result *second = portcullis_future_wait(&future, 5000);
    assert_non_null(second);
    assert_int_equal(s_read_rows(second, 1000), 1500);
    future = portcullis_result_start_fetch(second);
    portcullis_result *none = portcullis_future_wait(&future, 0);
    s_expect(&none, PORTCULLIS_GONE, PORTCULLIS_RETRY_NEVER);
    portcullis_result_destroy(&first);
    s_expect_ok(&second);
    portcullis_close(&client);
}

/* In pages of 100 rows. */
static portcullis_result *s_call_ahead(portcullis *client, const char *sql, uint32_t pages)
{
    portcullis_request *request = portcullis_request_new(sql);
    portcullis_request_set_page_rows(request, 100);
    portcullis_request_set_pages_ahead(request, pages);
    portcullis_result *result = portcullis_call(client, request);
    portcullis_request_destroy(&request);
    return result;
}

/* Pages 1 to some between least and most were fetched, in their order: how many of those behind the
 * last one were asked for before that came is nobody's business. */
static void s_expect_fetches(portcullis *client, gate *self, const char *sql, uint32_t least,
                             uint32_t most)
{
    portcullis_result *who = s_call(client, "who"); /* is behind all that was sent */
    s_expect_ok(&who);
    char copy[LOG_SIZE], expected[1024], page_line[32];
    (void)pthread_mutex_lock(&self->mutex);
    memcpy(copy, self->log, sizeof copy);
    self->log[0] = '\0';
    (void)pthread_mutex_unlock(&self->mutex);
    size_t size = (size_t)snprintf(expected, sizeof expected, "query %s\n", sql);
    for (uint32_t page = 1; page <= most; page++) {
        (void)snprintf(page_line, sizeof page_line, "fetch %u\n", page);
        if (page <= least || strstr(copy, page_line) != NULL) {
            size += (size_t)snprintf(expected + size, sizeof expected - size, "%s", page_line);
        }
    }
    (void)snprintf(expected + size, sizeof expected - size, "query who\n");
    assert_string_equal(copy, expected);
}

static void pages_are_asked_for_before_their_turn(void **state)
{
    (void)state;
    portcullis *client = s_open(1, 0);
    portcullis_result *result = s_call_ahead(client, "rows 400", 3);
    assert_int_equal(s_read_rows(result, 0), 400);
    s_expect_ok(&result);
    s_expect_fetches(client, &s_gates[0], "rows 400", 3, 3); /* a short result has none ahead */
    result = s_call_ahead(client, "rows 1500", 3);
    assert_int_equal(s_read_rows(result, 0), 1500);
    assert_false(portcullis_result_has_more(result));
    assert_int_equal(portcullis_result_warnings(result), 2);
    s_expect_ok(&result);
    s_expect_fetches(client, &s_gates[0], "rows 1500", 14, 16);
    portcullis_close(&client);
}

static void futures_of_pages_bring_those_behind_them(void **state)
{
    (void)state;
    portcullis *client = s_open(1, 0);
    portcullis_result *page = s_call_ahead(client, "rows 1500", 2);
    uint64_t rows = 0;
    bool more = true;
    while (more) {
        more = portcullis_result_has_more(page);
        portcullis_future *ahead = more ? portcullis_result_start_fetch(page) : NULL;
        assert_false(portcullis_result_has_more(page));
        rows = s_read_rows(page, rows);
        if (more) {
            portcullis_result_destroy(&page);
            page = portcullis_future_wait(&ahead, 5000);
            assert_non_null(page);
            assert_null(ahead);
        }
    }
    assert_int_equal(rows, 1500);
    s_expect_ok(&page);
    s_expect_fetches(client, &s_gates[0], "rows 1500", 14, 15);
    portcullis_close(&client);
}

static void what_was_asked_for_too_early_is_asked_for_again(void **state)
{
    (void)state;
    portcullis *client = s_open(1, 0);
    portcullis_result *result = s_call_ahead(client, "overtake 1500", 3);
    assert_int_equal(s_read_rows(result, 0), 1500);
    s_expect_ok(&result);
    result = s_call_ahead(client, "tight 1500", 3);
    assert_int_equal(s_read_rows(result, 0), 1500);
    s_expect_ok(&result);
    /* What was refused is asked for again, as is what had been sent behind it; then nothing is
     * early. */
    (void)pthread_mutex_lock(&s_gates[0].mutex);
    const char *tight = strstr(s_gates[0].log, "query tight");
    bool again = tight != NULL &&
                 (strstr(tight, "fetch 6\nfetch 7\nfetch 6\nfetch 7\nfetch 8\n") != NULL ||
                  strstr(tight, "fetch 6\nfetch 6\nfetch 7\nfetch 8\n") != NULL);
    bool early = tight != NULL && strstr(tight, "fetch 15\n") != NULL;
    (void)pthread_mutex_unlock(&s_gates[0].mutex);
    assert_true(again);
    assert_false(early);
    portcullis_close(&client);
}

static void a_failure_is_told_and_what_is_behind_it_let_go(void **state)
{
    (void)state;
    portcullis *client = s_open(1, 0);
    portcullis_result *result = s_call_ahead(client, "halt 1500", PORTCULLIS_PAGES_AHEAD_MAX);
    assert_int_equal(s_read_rows(result, 0), 600);
    assert_int_equal(portcullis_result_errno(result), 1317);
    assert_false(portcullis_result_next(result));
    s_expect(&result, PORTCULLIS_SQL, PORTCULLIS_RETRY_NEVER);
    portcullis_close(&client);
}

static void what_is_under_way_is_given_up_with_its_result(void **state)
{
    (void)state;
    portcullis *client = s_open(1, 0);
    for (uint32_t round = 1; round <= 3; round++) {
        portcullis_result *result = s_call_ahead(client, "rows 1500", 3);
        for (int page = 0; page < 6; page++) {
            assert_true(portcullis_result_fetch(result));
        }
        assert_true(portcullis_result_has_more(result));
        s_await(&s_gates[0], "fetch 7", round); /* else it is cancelled here, unsent */
        assert_int_equal(portcullis_result_submit_fetch(result, s_walk, NULL),
                         PORTCULLIS_UNSUPPORTED);
        if (round == 2) {
            portcullis_result_give_up(result);
            assert_false(portcullis_result_fetch(result));
        }
        if (round == 3) { /* a future that nobody waits for takes those behind it along */
            portcullis_future *future = portcullis_result_start_fetch(result);
            portcullis_future_destroy(&future);
        }
        portcullis_result_destroy(&result);
        s_await(&s_gates[0], "cancel", round < 3 ? round : 2);
    }
    portcullis_close(&client);
}

static void results_and_sessions_outlive_their_client(void **state)
{
    (void)state;
    portcullis *client = s_open(1, 0);
    portcullis_result *result = s_call(client, "rows 2500");
    portcullis_session *session = s_begin(client);
    portcullis_close(&client);
    assert_int_equal(s_read_rows(result, 0), 1000);
    s_expect(&result, PORTCULLIS_UNAVAILABLE, PORTCULLIS_RETRY_SAFE);
    result = s_in(session, "late");
    s_expect(&result, PORTCULLIS_UNAVAILABLE, PORTCULLIS_RETRY_SAFE);
    portcullis_session_destroy(&session);
    assert_null(session);
}

/* ---- sessions -------------------------------------------------------------------------- */

static void a_session_is_one_transaction(void **state)
{
    (void)state;
    portcullis *client = s_open(1, 0);
    portcullis_request *begin = portcullis_request_new_begin(true);
    assert_true(portcullis_request_set_db(begin, "demo"));
    assert_true(portcullis_request_set_strategy(begin, "random"));
    portcullis_request_set_timeout(begin, 1234);
    portcullis_result *result = NULL;
    portcullis_session *session = portcullis_session_begin(client, begin, &result);
    assert_non_null(session);
    assert_true(portcullis_session_is_open(session));
    portcullis_result_destroy(&result);
    result = s_in(session, "one");
    s_expect_ok(&result);
    result = portcullis_session_commit(session);
    size_t size = 0;
    const char *token = portcullis_result_token(result, &size);
    assert_true(pcl_bytes_is(pcl_bytes_of(token, size), "0-1-42"));
    s_expect_ok(&result);
    assert_false(portcullis_session_is_open(session));
    portcullis_session_destroy(&session);
    portcullis_request_destroy(&begin);
    result = s_call(client, "last");
    s_expect_ok(&result);
    s_expect_log(&s_gates[0], "begin read-only demo random\nquery in session one\ncommit 1234\n"
                              "query last\n");
    portcullis_close(&client);
}

static void what_nobody_ends_is_rolled_back(void **state)
{
    (void)state;
    portcullis *client = s_open(1, 0);
    portcullis_session *session = s_begin(client);
    portcullis_session_destroy(&session);
    s_await(&s_gates[0], "rollback", 1);
    portcullis_request *begin = portcullis_request_new_begin(false);
    portcullis_result *result = portcullis_call(client, begin);
    portcullis_result_destroy(&result); /* with a session that nobody took */
    s_await(&s_gates[0], "rollback", 2);
    result = portcullis_call(client, begin);
    session = portcullis_result_take_session(result);
    assert_non_null(session);
    assert_null(portcullis_result_take_session(result));
    portcullis_result_destroy(&result);
    result = portcullis_session_rollback(session);
    s_expect_ok(&result);
    portcullis_session_destroy(&session);
    s_await(&s_gates[0], "rollback", 3);
    portcullis_request_destroy(&begin);
    portcullis_close(&client);
}

static void what_comes_too_late_is_ended(void **state)
{
    (void)state;
    portcullis *client = s_open(1, 0);
    portcullis_request *begin = portcullis_request_new_begin(false);
    assert_true(portcullis_request_set_db(begin, "late"));
    portcullis_request_set_timeout(begin, 50);
    portcullis_result *result = s_call(client, "connected");
    s_expect_ok(&result);
    portcullis_session *session = portcullis_session_begin(client, begin, &result);
    assert_null(session);
    s_expect(&result, PORTCULLIS_DEADLINE, PORTCULLIS_RETRY_SAFE);
    s_await(&s_gates[0], "rollback", 1);
    portcullis_request_destroy(&begin);
    portcullis_close(&client);
}

/* Nobody holds what the answer to that rollback claims to open, nor a client to end it by. */
static void what_ends_by_itself_opens_nothing(void **state)
{
    (void)state;
    portcullis *client = s_open(1, 0);
    portcullis_request *begin = portcullis_request_new_begin(false);
    assert_true(portcullis_request_set_db(begin, "liar"));
    portcullis_request_set_timeout(begin, 50);
    portcullis_result *result = s_call(client, "connected");
    s_expect_ok(&result);
    assert_null(portcullis_session_begin(client, begin, &result));
    s_expect(&result, PORTCULLIS_DEADLINE, PORTCULLIS_RETRY_SAFE);
    s_await(&s_gates[0], "rollback", 1);
    result = s_call(client, "behind the answer to it");
    s_expect_ok(&result);
    portcullis_request_destroy(&begin);
    portcullis_close(&client);
}

static void a_session_goes_with_its_connection(void **state)
{
    (void)state;
    portcullis *client = s_open(2, 0);
    s_sleep_ms(200); /* both are connected */
    gate *used = s_in_use(client);
    gate *other = used == &s_gates[0] ? &s_gates[1] : &s_gates[0];
    portcullis_session *session = s_begin(client);
    portcullis_session *idle = s_begin(client);
    portcullis_request *request = portcullis_request_new("mute");
    portcullis_request_set_idempotent(request, true); /* which is not heard in a session */
    portcullis_future *future = portcullis_session_start(session, request);
    s_await(used, "query in session", 1);
    s_gate_stop(used);
    portcullis_result *result = portcullis_future_wait(&future, 5000);
    assert_non_null(result);
    s_expect(&result, PORTCULLIS_LOST, PORTCULLIS_RETRY_UNSAFE);
    assert_false(portcullis_session_is_open(session));
    result = s_in(session, "next");
    s_expect(&result, PORTCULLIS_GONE, PORTCULLIS_RETRY_NEVER);
    assert_true(portcullis_session_is_open(idle)); /* nobody asked yet */
    result = portcullis_session_commit(idle);
    assert_non_null(strstr(portcullis_result_message(result), "rolled back"));
    s_expect(&result, PORTCULLIS_GONE, PORTCULLIS_RETRY_NEVER);
    assert_false(portcullis_session_is_open(idle));
    s_gate_start(used, true);
    s_sleep_ms(700); /* connected again */
    result = s_in(idle, "again");
    s_expect(&result, PORTCULLIS_GONE, PORTCULLIS_RETRY_NEVER);
    result = s_call(client, "alone"); /* the client goes on */
    s_expect_ok(&result);
    portcullis_session_destroy(&session);
    portcullis_session_destroy(&idle);
    portcullis_request_destroy(&request);
    portcullis_close(&client);
    s_expect_log(other, "");
}

/* A callback that asks anew outside of the session that is gone. */
typedef struct second_try {
    portcullis *client;
    portcullis_request *request;
    atomic_int first, second; /* codes + 1 */
} second_try;

static void s_note_second(portcullis_result *result, void *context)
{
    second_try *self = context;
    atomic_store(&self->second, (int)portcullis_result_code(result) + 1);
    portcullis_result_destroy(&result);
}

static void s_try_again(portcullis_result *result, void *context)
{
    second_try *self = context;
    atomic_store(&self->first, (int)portcullis_result_code(result) + 1);
    portcullis_result_destroy(&result);
    if (portcullis_submit(self->client, self->request, s_note_second, self) != PORTCULLIS_OK) {
        atomic_store(&self->second, -1);
    }
}

static void what_a_callback_submits_is_sent_at_once(void **state)
{
    (void)state;
    portcullis *client = s_open(1, 0);
    portcullis_session *session = s_begin(client);
    s_gate_stop(&s_gates[0]);
    s_gate_start(&s_gates[0], true);
    portcullis_result *result = s_call(client, "it is there again");
    s_expect_ok(&result);
    s_sleep_ms(200); /* nothing is under way: the client sleeps until it is woken */
    second_try again = {.client = client, .request = portcullis_request_new("again")};
    assert_int_equal(portcullis_session_submit(session, again.request, s_try_again, &again),
                     PORTCULLIS_OK);
    for (int attempt = 0; atomic_load(&again.second) == 0 && attempt < 5000; attempt++) {
        s_sleep_ms(1);
    }
    assert_int_equal(atomic_load(&again.first), PORTCULLIS_GONE + 1);
    assert_int_equal(atomic_load(&again.second), PORTCULLIS_OK + 1);
    portcullis_request_destroy(&again.request);
    portcullis_session_destroy(&session);
    portcullis_close(&client);
}

static void a_session_stays_where_it_is(void **state)
{
    (void)state;
    portcullis *client = s_open(2, 0);
    s_sleep_ms(200);
    portcullis_session *session = s_begin(client);
    (void)pthread_mutex_lock(&s_gates[0].mutex);
    gate *used = strstr(s_gates[0].log, "begin") != NULL ? &s_gates[0] : &s_gates[1];
    (void)pthread_mutex_unlock(&s_gates[0].mutex);
    portcullis_result *result = s_in(session, "drain");
    s_expect(&result, PORTCULLIS_DRAINING, PORTCULLIS_RETRY_SAFE);
    result = s_call(client, "elsewhere");
    s_expect_ok(&result);
    result = s_in(session, "still here"); /* it is connected, and may let sessions end */
    s_expect_ok(&result);
    result = portcullis_session_commit(session);
    s_expect_ok(&result);
    portcullis_session_destroy(&session);
    s_expect_log(used, "begin \nquery in session drain\nquery in session still here\n"
                       "commit 5000\n");
    result = s_in(session = s_begin(client), "gone");
    s_expect(&result, PORTCULLIS_GONE, PORTCULLIS_RETRY_NEVER);
    assert_false(portcullis_session_is_open(session));
    portcullis_session_destroy(&session);
    portcullis_close(&client);
}

static void what_does_not_go_into_a_session_is_refused(void **state)
{
    (void)state;
    portcullis *client = s_open(1, 0);
    portcullis_session *session = s_begin(client);
    portcullis_request *ping = portcullis_request_new_ping();
    portcullis_result *result = portcullis_session_call(session, ping);
    s_expect(&result, PORTCULLIS_MALFORMED, PORTCULLIS_RETRY_NEVER);
    portcullis_request *commit = portcullis_request_new_commit();
    result = portcullis_call(client, commit);
    s_expect(&result, PORTCULLIS_MALFORMED, PORTCULLIS_RETRY_NEVER);
    portcullis_session *none = portcullis_session_begin(client, ping, &result);
    assert_null(none);
    s_expect(&result, PORTCULLIS_MALFORMED, PORTCULLIS_RETRY_NEVER);
    portcullis_request_destroy(&ping);
    portcullis_request_destroy(&commit);
    portcullis_session_destroy(&session);
    portcullis_close(&client);
}

/* ---- transactions ---------------------------------------------------------------------- */

static void a_transaction_has_a_result_for_each_statement(void **state)
{
    (void)state;
    portcullis *client = s_open(1, 0);
    portcullis_request *request = portcullis_request_new_txn();
    assert_false(portcullis_request_expect_rows(request, 1)); /* of which statement? */
    assert_true(portcullis_request_add_statement(request, "UPDATE a"));
    assert_true(portcullis_request_add_int(request, 7));
    assert_true(portcullis_request_add_text(request, "x"));
    assert_true(portcullis_request_expect_rows(request, 1));
    assert_true(portcullis_request_add_statement(request, "SELECT 1"));
    assert_false(portcullis_request_expect_between(request, 3, 2));
    assert_true(portcullis_request_expect_between(request, 2, UINT64_MAX));
    assert_true(portcullis_request_add_statement(request, "UPDATE b"));
    assert_true(portcullis_request_expect_between(request, 0, 5));
    for (int round = 0; round < 2; round++) { /* sending does not use it up */
        portcullis_result *result = portcullis_call(client, request);
        assert_int_equal(portcullis_result_statement_count(result), 3);
        assert_int_equal(portcullis_result_affected(portcullis_result_statement(result, 2)), 3);
        portcullis_result *part = portcullis_result_statement(result, 1);
        assert_true(portcullis_result_next(part));
        const portcullis_value *value = portcullis_result_value(part, 0);
        assert_memory_equal(value->data, "SELECT 1", 8);
        assert_false(portcullis_result_next(part));
        assert_string_equal(portcullis_result_column(part, 0)->name, "said");
        assert_ptr_equal(portcullis_result_statement(result, 1), part);
        portcullis_result *copy = part;
        portcullis_result_destroy(&copy); /* does nothing: it is a part */
        assert_true(portcullis_result_rewind(part));
        s_expect_ok(&result);
        s_expect_log(&s_gates[0], "txn UPDATE a params=2 expect=1:1 0:0 0:0\n"
                                  "txn SELECT 1 params=0 expect=0:0 1:2 0:0\n"
                                  "txn UPDATE b params=0 expect=0:0 1:0 1:5\n");
    }
    portcullis_request_destroy(&request);
    portcullis_close(&client);
}

static void a_failed_transaction_says_which_statement(void **state)
{
    (void)state;
    portcullis *client = s_open(1, 0);
    portcullis_request *request = portcullis_request_new_txn();
    assert_true(portcullis_request_add_statement(request, "UPDATE a"));
    assert_true(portcullis_request_add_statement(request, "fail"));
    portcullis_result *result = portcullis_call(client, request);
    uint32_t index = 99;
    assert_true(portcullis_result_failed_statement(result, &index));
    assert_int_equal(index, 1);
    assert_int_equal(portcullis_result_statement_count(result), 0);
    s_expect(&result, PORTCULLIS_SQL, PORTCULLIS_RETRY_NEVER);
    portcullis_request_destroy(&request);
    request = portcullis_request_new_txn();
    assert_true(portcullis_request_add_statement(request, "UPDATE a"));
    assert_true(portcullis_request_expect_rows(request, 7));
    result = portcullis_call(client, request);
    assert_true(portcullis_result_failed_statement(result, &index));
    assert_int_equal(index, 0);
    s_expect(&result, PORTCULLIS_EXPECT, PORTCULLIS_RETRY_NEVER);
    result = s_call(client, "alone");
    assert_false(portcullis_result_failed_statement(result, &index));
    s_expect_ok(&result);
    portcullis_request_destroy(&request);
    portcullis_close(&client);
}

static void a_transaction_has_its_limits(void **state)
{
    (void)state;
    static char large[PCL_REQUEST_SIZE_MAX / 2];
    memset(large, 'x', sizeof large);
    portcullis *client = s_open(1, 0);
    portcullis_request *request = portcullis_request_new_txn();
    for (uint32_t index = 0; index < PCL_STATEMENTS_MAX; index++) {
        assert_true(portcullis_request_add_statement(request, "UPDATE a"));
    }
    assert_false(portcullis_request_add_statement(request, "one more"));
    portcullis_result *result = portcullis_call(client, request);
    assert_int_equal(portcullis_result_statement_count(result), PCL_STATEMENTS_MAX);
    s_expect_ok(&result);
    portcullis_request_destroy(&request);
    request = portcullis_request_new_txn();
    assert_true(portcullis_request_add_statement(request, "UPDATE a"));
    assert_true(portcullis_request_add_blob(request, large, sizeof large));
    assert_true(portcullis_request_add_statement(request, "UPDATE b"));
    assert_true(portcullis_request_add_blob(request, large, sizeof large));
    assert_false(portcullis_request_add_statement(request, "UPDATE c"));
    result = portcullis_call(client, request);
    s_expect(&result, PORTCULLIS_TOO_LARGE, PORTCULLIS_RETRY_NEVER);
    portcullis_request_clear_params(request); /* of the last one */
    result = portcullis_call(client, request);
    assert_int_equal(portcullis_result_statement_count(result), 2);
    s_expect_ok(&result);
    portcullis_request_destroy(&request);
    request = portcullis_request_new("SELECT 1");
    assert_false(portcullis_request_add_statement(request, "UPDATE a"));
    portcullis_request_destroy(&request);
    portcullis_close(&client);
}

/* ---- cancel ---------------------------------------------------------------------------- */

static void what_runs_is_cancelled(void **state)
{
    (void)state;
    portcullis *client = s_open(2, 0);
    s_sleep_ms(200);
    portcullis_request *request = portcullis_request_new("hold");
    for (int round = 0; round < 20; round++) { /* with either gatekeeper */
        portcullis_future *future = portcullis_start(client, request);
        assert_int_equal(portcullis_cancel(client, portcullis_future_id(future)), PORTCULLIS_OK);
        portcullis_result *result = portcullis_future_wait(&future, 5000);
        assert_non_null(result);
        s_expect(&result, PORTCULLIS_CANCELLED, PORTCULLIS_RETRY_SAFE);
    }
    uint8_t id[16];
    portcullis_make_id(client, id);
    portcullis_request_set_id(request, id);
    portcullis_future *future = portcullis_start(client, request);
    portcullis_request *cancel = portcullis_request_new_cancel(id);
    for (uint64_t round = 0; round < 2; round++) {
        portcullis_result *result = portcullis_call(client, cancel);
        assert_int_equal(portcullis_result_affected(result), 1 - round); /* then it is no more */
        s_expect_ok(&result);
    }
    portcullis_result *result = portcullis_future_wait(&future, 5000);
    s_expect(&result, PORTCULLIS_CANCELLED, PORTCULLIS_RETRY_SAFE);
    portcullis_request_destroy(&cancel);
    portcullis_request_destroy(&request);
    portcullis_close(&client);
}

static void what_was_not_sent_is_not_sent(void **state)
{
    (void)state;
    s_gate_stop(&s_gates[0]);
    portcullis *client = s_open(1, 0);
    portcullis_request *request = portcullis_request_new("never");
    portcullis_future *future = portcullis_start(client, request);
    portcullis_future *other = portcullis_start(client, request);
    assert_int_equal(portcullis_cancel(client, portcullis_future_id(future)), PORTCULLIS_OK);
    portcullis_result *result = portcullis_future_wait(&future, 500);
    assert_non_null(result);
    s_expect(&result, PORTCULLIS_CANCELLED, PORTCULLIS_RETRY_SAFE);
    s_gate_start(&s_gates[0], true);
    result = portcullis_future_wait(&other, 5000);
    s_expect_ok(&result);
    s_await(&s_gates[0], "query never", 1);
    portcullis_request_destroy(&request);
    portcullis_close(&client);
}

static void a_full_client_can_still_cancel(void **state)
{
    (void)state;
    portcullis *client = s_open(1, 2);
    portcullis_request *hold = portcullis_request_new("hold");
    portcullis_request *mute = portcullis_request_new("mute");
    portcullis_future *held = portcullis_start(client, hold);
    portcullis_future *muted = portcullis_start(client, mute);
    portcullis_result *result = s_call(client, "one more");
    s_expect(&result, PORTCULLIS_OVERLOADED, PORTCULLIS_RETRY_SAFE);
    assert_int_equal(portcullis_cancel(client, portcullis_future_id(held)), PORTCULLIS_OK);
    result = portcullis_future_wait(&held, 5000);
    assert_non_null(result);
    s_expect(&result, PORTCULLIS_CANCELLED, PORTCULLIS_RETRY_SAFE);
    portcullis_future_destroy(&muted);
    portcullis_request_destroy(&hold);
    portcullis_request_destroy(&mute);
    portcullis_close(&client);
}

/* ---- metadata -------------------------------------------------------------------------- */

static void metadata_comes_where_it_is_asked_for(void **state)
{
    (void)state;
    portcullis *client = s_open(1, 0);
    portcullis_request *request = portcullis_request_new("SELECT name");
    portcullis_request_set_metadata(request, true);
    portcullis_result *result = portcullis_call(client, request);
    const portcullis_column *column = portcullis_result_column(result, 0);
    assert_string_equal(column->name, "said");
    assert_string_equal(column->schema, "demo");
    assert_string_equal(column->table, "c");
    assert_string_equal(column->org_table, "customers");
    assert_string_equal(column->org_name, "name");
    assert_int_equal(column->charset, 255);
    assert_int_equal(column->length, 400);
    assert_int_equal(column->decimals, 31);
    s_expect_ok(&result);
    portcullis_request_set_metadata(request, false);
    result = portcullis_call(client, request);
    assert_string_equal(portcullis_result_column(result, 0)->org_table, "");
    s_expect_ok(&result);
    portcullis_request_destroy(&request);
    portcullis_close(&client);
}

/* ---- all of it, while gatekeepers come and go --------------------------------------------- */

typedef struct worker {
    pthread_t thread;
    portcullis *client;
    atomic_bool *stop;
    uint32_t results, whole, broken, committed, lost;
    bool wrong;
} worker;

/* Reads a long result: to its end, or up to an error. */
static void s_work_rows(worker *self)
{
    uint32_t ahead = self->results++ % (PORTCULLIS_PAGES_AHEAD_MAX + 1);
    portcullis_result *result = s_call_ahead(self->client, "rows 5000", ahead);
    bool began = portcullis_result_code(result) == PORTCULLIS_OK;
    uint64_t rows = 0;
    while (portcullis_result_next(result)) {
        self->wrong = self->wrong || portcullis_result_value(result, 0)->uinteger != rows;
        rows++;
    }
    bool good = portcullis_result_code(result) == PORTCULLIS_OK;
    self->wrong = self->wrong || (good && rows != 5000) || (!good && began && rows % 100 != 0);
    self->whole += good ? 1 : 0;
    self->broken += good ? 0 : 1;
    portcullis_result_destroy(&result);
}

static void s_work_session(worker *self)
{
    portcullis_request *begin = portcullis_request_new_begin(false);
    portcullis_result *result = NULL;
    portcullis_session *session = portcullis_session_begin(self->client, begin, &result);
    portcullis_request_destroy(&begin);
    portcullis_result_destroy(&result);
    if (session == NULL) {
        self->lost++;
        return;
    }
    result = s_in(session, "step");
    bool good = portcullis_result_code(result) == PORTCULLIS_OK;
    portcullis_result_destroy(&result);
    result = portcullis_session_commit(session);
    portcullis_code code = portcullis_result_code(result);
    /* What lost a statement with its connection cannot be committed. */
    bool open = portcullis_session_is_open(session);
    self->wrong = self->wrong || (code == PORTCULLIS_OK && (!good || open)) ||
                  (code == PORTCULLIS_GONE && open);
    self->committed += code == PORTCULLIS_OK ? 1 : 0;
    self->lost += code == PORTCULLIS_OK ? 0 : 1;
    portcullis_result_destroy(&result);
    portcullis_session_destroy(&session);
}

static void *s_work(void *argument)
{
    worker *self = argument;
    while (!atomic_load(self->stop)) {
        s_work_rows(self);
        s_work_session(self);
    }
    return NULL;
}

static void nothing_is_missed_whatever_dies(void **state)
{
    (void)state;
    enum { WORKERS = 4, ROUNDS = 6 };
    portcullis *client = s_open(2, 0);
    atomic_bool stop = false;
    worker workers[WORKERS];
    for (size_t index = 0; index < WORKERS; index++) {
        workers[index] = (worker){.client = client, .stop = &stop};
        assert_int_equal(pthread_create(&workers[index].thread, NULL, s_work, &workers[index]), 0);
    }
    for (size_t round = 0; round < ROUNDS; round++) {
        s_sleep_ms(150);
        s_gate_stop(&s_gates[round % 2]);
        s_sleep_ms(50);
        s_gates[round % 2].log[0] = '\0'; /* it must not grow full */
        s_gate_start(&s_gates[round % 2], true);
    }
    s_sleep_ms(700);
    atomic_store(&stop, true);
    worker sum = {0};
    for (size_t index = 0; index < WORKERS; index++) {
        assert_int_equal(pthread_join(workers[index].thread, NULL), 0);
        sum.wrong = sum.wrong || workers[index].wrong;
        sum.whole += workers[index].whole;
        sum.broken += workers[index].broken;
        sum.committed += workers[index].committed;
        sum.lost += workers[index].lost;
    }
    print_message("%u whole and %u broken results, %u commits and %u lost\n", sum.whole, sum.broken,
                  sum.committed, sum.lost);
    assert_false(sum.wrong);
    assert_true(sum.whole > 0 && sum.committed > 0 && sum.broken + sum.lost > 0);
    portcullis_close(&client);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, s_setup, s_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_rows_of_all_pages_are_seen),
        TEST(a_page_is_as_large_as_was_asked_for),
        TEST(a_page_that_cannot_be_had_is_an_error),
        TEST(what_was_refused_can_be_fetched_again),
        TEST(what_is_unread_is_given_up),
        TEST(a_page_goes_with_its_connection),
        TEST(a_callback_asks_for_pages_and_never_waits),
        TEST(pages_can_be_fetched_ahead),
        TEST(pages_are_asked_for_before_their_turn),
        TEST(futures_of_pages_bring_those_behind_them),
        TEST(what_was_asked_for_too_early_is_asked_for_again),
        TEST(a_failure_is_told_and_what_is_behind_it_let_go),
        TEST(what_is_under_way_is_given_up_with_its_result),
        TEST(results_and_sessions_outlive_their_client),
        TEST(a_session_is_one_transaction),
        TEST(what_nobody_ends_is_rolled_back),
        TEST(what_comes_too_late_is_ended),
        TEST(what_ends_by_itself_opens_nothing),
        TEST(a_session_goes_with_its_connection),
        TEST(what_a_callback_submits_is_sent_at_once),
        TEST(a_session_stays_where_it_is),
        TEST(what_does_not_go_into_a_session_is_refused),
        TEST(a_transaction_has_a_result_for_each_statement),
        TEST(a_failed_transaction_says_which_statement),
        TEST(a_transaction_has_its_limits),
        TEST(what_runs_is_cancelled),
        TEST(what_was_not_sent_is_not_sent),
        TEST(a_full_client_can_still_cancel),
        TEST(metadata_comes_where_it_is_asked_for),
        TEST(nothing_is_missed_whatever_dies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
