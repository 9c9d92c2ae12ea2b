/* digests - the lists of statements that roles are known to send; no cluster is asked. */
#define _DEFAULT_SOURCE /* flock */

#include "client/command/command.h"
#include "client/splitter.h"
#include "net/file.h"
#include "policy/files.h"
#include "sql/classify.h"
#include "sql/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SQL_FILE_SIZE_MAX = 256 * 1024 * 1024,
    PROBLEMS_SIZE_MAX = 1024 * 1024,
    ERROR_SIZE = PATH_MAX + 256,
};

#define TAKEN ".taken" /* LIST.seen while it is read: the broker begins a new one */

/* A list on its way from the file to the file. */
typedef struct session {
    const pcl_cli_line *line;
    char policy[PATH_MAX]; /* the file that names the list; "" with --list */
    char file[PATH_MAX];
    char seen[PATH_MAX + sizeof PCL_DIGEST_LIST_SEEN];
    char taken[PATH_MAX + sizeof PCL_DIGEST_LIST_SEEN + sizeof TAKEN];
    pcl_buffer text; /* as the file is now */
    pcl_digest_list *list;
} session;

static void s_say(const char *text)
{
    (void)fputs("portcullis: ", stderr);
    pcl_command_put_text(stderr, text);
    (void)fputc('\n', stderr);
}

/* --- Which list ----------------------------------------------------------------- */

/* The role named, or the only one that has a list.  NULL: said. */
static const pcl_policy_role *s_find_role(const pcl_policy *policy, const char *name)
{
    const pcl_policy_role *found = NULL;
    uint32_t count = 0;
    for (uint32_t index = 0; index < pcl_policy_role_count(policy); index++) {
        const pcl_policy_role *role = pcl_policy_role_at(policy, index);
        bool meant = name == NULL ? role->digest_list[0] != '\0' : strcmp(role->name, name) == 0;
        found = meant ? role : found;
        count += meant;
    }
    if (count == 0) {
        s_say(name == NULL ? "no role of the policy has a digest_list"
                           : "the policy has no such role");
    } else if (count > 1) {
        s_say("several roles have a digest_list: name one with --role");
    } else if (found->digest_list[0] == '\0') {
        s_say("the role has no digest_list in the policy");
    } else {
        return found;
    }
    return NULL;
}

static bool s_read_policy(const char *file, pcl_policy **out_policy)
{
    char error[ERROR_SIZE];
    pcl_buffer text;
    pcl_buffer problems;
    pcl_buffer_init(&text, PCL_POLICY_FILE_SIZE_MAX);
    pcl_buffer_init(&problems, PROBLEMS_SIZE_MAX);
    *out_policy = NULL;
    if (!pcl_file_read(&text, file, PCL_FILE_PUBLIC, error, sizeof error)) {
        s_say(error);
    } else {
        *out_policy = pcl_policy_parse(pcl_buffer_bytes(&text), file, &problems);
        pcl_command_put_problems(pcl_buffer_bytes(&problems));
    }
    pcl_buffer_release(&text);
    pcl_buffer_release(&problems);
    return *out_policy != NULL;
}

static int s_locate(session *self)
{
    const char *list = pcl_cli_value(self->line, "list");
    const char *file = pcl_command_policy_file(self->line);
    bool good = true;
    if (list != NULL) {
        good = strlen(list) < sizeof self->file;
        (void)snprintf(self->file, sizeof self->file, "%s", list);
    } else {
        pcl_policy *policy = NULL;
        if (strlen(file) >= sizeof self->policy || !s_read_policy(file, &policy)) {
            return PCL_EXIT_CONFIG;
        }
        memcpy(self->policy, file, strlen(file) + 1);
        const pcl_policy_role *role = s_find_role(policy, pcl_cli_value(self->line, "role"));
        good = role == NULL ||
               pcl_policy_path(self->file, sizeof self->file, file, role->digest_list);
        pcl_policy_destroy(&policy);
        if (role == NULL) {
            return PCL_EXIT_CONFIG;
        }
    }
    if (!good || self->file[0] == '\0') {
        s_say("the path of the list is too long, or empty");
        return PCL_EXIT_CONFIG;
    }
    (void)snprintf(self->seen, sizeof self->seen, "%s%s", self->file, PCL_DIGEST_LIST_SEEN);
    (void)snprintf(self->taken, sizeof self->taken, "%s%s", self->seen, TAKEN);
    return PCL_EXIT_OK;
}

