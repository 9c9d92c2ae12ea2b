#include "client/command/principals.h"

#include "net/zpl.h"

#include <string.h>

#define SECTION "principals"

static void s_put(pcl_buffer *buffer, const char *text)
{
    pcl_buffer_put(buffer, text, strlen(text));
}

/* Octets up to and with the end of a line; lines count from 1, 0 is before the first. */
static size_t s_end_of_line(pcl_bytes text, uint32_t line)
{
    size_t at = 0;
    for (uint32_t passed = 0; passed < line && at < text.size; passed++) {
        const uint8_t *end = memchr(text.data + at, '\n', text.size - at);
        at = end != NULL ? (size_t)(end - text.data) + 1 : text.size;
    }
    return at;
}

/* The text up to there, ended by a newline when it has anything. */
static void s_put_lines(pcl_buffer *out, pcl_bytes text, size_t size)
{
    pcl_buffer_put(out, text.data, size);
    if (size > 0 && text.data[size - 1] != '\n') {
        pcl_buffer_put_u8(out, '\n');
    }
}

static void s_put_without(pcl_buffer *out, pcl_bytes text, uint32_t line)
{
    size_t begin = s_end_of_line(text, line - 1);
    size_t end = s_end_of_line(text, line);
    pcl_buffer_put(out, text.data, begin);
    pcl_buffer_put(out, text.data + end, text.size - end);
}

/* The last line of the section, its own when it is empty; 0: there is none.  *out_own: the line of
 * the principal, 0 where there is none. */
static uint32_t s_find(pcl_bytes policy, const char *name, uint32_t *out_own)
{
    pcl_zpl zpl;
    uint32_t last = 0;
    *out_own = 0;
    pcl_zpl_start(&zpl, policy);
    for (pcl_zpl_result result; (result = pcl_zpl_next(&zpl)) != PCL_ZPL_END;) {
        bool inside = result == PCL_ZPL_ITEM && strncmp(zpl.path, SECTION, strlen(SECTION)) == 0 &&
                      (zpl.path[strlen(SECTION)] == '\0' || zpl.path[strlen(SECTION)] == '/');
        if (!inside) {
            continue;
        }
        last = zpl.line;
        if (zpl.depth == 2 && strcmp(zpl.path + sizeof SECTION, name) == 0) {
            *out_own = zpl.line;
        }
    }
    return last;
}

void pcl_principals_add(pcl_buffer *out, pcl_bytes policy, const char *name, const char *role,
                        const char *key)
{
    uint32_t own = 0;
    uint32_t last = s_find(policy, name, &own);
    size_t split = last != 0 ? s_end_of_line(policy, last) : policy.size;
    s_put_lines(out, policy, split);
    if (last == 0) {
        s_put(out, SECTION "\n");
    }
    s_put(out, "    ");
    s_put(out, name);
    s_put(out, " = \"");
    s_put(out, role);
    s_put(out, key[0] != '\0' ? " " : "");
    s_put(out, key);
    s_put(out, "\"\n");
    pcl_buffer_put(out, policy.data + split, policy.size - split);
}

bool pcl_principals_remove(pcl_buffer *out, pcl_bytes policy, const char *name)
{
    uint32_t own = 0;
    (void)s_find(policy, name, &own);
    if (own != 0) {
        s_put_without(out, policy, own);
    }
    return own != 0;
}

void pcl_clients_add(pcl_buffer *out, pcl_bytes list, const char *name, const char *key)
{
    s_put_lines(out, list, list.size);
    s_put(out, name);
    s_put(out, "  ");
    s_put(out, key);
    s_put(out, "\n");
}

/* Is it the first word of the line? */
static bool s_names(pcl_bytes line, const char *name)
{
    size_t blanks = 0;
    while (blanks < line.size && (line.data[blanks] == ' ' || line.data[blanks] == '\t')) {
        blanks++;
    }
    size_t size = strlen(name);
    pcl_bytes rest = pcl_bytes_of(line.data + blanks, line.size - blanks);
    return rest.size > size && memcmp(rest.data, name, size) == 0 &&
           (rest.data[size] == ' ' || rest.data[size] == '\t');
}

bool pcl_clients_remove(pcl_buffer *out, pcl_bytes list, const char *name)
{
    size_t at = 0;
    for (uint32_t line = 1; at < list.size; line++) {
        size_t end = at + s_end_of_line(pcl_bytes_of(list.data + at, list.size - at), 1);
        if (s_names(pcl_bytes_of(list.data + at, end - at), name)) {
            s_put_without(out, list, line);
            return true;
        }
        at = end;
    }
    return false;
}
