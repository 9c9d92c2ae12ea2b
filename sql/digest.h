/* digest.h - the form of a statement, without its values.
 *
 * Statements that differ only in literals, white space, comments, or the case of
 * words have one digest; docs/sql.md, section 8, has the rules, numbered.  It is
 * text that may be shown where the statement may not: it holds no literal.
 *
 * Pure; needs no memory but the buffer's; looks at each octet a bounded number of
 * times.
 */
#ifndef PCL_SQL_DIGEST_H
#define PCL_SQL_DIGEST_H

#include "common/buffer.h"
#include "common/bytes.h"

#include <stdbool.h>

enum { PCL_SQL_DIGEST_SIZE_MAX = 4096 }; /* octets */

/* Appends the digest, at most PCL_SQL_DIGEST_SIZE_MAX octets; what is longer ends
 * in "...", at the end of a token.  The text must have a verdict other than REFUSED;
 * of any other text, the digest of what stands before the octet that broke a rule
 * is written and false returned.  False too when the buffer failed; else true. */
bool pcl_sql_digest(pcl_bytes sql, pcl_buffer *out);

#endif
