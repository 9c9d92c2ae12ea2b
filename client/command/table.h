/* table.h - values out of a reply's maps, and tables made of them, shown as a result is. */
#ifndef PCL_CLIENT_COMMAND_TABLE_H
#define PCL_CLIENT_COMMAND_TABLE_H

#include "common/buffer.h"
#include "common/bytes.h"
#include "wire/mp.h"

#include <stdbool.h>
#include <stdint.h>

/* The value of a key of a map, as octets; empty when it is not there. */
pcl_bytes pcl_tree_get(pcl_bytes map, const char *key);
/* nil when the octets are none. */
pcl_mp_value pcl_tree_value(pcl_bytes octets);
/* 0 where the key has no such value. */
unsigned long long pcl_tree_uint(pcl_bytes map, const char *key);
/* A copy for printf, cut to size and fit for a terminal; returns target. */
const char *pcl_tree_text(pcl_bytes map, const char *key, char *target, size_t size);

/* The parts of an array or of a map, one after the other; of anything else there are none. */
typedef struct pcl_tree_walk {
    pcl_mp_reader reader;
    uint32_t left;
} pcl_tree_walk;

pcl_tree_walk pcl_tree_items(pcl_bytes array);
/* false: there is no further one. */
bool pcl_tree_next_item(pcl_tree_walk *walk, pcl_bytes *out_item);
pcl_tree_walk pcl_tree_pairs(pcl_bytes map);
/* The key's text, and the value as octets. */
bool pcl_tree_next_pair(pcl_tree_walk *walk, pcl_bytes *out_key, pcl_bytes *out_value);

/* Open it, name its columns, then for each row: pcl_table_row and as many values put into rows. */
typedef struct pcl_table {
    pcl_buffer columns;
    pcl_buffer rows;
    uint32_t column_count;
    uint32_t row_count;
    size_t columns_head, rows_head;
} pcl_table;

void pcl_table_open(pcl_table *self);
/* type: "BIGINT" and "DOUBLE" set it to the right. */
void pcl_table_column(pcl_table *self, const char *name, const char *type);
void pcl_table_row(pcl_table *self);
/* One value as it is; NULL where the octets are none. */
void pcl_table_put(pcl_table *self, pcl_bytes octets);
/* The same, a float without its decimals. */
void pcl_table_put_rounded(pcl_table *self, pcl_bytes octets);
/* To standard output, and frees it. */
void pcl_table_print(pcl_table *self);

#endif
