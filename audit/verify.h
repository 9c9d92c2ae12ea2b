/* verify.h - reads a log line by line and says where it was tampered with.  Pure.
 *
 *   for each file, oldest first: pcl_audit_verify_file, for each line pcl_audit_verify_line,
 *   pcl_audit_verify_file_end; at last pcl_audit_verify_finish
 *
 * After a finding it goes on from what the line at hand says of itself, so that each damage is told
 * once and in its place.
 */
#ifndef PCL_AUDIT_VERIFY_H
#define PCL_AUDIT_VERIFY_H

#include "audit/chain.h"

#include <stddef.h>

typedef enum pcl_audit_finding {
    PCL_AUDIT_SOUND = 0,
    PCL_AUDIT_TORN,     /* no damage: a writer was killed in a line, and the next one said so */
    PCL_AUDIT_CHANGED,  /* this line, or the hash of the one before it, is not as it was written */
    PCL_AUDIT_NO_LINE,  /* not a line of this format */
    PCL_AUDIT_MISSING,  /* lines before this one are gone */
    PCL_AUDIT_MOVED,    /* the line stands behind a later one, or twice */
    PCL_AUDIT_NO_START, /* a file does not begin with its OPEN line, or goes on from another chain
                         */
    PCL_AUDIT_CUT,      /* the last line of a file is not whole, and nobody said so */
} pcl_audit_finding;

#define PCL_AUDIT_FINDING_SIZE 256u

typedef struct pcl_audit_verify {
    const uint8_t *key;                /* borrowed; NULL: none */
    uint8_t hash[PCL_AUDIT_HASH_SIZE]; /* of the last good line */
    uint64_t sequence;                 /* of the last good line; 0: none yet */
    uint64_t first;                    /* sequence of the first line read */
    uint64_t lines;                    /* good ones */
    uint64_t skipped;                  /* lines since the last good one that are none */
    uint64_t torn;                     /* octets at the end of files before, not yet told of */
    bool doubtful;                     /* the last line's number could not be held to anything */
    bool at_start;                     /* of a file */
    pcl_audit_record record;           /* of the last line that could be read */
    pcl_audit_scratch scratch;
} pcl_audit_verify;

/* key: PCL_AUDIT_KEY_SIZE octets, borrowed until the last call; NULL: none. */
void pcl_audit_verify_start(pcl_audit_verify *self, const uint8_t *key);

/* Another file begins. */
void pcl_audit_verify_file(pcl_audit_verify *self);

/* A line without its end.  text (PCL_AUDIT_FINDING_SIZE) says what was found, "" when all is well.
 * self->record is the line's, unless it is none. */
pcl_audit_finding pcl_audit_verify_line(pcl_audit_verify *self, pcl_bytes line, char *text);

/* The file ends with torn octets that have no line's end; 0: it ends as it should. */
void pcl_audit_verify_file_end(pcl_audit_verify *self, uint64_t torn);

/* No file follows. */
pcl_audit_finding pcl_audit_verify_finish(pcl_audit_verify *self, char *text);

#endif
