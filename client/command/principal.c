/* principal - who may come in: a line in the broker's policy, and one in the gatekeeper's list.
 *
 * Both are files that people keep by hand, with comments; each is read, checked, changed by one
 * line, checked again, and replaced at once.  While that goes on a lock keeps others of this
 * command away. */
#include "client/command/command.h"
#include "client/command/key_argument.h"
#include "client/command/principals.h"
#include "net/file.h"
#include "net/key_list.h"
#include "policy/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    ERROR_SIZE = PATH_MAX + 256,
    PROBLEMS_SIZE_MAX = 1024 * 1024,
    CLIENTS_SIZE_MAX = 16 * 1024 * 1024,
};

/* One of the two files. */
typedef struct file {
    char path[PATH_MAX];
    bool there;
    int lock_fd;      /* -1: not locked */
    pcl_buffer text;  /* as it is now */
    pcl_buffer after; /* as it shall be; empty: it is not changed */
} file;

typedef struct both {
    const pcl_cli_line *line;
    file policy_file, clients_file;
    pcl_policy *policy;
    pcl_key_list *clients;
} both;

static void s_say(const char *text)
{
    (void)fputs("portcullis: ", stderr);
    pcl_command_put_text(stderr, text);
    (void)fputc('\n', stderr);
}

static bool s_say_errno(const char *path)
{
    char error[ERROR_SIZE];
    (void)snprintf(error, sizeof error, "%s: %s", path, strerror(errno));
    s_say(error);
    return false;
}

/* ---- opening ----------------------------------------------------------------------------- */

/* Waits until nobody else of this command has the file.  Whoever had it may have put another in its
 * place, which is then locked instead. */
static bool s_lock(file *self)
{
    for (;;) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        struct stat opened, present;
        self->lock_fd = open(self->path, O_RDWR | O_CLOEXEC);
        if (self->lock_fd < 0 || fcntl(self->lock_fd, F_SETLKW, &lock) != 0 ||
            fstat(self->lock_fd, &opened) != 0 || stat(self->path, &present) != 0) {
            return s_say_errno(self->path);
        }
        if (opened.st_ino == present.st_ino && opened.st_dev == present.st_dev) {
            return true;
        }
        (void)close(self->lock_fd);
    }
}

/* Through the descriptor that has the lock: closing another one of the file would end it. */
static bool s_read_locked(file *self)
{
    uint8_t chunk[4096];
    for (ssize_t count; (count = read(self->lock_fd, chunk, sizeof chunk)) != 0;) {
        if (count < 0 && errno != EINTR) {
            return s_say_errno(self->path);
        }
        pcl_buffer_put(&self->text, chunk, count > 0 ? (size_t)count : 0);
        if (self->text.failed) {
            s_say("the file is too large, or memory is out");
            return false;
        }
    }
    return true;
}

/* Reads the file; one that nobody named may be missing.  false: said. */
static bool s_open(file *self, const char *path, bool named, size_t size_max, bool change)
{
    self->lock_fd = -1;
    pcl_buffer_init(&self->text, size_max);
    pcl_buffer_init(&self->after, size_max);
    struct stat info;
    if (lstat(path, &info) != 0) {
        return errno == ENOENT && !named ? true : s_say_errno(path);
    }
    if (S_ISLNK(info.st_mode) || strlen(path) >= sizeof self->path) {
        s_say(S_ISLNK(info.st_mode) ? "a link would be replaced by a file: name the file itself"
                                    : "the path is too long");
        return false;
    }
    memcpy(self->path, path, strlen(path) + 1);
    char error[ERROR_SIZE];
    self->there = true;
    if (change && !s_lock(self)) {
        return false;
    }
    if (change) {
        return s_read_locked(self);
    }
    bool good = pcl_file_read(&self->text, self->path, PCL_FILE_PUBLIC, error, sizeof error);
    if (!good) {
        s_say(error);
    }
    return good;
}

static void s_close(file *self)
{
    if (self->lock_fd >= 0) {
        (void)close(self->lock_fd); /* and with it the lock */
    }
    pcl_buffer_release(&self->text);
    pcl_buffer_release(&self->after);
}

