/* digest_list.h - the statements that a role is known to send, by their digests; pure.
 *
 * The file has a line for each, blanks between, and comments that begin with `#`:
 *
 *     DIGEST-ID  STATE  TEXT
 *
 * DIGEST-ID is 16 hexadecimal digits: the first 8 octets of the BLAKE2b-256 of the text.  STATE is
 * `allowed` or `seen`.  In TEXT a backslash, the octets below 0x20 and 0x7f, and a blank at
 * either end stand as \xHH.  The
 * whole hash of the text is compared, so that nobody can make a statement with the id of another.
 *
 * One thread at a time.
 */
#ifndef PCL_POLICY_DIGEST_LIST_H
#define PCL_POLICY_DIGEST_LIST_H

#include "common/buffer.h"
#include "common/bytes.h"
#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

#define PCL_DIGEST_ID_TEXT_SIZE       17u /* with a NUL */
#define PCL_DIGEST_LIST_COUNT_MAX     10000u
#define PCL_DIGEST_LIST_FILE_SIZE_MAX (16u * 1024u * 1024u) /* also of all texts of a list */
#define PCL_DIGEST_LINE_SIZE_MAX      (4u * 4096u + 64u) /* of a digest whose octets are escaped */

/* Behind the path of a list: what the broker has seen and nobody has taken into it yet. */
#define PCL_DIGEST_LIST_SEEN ".seen"

typedef enum pcl_digest_state {
    PCL_DIGEST_UNKNOWN = 0,
    PCL_DIGEST_SEEN, /* somebody sent it; nobody has looked at it */
    PCL_DIGEST_ALLOWED,
} pcl_digest_state;

/* Never 0. */
uint64_t pcl_digest_id(pcl_bytes text);
void pcl_digest_id_text(uint64_t id, char out_text[PCL_DIGEST_ID_TEXT_SIZE]);
/* false: not 16 hexadecimal digits. */
bool pcl_digest_id_parse(pcl_bytes text, uint64_t *out_id) PCL_MUST_CHECK;

/* A digest that was cut (docs/sql.md, 8.6) stands for more than one statement: no list has it. */
bool pcl_digest_is_cut(pcl_bytes text);

/* "unknown", "seen", "allowed". */
const char *pcl_digest_state_text(pcl_digest_state state);

/* Appends "DIGEST-ID  STATE  TEXT\n". */
void pcl_digest_line_put(pcl_buffer *buffer, pcl_bytes text, pcl_digest_state state);

typedef struct pcl_digest_list pcl_digest_list;

typedef struct pcl_digest_entry {
    uint64_t id;
    pcl_digest_state state;
    pcl_bytes text; /* borrowed from the list, until it is changed */
} pcl_digest_entry;

/* Empty; NULL: no memory. */
pcl_digest_list *pcl_digest_list_new(void);
void pcl_digest_list_destroy(pcl_digest_list **self_p);

/* Adds the lines of a file; of a digest that stands in several, the highest state counts.  false:
 * *problems got a line "NAME:LINE: rule\n" for every mistake; the lines without one are in. */
bool pcl_digest_list_read(pcl_digest_list *self, pcl_bytes text, const char *name,
                          pcl_buffer *problems);

/* false: it was there with this state or a higher one, is cut, or there is no room. */
bool pcl_digest_list_put(pcl_digest_list *self, pcl_bytes text, pcl_digest_state state);

/* O(log n). */
pcl_digest_state pcl_digest_list_find(const pcl_digest_list *self, pcl_bytes text);
/* By id alone, for people who name one.  false: it is not there. */
bool pcl_digest_list_get(const pcl_digest_list *self, uint64_t id, pcl_digest_entry *out_entry);

uint32_t pcl_digest_list_count(const pcl_digest_list *self);
/* In the order of ids; index below the count. */
pcl_digest_entry pcl_digest_list_at(const pcl_digest_list *self, uint32_t index);

/* Appends a file that says what the list says.  Comments, empty lines and the order are those of
 * `original` (which may be empty); what it does not have follows, in the order of the texts; what
 * the list does not have is left out.  false: no memory, or the buffer is full. */
bool pcl_digest_list_write(const pcl_digest_list *self, pcl_bytes original,
                           pcl_buffer *buffer) PCL_MUST_CHECK;

#endif
