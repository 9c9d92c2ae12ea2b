#include "bench/scale/identities.h"

#include "net/file.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_SIZE_MAX = 256 };
#define FILE_SIZE_MAX ((size_t)PCL_IDENTITIES_MAX * LINE_SIZE_MAX)

static bool s_parse(char *line, pcl_identity *out_identity)
{
    char *rest = NULL;
    const char *name = strtok_r(line, " \t", &rest);
    const char *public_key = strtok_r(NULL, " \t", &rest);
    const char *secret_key = strtok_r(NULL, " \t", &rest);
    if (secret_key == NULL || strlen(name) > PCL_NAME_SIZE_MAX || !pcl_key_valid(public_key) ||
        !pcl_key_valid(secret_key)) {
        return false;
    }
    memcpy(out_identity->name, name, strlen(name) + 1);
    memcpy(out_identity->keys.public_key, public_key, PCL_KEY_TEXT_SIZE);
    memcpy(out_identity->keys.secret_key, secret_key, PCL_KEY_TEXT_SIZE);
    return true;
}

/* How many were read; *out_bad: the number of a line that is none, else 0. */
static uint32_t s_read(pcl_identity *identities, uint32_t first, uint32_t count, char *text,
                       uint32_t *out_bad)
{
    uint32_t found = 0;
    uint32_t number = 0;
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL && found < count;
         line = strtok_r(NULL, "\n", &rest), number++) {
        if (number < first) {
            continue;
        }
        if (!s_parse(line, &identities[found])) {
            *out_bad = number + 1;
            break;
        }
        found++;
    }
    return found;
}

pcl_identity *pcl_identities_load(const char *file, uint32_t first, uint32_t count,
                                  uint32_t *out_count, char *error, size_t error_size)
{
    assert(count > 0 && count <= PCL_IDENTITIES_MAX);
    pcl_buffer text;
    pcl_buffer_init(&text, FILE_SIZE_MAX);
    if (!pcl_file_read(&text, file, PCL_FILE_SECRET, error, error_size)) {
        pcl_file_wipe(&text);
        return NULL;
    }
    pcl_buffer_put_u8(&text, 0);
    pcl_identity *identities = calloc(count, sizeof *identities);
    if (text.failed || identities == NULL) {
        (void)snprintf(error, error_size, "out of memory");
        pcl_file_wipe(&text);
        free(identities);
        return NULL;
    }
    uint32_t bad = 0;
    uint32_t found = s_read(identities, first, count, (char *)text.data, &bad);
    pcl_file_wipe(&text);
    if (bad != 0 || found == 0) {
        (void)snprintf(error, error_size, "%s: line %u: must be NAME PUBLIC-KEY SECRET-KEY", file,
                       bad != 0 ? bad : first + 1);
        pcl_identities_free(&identities, count);
        return NULL;
    }
    *out_count = found;
    return identities;
}

void pcl_identities_free(pcl_identity **self_p, uint32_t count)
{
    assert(self_p != NULL);
    if (*self_p != NULL) {
        for (uint32_t index = 0; index < count; index++) {
            pcl_keys_wipe(&(*self_p)[index].keys);
        }
        free(*self_p);
        *self_p = NULL;
    }
}
