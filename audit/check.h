/* check.h - verifies files and folders of the log. */
#ifndef PCL_AUDIT_CHECK_H
#define PCL_AUDIT_CHECK_H

#include "audit/verify.h"

/* Called for each finding but SOUND.  line: its number in the file, from 1. */
typedef void(pcl_audit_report)(void *context, const char *path, uint64_t line,
                               pcl_audit_finding finding, const char *text);

typedef struct pcl_audit_check {
    pcl_audit_verify verify; /* its hash and sequence are the head */
    pcl_audit_report *report;
    void *context;
    const uint8_t *expected; /* borrowed; a hash that must stand in the log; NULL: none */
    bool expected_found;
    uint64_t files;
    uint64_t damages; /* findings that are no TORN */
    char last[4096];  /* path of the last file */
    uint64_t last_line;
} pcl_audit_check;

/* key and expected (PCL_AUDIT_HASH_SIZE octets) are borrowed until the finish; NULL: none. */
void pcl_audit_check_start(pcl_audit_check *self, const uint8_t *key, const uint8_t *expected,
                           pcl_audit_report *report, void *context);

/* A file, or all files of the log in a folder; in the order in which they were written.  false:
 * error says why it cannot be read. */
bool pcl_audit_check_path(pcl_audit_check *self, const char *path, char *error,
                          size_t error_size) PCL_MUST_CHECK;

/* true: nothing was found. */
bool pcl_audit_check_finish(pcl_audit_check *self);

#endif
