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

/* What stood behind a statement. */
typedef enum pcl_splitter_end {
    PCL_SPLITTER_TEXT = 0, /* nothing: the text ended, perhaps inside a quote or comment */
    PCL_SPLITTER_DELIMITER,
    PCL_SPLITTER_GO,       /* \g, of a shell */
    PCL_SPLITTER_VERTICAL, /* \G, of a shell */
} pcl_splitter_end;

typedef struct pcl_splitter {
    pcl_bytes text; /* borrowed */
    size_t offset;  /* of what is not read yet */
    char delimiter[PCL_DELIMITER_SIZE_MAX + 1];
    bool go_ends;              /* \g and \G end a statement, too; set by the caller */
    pcl_splitter_end ended_by; /* of the statement that _next gave last */
    uint8_t quote;             /* with PCL_SPLITTER_TEXT: the quote that is open, `*` in a comment;
                                  else 0 */
} pcl_splitter;

pcl_splitter pcl_splitter_of(pcl_bytes text);

/* The next statement, without the white space around it and without its delimiter, borrowed from
 * the text; the last one needs no delimiter.  false: there is none any more.  An unclosed quote or
 * comment runs to the end of the text: the server will say what is wrong with it.  offset, where
 * the search began, is moved over what is no statement also when there is none. */
bool pcl_splitter_next(pcl_splitter *self, pcl_bytes *out_statement) PCL_MUST_CHECK;

#endif
