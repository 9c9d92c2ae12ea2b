#include "net/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool s_fail(char *error, size_t error_size, const char *file, const char *why)
{
    snprintf(error, error_size, "%s: %s", file, why);
    return false;
}

static bool s_read_all(int fd, pcl_buffer *buffer, const char *file, char *error, size_t error_size)
{
    uint8_t chunk[4096];
    ssize_t count;
    do {
        count = read(fd, chunk, sizeof chunk);
        if (count < 0 && errno != EINTR) {
            return s_fail(error, error_size, file, strerror(errno));
        }
        if (count > 0) {
            pcl_buffer_put(buffer, chunk, (size_t)count);
        }
    } while (count != 0 && !buffer->failed);
    sodium_memzero(chunk, sizeof chunk);
    if (buffer->failed) {
        return s_fail(error, error_size, file,
                      buffer->out_of_memory ? "out of memory" : "the file is too large");
    }
    return true;
}

bool pcl_file_read(pcl_buffer *buffer, const char *file, pcl_file_kind kind, char *error,
                   size_t error_size)
{
    assert(buffer != NULL && file != NULL && error != NULL);
    /* Not blocking: opening a FIFO must not hang the start. */
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return s_fail(error, error_size, file, strerror(errno));
    }
    /* Looked at through the descriptor, so that it is the same file. */
    struct stat info;
    bool fine = false;
    if (fstat(fd, &info) != 0) {
        s_fail(error, error_size, file, strerror(errno));
    } else if (!S_ISREG(info.st_mode)) {
        s_fail(error, error_size, file, "not a regular file");
    } else if (kind == PCL_FILE_SECRET && (info.st_mode & 077) != 0) {
        s_fail(error, error_size, file,
               "group or others have rights on it; make it readable by its owner only (chmod 600)");
    } else {
        fine = s_read_all(fd, buffer, file, error, error_size);
    }
    (void)close(fd); /* it was only read */
    return fine;
}

void pcl_file_wipe(pcl_buffer *buffer)
{
    assert(buffer != NULL);
    if (buffer->data != NULL) {
        sodium_memzero(buffer->data, buffer->capacity);
    }
    pcl_buffer_release(buffer);
}
