#include "audit/sink.h"

#include "audit/reader.h"
#include "audit/verify.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FOLDER_MODE = 0750, FILE_MODE = 0640 };

static const pcl_audit_disk SYSTEM = {.write = write, .sync = fdatasync};

/* --- Where the log ended ------------------------------------------------------------- */

static void s_notice(pcl_audit_end *end, const char *name, uint64_t line, const char *what)
{
    if (end->notice[0] == '\0') { /* the first one tells enough to look */
        (void)snprintf(end->notice, sizeof end->notice, "%s:%llu: %s", name,
                       (unsigned long long)line, what);
    }
}

/* Reads one file to its end.  false: error says why. */
static bool s_read_file(pcl_audit_reader *reader, const char *name, pcl_audit_verify *verify,
                        pcl_audit_end *end, bool *out_whole)
{
    char text[PCL_AUDIT_FINDING_SIZE];
    pcl_bytes line;
    pcl_audit_read read = PCL_AUDIT_READ_END;
    bool whole = true;
    while ((read = pcl_audit_reader_next(reader, &line)) == PCL_AUDIT_READ_LINE) {
        pcl_audit_finding finding = pcl_audit_verify_line(verify, line, text);
        if (finding != PCL_AUDIT_SOUND) {
            s_notice(end, name, pcl_audit_reader_line(reader), text);
        }
        whole = finding != PCL_AUDIT_NO_LINE;
    }
    if (read == PCL_AUDIT_READ_TORN) {
        (void)snprintf(text, sizeof text, "it ends with %llu octets of a line that is not whole",
                       (unsigned long long)line.size);
        s_notice(end, name, pcl_audit_reader_line(reader) + 1, text);
        end->torn += line.size;
    }
    *out_whole = read == PCL_AUDIT_READ_END && whole && verify->lines > 0;
    return read != PCL_AUDIT_READ_FAILED;
}

static bool s_path(const pcl_audit_sink *self, uint64_t number, char *path, size_t path_size)
{
    char name[PCL_AUDIT_NAME_SIZE];
    pcl_audit_name_format(number, name);
    int size = snprintf(path, path_size, "%s/%s", self->path, name);
    return size > 0 && (size_t)size < path_size;
}

/* From the last file back to one that has a line. */
static bool s_find_end(pcl_audit_sink *self, const pcl_audit_files *files, pcl_audit_verify *verify,
                       const uint8_t *key, pcl_audit_end *end, char *error, size_t error_size)
{
    bool whole = false;
    for (size_t index = files->count; index > 0 && end->sequence == 0; index--) {
        char path[4096];
        char name[PCL_AUDIT_NAME_SIZE];
        pcl_audit_name_format(files->numbers[index - 1], name);
        pcl_audit_reader *reader = NULL;
        if (!s_path(self, files->numbers[index - 1], path, sizeof path)) {
            (void)snprintf(error, error_size, "%s: the path is too long", self->path);
            return false;
        }
        reader = pcl_audit_reader_open(path, error, error_size);
        if (reader == NULL) {
            return false;
        }
        pcl_audit_verify_start(verify, key);
        bool read = s_read_file(reader, name, verify, end, &whole);
        pcl_audit_reader_close(&reader);
        if (!read) {
            (void)snprintf(error, error_size, "%s: it cannot be read", path);
            return false;
        }
        memcpy(end->hash, verify->hash, sizeof end->hash);
        end->sequence = verify->sequence;
        if (whole && index == files->count) {
            self->number = files->numbers[index - 1];
            self->file = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
            if (self->file < 0) {
                (void)snprintf(error, error_size, "%s: %s", path, strerror(errno));
                return false;
            }
        }
    }
    return true;
}

static bool s_resume(pcl_audit_sink *self, const uint8_t *key, pcl_audit_end *end, char *error,
                     size_t error_size)
{
    pcl_audit_files files;
    if (!pcl_audit_files_list(&files, self->path, error, error_size)) {
        return false;
    }
    pcl_audit_verify *verify = malloc(sizeof *verify);
    bool good = verify != NULL;
    if (!good) {
        (void)snprintf(error, error_size, "out of memory");
    }
    self->number = files.count > 0 ? files.numbers[files.count - 1] : 0;
    good = good && s_find_end(self, &files, verify, key, end, error, error_size);
    struct stat info;
    if (good && self->file >= 0) {
        good = fstat(self->file, &info) == 0;
        self->size = good ? (uint64_t)info.st_size : 0;
    }
    free(verify);
    pcl_audit_files_release(&files);
    return good;
}

/* --- Life -------------------------------------------------------------------------- */

/* Two writers would tear the chain apart. */
static bool s_take_lock(pcl_audit_sink *self, char *error, size_t error_size)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    self->lock = openat(self->folder, "lock", O_RDWR | O_CREAT | O_CLOEXEC, FILE_MODE);
    if (self->lock < 0 || fcntl(self->lock, F_SETLK, &whole) != 0) {
        bool taken = self->lock >= 0 && (errno == EACCES || errno == EAGAIN);
        (void)snprintf(error, error_size, "%s/lock: %s", self->path,
                       taken ? "another process writes there" : strerror(errno));
        return false;
    }
    return true;
}

