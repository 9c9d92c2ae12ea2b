#include "client/command/show.h"

#include "client/command/command.h"
#include "client/command/interrupt.h"
#include "client/result.h"
#include "net/time.h"
#include "wire/json.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static void s_put_write_as_json(FILE *out, const pcl_reply *reply)
{
    pcl_buffer text;
    pcl_buffer_init(&text, SIZE_MAX);
    char counts[120];
    (void)snprintf(
        counts, sizeof counts, "{\"affected\":%llu,\"insert_id\":%llu,\"warnings\":%u,\"token\":",
        (unsigned long long)reply->affected, (unsigned long long)reply->insert_id, reply->warnings);
    pcl_buffer_put(&text, counts, strlen(counts));
    if (reply->token.size > 0) {
        pcl_json_put_text(&text, reply->token);
    } else {
        pcl_buffer_put(&text, "null", 4);
    }
    pcl_buffer_put(&text, "}\n", 2);
    (void)pcl_command_write(out,
                            pcl_buffer_bytes(&text)); /* the stream's state is looked at later */
    pcl_buffer_release(&text);
}

static void s_put_token(FILE *out, const pcl_reply *reply)
{
    pcl_buffer text;
    pcl_buffer_init(&text, SIZE_MAX);
    pcl_format_put_text(&text, reply->token);
    (void)fputs("token ", out);
    (void)pcl_command_write(out, pcl_buffer_bytes(&text)); /* as above */
    (void)fputc('\n', out);
    pcl_buffer_release(&text);
}

/* The line for people under a result; nothing in the formats for programs. */
static void s_put_footer(const pcl_show *self, const pcl_reply *reply, uint64_t rows,
                         uint64_t took_us)
{
    if (self->format != PCL_FORMAT_TABLE && self->format != PCL_FORMAT_VERTICAL) {
        return;
    }
    char warnings[40] = "";
    if (reply->warnings > 0) {
        (void)snprintf(warnings, sizeof warnings, ", %u warning%s", reply->warnings,
                       reply->warnings == 1 ? "" : "s");
    }
    char took[40] = "";
    if (self->timing) {
        (void)snprintf(took, sizeof took, " (%.1f ms)", (double)took_us / 1000.0);
    }
    FILE *out = self->out;
    if (reply->has_columns) {
        if (self->terminal) {
            (void)fprintf(out, "%" PRIu64 " row%s%s%s\n", rows, rows == 1 ? "" : "s", warnings,
                          took);
        }
        return;
    }
    (void)fprintf(out, "%" PRIu64 " row%s affected", reply->affected,
                  reply->affected == 1 ? "" : "s");
    if (reply->insert_id > 0) {
        (void)fprintf(out, ", insert id %" PRIu64, reply->insert_id);
    }
    (void)fprintf(out, "%s%s\n", warnings, took);
    if (reply->token.size > 0 && self->terminal) {
        s_put_token(out, reply);
    }
}

static void s_put_metadata(portcullis_result *result)
{
    (void)fflush(stdout);
    for (uint32_t index = 0; index < portcullis_result_column_count(result); index++) {
        const portcullis_column *column = portcullis_result_column(result, index);
        const char *names[5] = {column->name, column->schema, column->table, column->org_table,
                                column->org_name};
        static const char *const titles[5] = {"name", "schema", "table", "org_table", "org_name"};
        (void)fprintf(stderr,
                      "column: type=%s flags=%" PRIu32 " charset=%" PRIu32 " length=%" PRIu32
                      " decimals=%" PRIu32,
                      column->type, column->flags, column->charset, column->length,
                      column->decimals);
        for (size_t name = 0; name < 5; name++) {
            (void)fprintf(stderr, " %s=", titles[name]);
            pcl_command_put_text(stderr, names[name]);
        }
        (void)fputc('\n', stderr);
    }
}

/* A result that is being shown. */
typedef struct paging {
    const pcl_show *show;
    portcullis_result *first; /* borrowed */
    portcullis_result *page;  /* the present one; owned unless it is the first */
    portcullis_future *ahead; /* of the next one, which comes while this one is written; or NULL */
    uint64_t rows;            /* that were shown */
} paging;

/* Sends for the next page.  false: there is none. */
static bool s_send_ahead(paging *self)
{
    if (!portcullis_result_has_more(self->page) || pcl_interrupt_came()) {
        return false;
    }
    self->ahead = portcullis_result_start_fetch(self->page);
    return true;
}

/* The next page in the place of this one.  false: there is none, or it could not be had. */
static bool s_turn_page(paging *self)
{
    if (self->ahead == NULL) {
        portcullis_result_give_up(self->page); /* after an interrupt there may be one */
        return false;
    }
    portcullis_result *page = pcl_interrupt_wait(self->show->client, self->ahead);
    self->ahead = NULL;
    if (self->page != self->first) {
        portcullis_result_destroy(&self->page);
    }
    self->page = page;
    bool good = page != NULL && portcullis_result_code(page) == PORTCULLIS_OK;
    if (good && pcl_interrupt_came()) {
        portcullis_result_give_up(page); /* it had come already, and is not shown */
        return false;
    }
    return good;
}

/* Were all pages shown? */
static bool s_is_whole(const paging *self)
{
    return self->page != NULL && portcullis_result_code(self->page) == PORTCULLIS_OK &&
           !portcullis_result_has_more(self->page) && !pcl_interrupt_came();
}

