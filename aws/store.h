/* store.h - the files of a secret, in a folder. */
#ifndef PCL_AWS_STORE_H
#define PCL_AWS_STORE_H

#include "aws/answers.h"
#include "common/bytes.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>

/* Called for each file once all of them stand. */
typedef void(pcl_secret_stored)(void *context, const char *name, bool changed);

/* Makes the files what the secret says: each is written whole beside its place, readable by its
 * owner alone, and takes its place at once, so that nobody ever reads half of one; all are written
 * before the first takes its place.  A file that is right already is left alone; others in the
 * folder stay.  false: error says why, which may be that somebody else is at it; each file is then
 * the old one or the new one. */
bool pcl_secret_store(const char *folder, const pcl_secret *secret, pcl_bytes octets,
                      pcl_secret_stored *stored, void *context, char *error,
                      size_t error_size) PCL_MUST_CHECK;

#endif
