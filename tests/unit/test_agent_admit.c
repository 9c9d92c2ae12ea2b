/* What may run on a node. */
#include "worker-agent/admit.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

typedef enum place { ALONE, IN_SESSION, IN_READ_ONLY } place;

typedef struct admission_case {
    pcl_admission node;
    pcl_op op;
    uint8_t sql_class;
    place place;
    pcl_err err;
} admission_case;

/* clang-format off */
#define NODE(is_ready, is_source, is_read_only) \
    {.ready = (is_ready), .source = (is_source), .read_only = (is_read_only)}
#define SOURCE   NODE(true, true, false)
#define REPLICA  NODE(true, false, true)
#define DRAINING {.ready = true, .source = true, .draining = true}
#define DOWN     NODE(false, true, false)
#define ROW(node, op, sql_class, place, err) \
    {node, PCL_OP_##op, PCL_SQL_##sql_class, place, PCL_ERR_##err}
static const admission_case ADMISSIONS[] = {
    ROW(SOURCE, QUERY, WRITE, ALONE, OK),
    ROW(SOURCE, QUERY, READ, ALONE, OK),
    ROW(SOURCE, QUERY, DDL, ALONE, OK),
    ROW(NODE(true, true, true), QUERY, WRITE, ALONE, NO_NODE),
    ROW(REPLICA, QUERY, LOCKING_READ, ALONE, NO_NODE),
    ROW(NODE(true, false, false), QUERY, CALL, ALONE, NO_NODE),
    ROW(REPLICA, QUERY, READ, ALONE, OK),
    ROW(DOWN, QUERY, READ, ALONE, NO_NODE),
    ROW(SOURCE, QUERY, NONE, ALONE, UNSUPPORTED),
    ROW(SOURCE, QUERY, TRANSACTION, ALONE, UNSUPPORTED),
    ROW(SOURCE, QUERY, STATE, ALONE, UNSUPPORTED),
    ROW(SOURCE, QUERY, ADMIN, ALONE, UNSUPPORTED),
    ROW(SOURCE, QUERY, REFUSED, ALONE, UNSUPPORTED),
    {SOURCE, PCL_OP_QUERY, 200, ALONE, PCL_ERR_UNSUPPORTED},
    ROW(DRAINING, QUERY, READ, ALONE, DRAINING),
    /* Sessions are opened where they can do their work ... */
    ROW(SOURCE, BEGIN, WRITE, ALONE, OK),
    ROW(REPLICA, BEGIN, WRITE, ALONE, NO_NODE),
    ROW(NODE(true, true, true), BEGIN, WRITE, ALONE, NO_NODE),
    ROW(REPLICA, BEGIN, READ, ALONE, OK),
    ROW(DOWN, BEGIN, READ, ALONE, NO_NODE),
    ROW(DRAINING, BEGIN, READ, ALONE, DRAINING),
    ROW(DRAINING, BEGIN, WRITE, ALONE, DRAINING),
    /* ... and do it there, whatever becomes of the node. */
    ROW(SOURCE, QUERY, WRITE, IN_SESSION, OK),
    ROW(SOURCE, QUERY, STATE, IN_SESSION, OK),
    ROW(SOURCE, QUERY, TRANSACTION, IN_SESSION, OK),
    ROW(SOURCE, QUERY, DDL, IN_SESSION, OK),
    ROW(SOURCE, QUERY, CALL, IN_SESSION, OK),
    ROW(DRAINING, QUERY, WRITE, IN_SESSION, OK),
    ROW(DOWN, QUERY, READ, IN_SESSION, OK),
    ROW(REPLICA, QUERY, WRITE, IN_SESSION, OK),
    ROW(SOURCE, QUERY, ADMIN, IN_SESSION, UNSUPPORTED),
    ROW(SOURCE, QUERY, NONE, IN_SESSION, UNSUPPORTED),
    {SOURCE, PCL_OP_QUERY, 200, IN_SESSION, PCL_ERR_UNSUPPORTED},
    ROW(SOURCE, QUERY, READ, IN_READ_ONLY, OK),
    ROW(SOURCE, QUERY, STATE, IN_READ_ONLY, OK),
    ROW(SOURCE, QUERY, TRANSACTION, IN_READ_ONLY, OK),
    ROW(SOURCE, QUERY, LOCKING_READ, IN_READ_ONLY, REFUSED),
    ROW(SOURCE, QUERY, WRITE, IN_READ_ONLY, REFUSED),
    ROW(SOURCE, QUERY, CALL, IN_READ_ONLY, REFUSED),
    ROW(SOURCE, QUERY, DDL, IN_READ_ONLY, REFUSED),
    ROW(DRAINING, COMMIT, TRANSACTION, ALONE, OK),
    ROW(DOWN, ROLLBACK, TRANSACTION, ALONE, OK),
    ROW(DRAINING, FETCH, READ, ALONE, OK),
    ROW(REPLICA, CLOSE, READ, ALONE, OK),
    ROW(SOURCE, TXN, WRITE, ALONE, OK),
    ROW(REPLICA, TXN, WRITE, ALONE, NO_NODE),
    ROW(REPLICA, TXN, READ, ALONE, NO_NODE),
    ROW(DRAINING, TXN, WRITE, ALONE, DRAINING),
    ROW(SOURCE, PING, NONE, ALONE, UNSUPPORTED),
    ROW(SOURCE, CANCEL, NONE, ALONE, UNSUPPORTED),
    ROW(SOURCE, STATUS, NONE, ALONE, UNSUPPORTED),
    ROW(SOURCE, ADMIN, NONE, ALONE, UNSUPPORTED),
};
/* clang-format on */

static void test_a_node_takes_what_it_may(void **state)
{
    (void)state;
    for (size_t index = 0; index < sizeof ADMISSIONS / sizeof ADMISSIONS[0]; index++) {
        const admission_case *row = &ADMISSIONS[index];
        pcl_errand errand = {.op = row->op,
                             .sql_class = row->sql_class,
                             .in_session = row->place != ALONE,
                             .session_read_only = row->place == IN_READ_ONLY};
        const char *reason = NULL;
        pcl_err err = pcl_admit(&row->node, &errand, &reason);
        if (err != row->err) {
            fail_msg("row %zu: %s, %s wanted", index, pcl_err_code((int)err),
                     pcl_err_code((int)row->err));
        }
        assert_true((reason[0] == '\0') == (err == PCL_ERR_OK));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_node_takes_what_it_may),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
