/* schema.h - which schemas, and which tables of information_schema, a client may name. */
#ifndef PCL_SQL_SCHEMA_H
#define PCL_SQL_SCHEMA_H

#include "common/bytes.h"

#include <stdbool.h>

typedef enum pcl_sql_schema {
    PCL_SQL_SCHEMA_OPEN = 0,
    PCL_SQL_SCHEMA_INFORMATION, /* information_schema: some of its tables, by their full name */
    PCL_SQL_SCHEMA_RESERVED,    /* nobody's: accounts, other clients, Portcullis's own */
} pcl_sql_schema;

/* Any case; `name` has its quotes taken off. */
pcl_sql_schema pcl_sql_schema_find(pcl_bytes name);

/* Whether a table of information_schema tells of schemas only: not of accounts,
 * of other connections or of the server's inside. */
bool pcl_sql_information_is_open(pcl_bytes table);

#endif
