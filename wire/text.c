#include "wire/text.h"

#include <stdint.h>

static bool s_is_digit(uint8_t octet)
{
    return octet >= '0' && octet <= '9';
}

/* Whether the octet at *offset is one of two; passes it then. */
static bool s_take(pcl_bytes text, size_t *offset, uint8_t one, uint8_t other)
{
    if (*offset < text.size && (text.data[*offset] == one || text.data[*offset] == other)) {
        (*offset)++;
        return true;
    }
    return false;
}

/* Passes digits, at most max, and returns how many there were. */
static size_t s_take_digits(pcl_bytes text, size_t *offset, size_t max)
{
    size_t count = 0;
    while (count < max && *offset < text.size && s_is_digit(text.data[*offset])) {
        (*offset)++;
        count++;
    }
    return count;
}

bool pcl_text_is_decimal(pcl_bytes text)
{
    size_t offset = 0;
    (void)s_take(text, &offset, '-', '-'); /* a sign may stand there */
    size_t whole = s_take_digits(text, &offset, PCL_DECIMAL_DIGITS_MAX);
    if (whole == 0) {
        return false;
    }
    if (s_take(text, &offset, '.', '.') &&
        s_take_digits(text, &offset, PCL_DECIMAL_DIGITS_MAX - whole) == 0) {
        return false;
    }
    return offset == text.size;
}

/* :MM:SS[.f] up to the end, after the hours. */
static bool s_is_time_tail(pcl_bytes text, size_t offset)
{
    if (!s_take(text, &offset, ':', ':') || s_take_digits(text, &offset, 2) != 2 ||
        !s_take(text, &offset, ':', ':') || s_take_digits(text, &offset, 2) != 2) {
        return false;
    }
    if (s_take(text, &offset, '.', '.') && s_take_digits(text, &offset, 6) == 0) {
        return false;
    }
    return offset == text.size;
}

static bool s_is_time(pcl_bytes text)
{
    size_t offset = 0;
    (void)s_take(text, &offset, '-', '-'); /* a TIME may be negative */
    return s_take_digits(text, &offset, 3) > 0 && s_is_time_tail(text, offset);
}

bool pcl_text_is_temporal(pcl_bytes text)
{
    size_t offset = 0;
    if (s_take_digits(text, &offset, 4) != 4 || !s_take(text, &offset, '-', '-') ||
        s_take_digits(text, &offset, 2) != 2 || !s_take(text, &offset, '-', '-') ||
        s_take_digits(text, &offset, 2) != 2) {
        return s_is_time(text);
    }
    if (offset == text.size) {
        return true;
    }
    return s_take(text, &offset, 'T', ' ') && s_take_digits(text, &offset, 2) == 2 &&
           s_is_time_tail(text, offset);
}

static bool s_take_hex(pcl_bytes text, size_t *offset, size_t count)
{
    for (size_t index = 0; index < count; index++) {
        if (*offset == text.size) {
            return false;
        }
        uint8_t octet = text.data[*offset];
        if (!s_is_digit(octet) && (octet < 'a' || octet > 'f')) {
            return false;
        }
        (*offset)++;
    }
    return true;
}

bool pcl_text_is_traceparent(pcl_bytes text)
{
    size_t offset = 0;
    if (!pcl_text_is_printable(text) || !s_take_hex(text, &offset, 2) ||
        !s_take(text, &offset, '-', '-') || !s_take_hex(text, &offset, 32) ||
        !s_take(text, &offset, '-', '-') || !s_take_hex(text, &offset, 16) ||
        !s_take(text, &offset, '-', '-') || !s_take_hex(text, &offset, 2)) {
        return false;
    }
    bool version_0 = text.data[0] == '0' && text.data[1] == '0';
    bool version_ff = text.data[0] == 'f' && text.data[1] == 'f'; /* never to be used */
    return !version_ff && (offset == text.size || (!version_0 && text.data[offset] == '-'));
}

bool pcl_text_is_printable(pcl_bytes text)
{
    for (size_t index = 0; index < text.size; index++) {
        if (text.data[index] < 0x20 || text.data[index] > 0x7e) {
            return false;
        }
    }
    return text.size > 0;
}
