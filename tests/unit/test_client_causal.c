/* A causal client against a gatekeeper that the test plays: it answers each request with what that
 * said of consistency, and with a token of the position that the statement names ("at 0-1-42"). */
#include "client/portcullis.h"
#include "common/buffer.h"
#include "wire/mp.h"
#include "wire/reply.h"
#include "wire/request.h"
#include "wire/token.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include "tests/lib/packed.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define TEXT_SIZE 2048u

typedef struct gate {
    pthread_t thread;
    char endpoint[64];
    void *context;
    void *socket;
    atomic_bool stop;
} gate;

static gate s_gate;

/* ---- the gatekeeper ---------------------------------------------------------------------- */

/* The token of a position; the MAC is anybody's. */
static const char *s_token(const char *position, char target[PCL_TOKEN_SIZE_MAX + 1])
{
    static const uint8_t mac[PCL_TOKEN_MAC_SIZE] = {7, 7, 7};
    (void)pcl_token_write(mac, pcl_bytes_text(position), target);
    return target;
}

/* "after 0-1-42 1-1-7 monotonic": positions without what is around them. */
static void s_say(const pcl_request *request, char text[TEXT_SIZE])
{
    static const char *const words[] = {"any", "source", "after", "max-lag"};
    size_t size = (size_t)snprintf(text, TEXT_SIZE, "%s", words[request->consistency]);
    for (uint32_t index = 0; index < request->token_count; index++) {
        uint8_t mac[PCL_TOKEN_MAC_SIZE];
        pcl_bytes position = request->tokens[index];
        (void)!pcl_token_read(request->tokens[index], mac, &position);
        size += (size_t)snprintf(text + size, TEXT_SIZE - size, " %.*s", (int)position.size,
                                 (const char *)position.data);
    }
    (void)snprintf(text + size, TEXT_SIZE - size, "%s", request->monotonic ? " monotonic" : "");
}

static void s_put_said(pcl_buffer *buffer, const char *text)
{
    pcl_mp_put_text(buffer, "columns");
    pcl_mp_put_array(buffer, 1);
    pcl_mp_put_array(buffer, 3);
    pcl_mp_put_text(buffer, "said");
    pcl_mp_put_text(buffer, "VARCHAR");
    pcl_mp_put_uint(buffer, 1);
    pcl_mp_put_text(buffer, "rows");
    pcl_mp_put_array(buffer, 1);
    pcl_mp_put_array(buffer, 1);
    pcl_mp_put_text(buffer, text);
}

static void s_reply(const pcl_request *request, pcl_buffer *buffer)
{
    char text[TEXT_SIZE];
    char position[TEXT_SIZE];
    char token[PCL_TOKEN_SIZE_MAX + 1];
    bool begin = request->op == PCL_OP_BEGIN;
    (void)snprintf(position, sizeof position, "%.*s",
                   request->sql.size > 3 ? (int)request->sql.size - 3 : 0,
                   request->sql.size > 3 ? (const char *)request->sql.data + 3 : "");
    bool names = request->sql.size > 3 && memcmp(request->sql.data, "at ", 3) == 0;
    const char *brought = names                          ? s_token(position, token)
                          : request->op == PCL_OP_COMMIT ? s_token("0-1-99", token)
                                                         : NULL;
    if (request->sql.size == 5 && memcmp(request->sql.data, "fails", 5) == 0) {
        pcl_reply_error error = {.err = PCL_ERR_BEHIND, .retry = PCL_RETRY_SAFE, .hop = "agent"};
        pcl_reply_error_encode(buffer, request->id, &error);
        return;
    }
    s_say(request, text);
    pcl_reply_open(buffer, request->id, true, 2u + (brought != NULL ? 1u : 0u) + (begin ? 1u : 0u));
    s_put_said(buffer, text);
    if (brought != NULL) {
        pcl_mp_put_text(buffer, "token");
        pcl_mp_put_text(buffer, brought);
    }
    if (begin) {
        pcl_mp_put_text(buffer, "session");
        pcl_mp_put_bin(buffer, pcl_bytes_of("sixteen octets..", PCL_ID_SIZE));
    }
}

/* false: nothing waits. */
static bool s_answer(void)
{
    packed_message message;
    if (!packed_recv(s_gate.socket, ZMQ_DONTWAIT, &message)) {
        return false;
    }
    pcl_request request;
    pcl_fault fault;
    pcl_err err = pcl_request_decode(&request, message.packed.payload, &fault, NULL, NULL);
    assert_int_equal(err, PCL_ERR_OK);
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, PCL_REPLY_SIZE_MAX);
    s_reply(&request, &buffer);
    packed_send(s_gate.socket, zmq_msg_data(&message.peer), zmq_msg_size(&message.peer),
                message.packed.tag, pcl_bytes_of(NULL, 0), pcl_buffer_bytes(&buffer));
    packed_close(&message);
    pcl_buffer_release(&buffer);
    return true;
}

