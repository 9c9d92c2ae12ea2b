#include "sql/functions.h"

#include "sql/ascii.h"

#include <string.h>

typedef struct s_entry {
    const char *name;
    pcl_sql_function function;
    pcl_sql_flavor flavor; /* BOTH: both build it in; else only this one does */
} s_entry;

#define FUNCTION(name, function, flavor)                                                           \
    {name, PCL_SQL_FUNCTION_##function, PCL_SQL_FLAVOR_##flavor},
static const s_entry ENTRIES[] = {
#include "sql/functions.def"
};
#undef FUNCTION

enum { S_COUNT = sizeof ENTRIES / sizeof ENTRIES[0] };

/* Like strcmp, of `size` octets in any case with a name of the table. */
static int s_compare(const uint8_t *text, size_t size, const char *name)
{
    for (size_t index = 0; index < size; index++) {
        if (name[index] == 0) {
            return 1;
        }
        int difference = pcl_sql_ascii_lower(text[index]) - (uint8_t)name[index];
        if (difference != 0) {
            return difference;
        }
    }
    return name[size] == 0 ? 0 : -1;
}

/* What has an effect where it is built in has it whatever is said of the servers. */
static pcl_sql_function s_function(const s_entry *entry, pcl_sql_flavor flavor)
{
    bool everywhere = entry->flavor == PCL_SQL_FLAVOR_BOTH || entry->flavor == flavor;
    return everywhere || pcl_sql_function_has_effect(entry->function) ? entry->function
                                                                      : PCL_SQL_FUNCTION_UNKNOWN;
}

static pcl_sql_function s_find(pcl_sql_flavor flavor, const uint8_t *text, size_t size)
{
    size_t low = 0;
    size_t high = S_COUNT;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = s_compare(text, size, ENTRIES[middle].name);
        if (order == 0) {
            return s_function(&ENTRIES[middle], flavor);
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return PCL_SQL_FUNCTION_UNKNOWN;
}

/* Servers take some letters for ASCII ones: they know GET_LOCK by a name that is
 * spelled with the sign of the kelvin.  Returns the octets written. */
static size_t s_fold(const uint8_t *text, size_t size, uint8_t *out)
{
    static const struct {
        const char *letter;
        uint8_t ascii;
    } letters[] = {
        {"\xE2\x84\xAA", 'k'},
        {"\xC5\xBF", 's'},
        {"\xC4\xB1", 'i'},
        {"\xC4\xB0", 'i'},
    };
    size_t used = 0;
    for (size_t at = 0; at < size;) {
        size_t passed = 1;
        out[used] = text[at];
        for (size_t index = 0; index < sizeof letters / sizeof letters[0]; index++) {
            size_t length = strlen(letters[index].letter);
            if (size - at >= length && memcmp(text + at, letters[index].letter, length) == 0) {
                out[used] = letters[index].ascii;
                passed = length;
            }
        }
        used++;
        at += passed;
    }
    return used;
}

pcl_sql_function pcl_sql_function_find(pcl_sql_flavor flavor, const uint8_t *text, size_t size)
{
    pcl_sql_function function = s_find(flavor, text, size);
    uint8_t folded[4 * PCL_SQL_NAME_SIZE_MAX]; /* a name's characters, at their longest */
    if (function != PCL_SQL_FUNCTION_UNKNOWN || size > sizeof folded) {
        return function;
    }
    size_t folded_size = s_fold(text, size, folded);
    function = folded_size < size ? s_find(flavor, folded, folded_size) : function;
    return pcl_sql_function_has_effect(function) ? function : PCL_SQL_FUNCTION_UNKNOWN;
}

const char *pcl_sql_function_name(size_t index)
{
    return index < S_COUNT ? ENTRIES[index].name : NULL;
}
