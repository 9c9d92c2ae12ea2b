/* folder.h - a folder of its own for a test that needs files. */
#ifndef PCL_TESTS_UNIT_FOLDER_H
#define PCL_TESTS_UNIT_FOLDER_H

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder_path[128];

/* cmocka group set-up and tear-down. */
static int folder_make(void **state)
{
    (void)state;
    const char *base = getenv("TMPDIR");
    snprintf(folder_path, sizeof folder_path, "%.100s/pcl-test-XXXXXX",
             base != NULL ? base : "/tmp");
    return mkdtemp(folder_path) == NULL;
}

static int folder_remove(void **state)
{
    (void)state;
    DIR *folder = opendir(folder_path);
    assert(folder != NULL);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        (void)unlinkat(dirfd(folder), entry->d_name, 0); /* "." and ".." stay */
    }
    (void)closedir(folder);
    return rmdir(folder_path);
}

/* The path of a file in the folder; valid until the fourth next call. */
static const char *folder_file(const char *name)
{
    static char paths[4][256];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder_path, name);
    return path;
}

static const char *folder_write(const char *name, const char *text, mode_t mode)
{
    const char *path = folder_file(name);
    FILE *file = fopen(path, "we");
    assert(file != NULL);
    size_t size = fwrite(text, 1, strlen(text), file);
    assert(size == strlen(text));
    int rc = fclose(file);
    assert(rc == 0);
    rc = chmod(path, mode);
    assert(rc == 0);
    return path;
}

#endif