static void *s_run(void *argument)
{
    (void)argument;
    while (!atomic_load(&s_gate.stop)) {
        zmq_pollitem_t item = {.socket = s_gate.socket, .events = ZMQ_POLLIN};
        (void)zmq_poll(&item, 1, 10);
        while (s_answer()) {
        }
    }
    return NULL;
}

static int s_setup(void **state)
{
    (void)state;
    int none = 0;
    size_t size = sizeof s_gate.endpoint;
    s_gate.context = zmq_ctx_new();
    s_gate.socket = zmq_socket(s_gate.context, ZMQ_ROUTER);
    (void)zmq_setsockopt(s_gate.socket, ZMQ_LINGER, &none, sizeof none);
    (void)zmq_bind(s_gate.socket, "tcp://127.0.0.1:*");
    (void)zmq_getsockopt(s_gate.socket, ZMQ_LAST_ENDPOINT, s_gate.endpoint, &size);
    return pthread_create(&s_gate.thread, NULL, s_run, NULL);
}

static int s_teardown(void **state)
{
    (void)state;
    atomic_store(&s_gate.stop, true);
    (void)pthread_join(s_gate.thread, NULL);
    packed_forget(s_gate.socket);
    (void)zmq_close(s_gate.socket);
    (void)zmq_ctx_term(s_gate.context);
    return 0;
}

/* ---- helpers ----------------------------------------------------------------------------- */

static portcullis *s_open(bool causal)
{
    char error[256];
    portcullis_gatekeeper gatekeeper = {.endpoint = s_gate.endpoint};
    portcullis_options options = {
        .gatekeepers = &gatekeeper, .gatekeeper_count = 1, .insecure = true, .causal = causal};
    portcullis *client = portcullis_open_options(&options, error, sizeof error);
    if (client == NULL) {
        fail_msg("%s", error);
    }
    return client;
}

/* The result must be OK, and is destroyed. */
static void s_expect(portcullis_result *result, const char *text)
{
    assert_int_equal(portcullis_result_code(result), PORTCULLIS_OK);
    assert_true(portcullis_result_next(result));
    const portcullis_value *said = portcullis_result_value(result, 0);
    char copy[TEXT_SIZE];
    (void)snprintf(copy, sizeof copy, "%.*s", (int)said->size, said->data);
    assert_string_equal(copy, text);
    portcullis_result_destroy(&result);
}

static void s_ask(portcullis *client, const char *sql, const char *text)
{
    portcullis_request *request = portcullis_request_new(sql);
    s_expect(portcullis_call(client, request), text);
    portcullis_request_destroy(&request);
}

/* ---- tests ------------------------------------------------------------------------------- */

static void each_request_names_what_came_before(void **state)
{
    (void)state;
    portcullis *client = s_open(true);
    s_ask(client, "at 0-1-42", "any monotonic");
    s_ask(client, "at 0-1-43", "after 0-1-42 monotonic");
    s_ask(client, "at 0-1-41", "after 0-1-43 monotonic");
    s_ask(client, "at 0-1-44", "after 0-1-43 monotonic");
    portcullis_request *request = portcullis_request_new("fails");
    portcullis_result *result = portcullis_call(client, request);
    assert_int_equal(portcullis_result_code(result), PORTCULLIS_BEHIND);
    assert_int_equal(portcullis_result_retry(result), PORTCULLIS_RETRY_SAFE);
    portcullis_result_destroy(&result);
    portcullis_request_destroy(&request);
    s_ask(client, "at 0-1-44", "after 0-1-44 monotonic");
    portcullis_close(&client);
}

static void a_plain_client_names_nothing(void **state)
{
    (void)state;
    portcullis *client = s_open(false);
    char tokens[PORTCULLIS_TOKENS_SIZE];
    char token[PCL_TOKEN_SIZE_MAX + 1];
    s_ask(client, "at 0-1-42", "any");
    s_ask(client, "at 0-1-43", "any");
    portcullis_tokens(client, tokens);
    assert_string_equal(tokens, "");
    assert_false(portcullis_add_tokens(client, s_token("0-1-42", token)));
    portcullis_close(&client);
}

