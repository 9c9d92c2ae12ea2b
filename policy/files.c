/* realpath() is an X/Open extension. */
#define _XOPEN_SOURCE 700

#include "policy/files.h"

#include "net/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, ERROR_SIZE = PATH_SIZE + 256 };

static void s_problem(pcl_buffer *problems, const char *text)
{
    pcl_buffer_put(problems, text, strlen(text));
    pcl_buffer_put_u8(problems, '\n');
}

/* Where the role's list is, or the file that the broker writes beside it. */
static bool s_list_path(char *out_path, const char *file, const pcl_policy_role *role, bool seen)
{
    static const char SUFFIX[] = PCL_DIGEST_LIST_SEEN;
    if (!pcl_policy_path(out_path, PATH_SIZE - sizeof SUFFIX, file, role->digest_list)) {
        return false;
    }
    if (seen) {
        memcpy(out_path + strlen(out_path), SUFFIX, sizeof SUFFIX);
    }
    return true;
}

static bool s_read_into(pcl_digest_list *list, const char *path, bool needed, pcl_buffer *problems)
{
    char error[ERROR_SIZE];
    pcl_buffer text;
    if (!needed && access(path, F_OK) != 0 && errno == ENOENT) {
        return true;
    }
    pcl_buffer_init(&text, PCL_DIGEST_LIST_FILE_SIZE_MAX);
    bool good = pcl_file_read(&text, path, PCL_FILE_PUBLIC, error, sizeof error);
    if (good) {
        good = pcl_digest_list_read(list, pcl_buffer_bytes(&text), path, problems);
    } else {
        s_problem(problems, error);
    }
    pcl_buffer_release(&text);
    return good;
}

static bool s_load_list(pcl_policy_files *self, const pcl_policy_role *role, pcl_buffer *problems)
{
    char path[PATH_SIZE];
    char seen[PATH_SIZE];
    if (role->digests == PCL_POLICY_DIGESTS_OFF) {
        return true;
    }
    pcl_digest_list *list = pcl_digest_list_new();
    self->lists[role->index] = list;
    if (list == NULL) {
        s_problem(problems, "no memory for a digest list");
        return false;
    }
    if (!s_list_path(path, self->file, role, false) || !s_list_path(seen, self->file, role, true)) {
        s_problem(problems, "the path of a digest list is too long");
        return false;
    }
    bool good = s_read_into(list, path, role->digests == PCL_POLICY_DIGESTS_PROTECT, problems);
    /* What we wrote ourselves may end in a torn line, where the disk was full: it stops nobody. */
    pcl_buffer ignored;
    pcl_buffer_init(&ignored, ERROR_SIZE);
    (void)s_read_into(list, seen, false, &ignored);
    pcl_buffer_release(&ignored);
    return good;
}

static pcl_policy *s_load_policy(const char *file, pcl_buffer *problems)
{
    char error[ERROR_SIZE];
    pcl_buffer text;
    pcl_policy *policy = NULL;
    pcl_buffer_init(&text, PCL_POLICY_FILE_SIZE_MAX);
    if (pcl_file_read(&text, file, PCL_FILE_PUBLIC, error, sizeof error)) {
        policy = pcl_policy_parse(pcl_buffer_bytes(&text), file, problems);
    } else {
        s_problem(problems, error);
    }
    pcl_buffer_release(&text);
    return policy;
}

bool pcl_policy_files_load(pcl_policy_files *out_self, const char *file, pcl_buffer *problems)
{
    assert(out_self != NULL && file != NULL && problems != NULL);
    pcl_policy_files made = {0};
    if (strlen(file) >= sizeof made.file) {
        s_problem(problems, "the path of the policy file is too long");
        return false;
    }
    memcpy(made.file, file, strlen(file) + 1);
    made.policy = file[0] == '\0' ? pcl_policy_builtin() : s_load_policy(file, problems);
    bool good = made.policy != NULL;
    if (!good && file[0] == '\0') {
        s_problem(problems, "no memory for the policy");
    }
    for (uint32_t index = 0; made.policy != NULL && index < pcl_policy_role_count(made.policy);
         index++) {
        good = s_load_list(&made, pcl_policy_role_at(made.policy, index), problems) && good;
    }
    if (!good) {
        pcl_policy_files_release(&made);
        return false;
    }
    *out_self = made;
    return true;
}

void pcl_policy_files_release(pcl_policy_files *self)
{
    assert(self != NULL);
    pcl_policy_destroy(&self->policy);
    for (size_t index = 0; index < PCL_POLICY_ROLES_MAX; index++) {
        pcl_digest_list_destroy(&self->lists[index]);
    }
    self->file[0] = '\0';
}

/* One write: lines of several writers do not mix, and a full disk leaves at most a torn line.  A
 * file that would be too large to be read again takes no more. */
