/* rules.h - what the judge of a statement is told beside its text.
 *
 * A value: copy it.  All zero is the default: functions that both servers build
 * in, and no others.
 */
#ifndef PCL_SQL_RULES_H
#define PCL_SQL_RULES_H

#include "common/bytes.h"

#include <stdbool.h>
#include <stdint.h>

/* Whose built-in functions count.  BOTH is right for a mixed cluster and never
 * wrong: a function that only one server builds in may be somebody's stored
 * function on the other. */
typedef enum pcl_sql_flavor {
    PCL_SQL_FLAVOR_BOTH = 0,
    PCL_SQL_FLAVOR_MARIADB,
    PCL_SQL_FLAVOR_MYSQL,
    PCL_SQL_FLAVOR_COUNT, /* must stay last */
} pcl_sql_flavor;

enum {
    PCL_SQL_EXTRA_COUNT_MAX = 256, /* names */
    PCL_SQL_EXTRA_SIZE_MAX = 4096, /* octets of all names */
    PCL_SQL_NAME_SIZE_MAX = 64,    /* octets of one */
};

typedef struct pcl_sql_rules {
    pcl_sql_flavor flavor;
    /* Functions that policy lists as free of effects: sorted, in lower case, one behind
     * the other; extra_ends[i] is one past the i-th. */
    uint32_t extra_count;
    uint16_t extra_ends[PCL_SQL_EXTRA_COUNT_MAX];
    char extra_text[PCL_SQL_EXTRA_SIZE_MAX];
} pcl_sql_rules;

/* "both", "mariadb" or "mysql"; false leaves *out_flavor alone. */
bool pcl_sql_flavor_parse(pcl_bytes text, pcl_sql_flavor *out_flavor);

const char *pcl_sql_flavor_text(pcl_sql_flavor flavor);

/* Sets the functions that policy lists: names with blanks or commas between, each of
 * letters, digits, `_` and `$`, not beginning with a digit or `$`, in any case; an
 * empty list is none, a name that stands twice counts once.  A name that has an
 * effect or stands for more than a call in the table of functions is an error.
 *
 * NULL, or what is wrong, static text, with the name in *out_name (borrowed from
 * list; may be NULL); *self is then as before. */
const char *pcl_sql_rules_set_extra(pcl_sql_rules *self, pcl_bytes list, pcl_bytes *out_name);

/* Whether policy lists the function; any case, quotes taken off. */
bool pcl_sql_rules_lists(const pcl_sql_rules *self, const uint8_t *text, size_t size);

#endif
