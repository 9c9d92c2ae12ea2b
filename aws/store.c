#include "aws/store.h"

#include "net/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMPORARY_SIZE (PCL_SECRET_NAME_SIZE + 8u)
#define OWNER_ONLY     0400

typedef struct store {
    int folder_fd;
    const char *folder;
    const pcl_secret *secret;
    pcl_bytes octets;
    bool changed[PCL_SECRET_FILES_MAX];
    char *error;
    size_t error_size;
} store;

static bool s_fail(const store *self, const char *name)
{
    (void)snprintf(self->error, self->error_size, "%s/%s: %s", self->folder, name, strerror(errno));
    return false;
}

/* A secret's names do not begin with a point. */
static void s_name_temporary(const char *name, char target[TEMPORARY_SIZE])
{
    (void)snprintf(target, TEMPORARY_SIZE, ".%s.new", name);
}

static pcl_bytes s_content(const store *self, const pcl_secret_file *file)
{
    return pcl_bytes_of(self->octets.data + file->offset, file->size);
}

static bool s_write_all(int fd, pcl_bytes octets)
{
    size_t done = 0;
    while (done < octets.size) {
        ssize_t count = write(fd, octets.data + done, octets.size - done);
        if (count < 0 && errno != EINTR) {
            return false;
        }
        done += count > 0 ? (size_t)count : 0;
    }
    return fsync(fd) == 0;
}

static bool s_is_right(const store *self, const pcl_secret_file *file)
{
    char path[4096];
    char error[PCL_AWS_ERROR_SIZE];
    struct stat info;
    if (fstatat(self->folder_fd, file->name, &info, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISREG(info.st_mode) || (info.st_mode & 07777) != OWNER_ONLY ||
        info.st_uid != geteuid() || (size_t)info.st_size != file->size) {
        return false;
    }
    pcl_buffer there;
    pcl_buffer_init(&there, PCL_SECRET_SIZE_MAX);
    (void)snprintf(path, sizeof path, "%s/%s", self->folder, file->name);
    bool same = pcl_file_read(&there, path, PCL_FILE_SECRET, error, sizeof error) &&
                pcl_bytes_equal(pcl_buffer_bytes(&there), s_content(self, file));
    pcl_file_wipe(&there);
    return same;
}

static bool s_write(const store *self, const pcl_secret_file *file)
{
    char temporary[TEMPORARY_SIZE];
    s_name_temporary(file->name, temporary);
    (void)unlinkat(self->folder_fd, temporary, 0); /* one that died half-way left it */
    int fd = openat(self->folder_fd, temporary,
                    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, OWNER_ONLY);
    if (fd < 0) {
        return s_fail(self, temporary);
    }
    bool written = fchmod(fd, OWNER_ONLY) == 0 && s_write_all(fd, s_content(self, file));
    if (!written) {
        (void)s_fail(self, temporary);
    }
    if (close(fd) != 0 && written) {
        written = s_fail(self, temporary);
    }
    return written;
}

static bool s_write_changed(store *self)
{
    for (uint32_t index = 0; index < self->secret->count; index++) {
        const pcl_secret_file *file = &self->secret->files[index];
        self->changed[index] = !s_is_right(self, file);
        if (self->changed[index] && !s_write(self, file)) {
            return false;
        }
    }
    return true;
}

static bool s_place_changed(const store *self)
{
    char temporary[TEMPORARY_SIZE];
    for (uint32_t index = 0; index < self->secret->count; index++) {
        const char *name = self->secret->files[index].name;
        s_name_temporary(name, temporary);
        if (self->changed[index] &&
            renameat(self->folder_fd, temporary, self->folder_fd, name) != 0) {
            return s_fail(self, name);
        }
    }
    return fsync(self->folder_fd) == 0 || s_fail(self, "");
}

/* What has taken its place is not there any more. */
static void s_drop_temporaries(const store *self)
{
    char temporary[TEMPORARY_SIZE];
    for (uint32_t index = 0; index < self->secret->count; index++) {
        s_name_temporary(self->secret->files[index].name, temporary);
        (void)unlinkat(self->folder_fd, temporary, 0);
    }
}

bool pcl_secret_store(const char *folder, const pcl_secret *secret, pcl_bytes octets,
                      pcl_secret_stored *stored, void *context, char *error, size_t error_size)
{
    assert(folder != NULL && secret != NULL && error != NULL);
    store self = {.folder = folder,
                  .secret = secret,
                  .octets = octets,
                  .error = error,
                  .error_size = error_size};
    self.folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (self.folder_fd < 0) {
        return s_fail(&self, "");
    }
    /* Two at a time would write to the same places beside the files. */
    bool alone = flock(self.folder_fd, LOCK_EX | LOCK_NB) == 0 || s_fail(&self, "");
    bool done = alone && s_write_changed(&self) && s_place_changed(&self);
    if (alone && !done) {
        s_drop_temporaries(&self);
    }
    (void)close(self.folder_fd); /* it was only read; and the lock is gone */
    for (uint32_t index = 0; done && stored != NULL && index < secret->count; index++) {
        stored(context, secret->files[index].name, self.changed[index]);
    }
    return done;
}
