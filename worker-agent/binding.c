#include "worker-agent/binding.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void pcl_binding_release(pcl_binding *self)
{
    free(self->params);
    free(self->binds);
    free(self->types);
    *self = (pcl_binding){0};
}

static bool s_reserve(pcl_binding *self, uint32_t count)
{
    if (count <= self->capacity) {
        return true;
    }
    pcl_param *params = realloc(self->params, count * sizeof *params);
    if (params != NULL) {
        self->params = params;
    }
    MYSQL_BIND *binds = realloc(self->binds, count * sizeof *binds);
    if (binds != NULL) {
        self->binds = binds;
    }
    uint8_t *types = realloc(self->types, count);
    if (types != NULL) {
        self->types = types;
    }
    if (params == NULL || binds == NULL || types == NULL) {
        return false;
    }
    self->capacity = count;
    return true;
}

pcl_err pcl_binding_read(pcl_binding *self, pcl_bytes array, uint32_t count)
{
    if (!s_reserve(self, count)) {
        return PCL_ERR_NO_MEMORY;
    }
    pcl_err err = pcl_params_read(array, self->params, count, &self->count, &self->fault_index,
                                  &self->fault_rule);
    for (uint32_t index = 0; err == PCL_ERR_OK && index < self->count; index++) {
        self->types[index] = pcl_param_kind(&self->params[index]);
    }
    return err;
}

pcl_bytes pcl_binding_types(const pcl_binding *self)
{
    return pcl_bytes_of(self->types, self->count);
}

/* The library only reads a parameter, but takes it as void *. */
static void *s_unconst(const void *data)
{
    union {
        const void *from;
        void *to;
    } pointer = {.from = data};
    return pointer.to;
}

static void s_bind_octets(MYSQL_BIND *bind, enum enum_field_types type, pcl_bytes octets)
{
    static char empty[1];
    bind->buffer_type = type;
    bind->buffer = octets.size > 0 ? s_unconst(octets.data) : empty;
    bind->buffer_length = (unsigned long)octets.size;
}

static void s_bind(MYSQL_BIND *bind, pcl_param *param)
{
    memset(bind, 0, sizeof *bind);
    switch (param->type) {
    case PCL_PARAM_NULL:
        bind->buffer_type = MYSQL_TYPE_NULL;
        return;
    case PCL_PARAM_INT:
        bind->buffer_type = MYSQL_TYPE_LONGLONG;
        bind->buffer = &param->value.sint;
        return;
    case PCL_PARAM_UINT:
        bind->buffer_type = MYSQL_TYPE_LONGLONG;
        bind->buffer = &param->value.uint;
        bind->is_unsigned = true;
        return;
    case PCL_PARAM_DOUBLE:
        bind->buffer_type = MYSQL_TYPE_DOUBLE;
        bind->buffer = &param->value.real;
        return;
    case PCL_PARAM_TEXT:
    case PCL_PARAM_TEMPORAL: /* the server reads the time from its text */
        s_bind_octets(bind, MYSQL_TYPE_STRING, param->bytes);
        return;
    case PCL_PARAM_OCTETS:
        s_bind_octets(bind, MYSQL_TYPE_BLOB, param->bytes);
        return;
    case PCL_PARAM_DECIMAL:
        s_bind_octets(bind, MYSQL_TYPE_NEWDECIMAL, param->bytes);
        return;
    }
}

bool pcl_binding_apply(const pcl_binding *self, MYSQL_STMT *stmt)
{
    assert(mysql_stmt_param_count(stmt) == self->count);
    if (self->count == 0) {
        return true;
    }
    for (uint32_t index = 0; index < self->count; index++) {
        s_bind(&self->binds[index], &self->params[index]);
    }
    return mysql_stmt_bind_param(stmt, self->binds) == 0;
}
