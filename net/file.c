#include "net/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CREDENTIAL "credential:"

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

/* A credential of a service that runs under an account of its own is readable by that account
 * through an access list, whose mask stands where the group's rights would; the folder keeps all
 * others out. */
static mode_t s_foreign_rights(const char *file)
{
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    size_t size = folder != NULL ? strlen(folder) : 0;
    bool credential = size > 0 && strncmp(file, folder, size) == 0 && file[size] == '/';
    return credential ? 037 : 077;
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
    } else if (kind == PCL_FILE_SECRET && (info.st_mode & s_foreign_rights(file)) != 0) {
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

/* NULL, or what is wrong with the name of a credential. */
static const char *s_credential_fault(const char *name)
{
    if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL) {
        return "credential: must be followed by the name of a credential";
    }
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    if (folder == NULL || folder[0] != '/') {
        return "there are no credentials: CREDENTIALS_DIRECTORY is not set";
    }
    return NULL;
}

bool pcl_file_locate(char *out_path, size_t path_size, const char *folder, const char *text,
                     char *error, size_t error_size)
{
    assert(out_path != NULL && path_size > 0 && text != NULL && error != NULL);
    out_path[0] = '\0';
    if (strncmp(text, CREDENTIAL, strlen(CREDENTIAL)) == 0) {
        text += strlen(CREDENTIAL);
        const char *fault = s_credential_fault(text);
        if (fault != NULL) {
            return s_fail(error, error_size, text, fault);
        }
        folder = getenv("CREDENTIALS_DIRECTORY");
    }
    bool relative = text[0] != '/' && folder != NULL;
    bool root = relative && strcmp(folder, "/") == 0;
    int size = snprintf(out_path, path_size, "%s%s%s", !relative || root ? "" : folder,
                        relative ? "/" : "", text);
    if (size < 0 || (size_t)size >= path_size) {
        out_path[0] = '\0';
        return s_fail(error, error_size, text, "the path is too long");
    }
    return true;
}