static void what_a_request_asks_itself_is_kept(void **state)
{
    (void)state;
    portcullis *client = s_open(true);
    s_ask(client, "at 0-1-42", "any monotonic");
    portcullis_request *request = portcullis_request_new("at 0-1-42");
    char token[PCL_TOKEN_SIZE_MAX + 1];
    portcullis_request_set_consistency_any(request);
    s_expect(portcullis_call(client, request), "any");
    portcullis_request_set_consistency_source(request);
    s_expect(portcullis_call(client, request), "source monotonic");
    portcullis_request_set_consistency_max_lag(request, 7);
    s_expect(portcullis_call(client, request), "max-lag monotonic");
    (void)s_token("1-1-7", token);
    assert_true(portcullis_request_set_consistency_after(request, token, strlen(token)));
    s_expect(portcullis_call(client, request), "after 1-1-7 0-1-42 monotonic");
    portcullis_request_set_consistency_default(request);
    s_expect(portcullis_call(client, request), "after 0-1-42 monotonic");
    portcullis_request_destroy(&request);
    portcullis_close(&client);
}

static void a_plain_client_can_carry_tokens_itself(void **state)
{
    (void)state;
    portcullis *client = s_open(false);
    portcullis_request *request = portcullis_request_new("at 0-1-42");
    portcullis_request_set_monotonic(request, true);
    portcullis_result *result = portcullis_call(client, request);
    size_t size = 0;
    const char *token = portcullis_result_token(result, &size);
    assert_true(portcullis_request_set_consistency_after(request, token, size));
    s_expect(result, "any monotonic");
    s_expect(portcullis_call(client, request), "after 0-1-42 monotonic");
    portcullis_request_set_monotonic(request, false);
    s_expect(portcullis_call(client, request), "after 0-1-42");
    assert_false(portcullis_request_set_consistency_after(request, "", 0));
    assert_false(portcullis_request_set_consistency_after(request, " ", 1));
    assert_false(portcullis_request_set_consistency_after(request, "a\x01", 2));
    s_expect(portcullis_call(client, request), "after 0-1-42");
    portcullis_request_destroy(&request);
    portcullis_close(&client);
}

static void requests_in_flight_together_lose_no_token(void **state)
{
    (void)state;
    portcullis *client = s_open(true);
    portcullis_future *futures[8];
    for (uint32_t index = 0; index < 8; index++) {
        char sql[32];
        (void)snprintf(sql, sizeof sql, "at %u-1-5", index % 4);
        portcullis_request *request = portcullis_request_new(sql);
        futures[index] = portcullis_start(client, request);
        portcullis_request_destroy(&request);
    }
    for (uint32_t index = 0; index < 8; index++) {
        portcullis_result *result = portcullis_future_wait(&futures[index], 5000);
        assert_non_null(result);
        assert_int_equal(portcullis_result_code(result), PORTCULLIS_OK);
        portcullis_result_destroy(&result);
    }
    s_ask(client, "at 0-1-6,1-1-5,2-1-5,3-1-5", "after 0-1-5 1-1-5 2-1-5 3-1-5 monotonic");
    s_ask(client, "at 0-1-6", "after 0-1-6,1-1-5,2-1-5,3-1-5 monotonic");
    portcullis_close(&client);
}

static void without_a_token_the_source_is_asked(void **state)
{
    (void)state;
    portcullis *client = s_open(true);
    s_ask(client, "at 0-1-42", "any monotonic");
    s_ask(client, "none", "after 0-1-42 monotonic");
    portcullis_request *lagging = portcullis_request_new("at 0-1-43");
    portcullis_request_set_consistency_max_lag(lagging, 7); /* its token proves nothing here */
    s_expect(portcullis_call(client, lagging), "max-lag monotonic");
    portcullis_request_destroy(&lagging);
    s_ask(client, "none", "source monotonic");
    s_ask(client, "at 0-1-50", "source monotonic");
    s_ask(client, "at 0-1-50", "after 0-1-50 monotonic");
    portcullis_close(&client);
}

static void tokens_go_from_client_to_client(void **state)
{
    (void)state;
    portcullis *one = s_open(true);
    portcullis *other = s_open(true);
    char tokens[PORTCULLIS_TOKENS_SIZE];
    s_ask(one, "at 0-1-42", "any monotonic");
    s_ask(other, "at 1-1-7", "any monotonic");
    portcullis_tokens(one, tokens);
    assert_true(portcullis_add_tokens(other, tokens));
    s_ask(other, "at 0-1-42,1-1-7", "after 1-1-7 0-1-42 monotonic");
    assert_false(portcullis_add_tokens(other, "no\ttoken\x02"));
    portcullis_forget_tokens(other);
    s_ask(other, "at 0-1-1", "any monotonic");
    portcullis_close(&one);
    portcullis_close(&other);
}

