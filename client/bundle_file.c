#include "client/bundle_file.h"

#include "common/buffer.h"
#include "net/file.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUNDLE "var/client.bundle"

/* folder may be "" for the present one. */
static bool s_try(const char *folder, const char *name, char *path, size_t path_size)
{
    char candidate[PATH_MAX];
    int size = snprintf(candidate, sizeof candidate, "%s%s", folder, name);
    if (size < 0 || (size_t)size >= sizeof candidate || (size_t)size >= path_size ||
        access(candidate, F_OK) != 0) {
        return false;
    }
    memcpy(path, candidate, (size_t)size + 1);
    return true;
}

/* Cuts the last name off, leaving the slash: "/a/b" -> "/a/", "/a/" -> "/".  false at the top. */
static bool s_to_parent(char *path)
{
    size_t size = strlen(path);
    if (size > 0 && path[size - 1] == '/') {
        size--;
    }
    while (size > 0 && path[size - 1] != '/') {
        size--;
    }
    path[size] = '\0';
    return size > 0;
}

/* Beside the program and, from where it really is, upwards: a checkout has its build folder
 * somewhere below the folder that has var/. */
static bool s_find_by_program(const char *program, char *path, size_t path_size)
{
    char folder[PATH_MAX];
    if (program == NULL || strchr(program, '/') == NULL ||
        (size_t)snprintf(folder, sizeof folder, "%s", program) >= sizeof folder) {
        program = NULL; /* found through PATH: only the resolved path says something */
    } else if (s_to_parent(folder) && s_try(folder, BUNDLE, path, path_size)) {
        return true;
    }
    ssize_t size = readlink("/proc/self/exe", folder, sizeof folder - 1);
    if (size <= 0) {
        return false;
    }
    folder[size] = '\0';
    while (s_to_parent(folder)) {
        if (s_try(folder, BUNDLE, path, path_size)) {
            return true;
        }
    }
    return false;
}

bool pcl_bundle_find(const char *program, char *path, size_t path_size)
{
    const char *named = getenv("PORTCULLIS_BUNDLE");
    if (named != NULL && named[0] != '\0') {
        return (size_t)snprintf(path, path_size, "%s", named) < path_size;
    }
    const char *home = getenv("HOME");
    return s_try("", "./" BUNDLE, path, path_size) ||
           (program != NULL && s_find_by_program(program, path, path_size)) ||
           (home != NULL && s_try(home, "/.config/portcullis/client.bundle", path, path_size)) ||
           s_try("/etc/portcullis/", "client.bundle", path, path_size);
}

bool pcl_bundle_load(pcl_bundle *out_bundle, const char *file, char *error, size_t error_size)
{
    assert(error_size > 0);
    memset(out_bundle, 0, sizeof *out_bundle);
    char found[PATH_MAX];
    if (file == NULL) {
        if (!pcl_bundle_find(NULL, found, sizeof found)) {
            (void)snprintf(error, error_size, "there is no client bundle at %s", PCL_BUNDLE_PLACES);
            return false;
        }
        file = found;
    }
    pcl_buffer text;
    pcl_buffer problems;
    pcl_buffer_init(&text, PCL_BUNDLE_SIZE_MAX);
    pcl_buffer_init(&problems, PCL_BUNDLE_SIZE_MAX);
    bool good = pcl_file_read(&text, file, PCL_FILE_SECRET, error, error_size);
    if (good && !pcl_bundle_parse(out_bundle, pcl_buffer_bytes(&text), file, &problems)) {
        size_t size = problems.size > 0 ? problems.size - 1 : 0; /* without the last newline */
        (void)snprintf(error, error_size, "%.*s", (int)size, (const char *)problems.data);
        good = false;
    }
    pcl_file_wipe(&text);
    pcl_buffer_release(&problems);
    return good;
}
