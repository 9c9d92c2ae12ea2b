/* catalog.h - names that a shell completes: schemas, tables, columns.  Pure.
 *
 * Bounded: what does not fit is left out, and is then not completed.
 */
#ifndef PCL_CLIENT_SHELL_CATALOG_H
#define PCL_CLIENT_SHELL_CATALOG_H

#include "common/buffer.h"
#include "common/bytes.h"

#include <stdint.h>

#define PCL_SHELL_NAMES_MAX      50000u
#define PCL_SHELL_NAMES_SIZE_MAX ((size_t)4 * 1024 * 1024)

typedef enum pcl_shell_name_kind {
    PCL_SHELL_NAME_SCHEMA = 0,
    PCL_SHELL_NAME_TABLE,
    PCL_SHELL_NAME_COLUMN, /* of the table that was added last before it */
} pcl_shell_name_kind;

typedef struct pcl_shell_catalog {
    pcl_buffer text;    /* the names, one behind the other */
    pcl_buffer entries; /* of pcl_shell_entry */
} pcl_shell_catalog;

typedef struct pcl_shell_name {
    pcl_shell_name_kind kind;
    pcl_bytes text; /* borrowed until the next change */
} pcl_shell_name;

void pcl_shell_catalog_init(pcl_shell_catalog *self);
void pcl_shell_catalog_release(pcl_shell_catalog *self);
void pcl_shell_catalog_clear(pcl_shell_catalog *self);

void pcl_shell_catalog_add(pcl_shell_catalog *self, pcl_shell_name_kind kind, pcl_bytes name);

uint32_t pcl_shell_catalog_count(const pcl_shell_catalog *self);
/* index < count, in the order in which they were added. */
pcl_shell_name pcl_shell_catalog_at(const pcl_shell_catalog *self, uint32_t index);

#endif
