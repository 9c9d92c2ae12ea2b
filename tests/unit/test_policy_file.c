#include "policy/policy.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_A "[J?b3P<qhH8Vx<$a9jxfF*(3Kg&#kzhW/=Iu$1zi"
#define KEY_B "PM^]?he[M<:>ge{SS5U-3afRM.n-?6ja!a112}wx"
#define HEAD  "policy\n    version = \"1\"\n"
#define ROLE  "roles\n    app\n"

static pcl_policy *s_parse(const char *text)
{
    pcl_buffer problems;
    pcl_buffer_init(&problems, 4096);
    pcl_policy *policy = pcl_policy_parse(pcl_bytes_text(text), "p.cfg", &problems);
    if (policy == NULL) {
        print_message("%.*s\n", (int)problems.size, (const char *)problems.data);
    }
    assert_non_null(policy);
    assert_int_equal(problems.size, 0);
    pcl_buffer_release(&problems);
    return policy;
}

/* The problems are exactly these lines. */
static void s_assert_problems(const char *text, const char *lines)
{
    pcl_buffer problems;
    pcl_buffer_init(&problems, 65536);
    pcl_policy *policy = pcl_policy_parse(pcl_bytes_text(text), "p.cfg", &problems);
    assert_null(policy);
    pcl_buffer_put_u8(&problems, '\0');
    assert_string_equal((const char *)problems.data, lines);
    pcl_buffer_release(&problems);
}

static void a_role_has_what_the_file_says(void **state)
{
    (void)state;
    pcl_policy *policy = s_parse(
        HEAD
        "roles\n"
        "    other\n"
        "    app\n"
        "        accounts = \"shop\"\n"
        "        classes = \"read  state\"\n"
        "        schemas = \"demo shop_%\"\n"
        "        strategies = \"direct round-robin\"\n"
        "        timeout_ms_max = \"1000\"\n"
        "        rows_max = \"4294967295\"\n"
        "        rate = \"50\"\n"
        "        burst = \"5\"\n"
        "        concurrency_max = \"3\"\n"
        "        share = \"7\"\n"
        "        priority = \"0\"\n"
        "        seal = \"required\"\n"
        "        digests = \"protect\"\n"
        "        digest_list = \"digests/app.list\"\n"
        "        dry_run = \"seal class schema strategy timeout rows digest rate concurrency\"\n"
        "principals\n"
        "    alice = \"app " KEY_A "\" # she\n"
        "    Bob_2.x-y = \"other\"\n");
    assert_int_equal(pcl_policy_role_count(policy), 2);
    const pcl_policy_role *role = pcl_policy_role_at(policy, 1);
    assert_string_equal(role->name, "app");
    assert_int_equal(role->index, 1);
    assert_string_equal(role->accounts, "shop");
    assert_int_equal(role->classes, 1u << PCL_SQL_READ | 1u << PCL_SQL_STATE);
    assert_string_equal(role->schemas, "demo shop_%");
    assert_int_equal(role->strategies, 1u << PCL_STRATEGY_DEFAULT | 1u << PCL_STRATEGY_DIRECT |
                                           1u << PCL_STRATEGY_ROUND_ROBIN);
    assert_int_equal(role->timeout_ms_max, 1000);
    assert_true(role->rows_max == UINT32_MAX);
    assert_int_equal(role->rate, 50);
    assert_int_equal(role->burst, 5);
    assert_int_equal(role->concurrency_max, 3);
    assert_int_equal(role->share, 7);
    assert_int_equal(role->priority, 0);
    assert_int_equal(role->seal, PCL_POLICY_SEAL_REQUIRED);
    assert_int_equal(role->digests, PCL_POLICY_DIGESTS_PROTECT);
    assert_string_equal(role->digest_list, "digests/app.list");
    for (int rule = 0; rule < PCL_POLICY_RULE_COUNT; rule++) {
        bool may = rule == PCL_POLICY_RULE_SEAL || rule >= PCL_POLICY_RULE_CLASS;
        assert_int_equal(pcl_policy_is_dry(role, (pcl_policy_rule)rule), may);
    }
    const pcl_policy_principal *alice = pcl_policy_find(policy, pcl_bytes_text("alice"));
    assert_non_null(alice);
    assert_ptr_equal(alice->role, role);
    assert_string_equal(alice->public_key, KEY_A);
    const pcl_policy_principal *bob = pcl_policy_find(policy, pcl_bytes_text("Bob_2.x-y"));
    assert_non_null(bob);
    assert_string_equal(bob->public_key, "");
    pcl_policy_destroy(&policy);
    assert_null(policy);
}