/* NULL: the mistakes were said. */
static pcl_policy *s_parse_policy(pcl_bytes text, const char *name)
{
    pcl_buffer problems;
    pcl_buffer_init(&problems, PROBLEMS_SIZE_MAX);
    pcl_policy *policy = pcl_policy_parse(text, name, &problems);
    pcl_command_put_problems(pcl_buffer_bytes(&problems));
    pcl_buffer_release(&problems);
    return policy;
}

static pcl_key_list *s_parse_clients(pcl_bytes text, const char *name)
{
    char fault[256];
    char error[ERROR_SIZE];
    pcl_key_list *list = pcl_key_list_read(text, fault, sizeof fault);
    if (list == NULL) {
        (void)snprintf(error, sizeof error, "%.*s: %s", (int)(sizeof error - sizeof fault - 3),
                       name, fault);
        s_say(error);
    }
    return list;
}

/* Reads and checks what there is of the two.  false: said. */
static bool s_open_both(both *self, bool change)
{
    const char *policy = pcl_command_policy_file(self->line);
    const char *clients = pcl_cli_value(self->line, "clients");
    const char *known = getenv("PORTCULLIS_CLIENTS");
    bool policy_named = strcmp(policy, PCL_COMMAND_POLICY_FILE) != 0 ||
                        pcl_cli_has(self->line, "policy");
    bool clients_named = clients != NULL || (known != NULL && known[0] != '\0');
    if (clients == NULL) {
        clients = clients_named ? known : PCL_COMMAND_CLIENTS_FILE;
    }
    file *files[2] = {&self->policy_file, &self->clients_file};
    files[1]->lock_fd = -1;
    if (!s_open(files[0], policy, policy_named, PCL_POLICY_FILE_SIZE_MAX, change) ||
        !s_open(files[1], clients, clients_named, CLIENTS_SIZE_MAX, change)) {
        return false;
    }
    if (!files[0]->there && !files[1]->there) {
        s_say("neither a policy (--policy) nor a gatekeeper's key list (--clients) is here");
        return false;
    }
    if (files[0]->there) {
        self->policy = s_parse_policy(pcl_buffer_bytes(&files[0]->text), files[0]->path);
    }
    if (files[1]->there) {
        self->clients = s_parse_clients(pcl_buffer_bytes(&files[1]->text), files[1]->path);
    }
    return (!files[0]->there || self->policy != NULL) &&
           (!files[1]->there || self->clients != NULL);
}

static const pcl_key_entry *s_find_client(const both *self, const char *name)
{
    for (size_t index = 0; self->clients != NULL && index < pcl_key_list_count(self->clients);
         index++) {
        const pcl_key_entry *entry = pcl_key_list_at(self->clients, index);
        if (strcmp(entry->name, name) == 0) {
            return entry;
        }
    }
    return NULL;
}

/* ---- writing ----------------------------------------------------------------------------- */

/* Are the texts that shall be there without mistakes, too?  false: said. */
static bool s_check(const both *self)
{
    const file *policy_file = &self->policy_file;
    const file *clients_file = &self->clients_file;
    if (policy_file->after.failed || clients_file->after.failed) {
        s_say("the file would be too large, or memory is out");
        return false;
    }
    bool good = true;
    if (policy_file->after.size > 0) {
        pcl_policy *policy = s_parse_policy(pcl_buffer_bytes(&policy_file->after),
                                            policy_file->path);
        good = policy != NULL;
        pcl_policy_destroy(&policy);
    }
    if (good && clients_file->after.size > 0) {
        pcl_key_list *clients = s_parse_clients(pcl_buffer_bytes(&clients_file->after),
                                                clients_file->path);
        good = clients != NULL;
        pcl_key_list_destroy(&clients);
    }
    if (!good) {
        s_say("nothing was changed");
    }
    return good;
}

