/* key_argument.h - keys that are given on the command line. */
#ifndef PCL_CLIENT_COMMAND_KEY_ARGUMENT_H
#define PCL_CLIENT_COMMAND_KEY_ARGUMENT_H

#include "net/keys.h"

#include <stdbool.h>
#include <stddef.h>

/* A public key: 40 characters of Z85, or a file that has one, be it as curve/public-key (a key
 * file, whose secret is not looked at), or as its only word.  false: error says why. */
bool pcl_command_public_key(const char *argument, char out_key[PCL_KEY_TEXT_SIZE], char *error,
                            size_t error_size);

/* Own keys, out of the file; where there is none they are made and written to it.  false: error
 * says why. */
bool pcl_command_own_keys(const char *file, pcl_keys *out_keys, char *error, size_t error_size);

#endif
