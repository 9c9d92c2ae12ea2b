/* record.h - one line of the audit log, to and from its parts.
 *
 *   2026-11-22T15:33:30.123456Z seq=17 kind=start id=00ff... principal=alice role=app op=query \
 *       class=write digest=0123456789abcdef code=OK chain=64 hexadecimal digits
 *
 * ASCII, one line a record, `key=value` in the order of pcl_audit_record, what is empty left out.
 * A value that is not made of [A-Za-z0-9._:/+-] alone stands in quotes; `"`, `\` and all octets
 * outside of 0x20 to 0x7e are written \xNN, so that no value can forge a field or a line.
 *
 * Never a literal or a parameter of a statement: what is said of it is its digest.  Pure.
 */
#ifndef PCL_AUDIT_RECORD_H
#define PCL_AUDIT_RECORD_H

#include "common/buffer.h"
#include "common/bytes.h"
#include "common/error.h"
#include "common/limits.h"

#include <stdbool.h>
#include <stdint.h>

#define PCL_AUDIT_HASH_SIZE     32u /* BLAKE2b-256 */
#define PCL_AUDIT_HASH_TEXT     (2u * PCL_AUDIT_HASH_SIZE)
#define PCL_AUDIT_DIGEST_SIZE   16u    /* the id of a digest, hexadecimal digits */
#define PCL_AUDIT_WORD_SIZE_MAX 255u   /* octets of a text; what is longer is cut */
#define PCL_AUDIT_TEXT_SIZE_MAX 4096u  /* octets of digest_text and token; what is longer is cut */
#define PCL_AUDIT_LINE_SIZE_MAX 65536u /* no line is longer, its end included */

typedef enum pcl_audit_kind {
    PCL_AUDIT_DONE = 0,  /* a request and its outcome in one line: a read, or a refusal */
    PCL_AUDIT_START,     /* what is not a read, before it is forwarded */
    PCL_AUDIT_END,       /* its outcome; has the id of its START */
    PCL_AUDIT_STATEMENT, /* one of a txn: its number and its digest; stands before the START */
    PCL_AUDIT_EVENT,     /* not a request: a policy that was read, a principal that was taken out;
                            `rule` is the word for it */
    /* The writer's own: */
    PCL_AUDIT_OPEN,       /* first line of a file */
    PCL_AUDIT_RESUME,     /* a broker began to write in a file that was there */
    PCL_AUDIT_DIGEST,     /* the text of a digest, before its first use in the file */
    PCL_AUDIT_GAP,        /* `lost` records could not be written */
    PCL_AUDIT_KIND_COUNT, /* must stay last */
} pcl_audit_kind;

/* All texts are borrowed.  Empty ones are left out. */
typedef struct pcl_audit_record {
    uint64_t time_us;  /* wall clock, since 1970 */
    uint64_t sequence; /* of the line; the writer sets it */
    pcl_audit_kind kind;
    bool has_id;
    uint8_t id[PCL_ID_SIZE];
    bool has_session;
    uint8_t session[PCL_ID_SIZE]; /* session or cursor that it is of */
    pcl_bytes principal;
    pcl_bytes role;
    pcl_bytes op;        /* "query" */
    pcl_bytes sql_class; /* "write" */
    pcl_bytes strategy;
    pcl_bytes db;
    pcl_bytes digest;      /* PCL_AUDIT_DIGEST_SIZE hexadecimal digits; anything else is left out */
    pcl_bytes digest_text; /* written once a file, in a line of its own (PCL_AUDIT_DIGEST) */
    pcl_bytes code;        /* "OK", "FORBIDDEN"; of a START: the verdict */
    pcl_bytes rule;        /* of the policy, when one refused it */
    pcl_bytes dry_run;     /* rules that would have refused it */
    pcl_bytes node;        /* that ran it */
    pcl_bytes token;       /* of a write */
    pcl_bytes peer;        /* the gatekeeper that brought it */
    bool has_rows;
    uint64_t rows; /* returned or changed */
    bool has_statement;
    uint64_t statement; /* of a txn, from 0; of an END: which one failed */
    bool has_took;
    uint64_t took_us; /* from its arrival to its reply, at the broker */
    bool sealed;
    /* Of the writer's own lines: */
    bool has_previous;
    uint8_t previous[PCL_AUDIT_HASH_SIZE]; /* OPEN: the hash that the chain goes on from */
    uint64_t torn; /* OPEN: octets at the end of the file before that are no whole line */
    uint64_t lost; /* GAP */
} pcl_audit_record;

/* Appends the line up to and with the blank before `chain=`; so many octets are hashed. */
void pcl_audit_record_format(const pcl_audit_record *record, pcl_buffer *buffer);

/* How many octets the texts of a record need, each cut to its limit, and a copy of the record with
 * its texts in so many octets. */
size_t pcl_audit_record_texts_size(const pcl_audit_record *record);
void pcl_audit_record_copy(const pcl_audit_record *record, pcl_audit_record *out_copy,
                           uint8_t *octets);

/* Where texts of a parsed line are unescaped. */
typedef struct pcl_audit_scratch {
    uint8_t octets[PCL_AUDIT_LINE_SIZE_MAX];
    size_t used;
} pcl_audit_scratch;

/* Reads a line without its end; any octets are a safe input.  On success the texts of *out_record
 * are borrowed from line and scratch, out_chain (PCL_AUDIT_HASH_SIZE octets) holds the line's hash
 * and *out_hashed_size how many octets of the line it is over.  false: out_problem says what rule
 * the line breaks, nothing else was written but scratch. */
bool pcl_audit_record_parse(pcl_audit_record *out_record, pcl_bytes line,
                            pcl_audit_scratch *scratch, uint8_t *out_chain, size_t *out_hashed_size,
                            const char **out_problem) PCL_MUST_CHECK;

/* "done", "start", ...: static text. */
const char *pcl_audit_kind_text(pcl_audit_kind kind);
bool pcl_audit_kind_parse(pcl_bytes text, pcl_audit_kind *out_kind) PCL_MUST_CHECK;

/* "2026-11-22T15:33:30.123456Z", 27 characters and a NUL. */
#define PCL_AUDIT_TIME_SIZE 28u
void pcl_audit_time_format(uint64_t time_us, char target[PCL_AUDIT_TIME_SIZE]);
/* The same back; what is left out from the end ("2026-11-22", "2026-11-22T15:33") is 0. */
bool pcl_audit_time_parse(pcl_bytes text, uint64_t *out_time_us) PCL_MUST_CHECK;

#endif
