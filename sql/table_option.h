/* table_option.h - options of a table that reach outside the data directory. */
#ifndef PCL_SQL_TABLE_OPTION_H
#define PCL_SQL_TABLE_OPTION_H

#include "sql/lexer.h"

/* A token of CREATE TABLE or ALTER TABLE, and what stands around it. */
typedef struct pcl_sql_table_place {
    pcl_sql_lexer lexer; /* behind `now`; a copy, it looks ahead */
    pcl_sql_token last;
    pcl_sql_token now;
    uint32_t depth; /* open parentheses */
} pcl_sql_table_place;

/* NULL when `now` begins no option, or a harmless one; else the rule it breaks. */
const char *pcl_sql_table_option_check(const pcl_sql_table_place *place);

#endif
