/* database.h - a database server as far as the agent's pool needs one: it lets anybody in, prepares
 * whatever it is given, and answers each statement with one row.  It has no thread: it does
 * something in cost_database_turn only. */
#ifndef PCL_TESTS_COST_DATABASE_H
#define PCL_TESTS_COST_DATABASE_H

#include <stdint.h>

/* The path of its socket. */
const char *cost_database_open(void);
/* Answers what has come; how many prepared statements were executed. */
uint32_t cost_database_turn(void);
void cost_database_close(void);

#endif
