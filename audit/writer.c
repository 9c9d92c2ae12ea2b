#include "audit/writer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct pcl_audit {
    int file;
    int event;
    uint64_t position;
    uint8_t key[PCL_AUDIT_KEY_SIZE];
    bool keyed;
    pcl_buffer line;
    pcl_audit_counts counts;
};

static pcl_audit *s_fail(pcl_audit *self, char *error, size_t error_size, const char *what)
{
    (void)snprintf(error, error_size, "%s: %s", what, strerror(errno));
    pcl_audit_destroy(&self);
    return NULL;
}

pcl_audit *pcl_audit_open(const pcl_audit_options *options, char *error, size_t error_size)
{
    pcl_audit *self = calloc(1, sizeof *self);
    assert(self != NULL);
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/audit-0000000001.log", options->folder);
    pcl_buffer_init(&self->line, PCL_AUDIT_LINE_SIZE_MAX);
    self->keyed = options->key != NULL;
    if (self->keyed) {
        memcpy(self->key, options->key, sizeof self->key);
    }
    self->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    self->file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    return self->file >= 0 && self->event >= 0 ? self : s_fail(self, error, error_size, path);
}

void pcl_audit_destroy(pcl_audit **self_p)
{
    pcl_audit *self = *self_p;
    if (self != NULL) {
        (void)close(self->file);
        (void)close(self->event);
        pcl_buffer_release(&self->line);
        sodium_memzero(self->key, sizeof self->key);
        free(self);
        *self_p = NULL;
    }
}

uint64_t pcl_audit_append(pcl_audit *self, const pcl_audit_record *record)
{
    pcl_audit_record copy = *record;
    copy.sequence = ++self->counts.sequence;
    pcl_buffer_clear(&self->line);
    pcl_audit_chain_put(&copy, self->keyed ? self->key : NULL, self->counts.head, &self->line);
    ssize_t written = write(self->file, self->line.data, self->line.size);
    assert(written == (ssize_t)self->line.size);
    int rc = fdatasync(self->file);
    assert(rc == 0);
    uint64_t one = 1;
    written = write(self->event, &one, sizeof one);
    assert(written == (ssize_t)sizeof one);
    return ++self->position;
}

uint64_t pcl_audit_durable(const pcl_audit *self)
{
    return self->position;
}

pcl_audit_state pcl_audit_get_state(const pcl_audit *self, char *reason, size_t reason_size)
{
    (void)self;
    if (reason != NULL && reason_size > 0) {
        reason[0] = '\0';
    }
    return PCL_AUDIT_FINE;
}

const char *pcl_audit_notice(const pcl_audit *self)
{
    (void)self;
    return "";
}

int pcl_audit_fd(const pcl_audit *self)
{
    return self->event;
}

void pcl_audit_clear(pcl_audit *self)
{
    uint64_t count;
    ssize_t ignored = read(self->event, &count, sizeof count);
    (void)ignored; /* it was not readable */
}

pcl_audit_counts pcl_audit_count(const pcl_audit *self)
{
    return self->counts;
}
