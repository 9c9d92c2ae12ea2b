#include "client/param.h"

#include "common/limits.h"
#include "wire/text.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool s_fail(const char **out_problem, const char *problem)
{
    *out_problem = problem;
    return false;
}

static bool s_parse_integer(pcl_param *param, const char *text, const char **out_problem)
{
    const char *digits = text + (text[0] == '-' || text[0] == '+' ? 1 : 0);
    if (digits[0] == '\0' || strspn(digits, "0123456789") != strlen(digits)) {
        return s_fail(out_problem, "i: must be followed by an integer");
    }
    errno = 0;
    if (text[0] == '-') {
        param->type = PCL_PARAM_INT;
        param->integer = strtoll(text, NULL, 10);
    } else {
        param->uinteger = strtoull(digits, NULL, 10);
        param->type = param->uinteger > INT64_MAX ? PCL_PARAM_UINT : PCL_PARAM_INT;
        param->integer = param->type == PCL_PARAM_INT ? (int64_t)param->uinteger : 0;
    }
    return errno == 0 || s_fail(out_problem, "i: the integer does not fit 64 bits");
}

static bool s_parse_real(pcl_param *param, const char *text, const char **out_problem)
{
    char *end = NULL;
    param->type = PCL_PARAM_DOUBLE;
    param->real = strtod(text, &end);
    bool good = end != text && *end == '\0' && isfinite(param->real);
    return good || s_fail(out_problem, "f: must be followed by a finite number");
}

static int s_hex_digit(char character)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *place = character != '\0' ? strchr(digits, character) : NULL;
    return place != NULL ? (int)((place - digits) & 15) : -1;
}

static bool s_parse_blob(pcl_param *param, const char *text, const char **out_problem)
{
    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
        text += 2;
    }
    size_t size = strlen(text);
    param->type = PCL_PARAM_BLOB;
    pcl_buffer_init(&param->octets, PCL_REQUEST_SIZE_MAX);
    for (size_t index = 0; index + 1 < size; index += 2) {
        int high = s_hex_digit(text[index]);
        int low = s_hex_digit(text[index + 1]);
        if (high < 0 || low < 0) {
            pcl_buffer_release(&param->octets);
            return s_fail(out_problem, "b: must be followed by hexadecimal digits");
        }
        pcl_buffer_put_u8(&param->octets, (uint8_t)(high * 16 + low));
    }
    if (size % 2 != 0 || param->octets.failed) {
        pcl_buffer_release(&param->octets);
        return s_fail(out_problem, size % 2 != 0 ? "b: must have an even number of digits"
                                                 : "b: is over the limit of a request");
    }
    return true;
}

static bool s_parse_decimal(pcl_param *param, const char *text, const char **out_problem)
{
    param->type = PCL_PARAM_DECIMAL;
    param->text = text;
    return pcl_text_is_decimal(pcl_bytes_text(text)) ||
           s_fail(out_problem, "d: must be followed by a decimal number of at most 65 digits, like "
                               "-12.50");
}

/* The syntax; the agent knows the calendar. */
static bool s_parse_temporal(pcl_param *param, const char *text, const char **out_problem)
{
    param->type = PCL_PARAM_TEMPORAL;
    param->text = text;
    return pcl_text_is_temporal(pcl_bytes_text(text)) ||
           s_fail(out_problem, "t: must be followed by a date, a time or both, like 2026-11-22 "
                               "15:33:30.5");
}

bool pcl_param_parse(pcl_param *out_param, const char *argument, const char **out_problem)
{
    assert(argument != NULL);
    pcl_param param = {.type = PCL_PARAM_TEXT, .text = argument};
    bool good = true;
    bool letter = (argument[0] >= 'a' && argument[0] <= 'z') ||
                  (argument[0] >= 'A' && argument[0] <= 'Z');
    if (letter && argument[1] == ':') {
        const char *text = argument + 2;
        switch (argument[0]) {
        case 'n':
            param.type = PCL_PARAM_NULL;
            good = text[0] == '\0' || s_fail(out_problem, "n: must not be followed by anything");
            break;
        case 'i':
            good = s_parse_integer(&param, text, out_problem);
            break;
        case 'f':
            good = s_parse_real(&param, text, out_problem);
            break;
        case 's':
            param.text = text;
            break;
        case 'b':
            good = s_parse_blob(&param, text, out_problem);
            break;
        case 'd':
            good = s_parse_decimal(&param, text, out_problem);
            break;
        case 't':
            good = s_parse_temporal(&param, text, out_problem);
            break;
        default:
            good = s_fail(out_problem, "there is no such type; a text that starts with a letter "
                                       "and a colon is written s:TEXT");
            break;
        }
    }
    if (good) {
        *out_param = param;
    }
    return good;
}

void pcl_param_release(pcl_param *param)
{
    if (param->type == PCL_PARAM_BLOB) {
        pcl_buffer_release(&param->octets);
    }
}
