/* splitter.h - a text of several statements, one at a time.  Pure.
 *
 * Cuts at `;` outside '...', "..." and `...` (with \ escapes in the first two), and outside
 * comments (-- with white space behind it, # and slash-star).  A line that starts with
 * `DELIMITER xx` sets another delimiter, as in MySQL's own client, so that a body of a procedure
 * can hold `;`.  What is only white space and comments is no statement.
 */
#ifndef PCL_CLIENT_SPLITTER_H
#define PCL_CLIENT_SPLITTER_H

#include "common/bytes.h"
#include "common/error.h"

#include <stdbool.h>

#define PCL_DELIMITER_SIZE_MAX 15u

typedef struct pcl_splitter {
    pcl_bytes text; /* borrowed */
    size_t offset;  /* of what is not read yet */
    char delimiter[PCL_DELIMITER_SIZE_MAX + 1];
} pcl_splitter;

pcl_splitter pcl_splitter_of(pcl_bytes text);

/* The next statement, without the white space around it and without its delimiter, borrowed from
 * the text; the last one needs no delimiter.  false: there is none any more.  An unclosed quote or
 * comment runs to the end of the text: the server will say what is wrong with it. */
bool pcl_splitter_next(pcl_splitter *self, pcl_bytes *out_statement) PCL_MUST_CHECK;

#endif