static bool s_open_folder(pcl_audit_sink *self, char *error, size_t error_size)
{
    /* What is wrong with it is told by open. */
    (void)mkdir(self->path, FOLDER_MODE);
    self->folder = open(self->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (self->folder < 0) {
        (void)snprintf(error, error_size, "%s: %s", self->path, strerror(errno));
    }
    return self->folder >= 0;
}

bool pcl_audit_sink_open(pcl_audit_sink *self, const pcl_audit_options *options,
                         pcl_audit_end *out_end, char *error, size_t error_size)
{
    *self = (pcl_audit_sink){
        .disk = options->disk != NULL ? options->disk : &SYSTEM,
        .path = strdup(options->folder),
        .folder = -1,
        .lock = -1,
        .file = -1,
        .octets_max = options->keep * options->size_max,
    };
    pcl_audit_end end = {0};
    bool good = self->path != NULL;
    if (!good) {
        (void)snprintf(error, error_size, "out of memory");
    }
    good = good && s_open_folder(self, error, error_size) && s_take_lock(self, error, error_size) &&
           s_resume(self, options->key, &end, error, error_size);
    if (good && self->file < 0 && pcl_audit_sink_begin(self) == PCL_AUDIT_SINK_BROKEN) {
        (void)snprintf(error, error_size, "%s", self->reason);
        good = false;
    }
    if (!good) {
        pcl_audit_sink_close(self);
        return false;
    }
    *out_end = end;
    return true;
}

void pcl_audit_sink_close(pcl_audit_sink *self)
{
    int *files[] = {&self->file, &self->lock, &self->folder};
    for (size_t index = 0; index < sizeof files / sizeof files[0]; index++) {
        if (*files[index] >= 0) {
            (void)close(*files[index]); /* what must last was synced */
            *files[index] = -1;
        }
    }
    free(self->path);
    self->path = NULL;
}

/* --- Writing ----------------------------------------------------------------------- */

static pcl_audit_outcome s_failed(pcl_audit_sink *self, const char *what, int error)
{
    bool later = error == ENOSPC || error == EDQUOT || error == EMFILE || error == ENFILE ||
                 error == ENOMEM;
    (void)snprintf(self->reason, sizeof self->reason, "%s: %s: %s", self->path, what,
                   strerror(error));
    return later ? PCL_AUDIT_SINK_LATER : PCL_AUDIT_SINK_BROKEN;
}

static uint64_t s_size_of(const pcl_audit_sink *self, uint64_t number)
{
    char name[PCL_AUDIT_NAME_SIZE];
    struct stat info;
    pcl_audit_name_format(number, name);
    return fstatat(self->folder, name, &info, 0) == 0 ? (uint64_t)info.st_size : 0;
}

/* Deletes the oldest files until the rest is within the bound.  What cannot be deleted stays: a
 * log that is too large is better than none. */
static void s_delete_old(const pcl_audit_sink *self)
{
    char name[PCL_AUDIT_NAME_SIZE];
    char error[PCL_AUDIT_REASON_SIZE];
    pcl_audit_files files;
    if (!pcl_audit_files_list(&files, self->path, error, sizeof error)) {
        return;
    }
    uint64_t octets = 0;
    size_t keep_from = files.count;
    while (keep_from > 0 && octets <= self->octets_max) {
        octets += s_size_of(self, files.numbers[--keep_from]);
    }
    /* The one that passed the bound goes, too. */
    size_t end = octets > self->octets_max ? keep_from + 1 : 0;
    for (size_t index = 0; index < end; index++) {
        if (files.numbers[index] != self->number) {
            pcl_audit_name_format(files.numbers[index], name);
            (void)unlinkat(self->folder, name, 0);
        }
    }
    pcl_audit_files_release(&files);
}

pcl_audit_outcome pcl_audit_sink_begin(pcl_audit_sink *self)
{
    char name[PCL_AUDIT_NAME_SIZE];
    pcl_audit_name_format(self->number + 1, name);
    int file = openat(self->folder, name, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC,
                      FILE_MODE);
    if (file < 0) {
        return s_failed(self, "a new file cannot be begun", errno);
    }
    /* Its name must last as long as what will be written in it. */
    if (fsync(self->folder) != 0) {
        int error = errno;
        (void)close(file); /* nothing was written */
        (void)s_failed(self, "the folder cannot be synced", error);
        return PCL_AUDIT_SINK_BROKEN;
    }
    if (self->file >= 0) {
        (void)close(self->file); /* it was synced */
    }
    self->file = file;
    self->number++;
    self->size = 0;
    s_delete_old(self);
    return PCL_AUDIT_SINK_OK;
}

pcl_audit_outcome pcl_audit_sink_write(pcl_audit_sink *self, const uint8_t *octets, size_t size,
                                       size_t *out_written)
{
    assert(self->file >= 0);
    *out_written = 0;
    while (*out_written < size) {
        ssize_t count = self->disk->write(self->file, octets + *out_written, size - *out_written);
        if (count == 0 || (count < 0 && errno != EINTR)) {
            return s_failed(self, "lines cannot be written", count == 0 ? ENOSPC : errno);
        }
        if (count > 0) {
            *out_written += (size_t)count;
            self->size += (uint64_t)count;
        }
    }
    return PCL_AUDIT_SINK_OK;
}

pcl_audit_outcome pcl_audit_sink_sync(pcl_audit_sink *self)
{
    assert(self->file >= 0);
    struct stat info;
    if (self->disk->sync(self->file) != 0) {
        /* The kernel has dropped what it could not write, and would call the next sync good. */
        (void)s_failed(self, "lines may not have reached the disk", errno);
        return PCL_AUDIT_SINK_BROKEN;
    }
    if (fstat(self->file, &info) != 0 || info.st_nlink == 0 ||
        (uint64_t)info.st_size != self->size) {
        (void)snprintf(self->reason, sizeof self->reason,
                       "%s: the file that is written was deleted, cut off or written by somebody "
                       "else",
                       self->path);
        return PCL_AUDIT_SINK_BROKEN;
    }
    return PCL_AUDIT_SINK_OK;
}
