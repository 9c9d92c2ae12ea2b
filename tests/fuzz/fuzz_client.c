/* What a client reads that others wrote: bundles, files of statements, parameters, policies and
 * key lists whose principals it changes, replies in every format.  The first octet says which.  */
#include "client/belief.h"
#include "client/bundle.h"
#include "client/command/principals.h"
#include "client/format.h"
#include "client/param.h"
#include "client/splitter.h"
#include "wire/json.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void s_bundle(pcl_bytes text)
{
    pcl_bundle bundle;
    pcl_buffer problems;
    pcl_buffer_init(&problems, 1u << 20);
    bool parsed = pcl_bundle_parse(&bundle, text, "bundle", &problems);
    assert(parsed == (problems.size == 0));
    for (uint32_t index = 0; parsed && index < bundle.gatekeeper_count; index++) {
        assert(pcl_bundle_endpoint_valid(pcl_bytes_text(bundle.gatekeepers[index].endpoint)));
    }
    if (parsed) { /* what is written of it is read as the same */
        pcl_bundle again;
        pcl_buffer written;
        pcl_buffer_init(&written, PCL_BUNDLE_SIZE_MAX);
        pcl_bundle_put(&bundle, &written);
        assert(pcl_bundle_parse(&again, pcl_buffer_bytes(&written), "bundle", &problems));
        assert(strcmp(again.broker_key, bundle.broker_key) == 0);
        assert(strcmp(again.secret_key, bundle.secret_key) == 0);
        assert(again.gatekeeper_count == bundle.gatekeeper_count);
        pcl_buffer_release(&written);
    }
    pcl_buffer_release(&problems);
}

/* The lines of text are a start of those of whole, but for the newline at its end. */
static void s_require_start(pcl_bytes whole, pcl_bytes text)
{
    assert(whole.size >= text.size);
    assert(text.size == 0 || memcmp(whole.data, text.data, text.size) == 0);
}

static void s_principals(pcl_bytes text)
{
    pcl_buffer added, removed;
    pcl_buffer_init(&added, 1u << 22);
    pcl_buffer_init(&removed, 1u << 22);
    bool there = pcl_principals_remove(&removed, text, "bob");
    if (!there) {
        assert(removed.size == 0);
        pcl_principals_add(&added, text, "bob", "app", "KEY");
        assert(pcl_principals_remove(&removed, pcl_buffer_bytes(&added), "bob"));
        assert(removed.size >= text.size);
    }
    pcl_buffer_clear(&added);
    pcl_buffer_clear(&removed);
    there = pcl_clients_remove(&removed, text, "bob");
    if (!there) {
        pcl_clients_add(&added, text, "bob", "KEY");
        s_require_start(pcl_buffer_bytes(&added), text);
        assert(pcl_clients_remove(&removed, pcl_buffer_bytes(&added), "bob"));
        s_require_start(pcl_buffer_bytes(&removed), text);
    }
    pcl_buffer_release(&added);
    pcl_buffer_release(&removed);
}

static void s_statements(pcl_bytes text)
{
    pcl_splitter splitter = pcl_splitter_of(text);
    pcl_bytes statement;
    size_t before = 0;
    while (pcl_splitter_next(&splitter, &statement)) {
        assert(statement.size > 0);
        assert(statement.data >= text.data + before);
        assert(splitter.offset > before && splitter.offset <= text.size);
        before = splitter.offset;
    }
}

static void s_param(pcl_bytes text)
{
    char *argument = malloc(text.size + 1);
    assert(argument != NULL);
    if (text.size > 0) {
        memcpy(argument, text.data, text.size);
    }
    argument[text.size] = '\0';
    pcl_param param;
    const char *problem = NULL;
    if (pcl_param_parse(&param, argument, &problem)) {
        pcl_param_release(&param);
    } else {
        assert(problem != NULL);
    }
    free(argument);
}

static bool s_sink(void *context, pcl_bytes text)
{
    size_t *total = context;
    *total += text.size;
    for (size_t index = 0; index < text.size; index++) { /* nothing that a terminal obeys */
        assert(text.data[index] >= 0x20 || text.data[index] == '\n');
    }
    return *total < 1u << 22;
}

static bool s_any_sink(void *context, pcl_bytes text)
{
    size_t *total = context;
    *total += text.size;
    return *total < 1u << 22;
}

/* As a result of one page, and as one of two. */
static void s_rows(pcl_format format, const pcl_reply *reply)
{
    size_t total = 0;
    bool terminal = format == PCL_FORMAT_TABLE || format == PCL_FORMAT_VERTICAL;
    pcl_format_sink *sink = terminal ? s_sink : s_any_sink;
    bool written = pcl_format_rows(format, reply, sink, &total);
    assert(written || total > 0);
    pcl_format_writer *writer = pcl_format_writer_new(format, sink, &total);
    assert(writer != NULL);
    bool twice = pcl_format_writer_page(writer, reply) && pcl_format_writer_page(writer, reply) &&
                 pcl_format_writer_end(writer);
    assert(twice || total > 0);
    assert(!twice || pcl_format_writer_rows(writer) == 2ull * reply->row_count);
    pcl_format_writer_destroy(&writer);
}

static void s_reply(pcl_bytes octets)
{
    pcl_reply reply;
    if (pcl_reply_decode(&reply, octets) != PCL_ERR_OK) {
        return;
    }
    assert(pcl_believe(&reply, true) == PCL_BELIEF_WORD);
    assert(pcl_believe(&reply, false) == PCL_BELIEF_NONE || !reply.ok);
    pcl_buffer json;
    pcl_buffer_init(&json, 1u << 22);
    bool whole = pcl_json_put(&json, octets);
    assert(whole || json.failed);
    pcl_buffer_release(&json);
    for (int format = PCL_FORMAT_TABLE; format < PCL_FORMAT_MSGPACK; format++) {
        if (reply.has_columns) {
            s_rows((pcl_format)format, &reply);
        }
        for (uint32_t index = 0; index < reply.result_count && index < 8; index++) {
            pcl_reply part;
            pcl_reply_result(&reply, index, &part);
            if (part.has_columns) {
                s_rows((pcl_format)format, &part);
            }
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    pcl_bytes rest = pcl_bytes_of(data + 1, size - 1);
    switch (data[0]) {
    case 'b':
        s_bundle(rest);
        break;
    case 'l':
        s_principals(rest);
        break;
    case 's':
        s_statements(rest);
        break;
    case 'p':
        s_param(rest);
        break;
    default:
        s_reply(rest);
        break;
    }
    return 0;
}
