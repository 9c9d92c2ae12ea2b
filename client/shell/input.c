#include "client/shell/input.h"

#include <string.h>

#define ALWAYS_SEARCHED_SIZE ((size_t)64 * 1024)

void pcl_shell_input_init(pcl_shell_input *self, size_t size_max)
{
    *self = (pcl_shell_input){.splitter = pcl_splitter_of(pcl_bytes_of(NULL, 0))};
    self->splitter.go_ends = true;
    pcl_buffer_init(&self->text, size_max);
}

void pcl_shell_input_release(pcl_shell_input *self)
{
    pcl_buffer_release(&self->text);
}

void pcl_shell_input_clear(pcl_shell_input *self)
{
    pcl_buffer_clear(&self->text);
    self->done = 0;
    self->splitter.quote = 0;
}

static bool s_ends_with_clear(pcl_bytes line)
{
    size_t size = line.size;
    while (size > 0 && (line.data[size - 1] == ' ' || line.data[size - 1] == '\t')) {
        size--;
    }
    return size >= 2 && memcmp(line.data + size - 2, "\\c", 2) == 0;
}

/* Makes room: what is done with goes. */
static void s_compact(pcl_shell_input *self)
{
    if (self->done > 0) {
        memmove(self->text.data, self->text.data + self->done, self->text.size - self->done);
        pcl_buffer_truncate(&self->text, self->text.size - self->done);
        self->done = 0;
    }
}

bool pcl_shell_input_add(pcl_shell_input *self, pcl_bytes line)
{
    s_compact(self);
    if (self->splitter.quote == 0 && s_ends_with_clear(line)) {
        pcl_shell_input_clear(self);
        return true;
    }
    pcl_buffer_put(&self->text, line.data, line.size);
    pcl_buffer_put_u8(&self->text, '\n');
    if (self->text.failed) {
        pcl_shell_input_clear(self);
        return false;
    }
    /* A long statement is searched only when a line may have ended it. */
    bool ends = line.size > 0 &&
                (memchr(line.data, self->splitter.delimiter[0], line.size) != NULL ||
                 memchr(line.data, '\\', line.size) != NULL);
    self->complete = ends || self->text.size < ALWAYS_SEARCHED_SIZE;
    return true;
}

void pcl_shell_input_end(pcl_shell_input *self)
{
    self->over = true;
    self->complete = true;
}

/* A command's line at the beginning of what is left; size 0: there is none. */
static pcl_bytes s_command(pcl_shell_input *self)
{
    size_t offset = self->done;
    const uint8_t *data = self->text.data;
    while (offset < self->text.size && (data[offset] == ' ' || data[offset] == '\t' ||
                                        data[offset] == '\n' || data[offset] == '\r')) {
        offset++;
    }
    if (offset == self->text.size || data[offset] != '\\') {
        return pcl_bytes_of(NULL, 0);
    }
    size_t end = offset;
    while (end < self->text.size && data[end] != '\n') {
        end++;
    }
    self->done = end;
    while (end > offset && (data[end - 1] == ' ' || data[end - 1] == '\r')) {
        end--;
    }
    return pcl_bytes_of(data + offset, end - offset);
}

pcl_shell_item pcl_shell_input_next(pcl_shell_input *self)
{
    pcl_shell_item item = {.kind = PCL_SHELL_NOTHING};
    if (!self->complete) {
        return item;
    }
    pcl_bytes command = s_command(self);
    if (command.size > 0) {
        item.kind = PCL_SHELL_COMMAND;
        item.text = command;
        return item;
    }
    pcl_splitter *splitter = &self->splitter;
    pcl_bytes statement;
    splitter->text = pcl_buffer_bytes(&self->text);
    splitter->offset = self->done;
    bool found = pcl_splitter_next(splitter, &statement);
    bool whole = found && (splitter->ended_by != PCL_SPLITTER_TEXT || self->over);
    if (found && !whole) { /* open: over what stands before it, it need not be read again */
        self->done = (size_t)(statement.data - self->text.data);
        self->complete = false;
        return item;
    }
    self->complete = found;
    if (!found) {
        if (splitter->quote == 0 || self->over) { /* else a comment is open: it is kept */
            pcl_shell_input_clear(self);
        }
        return item;
    }
    self->done = splitter->offset;
    item.kind = PCL_SHELL_STATEMENT;
    item.text = statement;
    item.vertical = splitter->ended_by == PCL_SPLITTER_VERTICAL;
    return item;
}

bool pcl_shell_input_is_open(const pcl_shell_input *self)
{
    return self->text.size > self->done;
}

uint8_t pcl_shell_input_quote(const pcl_shell_input *self)
{
    return pcl_shell_input_is_open(self) ? self->splitter.quote : 0;
}

pcl_bytes pcl_shell_input_open_text(const pcl_shell_input *self)
{
    return pcl_bytes_of(self->text.data + self->done, self->text.size - self->done);
}
