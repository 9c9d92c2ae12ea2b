/* files.h - a policy with its digest lists, from files; what broker and command share.
 *
 * The one part of this folder that reaches outside the process.  One thread at a time.
 */
#ifndef PCL_POLICY_FILES_H
#define PCL_POLICY_FILES_H

#include "policy/digest_list.h"
#include "policy/policy.h"

#include <stdbool.h>

/* All zero is none. */
typedef struct pcl_policy_files {
    pcl_policy *policy;
    pcl_digest_list *lists[PCL_POLICY_ROLES_MAX]; /* by role index; NULL where digests are off */
    char file[4096];                              /* "" of the built-in policy */
} pcl_policy_files;

/* Reads the policy and, for each role whose digests are not off, its list and LIST.seen, which need
 * not be there; in mode protect the list must be.  file "": the built-in policy.
 * false: *out_self is untouched and *problems got a line for every mistake. */
bool pcl_policy_files_load(pcl_policy_files *out_self, const char *file, pcl_buffer *problems);
void pcl_policy_files_release(pcl_policy_files *self);

/* Mode detect: adds the digest to the role's list as `seen`, and a line to LIST.seen when it is new
 * there.  false: it could not be written; *error says why.  A list or a LIST.seen that is full
 * takes no more, which is no error. */
bool pcl_policy_files_note(pcl_policy_files *self, const pcl_policy_role *role, pcl_bytes text,
                           char *error, size_t error_size);

/* Makes text the content of the file, at once or not at all: readers find the old file or the new
 * one, and after a crash it is one of them, too.  Rights and owner of the old file stay; a
 * new one has 0644 and, where we are root, its folder's owner.
 * false: *error says why, naming the file, which is as it was (or,
 * where only the last step failed, new but not surely on disk). */
bool pcl_policy_file_replace(const char *file, pcl_bytes text, char *error, size_t error_size);

#endif
