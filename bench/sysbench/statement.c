#include "bench/sysbench/statement.h"

#include <assert.h>
#include <stddef.h>

static bool s_add(const pcl_sysbench_param *param, portcullis_request *request)
{
    if (param->type == PORTCULLIS_TYPE_INT) {
        return portcullis_request_add_int(request, param->integer);
    }
    if (param->type == PORTCULLIS_TYPE_DOUBLE) {
        return portcullis_request_add_double(request, param->real);
    }
    if (param->type == PORTCULLIS_TYPE_TEXT) {
        return portcullis_request_add_text_sized(request, param->text, param->size);
    }
    assert(param->type == PORTCULLIS_TYPE_NULL); /* the driver makes no other */
    return portcullis_request_add_null(request);
}

bool pcl_sysbench_bind(const pcl_sysbench_statement *self, portcullis_request *request)
{
    bool bound = true;
    for (uint32_t index = 0; index < self->param_count && bound; index++) {
        bound = s_add(self->params[index], request);
    }
    return bound;
}

static portcullis_result *s_send(const pcl_sysbench_statement *self)
{
    const pcl_sysbench_connection *connection = self->connection;
    portcullis_session *session = *connection->session;
    if (connection->strategy != NULL) { /* a session has that of its begin */
        bool known = portcullis_request_set_strategy(self->request,
                                                     session == NULL ? connection->strategy : NULL);
        assert(known); /* the driver has tried it */
    }
    return session != NULL ? portcullis_session_call(session, self->request)
                           : portcullis_call(connection->client, self->request);
}

/* All pages; the brief's code is that of the last one. */
static void s_pass_over(portcullis_result *result, portcullis_brief *brief)
{
    uint32_t row_count = brief->row_count;
    for (bool fetched = true; fetched && brief->has_more;) {
        fetched = portcullis_result_fetch(result);
        portcullis_result_brief(result, brief);
        row_count += fetched ? brief->row_count : 0;
    }
    brief->row_count = row_count;
}

static int s_count(const pcl_sysbench_connection *connection, const portcullis_brief *brief)
{
    if (brief->column_count > 0) {
        connection->count(connection->thread, connection->counter_read);
        return PCL_SYSBENCH_ROWS;
    }
    connection->count(connection->thread,
                      brief->affected > 0 ? connection->counter_write : connection->counter_other);
    return PCL_SYSBENCH_DONE;
}

int pcl_sysbench_execute(pcl_sysbench_statement *self)
{
    portcullis_request_clear_params(self->request);
    if (!pcl_sysbench_bind(self, self->request)) {
        return PCL_SYSBENCH_UNBOUND;
    }
    portcullis_result *result = s_send(self);
    portcullis_result_brief(result, &self->brief);
    s_pass_over(result, &self->brief);
    if (self->brief.code != PORTCULLIS_OK) {
        *self->connection->failure = result;
        return PCL_SYSBENCH_FAILED;
    }
    portcullis_result_destroy(&result);
    return s_count(self->connection, &self->brief);
}