/* Two who change lists of one folder take turns: the list itself is replaced, and cannot hold the
 * lock.  It ends with the process.  false: said. */
static bool s_lock(const session *self)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(self->file, '/');
    (void)snprintf(folder, sizeof folder, "%.*s", slash == NULL ? 1 : (int)(slash - self->file) + 1,
                   slash == NULL ? "." : self->file);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX) != 0) {
        (void)fputs("portcullis: ", stderr);
        pcl_command_put_text(stderr, folder);
        (void)fprintf(stderr, ": %s\n", strerror(errno));
        return false;
    }
    return true;
}

/* --- Files ------------------------------------------------------------------------ */

/* Reads a list that need not be there.  false: said; strict: so are lines that are none. */
static bool s_read_list(const char *file, bool strict, pcl_buffer *text, pcl_digest_list *list)
{
    char error[ERROR_SIZE];
    if (access(file, F_OK) != 0 && errno == ENOENT) {
        return true;
    }
    if (!pcl_file_read(text, file, PCL_FILE_PUBLIC, error, sizeof error)) {
        s_say(error);
        return false;
    }
    pcl_buffer problems;
    pcl_buffer_init(&problems, PROBLEMS_SIZE_MAX);
    bool good = pcl_digest_list_read(list, pcl_buffer_bytes(text), file, &problems);
    pcl_command_put_problems(pcl_buffer_bytes(&problems));
    pcl_buffer_release(&problems);
    return good || !strict;
}

static bool s_read_beside(const char *file, pcl_digest_list *list)
{
    pcl_buffer text;
    pcl_buffer_init(&text, PCL_DIGEST_LIST_FILE_SIZE_MAX);
    bool good = s_read_list(file, false, &text, list);
    pcl_buffer_release(&text);
    return good;
}

/* The broker looks at the policy file's time, and reads its lists again with it.  Whether it could
 * be touched. */
static bool s_touch_policy(const session *self)
{
    return self->policy[0] != '\0' && utimensat(AT_FDCWD, self->policy, NULL, 0) == 0;
}

static int s_save(session *self, uint32_t changed, const char *what)
{
    char error[ERROR_SIZE];
    pcl_buffer text;
    pcl_buffer_init(&text, PCL_DIGEST_LIST_FILE_SIZE_MAX);
    bool good = pcl_digest_list_write(self->list, pcl_buffer_bytes(&self->text), &text);
    if (!good) {
        s_say("out of memory, or the list is over 16 MiB");
    } else if (changed > 0) {
        good = pcl_policy_file_replace(self->file, pcl_buffer_bytes(&text), error, sizeof error);
        if (!good) {
            s_say(error);
        }
    }
    pcl_buffer_release(&text);
    if (!good) {
        return PCL_EXIT_CONFIG;
    }
    pcl_command_put_text(stdout, self->file);
    bool told = changed == 0 || s_touch_policy(self);
    (void)printf(": %u %s%s\n", changed, what, told ? "" : "; the broker knows when it reloads");
    return PCL_EXIT_OK;
}

/* --- learn -------------------------------------------------------------------------- */

static uint32_t s_add_all(session *self, const pcl_digest_list *from, pcl_digest_state state)
{
    uint32_t added = 0;
    for (uint32_t index = 0; index < pcl_digest_list_count(from); index++) {
        added += pcl_digest_list_put(self->list, pcl_digest_list_at(from, index).text, state);
    }
    return added;
}

/* Adds the statements of a text; what cannot stand on a list is told. */
static uint32_t s_add_statements(session *self, pcl_bytes sql, pcl_digest_state state)
{
    pcl_splitter splitter = pcl_splitter_of(sql);
    pcl_bytes statement;
    pcl_buffer digest;
    uint32_t added = 0;
    pcl_buffer_init(&digest, PCL_SQL_DIGEST_SIZE_MAX);
    for (unsigned number = 1; pcl_splitter_next(&splitter, &statement); number++) {
        pcl_sql_verdict verdict = pcl_sql_classify(statement);
        pcl_buffer_clear(&digest);
        bool good = verdict.sql_class != PCL_SQL_REFUSED && pcl_sql_digest(statement, &digest);
        pcl_bytes text = pcl_buffer_bytes(&digest);
        if (!good || pcl_digest_is_cut(text)) {
            (void)fprintf(stderr, "portcullis: statement %u is left out: %s\n", number,
                          good ? "its digest is longer than 4096 octets" : verdict.rule);
        } else {
            added += pcl_digest_list_put(self->list, text, state);
        }
    }
    pcl_buffer_release(&digest);
    return added;
}

