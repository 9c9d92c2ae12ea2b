#include "wire/json.h"

#include "common/limits.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void s_put_string(pcl_buffer *buffer, const char *text)
{
    pcl_buffer_put(buffer, text, strlen(text));
}

void pcl_json_put_uint(pcl_buffer *buffer, uint64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRIu64, value);
    s_put_string(buffer, text);
}

void pcl_json_put_int(pcl_buffer *buffer, int64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRId64, value);
    s_put_string(buffer, text);
}

void pcl_json_put_double(pcl_buffer *buffer, double value, bool single)
{
    if (!isfinite(value)) {
        s_put_string(buffer, "null");
        return;
    }
    char text[40];
    int most = single ? 9 : 17;
    for (int digits = single ? 6 : 15; digits <= most; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, value);
        bool same = single ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value;
        if (same) {
            break;
        }
    }
    s_put_string(buffer, text);
}

void pcl_json_put_hex(pcl_buffer *buffer, pcl_bytes octets, bool quoted)
{
    static const char digits[] = "0123456789abcdef";
    s_put_string(buffer, quoted ? "\"0x" : "0x");
    for (size_t index = 0; index < octets.size; index++) {
        char pair[2] = {digits[octets.data[index] >> 4], digits[octets.data[index] & 15]};
        pcl_buffer_put(buffer, pair, sizeof pair);
    }
    if (quoted) {
        pcl_buffer_put_u8(buffer, '"');
    }
}

void pcl_json_put_text(pcl_buffer *buffer, pcl_bytes text)
{
    pcl_buffer_put_u8(buffer, '"');
    size_t start = 0; /* of what needs no escape and is not written yet */
    for (size_t index = 0; index < text.size; index++) {
        uint8_t octet = text.data[index];
        if (octet >= 0x20 && octet != '"' && octet != '\\' && octet != 0x7f) {
            continue;
        }
        pcl_buffer_put(buffer, text.data + start, index - start);
        start = index + 1;
        char escape[8];
        if (octet == '"' || octet == '\\') {
            (void)snprintf(escape, sizeof escape, "\\%c", octet);
        } else if (octet == '\n' || octet == '\t' || octet == '\r') {
            (void)snprintf(escape, sizeof escape, "\\%c",
                           octet == '\n' ? 'n' : (octet == '\t' ? 't' : 'r'));
        } else {
            (void)snprintf(escape, sizeof escape, "\\u%04x", octet);
        }
        s_put_string(buffer, escape);
    }
    if (text.size > start) {
        pcl_buffer_put(buffer, text.data + start, text.size - start);
    }
    pcl_buffer_put_u8(buffer, '"');
}

static bool s_put_value(pcl_buffer *buffer, pcl_mp_reader *reader, uint32_t depth);

static bool s_put_container(pcl_buffer *buffer, pcl_mp_reader *reader, const pcl_mp_value *head,
                            uint32_t depth)
{
    bool map = head->type == PCL_MP_MAP;
    pcl_buffer_put_u8(buffer, map ? '{' : '[');
    for (uint32_t index = 0; index < head->count; index++) {
        if (index > 0) {
            pcl_buffer_put_u8(buffer, ',');
        }
        if (map) {
            if (!s_put_value(buffer, reader, depth)) {
                return false;
            }
            pcl_buffer_put_u8(buffer, ':');
        }
        if (!s_put_value(buffer, reader, depth)) {
            return false;
        }
    }
    pcl_buffer_put_u8(buffer, map ? '}' : ']');
    return true;
}

static bool s_put_value(pcl_buffer *buffer, pcl_mp_reader *reader, uint32_t depth)
{
    pcl_mp_value value;
    if (depth == 0 || !pcl_mp_next(reader, &value)) {
        return false;
    }
    switch (value.type) {
    case PCL_MP_NIL:
        s_put_string(buffer, "null");
        return true;
    case PCL_MP_BOOL:
        s_put_string(buffer, value.boolean ? "true" : "false");
        return true;
    case PCL_MP_UINT:
        pcl_json_put_uint(buffer, value.uint);
        return true;
    case PCL_MP_INT:
        pcl_json_put_int(buffer, value.sint);
        return true;
    case PCL_MP_FLOAT:
        pcl_json_put_double(buffer, value.real, false);
        return true;
    case PCL_MP_STR:
        pcl_json_put_text(buffer, value.bytes);
        return true;
    case PCL_MP_BIN:
    case PCL_MP_EXT:
        pcl_json_put_hex(buffer, value.bytes, true);
        return true;
    case PCL_MP_ARRAY:
    case PCL_MP_MAP:
        return s_put_container(buffer, reader, &value, depth - 1);
    }
    return false;
}

bool pcl_json_put(pcl_buffer *buffer, pcl_bytes octets)
{
    pcl_mp_reader reader = pcl_mp_reader_of(octets);
    return s_put_value(buffer, &reader, PCL_MSGPACK_DEPTH_MAX + 1) &&
           reader.offset == octets.size && !buffer->failed;
}
