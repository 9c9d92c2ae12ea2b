/* causal.c - what was written is read, on whatever node, and in another process too.
 *
 *     cc causal.c $(pkg-config --cflags --libs portcullis) -o causal
 *     ./causal var/client.bundle                  # adds 1, reads, prints the tokens
 *     ./causal var/client.bundle "TOKENS"         # reads nothing older than that
 */
#include <portcullis.h>
#include <stdio.h>

static bool succeeded(const portcullis_result *result)
{
    bool good = portcullis_result_code(result) == PORTCULLIS_OK;
    if (!good) {
        fprintf(stderr, "%s: %s\n", portcullis_result_code_text(result),
                portcullis_result_message(result));
    }
    return good;
}

static bool add_one(portcullis *client)
{
    portcullis_request *request = portcullis_request_new(
        "UPDATE demo.customers SET balance = balance + 1 WHERE id = 1");
    portcullis_result *result = portcullis_call(client, request);
    bool good = succeeded(result);
    portcullis_result_destroy(&result);
    portcullis_request_destroy(&request);
    return good;
}

static bool read_it(portcullis *client)
{
    portcullis_request *request = portcullis_request_new(
        "SELECT balance FROM demo.customers WHERE id = 1");
    portcullis_result *result = portcullis_call(client, request);
    bool good = succeeded(result) && portcullis_result_next(result);
    if (good) {
        const portcullis_value *balance = portcullis_result_value(result, 0); /* a DECIMAL: text */
        printf("balance %.*s, route %s\n", (int)balance->size, balance->data,
               portcullis_result_route(result));
    }
    portcullis_result_destroy(&result);
    portcullis_request_destroy(&request);
    return good;
}

int main(int argc, char **argv)
{
    char error[512];
    char tokens[PORTCULLIS_TOKENS_SIZE];
    portcullis_options options = {.bundle_file = argc > 1 ? argv[1] : NULL, .causal = true};
    portcullis *client = portcullis_open_options(&options, error, sizeof error);
    if (client == NULL) {
        fprintf(stderr, "%s\n", error);
        return 78;
    }
    bool good = argc > 2 ? portcullis_add_tokens(client, argv[2]) : add_one(client);
    good = good && read_it(client);
    portcullis_tokens(client, tokens);
    printf("%s\n", tokens);
    portcullis_close(&client);
    return good ? 0 : 1;
}