static void a_role_that_says_nothing_has_the_defaults(void **state)
{
    (void)state;
    pcl_policy *policy = s_parse(HEAD ROLE);
    const pcl_policy_role *role = pcl_policy_role_at(policy, 0);
    assert_string_equal(role->accounts, "app");
    assert_int_equal(role->classes & 1u << PCL_SQL_ADMIN, 0);
    for (int value = PCL_SQL_READ; value < PCL_SQL_ADMIN; value++) {
        assert_int_not_equal(role->classes & 1u << value, 0);
    }
    assert_string_equal(role->schemas, "");
    assert_int_equal(role->timeout_ms_max, PCL_TIMEOUT_MS_MAX);
    assert_int_equal(role->rows_max + role->rate + role->burst + role->concurrency_max, 0);
    assert_int_equal(role->share, 1);
    assert_int_equal(role->priority, 1);
    assert_int_equal(role->seal, PCL_POLICY_SEAL_AUTO);
    assert_int_equal(role->digests, PCL_POLICY_DIGESTS_OFF);
    assert_int_equal(role->dry_run, 0);
    assert_null(pcl_policy_find(policy, pcl_bytes_text("alice")));
    pcl_policy_destroy(&policy);
}

static void the_builtin_policy_knows_everybody(void **state)
{
    (void)state;
    pcl_policy *policy = pcl_policy_builtin();
    assert_non_null(policy);
    const pcl_policy_principal *anybody = pcl_policy_find(policy, pcl_bytes_text("who-ever"));
    assert_non_null(anybody);
    assert_string_equal(anybody->role->name, "app");
    assert_string_equal(anybody->role->accounts, "app");
    assert_int_equal(anybody->role->seal, PCL_POLICY_SEAL_OPTIONAL);
    assert_int_equal(anybody->role->classes & 1u << PCL_SQL_ADMIN, 0);
    assert_int_equal(pcl_policy_principal_count(policy), 0);
    pcl_policy_destroy(&policy);
}

/* In the order of lines, then what lines say of each other. */
static void every_mistake_is_named(void **state)
{
    (void)state;
    s_assert_problems("policy\n"
                      "    version = \"2\"\n"
                      "    other = \"1\"\n"
                      "rolls\n"
                      "roles\n"
                      "    app\n"
                      "        rate = \"many\"\n"
                      "        rate = \"7\"\n"
                      "        clases = \"read\"\n"
                      "        classes = \"read wrte x\"\n"
                      "        digests = \"protect\"\n"
                      "        seal\n"
                      "        schemas = \"a\\\"\n"
                      "        dry_run = \"principal\"\n"
                      "    app\n"
                      "        share = \"0\"\n"
                      "   odd\n"
                      "principals\n"
                      "    alice = \"app\"\n"
                      "    alice = \"nobody\"\n"
                      "    bob = \"app 123\"\n"
                      "    carl = \"app " KEY_A "\"\n"
                      "    dora = \"app " KEY_A "\"\n"
                      "    e@f = \"app\"\n"
                      "    gert = \"\"\n",
                      "p.cfg:2: policy/version: must be 1\n"
                      "p.cfg:3: policy/other: there is no such setting\n"
                      "p.cfg:4: rolls: must be policy, roles or principals\n"
                      "p.cfg:7: roles/app/rate: must be a number from 0 to 1000000\n"
                      "p.cfg:8: roles/app/rate: stands twice\n"
                      "p.cfg:9: roles/app/clases: there is no such setting\n"
                      "p.cfg:10: roles/app/classes: 'wrte' is none of read, locking_read, write, "
                      "call, ddl, transaction, state, admin\n"
                      "p.cfg:10: roles/app/classes: 'x' is none of read, locking_read, write, "
                      "call, ddl, transaction, state, admin\n"
                      "p.cfg:12: roles/app/seal: must have a value\n"
                      "p.cfg:13: roles/app/schemas: a pattern must not end in a single backslash\n"
                      "p.cfg:14: roles/app/dry_run: 'principal' is none of seal, class, schema, "
                      "strategy, timeout, rows, digest, rate, concurrency\n"
                      "p.cfg:15: roles/app: stands twice\n"
                      "p.cfg:16: roles/app/share: must be a number from 1 to 1000\n"
                      "p.cfg:17: indentation must be in steps of four spaces\n"
                      "p.cfg:21: principals/bob: the public key must be 40 characters of Z85, and "
                      "all in quotes\n"
                      "p.cfg:24: principals/e@f: a principal's name must be 1 to 63 of letters, "
                      "digits, '.', '_' and '-'\n"
                      "p.cfg:25: principals/gert: must be \"ROLE PUBLIC-KEY\"\n"
                      "p.cfg:6: roles/app: digests need a digest_list\n"
                      "p.cfg:20: principals/alice: there is no such role\n"
                      "p.cfg:23: principals/dora: the public key is also that of carl\n"
                      "p.cfg:20: principals/alice: stands twice\n");
}

