/* phrase.h - what a session must know of a statement beside its class.  Pure. */
#ifndef PCL_WORKER_AGENT_PHRASE_H
#define PCL_WORKER_AGENT_PHRASE_H

#include "sql/classify.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum pcl_verb {
    PCL_VERB_OTHER = 0,
    PCL_VERB_USE,      /* another schema */
    PCL_VERB_EXECUTE,  /* a text that was prepared before */
    PCL_VERB_ROLLBACK, /* all of the transaction, not back to a savepoint */
} pcl_verb;

typedef struct pcl_phrase {
    pcl_verb verb;
    /* Of a statement of state: what it would be without the session (sql/classify.h). */
    pcl_sql_class form;
    /* Of a statement of state: it only has user variables, and nothing that asks for what the
     * statement before it has left (its count of rows, its warnings). */
    bool only_variables;
    /* Printable ASCII without quotes and backslashes: the same tokens in every character set and
     * sql_mode. */
    bool plain;
} pcl_phrase;

/* sql_class: as it was judged.  Only state and transaction are looked into. */
pcl_phrase pcl_phrase_of(pcl_bytes sql, uint8_t sql_class);

#endif
