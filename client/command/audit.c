/* audit - verifies the broker's audit log, and shows its lines. */
#include "client/command/audit.h"

#include "audit/check.h"
#include "net/file.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FOLDER_ENVIRONMENT "PORTCULLIS_AUDIT"

enum { KEY_FILE_SIZE_MAX = 256, DAMAGES_SHOWN_MAX = 100 };

/* Where the log is when nobody says it: of this machine's own cluster, then of a package. */
static const char *s_default_folder(void)
{
    const char *folder = getenv(FOLDER_ENVIRONMENT);
    struct stat info;
    if (folder != NULL && folder[0] != '\0') {
        return folder;
    }
    return stat("var/audit", &info) == 0 ? "var/audit" : "/var/log/portcullis-broker";
}

/* --- verify ------------------------------------------------------------------------- */

typedef struct report {
    uint64_t shown;
} report;

static void s_report(void *context, const char *path, uint64_t line, pcl_audit_finding finding,
                     const char *text)
{
    report *self = context;
    if (finding == PCL_AUDIT_TORN) {
        (void)printf("%s:%llu: note: %s\n", path, (unsigned long long)line, text);
    } else if (self->shown++ < DAMAGES_SHOWN_MAX) {
        (void)printf("%s:%llu: %s\n", path, (unsigned long long)line, text);
    }
}

/* false: it has been said why. */
static bool s_read_key(const char *file, uint8_t key[PCL_AUDIT_KEY_SIZE])
{
    char error[512] = "";
    pcl_buffer text;
    pcl_buffer_init(&text, KEY_FILE_SIZE_MAX);
    bool good = pcl_file_read(&text, file, PCL_FILE_SECRET, error, sizeof error);
    if (good && !pcl_audit_key_read(pcl_buffer_bytes(&text), key)) {
        (void)snprintf(error, sizeof error, "%s: must hold 64 hexadecimal digits", file);
        good = false;
    }
    pcl_file_wipe(&text);
    if (!good) {
        (void)fprintf(stderr, "portcullis: %s\n", error);
    }
    return good;
}

/* HASH, or SEQ:HASH as verify prints it. */
static bool s_parse_head(const char *text, uint8_t head[PCL_AUDIT_HASH_SIZE])
{
    const char *colon = strchr(text, ':');
    return pcl_audit_key_read(pcl_bytes_text(colon != NULL ? colon + 1 : text), head);
}

static void s_print_head(const pcl_audit_verify *verify)
{
    char text[PCL_AUDIT_HASH_TEXT + 1];
    (void)sodium_bin2hex(text, sizeof text, verify->hash, sizeof verify->hash);
    (void)printf("head %llu:%s\n", (unsigned long long)verify->sequence, text);
}

static int s_finish(pcl_audit_check *check, const report *found)
{
    bool sound = pcl_audit_check_finish(check);
    const pcl_audit_verify *verify = &check->verify;
    if (found->shown > DAMAGES_SHOWN_MAX) {
        (void)printf("... and %llu more\n", (unsigned long long)(found->shown - DAMAGES_SHOWN_MAX));
    }
    (void)printf("%llu lines in %llu %s, seq %llu to %llu: ", (unsigned long long)verify->lines,
                 (unsigned long long)check->files, check->files == 1 ? "file" : "files",
                 (unsigned long long)verify->first, (unsigned long long)verify->sequence);
    if (sound) {
        (void)printf("all is well\n");
    } else {
        (void)printf("%llu %s\n", (unsigned long long)check->damages,
                     check->damages == 1 ? "damage" : "damages");
    }
    s_print_head(verify);
    return sound && fflush(stdout) == 0 ? PCL_EXIT_OK : PCL_EXIT_REFUSED;
}

static int s_verify(const pcl_cli_line *line, const char *const *paths, size_t path_count)
{
    uint8_t key[PCL_AUDIT_KEY_SIZE];
    uint8_t head[PCL_AUDIT_HASH_SIZE];
    const char *key_file = pcl_cli_value(line, "key");
    const char *expected = pcl_cli_value(line, "expect-head");
    if (expected != NULL && !s_parse_head(expected, head)) {
        return pcl_command_usage(line,
                                 "--expect-head must be a head as verify prints it: SEQ:HASH, "
                                 "or HASH, 64 hexadecimal digits");
    }
    if (key_file != NULL && !s_read_key(key_file, key)) {
        return PCL_EXIT_CONFIG;
    }
    pcl_audit_check *check = malloc(sizeof *check);
    if (check == NULL) {
        (void)fprintf(stderr, "portcullis: out of memory\n");
        return PCL_EXIT_RETRY;
    }
    char error[512] = "";
    report found = {0};
    bool read = true;
    pcl_audit_check_start(check, key_file != NULL ? key : NULL, expected != NULL ? head : NULL,
                          s_report, &found);
    for (size_t index = 0; index < path_count && read; index++) {
        read = pcl_audit_check_path(check, paths[index], error, sizeof error);
    }
    int code = PCL_EXIT_CONFIG;
    if (read) {
        code = s_finish(check, &found);
    } else {
        (void)fprintf(stderr, "portcullis: %s\n", error);
    }
    free(check);
    sodium_memzero(key, sizeof key);
    return code;
}

int pcl_command_audit(const pcl_cli_line *line)
{
    if (line->operand_count == 0) {
        return pcl_command_usage(line, "say what to do: verify or tail");
    }
    const char *verb = line->operands[0];
    const char *folder = s_default_folder();
    const char *const *paths = line->operand_count > 1 ? line->operands + 1 : &folder;
    size_t path_count = line->operand_count > 1 ? line->operand_count - 1 : 1;
    if (strcmp(verb, "verify") == 0) {
        return s_verify(line, paths, path_count);
    }
    if (strcmp(verb, "tail") == 0) {
        return pcl_command_audit_tail(line, paths, path_count);
    }
    return pcl_command_usage(line, "the first word must be verify or tail");
}
