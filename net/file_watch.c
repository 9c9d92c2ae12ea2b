#include "net/file_watch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What tells one state of a file from another. */
typedef struct s_state {
    bool exists;
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec written, changed;
} s_state;

typedef struct s_file {
    char *path; /* owned */
    s_state known;
    s_state last; /* in the last look */
} s_file;

struct pcl_file_watch {
    s_file files[PCL_FILE_WATCH_MAX];
    size_t count;
};

pcl_file_watch *pcl_file_watch_new(void)
{
    pcl_file_watch *self = calloc(1, sizeof *self);
    assert(self != NULL);
    return self;
}

void pcl_file_watch_destroy(pcl_file_watch **self_p)
{
    assert(self_p != NULL);
    if (*self_p != NULL) {
        pcl_file_watch_clear(*self_p);
        free(*self_p);
        *self_p = NULL;
    }
}

static s_state s_look(const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        return (s_state){.exists = false};
    }
    return (s_state){
        .exists = true,
        .device = info.st_dev,
        .inode = info.st_ino,
        .size = info.st_size,
        .written = info.st_mtim,
        .changed = info.st_ctim,
    };
}

static bool s_same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool s_same(const s_state *a, const s_state *b)
{
    return a->exists == b->exists && a->device == b->device && a->inode == b->inode &&
           a->size == b->size && s_same_time(a->written, b->written) &&
           s_same_time(a->changed, b->changed);
}

bool pcl_file_watch_add(pcl_file_watch *self, const char *file)
{
    assert(self != NULL && file != NULL);
    if (self->count == PCL_FILE_WATCH_MAX) {
        return false;
    }
    char *path = strdup(file);
    assert(path != NULL);
    s_state state = s_look(path);
    self->files[self->count++] = (s_file){.path = path, .known = state, .last = state};
    return true;
}

void pcl_file_watch_clear(pcl_file_watch *self)
{
    assert(self != NULL);
    while (self->count > 0) {
        free(self->files[--self->count].path);
    }
}

bool pcl_file_watch_look(pcl_file_watch *self)
{
    assert(self != NULL);
    bool changed = false;
    for (size_t index = 0; index < self->count; index++) {
        s_file *file = &self->files[index];
        s_state now = s_look(file->path);
        if (s_same(&now, &file->last) && !s_same(&now, &file->known)) {
            file->known = now;
            changed = true;
        }
        file->last = now;
    }
    return changed;
}
