#include "worker-agent/options.h"

#include "net/config_check.h"
#include "net/file.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PASSWORD_FILE_SIZE_MAX 1024u
#define FOLDER_SIZE            4096u
#define SPARES_OF_SESSIONS     32u

static void s_copy(char *target, size_t size, const char *source)
{
    (void)snprintf(target, size, "%s", source); /* the table bounds the texts */
}

/* A line of a file's text, without its end; "" where there is none.  Returns what is behind it. */
static size_t s_line(const pcl_buffer *text, size_t at, char target[PCL_PASSWORD_SIZE],
                     size_t *out_size)
{
    size_t end = at;
    while (end < text->size && strchr("\r\n", text->data[end]) == NULL) {
        end++; /* a NUL ends it, too */
    }
    *out_size = end - at;
    size_t kept = *out_size <= PCL_CONFIG_SECRET_SIZE_MAX ? *out_size : 0;
    if (kept > 0) {
        memcpy(target, text->data + at, kept);
    }
    target[kept] = '\0';
    while (end < text->size && (text->data[end] == '\r' || text->data[end] == '\n')) {
        end++;
    }
    return end;
}

/* The first line of a file is the password, a second one what it was before.  An empty path is no
 * password. */
static bool s_password(pcl_password *out_password, const char *path, char *error, size_t error_size)
{
    if (path[0] == '\0') {
        return true;
    }
    pcl_buffer text;
    size_t size = 0;
    size_t size_before = 0;
    size_t end = 0;
    pcl_buffer_init(&text, PASSWORD_FILE_SIZE_MAX);
    bool read = pcl_file_read(&text, path, PCL_FILE_SECRET, error, error_size);
    if (read) {
        size_t next = s_line(&text, 0, out_password->now, &size);
        end = s_line(&text, next, out_password->before, &size_before);
    }
    if (read && (size == 0 || size > PCL_CONFIG_SECRET_SIZE_MAX ||
                 size_before > PCL_CONFIG_SECRET_SIZE_MAX)) {
        (void)snprintf(error, error_size, "%s: must hold a line of 1 to %u characters", path,
                       PCL_CONFIG_SECRET_SIZE_MAX);
        read = false;
    }
    if (read && end < text.size) {
        (void)snprintf(error, error_size, "%s: must hold one line, or two: the password before",
                       path);
        read = false;
    }
    pcl_file_wipe(&text);
    return read;
}

static bool s_secrets(const pcl_agent_options *options, pcl_keyring_content *content, char *error,
                      size_t error_size)
{
    pcl_keyring_content read = {.count = pcl_place_of(options->accounts->count, false)};
    read.passwords = calloc(read.count, sizeof *read.passwords);
    assert(read.passwords != NULL);
    bool ok = s_password(&read.passwords[PCL_PLACE_ADMIN], options->admin_password_file, error,
                         error_size) &&
              s_password(&read.passwords[PCL_PLACE_REPLICATION], options->replication_password_file,
                         error, error_size) &&
              pcl_token_keys_load(&read.tokens, options->tokens_key_file, error, error_size);
    for (uint32_t index = 0; index < options->accounts->count && ok; index++) {
        const pcl_accounts *item = &options->accounts->items[index];
        ok = s_password(&read.passwords[pcl_place_of(index, false)], item->read_password_file,
                        error, error_size) &&
             s_password(&read.passwords[pcl_place_of(index, true)], item->write_password_file,
                        error, error_size);
    }
    if (!ok) {
        pcl_keyring_content_wipe(&read);
        return false;
    }
    *content = read;
    return true;
}

/* --- Accounts ------------------------------------------------------------------- */

/* The settings' own; their files are checked with the settings. */
static void s_add_own(pcl_accounts_list *list, const pcl_config *config, pcl_buffer *problems)
{
    const char *read_file = pcl_config_text(config, "accounts/read_password_file");
    const char *write_file = pcl_config_text(config, "accounts/write_password_file");
    pcl_bytes name = pcl_bytes_text(pcl_config_text(config, "accounts/name"));
    const char *schemas = pcl_config_text(config, "database/schemas");
    if (name.size == 0 || name.size > PCL_NAME_SIZE_MAX || strlen(schemas) >= PCL_SCHEMAS_SIZE) {
        return; /* said by the table */
    }
    if (strlen(read_file) >= PCL_PASSWORD_PATH_SIZE ||
        strlen(write_file) >= PCL_PASSWORD_PATH_SIZE) {
        pcl_config_problem(config, problems, "accounts/read_password_file",
                           "it and accounts/write_password_file must be paths of at most %u octets",
                           PCL_PASSWORD_PATH_SIZE - 1);
        return;
    }
    pcl_accounts *own = pcl_accounts_list_add(list, name, schemas);
    s_copy(own->read_user, sizeof own->read_user, PCL_USER_READ);
    s_copy(own->write_user, sizeof own->write_user, PCL_USER_WRITE);
    s_copy(own->read_password_file, sizeof own->read_password_file, read_file);
    s_copy(own->write_password_file, sizeof own->write_password_file, write_file);
}

