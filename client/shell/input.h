/* input.h - the lines that a shell reads, as statements and commands.  Pure.
 *
 * A statement may take several lines; it ends with `;`, `\g` or `\G` outside of quotes and comments
 * (client/splitter.h).  A line that begins with a backslash while no statement is open is a command
 * and ends with its line.  `\c` at the end of a line throws the open statement away.
 */
#ifndef PCL_CLIENT_SHELL_INPUT_H
#define PCL_CLIENT_SHELL_INPUT_H

#include "client/splitter.h"
#include "common/buffer.h"

typedef struct pcl_shell_input {
    pcl_buffer text;       /* lines that are not done with */
    size_t done;           /* octets of it that are */
    pcl_splitter splitter; /* keeps the delimiter; its text is the buffer's */
    bool complete;         /* the lines seen last may have ended a statement */
    bool over;             /* no line will come any more */
} pcl_shell_input;

typedef enum pcl_shell_item_kind {
    PCL_SHELL_NOTHING = 0, /* more lines are needed */
    PCL_SHELL_STATEMENT,
    PCL_SHELL_COMMAND, /* text begins with the backslash */
} pcl_shell_item_kind;

typedef struct pcl_shell_item {
    pcl_shell_item_kind kind;
    pcl_bytes text; /* borrowed until the next call */
    bool vertical;  /* the statement ended with \G */
} pcl_shell_item;

/* size_max: octets of one statement. */
void pcl_shell_input_init(pcl_shell_input *self, size_t size_max);
void pcl_shell_input_release(pcl_shell_input *self);

/* A line, without its line feed.  false: the statement is over its limit and was thrown away. */
bool pcl_shell_input_add(pcl_shell_input *self, pcl_bytes line) PCL_MUST_CHECK;
/* The end of the text: what is open is a statement, too. */
void pcl_shell_input_end(pcl_shell_input *self);

/* Call until it gives PCL_SHELL_NOTHING. */
pcl_shell_item pcl_shell_input_next(pcl_shell_input *self);

/* Throws the open statement away. */
void pcl_shell_input_clear(pcl_shell_input *self);

/* Is a statement open? */
bool pcl_shell_input_is_open(const pcl_shell_input *self);
/* The quote that is open, `*` in a comment; else 0.  For the prompt. */
uint8_t pcl_shell_input_quote(const pcl_shell_input *self);
/* The open statement, borrowed until the next call. */
pcl_bytes pcl_shell_input_open_text(const pcl_shell_input *self);

#endif
