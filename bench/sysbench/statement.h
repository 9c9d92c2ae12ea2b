/* statement.h - what the sysbench driver does for each query, in one call.
 *
 * sysbench runs a Lua state for each thread, and a call out of one costs some 700 instructions
 * until LuaJIT has compiled it, as reading or writing a member costs 500.  So portcullis.lua makes
 * these structs when a statement is prepared, writes the parameters into them, and calls
 * pcl_sysbench_execute, which sends, waits, passes over the rows and counts: a prepared statement's
 * rows cannot be had in sysbench.
 *
 * Everything that the structs point at is the driver's, and lives as long as they do.
 */
#ifndef PCL_BENCH_SYSBENCH_STATEMENT_H
#define PCL_BENCH_SYSBENCH_STATEMENT_H

#include "client/portcullis.h"

/* One parameter, as sysbench's script has last set it. */
typedef struct pcl_sysbench_param {
    portcullis_type type; /* INT, DOUBLE or TEXT; NULL: it is NULL */
    int64_t integer;
    double real;
    const char *text; /* size octets */
    size_t size;
} pcl_sysbench_param;

/* What the statements of a connection share. */
typedef struct pcl_sysbench_connection {
    portcullis *client;
    portcullis_session **session; /* NULL is in it: there is none */
    portcullis_result **failure;  /* where pcl_sysbench_execute puts one */
    const char *strategy;         /* of what is sent outside a session; NULL: the cluster's */
    void (*count)(int thread, int counter); /* sysbench's sb_counter_inc, */
    int thread;                             /* and what it is called with: */
    int counter_read, counter_write, counter_other;
} pcl_sysbench_connection;

typedef struct pcl_sysbench_statement {
    pcl_sysbench_connection *connection;
    portcullis_request *request;
    const pcl_sysbench_param **params;
    uint32_t param_count;
    portcullis_brief brief; /* of what was executed last; rows are those of all pages */
} pcl_sysbench_statement;

/* Adds the parameters to a request.  false: there are too many of them, or they are too long. */
bool pcl_sysbench_bind(const pcl_sysbench_statement *self, portcullis_request *request);

typedef enum pcl_sysbench_outcome {
    PCL_SYSBENCH_ROWS = 0, /* it was a read, and counted as such; brief has how many */
    PCL_SYSBENCH_DONE,    /* it had none: counted as a write where it changed some, else as other */
    PCL_SYSBENCH_FAILED,  /* *connection->failure says why, and is the driver's to destroy */
    PCL_SYSBENCH_UNBOUND, /* as false of pcl_sysbench_bind */
} pcl_sysbench_outcome;

/* Runs it with its parameters, in the session where there is one, and waits.  A
 * pcl_sysbench_outcome; an int, since LuaJIT makes an object of an enum. */
int pcl_sysbench_execute(pcl_sysbench_statement *self);

#endif
