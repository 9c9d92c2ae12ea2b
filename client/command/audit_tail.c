/* audit tail - the last lines of the audit log, filtered. */
#include "audit/reader.h"
#include "audit/seen.h"
#include "client/command/audit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { LINES_DEFAULT = 20, LINES_MAX = 1000000000, TEXTS_MAX = 16384, FOLLOW_MS = 200 };

/* The text of a digest, as the file told it. */
typedef struct text {
    uint64_t digest;
    char *octets; /* owned; NULL: the place is free */
} text;

/* What is asked for; NULL and false: anything. */
typedef struct filter {
    const char *texts[7]; /* in the order of FILTERS */
    bool by_id;
    uint8_t id[PCL_ID_SIZE];
    bool refused;
    uint64_t since_us;
    uint64_t until_us;
} filter;

typedef struct named_filter {
    const char *option;
    size_t offset; /* of the text in a record */
} named_filter;

static const named_filter FILTERS[] = {
    {"principal", offsetof(pcl_audit_record, principal)},
    {"role", offsetof(pcl_audit_record, role)},
    {"op", offsetof(pcl_audit_record, op)},
    {"class", offsetof(pcl_audit_record, sql_class)},
    {"code", offsetof(pcl_audit_record, code)},
    {"node", offsetof(pcl_audit_record, node)},
    {"digest", offsetof(pcl_audit_record, digest)},
};

enum { FILTERS_COUNT = sizeof FILTERS / sizeof FILTERS[0] };

typedef struct tail {
    filter wanted;
    const char *kind; /* NULL: any */
    const char *rule; /* NULL: any */
    bool texts;       /* show the texts of digests */
    text *known;      /* owned; TEXTS_MAX of them */
    size_t known_count;
    pcl_audit_scratch *scratch; /* owned */
    char **paths;               /* owned; the files, oldest first */
    size_t path_count;
    size_t path_capacity;
    const char *folder; /* NULL: files were named */
} tail;

static int s_fail(const char *what, const char *why)
{
    (void)fprintf(stderr, "portcullis: %s%s%s\n", what, why[0] != '\0' ? ": " : "", why);
    return PCL_EXIT_CONFIG;
}

/* --- Filters ------------------------------------------------------------------------ */

/* Whether a word stands in a list of words. */
static bool s_has_word(pcl_bytes list, const char *word)
{
    size_t size = strlen(word);
    for (size_t from = 0; from + size <= list.size; from++) {
        bool starts = from == 0 || list.data[from - 1] == ' ';
        bool ends = from + size == list.size || list.data[from + size] == ' ';
        if (starts && ends && memcmp(list.data + from, word, size) == 0) {
            return true;
        }
    }
    return false;
}

static bool s_matches(const tail *self, const pcl_audit_record *record)
{
    const filter *wanted = &self->wanted;
    for (size_t index = 0; index < FILTERS_COUNT; index++) {
        const void *place = (const char *)record + FILTERS[index].offset;
        if (wanted->texts[index] != NULL &&
            !pcl_bytes_is(*(const pcl_bytes *)place, wanted->texts[index])) {
            return false;
        }
    }
    bool went_well = record->code.size == 0 || pcl_bytes_is(record->code, "OK");
    bool by_id = (record->has_id && memcmp(record->id, wanted->id, PCL_ID_SIZE) == 0) ||
                 (record->has_session && memcmp(record->session, wanted->id, PCL_ID_SIZE) == 0);
    return (!wanted->refused || !went_well) && (!wanted->by_id || by_id) &&
           (self->kind == NULL || strcmp(pcl_audit_kind_text(record->kind), self->kind) == 0) &&
           (self->rule == NULL || s_has_word(record->rule, self->rule) ||
            s_has_word(record->dry_run, self->rule)) &&
           record->time_us >= wanted->since_us && record->time_us <= wanted->until_us;
}

/* --- Texts of digests --------------------------------------------------------------- */

static void s_forget_texts(tail *self)
{
    for (size_t index = 0; self->known != NULL && index < TEXTS_MAX; index++) {
        free(self->known[index].octets);
        self->known[index].octets = NULL;
    }
    self->known_count = 0;
}

static text *s_text_of(tail *self, uint64_t digest)
{
    size_t place = digest % TEXTS_MAX;
    while (self->known[place].octets != NULL && self->known[place].digest != digest) {
        place = (place + 1) % TEXTS_MAX;
    }
    return &self->known[place];
}

static void s_learn_text(tail *self, const pcl_audit_record *record)
{
    uint64_t digest = 0;
    if (record->kind != PCL_AUDIT_DIGEST || !pcl_audit_digest_parse(record->digest, &digest)) {
        return;
    }
    if (self->known_count >= TEXTS_MAX / 4 * 3) {
        s_forget_texts(self); /* later ones are told again by later files */
    }
    text *known = s_text_of(self, digest);
    if (known->octets == NULL) {
        known->octets = strndup((const char *)record->digest_text.data, record->digest_text.size);
        known->digest = digest;
        self->known_count += known->octets != NULL ? 1 : 0;
    }
}