static void a_session_and_its_commit_are_seen_afterwards(void **state)
{
    (void)state;
    portcullis *client = s_open(true);
    s_ask(client, "at 0-1-42", "any monotonic");
    portcullis_request *begin = portcullis_request_new_begin(false);
    portcullis_result *result = NULL;
    portcullis_session *session = portcullis_session_begin(client, begin, &result);
    assert_non_null(session);
    s_expect(result, "after 0-1-42 monotonic");
    portcullis_request *request = portcullis_request_new("at 0-1-60");
    s_expect(portcullis_session_call(session, request), "any"); /* it is where it is */
    s_ask(client, "at 0-1-60", "after 0-1-60 monotonic");
    s_expect(portcullis_session_commit(session), "any");
    s_ask(client, "at 0-1-99", "after 0-1-99 monotonic");
    portcullis_request_destroy(&request);
    portcullis_request_destroy(&begin);
    portcullis_session_destroy(&session);
    portcullis_close(&client);
}

static portcullis_session *s_begin(portcullis *client, const portcullis_request *begin,
                                   const char *text)
{
    portcullis_result *result = NULL;
    portcullis_session *session = portcullis_session_begin(client, begin, &result);
    assert_non_null(session);
    s_expect(result, text);
    return session;
}

static void s_ask_session(portcullis_session *session, const char *sql)
{
    portcullis_request *request = portcullis_request_new(sql);
    s_expect(portcullis_session_call(session, request), "any");
    portcullis_request_destroy(&request);
}

static void what_a_session_cannot_name_is_read_at_the_source(void **state)
{
    (void)state;
    portcullis *client = s_open(true);
    s_ask(client, "at 0-1-42", "any monotonic");
    portcullis_request *begin = portcullis_request_new_begin(true);
    portcullis_session *session = s_begin(client, begin, "after 0-1-42 monotonic");
    s_ask(client, "at 0-1-42", "after 0-1-42 monotonic"); /* a begin alone shows nothing */
    s_ask_session(session, "none");
    s_ask_session(session, "at 0-1-43"); /* not of the source's: it proves nothing */
    s_ask(client, "none", "source monotonic");
    s_expect(portcullis_session_rollback(session), "any");
    portcullis_session_destroy(&session);
    session = s_begin(client, begin, "source monotonic");
    s_ask_session(session, "at 0-1-50");
    s_ask(client, "at 0-1-50", "after 0-1-50 monotonic");
    s_expect(portcullis_session_rollback(session), "any"); /* nor does it name anything */
    s_ask(client, "at 0-1-51", "source monotonic");
    portcullis_session_destroy(&session);
    portcullis_request_set_consistency_any(begin); /* who asks for no token misses none */
    session = s_begin(client, begin, "any");
    s_ask_session(session, "none");
    s_ask(client, "at 0-1-51", "after 0-1-51 monotonic");
    portcullis_session_destroy(&session);
    portcullis_request_destroy(&begin);
    portcullis_close(&client);
}

static void a_child_may_not_use_it(void **state)
{
    (void)state;
    portcullis *client = s_open(true);
    s_ask(client, "at 0-1-42", "any monotonic");
    pid_t child = fork();
    if (child == 0) {
        char tokens[PORTCULLIS_TOKENS_SIZE];
        portcullis_tokens(client, tokens);
        portcullis_request *request = portcullis_request_new("SELECT 1");
        portcullis_result *result = portcullis_call(client, request);
        bool refused = portcullis_result_code(result) == PORTCULLIS_UNAVAILABLE;
        portcullis_forget_tokens(client);
        _exit(refused && tokens[0] == '\0' ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    s_ask(client, "at 0-1-43", "after 0-1-42 monotonic");
    portcullis_close(&client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_request_names_what_came_before),
        cmocka_unit_test(a_plain_client_names_nothing),
        cmocka_unit_test(what_a_request_asks_itself_is_kept),
        cmocka_unit_test(a_plain_client_can_carry_tokens_itself),
        cmocka_unit_test(requests_in_flight_together_lose_no_token),
        cmocka_unit_test(without_a_token_the_source_is_asked),
        cmocka_unit_test(tokens_go_from_client_to_client),
        cmocka_unit_test(a_session_and_its_commit_are_seen_afterwards),
        cmocka_unit_test(what_a_session_cannot_name_is_read_at_the_source),
        cmocka_unit_test(a_child_may_not_use_it),
    };
    return cmocka_run_group_tests_name("client_causal", tests, s_setup, s_teardown);
}
