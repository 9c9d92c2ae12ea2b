#include "client/splitter.h"

#include <assert.h>
#include <string.h>

pcl_splitter pcl_splitter_of(pcl_bytes text)
{
    return (pcl_splitter){.text = text, .delimiter = ";"};
}

static bool s_is_space(uint8_t octet)
{
    return octet == ' ' || (octet >= '\t' && octet <= '\r');
}

/* 0 behind the end. */
static uint8_t s_at(const pcl_splitter *self, size_t offset)
{
    return offset < self->text.size ? self->text.data[offset] : 0;
}

static bool s_delimiter_at(const pcl_splitter *self, size_t offset)
{
    size_t size = strlen(self->delimiter);
    return self->text.size - offset >= size &&
           memcmp(self->text.data + offset, self->delimiter, size) == 0;
}

/* Offset behind the quoted text that starts at offset. */
static size_t s_skip_quoted(pcl_splitter *self, size_t offset)
{
    uint8_t quote = s_at(self, offset++);
    while (offset < self->text.size && self->text.data[offset] != quote) {
        bool escape = self->text.data[offset] == '\\' && quote != '`';
        offset += escape && offset + 1 < self->text.size ? 2 : 1;
    }
    if (offset < self->text.size) {
        return offset + 1;
    }
    self->quote = quote;
    return offset;
}

static size_t s_line_end(const pcl_splitter *self, size_t offset)
{
    while (offset < self->text.size && self->text.data[offset] != '\n') {
        offset++;
    }
    return offset;
}

/* Offset behind the comment that starts at offset, or offset itself when none does. */
static size_t s_skip_comment(pcl_splitter *self, size_t offset)
{
    uint8_t first = s_at(self, offset);
    uint8_t second = s_at(self, offset + 1);
    bool dashes = first == '-' && second == '-' &&
                  (offset + 2 == self->text.size || s_at(self, offset + 2) <= ' ');
    if (first == '#' || dashes) {
        return s_line_end(self, offset);
    }
    if (first != '/' || second != '*') {
        return offset;
    }
    for (offset += 2; offset < self->text.size; offset++) {
        if (s_at(self, offset) == '*' && s_at(self, offset + 1) == '/') {
            return offset + 2;
        }
    }
    self->quote = '*';
    return offset;
}

/* Octets of what ends a statement at offset; 0: nothing does. */
static size_t s_end_at(pcl_splitter *self, size_t offset)
{
    uint8_t second = s_at(self, offset + 1);
    self->ended_by = PCL_SPLITTER_TEXT;
    if (s_delimiter_at(self, offset)) {
        self->ended_by = PCL_SPLITTER_DELIMITER;
        return strlen(self->delimiter);
    }
    if (!self->go_ends || s_at(self, offset) != '\\' || (second | 0x20) != 'g') {
        return 0;
    }
    self->ended_by = second == 'g' ? PCL_SPLITTER_GO : PCL_SPLITTER_VERTICAL;
    return 2;
}

/* Takes a `DELIMITER xx` line at offset; false when there is none. */
static bool s_take_delimiter(pcl_splitter *self, size_t offset)
{
    static const char word[] = "delimiter";
    for (size_t index = 0; index < sizeof word - 1; index++) {
        uint8_t octet = s_at(self, offset + index);
        if ((octet | 0x20) != (uint8_t)word[index]) {
            return false;
        }
    }
    offset += sizeof word - 1;
    size_t end = s_line_end(self, offset);
    while (offset < end && s_is_space(s_at(self, offset))) {
        offset++;
    }
    size_t size = 0;
    while (offset + size < end && s_at(self, offset + size) > ' ') { /* no NUL either */
        size++;
    }
    if (size == 0 || size > PCL_DELIMITER_SIZE_MAX) {
        return false;
    }
    memcpy(self->delimiter, self->text.data + offset, size);
    self->delimiter[size] = '\0';
    self->offset = end;
    return true;
}

/* To the first octet of a statement, over white space, comments, empty
 * statements and delimiter lines. */
static void s_to_statement(pcl_splitter *self)
{
    while (self->offset < self->text.size) {
        size_t end_size = s_end_at(self, self->offset);
        size_t behind = s_skip_comment(self, self->offset);
        bool executable = behind != self->offset && s_at(self, self->offset) == '/' &&
                          (s_at(self, self->offset + 2) == '!' ||
                           s_at(self, self->offset + 2) == '+' ||
                           s_at(self, self->offset + 2) == 'M');
        if (executable) {
            return; /* no mere comment: the server runs it, or ours refuses it */
        }
        if (behind != self->offset) {
            self->offset = behind;
        } else if (s_is_space(s_at(self, self->offset))) {
            self->offset++;
        } else if (end_size > 0) {
            self->offset += end_size;
        } else if (!s_take_delimiter(self, self->offset)) {
            return;
        }
    }
}

bool pcl_splitter_next(pcl_splitter *self, pcl_bytes *out_statement)
{
    assert(out_statement != NULL);
    self->quote = 0;
    s_to_statement(self);
    size_t start = self->offset;
    size_t offset = start;
    size_t end_size = 0;
    while (offset < self->text.size && (end_size = s_end_at(self, offset)) == 0) {
        uint8_t octet = s_at(self, offset);
        size_t behind = s_skip_comment(self, offset);
        if (octet == '\'' || octet == '"' || octet == '`') {
            offset = s_skip_quoted(self, offset);
        } else {
            offset = behind != offset ? behind : offset + 1;
        }
    }
    size_t end = offset;
    while (end > start && s_is_space(s_at(self, end - 1))) {
        end--;
    }
    self->offset = offset + end_size;
    if (offset == self->text.size) {
        self->ended_by = PCL_SPLITTER_TEXT;
    }
    if (end == start) {
        return false;
    }
    *out_statement = pcl_bytes_of(self->text.data + start, end - start);
    return true;
}
