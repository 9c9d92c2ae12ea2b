/* The door of a role: who is let in, where nobody can show a key, with a list, and after the list
 * has changed or cannot be read. */
#include "net/door.h"
#include "tests/lib/key_vault.h"
#include "tests/lib/role_fixture.h"

static const pcl_config_entry ENTRIES[] = {
    {"guests/endpoint", PCL_CONFIG_ENDPOINT, 0, 0, NULL, NULL, false, "Where guests come in."},
    {"guests/keys", PCL_CONFIG_KEY_LIST, 0, 0, "", NULL, true, "Who they are."},
    {"curve/insecure", PCL_CONFIG_BOOL, 0, 1, "0", NULL, false, "1: whoever comes."},
};
static const pcl_role ROLE = {.entries = ENTRIES,
                              .entry_count = sizeof ENTRIES / sizeof ENTRIES[0]};

static pcl_config *s_config(const char *endpoint, const char *keys, bool insecure)
{
    char zpl[512];
    (void)snprintf(zpl, sizeof zpl,
                   "guests\n    endpoint = \"%s\"\n    keys = \"%s\"\ncurve\n    insecure = %d\n",
                   endpoint, keys, insecure ? 1 : 0);
    return fixture_config(&ROLE, zpl);
}

static void s_open(pcl_door *self, const pcl_config *config, const pcl_keys *own)
{
    char error[256] = "";
    *self = (pcl_door){.who = "test", .peers = "guests"};
    assert_true(pcl_door_read_keys(self, config));
    if (!pcl_door_open(self, config, own, 10, 1000, error, sizeof error)) {
        fail_msg("%s", error);
    }
}

static void test_where_no_keys_are_in_use_everybody_comes_in(void **state)
{
    (void)state;
    pcl_config *config = s_config("inproc://door", "", false);
    pcl_door door;
    s_open(&door, config, NULL);
    assert_string_equal(pcl_door_name(&door, ""), "");
    pcl_door_close(&door);
    pcl_door_close(&door); /* once more is nothing */
    pcl_config_destroy(&config);
}

static void test_insecure_tcp_is_open_too(void **state)
{
    (void)state;
    key_vault vault;
    vault_open(&vault, "alice");
    pcl_config *config = s_config(vault.endpoint, "", true);
    pcl_door door;
    s_open(&door, config, NULL);
    assert_string_equal(pcl_door_name(&door, ""), "");
    pcl_door_close(&door);
    pcl_config_destroy(&config);
    vault_close(&vault);
}

static void test_a_list_says_who_comes_in(void **state)
{
    (void)state;
    key_vault vault;
    vault_open(&vault, "alice");
    pcl_config *config = s_config(vault.endpoint, vault.list_file, false);
    pcl_door door;
    s_open(&door, config, &vault.server);
    assert_string_equal(pcl_door_name(&door, vault.client.public_key), "alice");
    assert_null(pcl_door_name(&door, vault.stranger.public_key));
    assert_null(pcl_door_name(&door, "")); /* on tcp nobody comes without a key */
    vault_write_list(&vault, "bob", vault.stranger.public_key);
    assert_true(pcl_door_read_keys(&door, config));
    assert_null(pcl_door_name(&door, vault.client.public_key)); /* at once */
    assert_string_equal(pcl_door_name(&door, vault.stranger.public_key), "bob");
    vault_write_list(&vault, "carol", "no key");
    assert_false(pcl_door_read_keys(&door, config)); /* the old list stays in force */
    assert_string_equal(pcl_door_name(&door, vault.stranger.public_key), "bob");
    pcl_door_close(&door);
    pcl_config_destroy(&config);
    vault_close(&vault);
}

static void test_an_endpoint_that_is_taken_is_said(void **state)
{
    (void)state;
    pcl_config *config = s_config("inproc://taken", "", false);
    pcl_door first;
    pcl_door second = {.who = "test", .peers = "guests"};
    char error[256] = "";
    s_open(&first, config, NULL);
    assert_false(pcl_door_open(&second, config, NULL, 10, 1000, error, sizeof error));
    assert_non_null(strstr(error, "inproc://taken"));
    pcl_door_close(&second);
    pcl_door_close(&first);
    pcl_config_destroy(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_where_no_keys_are_in_use_everybody_comes_in),
        cmocka_unit_test(test_insecure_tcp_is_open_too),
        cmocka_unit_test(test_a_list_says_who_comes_in),
        cmocka_unit_test(test_an_endpoint_that_is_taken_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
