#include "policy/pattern.h"

#include "common/limits.h"

#include <string.h>

pcl_bytes pcl_pattern_next(const char **cursor)
{
    const char *start = *cursor + strspn(*cursor, " \t");
    size_t size = strcspn(start, " \t");
    *cursor = start + size;
    return pcl_bytes_of(start, size);
}

const char *pcl_pattern_check(pcl_bytes pattern)
{
    size_t octets = 0;
    for (size_t at = 0; at < pattern.size; at++, octets++) {
        if (pattern.data[at] < 0x21 || pattern.data[at] == 0x7f) {
            return "a pattern must not have control characters";
        }
        if (pattern.data[at] == '\\' && ++at == pattern.size) {
            return "a pattern must not end in a single backslash";
        }
    }
    return octets > PCL_DB_NAME_SIZE_MAX ? "a pattern must have at most 64 octets" : NULL;
}

/* How many octets the UTF-8 character has that begins here. */
static size_t s_character(pcl_bytes text, size_t at)
{
    size_t end = at + 1;
    while (end < text.size && (text.data[end] & 0xc0) == 0x80) {
        end++;
    }
    return end - at;
}

/* Does one step of the pattern at *at take octets of the name at *taken?  Moves both on. */
static bool s_step(pcl_bytes pattern, size_t *at, pcl_bytes name, size_t *taken)
{
    if (pattern.data[*at] == '_') {
        *at += 1;
        *taken += s_character(name, *taken);
        return true;
    }
    size_t quote = pattern.data[*at] == '\\' && *at + 1 < pattern.size ? 1 : 0;
    bool same = pattern.data[*at + quote] == name.data[*taken];
    *at += quote + 1;
    *taken += 1;
    return same;
}

/* After a mismatch the last % takes one more octet: names are short, so this is bounded by 64
 * times the pattern. */
bool pcl_pattern_covers(pcl_bytes pattern, pcl_bytes name)
{
    size_t at = 0;
    size_t taken = 0;
    size_t after_any = SIZE_MAX; /* where the pattern goes on after its last % so far */
    size_t resume = 0;
    while (taken < name.size) {
        if (at < pattern.size && pattern.data[at] == '%') {
            after_any = ++at;
            resume = taken;
        } else if (at < pattern.size && s_step(pattern, &at, name, &taken)) {
            continue;
        } else if (after_any != SIZE_MAX) {
            at = after_any;
            taken = ++resume;
        } else {
            return false;
        }
    }
    while (at < pattern.size && pattern.data[at] == '%') {
        at++;
    }
    return at == pattern.size;
}