static bool s_replace(const file *self, const char *what)
{
    char error[ERROR_SIZE];
    if (self->after.size == 0) {
        return true;
    }
    if (!pcl_policy_file_replace(self->path, pcl_buffer_bytes(&self->after), error, sizeof error)) {
        s_say(error);
        return false;
    }
    (void)fprintf(stderr, "%s ", what);
    pcl_command_put_text(stderr, self->path);
    (void)fputc('\n', stderr);
    return true;
}

static int s_replace_both(const both *self, const char *what)
{
    bool good = s_check(self) && s_replace(&self->policy_file, what) &&
                s_replace(&self->clients_file, what);
    return good ? PCL_EXIT_OK : PCL_EXIT_CONFIG;
}

/* ---- add --------------------------------------------------------------------------------- */

/* What is there already must be what is asked for; it is then left as it is.  false: said. */
static bool s_is_free(const both *self, const char *name, const char *role, const char *key)
{
    const pcl_policy_principal *principal = self->policy != NULL
                                                ? pcl_policy_find(self->policy,
                                                                  pcl_bytes_text(name))
                                                : NULL;
    const pcl_key_entry *client = s_find_client(self, name);
    if (principal != NULL &&
        (strcmp(principal->role->name, role) != 0 || strcmp(principal->public_key, key) != 0)) {
        s_say("the policy has a principal of that name, with another role or key: revoke it first");
        return false;
    }
    if (client != NULL && strcmp(client->public_key, key) != 0) {
        s_say("the key list has a client of that name, with another key: revoke it first");
        return false;
    }
    return true;
}

static bool s_has_role(const pcl_policy *policy, const char *name)
{
    for (uint32_t index = 0; index < pcl_policy_role_count(policy); index++) {
        if (strcmp(pcl_policy_role_at(policy, index)->name, name) == 0) {
            return true;
        }
    }
    return false;
}

static int s_add_key(both *self, const char *name, const char *role, const char *key)
{
    if (!s_is_free(self, name, role, key)) {
        return PCL_EXIT_REFUSED;
    }
    if (self->policy != NULL && pcl_policy_find(self->policy, pcl_bytes_text(name)) == NULL) {
        pcl_principals_add(&self->policy_file.after, pcl_buffer_bytes(&self->policy_file.text),
                           name, role, key);
    }
    if (self->clients != NULL && s_find_client(self, name) == NULL) {
        pcl_clients_add(&self->clients_file.after, pcl_buffer_bytes(&self->clients_file.text), name,
                        key);
    }
    int code = s_replace_both(self, "added to");
    if (code == PCL_EXIT_OK) {
        (void)printf("%s\n", key);
    }
    return code;
}

/* A name that can stand in both files, and in a path: that of the key that is made. */
static bool s_name_valid(const char *name)
{
    size_t size = strlen(name);
    return size > 0 && size < PCL_POLICY_NAME_SIZE && name[0] != '.' && name[0] != '-' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
               size;
}

static int s_add(both *self, const char *name)
{
    char error[ERROR_SIZE];
    char key[PCL_KEY_TEXT_SIZE];
    const char *given = pcl_cli_value(self->line, "public-key");
    const char *role = pcl_cli_value(self->line, "role");
    role = role != NULL ? role : "";
    if (self->policy != NULL && !s_has_role(self->policy, role)) {
        return pcl_command_usage(self->line, "name a role of the policy with --role");
    }
    if (given != NULL) {
        if (!pcl_command_public_key(given, key, error, sizeof error)) {
            s_say(error);
            return PCL_EXIT_CONFIG;
        }
        return s_add_key(self, name, role, key);
    }
    char made[PCL_POLICY_NAME_SIZE + 8];
    (void)snprintf(made, sizeof made, "%s.key", name);
    const char *key_file = pcl_cli_value(self->line, "key");
    pcl_keys keys;
    if (!pcl_command_own_keys(key_file != NULL ? key_file : made, &keys, error, sizeof error)) {
        s_say(error);
        return PCL_EXIT_CONFIG;
    }
    memcpy(key, keys.public_key, sizeof key);
    pcl_keys_wipe(&keys);
    return s_add_key(self, name, role, key);
}

/* ---- revoke and list --------------------------------------------------------------------- */

