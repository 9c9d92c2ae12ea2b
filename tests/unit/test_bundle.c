#include "client/bundle.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#define KEY_A "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
#define KEY_B "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6"

#define HEAD  "bundle\n    version = \"1\"\n    principal = \"app\"\n"
#define GATE  "gatekeeper\n    endpoint = \"tcp://127.0.0.1:550\"\n    public-key = \"" KEY_A "\"\n"
#define CURVE "curve\n    public-key = \"" KEY_A "\"\n    secret-key = \"" KEY_B "\"\n"

static void a_bundle_is_read(void **state)
{
    (void)state;
    static const char text[] = "# made by hand\n" HEAD "\n" GATE
                               "gatekeeper # a second one\n    endpoint = ipc:///run/gate\n" CURVE;
    pcl_bundle bundle;
    pcl_buffer problems;
    pcl_buffer_init(&problems, 4096);
    assert_true(pcl_bundle_parse(&bundle, pcl_bytes_text(text), "b", &problems));
    assert_int_equal(problems.size, 0);
    assert_string_equal(bundle.principal, "app");
    assert_int_equal(bundle.gatekeeper_count, 2);
    assert_string_equal(bundle.gatekeepers[0].endpoint, "tcp://127.0.0.1:550");
    assert_string_equal(bundle.gatekeepers[0].public_key, KEY_A);
    assert_string_equal(bundle.gatekeepers[1].endpoint, "ipc:///run/gate");
    assert_string_equal(bundle.gatekeepers[1].public_key, "");
    assert_string_equal(bundle.public_key, KEY_A);
    assert_string_equal(bundle.secret_key, KEY_B);
    pcl_bundle_wipe(&bundle);
    assert_string_equal(bundle.secret_key, "");
}

#define BROKER "broker\n    public-key = \"" KEY_B "\"\n"

static void a_bundle_may_have_a_brokers_key(void **state)
{
    (void)state;
    pcl_bundle bundle;
    pcl_buffer problems;
    pcl_buffer_init(&problems, 4096);
    assert_true(pcl_bundle_parse(&bundle, pcl_bytes_text(HEAD GATE CURVE), "b", &problems));
    assert_string_equal(bundle.broker_key, "");
    assert_true(pcl_bundle_parse(&bundle, pcl_bytes_text(HEAD GATE BROKER CURVE), "b", &problems));
    assert_string_equal(bundle.broker_key, KEY_B);
    assert_string_equal(bundle.public_key, KEY_A);
    pcl_bundle_wipe(&bundle);
    pcl_buffer_release(&problems);
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    static const char *const TEXTS[] = {
        HEAD GATE CURVE, HEAD GATE BROKER CURVE,
        "bundle\n    version = 1\ngatekeeper\n    endpoint = ipc:///run/gate\n",
        HEAD GATE GATE "gatekeeper\n    endpoint = ipc:///run/gate\n" CURVE BROKER};
    for (size_t index = 0; index < sizeof TEXTS / sizeof *TEXTS; index++) {
        pcl_bundle bundle, again;
        pcl_buffer problems, written;
        pcl_buffer_init(&problems, 4096);
        pcl_buffer_init(&written, PCL_BUNDLE_SIZE_MAX);
        memset(&bundle, 0, sizeof bundle);
        memset(&again, 0, sizeof again);
        assert_true(pcl_bundle_parse(&bundle, pcl_bytes_text(TEXTS[index]), "b", &problems));
        pcl_bundle_put(&bundle, &written);
        assert_false(written.failed);
        assert_true(pcl_bundle_parse(&again, pcl_buffer_bytes(&written), "b", &problems));
        assert_memory_equal(&bundle, &again, sizeof bundle);
        pcl_buffer_release(&problems);
        pcl_buffer_release(&written);
    }
}

