/* bundle.h - what a client needs to know, in one ZPL file.
 *
 *     bundle
 *         version = 1
 *         principal = "NAME"
 *     gatekeeper                  # one section for each
 *         endpoint = "tcp://HOST:PORT"
 *         public-key = "..."      # 40 characters Z85
 *     broker                      # may be left out: then nothing is sealed
 *         public-key = "..."      # every reply must carry this broker's seal
 *     curve
 *         public-key = "..."      # the client's own
 *         secret-key = "..."
 *
 * Pure.
 */
#ifndef PCL_CLIENT_BUNDLE_H
#define PCL_CLIENT_BUNDLE_H

#include "common/buffer.h"
#include "common/bytes.h"
#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

#define PCL_BUNDLE_SIZE_MAX          65536u /* octets of a file */
#define PCL_BUNDLE_GATEKEEPERS_MAX   16u
#define PCL_BUNDLE_ENDPOINT_SIZE_MAX 255u
#define PCL_BUNDLE_KEY_SIZE          40u
#define PCL_BUNDLE_NAME_SIZE_MAX     63u

typedef struct pcl_bundle_gatekeeper {
    char endpoint[PCL_BUNDLE_ENDPOINT_SIZE_MAX + 1];
    char public_key[PCL_BUNDLE_KEY_SIZE + 1]; /* "" on plain connections */
} pcl_bundle_gatekeeper;

typedef struct pcl_bundle {
    char principal[PCL_BUNDLE_NAME_SIZE_MAX + 1];
    pcl_bundle_gatekeeper gatekeepers[PCL_BUNDLE_GATEKEEPERS_MAX];
    uint32_t gatekeeper_count;
    char broker_key[PCL_BUNDLE_KEY_SIZE + 1]; /* public; "": nothing is sealed */
    char public_key[PCL_BUNDLE_KEY_SIZE + 1]; /* both "" only without tcp gatekeeper and broker */
    char secret_key[PCL_BUNDLE_KEY_SIZE + 1];
} pcl_bundle;

/* false: problems got one line for each mistake, "NAME:LINE: what must be", and *out_bundle is
 * untouched.  name is the file's, for those lines. */
bool pcl_bundle_parse(pcl_bundle *out_bundle, pcl_bytes text, const char *name,
                      pcl_buffer *problems) PCL_MUST_CHECK;

/* Appends the bundle as a file has it; what is read from that is the bundle. */
void pcl_bundle_put(const pcl_bundle *bundle, pcl_buffer *buffer);

/* 40 characters of Z85? */
bool pcl_bundle_key_valid(pcl_bytes text);

/* tcp://host:port with a port from 1 to 65535, or ipc://path? */
bool pcl_bundle_endpoint_valid(pcl_bytes text);

/* Overwrites the keys; call before the struct goes out of use. */
void pcl_bundle_wipe(pcl_bundle *bundle);

#endif