static int s_revoke(both *self, const char *name)
{
    bool found = false;
    if (self->policy != NULL) {
        found = pcl_principals_remove(&self->policy_file.after,
                                      pcl_buffer_bytes(&self->policy_file.text), name);
    }
    if (self->clients != NULL) {
        found = pcl_clients_remove(&self->clients_file.after,
                                   pcl_buffer_bytes(&self->clients_file.text), name) ||
                found;
        if (found && self->clients_file.after.size == 0 && s_find_client(self, name) != NULL) {
            /* An empty text would be taken for no change. */
            pcl_buffer_put(&self->clients_file.after, "# nobody\n", 9);
        }
    }
    if (!found) {
        s_say("nobody of that name is there");
        return PCL_EXIT_REFUSED;
    }
    return s_replace_both(self, "taken out of");
}

/* What does not fit together. */
static const char *s_note(const both *self, const pcl_policy_principal *principal,
                          const pcl_key_entry *client)
{
    if (self->policy != NULL && principal == NULL) {
        return "not in the policy";
    }
    if (self->clients != NULL && client == NULL) {
        return "not in the key list";
    }
    if (principal != NULL && principal->public_key[0] == '\0') {
        return "no key in the policy";
    }
    if (principal != NULL && client != NULL &&
        strcmp(principal->public_key, client->public_key) != 0) {
        return "the keys differ";
    }
    return "";
}

static void s_put_principal(const both *self, const char *name,
                            const pcl_policy_principal *principal, const pcl_key_entry *client)
{
    const char *key = client != NULL ? client->public_key : principal->public_key;
    (void)printf("%s\t%s\t%s\t%s\n", name, principal != NULL ? principal->role->name : "-",
                 key[0] != '\0' ? key : "-", s_note(self, principal, client));
}

static int s_list(const both *self)
{
    (void)printf("name\trole\tkey\tnote\n");
    uint32_t count = self->policy != NULL ? pcl_policy_principal_count(self->policy) : 0;
    for (uint32_t index = 0; index < count; index++) {
        const pcl_policy_principal *principal = pcl_policy_principal_at(self->policy, index);
        s_put_principal(self, principal->name, principal, s_find_client(self, principal->name));
    }
    size_t clients = self->clients != NULL ? pcl_key_list_count(self->clients) : 0;
    for (size_t index = 0; index < clients; index++) {
        const pcl_key_entry *client = pcl_key_list_at(self->clients, index);
        if (self->policy == NULL ||
            pcl_policy_find(self->policy, pcl_bytes_text(client->name)) == NULL) {
            s_put_principal(self, client->name, NULL, client);
        }
    }
    return fflush(stdout) == 0 ? PCL_EXIT_OK : PCL_EXIT_CONFIG;
}

/* ---- the command --------------------------------------------------------------------------- */

int pcl_command_principal(const pcl_cli_line *line)
{
    const char *action = line->operand_count > 0 ? line->operands[0] : "";
    const char *name = line->operand_count > 1 ? line->operands[1] : NULL;
    bool adds = strcmp(action, "add") == 0;
    bool revokes = strcmp(action, "revoke") == 0;
    if (!adds && !revokes && strcmp(action, "list") != 0) {
        return pcl_command_usage(line, "say what to do: add, list or revoke");
    }
    if ((adds || revokes) != (name != NULL)) {
        return pcl_command_usage(line, name == NULL ? "name the principal" : "list takes no name");
    }
    if (name != NULL && !s_name_valid(name)) {
        return pcl_command_usage(line, "a name must be 1 to 63 of A-Z a-z 0-9 . _ -, and begin "
                                       "with none of . -");
    }
    both self = {.line = line, .policy_file.lock_fd = -1, .clients_file.lock_fd = -1};
    int code = PCL_EXIT_CONFIG;
    if (s_open_both(&self, adds || revokes)) {
        code = adds ? s_add(&self, name) : revokes ? s_revoke(&self, name) : s_list(&self);
    }
    pcl_policy_destroy(&self.policy);
    pcl_key_list_destroy(&self.clients);
    s_close(&self.policy_file);
    s_close(&self.clients_file);
    return code;
}
