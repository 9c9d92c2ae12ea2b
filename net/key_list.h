/* key_list.h - making a key list by hand, for the self-test and for tests;
 * net/keys.h has what others need. */
#ifndef PCL_NET_KEY_LIST_H
#define PCL_NET_KEY_LIST_H

#include "common/bytes.h"
#include "net/keys.h"

/* Empty; NULL when memory is out. */
pcl_key_list *pcl_key_list_new(void);

/* The list that stands in a file's text.  NULL: error says why, without naming
 * the file. */
pcl_key_list *pcl_key_list_read(pcl_bytes text, char *error, size_t error_size);

/* Copies all three.  NULL, or static text that says what is wrong. */
const char *pcl_key_list_add(pcl_key_list *self, const char *name, const char *public_key,
                             const char *role);

#endif
