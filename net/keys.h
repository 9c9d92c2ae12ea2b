/* keys.h - CURVE keys and lists of who may come in.
 *
 * A key file is what CZMQ's zcert writes, ZPL:
 *     curve
 *         public-key = "..."
 *         secret-key = "..."
 * A key list is text, one a line, `#` starts a comment:
 *     NAME  PUBLIC-KEY(Z85, 40 characters)  [ROLE]
 * Names and roles: 1 to 63 of [A-Za-z0-9._-].  A name or a key twice is an error.
 */
#ifndef PCL_NET_KEYS_H
#define PCL_NET_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#define PCL_KEY_TEXT_SIZE 41u /* 40 characters of Z85 and a NUL */

typedef struct pcl_keys {
    char public_key[PCL_KEY_TEXT_SIZE];
    char secret_key[PCL_KEY_TEXT_SIZE];
} pcl_keys;

void pcl_keys_make(pcl_keys *out_keys);
/* Overwrites both keys; call before the struct goes out of use. */
void pcl_keys_wipe(pcl_keys *keys);
/* false: error says why, naming the file; a file that group or others may read is refused. */
bool pcl_keys_load(pcl_keys *out_keys, const char *file, char *error, size_t error_size);
/* Writes mode 0600, refuses to overwrite. */
bool pcl_keys_save(const pcl_keys *keys, const char *file, char *error, size_t error_size);
bool pcl_key_valid(const char *z85);

typedef struct pcl_key_list pcl_key_list;

/* NULL: error names file, line and rule (the first mistake). */
pcl_key_list *pcl_key_list_load(const char *file, char *error, size_t error_size);
pcl_key_list *pcl_key_list_copy(const pcl_key_list *self);
void pcl_key_list_destroy(pcl_key_list **self_p);

typedef struct pcl_key_entry {
    const char *name; /* borrowed from the list */
    const char *role; /* "" when the line has none */
    const char *public_key;
} pcl_key_entry;

/* By public key, O(1).  NULL when it is not in the list. */
const pcl_key_entry *pcl_key_list_find(const pcl_key_list *self, const char *public_key);
size_t pcl_key_list_count(const pcl_key_list *self);
/* In the order of the file; index < count. */
const pcl_key_entry *pcl_key_list_at(const pcl_key_list *self, size_t index);

#endif
