/* bundle_file.h - finding and reading the client's bundle. */
#ifndef PCL_CLIENT_BUNDLE_FILE_H
#define PCL_CLIENT_BUNDLE_FILE_H

#include "client/bundle.h"

#include <stdbool.h>
#include <stddef.h>

/* Where it is looked for, for messages and the manual. */
#define PCL_BUNDLE_PLACES                                                                          \
    "$PORTCULLIS_BUNDLE, ./var/client.bundle, ~/.config/portcullis/client.bundle, "                \
    "/etc/portcullis/client.bundle"

/* Writes the path of the first that exists of: $PORTCULLIS_BUNDLE (which is not tested: who sets
 * it means it), ./var/client.bundle, then var/client.bundle beside program (the path it was
 * started by, may be NULL), beside the file that links to, and in each folder above that;
 * ~/.config/portcullis/client.bundle, /etc/portcullis/client.bundle.  false: there is none. */
bool pcl_bundle_find(const char *program, char *path, size_t path_size) PCL_MUST_CHECK;

/* file NULL: wherever pcl_bundle_find(NULL) finds it.  false: error holds one line a mistake, and
 * *out_bundle has no key in it. */
bool pcl_bundle_load(pcl_bundle *out_bundle, const char *file, char *error,
                     size_t error_size) PCL_MUST_CHECK;

#endif
