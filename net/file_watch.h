/* file_watch.h - notices that one of some files has changed, by looking.
 *
 * Looking works on every file system and for files that are replaced, come and
 * go, which notification does not.  A change counts when the file was the same
 * in two looks, so that one that is being written is not read half-way.
 * Belongs to one thread.
 */
#ifndef PCL_NET_FILE_WATCH_H
#define PCL_NET_FILE_WATCH_H

#include <stdbool.h>
#include <stddef.h>

#define PCL_FILE_WATCH_MAX 64u

typedef struct pcl_file_watch pcl_file_watch;

/* Watches nothing yet. */
pcl_file_watch *pcl_file_watch_new(void);
void pcl_file_watch_destroy(pcl_file_watch **self_p);

/* Adds a file, copied, as it is now; one that does not exist may come.  false: there is no room. */
bool pcl_file_watch_add(pcl_file_watch *self, const char *file);
/* Watches nothing any more. */
void pcl_file_watch_clear(pcl_file_watch *self);

/* Looks at each.  true: one is not as it was when it was added or reported last, and is as in the
 * last look. */
bool pcl_file_watch_look(pcl_file_watch *self);

#endif
