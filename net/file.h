/* file.h - whole small files, with the rights that a secret needs. */
#ifndef PCL_NET_FILE_H
#define PCL_NET_FILE_H

#include "common/buffer.h"

#include <stdbool.h>
#include <stddef.h>

typedef enum pcl_file_kind {
    PCL_FILE_PUBLIC = 0,
    PCL_FILE_SECRET, /* refused when group or others have any right on it */
} pcl_file_kind;

/* Appends the file's octets to buffer, whose size_max bounds the file.  false: error says why,
 * naming the file, and the buffer's content is undefined. */
bool pcl_file_read(pcl_buffer *buffer, const char *file, pcl_file_kind kind, char *error,
                   size_t error_size);

/* Overwrites a buffer that held a secret, then releases it. */
void pcl_file_wipe(pcl_buffer *buffer);

/* Where a setting says that a file is: "credential:NAME" stands for NAME in the folder of
 * $CREDENTIALS_DIRECTORY, which systemd makes for what LoadCredential= names; a relative path
 * starts from folder (NULL: the current one).  false: error says why, and out_path is "". */
bool pcl_file_locate(char *out_path, size_t path_size, const char *folder, const char *text,
                     char *error, size_t error_size);

#endif
