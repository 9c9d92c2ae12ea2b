#include "worker-agent/state_file.h"

#include "net/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, TEXT_SIZE_MAX = 4096 };

#define FORM                                                                                       \
    "portcullis-topology 1\nterm %" PRIu64 "\nattempt %" PRIx64 "\nstage %s\n"                     \
    "source %s %s %" PRIu16 "\nfrom %s %s %" PRIu16 "\nposition %s\n"

static bool s_fail(char *error, size_t error_size, const char *file, const char *why)
{
    (void)snprintf(error, error_size, "%s: %s", file, why);
    return false;
}

static int s_write_text(const pcl_topology *record, char *text, size_t text_size)
{
    return snprintf(text, text_size, FORM, record->term, record->attempt,
                    pcl_topology_stage_text(record->stage), record->source.name,
                    record->source.host, record->source.port, record->from.name, record->from.host,
                    record->from.port, record->position);
}

/* What was read makes the very same text again, so nothing else stands in the file. */
static bool s_read_text(const char *text, pcl_topology *out_record)
{
    pcl_topology record = {.term = 0};
    char stage[16];
    char again[TEXT_SIZE_MAX];
    static_assert(PCL_NAME_SIZE_MAX == 63 && PCL_TOPOLOGY_HOST_SIZE_MAX == 253 &&
                      PCL_TOPOLOGY_POSITION_SIZE_MAX == 1024,
                  "the widths below");
    int count = sscanf(text, /* NOLINT(cert-err34-c): compared below */
                       "portcullis-topology 1\nterm %" SCNu64 "\nattempt %" SCNx64
                       "\nstage %15s\nsource %63s %253s %" SCNu16 "\nfrom %63s %253s %" SCNu16
                       "\nposition %1024s\n",
                       &record.term, &record.attempt, stage, record.source.name, record.source.host,
                       &record.source.port, record.from.name, record.from.host, &record.from.port,
                       record.position);
    if (count != 10) {
        return false;
    }
    record.stage = strcmp(stage, "open") == 0 ? PCL_TOPOLOGY_OPEN : PCL_TOPOLOGY_DECIDED;
    (void)s_write_text(&record, again, sizeof again);
    uint8_t octets[PCL_TOPOLOGY_SIZE_MAX];
    return strcmp(again, text) == 0 &&
           pcl_topology_decode(out_record,
                               pcl_bytes_of(octets, pcl_topology_encode(&record, octets))) ==
               PCL_ERR_OK;
}

bool pcl_state_file_load(const char *file, pcl_topology *out_record, char *error, size_t error_size)
{
    *out_record = (pcl_topology){.term = 0};
    if (access(file, F_OK) != 0 && errno == ENOENT) {
        return true;
    }
    pcl_buffer text;
    pcl_buffer_init(&text, TEXT_SIZE_MAX);
    bool good = pcl_file_read(&text, file, PCL_FILE_PUBLIC, error, error_size);
    if (good) {
        pcl_buffer_put_u8(&text, 0);
        good = !text.failed && strlen((const char *)text.data) + 1 == text.size &&
               s_read_text((const char *)text.data, out_record);
        if (!good) {
            (void)s_fail(error, error_size, file, "says nothing of who the source is");
        }
    }
    pcl_buffer_release(&text);
    return good;
}

/* A name in a folder is on disk when the folder is. */
static bool s_sync_folder(char *path)
{
    char *slash = strrchr(path, '/');
    const char *folder = slash == NULL ? "." : slash == path ? "/" : path;
    if (slash != NULL && slash != path) {
        *slash = '\0';
    }
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) {
        (void)close(fd); /* it was only read */
    }
    return good;
}

/* The new file, beside the old one, and on disk. */
static bool s_make(const char *file, const pcl_topology *record, char made[PATH_SIZE], char *error,
                   size_t error_size)
{
    char text[TEXT_SIZE_MAX];
    int size = s_write_text(record, text, sizeof text);
    int path_size = snprintf(made, PATH_SIZE, "%s.new", file);
    if (size >= (int)sizeof text || path_size >= PATH_SIZE) {
        return s_fail(error, error_size, file, "too long");
    }
    int fd = open(made, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    errno = fd >= 0 ? ENOSPC : errno; /* what a short write means */
    bool good = fd >= 0 && write(fd, text, (size_t)size) == size && fsync(fd) == 0;
    int why = errno;
    if (fd >= 0 && close(fd) != 0) {
        why = good ? errno : why;
        good = false;
    }
    return good || s_fail(error, error_size, made, strerror(why));
}

bool pcl_state_file_try(const char *file, const pcl_topology *record, char *error,
                        size_t error_size)
{
    char made[PATH_SIZE];
    return s_make(file, record, made, error, error_size);
}

bool pcl_state_file_save(const char *file, const pcl_topology *record, bool *out_touched,
                         char *error, size_t error_size)
{
    char made[PATH_SIZE];
    *out_touched = false;
    if (!s_make(file, record, made, error, error_size)) {
        return false;
    }
    if (rename(made, file) != 0) {
        return s_fail(error, error_size, file, strerror(errno));
    }
    *out_touched = true;
    return s_sync_folder(made) || s_fail(error, error_size, file, strerror(errno));
}
