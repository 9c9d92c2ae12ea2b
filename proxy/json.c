#include "proxy/json.h"

#include "wire/mp.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum { DEPTH_MAX = 16 };

static void s_raw(pcl_buffer *target, const char *text)
{
    pcl_bytes octets = pcl_bytes_text(text);
    pcl_buffer_put(target, octets.data, octets.size);
}

static void s_string(pcl_buffer *target, pcl_bytes text)
{
    pcl_buffer_put_u8(target, '"');
    for (size_t offset = 0; offset < text.size; offset++) {
        uint8_t octet = text.data[offset];
        if (octet == '"' || octet == '\\') {
            pcl_buffer_put_u8(target, '\\');
        }
        if (octet < 0x20) {
            char escape[8];
            snprintf(escape, sizeof escape, "\\u%04x", octet);
            s_raw(target, escape);
        } else {
            pcl_buffer_put_u8(target, octet);
        }
    }
    pcl_buffer_put_u8(target, '"');
}

static void s_hex(pcl_buffer *target, pcl_bytes octets)
{
    static const char DIGITS[] = "0123456789abcdef";
    pcl_buffer_put_u8(target, '"');
    for (size_t offset = 0; offset < octets.size; offset++) {
        pcl_buffer_put_u8(target, (uint8_t)DIGITS[octets.data[offset] >> 4]);
        pcl_buffer_put_u8(target, (uint8_t)DIGITS[octets.data[offset] & 15]);
    }
    pcl_buffer_put_u8(target, '"');
}

/* JSON has no infinities. */
static void s_real(pcl_buffer *target, double value)
{
    char text[32];
    snprintf(text, sizeof text, "%.9g", value);
    s_raw(target, isfinite(value) ? text : "null");
}

static void s_scalar(const pcl_mp_value *value, pcl_buffer *target)
{
    char text[32];
    switch (value->type) {
    case PCL_MP_NIL:
        s_raw(target, "null");
        return;
    case PCL_MP_BOOL:
        s_raw(target, value->boolean ? "true" : "false");
        return;
    case PCL_MP_UINT:
        snprintf(text, sizeof text, "%" PRIu64, value->uint);
        s_raw(target, text);
        return;
    case PCL_MP_INT:
        snprintf(text, sizeof text, "%" PRId64, value->sint);
        s_raw(target, text);
        return;
    case PCL_MP_FLOAT:
        s_real(target, value->real);
        return;
    case PCL_MP_STR:
        s_string(target, value->bytes);
        return;
    case PCL_MP_BIN:
    case PCL_MP_EXT:
        s_hex(target, value->bytes);
        return;
    case PCL_MP_ARRAY:
    case PCL_MP_MAP:
        return; /* s_value has these */
    }
}

/* Recursion is bounded by DEPTH_MAX. */
static bool s_value(pcl_mp_reader *reader, pcl_buffer *target, int depth)
{
    pcl_mp_value value;
    if (depth > DEPTH_MAX || !pcl_mp_next(reader, &value)) {
        return false;
    }
    bool map = value.type == PCL_MP_MAP;
    if (!map && value.type != PCL_MP_ARRAY) {
        s_scalar(&value, target);
        return true;
    }
    pcl_buffer_put_u8(target, map ? '{' : '[');
    for (uint32_t index = 0; index < value.count; index++) {
        if (index > 0) {
            pcl_buffer_put_u8(target, ',');
        }
        if (map) {
            if (!s_value(reader, target, depth + 1)) {
                return false;
            }
            pcl_buffer_put_u8(target, ':');
        }
        if (!s_value(reader, target, depth + 1)) {
            return false;
        }
    }
    pcl_buffer_put_u8(target, map ? '}' : ']');
    return true;
}

bool pcl_json_from_msgpack(pcl_bytes source, pcl_buffer *target)
{
    assert(target != NULL);
    pcl_mp_reader reader = pcl_mp_reader_of(source);
    return s_value(&reader, target, 0) && reader.offset == source.size && !target->failed;
}
