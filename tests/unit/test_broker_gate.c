/* The broker's actor with a policy, seals, a queue and an audit: what passes, what does not, and
 * what is said of it. */
#include "broker/broker.h"
#include "net/seal.h"
#include "sql/classify.h"
#include "wire/mp.h"

#include "tests/lib/key_vault.h"
#include "tests/lib/role_fixture.h"

#include <dirent.h>

#define UP "portcullis_broker_link_up 1"

/* Each test's is static: a failed assertion leaves the test and its actor runs on, with arguments
 * that must stay what they are. */
typedef struct s_scene {
    role_fixture broker;
    fake_hop proxy;
    zsock_t *gatekeeper; /* DEALER, which the test plays */
    pcl_keys own, alice, bob;
    pcl_seal_key seal; /* alice's and the broker's */
    uint64_t sequence;
    char folder[64];
    char zpl[4096];
} s_scene;

static void s_path(const s_scene *self, const char *name, char out_path[128])
{
    (void)snprintf(out_path, 128, "%s/%s", self->folder, name);
}

static void s_write(const s_scene *self, const char *name, const char *text)
{
    char path[128];
    s_path(self, name, path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* role: lines of the role `app`; bob: his line of the principals, or "". */
static void s_write_policy(const s_scene *self, const char *role, const char *others)
{
    char text[2048];
    (void)snprintf(text, sizeof text,
                   "policy\n    version = \"1\"\nroles\n    app\n%s"
                   "principals\n    alice = \"app %s\"\n%s",
                   role, self->alice.public_key, others);
    s_write(self, "policy.cfg", text);
}

static void s_open(s_scene *self, const char *role, const char *more)
{
    static int number = 0;
    char path[128], endpoint[64], proxy[64];
    memset(self, 0, sizeof *self);
    (void)snprintf(self->folder, sizeof self->folder, "/tmp/portcullis-test-XXXXXX");
    assert_non_null(mkdtemp(self->folder));
    pcl_keys_make(&self->own);
    pcl_keys_make(&self->alice);
    pcl_keys_make(&self->bob);
    assert_true(pcl_seal_key_make(&self->seal, true, self->alice.secret_key, self->alice.public_key,
                                  self->own.public_key));
    char error[256];
    s_path(self, "broker.key", path);
    assert_true(pcl_keys_save(&self->own, path, error, sizeof error));
    char bob[128];
    (void)snprintf(bob, sizeof bob, "    bob = \"app %s\"\n", self->bob.public_key);
    s_write_policy(self, role, bob);
    (void)snprintf(proxy, sizeof proxy, "inproc://gate-proxy-%d", number);
    (void)snprintf(endpoint, sizeof endpoint, "inproc://gate-%d", number++);
    (void)snprintf(self->zpl, sizeof self->zpl,
                   "gatekeepers\n    endpoint = \"%s\"\nproxy\n    endpoint = \"%s\"\n"
                   "curve\n    key_file = \"%s\"\npolicy\n    file = \"%s/policy.cfg\"\n%s",
                   endpoint, proxy, path, self->folder, more);
    fake_open(&self->proxy, proxy);
    fixture_start(&self->broker, &pcl_broker_role, self->zpl);
    self->gatekeeper = zsock_new(ZMQ_DEALER);
    zsock_set_linger(self->gatekeeper, 0);
    assert_int_equal(zsock_connect(self->gatekeeper, "%s", endpoint), 0);
    fixture_wait_metric(&self->broker, &self->proxy, UP);
}

static void s_remove_folder(const char *folder)
{
    DIR *all = opendir(folder);
    assert_non_null(all);
    struct dirent *one;
    while ((one = readdir(all)) != NULL) {
        char path[512];
        (void)snprintf(path, sizeof path, "%s/%s", folder, one->d_name);
        (void)unlink(path);
    }
    (void)closedir(all);
    (void)rmdir(folder);
}

static void s_close(s_scene *self)
{
    hop_plain_destroy(&self->gatekeeper);
    fixture_stop(&self->broker);
    fake_close(&self->proxy);
    s_remove_folder(self->folder);
}

/* --- What a gatekeeper says --------------------------------------------------- */

typedef struct s_said {
    const char *principal;
    const char *sql;
    uint8_t id;
    bool sealed;
    pcl_seal seal;      /* only with sealed; 0s are filled in */
    bool broken;        /* an octet of the payload is another than what was sealed */
    uint32_t budget_us; /* 0: 5 s */
    uint8_t session;    /* all octets of it; 0: none */
    bool cancels;       /* op cancel, for what has that id */
    bool commits;       /* op commit, of the session */
    uint8_t closes;     /* op close, of the page of the cursor `session`; 0: not */
} s_said;

/* Returns the seal that it had. */
static pcl_seal s_say(s_scene *self, s_said said)
{
    pcl_buffer request;
    pcl_seal seal = said.seal;
    uint8_t octets[PCL_SEAL_SIZE];
    zmq_msg_t payload, tail;
    bool queries = !said.cancels && !said.commits && said.closes == 0;
    pcl_request asked = {.op = said.cancels       ? PCL_OP_CANCEL
                               : said.commits     ? PCL_OP_COMMIT
                               : said.closes != 0 ? PCL_OP_CLOSE
                                                  : PCL_OP_QUERY,
                         .sql = queries ? pcl_bytes_text(said.sql) : pcl_bytes_of(NULL, 0),
                         .has_id = true,
                         .has_session = said.session != 0 && said.closes == 0,
                         .has_cursor = said.closes != 0};
    memset(asked.id, said.id, sizeof asked.id);
    memset(asked.session, said.session, sizeof asked.session);
    memset(asked.cursor, said.session, sizeof asked.cursor);
    pcl_held_id_set_page(asked.cursor, said.closes);
    pcl_buffer_init(&request, 65536);
    pcl_request_encode(&asked, &request);
    seal.kind = PCL_SEAL_REQUEST;
    seal.time_us = seal.time_us != 0 ? seal.time_us : pcl_wall_us();
    seal.channel = seal.channel != 0 ? seal.channel : 42;
    seal.sequence = seal.sequence != 0 ? seal.sequence : ++self->sequence;
    pcl_seal_write(octets, &seal, pcl_buffer_bytes(&request), &self->seal);
    if (said.broken) {
        uint8_t *last = request.data + request.size - 1;
        *last = (uint8_t)(*last == '1' ? '2' : '1');
    }
    pcl_frame_of_buffer(&payload, &request);
    pcl_frame_copy_of(&tail, pcl_bytes_of(octets, sizeof octets));
    pcl_head head = {
        .ticket = 1000u + said.id,
        .kind = PCL_KIND_REQUEST,
        .op = asked.op,
        .flags = (uint8_t)(said.sealed ? PCL_HEAD_SEALED : 0),
        .budget_us = said.budget_us != 0 ? said.budget_us : 5000000,
        .sent_us = pcl_now_us(),
        .principal = pcl_bytes_text(said.principal),
    };
    memset(head.id, said.id, sizeof head.id);
    pcl_err err = pcl_hop_send(self->gatekeeper, NULL, &head, &payload, said.sealed ? &tail : NULL);
    assert_int_equal(err, PCL_ERR_OK);
    zmq_msg_close(&payload);
    zmq_msg_close(&tail);
    return seal;
}

static void s_ask(s_scene *self, const char *principal, const char *sql, uint8_t id)
{
    (void)s_say(self, (s_said){.principal = principal, .sql = sql, .id = id});
}

static void s_recv(s_scene *self, pcl_hop_message *out_message)
{
    for (uint64_t until_us = pcl_now_us() + FIXTURE_WAIT_MS * 1000;;) {
        fake_turn(&self->proxy);
        pcl_hop_recv_result result = hop_plain_recv(out_message, self->gatekeeper, false);
        if (result == PCL_HOP_MESSAGE) {
            return;
        }
        assert_true(pcl_now_us() < until_us);
        zclock_sleep(1);
    }
}

/* The next reply; text gets an error's message.  seal: NULL, or that it must be sealed for. */
static pcl_err s_reply(s_scene *self, uint8_t id, const pcl_seal *seal, char text[256])
{
    pcl_hop_message message;
    pcl_reply reply;
    s_recv(self, &message);
    assert_int_equal(message.head.kind, PCL_KIND_REPLY);
    assert_int_equal(message.head.id[0], id);
    assert_int_equal((message.head.flags & PCL_HEAD_SEALED) != 0, seal != NULL);
    if (seal != NULL) {
        pcl_seal got;
        assert_null(pcl_seal_read(&got, PCL_SEAL_REPLY, pcl_frame_bytes(&message.tail),
                                  pcl_frame_bytes(&message.payload), &self->seal));
        assert_true(got.channel == seal->channel && got.sequence == seal->sequence);
    } else {
        assert_int_equal(zmq_msg_size(&message.tail), 0);
    }
    text[0] = '\0';
    if (pcl_reply_decode(&reply, pcl_frame_bytes(&message.payload)) == PCL_ERR_OK) {
        (void)snprintf(text, 256, "%.*s", (int)reply.error_message.size,
                       (const char *)reply.error_message.data);
    }
    pcl_err code = message.head.code;
    pcl_hop_close(&message);
    return code;
}

static void s_expect(s_scene *self, uint8_t id, pcl_err code, const pcl_seal *seal,
                     const char *said)
{
    char text[256];
    pcl_err got = s_reply(self, id, seal, text);
    if (got != code || strstr(text, said) == NULL) {
        fail_msg("%s \"%s\" and not %s \"%s\"", pcl_err_code((int)got), text,
                 pcl_err_code((int)code), said);
    }
}

static uint64_t s_count(const s_scene *self, const char *name, const char *rule)
{
    char labels[64];
    (void)snprintf(labels, sizeof labels, "rule=\"%s\"", rule);
    return fixture_counter(&self->broker, name, labels);
}

/* --- Seals --------------------------------------------------------------------- */

static void test_a_seal_is_proved_consumed_and_answered_with_one(void **state)
{
    (void)state;
    static s_scene scene;
    uint64_t began_us = pcl_now_us();
    s_open(&scene, "        seal = \"required\"\n", "");
    s_said good = {.principal = "alice", .sql = "SELECT 1", .id = 1, .sealed = true};
    if (pcl_now_us() - began_us < 700000) { /* else the second after the start may be over */
        (void)s_say(&scene, good);
        s_expect(&scene, 1, PCL_ERR_UNAVAILABLE, NULL, "seal: ");
    }
    fake_turn_ms(&scene.proxy, 1100); /* a link as silent as that is lost */

    pcl_seal seal = s_say(&scene, good);
    fake_wait_held(&scene.proxy, 1);
    assert_int_equal(scene.proxy.held[0].head.flags & PCL_HEAD_SEALED, 0);
    assert_int_equal(zmq_msg_size(&scene.proxy.held[0].tail), 0); /* the agent needs it not */
    good.seal = seal;
    (void)s_say(&scene, good); /* once more, while the first runs: told without a seal */
    s_expect(&scene, 1, PCL_ERR_FORBIDDEN, NULL, "seal: was there before");
    fake_reply(&scene.proxy, 0, PCL_ERR_OK, "the answer");
    s_expect(&scene, 1, PCL_ERR_OK, &seal, "");
    (void)s_say(&scene, good); /* and after it */
    s_expect(&scene, 1, PCL_ERR_FORBIDDEN, NULL, "seal: was there before");

    s_said bad = {.principal = "alice", .sql = "SELECT 1", .id = 2, .sealed = true};
    bad.broken = true;
    (void)s_say(&scene, bad);
    s_expect(&scene, 2, PCL_ERR_FORBIDDEN, NULL, "seal: does not fit");
    bad.broken = false;
    bad.principal = "bob"; /* alice's seal under his name */
    (void)s_say(&scene, bad);
    s_expect(&scene, 2, PCL_ERR_FORBIDDEN, NULL, "seal: does not fit");
    bad.principal = "alice";
    bad.seal.time_us = pcl_wall_us() - 31000000;
    (void)s_say(&scene, bad);
    s_expect(&scene, 2, PCL_ERR_FORBIDDEN, NULL, "seal: is over 30 s old");
    bad.sealed = false;
    (void)s_say(&scene, bad);
    s_expect(&scene, 2, PCL_ERR_FORBIDDEN, NULL, "seal");
    assert_true(s_count(&scene, "portcullis_broker_refusals_total", "seal") >= 6);

    /* What is refused after the seal was found good is sealed, too. */
    s_said refused = {.principal = "alice", .sql = "FLUSH TABLES", .id = 3, .sealed = true};
    seal = s_say(&scene, refused);
    s_expect(&scene, 3, PCL_ERR_FORBIDDEN, &seal, "admin");
    refused.seal = seal;
    refused.sql = "SELECT 1"; /* its numbers are used up */
    (void)s_say(&scene, refused);
    s_expect(&scene, 3, PCL_ERR_FORBIDDEN, NULL, "seal: was there before");
    s_said lost = {.principal = "alice", .sql = "SELECT 1", .id = 4, .sealed = true};
    seal = s_say(&scene, lost);
    fake_wait_held(&scene.proxy, 1);
    scene.proxy.boot_id = 99;
    s_expect(&scene, 4, PCL_ERR_LOST, &seal, "gone");
    s_said late = {.principal = "alice", .sql = "SELECT 1", .id = 5, .sealed = true};
    late.budget_us = 50000;
    seal = s_say(&scene, late);
    s_expect(&scene, 5, PCL_ERR_DEADLINE, &seal, "deadline");
    s_close(&scene);
}

/* --- The policy ------------------------------------------------------------------ */

static void test_the_role_says_what_goes_on_and_how(void **state)
{
    (void)state;
    static s_scene scene;
    s_open(&scene,
           "        accounts = \"reports\"\n        classes = \"read\"\n"
           "        rows_max = \"77\"\n        timeout_ms_max = \"300\"\n",
           "");
    s_ask(&scene, "alice", "SELECT 1", 1);
    fake_wait_held(&scene.proxy, 1);
    const pcl_head *seen = &scene.proxy.held[0].head;
    assert_true(pcl_bytes_is(seen->role, "reports"));
    assert_true(pcl_bytes_is(seen->principal, "alice"));
    assert_int_equal(seen->rows, 77);
    assert_in_range(seen->budget_us, 100000, 300000);
    s_ask(&scene, "alice", "DELETE FROM t", 2);
    s_expect(&scene, 2, PCL_ERR_FORBIDDEN, NULL, "write");
    s_ask(&scene, "mallory", "SELECT 1", 3);
    s_expect(&scene, 3, PCL_ERR_FORBIDDEN, NULL, "principal: ");
    assert_int_equal(s_count(&scene, "portcullis_broker_refusals_total", "class"), 1);
    assert_int_equal(s_count(&scene, "portcullis_broker_refusals_total", "principal"), 1);
    s_close(&scene);
}

static void test_rate_and_concurrency_are_answered_at_once(void **state)
{
    (void)state;
    static s_scene scene;
    s_open(&scene, "        rate = \"1\"\n        burst = \"3\"\n        concurrency_max = \"2\"\n",
           "");
    s_ask(&scene, "alice", "SELECT 1", 1);
    s_ask(&scene, "alice", "SELECT 1", 2);
    s_ask(&scene, "alice", "SELECT 1", 3);
    s_expect(&scene, 3, PCL_ERR_OVERLOADED, NULL, "concurrency: ");
    s_ask(&scene, "bob", "SELECT 1", 4); /* each has his own */
    fake_wait_held(&scene.proxy, 3);
    fake_reply(&scene.proxy, 0, PCL_ERR_OK, "x");
    s_expect(&scene, 1, PCL_ERR_OK, NULL, "");
    s_ask(&scene, "alice", "SELECT 1", 5);
    fake_wait_held(&scene.proxy, 3);
    fake_reply(&scene.proxy, 0, PCL_ERR_OK, "x");
    s_expect(&scene, 2, PCL_ERR_OK, NULL, "");
    s_ask(&scene, "alice", "SELECT 1", 6);
    s_expect(&scene, 6, PCL_ERR_OVERLOADED, NULL, "rate: ");
    /* A policy that is read anew gives nobody a full measure. */
    fixture_reload(&scene.broker, &pcl_broker_role, scene.zpl);
    s_ask(&scene, "alice", "SELECT 1", 7);
    s_expect(&scene, 7, PCL_ERR_OVERLOADED, NULL, "rate: ");
    s_close(&scene);
}

/* Who has used up the one may still have the other; nobody sends any number of cancels. */
static void test_cancels_have_a_rate_of_their_own(void **state)
{
    (void)state;
    static s_scene scene;
    s_open(&scene, "        rate = \"1\"\n        burst = \"2\"\n", "");
    for (uint32_t count = 0; count < 20; count++) {
        (void)s_say(&scene, (s_said){.principal = "alice", .id = 11, .cancels = true});
    }
    s_expect(&scene, 11, PCL_ERR_OVERLOADED, NULL, "rate: ");
    (void)s_say(&scene, (s_said){.principal = "bob", .id = 12, .cancels = true});
    s_ask(&scene, "alice", "SELECT 1", 13);
    uint8_t last = 0;
    for (uint32_t index = 0; last != 13; index++) {
        fake_wait_held(&scene.proxy, index + 1);
        assert_true(index >= 2 || scene.proxy.held[index].head.op == PCL_OP_CANCEL);
        assert_true(last != 12 || scene.proxy.held[index].head.id[0] != 12);
        last = scene.proxy.held[index].head.id[0];
    }
    s_close(&scene);
}

static void test_a_rule_on_trial_refuses_nothing_and_is_counted(void **state)
{
    (void)state;
    static s_scene scene;
    s_open(&scene, "        classes = \"read\"\n        dry_run = \"class\"\n", "");
    s_ask(&scene, "alice", "DELETE FROM t", 1);
    fake_wait_held(&scene.proxy, 1);
    assert_int_equal(s_count(&scene, "portcullis_broker_dry_runs_total", "class"), 1);
    assert_int_equal(s_count(&scene, "portcullis_broker_refusals_total", "class"), 0);
    s_close(&scene);
}

/* It is taken out while it has a request in flight and holds a session. */
static void test_who_is_taken_out_is_stopped_and_keeps_nothing(void **state)
{
    (void)state;
    static s_scene scene;
    s_open(&scene, "", "");
    s_ask(&scene, "bob", "SELECT 1", 1);
    fake_wait_held(&scene.proxy, 1);
    fake_reply_with(&scene.proxy, 0, PCL_ERR_OK, "x", PCL_HEAD_HELD, 0x33);
    s_expect(&scene, 1, PCL_ERR_OK, NULL, "");
    s_ask(&scene, "bob", "SELECT 1", 2);
    s_ask(&scene, "alice", "SELECT 1", 3);
    fake_wait_held(&scene.proxy, 2);
    s_write_policy(&scene, "", "");
    fixture_reload(&scene.broker, &pcl_broker_role, scene.zpl);
    fake_wait_hints(&scene.proxy, 2);
    fake_turn_ms(&scene.proxy, 30);
    assert_int_equal(scene.proxy.hint_count, 2);
    assert_int_equal(scene.proxy.hints[0].kind, PCL_KIND_CANCEL);
    assert_int_equal(scene.proxy.hints[0].id[0], 2);
    assert_int_equal(scene.proxy.hints[1].kind, PCL_KIND_RELEASE);
    assert_int_equal(scene.proxy.hints[1].session[0], 0x33);
    assert_string_equal(scene.proxy.hints[1].principal, "bob");
    s_ask(&scene, "bob", "SELECT 1", 4);
    s_expect(&scene, 4, PCL_ERR_FORBIDDEN, NULL, "principal: ");
    /* What it opens with its last reply is ended at once. */
    fake_reply_with(&scene.proxy, 0, PCL_ERR_OK, "x", PCL_HEAD_HELD, 0x44);
    fake_wait_hints(&scene.proxy, 3);
    assert_int_equal(scene.proxy.hints[2].kind, PCL_KIND_RELEASE);
    assert_int_equal(scene.proxy.hints[2].session[0], 0x44);
    s_close(&scene);
}

static void test_another_key_is_another_principal(void **state)
{
    (void)state;
    static s_scene scene;
    char line[128];
    s_open(&scene, "", "");
    s_ask(&scene, "bob", "SELECT 1", 1);
    fake_wait_held(&scene.proxy, 1);
    (void)snprintf(line, sizeof line, "    bob = \"app %s\"\n", scene.own.public_key);
    s_write_policy(&scene, "", line);
    fixture_reload(&scene.broker, &pcl_broker_role, scene.zpl);
    fake_wait_hints(&scene.proxy, 1);
    assert_int_equal(scene.proxy.hints[0].kind, PCL_KIND_CANCEL);
    s_ask(&scene, "bob", "SELECT 1", 2); /* the new one */
    fake_wait_held(&scene.proxy, 2);
    s_close(&scene);
}

/* --- The queue ------------------------------------------------------------------- */

/* Bob has one below at once, whatever alice has; his second is next but one at the latest. */
static void test_what_waits_goes_on_in_fair_order(void **state)
{
    (void)state;
    static s_scene scene;
    s_open(&scene, "", "queue\n    window_min = 1\n    window_max = 3\n");
    for (uint8_t id = 1; id <= 6; id++) {
        s_ask(&scene, "alice", "SELECT 1", id);
    }
    fake_wait_held(&scene.proxy, 3);
    s_ask(&scene, "bob", "SELECT 1", 7);
    fake_wait_held(&scene.proxy, 4);
    assert_int_equal(scene.proxy.held[3].head.id[0], 7);
    s_ask(&scene, "bob", "SELECT 1", 9);
    s_ask(&scene, "alice", "DELETE FROM t", 8); /* a lane of its own */
    fake_wait_held(&scene.proxy, 5);
    fake_turn_ms(&scene.proxy, 30);
    assert_int_equal(scene.proxy.held_count, 5);
    assert_int_equal(scene.proxy.held[4].head.id[0], 8);
    fake_reply(&scene.proxy, 0, PCL_ERR_OK, "x"); /* three reads are below: no room yet */
    fake_reply(&scene.proxy, 0, PCL_ERR_OK, "x"); /* alice and bob have one each, and one goes */
    fake_wait_held(&scene.proxy, 4);
    if (scene.proxy.held[3].head.id[0] != 9) {
        fake_reply(&scene.proxy, 3, PCL_ERR_OK, "x");
        fake_wait_held(&scene.proxy, 4);
    }
    assert_int_equal(scene.proxy.held[3].head.id[0], 9);
    s_close(&scene);
}

/* His only request below comes back: the next one of his goes, though alice's fill the window. */
static void test_everybody_may_have_one_below(void **state)
{
    (void)state;
    static s_scene scene;
    s_open(&scene, "", "queue\n    window_min = 1\n    window_max = 1\n    target_ms = 10000\n");
    s_ask(&scene, "alice", "SELECT 1", 1);
    s_ask(&scene, "alice", "SELECT 1", 2);
    s_ask(&scene, "bob", "SELECT 1", 3);
    s_ask(&scene, "bob", "SELECT 1", 4);
    fake_wait_held(&scene.proxy, 2);
    fake_turn_ms(&scene.proxy, 30);
    assert_int_equal(scene.proxy.held_count, 2);
    assert_int_equal(scene.proxy.held[1].head.id[0], 3);
    fake_reply(&scene.proxy, 1, PCL_ERR_OK, "x");
    s_expect(&scene, 3, PCL_ERR_OK, NULL, "");
    fake_wait_held(&scene.proxy, 2);
    assert_int_equal(scene.proxy.held[1].head.id[0], 4);
    s_close(&scene);
}

/* In the queue it can be cancelled, runs out of time and stays within its bound: nothing ran. */
static void test_what_waits_is_answered_whatever_becomes_of_it(void **state)
{
    (void)state;
    static s_scene scene;
    s_open(&scene, "",
           "queue\n    window_min = 1\n    window_max = 1\n    requests_max = 3\n"
           "    target_ms = 10000\n");
    s_ask(&scene, "alice", "SELECT 1", 1);
    s_ask(&scene, "bob", "SELECT 1", 9);
    fake_wait_held(&scene.proxy, 2);
    s_ask(&scene, "alice", "SELECT 1", 2);
    (void)s_say(&scene,
                (s_said){.principal = "bob", .sql = "SELECT 1", .id = 3, .budget_us = 50000});
    s_ask(&scene, "bob", "SELECT 1", 4);
    s_ask(&scene, "bob", "SELECT 1", 5);
    s_expect(&scene, 5, PCL_ERR_OVERLOADED, NULL, "queue is full");
    s_expect(&scene, 3, PCL_ERR_DEADLINE, NULL, "before the broker handed it on");
    pcl_head cancel = {.kind = PCL_KIND_CANCEL, .ticket = 1002, .sent_us = pcl_now_us()};
    memset(cancel.id, 2, sizeof cancel.id);
    assert_int_equal(pcl_hop_send(scene.gatekeeper, NULL, &cancel, NULL, NULL), PCL_ERR_OK);
    s_expect(&scene, 2, PCL_ERR_CANCELLED, NULL, "");
    assert_int_equal(scene.proxy.hint_count, 0);
    scene.proxy.boot_id = 99; /* the link is lost: what ran is lost, what waited never ran */
    pcl_hop_message message;
    for (int count = 0; count < 3; count++) {
        s_recv(&scene, &message);
        bool ran = message.head.id[0] != 4;
        assert_int_equal(message.head.code, ran ? PCL_ERR_LOST : PCL_ERR_UNAVAILABLE);
        assert_int_equal(message.head.retry, PCL_RETRY_SAFE);
        pcl_hop_close(&message);
    }
    fixture_wait_metric(&scene.broker, &scene.proxy, "portcullis_broker_requests_in_flight 0");
    s_close(&scene);
}

static void test_op_cancel_stops_what_waits_here(void **state)
{
    (void)state;
    static s_scene scene;
    s_open(&scene, "", "queue\n    window_min = 1\n    window_max = 1\n    target_ms = 10000\n");
    s_ask(&scene, "alice", "SELECT 1", 1);
    s_ask(&scene, "bob", "SELECT 1", 3);
    fake_wait_held(&scene.proxy, 2);
    s_ask(&scene, "alice", "SELECT 1", 2);
    s_ask(&scene, "bob", "SELECT 1", 2); /* the same id, of another */
    (void)s_say(&scene, (s_said){.principal = "alice", .id = 2, .cancels = true});
    s_expect(&scene, 2, PCL_ERR_CANCELLED, NULL, "");
    fake_wait_held(&scene.proxy, 3); /* it goes on: there may be more of it below */
    assert_int_equal(scene.proxy.held[2].head.op, PCL_OP_CANCEL);
    pcl_buffer below;
    pcl_buffer_init(&below, 256);
    pcl_reply_open(&below, scene.proxy.held[2].head.id, true, 1);
    pcl_mp_put_text(&below, "affected");
    pcl_mp_put_uint(&below, 3);
    pcl_buffer_put_u8(&below, 0);
    fake_reply(&scene.proxy, 2, PCL_ERR_OK, (const char *)below.data);
    pcl_buffer_release(&below);
    pcl_hop_message message;
    pcl_reply reply;
    s_recv(&scene, &message);
    assert_int_equal(pcl_reply_decode(&reply, pcl_frame_bytes(&message.payload)), PCL_ERR_OK);
    assert_true(reply.has_affected && reply.affected == 4);
    pcl_hop_close(&message);
    fake_reply(&scene.proxy, 1, PCL_ERR_OK, "x");
    s_expect(&scene, 3, PCL_ERR_OK, NULL, "");
    fake_wait_held(&scene.proxy, 2);
    assert_int_equal(scene.proxy.held[1].head.id[0], 2); /* bob's */
    s_close(&scene);
}

static void test_a_line_that_stands_is_told_to_come_again(void **state)
{
    (void)state;
    static s_scene scene;
    s_open(&scene, "",
           "queue\n    window_min = 1\n    window_max = 1\n    target_ms = 10\n"
           "    interval_ms = 40\n");
    s_ask(&scene, "alice", "SELECT 1", 1);
    fake_wait_held(&scene.proxy, 1);
    s_ask(&scene, "alice", "SELECT 1", 2);
    s_expect(&scene, 2, PCL_ERR_OVERLOADED, NULL, "more was asked for");
    s_close(&scene);
}

/* --- The audit ------------------------------------------------------------------- */

/* The newest file's text, of which the test has to make room for size octets. */
static void s_read_audit(const s_scene *self, char *text, size_t size)
{
    char folder[128];
    s_path(self, "audit", folder);
    DIR *all = opendir(folder);
    assert_non_null(all);
    struct dirent *one;
    text[0] = '\0';
    while ((one = readdir(all)) != NULL) {
        char path[512];
        (void)snprintf(path, sizeof path, "%s/%s", folder, one->d_name);
        FILE *file = one->d_name[0] != '.' ? fopen(path, "r") : NULL;
        if (file != NULL) {
            size_t used = strlen(text);
            size_t count = fread(text + used, 1, size - 1 - used, file);
            text[used + count] = '\0';
            (void)fclose(file);
        }
    }
    (void)closedir(all);
}

static void test_a_write_is_in_the_audit_before_it_goes_on(void **state)
{
    (void)state;
    static char text[262144];
    static s_scene scene;
    char folder[128], more[256];
    char made[] = "/tmp/portcullis-test-XXXXXX";
    assert_non_null(mkdtemp(made));
    (void)snprintf(more, sizeof more, "audit\n    folder = \"%s\"\n", made);
    s_open(&scene, "", more);
    s_path(&scene, "audit", folder);
    assert_int_equal(symlink(made, folder), 0);

    s_ask(&scene, "alice", "DELETE FROM t WHERE a = 4711471147114711", 1);
    fake_wait_held(&scene.proxy, 1);
    s_read_audit(&scene, text, sizeof text);
    assert_non_null(strstr(text, "kind=start id=01010101010101010101010101010101 principal=alice"));
    assert_null(strstr(text, "kind=end"));
    fake_reply(&scene.proxy, 0, PCL_ERR_SQL, "x");
    s_expect(&scene, 1, PCL_ERR_SQL, NULL, "");
    s_ask(&scene, "bob", "SELECT 4712471247124712", 2);
    fake_wait_held(&scene.proxy, 1);
    fake_reply(&scene.proxy, 0, PCL_ERR_OK, "x");
    s_expect(&scene, 2, PCL_ERR_OK, NULL, "");
    s_ask(&scene, "bob", "FLUSH TABLES", 3);
    s_expect(&scene, 3, PCL_ERR_FORBIDDEN, NULL, "admin");
    hop_plain_destroy(&scene.gatekeeper);
    fixture_stop(&scene.broker); /* writes what waits */
    s_read_audit(&scene, text, sizeof text);
    assert_non_null(strstr(text, "kind=end id=01010101010101010101010101010101"));
    assert_non_null(strstr(text, "code=SQL"));
    assert_non_null(strstr(text, "kind=done id=02020202020202020202020202020202 principal=bob"));
    assert_non_null(strstr(text, "rule=class"));
    assert_null(strstr(text, "4711471147114711")); /* no literal; no hash has it by chance */
    assert_null(strstr(text, "4712471247124712"));
    fake_close(&scene.proxy);
    s_remove_folder(made);
    s_remove_folder(scene.folder);
}

/* Whatever its rate says, a principal may end what it has, by the id of any page. */
static void test_what_ends_something_is_not_counted(void **state)
{
    (void)state;
    static s_scene scene;
    s_open(&scene, "        rate = \"1\"\n        burst = \"1\"\n", "");
    s_ask(&scene, "alice", "SELECT 1", 1);
    fake_wait_held(&scene.proxy, 1);
    fake_reply_with(&scene.proxy, 0, PCL_ERR_OK, "x", PCL_HEAD_HELD, 0x33);
    s_expect(&scene, 1, PCL_ERR_OK, NULL, "");
    s_said close = {.principal = "alice", .id = 2, .session = 0x33, .closes = 7};
    (void)s_say(&scene, close);
    fake_wait_held(&scene.proxy, 1);
    fake_reply_with(&scene.proxy, 0, PCL_ERR_OK, "x", PCL_HEAD_RELEASED, 0x33);
    s_expect(&scene, 2, PCL_ERR_OK, NULL, "");
    (void)s_say(&scene, close); /* once more it ends nothing */
    s_expect(&scene, 2, PCL_ERR_OVERLOADED, NULL, "rate: ");
    s_close(&scene);
}

/* Nobody's rate bounds what it refuses, nor what is not counted: neither may fill the files. */
static void test_a_flood_does_not_wash_the_rest_out_of_the_audit(void **state)
{
    (void)state;
    enum { ROUNDS = 20, EACH = 50, LINES_MAX = 2 * 200 + 100 /* over the edge of a second */ };
    static char text[1024 * 1024];
    static s_scene scene;
    char folder[128], more[256];
    char made[] = "/tmp/portcullis-test-XXXXXX";
    assert_non_null(mkdtemp(made));
    (void)snprintf(more, sizeof more, "audit\n    folder = \"%s\"\n", made);
    s_open(&scene, "        rate = \"1\"\n        burst = \"1\"\n", more);
    s_path(&scene, "audit", folder);
    assert_int_equal(symlink(made, folder), 0);
    s_ask(&scene, "alice", "SELECT 1", 1);
    fake_wait_held(&scene.proxy, 1);
    uint64_t from_us = pcl_now_us();
    /* Sessions that it has not; a second later the rate would let one through. */
    for (int round = 0; round < ROUNDS && pcl_now_us() - from_us < 800000; round++) {
        for (uint8_t session = 1; session <= EACH; session++) {
            (void)s_say(
                &scene,
                (s_said){.principal = "alice", .id = 2, .session = session, .commits = true});
        }
        for (int reply = 0; reply < EACH; reply++) {
            s_expect(&scene, 2, PCL_ERR_OVERLOADED, NULL, "rate: ");
        }
    }
    hop_plain_destroy(&scene.gatekeeper);
    fixture_stop(&scene.broker);
    s_read_audit(&scene, text, sizeof text);
    assert_null(strstr(text, "kind=start"));
    assert_non_null(strstr(text, "op=commit class=transaction"));
    assert_non_null(strstr(text, "rule=rate"));
    int lines = 0;
    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++) {
        lines++;
    }
    assert_in_range(lines, 1, LINES_MAX);
    fake_close(&scene.proxy);
    s_remove_folder(made);
    s_remove_folder(scene.folder);
}

/* A write of a session waits for its line; what follows it in that session waits, too. */
static void s_keep_order(const char *sync)
{
    enum { ROUNDS = 40, EACH = 12 };
    static s_scene scene;
    char more[256];
    char made[] = "/tmp/portcullis-test-XXXXXX";
    assert_non_null(mkdtemp(made));
    (void)snprintf(more, sizeof more, "audit\n    folder = \"%s\"\n    sync = %s\n", made, sync);
    s_open(&scene, "", more);
    for (int round = 0; round < ROUNDS; round++) {
        for (uint8_t id = 1; id <= EACH; id++) {
            (void)s_say(&scene, (s_said){.principal = "alice",
                                         .sql = id % 2 == 1 ? "DELETE FROM t" : "SELECT 1",
                                         .id = id,
                                         .session = 0x55});
        }
        fake_wait_held(&scene.proxy, EACH);
        for (uint8_t id = 1; id <= EACH; id++) {
            assert_int_equal(scene.proxy.held[0].head.id[0], id);
            fake_reply(&scene.proxy, 0, PCL_ERR_OK, "x");
            s_expect(&scene, id, PCL_ERR_OK, NULL, "");
        }
    }
    s_close(&scene);
    s_remove_folder(made);
}

static void test_nothing_overtakes_a_write_of_its_session(void **state)
{
    (void)state;
    s_keep_order("each");
    s_keep_order("batch");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_seal_is_proved_consumed_and_answered_with_one),
        cmocka_unit_test(test_the_role_says_what_goes_on_and_how),
        cmocka_unit_test(test_rate_and_concurrency_are_answered_at_once),
        cmocka_unit_test(test_cancels_have_a_rate_of_their_own),
        cmocka_unit_test(test_a_rule_on_trial_refuses_nothing_and_is_counted),
        cmocka_unit_test(test_who_is_taken_out_is_stopped_and_keeps_nothing),
        cmocka_unit_test(test_another_key_is_another_principal),
        cmocka_unit_test(test_what_waits_goes_on_in_fair_order),
        cmocka_unit_test(test_everybody_may_have_one_below),
        cmocka_unit_test(test_what_waits_is_answered_whatever_becomes_of_it),
        cmocka_unit_test(test_op_cancel_stops_what_waits_here),
        cmocka_unit_test(test_a_line_that_stands_is_told_to_come_again),
        cmocka_unit_test(test_a_write_is_in_the_audit_before_it_goes_on),
        cmocka_unit_test(test_what_ends_something_is_not_counted),
        cmocka_unit_test(test_a_flood_does_not_wash_the_rest_out_of_the_audit),
        cmocka_unit_test(test_nothing_overtakes_a_write_of_its_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