static void what_lines_say_of_each_other_must_fit(void **state)
{
    (void)state;
    s_assert_problems("", "p.cfg: policy/version: is required\np.cfg: roles: there is none\n");
    s_assert_problems(HEAD ROLE "        burst = \"2\"\n",
                      "p.cfg:4: roles/app: burst goes with a rate only\n");
    s_assert_problems(HEAD ROLE "        classes = \"\"\n",
                      "p.cfg:4: roles/app: classes: none is left\n");
    s_assert_problems(HEAD ROLE "        schemas = \" \"\n",
                      "p.cfg:5: roles/app/schemas: must name a schema; left out it is any\n");
    s_assert_problems(HEAD ROLE "        seal = \"required\"\nprincipals\n    a = \"app\"\n",
                      "p.cfg:7: principals/a: needs a public key, for the role's seal is "
                      "required\n");
    s_assert_problems(HEAD ROLE "        digest_list = \"x\"\n    b\n        digest_list = \"x\"\n",
                      "p.cfg:6: roles/b: digest_list is that of the role app too\n");
    s_assert_problems(HEAD ROLE "roles\n", "p.cfg:5: roles: stands twice\n");
    s_assert_problems(HEAD ROLE HEAD, "p.cfg:5: policy: stands twice\n"
                                      "p.cfg:6: policy/version: stands twice\n");
}

/* A line that is wrong must not make the lines below it another role's. */
static void lines_below_a_bad_line_belong_to_nobody(void **state)
{
    (void)state;
    s_assert_problems(HEAD "roles\n    x y\n        rate = \"1\"\n        rate = \"z\"\n",
                      "p.cfg:4: a name must be followed by '=' or nothing\n"
                      "p.cfg:6: roles/x/rate: must be a number from 0 to 1000000\n"
                      "p.cfg: roles: there is none\n");
    s_assert_problems(HEAD ROLE "    x = \"1\"\n        seal = \"no\"\n",
                      "p.cfg:5: roles/x: is a section and has no value\n"
                      "p.cfg:6: roles/x/seal: must be one of auto, required, optional\n");
    s_assert_problems(HEAD "roles\n    a\n        rate = \"1\"\n    b&c\n        rate = \"2\"\n",
                      "p.cfg:6: roles/b&c: a role's name must be 1 to 63 of letters, digits, '.', "
                      "'_' and '-'\n");
}

static void a_key_must_be_one(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "0000000000000000000000000000000000000000x", /* too long */
        "000000000000000000000000000000000000000",   /* too short */
        "#####00000000000000000000000000000000000",  /* a group over 2^32 */
        "0000000000000000000000000000000000000~00",  /* not in the alphabet */
    };
    for (size_t index = 0; index < sizeof bad / sizeof bad[0]; index++) {
        char text[256];
        pcl_buffer problems;
        pcl_buffer_init(&problems, 4096);
        (void)snprintf(text, sizeof text, HEAD ROLE "principals\n    a = \"app %s\"\n", bad[index]);
        assert_null(pcl_policy_parse(pcl_bytes_text(text), "p", &problems));
        pcl_buffer_release(&problems);
    }
    pcl_policy *policy = s_parse(HEAD ROLE
                                 "principals\n"
                                 "    a = \"app %nSc0%nSc0%nSc0%nSc0%nSc0%nSc0%nSc0%nSc0\""
                                 "\n");
    pcl_policy_destroy(&policy);
}

static void roles_and_principals_are_bounded(void **state)
{
    (void)state;
    pcl_buffer text;
    pcl_buffer problems;
    pcl_buffer_init(&text, PCL_POLICY_FILE_SIZE_MAX);
    pcl_buffer_init(&problems, 4096);
    char line[64];
    pcl_buffer_put(&text, HEAD "roles\n", sizeof HEAD "roles\n" - 1);
    for (unsigned index = 0; index < PCL_POLICY_ROLES_MAX; index++) {
        int size = snprintf(line, sizeof line, "    r%u\n", index);
        pcl_buffer_put(&text, line, (size_t)size);
    }
    pcl_buffer_put(&text, "principals\n", 11);
    for (unsigned index = 0; index < PCL_POLICY_PRINCIPALS_MAX; index++) {
        unsigned mixed = index * 7919 % PCL_POLICY_PRINCIPALS_MAX; /* in no order */
        int size = snprintf(line, sizeof line, "    p%u = \"r%u\"\n", mixed,
                            mixed % PCL_POLICY_ROLES_MAX);
        pcl_buffer_put(&text, line, (size_t)size);
    }
    pcl_policy *policy = pcl_policy_parse(pcl_buffer_bytes(&text), "p", &problems);
    assert_non_null(policy);
    for (unsigned index = 0; index < PCL_POLICY_PRINCIPALS_MAX; index++) {
        (void)snprintf(line, sizeof line, "p%u", index);
        const pcl_policy_principal *found = pcl_policy_find(policy, pcl_bytes_text(line));
        assert_non_null(found);
        assert_int_equal(found->role->index, index % PCL_POLICY_ROLES_MAX);
        (void)snprintf(line, sizeof line, "p%ux", index);
        assert_null(pcl_policy_find(policy, pcl_bytes_text(line)));
    }
    assert_null(pcl_policy_find(policy, pcl_bytes_of(NULL, 0)));
    pcl_policy_destroy(&policy);

    pcl_buffer_put(&text, "    more = \"r0\"\n", 16);
    assert_null(pcl_policy_parse(pcl_buffer_bytes(&text), "p", &problems));
    pcl_buffer_put_u8(&problems, '\0');
    assert_non_null(strstr((const char *)problems.data, "more than 10000 principals"));
    pcl_buffer_release(&text);
    pcl_buffer_release(&problems);
}