/* --- Lines ------------------------------------------------------------------------- */

/* Whether a line is asked for.  One that cannot be read is, unless there are filters that it does
 * not pass: it can pass none. */
static bool s_take(tail *self, pcl_bytes line, pcl_audit_record *out_record)
{
    uint8_t chain[PCL_AUDIT_HASH_SIZE];
    size_t hashed_size = 0;
    const char *problem = NULL;
    pcl_audit_record record = {.time_us = self->wanted.since_us};
    if (pcl_audit_record_parse(&record, line, self->scratch, chain, &hashed_size, &problem) &&
        self->texts) {
        s_learn_text(self, &record);
    }
    *out_record = record;
    return s_matches(self, &record);
}

/* false: nobody reads any more. */
static bool s_show(tail *self, pcl_bytes line, const pcl_audit_record *record)
{
    char *octets = strndup((const char *)line.data, line.size);
    if (octets == NULL) {
        return false;
    }
    pcl_command_put_text(stdout, octets);
    free(octets);
    (void)putchar('\n');
    uint64_t digest = 0;
    if (self->texts && record->kind != PCL_AUDIT_DIGEST &&
        pcl_audit_digest_parse(record->digest, &digest)) {
        const text *known = s_text_of(self, digest);
        if (known->octets != NULL) {
            (void)fputs("    ", stdout);
            pcl_command_put_text(stdout, known->octets);
            (void)putchar('\n');
        }
    }
    return ferror(stdout) == 0;
}

/* Shows what a file has from where it was read, but skips the first *skip that match.  false:
 * nobody reads any more. */
static bool s_show_rest(tail *self, pcl_audit_reader *reader, uint64_t *skip)
{
    pcl_bytes line;
    pcl_audit_record record;
    bool read_by_somebody = true;
    while (read_by_somebody && pcl_audit_reader_next(reader, &line) == PCL_AUDIT_READ_LINE) {
        if (s_take(self, line, &record)) {
            if (*skip > 0) {
                --*skip;
            } else {
                read_by_somebody = s_show(self, line, &record);
            }
        }
    }
    return fflush(stdout) == 0 && read_by_somebody;
}

/* How many lines of a file match; 0 when it cannot be read, which is said later. */
static uint64_t s_count(tail *self, const char *path)
{
    char error[512];
    uint64_t count = 0;
    pcl_bytes line;
    pcl_audit_record record;
    pcl_audit_reader *reader = pcl_audit_reader_open(path, error, sizeof error);
    while (reader != NULL && pcl_audit_reader_next(reader, &line) == PCL_AUDIT_READ_LINE) {
        count += s_take(self, line, &record) ? 1 : 0;
    }
    pcl_audit_reader_close(&reader);
    return count;
}

/* --- Files ------------------------------------------------------------------------- */

static bool s_add_path(tail *self, const char *folder, const char *name)
{
    if (self->path_count == self->path_capacity) {
        size_t wanted = self->path_capacity == 0 ? 64 : 2 * self->path_capacity;
        char **grown = realloc(self->paths, wanted * sizeof *grown);
        if (grown == NULL) {
            return false;
        }
        self->paths = grown;
        self->path_capacity = wanted;
    }
    size_t size = strlen(folder) + strlen(name) + 2;
    char *path = malloc(size);
    if (path == NULL) {
        return false;
    }
    (void)snprintf(path, size, "%s%s%s", folder, folder[0] != '\0' ? "/" : "", name);
    self->paths[self->path_count++] = path;
    return true;
}

/* Files of the folder with a number above the last one's. */
static bool s_add_folder(tail *self, const char *folder, uint64_t above)
{
    char error[512];
    pcl_audit_files files;
    if (!pcl_audit_files_list(&files, folder, error, sizeof error)) {
        (void)s_fail(error, "");
        return false;
    }
    bool good = true;
    for (size_t index = 0; index < files.count && good; index++) {
        char name[PCL_AUDIT_NAME_SIZE];
        pcl_audit_name_format(files.numbers[index], name);
        good = files.numbers[index] <= above || s_add_path(self, folder, name);
    }
    pcl_audit_files_release(&files);
    return good;
}

static bool s_add_paths(tail *self, const char *const *paths, size_t count)
{
    for (size_t index = 0; index < count; index++) {
        struct stat info;
        if (stat(paths[index], &info) != 0) {
            (void)s_fail(paths[index], strerror(errno));
            return false;
        }
        if (!S_ISDIR(info.st_mode)) {
            if (!s_add_path(self, "", paths[index])) {
                return false;
            }
        } else if (!s_add_folder(self, paths[index], 0)) {
            return false;
        } else {
            self->folder = paths[index];
        }
    }
    return true;
}

static uint64_t s_last_number(const tail *self)
{
    uint64_t number = 0;
    const char *path = self->path_count > 0 ? self->paths[self->path_count - 1] : "";
    const char *slash = strrchr(path, '/');
    return pcl_audit_name_parse(slash != NULL ? slash + 1 : path, &number) ? number : 0;
}

