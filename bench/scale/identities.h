/* identities.h - names and keys of those who are simulated, from a file.
 *
 * A line each, `NAME PUBLIC-KEY SECRET-KEY`, keys in Z85.  The file holds secrets and must be
 * readable by its owner alone.
 */
#ifndef PCL_BENCH_SCALE_IDENTITIES_H
#define PCL_BENCH_SCALE_IDENTITIES_H

#include "common/limits.h"
#include "net/keys.h"

#include <stddef.h>
#include <stdint.h>

#define PCL_IDENTITIES_MAX 100000u

typedef struct pcl_identity {
    char name[PCL_NAME_SIZE_MAX + 1];
    pcl_keys keys;
} pcl_identity;

/* The lines from number first on (the first is 0), count of them at the most.  The caller gives
 * them back to pcl_identities_free.  NULL: error says why; none is an error, too. */
pcl_identity *pcl_identities_load(const char *file, uint32_t first, uint32_t count,
                                  uint32_t *out_count, char *error, size_t error_size);
void pcl_identities_free(pcl_identity **self_p, uint32_t count);

#endif
