/* opening.h - what the first words of a statement say about the rest. */
#ifndef PCL_SQL_OPENING_H
#define PCL_SQL_OPENING_H

#include "sql/classify.h"
#include "sql/lexer.h"

/* Which rules hold for the rest of the statement. */
enum {
    PCL_SQL_RULES_QUERY = 1,       /* it reads until a word says otherwise */
    PCL_SQL_RULES_EXPRESSIONS = 2, /* functions and variables count */
    PCL_SQL_RULES_SCHEMA = 4,      /* a bare name may be a schema */
    PCL_SQL_RULES_SET = 8,         /* assigns variables */
    PCL_SQL_RULES_PROGRAM = 16,    /* holds statements that do not run now */
    PCL_SQL_RULES_SHOW = 32,
    PCL_SQL_RULES_WRITE = 64,    /* INSERT, REPLACE, UPDATE, DELETE */
    PCL_SQL_RULES_TABLE = 128,   /* options of a table may stand there */
    PCL_SQL_RULES_PREPARE = 256, /* the text that it prepares is judged */
    PCL_SQL_RULES_VIEW = 512,    /* from AS on a query, which must be a read */
};

typedef struct pcl_sql_opening {
    pcl_sql_class sql_class; /* PCL_SQL_REFUSED: rule says why */
    unsigned rules;
    const char *rule; /* static text */
    uint32_t offset;  /* of the word that decided */
} pcl_sql_opening;

/* The lexer stands before the first token; a copy is read. */
pcl_sql_opening pcl_sql_opening_of(const pcl_sql_rules *rules, pcl_sql_lexer lexer);

#endif
