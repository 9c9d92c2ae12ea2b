/* What each role says of settings that do not fit each other. */
#include "broker/broker.h"
#include "gatekeeper/gatekeeper.h"
#include "net/keys.h"
#include "proxy/proxy.h"
#include "worker-agent/actor.h"

#include "folder.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SERVER "    public_key = \"Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID\"\n"
#define CURVE  "curve\n    key_file = own.key\n"
#define PLAIN  "curve\n    insecure = 1\n"

#define CLIENTS     "clients\n    endpoint = tcp://*:5001\n"
#define GATEKEEPERS "gatekeepers\n    endpoint = tcp://127.0.0.1:5002\n"
#define BROKERS     "brokers\n    endpoint = tcp://127.0.0.1:5003\n"
#define AGENTS      "agents\n    endpoint = \"tcp://[::]:5004\"\n"
#define KEYS        "    keys = peers.keys\n"
#define BROKER      "broker\n    endpoint = tcp://127.0.0.1:5002\n"
#define PROXY       "proxy\n    endpoint = tcp://proxy.example:5003\n"
#define ACCOUNTS                                                                                   \
    "accounts\n    read_password_file = a.password\n    write_password_file = a.password\n"        \
    "    replication_password_file = a.password\n"
#define NODE(role) "node\n    name = n1\n    role = " role "\n" ACCOUNTS

#define NEEDED(path, endpoint)                                                                     \
    path ": must be given, since " endpoint " is tcp and curve/insecure is 0"
#define WILDCARD(path) path ": must name the one to connect to, not a wildcard"

typedef struct s_case {
    const pcl_role *role;
    const char *text;
    const char *problems[5]; /* all there are, in their order; none: the file is good */
} s_case;

static const s_case CASES[] = {
    {&pcl_gatekeeper_role, CLIENTS KEYS BROKER SERVER CURVE, {NULL}},
    {&pcl_gatekeeper_role, CLIENTS BROKER PLAIN, {NULL}},
    {&pcl_gatekeeper_role,
     "clients\n    endpoint = ipc://x\nbroker\n    endpoint = inproc://y\n",
     {NULL}},
    {&pcl_gatekeeper_role,
     CLIENTS BROKER,
     {NEEDED("curve/key_file", "clients/endpoint"), NEEDED("clients/keys", "clients/endpoint"),
      NEEDED("broker/public_key", "broker/endpoint")}},
    {&pcl_gatekeeper_role,
     CLIENTS KEYS "broker\n    endpoint = inproc://y\n",
     {NEEDED("curve/key_file", "clients/endpoint")}},
    {&pcl_gatekeeper_role,
     "clients\n    endpoint = inproc://x\n" BROKER SERVER,
     {NEEDED("curve/key_file", "broker/endpoint")}},
    {&pcl_gatekeeper_role,
     CLIENTS "broker\n    endpoint = tcp://*:5001\n" PLAIN,
     {WILDCARD("broker/endpoint"), "broker/endpoint: must differ from clients/endpoint"}},
    /* With what the table says, and without repeating it. */
    {&pcl_gatekeeper_role,
     CLIENTS "broker\n    endpoint = tcp://nowhere\n" CURVE,
     {"broker/endpoint: must be tcp://HOST:PORT, with a port from 1 to 65535, ipc://PATH, of at "
      "most 107 octets, or inproc://NAME",
      NEEDED("clients/keys", "clients/endpoint"), NEEDED("broker/public_key", "broker/endpoint")}},
    {&pcl_gatekeeper_role, BROKER SERVER CURVE, {"clients/endpoint: must be given"}},

    {&pcl_broker_role, GATEKEEPERS KEYS PROXY SERVER CURVE, {NULL}},
    {&pcl_broker_role,
     GATEKEEPERS PROXY,
     {NEEDED("curve/key_file", "gatekeepers/endpoint"),
      NEEDED("gatekeepers/keys", "gatekeepers/endpoint"),
      NEEDED("proxy/public_key", "proxy/endpoint")}},
    {&pcl_broker_role,
     GATEKEEPERS "proxy\n    endpoint = \"tcp://[::]:5003\"\n" PLAIN,
     {WILDCARD("proxy/endpoint")}},

    /* Several proxies, with gaps in their numbers. */
    {&pcl_broker_role,
     GATEKEEPERS KEYS PROXY SERVER CURVE "proxy2\n    endpoint = tcp://10.0.0.2:5003\n" SERVER
                                         "proxy8\n    endpoint = tcp://10.0.0.8:5003\n" SERVER,
     {NULL}},
    {&pcl_broker_role,
     GATEKEEPERS KEYS PROXY SERVER CURVE "proxy2\n    endpoint = tcp://10.0.0.2:5003\n"
                                         "proxy3\n    endpoint = tcp://proxy.example:5003\n" SERVER
                                         "proxy4\n" SERVER
                                         "proxy5\n    endpoint = tcp://*:5003\n" SERVER,
     {NEEDED("proxy2/public_key", "proxy2/endpoint"),
      "proxy3/endpoint: must differ from proxy/endpoint", WILDCARD("proxy5/endpoint"),
      "proxy4/endpoint: must be given, since proxy4/public_key is"}},
    {&pcl_worker_agent_role,
     NODE("source") PROXY PLAIN "proxy2\n    endpoint = tcp://proxy.example:5003\n",
     {"proxy2/endpoint: must differ from proxy/endpoint"}},

    {&pcl_broker_role,
     "gatekeepers\n    endpoint = tcp://*:5002\n" PROXY PLAIN,
     {"policy/file: is needed when gatekeepers come from other hosts"}},

    {&pcl_broker_role,
     GATEKEEPERS PROXY PLAIN "sql\n    flavor = mysql\n    functions = \"price, App_Tax\"\n",
     {NULL}},
    {&pcl_broker_role,
     GATEKEEPERS PROXY PLAIN "sql\n    functions = \"price get_lock\"\n",
     {"sql/functions: get_lock: function with an effect"}},

    {&pcl_proxy_role, BROKERS KEYS AGENTS KEYS CURVE, {NULL}},
    {&pcl_proxy_role, BROKERS AGENTS PLAIN, {NULL}},
    {&pcl_proxy_role,
     BROKERS AGENTS,
     {NEEDED("curve/key_file", "brokers/endpoint"), NEEDED("brokers/keys", "brokers/endpoint"),
      NEEDED("agents/keys", "agents/endpoint")}},
    {&pcl_proxy_role,
     BROKERS "agents\n    endpoint = tcp://127.0.0.1:5003\n" PLAIN,
     {"agents/endpoint: must differ from brokers/endpoint"}},

    {&pcl_worker_agent_role, NODE("source") PROXY SERVER CURVE, {NULL}},
    {&pcl_worker_agent_role,
     NODE("replica") PROXY SERVER CURVE "replication\n    source_host = 10.0.0.1\n",
     {NULL}},
    {&pcl_worker_agent_role,
     NODE("replica") "proxy\n    endpoint = tcp://0.0.0.0:5004\ndatabase\n    host = \"\"\n",
     {NEEDED("curve/key_file", "proxy/endpoint"), WILDCARD("proxy/endpoint"),
      NEEDED("proxy/public_key", "proxy/endpoint"),
      "database/host: must be given, since database/socket is not",
      "replication/source_host: must be given, since node/role is replica"}},
    {&pcl_worker_agent_role,
     NODE("source") PROXY PLAIN "database\n    socket = "
                                "/0123456789012345678901234567890123456789/"
                                "0123456789012345678901234567890123456789/"
                                "01234567890123456789/012345\n",
     {"database/socket: must be a path of at most 107 octets"}},
    {&pcl_worker_agent_role,
     NODE("source") PROXY PLAIN "database\n    schemas = \"demo% p% sys %\"\n",
     {"database/schemas: p% covers the schema portcullis, which is not for clients",
      "database/schemas: sys covers the schema sys, which is not for clients",
      "database/schemas: % covers the schema mysql, which is not for clients"}},
};

