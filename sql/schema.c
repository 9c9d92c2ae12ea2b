#include "sql/schema.h"

#include "sql/ascii.h"
#include "sql/classify.h"

#include <string.h>

/* All clients of a role share an account, so PROCESSLIST and its like would show
 * each the others' statements.  A table that is not here may come with a plugin
 * or a newer server: it stays closed until somebody has looked at it. */
static const char *const INFORMATION[] = {
    "character_sets",
    "check_constraints",
    "collation_character_set_applicability",
    "collations",
    "column_statistics",
    "columns",
    "columns_extensions",
    "engines",
    "events",
    "geometry_columns",
    "global_status",
    "global_variables",
    "key_column_usage",
    "keywords",
    "parameters",
    "partitions",
    "referential_constraints",
    "routines",
    "schemata",
    "schemata_extensions",
    "sequences",
    "session_status",
    "session_variables",
    "spatial_ref_sys",
    "sql_functions",
    "st_geometry_columns",
    "st_spatial_reference_systems",
    "st_units_of_measure",
    "statistics",
    "system_variables",
    "table_constraints",
    "table_constraints_extensions",
    "tables",
    "tables_extensions",
    "triggers",
    "view_routine_usage",
    "view_table_usage",
    "views",
};

static bool s_is(pcl_bytes name, const char *lower)
{
    return name.size == strlen(lower) && pcl_sql_ascii_is(name.data, lower, name.size);
}

pcl_sql_schema pcl_sql_schema_find(pcl_bytes name)
{
    if (s_is(name, "information_schema")) {
        return PCL_SQL_SCHEMA_INFORMATION;
    }
    bool reserved = s_is(name, "mysql") || s_is(name, "performance_schema") ||
                    s_is(name, "portcullis") || s_is(name, "sys");
    return reserved ? PCL_SQL_SCHEMA_RESERVED : PCL_SQL_SCHEMA_OPEN;
}

bool pcl_sql_schema_is_reserved(pcl_bytes name)
{
    return pcl_sql_schema_find(name) != PCL_SQL_SCHEMA_OPEN;
}

bool pcl_sql_information_is_open(pcl_bytes table)
{
    for (size_t index = 0; index < sizeof INFORMATION / sizeof INFORMATION[0]; index++) {
        if (s_is(table, INFORMATION[index])) {
            return true;
        }
    }
    return false;
}