static bool s_read_input(pcl_buffer *text)
{
    char chunk[16384];
    size_t size;
    while ((size = fread(chunk, 1, sizeof chunk, stdin)) > 0) {
        pcl_buffer_put(text, chunk, size);
    }
    if (ferror(stdin) != 0 || text->failed) {
        s_say("standard input cannot be read, or is over 256 MiB");
        return false;
    }
    return true;
}

static bool s_add_file(session *self, const char *file, pcl_digest_state state, uint32_t *added)
{
    char error[ERROR_SIZE];
    pcl_buffer text;
    pcl_buffer_init(&text, SQL_FILE_SIZE_MAX);
    bool input = strcmp(file, "-") == 0;
    bool good = input ? s_read_input(&text)
                      : pcl_file_read(&text, file, PCL_FILE_PUBLIC, error, sizeof error);
    if (good) {
        *added += s_add_statements(self, pcl_buffer_bytes(&text), state);
    } else if (!input) {
        s_say(error);
    }
    pcl_buffer_release(&text);
    return good;
}

/* What was seen is taken from under the broker's pen first; so nothing is read and lost.  A file
 * taken by a run that was stopped is still there, and read like another. */
static bool s_take_seen(const session *self)
{
    if (access(self->taken, F_OK) == 0 || rename(self->seen, self->taken) == 0 || errno == ENOENT) {
        return true;
    }
    s_say(strerror(errno));
    return false;
}

static int s_learn(session *self)
{
    const char *file = pcl_cli_value(self->line, "file");
    pcl_digest_state state = pcl_cli_has(self->line, "allow") ? PCL_DIGEST_ALLOWED
                                                              : PCL_DIGEST_SEEN;
    uint32_t added = 0;
    if (file != NULL) {
        if (!s_add_file(self, file, state, &added)) {
            return PCL_EXIT_CONFIG;
        }
        return s_save(self, added, "learned");
    }
    pcl_digest_list *seen = pcl_digest_list_new();
    bool good = seen != NULL && s_take_seen(self) && s_read_beside(self->taken, seen);
    if (good) {
        added = s_add_all(self, seen, state);
    }
    pcl_digest_list_destroy(&seen);
    int code = good ? s_save(self, added, "learned") : PCL_EXIT_CONFIG;
    if (code == PCL_EXIT_OK) {
        (void)unlink(self->taken); /* read once more it adds nothing */
    }
    return code;
}

/* --- list, allow, export --------------------------------------------------------------- */

static int s_put_list(const pcl_digest_list *list)
{
    pcl_buffer text;
    pcl_buffer_init(&text, SIZE_MAX);
    bool good = pcl_digest_list_write(list, pcl_bytes_of(NULL, 0), &text) &&
                (text.size == 0 || pcl_command_write(NULL, pcl_buffer_bytes(&text)));
    pcl_buffer_release(&text);
    return good ? PCL_EXIT_OK : PCL_EXIT_REFUSED;
}

/* Those in this state; in any with UNKNOWN. */
static int s_put_state(const session *self, pcl_digest_state state)
{
    pcl_digest_list *chosen = pcl_digest_list_new();
    if (chosen == NULL) {
        s_say("out of memory");
        return PCL_EXIT_RETRY;
    }
    for (uint32_t index = 0; index < pcl_digest_list_count(self->list); index++) {
        pcl_digest_entry entry = pcl_digest_list_at(self->list, index);
        if (state == PCL_DIGEST_UNKNOWN || entry.state == state) {
            (void)pcl_digest_list_put(chosen, entry.text, entry.state); /* it was on one already */
        }
    }
    int code = s_put_list(chosen);
    pcl_digest_list_destroy(&chosen);
    return code;
}

