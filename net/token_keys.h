/* token_keys.h - the keys that make and prove causal tokens (wire/token.h;
 * docs/rfc/2-hop-protocol.md, section 4.9).
 *
 * Agents and brokers of one cluster have the same file: keys of 64 hexadecimal digits, blanks or
 * line ends between them.  The first makes tokens, each of them proves one, so a key is changed by
 * putting the new one behind the old one everywhere, then before it, then taking the old one out.
 */
#ifndef PCL_NET_TOKEN_KEYS_H
#define PCL_NET_TOKEN_KEYS_H

#include "common/bytes.h"
#include "common/error.h"
#include "common/limits.h"
#include "net/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PCL_TOKEN_KEY_SIZE 32u
#define PCL_TOKEN_KEYS_MAX 3u

/* All zero: there are none. */
typedef struct pcl_token_keys {
    uint32_t count;
    uint8_t octets[PCL_TOKEN_KEYS_MAX][PCL_TOKEN_KEY_SIZE];
} pcl_token_keys;

/* Of a configuration with a setting tokens/key_file: adds a line to problems where it is wrong. */
void pcl_token_keys_check(const pcl_config *config, pcl_buffer *problems);

/* The keys of a text; false: it does not hold 1 to PCL_TOKEN_KEYS_MAX of them and nothing else. */
bool pcl_token_keys_read(pcl_token_keys *out_keys, pcl_bytes text) PCL_MUST_CHECK;
/* The same of a file that its owner alone may read; "": none.  false: error says why. */
bool pcl_token_keys_load(pcl_token_keys *out_keys, const char *file, char *error,
                         size_t error_size) PCL_MUST_CHECK;
void pcl_token_keys_wipe(pcl_token_keys *self);

/* The token that names a position of 1 to PCL_GTID_SIZE_MAX octets, NUL terminated; its size.
 * There must be a key. */
size_t pcl_token_make(const pcl_token_keys *self, pcl_bytes position,
                      char target[PCL_TOKEN_SIZE_MAX + 1]);

/* NULL, and *out_position is what the token names, borrowed from it; or which rule it breaks, and
 * *out_err: MALFORMED for what is no token, FORBIDDEN for one with another key's MAC, UNSUPPORTED
 * where there is no key.  As long for a wrong MAC as for a right one. */
const char *pcl_token_prove(const pcl_token_keys *self, pcl_bytes token, pcl_bytes *out_position,
                            pcl_err *out_err) PCL_MUST_CHECK;

/* Proves each and merges what they name into target.  The same, and MALFORMED for tokens of two
 * flavors of server, TOO_LARGE for what does not fit. */
const char *pcl_tokens_prove(const pcl_token_keys *self, const pcl_bytes *tokens, uint32_t count,
                             char target[PCL_GTID_SIZE_MAX + 1], pcl_err *out_err) PCL_MUST_CHECK;

#endif
