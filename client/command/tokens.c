/* The file of --causal: what runs of the command have seen, for the next one. */
#include "client/command/command.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool s_fail(const char *file, const char *why)
{
    (void)fprintf(stderr, "portcullis: --causal ");
    pcl_command_put_text(stderr, file);
    (void)fprintf(stderr, ": %s\n", why);
    return false;
}

/* Waits its turn among the runs that have the file; closing gives it back. */
static bool s_lock(int fd, short how)
{
    struct flock lock = {.l_type = how, .l_whence = SEEK_SET};
    int rc = 0;
    do {
        rc = fcntl(fd, F_SETLKW, &lock);
    } while (rc != 0 && errno == EINTR);
    return rc == 0;
}

/* Adds what the open file names to what the client has seen.  false: *out_why says what is wrong.
 */
static bool s_add(portcullis *client, int fd, const char **out_why)
{
    char text[PORTCULLIS_TOKENS_SIZE + 2]; /* its line, one octet too many, and a NUL */
    size_t size = 0;
    ssize_t got = 0;
    while (size < sizeof text - 1 && (got = read(fd, text + size, sizeof text - 1 - size)) > 0) {
        size += (size_t)got;
    }
    text[size] = '\0';
    if (got < 0) {
        *out_why = strerror(errno);
        return false;
    }
    *out_why = "holds something that is no token, or too much";
    return size <= PORTCULLIS_TOKENS_SIZE && strlen(text) == size &&
           portcullis_add_tokens(client, text);
}

bool pcl_command_load_tokens(portcullis *client, const char *file)
{
    const char *why = NULL;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT || s_fail(file, strerror(errno)); /* it is the first run */
    }
    bool good = s_lock(fd, F_RDLCK) && s_add(client, fd, &why);
    if (!good) {
        (void)s_fail(file, why != NULL ? why : strerror(errno));
    }
    (void)close(fd);
    return good;
}

/* There is no moment at which the file holds less than the runs have seen: it is written over, with
 * blanks over what was longer, and only then cut. */
static bool s_write(portcullis *client, int fd)
{
    char text[PORTCULLIS_TOKENS_SIZE];
    struct stat now;
    portcullis_tokens(client, text);
    size_t size = strlen(text);
    memset(text + size, ' ', sizeof text - size);
    text[size++] = '\n'; /* in the place of the NUL */
    if (fstat(fd, &now) != 0) {
        return false;
    }
    size_t old = now.st_size < (off_t)sizeof text ? (size_t)now.st_size : sizeof text;
    size_t all = old > size ? old : size;
    return pwrite(fd, text, all, 0) == (ssize_t)all && ftruncate(fd, (off_t)size) == 0;
}

bool pcl_command_save_tokens(portcullis *client, const char *file)
{
    const char *why = NULL;
    int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return s_fail(file, strerror(errno));
    }
    /* Another run may have come further meanwhile. */
    bool good = s_lock(fd, F_WRLCK) && s_add(client, fd, &why);
    if (good) {
        why = NULL;
        good = s_write(client, fd);
    }
    if (!good) {
        (void)s_fail(file, why != NULL ? why : strerror(errno));
    }
    (void)close(fd);
    return good;
}