static int s_list(session *self)
{
    const char *state = pcl_cli_value(self->line, "state");
    if (state != NULL && strcmp(state, "seen") != 0 && strcmp(state, "allowed") != 0) {
        return pcl_command_usage(self->line, "--state must be seen or allowed");
    }
    if (!s_read_beside(self->taken, self->list) || !s_read_beside(self->seen, self->list)) {
        return PCL_EXIT_CONFIG;
    }
    return s_put_state(self, state == NULL                   ? PCL_DIGEST_UNKNOWN
                             : strcmp(state, "allowed") == 0 ? PCL_DIGEST_ALLOWED
                                                             : PCL_DIGEST_SEEN);
}

/* false: said. */
static bool s_allow_id(session *self, const pcl_digest_list *seen, const char *id,
                       uint32_t *changed)
{
    uint64_t wanted = 0;
    pcl_digest_entry entry;
    if (!pcl_digest_id_parse(pcl_bytes_text(id), &wanted)) {
        s_say("the id of a digest is 16 hexadecimal digits");
        return false;
    }
    if (!pcl_digest_list_get(self->list, wanted, &entry) &&
        !pcl_digest_list_get(seen, wanted, &entry)) {
        (void)fprintf(stderr, "portcullis: no digest %s was seen\n", id);
        return false;
    }
    *changed += pcl_digest_list_put(self->list, entry.text, PCL_DIGEST_ALLOWED);
    return true;
}

static int s_allow(session *self)
{
    bool all = pcl_cli_has(self->line, "all");
    uint32_t changed = 0;
    if (all == (self->line->operand_count > 1)) {
        return pcl_command_usage(self->line, "name digests by their ids, or say --all");
    }
    pcl_digest_list *seen = pcl_digest_list_new();
    bool good = seen != NULL && s_read_beside(self->taken, seen) && s_read_beside(self->seen, seen);
    if (good && all) {
        (void)s_add_all(self, seen, PCL_DIGEST_SEEN); /* counted below */
        for (uint32_t index = 0; index < pcl_digest_list_count(self->list); index++) {
            changed += pcl_digest_list_put(self->list, pcl_digest_list_at(self->list, index).text,
                                           PCL_DIGEST_ALLOWED);
        }
    }
    for (size_t index = 1; good && index < self->line->operand_count; index++) {
        good = s_allow_id(self, seen, self->line->operands[index], &changed);
    }
    pcl_digest_list_destroy(&seen);
    return good ? s_save(self, changed, "allowed") : PCL_EXIT_CONFIG;
}

static int s_export(session *self)
{
    return s_put_state(self, PCL_DIGEST_ALLOWED);
}

int pcl_command_digests(const pcl_cli_line *line)
{
    static const struct {
        const char *name;
        int (*run)(session *self);
        bool takes_ids;
        bool changes;
    } ACTIONS[] = {
        {"learn", s_learn, false, true},
        {"list", s_list, false, false},
        {"allow", s_allow, true, true},
        {"export", s_export, false, false},
    };
    const char *name = line->operand_count > 0 ? line->operands[0] : "";
    for (size_t index = 0; index < sizeof ACTIONS / sizeof ACTIONS[0]; index++) {
        if (strcmp(name, ACTIONS[index].name) != 0) {
            continue;
        }
        if (!ACTIONS[index].takes_ids && line->operand_count > 1) {
            return pcl_command_usage(line, "only allow takes ids");
        }
        session self = {.line = line, .list = pcl_digest_list_new()};
        pcl_buffer_init(&self.text, PCL_DIGEST_LIST_FILE_SIZE_MAX);
        int code = self.list == NULL ? PCL_EXIT_RETRY : s_locate(&self);
        if (code == PCL_EXIT_OK && ACTIONS[index].changes && !s_lock(&self)) {
            code = PCL_EXIT_CONFIG;
        }
        if (code == PCL_EXIT_OK) {
            code = s_read_list(self.file, true, &self.text, self.list) ? ACTIONS[index].run(&self)
                                                                       : PCL_EXIT_CONFIG;
        }
        pcl_buffer_release(&self.text);
        pcl_digest_list_destroy(&self.list);
        return fflush(stdout) == 0 ? code : PCL_EXIT_REFUSED;
    }
    return pcl_command_usage(line, "say learn, list, allow or export");
}