static bool s_append(const char *path, pcl_bytes line, char *error, size_t error_size)
{
    struct stat info;
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640);
    bool good = fd >= 0 && fstat(fd, &info) == 0;
    if (good && (uint64_t)info.st_size + line.size <= PCL_DIGEST_LIST_FILE_SIZE_MAX) {
        ssize_t written = write(fd, line.data, line.size);
        if (written >= 0 && written != (ssize_t)line.size) {
            errno = ENOSPC;
        }
        good = written == (ssize_t)line.size;
    }
    int why = errno;
    if (fd >= 0 && close(fd) != 0 && good) {
        good = false;
        why = errno;
    }
    if (!good) {
        (void)snprintf(error, error_size, "%s: %s", path, strerror(why));
    }
    return good;
}

bool pcl_policy_files_note(pcl_policy_files *self, const pcl_policy_role *role, pcl_bytes text,
                           char *error, size_t error_size)
{
    assert(self != NULL && role != NULL && error != NULL);
    char path[PATH_SIZE];
    pcl_digest_list *list = self->lists[role->index];
    if (list == NULL || !s_list_path(path, self->file, role, true) ||
        !pcl_digest_list_put(list, text, PCL_DIGEST_SEEN)) {
        return true;
    }
    pcl_buffer line;
    pcl_buffer_init(&line, PCL_DIGEST_LINE_SIZE_MAX);
    pcl_digest_line_put(&line, text, PCL_DIGEST_SEEN);
    bool good = !line.failed;
    if (good) {
        good = s_append(path, pcl_buffer_bytes(&line), error, error_size);
    } else {
        (void)snprintf(error, error_size, "%s: no memory for a line", path);
    }
    pcl_buffer_release(&line);
    return good;
}

static bool s_write_all(int fd, pcl_bytes text)
{
    size_t done = 0;
    while (done < text.size) {
        ssize_t count = write(fd, text.data + done, text.size - done);
        if (count < 0 && errno != EINTR) {
            return false;
        }
        done += count > 0 ? (size_t)count : 0;
    }
    return true;
}

static void s_folder_of(char *out_folder, const char *file)
{
    const char *slash = strrchr(file, '/');
    (void)snprintf(out_folder, PATH_SIZE, "%.*s", slash == NULL ? 1 : (int)(slash - file) + 1,
                   slash == NULL ? "." : file);
}

/* A name in a folder is on disk when the folder is. */
static bool s_sync_folder(const char *file)
{
    char folder[PATH_SIZE];
    s_folder_of(folder, file);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) {
        (void)close(fd); /* it was only read */
    }
    return good;
}

/* Gives the new file the old one's rights and owner.  One that was not there yet is its folder's
 * owner's, where we may say so: a list that root learns in the broker's folder is the broker's. */
static bool s_inherit(int fd, const char *file)
{
    char folder[PATH_SIZE];
    struct stat info;
    s_folder_of(folder, file);
    bool there = stat(file, &info) == 0;
    if (!there && (geteuid() != 0 || stat(folder, &info) != 0)) {
        return fchmod(fd, 0644) == 0;
    }
    bool owned = info.st_uid == geteuid() && info.st_gid == getegid();
    return (owned || fchown(fd, info.st_uid, info.st_gid) == 0) &&
           fchmod(fd, there ? info.st_mode & 07777 : 0644) == 0;
}

/* Writes beside the file, then takes its place. */
static bool s_replace(const char *file, pcl_bytes text, char *error, size_t error_size)
{
    static const char SUFFIX[] = ".XXXXXX";
    char made[PATH_SIZE];
    if (strlen(file) + sizeof SUFFIX > sizeof made) {
        (void)snprintf(error, error_size, "%.64s...: the path is too long", file);
        return false;
    }
    (void)snprintf(made, sizeof made, "%s%s", file, SUFFIX);
    int fd = mkstemp(made);
    bool good = fd >= 0 && s_inherit(fd, file) && s_write_all(fd, text) && fsync(fd) == 0;
    int why = errno;
    if (fd >= 0 && close(fd) != 0 && good) {
        good = false;
        why = errno;
    }
    if (good && rename(made, file) != 0) {
        good = false;
        why = errno;
    }
    if (!good && fd >= 0) {
        (void)unlink(made); /* what is left of it harms nobody */
    }
    if (good && !s_sync_folder(file)) {
        good = false;
        why = errno;
    }
    if (!good) {
        (void)snprintf(error, error_size, "%s: %s", file, strerror(why));
    }
    return good;
}

bool pcl_policy_file_replace(const char *file, pcl_bytes text, char *error, size_t error_size)
{
    assert(file != NULL && error != NULL);
    char *real = realpath(file, NULL); /* a link stays one */
    bool good = s_replace(real != NULL ? real : file, text, error, error_size);
    free(real);
    return good;
}
