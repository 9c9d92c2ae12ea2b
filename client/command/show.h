/* show.h - what a request gave, a page in memory at a time. */
#ifndef PCL_CLIENT_COMMAND_SHOW_H
#define PCL_CLIENT_COMMAND_SHOW_H

#include "client/format.h"
#include "client/portcullis.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct pcl_show {
    portcullis *client;
    FILE *out;
    bool may_be_left; /* out is a pager: that it does not read to the end is no failure */
    pcl_format format;
    bool terminal; /* it is one: a line under each result */
    bool timing;   /* ... with how long it took */
    bool route;    /* which node it was, on standard error */
    bool token;    /* of each result that has one, on standard error */
    bool metadata; /* what the database says of the columns, on standard error */
} pcl_show;

/* Shows the result, which must be OK, with all its pages, which it fetches; of a transaction what
 * each statement gave.  what: NULL, or where a failure is said to have happened.  began_us: when
 * the request was sent.  Exit code; 130 when an interrupt came. */
int pcl_show_result(const pcl_show *self, portcullis_result *result, const char *what,
                    uint64_t began_us);

#endif
