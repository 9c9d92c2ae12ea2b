/* query.c - one statement with a parameter, its rows, and what to do about a failure.
 *
 *     cc query.c $(pkg-config --cflags --libs portcullis) -o query
 *     ./query var/client.bundle 3
 */
#include <inttypes.h>
#include <portcullis.h>
#include <stdio.h>
#include <stdlib.h>

static void print_value(const portcullis_value *value)
{
    switch (value->type) {
    case PORTCULLIS_TYPE_NULL:
        printf("NULL");
        break;
    case PORTCULLIS_TYPE_BOOL:
    case PORTCULLIS_TYPE_INT:
        printf("%" PRId64, value->integer);
        break;
    case PORTCULLIS_TYPE_UINT:
        printf("%" PRIu64, value->uinteger);
        break;
    case PORTCULLIS_TYPE_DOUBLE:
        printf("%g", value->real);
        break;
    case PORTCULLIS_TYPE_TEXT:
        printf("%.*s", (int)value->size, value->data);
        break;
    case PORTCULLIS_TYPE_BLOB:
        printf("%zu octets", value->size);
        break;
    }
}

static void print_rows(portcullis_result *result)
{
    while (portcullis_result_next(result)) {
        for (uint32_t index = 0; index < portcullis_result_column_count(result); index++) {
            printf("%s%s=", index > 0 ? ", " : "", portcullis_result_column(result, index)->name);
            print_value(portcullis_result_value(result, index));
        }
        printf("\n");
    }
    printf("route: %s\n", portcullis_result_route(result));
}

int main(int argc, char **argv)
{
    char error[512];
    portcullis *client = portcullis_open(argc > 1 ? argv[1] : NULL, error, sizeof error);
    if (client == NULL) {
        fprintf(stderr, "%s\n", error);
        return 78;
    }
    portcullis_request *request = portcullis_request_new(
        "SELECT id, name, price FROM products WHERE id <= ?");
    if (request == NULL || !portcullis_request_set_db(request, "demo") ||
        !portcullis_request_add_int(request, argc > 2 ? atoll(argv[2]) : 5)) {
        fprintf(stderr, "out of memory\n");
        portcullis_request_destroy(&request);
        portcullis_close(&client);
        return 3;
    }
    portcullis_request_set_timeout(request, 2000); /* milliseconds */

    portcullis_result *result = portcullis_call(client, request);
    int code = 0;
    if (portcullis_result_code(result) == PORTCULLIS_OK) {
        print_rows(result);
    } else {
        fprintf(stderr, "%s: %s\n", portcullis_result_code_text(result),
                portcullis_result_message(result));
        code = portcullis_result_retry(result) == PORTCULLIS_RETRY_SAFE ? 3 : 1;
    }
    portcullis_result_destroy(&result);
    portcullis_request_destroy(&request);
    portcullis_close(&client);
    return code;
}