static void s_expect(const s_case *expected, const char *file, pcl_buffer *told)
{
    pcl_buffer text;
    pcl_buffer_init(&text, 65536);
    for (size_t index = 0; index < 5 && expected->problems[index] != NULL; index++) {
        char line[1024];
        int size = snprintf(line, sizeof line, "%s: %s\n", file, expected->problems[index]);
        pcl_buffer_put(&text, line, (size_t)size);
    }
    pcl_buffer_put_u8(&text, 0);
    pcl_buffer_put_u8(told, 0);
    if (strcmp((const char *)text.data, (const char *)told->data) != 0) {
        fail_msg("%s said:\n%sand not:\n%s", expected->role->name, (const char *)told->data,
                 (const char *)text.data);
    }
    pcl_buffer_release(&text);
}

static void test_every_mistake_is_named_and_no_other(void **state)
{
    (void)state;
    pcl_keys keys;
    char error[256];
    pcl_keys_make(&keys);
    assert_true(pcl_keys_save(&keys, folder_file("own.key"), error, sizeof error));
    folder_write("peers.keys", "# nobody yet\n", 0644);
    folder_write("a.password", "secret\n", 0600);
    for (size_t index = 0; index < sizeof CASES / sizeof CASES[0]; index++) {
        const pcl_role *role = CASES[index].role;
        const char *file = folder_write("role.cfg", CASES[index].text, 0644);
        pcl_buffer problems;
        pcl_buffer_init(&problems, 65536);
        pcl_config *config = pcl_config_load(role->entries, role->entry_count, role->check, file,
                                             &problems);
        s_expect(&CASES[index], file, &problems);
        assert_int_equal(config != NULL, CASES[index].problems[0] == NULL);
        pcl_config_destroy(&config);
        pcl_buffer_release(&problems);
    }
}

/* --print-config without a file: what must be given is not there yet. */
static void test_defaults_are_not_judged(void **state)
{
    (void)state;
    static const pcl_role *const ROLES[] = {&pcl_gatekeeper_role, &pcl_broker_role, &pcl_proxy_role,
                                            &pcl_worker_agent_role};
    for (size_t index = 0; index < sizeof ROLES / sizeof ROLES[0]; index++) {
        pcl_buffer problems;
        pcl_buffer_init(&problems, 65536);
        pcl_config *config = pcl_config_load(ROLES[index]->entries, ROLES[index]->entry_count,
                                             ROLES[index]->check, NULL, &problems);
        assert_non_null(config);
        assert_int_equal(problems.size, 0);
        pcl_config_destroy(&config);
        pcl_buffer_release(&problems);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_mistake_is_named_and_no_other),
        cmocka_unit_test(test_defaults_are_not_judged),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
