#include "client/shell/catalog.h"

#include <assert.h>
#include <string.h>

typedef struct entry {
    uint32_t kind; /* pcl_shell_name_kind */
    uint32_t offset, size;
} entry;

void pcl_shell_catalog_init(pcl_shell_catalog *self)
{
    pcl_buffer_init(&self->text, PCL_SHELL_NAMES_SIZE_MAX);
    pcl_buffer_init(&self->entries, PCL_SHELL_NAMES_MAX * sizeof(entry));
}

void pcl_shell_catalog_release(pcl_shell_catalog *self)
{
    pcl_buffer_release(&self->text);
    pcl_buffer_release(&self->entries);
}

void pcl_shell_catalog_clear(pcl_shell_catalog *self)
{
    pcl_buffer_clear(&self->text);
    pcl_buffer_clear(&self->entries);
}

void pcl_shell_catalog_add(pcl_shell_catalog *self, pcl_shell_name_kind kind, pcl_bytes name)
{
    entry added = {
        .kind = (uint32_t)kind, .offset = (uint32_t)self->text.size, .size = (uint32_t)name.size};
    bool full = self->text.failed || self->entries.failed;
    if (!full && name.size <= PCL_SHELL_NAMES_SIZE_MAX) {
        pcl_buffer_put(&self->text, name.data, name.size);
        if (!self->text.failed) {
            pcl_buffer_put(&self->entries, &added, sizeof added);
        }
    }
}

uint32_t pcl_shell_catalog_count(const pcl_shell_catalog *self)
{
    return (uint32_t)(self->entries.size / sizeof(entry));
}

pcl_shell_name pcl_shell_catalog_at(const pcl_shell_catalog *self, uint32_t index)
{
    assert(index < pcl_shell_catalog_count(self));
    entry found;
    memcpy(&found, self->entries.data + index * sizeof found, sizeof found);
    return (pcl_shell_name){.kind = (pcl_shell_name_kind)found.kind,
                            .text = pcl_bytes_of(self->text.data + found.offset, found.size)};
}
