#include "worker-agent/params.h"

#include "wire/mp.h"
#include "wire/request.h"
#include "wire/text.h"

#include <math.h>
#include <stdbool.h>

static const char *s_read_ext(const pcl_mp_value *value, pcl_param *param)
{
    param->bytes = value->bytes;
    if (value->ext_type == PCL_EXT_DECIMAL) {
        param->type = PCL_PARAM_DECIMAL;
        return pcl_text_is_decimal(value->bytes) ? NULL
                                                 : "extension 1 must be the text of a decimal";
    }
    if (value->ext_type == PCL_EXT_TEMPORAL) {
        param->type = PCL_PARAM_TEMPORAL;
        return pcl_text_is_temporal(value->bytes)
                   ? NULL
                   : "extension 2 must be the text of a date or a time";
    }
    return "the extension type must be 1 (decimal) or 2 (date or time)";
}

/* NULL when the value is a parameter, else the rule it broke. */
static const char *s_read_one(const pcl_mp_value *value, pcl_param *param)
{
    *param = (pcl_param){.type = PCL_PARAM_NULL};
    switch (value->type) {
    case PCL_MP_NIL:
        return NULL;
    case PCL_MP_BOOL:
        param->type = PCL_PARAM_INT;
        param->value.sint = value->boolean ? 1 : 0;
        return NULL;
    case PCL_MP_UINT:
        param->type = value->uint > INT64_MAX ? PCL_PARAM_UINT : PCL_PARAM_INT;
        if (value->uint > INT64_MAX) {
            param->value.uint = value->uint;
        } else {
            param->value.sint = (int64_t)value->uint;
        }
        return NULL;
    case PCL_MP_INT:
        param->type = PCL_PARAM_INT;
        param->value.sint = value->sint;
        return NULL;
    case PCL_MP_FLOAT:
        param->type = PCL_PARAM_DOUBLE;
        param->value.real = value->real;
        return isfinite(value->real) ? NULL : "must be a finite number: MySQL has no other";
    case PCL_MP_STR:
        param->type = PCL_PARAM_TEXT;
        param->bytes = value->bytes;
        return NULL;
    case PCL_MP_BIN:
        param->type = PCL_PARAM_OCTETS;
        param->bytes = value->bytes;
        return NULL;
    case PCL_MP_EXT:
        return s_read_ext(value, param);
    case PCL_MP_ARRAY:
    case PCL_MP_MAP:
        break;
    }
    return "must be nil, a bool, a number, a string, binary, a decimal or a time";
}

/* The shortest of a date with a time, the longest of the three; a date has one length. */
#define DATETIME_SIZE_MIN 19u
#define TEMPORAL_SIZE_MAX 32u
#define DATE_SIZE         10u

uint8_t pcl_param_kind(const pcl_param *param)
{
    enum { DATE = 0x10, TIME = 0x20, DATETIME = 0x30 };
    bool text = param->type == PCL_PARAM_TEXT || param->type == PCL_PARAM_TEMPORAL;
    uint8_t type = (uint8_t)param->type;
    if (!text || param->bytes.size > TEMPORAL_SIZE_MAX || !pcl_text_is_temporal(param->bytes)) {
        return type;
    }
    if (param->bytes.size >= DATETIME_SIZE_MIN) {
        return type | DATETIME;
    }
    return type | (param->bytes.size == DATE_SIZE && param->bytes.data[4] == '-' ? DATE : TIME);
}

static pcl_err s_fault(uint32_t index, const char *rule, uint32_t *out_index, const char **out_rule)
{
    *out_index = index;
    *out_rule = rule;
    return PCL_ERR_MALFORMED;
}

pcl_err pcl_params_read(pcl_bytes array, pcl_param *params, uint32_t count_max, uint32_t *out_count,
                        uint32_t *out_index, const char **out_rule)
{
    if (array.size == 0) {
        *out_count = 0;
        return PCL_ERR_OK;
    }
    pcl_mp_reader reader = pcl_mp_reader_of(array);
    pcl_mp_value value;
    if (!pcl_mp_next(&reader, &value) || value.type != PCL_MP_ARRAY) {
        return s_fault(0, "must be an array", out_index, out_rule);
    }
    uint32_t count = value.count;
    if (count > count_max) {
        return s_fault(count_max, "are too many", out_index, out_rule);
    }
    for (uint32_t index = 0; index < count; index++) {
        if (!pcl_mp_next(&reader, &value)) {
            return s_fault(index, "is cut short", out_index, out_rule);
        }
        const char *rule = s_read_one(&value, &params[index]);
        if (rule != NULL) {
            return s_fault(index, rule, out_index, out_rule);
        }
    }
    *out_count = count;
    return PCL_ERR_OK;
}