/* Makes the path complete: a relative one starts from the folder of the file that names it. */
static void s_check_password_file(char path[PCL_PASSWORD_PATH_SIZE], const pcl_config *config,
                                  const char *file, pcl_buffer *problems)
{
    static const pcl_config_entry ENTRY = {.type = PCL_CONFIG_SECRET_FILE};
    char rule[PCL_ERROR_TEXT_SIZE];
    char named[PCL_PASSWORD_PATH_SIZE];
    char folder[FOLDER_SIZE] = "";
    const char *slash = strrchr(file, '/');
    size_t size = slash != NULL ? (size_t)(slash - file) : 0;
    s_copy(named, sizeof named, path);
    if (size < sizeof folder) {
        memcpy(folder, file, size);
        folder[size] = '\0';
    }
    if (!pcl_file_locate(path, PCL_PASSWORD_PATH_SIZE, size > 0 ? folder : "/", named, rule,
                         sizeof rule) ||
        !pcl_config_check(&ENTRY, path, true, rule, sizeof rule)) {
        pcl_config_problem(config, problems, "accounts/file", "%s", rule);
    }
}

static void s_add_others(pcl_accounts_list *list, const pcl_config *config, pcl_buffer *problems)
{
    const char *file = pcl_config_text(config, "accounts/file");
    uint32_t own_count = list->count;
    char error[PCL_ERROR_TEXT_SIZE];
    pcl_buffer text;
    pcl_buffer_init(&text, PCL_ACCOUNTS_FILE_SIZE_MAX);
    pcl_accounts_rules rules = {
        .file = file,
        .schemas = own_count > 0 ? list->items[0].schemas : "",
        .admin_user = pcl_config_text(config, "database/admin_user"),
    };
    if (!pcl_file_read(&text, file, PCL_FILE_PUBLIC, error, sizeof error)) {
        pcl_config_problem(config, problems, "accounts/file", "%s", error);
    } else if (pcl_accounts_parse(list, pcl_buffer_bytes(&text), &rules, problems)) {
        for (uint32_t index = own_count; index < list->count; index++) {
            pcl_accounts *item = &list->items[index];
            s_check_password_file(item->read_password_file, config, file, problems);
            s_check_password_file(item->write_password_file, config, file, problems);
        }
    }
    pcl_buffer_release(&text);
}

pcl_accounts_list *pcl_agent_accounts_read(const pcl_config *config, pcl_buffer *problems)
{
    pcl_accounts_list *list = pcl_accounts_list_new();
    size_t size = problems->size;
    s_add_own(list, config, problems);
    if (pcl_config_text(config, "accounts/file")[0] != '\0') {
        s_add_others(list, config, problems);
    }
    if (problems->size != size || problems->failed || list->count == 0) {
        pcl_accounts_list_destroy(&list);
    }
    return list;
}

/* --- The whole ------------------------------------------------------------------- */

static pcl_held_limits s_limits(const pcl_config *config, bool sessions)
{
    const char *count_max = sessions ? "sessions/max" : "cursors/max";
    const char *principal_max = sessions ? "sessions/principal_max" : "cursors/principal_max";
    const char *idle_ms = sessions ? "sessions/idle_ms" : "cursors/idle_ms";
    const char *age_ms = sessions ? "sessions/age_ms" : "cursors/age_ms";
    return (pcl_held_limits){
        .count_max = (uint32_t)pcl_config_uint(config, count_max),
        .principal_count_max = (uint32_t)pcl_config_uint(config, principal_max),
        .idle_ms = (uint32_t)pcl_config_uint(config, idle_ms),
        .age_ms = (uint32_t)pcl_config_uint(config, age_ms),
    };
}

/* The file may have changed since the settings were checked. */
static bool s_accounts(pcl_agent_options *options, const pcl_config *config, char *error,
                       size_t error_size)
{
    pcl_buffer problems;
    pcl_buffer_init(&problems, PCL_ERROR_TEXT_SIZE);
    options->accounts = pcl_agent_accounts_read(config, &problems);
    if (options->accounts == NULL) {
        (void)snprintf(error, error_size, "%.*s", (int)problems.size,
                       problems.size > 0 ? (const char *)problems.data : "");
    }
    pcl_buffer_release(&problems);
    return options->accounts != NULL;
}

