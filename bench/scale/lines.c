#include "bench/scale/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

pcl_lines pcl_lines_of(int fd)
{
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    return (pcl_lines){.fd = fd};
}

/* false: nothing has come. */
static bool s_read(pcl_lines *self)
{
    ssize_t got = read(self->fd, self->text + self->size, sizeof self->text - self->size);
    if (got > 0) {
        self->size += (size_t)got;
        return true;
    }
    self->ended = got == 0 || (errno != EAGAIN && errno != EINTR);
    return false;
}

bool pcl_lines_next(pcl_lines *self, char out_line[PCL_LINE_SIZE])
{
    do {
        const char *end = memchr(self->text, '\n', self->size);
        if (end != NULL) {
            size_t size = (size_t)(end - self->text);
            memcpy(out_line, self->text, size);
            out_line[size] = '\0';
            self->size -= size + 1;
            memmove(self->text, end + 1, self->size);
            return true;
        }
        self->ended = self->ended || self->size == sizeof self->text;
    } while (!self->ended && s_read(self));
    return false;
}
