/* seen.h - which tokens a client keeps, so that what it reads never goes back behind what it has
 * written and read.  Pure.
 *
 *   1. A token that comes takes the place of those that it covers (wire/token.h); one that is
 *      covered by a kept one is not kept.  A reply's token covers what its request named, so a
 *      client that does one thing after the other keeps one.
 *   2. Requests that are in flight together may bring tokens of which neither covers the other (of
 *      several domains, of the time around a failover): those are all kept, and all named.
 *   3. More than a request may name, or none where one was asked for, and the client reads from the
 *      source: nothing that it has seen is missing there.  It does so until a token comes from a
 *      request that was sent so, or from a session that was begun so.
 */
#ifndef PCL_CLIENT_SEEN_H
#define PCL_CLIENT_SEEN_H

#include "common/bytes.h"
#include "common/limits.h"

#include <stdbool.h>
#include <stdint.h>

/* All of them as a text, one blank between two, and a NUL.  Where rule 3 holds it begins with the
 * word `source`, so that it holds for whoever takes the text over, too. */
#define PCL_SEEN_SOURCE    "source"
#define PCL_SEEN_TEXT_SIZE (sizeof PCL_SEEN_SOURCE + PCL_TOKENS_MAX * (PCL_TOKEN_SIZE_MAX + 1u))

typedef struct pcl_seen_token {
    uint16_t size;
    char text[PCL_TOKEN_SIZE_MAX];
} pcl_seen_token;

/* Zero: nothing is kept. */
typedef struct pcl_seen {
    pcl_seen_token tokens[PCL_TOKENS_MAX];
    uint32_t count;
    bool source;    /* rule 3 holds */
    uint64_t turns; /* how often it came to hold */
} pcl_seen;

/* What a request that will be read at the source has to remember of the moment when it was made: 0,
 * or under which turn to the source that was.  Of every other it is 0. */
uint64_t pcl_seen_mark(const pcl_seen *self);

/* A reply brought this token; mark is its request's.  What is no token (1 to 512 octets of
 * printable ASCII without blanks) is not kept. */
void pcl_seen_note(pcl_seen *self, pcl_bytes token, uint64_t mark);
/* A reply brought none, though one was asked for. */
void pcl_seen_miss(pcl_seen *self);

/* Notes each token of a text, with blanks between them; where they are more than can be kept, rule
 * 3 holds.  false: one is none; then nothing has changed. */
bool pcl_seen_add(pcl_seen *self, pcl_bytes text);
/* Writes such a text and its NUL, and returns its size, 0 of none. */
size_t pcl_seen_text(const pcl_seen *self, char target[PCL_SEEN_TEXT_SIZE]);

#endif