/* Where the settings say that the files are. */
static bool s_place_files(pcl_agent_options *options, const pcl_config *config, char *error,
                          size_t error_size)
{
    pcl_accounts *own = &options->accounts->items[0];
    const struct {
        const char *setting;
        char *place;
    } FILES[] = {
        {"database/admin_password_file", options->admin_password_file},
        {"accounts/replication_password_file", options->replication_password_file},
        {"tokens/key_file", options->tokens_key_file},
        {"accounts/read_password_file", own->read_password_file},
        {"accounts/write_password_file", own->write_password_file},
    };
    for (size_t index = 0; index < sizeof FILES / sizeof FILES[0]; index++) {
        if (strlen(pcl_config_text(config, FILES[index].setting)) >= PCL_PASSWORD_PATH_SIZE) {
            (void)snprintf(error, error_size, "%s: must be a path of at most %u octets",
                           FILES[index].setting, PCL_PASSWORD_PATH_SIZE - 1);
            return false;
        }
    }
    for (size_t index = 0; index < sizeof FILES / sizeof FILES[0]; index++) {
        s_copy(FILES[index].place, PCL_PASSWORD_PATH_SIZE,
               pcl_config_text(config, FILES[index].setting));
    }
    return true;
}

bool pcl_agent_options_renew(pcl_agent_options *self, const pcl_config *config, bool *out_changed,
                             char *error, size_t error_size)
{
    pcl_keyring_content content = {.count = 0};
    if ((config != NULL && !s_place_files(self, config, error, error_size)) ||
        !s_secrets(self, &content, error, error_size)) {
        return false;
    }
    *out_changed = pcl_keyring_renew(self->keyring, &content);
    return true;
}

bool pcl_agent_options_read(pcl_agent_options *out_options, const pcl_config *config, char *error,
                            size_t error_size)
{
    pcl_agent_options options = {
        .role = strcmp(pcl_config_text(config, "node/role"), "source") == 0 ? PCL_NODE_SOURCE
                                                                            : PCL_NODE_REPLICA,
        .port = (uint16_t)pcl_config_uint(config, "database/port"),
        .source_port = (uint16_t)pcl_config_uint(config, "replication/source_port"),
        .semi_sync = pcl_config_bool(config, "replication/semi_sync"),
        .threads = (uint32_t)pcl_config_uint(config, "pool/threads"),
        .queue_max = (uint32_t)pcl_config_uint(config, "pool/queue_max"),
        .statements_max = (uint32_t)pcl_config_uint(config, "pool/statements_max"),
        .idle_ms = (uint32_t)pcl_config_uint(config, "pool/idle_ms"),
        .sessions = s_limits(config, true),
        .cursors = s_limits(config, false),
        .line_max = (uint32_t)pcl_config_uint(config, "sessions/queue_max"),
    };
    const char *socket = pcl_config_text(config, "database/socket");
    if (strlen(socket) >= PCL_SOCKET_SIZE) {
        (void)snprintf(error, error_size, "database/socket: must be under %u characters",
                       PCL_SOCKET_SIZE);
        return false;
    }
    s_copy(options.socket, sizeof options.socket, socket);
    s_copy(options.node, sizeof options.node, pcl_config_text(config, "node/name"));
    s_copy(options.host, sizeof options.host, pcl_config_text(config, "database/host"));
    s_copy(options.admin_user, sizeof options.admin_user,
           pcl_config_text(config, "database/admin_user"));
    s_copy(options.source_host, sizeof options.source_host,
           pcl_config_text(config, "replication/source_host"));
    if (options.role == PCL_NODE_REPLICA && options.source_host[0] == '\0') {
        (void)snprintf(error, error_size, "replication/source_host: a replica must have one");
        return false;
    }
    pcl_keyring_content content = {.count = 0};
    bool ok = s_accounts(&options, config, error, error_size) &&
              s_place_files(&options, config, error, error_size) &&
              s_secrets(&options, &content, error, error_size);
    if (ok) {
        options.keyring = pcl_keyring_new(&content);
        *out_options = options;
        options.accounts = NULL; /* theirs now */
        options.keyring = NULL;
    }
    pcl_agent_options_wipe(&options);
    return ok;
}

uint32_t pcl_threads_first(const pcl_agent_options *options)
{
    return options->threads >= 4 ? options->threads / 4 : 1;
}

uint32_t pcl_spares_max(const pcl_agent_options *options)
{
    return 2 * options->threads + SPARES_OF_SESSIONS;
}

void pcl_agent_options_wipe(pcl_agent_options *self)
{
    pcl_accounts_list_destroy(&self->accounts);
    pcl_keyring_destroy(&self->keyring);
    *self = (pcl_agent_options){.accounts = NULL};
}
