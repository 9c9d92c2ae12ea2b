#include "net/zpl.h"

#include <assert.h>
#include <string.h>

void pcl_zpl_start(pcl_zpl *self, pcl_bytes text)
{
    assert(self != NULL);
    *self = (pcl_zpl){.text = text};
}

static bool s_is_blank(uint8_t octet)
{
    return octet == ' ' || octet == '\t' || octet == '\r';
}

static bool s_is_name(uint8_t octet)
{
    return (octet >= 'a' && octet <= 'z') || (octet >= 'A' && octet <= 'Z') ||
           (octet >= '0' && octet <= '9') || (octet != '\0' && strchr("_.$@+&-", octet) != NULL);
}

/* Takes count octets off the front. */
static pcl_bytes s_take(pcl_bytes *text, size_t count)
{
    pcl_bytes front = pcl_bytes_of(text->data, count);
    *text = pcl_bytes_of(text->data == NULL ? NULL : text->data + count, text->size - count);
    return front;
}

static size_t s_count_blanks(pcl_bytes text)
{
    size_t count = 0;
    while (count < text.size && s_is_blank(text.data[count])) {
        count++;
    }
    return count;
}

static pcl_bytes s_take_line(pcl_bytes *text)
{
    const uint8_t *end = memchr(text->data, '\n', text->size);
    pcl_bytes line = s_take(text, end == NULL ? text->size : (size_t)(end - text->data));
    if (end != NULL) {
        (void)s_take(text, 1);
    }
    return line;
}

static bool s_is_empty(pcl_bytes line)
{
    size_t blanks = s_count_blanks(line);
    return blanks == line.size || line.data[blanks] == '#';
}

static pcl_zpl_result s_bad(pcl_zpl *self, const char *fault)
{
    self->fault = fault;
    return PCL_ZPL_BAD;
}

/* NULL, or the fault. */
static const char *s_put_name(pcl_zpl *self, uint32_t depth, pcl_bytes name)
{
    uint32_t start = depth == 0 ? 0 : self->ends[depth - 1];
    size_t size = name.size + (depth > 0 ? 1 : 0);
    if (size > PCL_ZPL_PATH_SIZE_MAX - start) {
        return "the name is too long";
    }
    if (depth > 0) {
        self->path[start++] = '/';
    }
    memcpy(self->path + start, name.data, name.size);
    self->path[start + name.size] = '\0';
    self->ends[depth] = start + (uint32_t)name.size;
    self->depth = depth + 1;
    return NULL;
}

/* What follows the name; NULL, or the fault. */
static const char *s_read_value(pcl_zpl *self, pcl_bytes rest)
{
    (void)s_take(&rest, s_count_blanks(rest));
    self->has_value = rest.size > 0 && rest.data[0] == '=';
    self->value = pcl_bytes_of(NULL, 0);
    if (!self->has_value) {
        return s_is_empty(rest) ? NULL : "a name must be followed by '=' or nothing";
    }
    (void)s_take(&rest, 1);
    (void)s_take(&rest, s_count_blanks(rest));
    if (rest.size > 0 && (rest.data[0] == '"' || rest.data[0] == '\'')) {
        const uint8_t *end = memchr(rest.data + 1, rest.data[0], rest.size - 1);
        if (end == NULL) {
            return "the closing quote is missing";
        }
        size_t size = (size_t)(end - rest.data) - 1;
        self->value = pcl_bytes_of(rest.data + 1, size);
        (void)s_take(&rest, size + 2);
        return s_is_empty(rest) ? NULL : "text follows the closing quote";
    }
    const uint8_t *comment = rest.size > 0 ? memchr(rest.data, '#', rest.size) : NULL;
    size_t size = comment == NULL ? rest.size : (size_t)(comment - rest.data);
    while (size > 0 && s_is_blank(rest.data[size - 1])) {
        size--;
    }
    self->value = pcl_bytes_of(rest.data, size);
    return NULL;
}

static pcl_zpl_result s_read_line(pcl_zpl *self, pcl_bytes line)
{
    size_t indent = 0;
    while (line.data[indent] == ' ') {
        indent++; /* stops at the latest at the name, which is there */
    }
    if (s_is_blank(line.data[indent])) {
        return s_bad(self, "indentation must be of spaces");
    }
    if (indent % 4 != 0) {
        return s_bad(self, "indentation must be in steps of four spaces");
    }
    if (indent / 4 > self->depth || indent / 4 >= PCL_ZPL_DEPTH_MAX) {
        return s_bad(self, "too far indented");
    }
    (void)s_take(&line, indent);
    size_t size = 0;
    while (size < line.size && s_is_name(line.data[size])) {
        size++;
    }
    if (size == 0) {
        return s_bad(self, "a name must stand here");
    }
    const char *fault = s_put_name(self, (uint32_t)indent / 4, s_take(&line, size));
    if (fault == NULL) {
        fault = s_read_value(self, line);
    }
    return fault == NULL ? PCL_ZPL_ITEM : s_bad(self, fault);
}

pcl_zpl_result pcl_zpl_next(pcl_zpl *self)
{
    assert(self != NULL);
    while (self->text.size > 0) {
        pcl_bytes line = s_take_line(&self->text);
        self->line++;
        if (memchr(line.data, '\0', line.size) != NULL) {
            return s_bad(self, "a NUL octet stands here");
        }
        if (!s_is_empty(line)) {
            return s_read_line(self, line);
        }
    }
    return PCL_ZPL_END;
}
