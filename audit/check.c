#include "audit/check.h"

#include "audit/reader.h"
#include "common/clock.h"
#include "net/time.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* A line at the end may be on its way into the file just now. */
enum { PATIENCE_COUNT = 20, PATIENCE_MS = 25, FRESH_S = 2 };

void pcl_audit_check_start(pcl_audit_check *self, const uint8_t *key, const uint8_t *expected,
                           pcl_audit_report *report, void *context)
{
    memset(self, 0, sizeof *self);
    pcl_audit_verify_start(&self->verify, key);
    self->expected = expected;
    self->report = report;
    self->context = context;
}

static void s_found(pcl_audit_check *self, const char *path, uint64_t line,
                    pcl_audit_finding finding, const char *text)
{
    if (finding != PCL_AUDIT_SOUND) {
        self->damages += finding != PCL_AUDIT_TORN ? 1 : 0;
        self->report(self->context, path, line, finding, text);
    }
}

/* Whether a file may be written at this moment. */
static bool s_is_fresh(const pcl_audit_reader *reader)
{
    struct stat info;
    uint64_t now_s = pcl_wall_us() / PCL_US_PER_S;
    return fstat(pcl_audit_reader_fd(reader), &info) == 0 && info.st_mtime >= 0 &&
           (uint64_t)info.st_mtime + FRESH_S >= now_s;
}

static pcl_audit_read s_next(pcl_audit_reader *reader, pcl_bytes *out_line)
{
    pcl_audit_read read = pcl_audit_reader_next(reader, out_line);
    for (int count = 0; count < PATIENCE_COUNT && read == PCL_AUDIT_READ_TORN && s_is_fresh(reader);
         count++) {
        struct timespec pause = {.tv_nsec = PATIENCE_MS * 1000000L};
        (void)nanosleep(&pause, NULL);
        read = pcl_audit_reader_next(reader, out_line);
    }
    return read;
}

static bool s_check_file(pcl_audit_check *self, const char *path, char *error, size_t error_size)
{
    char text[PCL_AUDIT_FINDING_SIZE];
    pcl_audit_reader *reader = pcl_audit_reader_open(path, error, error_size);
    if (reader == NULL) {
        return false;
    }
    pcl_bytes line;
    pcl_audit_read read = PCL_AUDIT_READ_END;
    pcl_audit_verify_file(&self->verify);
    while ((read = s_next(reader, &line)) == PCL_AUDIT_READ_LINE) {
        pcl_audit_finding finding = pcl_audit_verify_line(&self->verify, line, text);
        s_found(self, path, pcl_audit_reader_line(reader), finding, text);
        self->expected_found = self->expected_found ||
                               (self->expected != NULL && memcmp(self->verify.hash, self->expected,
                                                                 PCL_AUDIT_HASH_SIZE) == 0);
    }
    pcl_audit_verify_file_end(&self->verify, read == PCL_AUDIT_READ_TORN ? line.size : 0);
    self->files++;
    self->last_line = pcl_audit_reader_line(reader) + (read == PCL_AUDIT_READ_TORN ? 1 : 0);
    (void)snprintf(self->last, sizeof self->last, "%s", path);
    if (read == PCL_AUDIT_READ_FAILED) {
        (void)snprintf(error, error_size, "%s: it cannot be read", path);
    }
    pcl_audit_reader_close(&reader);
    return read != PCL_AUDIT_READ_FAILED;
}

static bool s_check_folder(pcl_audit_check *self, const char *folder, char *error,
                           size_t error_size)
{
    pcl_audit_files files;
    if (!pcl_audit_files_list(&files, folder, error, error_size)) {
        return false;
    }
    bool good = files.count > 0;
    if (!good) {
        (void)snprintf(error, error_size,
                       "%s: no file of an audit log (audit-0000000001.log) is "
                       "there",
                       folder);
    }
    for (size_t index = 0; index < files.count && good; index++) {
        char name[PCL_AUDIT_NAME_SIZE];
        char path[4096];
        pcl_audit_name_format(files.numbers[index], name);
        int size = snprintf(path, sizeof path, "%s/%s", folder, name);
        good = size > 0 && (size_t)size < sizeof path &&
               s_check_file(self, path, error, error_size);
    }
    pcl_audit_files_release(&files);
    return good;
}

bool pcl_audit_check_path(pcl_audit_check *self, const char *path, char *error, size_t error_size)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        (void)snprintf(error, error_size, "%s: %s", path, strerror(errno));
        return false;
    }
    return S_ISDIR(info.st_mode) ? s_check_folder(self, path, error, error_size)
                                 : s_check_file(self, path, error, error_size);
}

bool pcl_audit_check_finish(pcl_audit_check *self)
{
    char text[PCL_AUDIT_FINDING_SIZE];
    pcl_audit_finding finding = pcl_audit_verify_finish(&self->verify, text);
    s_found(self, self->last, self->last_line, finding, text);
    if (self->verify.lines == 0 && self->damages == 0) {
        s_found(self, self->last, self->last_line, PCL_AUDIT_MISSING,
                "there is no line, and a broker that writes there writes one at once");
    }
    if (self->expected != NULL && !self->expected_found) {
        s_found(self, self->last, self->last_line, PCL_AUDIT_MISSING,
                "the head that was expected does not stand in the log: its end was cut off, its "
                "lines were made anew, or they were rotated away");
    }
    return self->damages == 0;
}
