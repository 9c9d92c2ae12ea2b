/* What a session must know of a statement beside its class. */
#include "worker-agent/phrase.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

typedef struct phrase_case {
    const char *sql;
    pcl_sql_class sql_class;
    pcl_verb verb;
    pcl_sql_class form;
    bool only_variables, plain;
} phrase_case;

/* clang-format off */
static const phrase_case CASES[] = {
    {"USE shop", PCL_SQL_STATE, PCL_VERB_USE, PCL_SQL_STATE, false, true},
    {"/* go */ use `shop`", PCL_SQL_STATE, PCL_VERB_USE, PCL_SQL_STATE, false, false},
    {"EXECUTE p USING @a", PCL_SQL_STATE, PCL_VERB_EXECUTE, PCL_SQL_STATE, false, true},
    {"SELECT @a, f FROM t", PCL_SQL_STATE, PCL_VERB_OTHER, PCL_SQL_READ, true, true},
    {"SELECT @a FROM t FOR UPDATE", PCL_SQL_STATE, PCL_VERB_OTHER, PCL_SQL_LOCKING_READ, true,
     true},
    {"INSERT INTO t VALUES (@a, 'x')", PCL_SQL_STATE, PCL_VERB_OTHER, PCL_SQL_WRITE, true, false},
    {"SELECT LAST_INSERT_ID()", PCL_SQL_STATE, PCL_VERB_OTHER, PCL_SQL_READ, true, true},
    {"SELECT ROW_COUNT()", PCL_SQL_STATE, PCL_VERB_OTHER, PCL_SQL_READ, false, true},
    {"SELECT @a, found_rows()", PCL_SQL_STATE, PCL_VERB_OTHER, PCL_SQL_READ, false, true},
    {"SELECT @@warning_count", PCL_SQL_STATE, PCL_VERB_OTHER, PCL_SQL_READ, false, true},
    {"SHOW WARNINGS", PCL_SQL_STATE, PCL_VERB_OTHER, PCL_SQL_STATE, false, true},
    {"SET @a = '\\\''", PCL_SQL_STATE, PCL_VERB_OTHER, PCL_SQL_STATE, false, false},
    {"SET @a = \"x\"", PCL_SQL_STATE, PCL_VERB_OTHER, PCL_SQL_STATE, false, false},
    {"SET @\xc3\xa9 = 1", PCL_SQL_STATE, PCL_VERB_OTHER, PCL_SQL_STATE, false, false},
    {"ROLLBACK", PCL_SQL_TRANSACTION, PCL_VERB_ROLLBACK, PCL_SQL_STATE, false, false},
    {"rollback work and chain", PCL_SQL_TRANSACTION, PCL_VERB_ROLLBACK, PCL_SQL_STATE, false,
     false},
    {"ROLLBACK TO SAVEPOINT a", PCL_SQL_TRANSACTION, PCL_VERB_OTHER, PCL_SQL_STATE, false, false},
    {"ROLLBACK WORK /* to */ TO a", PCL_SQL_TRANSACTION, PCL_VERB_OTHER, PCL_SQL_STATE, false,
     false},
    {"COMMIT", PCL_SQL_TRANSACTION, PCL_VERB_OTHER, PCL_SQL_STATE, false, false},
    {"SELECT 1", PCL_SQL_READ, PCL_VERB_OTHER, PCL_SQL_STATE, false, false},
    {"", PCL_SQL_STATE, PCL_VERB_OTHER, PCL_SQL_REFUSED, true, true},
};
/* clang-format on */

static void test_phrases_are_what_the_table_says(void **state)
{
    (void)state;
    for (size_t index = 0; index < sizeof CASES / sizeof CASES[0]; index++) {
        const phrase_case *row = &CASES[index];
        pcl_phrase phrase = pcl_phrase_of(pcl_bytes_text(row->sql), (uint8_t)row->sql_class);
        if (phrase.verb != row->verb || phrase.form != row->form ||
            phrase.only_variables != row->only_variables || phrase.plain != row->plain) {
            fail_msg("%s: verb %d form %d only %d plain %d", row->sql, (int)phrase.verb,
                     (int)phrase.form, phrase.only_variables, phrase.plain);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_phrases_are_what_the_table_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