/* Each mistake by itself, and the line that names it. */
static void every_mistake_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *problem;
    } cases[] = {
        {"", "b: bundle: the section is missing"},
        {GATE CURVE, "b: bundle: the section is missing"},
        {HEAD CURVE, "b: gatekeeper: there is none"},
        {HEAD GATE, "b: curve: the section with the client's own keys is missing"},
        {"bundle\n" GATE CURVE, "b:1: bundle/version: is missing"},
        {"bundle\n    version = 2\n" GATE CURVE, "b:2: bundle/version: must be 1"},
        {"bundle\n    version = 1\n    principal = \"a b\"\n" GATE CURVE,
         "b:3: bundle/principal: must be 1 to 63"},
        {HEAD "    colour = red\n" GATE CURVE, "b:4: bundle/colour: there is no such key"},
        {HEAD HEAD GATE CURVE, "b:4: bundle: stands there twice"},
        {HEAD GATE CURVE "door\n", "b:10: door: there is no such section"},
        {HEAD GATE BROKER, "b: curve: the section with the client's own keys is missing"},
        {HEAD GATE CURVE "broker\n", "b:10: broker/public-key: is missing"},
        {HEAD GATE CURVE BROKER BROKER, "b:12: broker: stands there twice"},
        {HEAD GATE CURVE "broker\n    public-key = short\n",
         "b:11: broker/public-key: must be a key, 40 characters of Z85"},
        {HEAD GATE CURVE BROKER "    endpoint = x\n",
         "b:12: broker/endpoint: there is no such key"},
        {HEAD "gatekeeper\n    endpoint = ipc:///run/gate\n" BROKER,
         "b: curve: the section with the client's own keys is missing"},
        {HEAD GATE CURVE "version = 1\n", "b:10: version: a key must stand indented"},
        {HEAD "gatekeeper\n    public-key = \"" KEY_A "\"\n" CURVE,
         "b:4: gatekeeper/endpoint: is missing"},
        {HEAD "gatekeeper\n    endpoint = \"tcp://h:1\"\n" CURVE,
         "b:4: gatekeeper/public-key: is missing"},
        {HEAD GATE "    endpoint = \"tcp://h:1\"\n" CURVE,
         "b:7: gatekeeper/endpoint: stands there twice"},
        {HEAD GATE "    key = x\n" CURVE, "b:7: gatekeeper/key: there is no such key"},
        {HEAD "gatekeeper\n    endpoint = \"tcp://h\"\n" CURVE,
         "b:5: gatekeeper/endpoint: must be tcp://HOST:PORT"},
        {HEAD "gatekeeper\n    public-key = \"short\"\n" CURVE,
         "b:5: gatekeeper/public-key: must be a key, 40 characters"},
        {HEAD GATE "curve\n    public-key = \"" KEY_A "\"\n", "b:7: curve/secret-key: is missing"},
        {HEAD GATE "curve\n    secret-key = \"" KEY_A "\"\n", "b:7: curve/public-key: is missing"},
        {HEAD GATE CURVE "    secret-key = \"" KEY_A "\"\n",
         "b:10: curve/secret-key: stands there twice"},
        {HEAD GATE CURVE "    other = 1\n", "b:10: curve/other: there is no such key"},
    };
    for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        pcl_bundle bundle = {.principal = "untouched"};
        pcl_buffer problems;
        pcl_buffer_init(&problems, 4096);
        assert_false(pcl_bundle_parse(&bundle, pcl_bytes_text(cases[index].text), "b", &problems));
        assert_string_equal(bundle.principal, "untouched");
        pcl_buffer_put_u8(&problems, '\0');
        if (strstr((const char *)problems.data, cases[index].problem) == NULL) {
            fail_msg("case %zu: \"%s\" is not in: %s", index, cases[index].problem,
                     (const char *)problems.data);
        }
        pcl_buffer_release(&problems);
    }
}

static void all_mistakes_are_named_at_once(void **state)
{
    (void)state;
    static const char text[] = "bundle\n    version = 3\ngatekeeper\n    endpoint = nowhere\n"
                               "    public-key = x\ncurve\n    secret-key = y\n";
    pcl_bundle bundle;
    pcl_buffer problems;
    pcl_buffer_init(&problems, 4096);
    assert_false(pcl_bundle_parse(&bundle, pcl_bytes_text(text), "b", &problems));
    size_t lines = 0;
    for (size_t index = 0; index < problems.size; index++) {
        lines += problems.data[index] == '\n' ? 1 : 0;
    }
    assert_int_equal(lines, 4);
    pcl_buffer_release(&problems);
}

static void no_octets_do_harm(void **state)
{
    (void)state;
    static char text[] = HEAD GATE CURVE;
    size_t size = sizeof text - 1;
    pcl_buffer problems;
    pcl_buffer_init(&problems, 1 << 20);
    for (size_t cut = 0; cut < size; cut++) {
        pcl_bundle bundle;
        bool parsed = pcl_bundle_parse(&bundle, pcl_bytes_of(text, cut), "b", &problems);
        assert_true(parsed == (problems.size == 0));
        char kept = text[cut];
        static const char odd[] = {'\0', '\n', '"', '#', '=', '\xff', ' '};
        for (size_t index = 0; index < sizeof odd; index++) {
            text[cut] = odd[index];
            pcl_buffer_clear(&problems);
            parsed = pcl_bundle_parse(&bundle, pcl_bytes_of(text, size), "b", &problems);
            assert_true(parsed == (problems.size == 0));
        }
        text[cut] = kept;
        pcl_buffer_clear(&problems);
    }
    pcl_buffer_release(&problems);
}

static void endpoints_are_checked(void **state)
{
    (void)state;
    static const char *const good[] = {"tcp://a:1", "tcp://127.0.0.1:65535", "tcp://[::1]:5500",
                                       "ipc:///run/x", "tcp://gate.example:5500"};
    static const char *const bad[] = {
        "",           "tcp://",        "tcp://a",    "tcp://a:",
        "tcp://a:0",  "tcp://:1",      "ipc://",     "udp://a:1",
        "tcp://a:1x", "tcp://a:65536", "inproc://x", "tcp://a:99999999999999999999"};
    for (size_t index = 0; index < sizeof good / sizeof good[0]; index++) {
        assert_true(pcl_bundle_endpoint_valid(pcl_bytes_text(good[index])));
    }
    for (size_t index = 0; index < sizeof bad / sizeof bad[0]; index++) {
        assert_false(pcl_bundle_endpoint_valid(pcl_bytes_text(bad[index])));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bundle_is_read),
        cmocka_unit_test(a_bundle_may_have_a_brokers_key),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(every_mistake_is_named),
        cmocka_unit_test(all_mistakes_are_named_at_once),
        cmocka_unit_test(no_octets_do_harm),
        cmocka_unit_test(endpoints_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
