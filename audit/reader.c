#include "audit/reader.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_START "audit-"
#define NAME_END   ".log"

enum { NAME_DIGITS = 10 };

void pcl_audit_name_format(uint64_t number, char name[PCL_AUDIT_NAME_SIZE])
{
    assert(number > 0 && number <= UINT64_C(9999999999));
    (void)snprintf(name, PCL_AUDIT_NAME_SIZE, NAME_START "%010llu" NAME_END,
                   (unsigned long long)number);
}

bool pcl_audit_name_parse(const char *name, uint64_t *out_number)
{
    size_t start = strlen(NAME_START);
    uint64_t number = 0;
    if (strlen(name) != PCL_AUDIT_NAME_SIZE - 1 || strncmp(name, NAME_START, start) != 0 ||
        strcmp(name + start + NAME_DIGITS, NAME_END) != 0) {
        return false;
    }
    for (size_t index = start; index < start + NAME_DIGITS; index++) {
        if (name[index] < '0' || name[index] > '9') {
            return false;
        }
        number = number * 10 + (uint64_t)(name[index] - '0');
    }
    *out_number = number;
    return number > 0;
}

/* --- The files of a folder ------------------------------------------------------- */

static int s_compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

/* false: no memory. */
static bool s_add(pcl_audit_files *files, size_t *capacity, uint64_t number)
{
    if (files->count == *capacity) {
        size_t wanted = *capacity == 0 ? 64 : *capacity * 2;
        uint64_t *grown = realloc(files->numbers, wanted * sizeof *grown);
        if (grown == NULL) {
            return false;
        }
        files->numbers = grown;
        *capacity = wanted;
    }
    files->numbers[files->count++] = number;
    return true;
}

bool pcl_audit_files_list(pcl_audit_files *out_files, const char *folder, char *error,
                          size_t error_size)
{
    pcl_audit_files files = {0};
    size_t capacity = 0;
    DIR *entries = opendir(folder);
    if (entries == NULL) {
        (void)snprintf(error, error_size, "%s: %s", folder, strerror(errno));
        return false;
    }
    const struct dirent *one = NULL;
    bool good = true;
    while (errno = 0, good && (one = readdir(entries)) != NULL) {
        uint64_t number = 0;
        good = !pcl_audit_name_parse(one->d_name, &number) || s_add(&files, &capacity, number);
    }
    good = good && errno == 0;
    if (!good) {
        (void)snprintf(error, error_size, "%s: %s", folder,
                       errno != 0 ? strerror(errno) : "out of memory");
        pcl_audit_files_release(&files);
    } else {
        if (files.count > 0) {
            qsort(files.numbers, files.count, sizeof files.numbers[0], s_compare);
        }
        *out_files = files;
    }
    (void)closedir(entries); /* it was only read */
    return good;
}

void pcl_audit_files_release(pcl_audit_files *files)
{
    free(files->numbers);
    *files = (pcl_audit_files){0};
}

/* --- Lines ------------------------------------------------------------------------- */

enum { BUFFER_SIZE = 4 * PCL_AUDIT_LINE_SIZE_MAX };

struct pcl_audit_reader {
    int file;
    uint64_t line;  /* number of the last one */
    size_t from;    /* unread octets begin here */
    size_t until;   /* and end here */
    bool long_line; /* the rest of a line that was too long is skipped */
    uint8_t octets[BUFFER_SIZE];
};

pcl_audit_reader *pcl_audit_reader_open(const char *path, char *error, size_t error_size)
{
    pcl_audit_reader *self = calloc(1, sizeof *self);
    if (self == NULL) {
        (void)snprintf(error, error_size, "%s: out of memory", path);
        return NULL;
    }
    struct stat info;
    self->file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (self->file < 0 || fstat(self->file, &info) != 0) {
        (void)snprintf(error, error_size, "%s: %s", path, strerror(errno));
        pcl_audit_reader_close(&self);
    } else if (!S_ISREG(info.st_mode)) {
        (void)snprintf(error, error_size, "%s: not a regular file", path);
        pcl_audit_reader_close(&self);
    }
    return self;
}

void pcl_audit_reader_close(pcl_audit_reader **self_p)
{
    if (*self_p != NULL) {
        if ((*self_p)->file >= 0) {
            (void)close((*self_p)->file); /* it was only read */
        }
        free(*self_p);
        *self_p = NULL;
    }
}

uint64_t pcl_audit_reader_line(const pcl_audit_reader *self)
{
    return self->line;
}

int pcl_audit_reader_fd(const pcl_audit_reader *self)
{
    return self->file;
}

/* Reads more behind what is there.  0: the end; below: it failed. */
static ssize_t s_fill(pcl_audit_reader *self)
{
    if (self->from > 0) {
        memmove(self->octets, self->octets + self->from, self->until - self->from);
        self->until -= self->from;
        self->from = 0;
    }
    ssize_t count = -1;
    do {
        count = read(self->file, self->octets + self->until, sizeof self->octets - self->until);
    } while (count < 0 && errno == EINTR);
    self->until += count > 0 ? (size_t)count : 0;
    return count;
}

/* A whole line, or so much of it as a line may be; NULL data: more must be read. */
static pcl_bytes s_line(pcl_audit_reader *self)
{
    for (;;) {
        const uint8_t *start = self->octets + self->from;
        size_t size = self->until - self->from;
        const uint8_t *end = size > 0 ? memchr(start, '\n', size) : NULL;
        bool rest = self->long_line; /* the beginning of this line has been told */
        if (end == NULL && size < PCL_AUDIT_LINE_SIZE_MAX) {
            return pcl_bytes_of(NULL, 0);
        }
        self->from = end != NULL ? self->from + (size_t)(end - start) + 1 : self->until;
        self->long_line = end == NULL;
        if (!rest) {
            return pcl_bytes_of(start,
                                end != NULL ? (size_t)(end - start) : PCL_AUDIT_LINE_SIZE_MAX);
        }
    }
}

pcl_audit_read pcl_audit_reader_next(pcl_audit_reader *self, pcl_bytes *out_line)
{
    for (;;) {
        pcl_bytes line = s_line(self);
        if (line.data != NULL) {
            self->line++;
            *out_line = line;
            return PCL_AUDIT_READ_LINE;
        }
        ssize_t count = s_fill(self);
        if (count < 0) {
            return PCL_AUDIT_READ_FAILED;
        }
        if (count == 0) {
            *out_line = pcl_bytes_of(self->octets + self->from, self->until - self->from);
            return out_line->size > 0 || self->long_line ? PCL_AUDIT_READ_TORN : PCL_AUDIT_READ_END;
        }
    }
}
