#include "worker-agent/schemas.h"

#include <string.h>

pcl_bytes pcl_schemas_next(const char **cursor)
{
    const char *start = *cursor + strspn(*cursor, " \t");
    size_t size = strcspn(start, " \t");
    *cursor = start + size;
    return pcl_bytes_of(start, size);
}

static uint8_t s_lower(uint8_t octet)
{
    return octet >= 'A' && octet <= 'Z' ? (uint8_t)(octet + ('a' - 'A')) : octet;
}

static bool s_is_same(pcl_bytes a, pcl_bytes b, bool folds_case)
{
    bool same = a.size == b.size;
    for (size_t index = 0; index < a.size && same; index++) {
        same = a.data[index] == b.data[index] ||
               (folds_case && s_lower(a.data[index]) == s_lower(b.data[index]));
    }
    return same;
}

bool pcl_schemas_names(const char *patterns, pcl_bytes pattern, bool folds_case)
{
    const char *cursor = patterns;
    pcl_bytes next;
    while ((next = pcl_schemas_next(&cursor)).size > 0) {
        if (s_is_same(next, pattern, folds_case)) {
            return true;
        }
    }
    return false;
}

/* Does the octet of the pattern at *at match this one of a name?  Moves *at behind it. */
static bool s_takes(pcl_bytes pattern, size_t *at, char octet)
{
    bool quoted = pattern.data[*at] == '\\' && *at + 1 < pattern.size;
    uint8_t wanted = pattern.data[quoted ? *at + 1 : *at];
    *at += quoted ? 2 : 1;
    return (wanted == '_' && !quoted) || s_lower(wanted) == (uint8_t)octet;
}

/* As LIKE does.  name is in lower case.  After a mismatch the last % takes one
 * more octet. */
static bool s_covers(pcl_bytes pattern, const char *name)
{
    size_t at = 0;
    size_t after_any = SIZE_MAX; /* where the pattern goes on after its last % so far */
    const char *resume = name;
    while (*name != '\0') {
        if (at < pattern.size && pattern.data[at] == '%') {
            after_any = ++at;
            resume = name;
        } else if (at < pattern.size && s_takes(pattern, &at, *name)) {
            name++;
        } else if (after_any != SIZE_MAX) {
            at = after_any;
            name = ++resume;
        } else {
            return false;
        }
    }
    while (at < pattern.size && pattern.data[at] == '%') {
        at++;
    }
    return at == pattern.size;
}

const char *pcl_schemas_reserved(pcl_bytes pattern)
{
    static const char *const RESERVED[] = {"mysql", "portcullis", "sys", "information_schema",
                                           "performance_schema"};
    for (size_t index = 0; index < sizeof RESERVED / sizeof RESERVED[0]; index++) {
        if (s_covers(pattern, RESERVED[index])) {
            return RESERVED[index];
        }
    }
    return NULL;
}