/* --- The command -------------------------------------------------------------------- */

/* Until the program is ended or nobody reads.  Takes reader, which may be NULL. */
static int s_follow(tail *self, pcl_audit_reader *reader, size_t at)
{
    char error[512];
    uint64_t skip = 0;
    bool good = true;
    while (good) {
        /* A file that has a successor is complete: what it has is read once more. */
        pcl_audit_reader *next = NULL;
        if (at < self->path_count) {
            next = pcl_audit_reader_open(self->paths[at++], error, sizeof error);
        } else {
            good = s_add_folder(self, self->folder, s_last_number(self));
        }
        good = good && (reader == NULL || s_show_rest(self, reader, &skip));
        if (next != NULL) {
            pcl_audit_reader_close(&reader);
            reader = next;
        } else if (at == self->path_count && good) {
            struct timespec pause = {.tv_nsec = FOLLOW_MS * 1000000L};
            (void)nanosleep(&pause, NULL);
        }
    }
    pcl_audit_reader_close(&reader);
    return PCL_EXIT_CONFIG;
}

static int s_run(tail *self, uint64_t lines, bool follow)
{
    /* From which file on there are enough lines, and how many of its first are too many. */
    uint64_t found = 0;
    size_t at = self->path_count;
    while (at > 0 && (found < lines || at == self->path_count)) {
        found += s_count(self, self->paths[--at]);
    }
    uint64_t skip = found > lines ? found - lines : 0;
    if (self->texts) {
        s_forget_texts(self);
    }
    pcl_audit_reader *reader = NULL;
    bool read_by_somebody = true;
    while (at < self->path_count && read_by_somebody) {
        char error[512];
        pcl_audit_reader_close(&reader);
        reader = pcl_audit_reader_open(self->paths[at++], error, sizeof error);
        if (reader == NULL) {
            return s_fail(error, "");
        }
        read_by_somebody = s_show_rest(self, reader, &skip);
    }
    if (follow && read_by_somebody) {
        return s_follow(self, reader, at);
    }
    pcl_audit_reader_close(&reader);
    return read_by_somebody ? PCL_EXIT_OK : PCL_EXIT_REFUSED;
}

/* NULL: the filters are good; else what is wrong with one. */
static const char *s_read_filters(tail *self, const pcl_cli_line *line)
{
    for (size_t index = 0; index < FILTERS_COUNT; index++) {
        self->wanted.texts[index] = pcl_cli_value(line, FILTERS[index].option);
    }
    self->kind = pcl_cli_value(line, "kind");
    self->rule = pcl_cli_value(line, "rule");
    self->wanted.refused = pcl_cli_has(line, "refused");
    self->texts = pcl_cli_has(line, "text");
    self->wanted.until_us = UINT64_MAX;
    const char *id = pcl_cli_value(line, "id");
    const char *since = pcl_cli_value(line, "since");
    const char *until = pcl_cli_value(line, "until");
    self->wanted.by_id = id != NULL;
    if (id != NULL && !pcl_command_parse_id(id, self->wanted.id)) {
        return "--id " PCL_COMMAND_ID_RULE;
    }
    if ((since != NULL && !pcl_audit_time_parse(pcl_bytes_text(since), &self->wanted.since_us)) ||
        (until != NULL && !pcl_audit_time_parse(pcl_bytes_text(until), &self->wanted.until_us))) {
        return "--since and --until need a time in UTC: 2026-11-22, 2026-11-22T15:30 or "
               "2026-11-22T15:30:00";
    }
    return NULL;
}

static void s_release(tail *self)
{
    s_forget_texts(self);
    for (size_t index = 0; index < self->path_count; index++) {
        free(self->paths[index]);
    }
    free(self->paths);
    free(self->known);
    free(self->scratch);
}

int pcl_command_audit_tail(const pcl_cli_line *line, const char *const *paths, size_t path_count)
{
    char problem[PCL_CLI_PROBLEM_SIZE];
    uint32_t lines = 0;
    tail self = {0};
    /* Whoever names a time wants all since then. */
    uint32_t usual = pcl_cli_has(line, "since") ? LINES_MAX : LINES_DEFAULT;
    const char *wrong = s_read_filters(&self, line);
    if (wrong != NULL || !pcl_cli_uint(line, "lines", 0, LINES_MAX, usual, &lines, problem)) {
        return pcl_command_usage(line, wrong != NULL ? wrong : problem);
    }
    self.scratch = malloc(sizeof *self.scratch);
    self.known = calloc(TEXTS_MAX, sizeof *self.known);
    bool follow = pcl_cli_has(line, "follow");
    int code = PCL_EXIT_CONFIG;
    if (self.scratch == NULL || self.known == NULL) {
        code = s_fail("out of memory", "");
    } else if (s_add_paths(&self, paths, path_count)) {
        code = follow && self.folder == NULL
                   ? pcl_command_usage(line, "--follow needs a folder, not files")
                   : s_run(&self, lines, follow);
    }
    s_release(&self);
    return code;
}
