#include "audit/verify.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

void pcl_audit_verify_start(pcl_audit_verify *self, const uint8_t *key)
{
    memset(self, 0, sizeof *self);
    self->key = key;
    self->at_start = true;
}

void pcl_audit_verify_file(pcl_audit_verify *self)
{
    self->at_start = true;
}

void pcl_audit_verify_file_end(pcl_audit_verify *self, uint64_t torn)
{
    self->torn += torn; /* a file may be nothing but the beginning of its open line */
}

pcl_audit_finding pcl_audit_verify_finish(pcl_audit_verify *self, char *text)
{
    text[0] = '\0';
    if (self->torn == 0) {
        return PCL_AUDIT_SOUND;
    }
    (void)snprintf(text, PCL_AUDIT_FINDING_SIZE,
                   "the last line is cut off after %llu octets (a broker that was killed or whose "
                   "disk is full leaves "
                   "that, and the first says so when it starts again)",
                   (unsigned long long)self->torn);
    return PCL_AUDIT_CUT;
}

/* From here on the chain is what this line says. */
static void s_go_on(pcl_audit_verify *self, const pcl_audit_record *record,
                    const uint8_t chain[PCL_AUDIT_HASH_SIZE])
{
    self->sequence = record->sequence;
    memcpy(self->hash, chain, PCL_AUDIT_HASH_SIZE);
    self->skipped = 0;
    self->lines++;
    self->first = self->first == 0 ? record->sequence : self->first;
}

static bool s_is_zero(const uint8_t *octets)
{
    static const uint8_t ZERO[PCL_AUDIT_HASH_SIZE];
    return memcmp(octets, ZERO, sizeof ZERO) == 0;
}

/* The first line of all: it says itself what it follows. */
static pcl_audit_finding s_first(pcl_audit_verify *self, const pcl_audit_record *record, char *text)
{
    if (record->kind != PCL_AUDIT_OPEN || !record->has_previous || record->sequence == 0) {
        (void)snprintf(text, PCL_AUDIT_FINDING_SIZE,
                       "the file does not begin with its open line: lines before seq %llu are gone",
                       (unsigned long long)record->sequence);
        return PCL_AUDIT_NO_START;
    }
    if ((record->sequence == 1) != s_is_zero(record->previous)) {
        (void)snprintf(text, PCL_AUDIT_FINDING_SIZE,
                       "the open line was changed: seq %llu does not go with what it follows",
                       (unsigned long long)record->sequence);
        return PCL_AUDIT_CHANGED;
    }
    memcpy(self->hash, record->previous, sizeof self->hash);
    self->sequence = record->sequence - 1;
    return PCL_AUDIT_SOUND;
}

/* The first line of a file behind another one. */
static pcl_audit_finding s_next_file(pcl_audit_verify *self, const pcl_audit_record *record,
                                     char *text)
{
    uint64_t torn = self->torn;
    self->torn = 0;
    if (record->kind != PCL_AUDIT_OPEN || !record->has_previous) {
        (void)snprintf(text, PCL_AUDIT_FINDING_SIZE, "the file does not begin with its open line");
        return PCL_AUDIT_NO_START;
    }
    if (torn != record->torn) {
        (void)snprintf(text, PCL_AUDIT_FINDING_SIZE,
                       "the file before it ends with %llu octets of a line that is not whole, and "
                       "this one says %llu",
                       (unsigned long long)torn, (unsigned long long)record->torn);
        return PCL_AUDIT_CUT;
    }
    if (torn > 0) {
        (void)snprintf(text, PCL_AUDIT_FINDING_SIZE,
                       "the file before it ends with %llu octets of a line that was being written "
                       "when its broker ended",
                       (unsigned long long)torn);
        return PCL_AUDIT_TORN;
    }
    return PCL_AUDIT_SOUND;
}

static pcl_audit_finding s_judge(const pcl_audit_verify *self, const pcl_audit_record *record,
                                 bool follows, char *text)
{
    unsigned long long sequence = record->sequence;
    unsigned long long expected = self->sequence + 1;
    if (self->doubtful && follows && record->sequence != 0) {
        return PCL_AUDIT_SOUND; /* it was the number of the line before that was changed */
    }
    if (record->sequence <= self->sequence) {
        (void)snprintf(text, PCL_AUDIT_FINDING_SIZE,
                       "seq %llu stands behind seq %llu: it was moved, or stands twice", sequence,
                       (unsigned long long)self->sequence);
        return PCL_AUDIT_MOVED;
    }
    if (record->sequence == self->sequence + 1 && follows) {
        return PCL_AUDIT_SOUND;
    }
    if (self->skipped > 0 && record->sequence == self->sequence + self->skipped + 1) {
        return PCL_AUDIT_SOUND; /* what was wrong with the line before has been told */
    }
    if (record->sequence == self->sequence + 1) {
        (void)snprintf(text, PCL_AUDIT_FINDING_SIZE,
                       "seq %llu was changed, or the hash of the line before it", sequence);
        return PCL_AUDIT_CHANGED;
    }
    (void)snprintf(text, PCL_AUDIT_FINDING_SIZE, "seq %llu%s missing before seq %llu", expected,
                   record->sequence == self->sequence + 2 ? " is" : " and more are", sequence);
    return PCL_AUDIT_MISSING;
}

/* What a line says as the first of a file; SOUND of any other line. */
static pcl_audit_finding s_start_of_file(pcl_audit_verify *self, const pcl_audit_record *record,
                                         char *text)
{
    if (!self->at_start) {
        return PCL_AUDIT_SOUND;
    }
    self->at_start = false;
    return self->first == 0 ? s_first(self, record, text) : s_next_file(self, record, text);
}

pcl_audit_finding pcl_audit_verify_line(pcl_audit_verify *self, pcl_bytes line, char *text)
{
    uint8_t chain[PCL_AUDIT_HASH_SIZE];
    uint8_t hash[PCL_AUDIT_HASH_SIZE];
    size_t hashed_size = 0;
    const char *problem = "";
    text[0] = '\0';
    if (!pcl_audit_record_parse(&self->record, line, &self->scratch, chain, &hashed_size,
                                &problem)) {
        self->skipped++;
        (void)snprintf(text, PCL_AUDIT_FINDING_SIZE, "this is no line of the audit log: %s",
                       problem);
        return PCL_AUDIT_NO_LINE;
    }
    const pcl_audit_record *record = &self->record;
    pcl_audit_finding start = s_start_of_file(self, record, text);
    if (start != PCL_AUDIT_SOUND && start != PCL_AUDIT_TORN) {
        s_go_on(self, record, chain);
        return start;
    }
    pcl_audit_chain_hash(self->hash, pcl_bytes_of(line.data, hashed_size), self->key, hash);
    bool follows = memcmp(hash, chain, sizeof hash) == 0;
    pcl_audit_finding finding = s_judge(self, record, follows, text);
    if (finding != PCL_AUDIT_MOVED) {
        s_go_on(self, record, chain);
        self->doubtful = finding == PCL_AUDIT_MISSING;
    }
    return finding != PCL_AUDIT_SOUND ? finding : start;
}