static void problems_that_do_not_fit_are_left_out(void **state)
{
    (void)state;
    pcl_buffer problems;
    pcl_buffer_init(&problems, 8);
    assert_null(pcl_policy_parse(pcl_bytes_text("a\nb\nc\n"), "name", &problems));
    assert_true(problems.size <= 8);
    pcl_buffer_release(&problems);
}

static void a_list_is_beside_its_policy(void **state)
{
    (void)state;
    char path[32];
    assert_true(pcl_policy_path(path, sizeof path, "/etc/p/policy.cfg", "d/app.list"));
    assert_string_equal(path, "/etc/p/d/app.list");
    assert_true(pcl_policy_path(path, sizeof path, "/etc/p/policy.cfg", "/var/app.list"));
    assert_string_equal(path, "/var/app.list");
    assert_true(pcl_policy_path(path, sizeof path, "policy.cfg", "app.list"));
    assert_string_equal(path, "app.list");
    assert_false(
        pcl_policy_path(path, sizeof path, "/etc/portcullis/policy.cfg", "digests/app.list"));
}

/* --- The document ------------------------------------------------------------ */

static char *s_read_document(void)
{
    FILE *file = fopen(PCL_SOURCE_DIR "/docs/policy.md", "rb");
    assert_non_null(file);
    char *text = calloc(1, 65536);
    assert_non_null(text);
    size_t size = fread(text, 1, 65535, file);
    assert_true(size > 1000);
    (void)fclose(file);
    return text;
}

static void the_documents_example_is_a_policy(void **state)
{
    (void)state;
    char *text = s_read_document();
    char *start = strstr(text, "```\npolicy\n");
    assert_non_null(start);
    start += 4;
    char *end = strstr(start, "```");
    assert_non_null(end);
    *end = '\0';
    pcl_policy *policy = s_parse(start);
    assert_non_null(pcl_policy_find(policy, pcl_bytes_text("night-job")));
    pcl_policy_destroy(&policy);
    free(text);
}

/* Each key of the table is known, and there are as many as a role has. */
static void the_documents_table_has_every_key(void **state)
{
    (void)state;
    char *text = s_read_document();
    char *row = strstr(text, "| key | value | default | rule |");
    int count = 0;
    assert_non_null(row);
    row = strstr(row, "\n| `");
    for (; row != NULL && row[1] == '|'; row = strchr(row + 1, '\n')) {
        char name[64];
        char policy[256];
        pcl_buffer problems;
        if (sscanf(row, "\n| `%63[^`]`", name) != 1) {
            break;
        }
        pcl_buffer_init(&problems, 4096);
        (void)snprintf(policy, sizeof policy, HEAD ROLE "        %s\n", name);
        assert_null(pcl_policy_parse(pcl_bytes_text(policy), "p", &problems));
        pcl_buffer_put_u8(&problems, '\0');
        assert_non_null(strstr((const char *)problems.data, "must have a value"));
        pcl_buffer_release(&problems);
        count++;
    }
    assert_int_equal(count, 15);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_role_has_what_the_file_says),
        cmocka_unit_test(a_role_that_says_nothing_has_the_defaults),
        cmocka_unit_test(the_builtin_policy_knows_everybody),
        cmocka_unit_test(every_mistake_is_named),
        cmocka_unit_test(what_lines_say_of_each_other_must_fit),
        cmocka_unit_test(lines_below_a_bad_line_belong_to_nobody),
        cmocka_unit_test(a_key_must_be_one),
        cmocka_unit_test(roles_and_principals_are_bounded),
        cmocka_unit_test(problems_that_do_not_fit_are_left_out),
        cmocka_unit_test(a_list_is_beside_its_policy),
        cmocka_unit_test(the_documents_example_is_a_policy),
        cmocka_unit_test(the_documents_table_has_every_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
