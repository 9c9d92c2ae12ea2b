/* transfer.c - money from one account to another: in a session, in one request, and the list of all
 * accounts however many there are.
 *
 *     cc transfer.c $(pkg-config --cflags --libs portcullis) -o transfer
 *     ./transfer var/client.bundle
 */
#include <inttypes.h>
#include <portcullis.h>
#include <stdio.h>

/* Says what went wrong; true when nothing did.  Takes the result. */
static bool succeeded(portcullis_result *result, const char *what)
{
    bool good = portcullis_result_code(result) == PORTCULLIS_OK;
    if (!good) {
        uint32_t statement = 0;
        fprintf(stderr, "%s: %s: %s\n", what, portcullis_result_code_text(result),
                portcullis_result_message(result));
        if (portcullis_result_failed_statement(result, &statement)) {
            fprintf(stderr, "it was statement %" PRIu32 "\n", statement);
        }
    }
    portcullis_result_destroy(&result);
    return good;
}

/* Runs a statement with two numbers in it; in a session. */
static portcullis_result *run(portcullis_session *session, const char *sql, int64_t first,
                              int64_t second)
{
    portcullis_request *request = portcullis_request_new(sql);
    portcullis_request_add_int(request, first);
    if (second >= 0) {
        portcullis_request_add_int(request, second);
    }
    portcullis_result *result = portcullis_session_call(session, request);
    portcullis_request_destroy(&request);
    return result;
}

/* The program looks at what it read before it decides: that takes a session. */
static bool transfer_in_a_session(portcullis *client)
{
    portcullis_request *begin = portcullis_request_new_begin(false);
    portcullis_request_set_db(begin, "demo");
    portcullis_result *result = NULL;
    portcullis_session *session = portcullis_session_begin(client, begin, &result);
    portcullis_request_destroy(&begin);
    bool good = succeeded(result, "begin") && session != NULL;
    int64_t balance = 0;
    if (good) {
        result = run(session, "SELECT cents FROM account WHERE id = ? FOR UPDATE", 1, -1);
        if (portcullis_result_next(result)) {
            balance = portcullis_result_value(result, 0)->integer;
        }
        good = succeeded(result, "balance");
    }
    if (good && balance >= 5) {
        good = succeeded(run(session, "UPDATE account SET cents = cents - ? WHERE id = ?", 5, 1),
                         "out") &&
               succeeded(run(session, "UPDATE account SET cents = cents + ? WHERE id = ?", 5, 2),
                         "in") &&
               succeeded(portcullis_session_commit(session), "commit");
    }
    portcullis_session_destroy(&session); /* rolls back what was not committed */
    return good;
}

/* Where the database can judge by itself, one request does: it holds no lock while it travels. */
static bool transfer_in_one_request(portcullis *client)
{
    portcullis_request *request = portcullis_request_new_txn();
    portcullis_request_set_db(request, "demo");
    portcullis_request_add_statement(
        request, "UPDATE account SET cents = cents - ? WHERE id = 1 AND cents >= ?");
    portcullis_request_add_int(request, 5);
    portcullis_request_add_int(request, 5);
    portcullis_request_expect_rows(request, 1); /* else nothing of it is done */
    portcullis_request_add_statement(request, "UPDATE account SET cents = cents + ? WHERE id = 2");
    portcullis_request_add_int(request, 5);
    bool good = succeeded(portcullis_call(client, request), "transfer");
    portcullis_request_destroy(&request);
    return good;
}

/* A page is in memory at a time, whatever the table has. */
static bool list_all(portcullis *client)
{
    portcullis_request *request = portcullis_request_new("SELECT id, cents FROM account");
    portcullis_request_set_db(request, "demo");
    portcullis_result *result = portcullis_call(client, request);
    portcullis_request_destroy(&request);
    uint64_t rows = 0;
    int64_t sum = 0;
    while (portcullis_result_next(result)) {
        rows++;
        sum += portcullis_result_value(result, 1)->integer;
    }
    if (!succeeded(result, "list")) { /* a loop that ended early is told apart here */
        return false;
    }
    printf("%" PRIu64 " accounts, %" PRId64 " cents\n", rows, sum);
    return true;
}

int main(int argc, char **argv)
{
    char error[512];
    portcullis *client = portcullis_open(argc > 1 ? argv[1] : NULL, error, sizeof error);
    if (client == NULL) {
        fprintf(stderr, "%s\n", error);
        return 78;
    }
    bool good = transfer_in_a_session(client) && transfer_in_one_request(client) &&
                list_all(client);
    portcullis_close(&client);
    return good ? 0 : 1;
}
