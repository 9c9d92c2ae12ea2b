#include "sql/rules.h"

#include "sql/ascii.h"
#include "sql/functions.h"

#include <assert.h>
#include <string.h>

static const char *const FLAVORS[PCL_SQL_FLAVOR_COUNT] = {
    [PCL_SQL_FLAVOR_BOTH] = "both",
    [PCL_SQL_FLAVOR_MARIADB] = "mariadb",
    [PCL_SQL_FLAVOR_MYSQL] = "mysql",
};

bool pcl_sql_flavor_parse(pcl_bytes text, pcl_sql_flavor *out_flavor)
{
    for (unsigned index = 0; index < PCL_SQL_FLAVOR_COUNT; index++) {
        if (pcl_bytes_is(text, FLAVORS[index])) {
            *out_flavor = (pcl_sql_flavor)index;
            return true;
        }
    }
    return false;
}

const char *pcl_sql_flavor_text(pcl_sql_flavor flavor)
{
    return (unsigned)flavor < PCL_SQL_FLAVOR_COUNT ? FLAVORS[flavor] : "unknown";
}

static bool s_is_separator(uint8_t octet)
{
    return octet == ' ' || octet == ',' || (octet >= '\t' && octet <= '\r');
}

static bool s_is_letter(uint8_t octet)
{
    uint8_t lower = pcl_sql_ascii_lower(octet);
    return (lower >= 'a' && lower <= 'z') || octet == '_';
}

static bool s_is_identifier(pcl_bytes name)
{
    for (size_t index = 0; index < name.size; index++) {
        uint8_t octet = name.data[index];
        bool later = index > 0 && ((octet >= '0' && octet <= '9') || octet == '$');
        if (!s_is_letter(octet) && !later) {
            return false;
        }
    }
    return name.size > 0;
}

/* What is wrong with listing the name, or NULL. */
static const char *s_name_error(pcl_bytes name)
{
    if (!s_is_identifier(name)) {
        return "not the name of a function";
    }
    if (name.size > PCL_SQL_NAME_SIZE_MAX) {
        return "name too long";
    }
    for (unsigned index = 0; index < PCL_SQL_FLAVOR_COUNT; index++) {
        pcl_sql_function function = pcl_sql_function_find((pcl_sql_flavor)index, name.data,
                                                          name.size);
        if (pcl_sql_function_has_effect(function)) {
            return "function with an effect";
        }
        if (function == PCL_SQL_FUNCTION_SYNTAX || function == PCL_SQL_FUNCTION_SUBQUERY ||
            function == PCL_SQL_FUNCTION_TABLE) {
            return "word of the grammar";
        }
    }
    return NULL;
}

static uint32_t s_start(const pcl_sql_rules *self, uint32_t index)
{
    return index == 0 ? 0 : self->extra_ends[index - 1];
}

/* Below, at or above 0 as the text stands before, is, or stands behind the name. */
static int s_compare(const pcl_sql_rules *self, uint32_t index, const uint8_t *text, size_t size)
{
    const char *name = self->extra_text + s_start(self, index);
    size_t name_size = self->extra_ends[index] - s_start(self, index);
    for (size_t at = 0; at < size && at < name_size; at++) {
        int difference = pcl_sql_ascii_lower(text[at]) - (uint8_t)name[at];
        if (difference != 0) {
            return difference;
        }
    }
    return size == name_size ? 0 : size < name_size ? -1 : 1;
}

/* The first index whose name does not stand before the text. */
static uint32_t s_lower_bound(const pcl_sql_rules *self, const uint8_t *text, size_t size)
{
    uint32_t low = 0;
    uint32_t high = self->extra_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (s_compare(self, middle, text, size) > 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool pcl_sql_rules_lists(const pcl_sql_rules *self, const uint8_t *text, size_t size)
{
    assert(self != NULL && self->extra_count <= PCL_SQL_EXTRA_COUNT_MAX);
    uint32_t index = s_lower_bound(self, text, size);
    return index < self->extra_count && s_compare(self, index, text, size) == 0;
}

/* Puts a name where the order wants it. */
static const char *s_insert(pcl_sql_rules *self, pcl_bytes name)
{
    if (pcl_sql_rules_lists(self, name.data, name.size)) {
        return NULL;
    }
    uint32_t used = s_start(self, self->extra_count);
    if (self->extra_count == PCL_SQL_EXTRA_COUNT_MAX || used + name.size > PCL_SQL_EXTRA_SIZE_MAX) {
        return "too many functions";
    }
    uint32_t index = s_lower_bound(self, name.data, name.size);
    uint32_t start = s_start(self, index);
    memmove(self->extra_text + start + name.size, self->extra_text + start, used - start);
    for (size_t at = 0; at < name.size; at++) {
        self->extra_text[start + at] = (char)pcl_sql_ascii_lower(name.data[at]);
    }
    for (uint32_t at = self->extra_count; at > index; at--) {
        self->extra_ends[at] = (uint16_t)(self->extra_ends[at - 1] + name.size);
    }
    self->extra_ends[index] = (uint16_t)(start + name.size);
    self->extra_count++;
    return NULL;
}

const char *pcl_sql_rules_set_extra(pcl_sql_rules *self, pcl_bytes list, pcl_bytes *out_name)
{
    assert(self != NULL);
    pcl_sql_rules made = {.flavor = self->flavor};
    size_t at = 0;
    while (at < list.size) {
        if (s_is_separator(list.data[at])) {
            at++;
            continue;
        }
        size_t start = at;
        while (at < list.size && !s_is_separator(list.data[at])) {
            at++;
        }
        pcl_bytes name = pcl_bytes_of(list.data + start, at - start);
        const char *error = s_name_error(name);
        if (error == NULL) {
            error = s_insert(&made, name);
        }
        if (error != NULL) {
            if (out_name != NULL) {
                *out_name = name;
            }
            return error;
        }
    }
    *self = made;
    return NULL;
}
