#include "client/command/table.h"

#include "client/command/command.h"
#include "client/format.h"
#include "wire/reply.h"

#include <stdio.h>

static pcl_tree_walk s_walk(pcl_bytes octets, pcl_mp_type type)
{
    pcl_tree_walk walk = {.reader = pcl_mp_reader_of(octets)};
    pcl_mp_value head;
    bool good = pcl_mp_next(&walk.reader, &head) && head.type == type;
    walk.left = good ? head.count : 0;
    return walk;
}

pcl_tree_walk pcl_tree_items(pcl_bytes array)
{
    return s_walk(array, PCL_MP_ARRAY);
}

bool pcl_tree_next_item(pcl_tree_walk *walk, pcl_bytes *out_item)
{
    bool good = walk->left > 0 && pcl_mp_skip(&walk->reader, out_item);
    walk->left = good ? walk->left - 1 : 0;
    return good;
}

pcl_tree_walk pcl_tree_pairs(pcl_bytes map)
{
    return s_walk(map, PCL_MP_MAP);
}

bool pcl_tree_next_pair(pcl_tree_walk *walk, pcl_bytes *out_key, pcl_bytes *out_value)
{
    pcl_mp_value key;
    bool good = walk->left > 0 && pcl_mp_next(&walk->reader, &key) &&
                pcl_mp_skip(&walk->reader, out_value);
    walk->left = good ? walk->left - 1 : 0;
    *out_key = good ? key.bytes : pcl_bytes_of(NULL, 0);
    return good;
}

pcl_bytes pcl_tree_get(pcl_bytes map, const char *key)
{
    pcl_tree_walk walk = pcl_tree_pairs(map);
    pcl_bytes name;
    pcl_bytes octets;
    while (pcl_tree_next_pair(&walk, &name, &octets)) {
        if (pcl_bytes_is(name, key)) {
            return octets;
        }
    }
    return pcl_bytes_of(NULL, 0);
}

pcl_mp_value pcl_tree_value(pcl_bytes octets)
{
    pcl_mp_reader reader = pcl_mp_reader_of(octets);
    pcl_mp_value value = {.type = PCL_MP_NIL};
    if (!pcl_mp_next(&reader, &value)) {
        value = (pcl_mp_value){.type = PCL_MP_NIL};
    }
    return value;
}

unsigned long long pcl_tree_uint(pcl_bytes map, const char *key)
{
    pcl_mp_value value = pcl_tree_value(pcl_tree_get(map, key));
    return value.type == PCL_MP_UINT ? value.uint : 0;
}

const char *pcl_tree_text(pcl_bytes map, const char *key, char *target, size_t size)
{
    pcl_mp_value value = pcl_tree_value(pcl_tree_get(map, key));
    pcl_buffer text;
    pcl_buffer_init(&text, SIZE_MAX);
    if (value.type == PCL_MP_STR) {
        pcl_format_put_text(&text, value.bytes);
    }
    (void)snprintf(target, size, "%.*s", (int)text.size,
                   text.data != NULL ? (const char *)text.data : "");
    pcl_buffer_release(&text);
    return target;
}

void pcl_table_open(pcl_table *self)
{
    *self = (pcl_table){.column_count = 0};
    pcl_buffer_init(&self->columns, SIZE_MAX);
    pcl_buffer_init(&self->rows, SIZE_MAX);
    self->columns_head = pcl_mp_put_array_later(&self->columns);
    self->rows_head = pcl_mp_put_array_later(&self->rows);
}

void pcl_table_column(pcl_table *self, const char *name, const char *type)
{
    pcl_mp_put_array(&self->columns, 3);
    pcl_mp_put_text(&self->columns, name);
    pcl_mp_put_text(&self->columns, type);
    pcl_mp_put_uint(&self->columns, 0);
    self->column_count++;
}

void pcl_table_row(pcl_table *self)
{
    pcl_mp_put_array(&self->rows, self->column_count);
    self->row_count++;
}

void pcl_table_print(pcl_table *self)
{
    pcl_mp_patch_array(&self->columns, self->columns_head, self->column_count);
    pcl_mp_patch_array(&self->rows, self->rows_head, self->row_count);
    pcl_reply reply = {.ok = true,
                       .has_columns = true,
                       .columns = pcl_buffer_bytes(&self->columns),
                       .column_count = self->column_count,
                       .rows = pcl_buffer_bytes(&self->rows),
                       .row_count = self->row_count};
    if (self->columns.failed || self->rows.failed ||
        !pcl_format_rows(PCL_FORMAT_TABLE, &reply, pcl_command_write, NULL)) {
        (void)fputs("portcullis: the table cannot be written\n", stderr);
    }
    pcl_buffer_release(&self->columns);
    pcl_buffer_release(&self->rows);
}

void pcl_table_put(pcl_table *self, pcl_bytes octets)
{
    if (octets.size > 0) {
        pcl_mp_put_raw(&self->rows, octets);
    } else {
        pcl_mp_put_nil(&self->rows);
    }
}

void pcl_table_put_rounded(pcl_table *self, pcl_bytes octets)
{
    pcl_mp_value value = pcl_tree_value(octets);
    if (value.type == PCL_MP_FLOAT && value.real >= 0 && value.real < 1e15) {
        pcl_mp_put_uint(&self->rows, (uint64_t)(value.real + 0.5));
    } else {
        pcl_table_put(self, octets);
    }
}
