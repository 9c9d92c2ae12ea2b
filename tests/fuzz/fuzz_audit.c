/* A line of the audit log that can be read is written again and read as the same, and none that
 * was not hashed by us passes for one that follows. */
#include "audit/verify.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static pcl_audit_scratch s_scratch;
static pcl_audit_scratch s_again_scratch;
static pcl_audit_verify s_verify;

static void s_require(bool fact)
{
    if (!fact) {
        abort();
    }
}

static void s_try_line(pcl_bytes line, pcl_buffer *text, pcl_buffer *again)
{
    uint8_t hash[PCL_AUDIT_HASH_SIZE] = {0};
    uint8_t chain[PCL_AUDIT_HASH_SIZE];
    const char *problem = NULL;
    size_t hashed_size = 0;
    pcl_audit_record record;
    pcl_audit_record back;
    if (!pcl_audit_record_parse(&record, line, &s_scratch, chain, &hashed_size, &problem)) {
        s_require(problem != NULL);
        return;
    }
    s_require(hashed_size + strlen("chain=") + PCL_AUDIT_HASH_TEXT == line.size);
    pcl_buffer_clear(text);
    pcl_audit_chain_put(&record, NULL, hash, text);
    s_require(!text->failed && text->size <= PCL_AUDIT_LINE_SIZE_MAX);
    s_require(memchr(text->data, '\n', text->size) == text->data + text->size - 1);
    s_require(pcl_audit_record_parse(&back, pcl_bytes_of(text->data, text->size - 1),
                                     &s_again_scratch, chain, &hashed_size, &problem));
    s_require(memcmp(chain, hash, sizeof hash) == 0);
    pcl_buffer_clear(again);
    pcl_audit_record_format(&back, again);
    s_require(again->size == hashed_size && memcmp(again->data, text->data, hashed_size) == 0);
}

/* A sound line behind whatever was read: it is never found fault with when it follows. */
static void s_try_follow(pcl_buffer *text)
{
    char finding[PCL_AUDIT_FINDING_SIZE];
    if (s_verify.first == 0 || s_verify.sequence == UINT64_MAX) {
        return;
    }
    uint8_t hash[PCL_AUDIT_HASH_SIZE];
    pcl_audit_record next = {.sequence = s_verify.sequence + 1, .kind = PCL_AUDIT_DONE};
    memcpy(hash, s_verify.hash, sizeof hash);
    pcl_buffer_clear(text);
    pcl_audit_chain_put(&next, NULL, hash, text);
    s_require(!text->failed);
    s_require(pcl_audit_verify_line(&s_verify, pcl_bytes_of(text->data, text->size - 1), finding) ==
              PCL_AUDIT_SOUND);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char finding[PCL_AUDIT_FINDING_SIZE];
    pcl_buffer text;
    pcl_buffer again;
    pcl_buffer_init(&text, 2 * PCL_AUDIT_LINE_SIZE_MAX);
    pcl_buffer_init(&again, 2 * PCL_AUDIT_LINE_SIZE_MAX);
    pcl_audit_verify_start(&s_verify, NULL);
    while (size > 0) {
        const uint8_t *end = memchr(data, '\n', size);
        size_t line_size = end != NULL ? (size_t)(end - data) : size;
        pcl_bytes line = pcl_bytes_of(data, line_size);
        s_try_line(line, &text, &again);
        pcl_audit_finding found = pcl_audit_verify_line(&s_verify, line, finding);
        s_require((found == PCL_AUDIT_SOUND) == (finding[0] == '\0'));
        data += line_size + (end != NULL ? 1 : 0);
        size -= line_size + (end != NULL ? 1 : 0);
    }
    s_try_follow(&text);
    pcl_buffer_release(&text);
    pcl_buffer_release(&again);
    return 0;
}
