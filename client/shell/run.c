#include "client/shell/state.h"

#include "client/command/command.h"
#include "client/command/interrupt.h"
#include "client/command/show.h"
#include "net/time.h"

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define FRAME_ROWS 6u /* of a screen: around a table, and the prompt */

void pcl_shell_note(pcl_shell *self, int code)
{
    self->failure = self->failure == PCL_EXIT_OK ? code : self->failure;
}

void pcl_shell_complain(pcl_shell *self, const char *problem)
{
    (void)fflush(stdout);
    (void)fputs("portcullis: ", stderr);
    pcl_command_put_text(stderr, problem);
    (void)fputc('\n', stderr);
    pcl_shell_note(self, PCL_EXIT_USAGE);
}

/* --- Statements -------------------------------------------------------------- */

bool pcl_shell_put_consistency(portcullis_request *request, const char *text,
                               const char **out_problem)
{
    if (strcmp(text, "causal") == 0) {
        portcullis_request_set_consistency_default(request);
        return true;
    }
    return pcl_command_set_consistency(request, text, out_problem);
}

static bool s_set_up(const pcl_shell *self, portcullis_request *request)
{
    portcullis_request_set_timeout(request, self->timeout_ms);
    portcullis_request_set_explain_route(request, self->explain);
    portcullis_request_set_page_rows(request, self->page_rows);
    const char *problem = "";
    bool good = portcullis_request_set_db(request, self->db);
    if (self->session == NULL) { /* a session has its node */
        good = good && portcullis_request_set_strategy(request, self->strategy) &&
               pcl_shell_put_consistency(request, self->consistency, &problem);
    }
    return good;
}

/* NULL: memory is out. */
static portcullis_result *s_send(pcl_shell *self, const portcullis_request *request)
{
    portcullis_future *future = self->session != NULL
                                    ? portcullis_session_start(self->session, request)
                                    : portcullis_start(self->client, request);
    return pcl_interrupt_wait(self->client, future);
}

/* Where a result is written: the pager when it would not fit on the screen; else NULL. */
static FILE *s_open_pager(const pcl_shell *self, portcullis_result *result, pcl_format format)
{
    struct winsize size;
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0;
    uint32_t screen = known ? size.ws_row : 24;
    uint64_t lines = portcullis_result_row_count(result);
    lines *= format == PCL_FORMAT_VERTICAL ? portcullis_result_column_count(result) + 1u : 1u;
    if (!self->talks || self->pager[0] == '\0' ||
        (!portcullis_result_has_more(result) && lines + FRAME_ROWS <= screen)) {
        return NULL;
    }
    (void)fflush(stdout);
    return popen(self->pager, "w");
}

static void s_show(pcl_shell *self, portcullis_result *result, bool vertical, uint64_t began_us)
{
    pcl_format format = vertical ? PCL_FORMAT_VERTICAL : self->format;
    FILE *pager = s_open_pager(self, result, format);
    const pcl_show show = {
        .client = self->client,
        .out = pager != NULL ? pager : stdout,
        .may_be_left = pager != NULL,
        .format = format,
        .terminal = self->talks,
        .timing = self->timing,
        .route = self->route || self->explain,
    };
    pcl_shell_note(self, pcl_show_result(&show, result, NULL, began_us));
    if (pager != NULL) {
        (void)pclose(pager);
    }
}

static void s_fail(pcl_shell *self, portcullis_result *result)
{
    pcl_shell_note(self, pcl_command_fail(result, NULL));
    if (self->route || self->explain) {
        pcl_command_put_route(result);
    }
    if (portcullis_result_code(result) == PORTCULLIS_UNSUPPORTED && self->session == NULL &&
        strstr(portcullis_result_message(result), "session") != NULL) {
        (void)fputs("portcullis: \\begin plain opens a session for such statements\n", stderr);
    }
}

/* Forgets a session that has ended, by whatever. */
static void s_look_at_session(pcl_shell *self)
{
    if (self->session != NULL && !portcullis_session_is_open(self->session)) {
        portcullis_session_destroy(&self->session);
    }
}

void pcl_shell_run(pcl_shell *self, pcl_bytes sql, bool vertical)
{
    portcullis_request *request = portcullis_request_new_sized((const char *)sql.data, sql.size);
    if (request == NULL || !s_set_up(self, request)) {
        pcl_shell_complain(self, "the statement is over its limit, or memory is out");
        portcullis_request_destroy(&request);
        return;
    }
    pcl_interrupt_catch(false);
    uint64_t began_us = pcl_now_us();
    portcullis_result *result = s_send(self, request);
    portcullis_request_destroy(&request);
    if (result == NULL) {
        pcl_shell_complain(self, "memory is out");
        return;
    }
    if (portcullis_result_code(result) == PORTCULLIS_OK) {
        s_show(self, result, vertical, began_us);
    } else {
        s_fail(self, result);
    }
    portcullis_result_destroy(&result);
    s_look_at_session(self);
}

/* --- Sessions ---------------------------------------------------------------- */

/* A session's first transaction ends at once, so that it is in autocommit. */
static void s_make_plain(pcl_shell *self)
{
    portcullis_request *request = portcullis_request_new("COMMIT");
    if (request != NULL) {
        portcullis_result *result = s_send(self, request);
        if (result != NULL && portcullis_result_code(result) != PORTCULLIS_OK) {
            pcl_shell_note(self, pcl_command_fail(result, NULL));
        }
        portcullis_result_destroy(&result);
        portcullis_request_destroy(&request);
    }
}

void pcl_shell_begin(pcl_shell *self, pcl_bytes how)
{
    if (self->session != NULL) {
        pcl_shell_complain(self, "a session is open already: \\commit or \\rollback ends it");
        return;
    }
    portcullis_request *request = portcullis_request_new_begin(pcl_bytes_is(how, "read-only"));
    if (request == NULL || !s_set_up(self, request)) {
        pcl_shell_complain(self, "memory is out");
        portcullis_request_destroy(&request);
        return;
    }
    portcullis_result *result = NULL;
    self->session = portcullis_session_begin(self->client, request, &result);
    portcullis_request_destroy(&request);
    self->plain = pcl_bytes_is(how, "plain");
    if (self->session == NULL) {
        pcl_shell_note(self, pcl_command_fail(result, NULL));
    } else if (self->plain) {
        s_make_plain(self);
    }
    if (self->route || self->explain) {
        pcl_command_put_route(result);
    }
    portcullis_result_destroy(&result);
}

void pcl_shell_end(pcl_shell *self, bool commit)
{
    if (self->session == NULL) {
        pcl_shell_complain(self, "no session is open");
        return;
    }
    uint64_t began_us = pcl_now_us();
    portcullis_result *result = commit ? portcullis_session_commit(self->session)
                                       : portcullis_session_rollback(self->session);
    if (portcullis_result_code(result) != PORTCULLIS_OK) {
        pcl_shell_note(self, pcl_command_fail(result, NULL));
    } else if (self->timing) {
        (void)printf("%s (%.1f ms)\n", commit ? "committed" : "rolled back",
                     (double)(pcl_now_us() - began_us) / 1000.0);
    }
    portcullis_result_destroy(&result);
    s_look_at_session(self);
}
