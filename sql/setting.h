/* setting.h - which variables a session may set. */
#ifndef PCL_SQL_SETTING_H
#define PCL_SQL_SETTING_H

#include "common/bytes.h"

/* NULL when a session may set the variable; else the rule that keeps it from that.
 * Any case; `name` has its quotes and its scope taken off. */
const char *pcl_sql_setting_check(pcl_bytes name);

#endif