/* Rows of all pages.  false: they cannot be written. */
static bool s_put_pages(paging *self)
{
    pcl_format format = self->show->format;
    pcl_format_writer *writer = pcl_format_writer_new(format, pcl_command_write, self->show->out);
    bool good = writer != NULL;
    while (good) {
        bool more = s_send_ahead(self);
        good = pcl_format_writer_page(writer, pcl_result_reply(self->page));
        self->rows = pcl_format_writer_rows(writer);
        good = good && (!more || fflush(self->show->out) == 0);
        if (!good || !s_turn_page(self)) {
            break;
        }
    }
    /* What is for programs stays without its end, so that none takes a part for the whole. */
    if (good && (s_is_whole(self) || format == PCL_FORMAT_TABLE)) {
        good = pcl_format_writer_end(writer);
    }
    pcl_format_writer_destroy(&writer);
    return good;
}

/* Replies as they came, one behind the other. */
static bool s_put_octets(paging *self)
{
    bool good = true;
    do {
        size_t size = 0;
        (void)s_send_ahead(self);
        const void *octets = portcullis_result_octets(self->page, &size);
        self->rows += portcullis_result_row_count(self->page);
        good = pcl_command_write(self->show->out, pcl_bytes_of(octets, size)) &&
               fflush(self->show->out) == 0;
    } while (good && s_turn_page(self));
    return good;
}

/* Each write has the token of all, since they were committed together. */
static bool s_put_statements(const pcl_show *self, portcullis_result *result, uint64_t took_us)
{
    bool good = true;
    uint32_t count = portcullis_result_statement_count(result);
    for (uint32_t index = 0; good && index < count; index++) {
        portcullis_result *part = portcullis_result_statement(result, index);
        good = pcl_result_reply(part) != NULL; /* else there was no memory for it */
        if (!good) {
            break;
        }
        pcl_reply reply = *pcl_result_reply(part);
        if (self->format == PCL_FORMAT_JSON || index + 1 == count) {
            reply.token = pcl_result_reply(result)->token;
        }
        if (reply.has_columns) {
            good = pcl_format_rows(self->format, &reply, pcl_command_write, self->out);
        } else if (self->format == PCL_FORMAT_JSON) {
            s_put_write_as_json(self->out, &reply);
        }
        if (self->metadata) {
            s_put_metadata(part);
        }
        if (good) {
            s_put_footer(self, &reply, reply.row_count, took_us);
        }
    }
    return good;
}

/* What became of the pages behind the first; exit code. */
static int s_judge(const paging *self, const char *what)
{
    if (self->page == NULL) {
        (void)fprintf(stderr, "portcullis: out of memory after %" PRIu64 " rows\n", self->rows);
        return PCL_EXIT_RETRY;
    }
    if (portcullis_result_code(self->page) != PORTCULLIS_OK) {
        char place[80];
        (void)snprintf(place, sizeof place, "%s%safter %" PRIu64 " rows", what != NULL ? what : "",
                       what != NULL ? ", " : "", self->rows);
        return pcl_command_fail(self->page, place);
    }
    if (pcl_interrupt_came() && self->page != self->first) {
        (void)fprintf(stderr, "portcullis: interrupted after %" PRIu64 " rows\n", self->rows);
    }
    return PCL_EXIT_OK;
}

int pcl_show_result(const pcl_show *self, portcullis_result *result, const char *what,
                    uint64_t began_us)
{
    const pcl_reply *reply = pcl_result_reply(result);
    uint64_t took_us = pcl_now_us() - began_us;
    paging pages = {.show = self, .first = result, .page = result};
    bool good = true;
    if (self->format == PCL_FORMAT_MSGPACK) {
        good = s_put_octets(&pages);
    } else if (reply->has_results) {
        good = s_put_statements(self, result, took_us);
    } else if (reply->has_columns) {
        good = s_put_pages(&pages);
    } else if (self->format == PCL_FORMAT_JSON) {
        s_put_write_as_json(self->out, reply);
    }
    int code = s_judge(&pages, what);
    if (good && code == PCL_EXIT_OK && !reply->has_results) {
        s_put_footer(self, pcl_result_reply(pages.page), pages.rows, pcl_now_us() - began_us);
    }
    good = fflush(self->out) == 0 && good && !ferror(self->out);
    int cause = errno;
    if (pages.ahead != NULL) {
        /* Nothing could be written any more; what comes of it all the same ends its cursor. */
        (void)portcullis_cancel(self->client, portcullis_future_id(pages.ahead));
        portcullis_future_destroy(&pages.ahead);
    }
    if (self->metadata) {
        s_put_metadata(result);
    }
    if (self->token && reply->token.size > 0) {
        s_put_token(stderr, reply);
    }
    if (self->route) {
        pcl_command_put_route(result);
    }
    if (pages.page != result) {
        portcullis_result_destroy(&pages.page);
    }
    if (!good && !(self->may_be_left && cause == EPIPE)) {
        (void)fprintf(stderr, "portcullis: cannot write the result: %s\n", strerror(cause));
        return PCL_EXIT_REFUSED;
    }
    return pcl_interrupt_came() ? PCL_EXIT_INTERRUPTED : code;
}
