#include "client/command/principals.h"

#include <stdio.h>
#include <string.h>

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* What comes out, NUL terminated. */
static const char *s_text(pcl_buffer *buffer)
{
    static char text[4096];
    assert_false(buffer->failed);
    assert_true(buffer->size < sizeof text);
    if (buffer->size > 0) {
        memcpy(text, buffer->data, buffer->size);
    }
    text[buffer->size] = '\0';
    pcl_buffer_release(buffer);
    return text;
}

static const char *s_add(const char *policy, const char *key)
{
    pcl_buffer out;
    pcl_buffer_init(&out, 4096);
    pcl_principals_add(&out, pcl_bytes_text(policy), "bob", "app", key);
    return s_text(&out);
}

/* NULL: there is none. */
static const char *s_remove(const char *policy, const char *name)
{
    pcl_buffer out;
    pcl_buffer_init(&out, 4096);
    bool there = pcl_principals_remove(&out, pcl_bytes_text(policy), name);
    const char *text = s_text(&out);
    assert_true(there || text[0] == '\0');
    return there ? text : NULL;
}

static void a_principal_comes_behind_the_others(void **state)
{
    (void)state;
    assert_string_equal(s_add("roles\n    app\nprincipals\n    # who\n    al = \"app K\" # him\n"
                              "    # end\n# tail\n",
                              "KEY"),
                        "roles\n    app\nprincipals\n    # who\n    al = \"app K\" # him\n"
                        "    bob = \"app KEY\"\n    # end\n# tail\n");
    assert_string_equal(s_add("principals\n    al = \"app\"\nroles\n    app\n", ""),
                        "principals\n    al = \"app\"\n    bob = \"app\"\nroles\n    app\n");
}

static void where_nobody_is_the_section_is_found_or_made(void **state)
{
    (void)state;
    assert_string_equal(s_add("principals\nroles\n    app\n", "K"),
                        "principals\n    bob = \"app K\"\nroles\n    app\n");
    assert_string_equal(s_add("roles\n    app", "K"),
                        "roles\n    app\nprincipals\n    bob = \"app K\"\n");
    assert_string_equal(s_add("principals", "K"), "principals\n    bob = \"app K\"\n");
    assert_string_equal(s_add("", "K"), "principals\n    bob = \"app K\"\n");
    /* Another section's name may begin like it. */
    assert_string_equal(s_add("principals2\n    x = 1\n", "K"),
                        "principals2\n    x = 1\nprincipals\n    bob = \"app K\"\n");
}

static void one_line_is_taken_out_and_nothing_else(void **state)
{
    (void)state;
    static const char policy[] = "roles\n    bob\n        rate = \"1\"\nprincipals\n"
                                 "    bobby = \"bob K\"\n    bob = \"bob L\"  # him\n"
                                 "    # bob = \"x\"\n";
    assert_string_equal(s_remove(policy, "bob"),
                        "roles\n    bob\n        rate = \"1\"\nprincipals\n"
                        "    bobby = \"bob K\"\n    # bob = \"x\"\n");
    assert_null(s_remove(policy, "bo"));
    assert_null(s_remove(policy, "rate"));
    assert_null(s_remove("roles\n    bob\n", "bob"));
    assert_string_equal(s_remove("principals\n    bob = \"app\"", "bob"), "principals\n");
}

static void what_was_added_is_taken_out_again(void **state)
{
    (void)state;
    static const char *const POLICIES[] = {"principals\n", "principals\n    a = \"app\"\n# x\n",
                                           "principals\n    a = \"app\"\nroles\n    app\n"};
    for (size_t index = 0; index < sizeof POLICIES / sizeof *POLICIES; index++) {
        char added[1024];
        (void)snprintf(added, sizeof added, "%s", s_add(POLICIES[index], "K"));
        assert_string_equal(s_remove(added, "bob"), POLICIES[index]);
    }
}

static const char *s_clients(const char *list, const char *name, bool add)
{
    pcl_buffer out;
    pcl_buffer_init(&out, 4096);
    bool done = true;
    if (add) {
        pcl_clients_add(&out, pcl_bytes_text(list), name, "KEY");
    } else {
        done = pcl_clients_remove(&out, pcl_bytes_text(list), name);
    }
    const char *text = s_text(&out);
    return done ? text : NULL;
}

static void lines_of_a_key_list(void **state)
{
    (void)state;
    assert_string_equal(s_clients("# who\nal  K\n", "bob", true), "# who\nal  K\nbob  KEY\n");
    assert_string_equal(s_clients("al  K", "bob", true), "al  K\nbob  KEY\n");
    assert_string_equal(s_clients("", "bob", true), "bob  KEY\n");
    static const char list[] = "# bob\nbobby K1\n\n \tbob\tK2 role # him\nal bob";
    assert_string_equal(s_clients(list, "bob", false), "# bob\nbobby K1\n\nal bob");
    assert_string_equal(s_clients(list, "al", false), "# bob\nbobby K1\n\n \tbob\tK2 role # him\n");
    assert_null(s_clients(list, "bo", false));
    assert_null(s_clients(list, "K1", false));
    assert_null(s_clients("", "bob", false));
    assert_string_equal(s_clients("bob K\n", "bob", false), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_principal_comes_behind_the_others),
        cmocka_unit_test(where_nobody_is_the_section_is_found_or_made),
        cmocka_unit_test(one_line_is_taken_out_and_nothing_else),
        cmocka_unit_test(what_was_added_is_taken_out_again),
        cmocka_unit_test(lines_of_a_key_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
