#include "net/config_check.h"

#include "net/address.h"
#include "net/file.h"
#include "net/keys.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PASSWORD_FILE_SIZE_MAX = 1024,
    SECRET_LINES_MAX = 3,    /* of now, and before */
    IPC_PATH_SIZE_MAX = 107, /* what fits a sockaddr_un */
};

#define ALPHANUMERIC "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

static bool s_fail(char *rule, size_t rule_size, const char *text)
{
    snprintf(rule, rule_size, "%s", text);
    return false;
}

static bool s_parse_uint(const char *text, uint64_t *out_value)
{
    size_t size = strlen(text);
    if (size == 0 || size > 19 || strspn(text, "0123456789") != size) {
        return false;
    }
    *out_value = strtoull(text, NULL, 10);
    return true;
}

static bool s_check_uint(const pcl_config_entry *entry, const char *text, char *rule,
                         size_t rule_size)
{
    uint64_t value = 0;
    if (s_parse_uint(text, &value) && value >= entry->min && value <= entry->max) {
        return true;
    }
    snprintf(rule, rule_size, "must be a number from %" PRIu64 " to %" PRIu64, entry->min,
             entry->max);
    return false;
}

static bool s_check_text(const pcl_config_entry *entry, const char *text, char *rule,
                         size_t rule_size)
{
    size_t size = strlen(text);
    if (size < entry->min || size > entry->max) {
        snprintf(rule, rule_size, "must be a text of %" PRIu64 " to %" PRIu64 " octets", entry->min,
                 entry->max);
        return false;
    }
    for (size_t index = 0; index < size; index++) {
        if ((unsigned char)text[index] < 0x20 || text[index] == 0x7f) {
            return s_fail(rule, rule_size, "must not hold control characters");
        }
    }
    return true;
}

static bool s_is_choice(const char *choices, const char *text)
{
    size_t size = strlen(text);
    for (const char *cursor = choices; size > 0; cursor++) {
        size_t length = strcspn(cursor, "|");
        if (length == size && strncmp(cursor, text, size) == 0) {
            return true;
        }
        cursor += length;
        if (*cursor == '\0') {
            break;
        }
    }
    return false;
}

static bool s_check_choice(const pcl_config_entry *entry, const char *text, char *rule,
                           size_t rule_size)
{
    if (s_is_choice(entry->choices, text)) {
        return true;
    }
    snprintf(rule, rule_size, "must be one of %s", entry->choices);
    return false;
}

/* A name, an address, an interface, * or [IPv6]. */
static bool s_is_host(const char *text, size_t size)
{
    if (size > 2 && text[0] == '[' && text[size - 1] == ']') {
        const char *const inner = text + 1;
        return memchr(inner, ':', size - 2) != NULL &&
               strspn(inner, ALPHANUMERIC ":.%") == size - 2;
    }
    return (size == 1 && text[0] == '*') || (size > 0 && strspn(text, ALPHANUMERIC "-._") == size);
}

static bool s_is_endpoint(const char *text)
{
    if (strncmp(text, "ipc://", 6) == 0) {
        return text[6] != '\0' && strlen(text + 6) <= IPC_PATH_SIZE_MAX;
    }
    if (strncmp(text, "inproc://", 9) == 0) {
        return text[9] != '\0';
    }
    const char *colon = strrchr(text, ':');
    uint64_t port = 0;
    return strncmp(text, "tcp://", 6) == 0 && colon > text + 6 &&
           s_is_host(text + 6, (size_t)(colon - text) - 6) && s_parse_uint(colon + 1, &port) &&
           port >= 1 && port <= 65535;
}

static bool s_check_address(const char *text, char *rule, size_t rule_size)
{
    pcl_address address;
    const char *fault = pcl_address_parse(&address, text);
    if (fault == NULL && !pcl_address_is_private(&address)) {
        fault = "must be a loopback or private address";
    }
    return fault == NULL || s_fail(rule, rule_size, fault);
}

/* Lines of 1 to so many octets, as many as a secret and those before it can be. */
static bool s_are_secret_lines(const pcl_buffer *text)
{
    size_t size = text->size;
    uint32_t lines = 1;
    size_t line_size = 0;
    while (size > 0 && (text->data[size - 1] == '\n' || text->data[size - 1] == '\r')) {
        size--;
    }
    for (size_t index = 0; index < size; index++) {
        bool ends = text->data[index] == '\n';
        if (ends && line_size == 0) {
            return false;
        }
        lines += ends ? 1 : 0;
        line_size = ends ? 0 : line_size + 1;
        if (line_size > PCL_CONFIG_SECRET_SIZE_MAX) {
            return false;
        }
    }
    return line_size > 0 && lines <= SECRET_LINES_MAX;
}

static bool s_check_secret_file(const char *file, char *rule, size_t rule_size)
{
    pcl_buffer text;
    pcl_buffer_init(&text, PASSWORD_FILE_SIZE_MAX);
    bool fine = pcl_file_read(&text, file, PCL_FILE_SECRET, rule, rule_size);
    if (fine && !s_are_secret_lines(&text)) {
        snprintf(rule, rule_size,
                 "%s: must hold one line with the secret, of 1 to %u octets, and at most %u more "
                 "with those before it",
                 file, PCL_CONFIG_SECRET_SIZE_MAX, SECRET_LINES_MAX - 1);
        fine = false;
    }
    pcl_file_wipe(&text);
    return fine;
}

static bool s_check_secret_key(const char *file, char *rule, size_t rule_size)
{
    pcl_keys keys;
    if (!pcl_keys_load(&keys, file, rule, rule_size)) {
        return false;
    }
    pcl_keys_wipe(&keys);
    return true;
}

static bool s_check_key_list(const char *file, char *rule, size_t rule_size)
{
    pcl_key_list *list = pcl_key_list_load(file, rule, rule_size);
    bool fine = list != NULL;
    pcl_key_list_destroy(&list);
    return fine;
}

bool pcl_config_check(const pcl_config_entry *entry, const char *text, bool look_at_files,
                      char *rule, size_t rule_size)
{
    assert(entry != NULL && text != NULL && rule != NULL);
    bool may_be_empty = entry->default_text != NULL && entry->default_text[0] == '\0';
    bool by_value = entry->type == PCL_CONFIG_BOOL || entry->type == PCL_CONFIG_UINT ||
                    entry->type == PCL_CONFIG_TEXT || entry->type == PCL_CONFIG_CHOICE;
    if (text[0] == '\0' && !by_value) {
        return may_be_empty || s_fail(rule, rule_size, "must not be empty");
    }
    switch (entry->type) {
    case PCL_CONFIG_BOOL:
        return strcmp(text, "0") == 0 || strcmp(text, "1") == 0 ||
               s_fail(rule, rule_size, "must be 0 or 1");
    case PCL_CONFIG_UINT:
        return s_check_uint(entry, text, rule, rule_size);
    case PCL_CONFIG_TEXT:
        return s_check_text(entry, text, rule, rule_size);
    case PCL_CONFIG_CHOICE:
        return s_check_choice(entry, text, rule, rule_size);
    case PCL_CONFIG_ENDPOINT:
        return s_is_endpoint(text) ||
               s_fail(rule, rule_size,
                      "must be tcp://HOST:PORT, with a port from 1 to 65535, ipc://PATH, of at "
                      "most 107 octets, or inproc://NAME");
    case PCL_CONFIG_ADDRESS:
        return s_check_address(text, rule, rule_size);
    case PCL_CONFIG_PUBLIC_KEY:
        return pcl_key_valid(text) ||
               s_fail(rule, rule_size, "must be a public key, 40 characters of Z85 in quotes");
    case PCL_CONFIG_SECRET_KEY:
        return !look_at_files || s_check_secret_key(text, rule, rule_size);
    case PCL_CONFIG_KEY_LIST:
        return !look_at_files || s_check_key_list(text, rule, rule_size);
    case PCL_CONFIG_SECRET_FILE:
        return !look_at_files || s_check_secret_file(text, rule, rule_size);
    case PCL_CONFIG_PATH:
        return true;
    }
    return s_fail(rule, rule_size, "is of no known type"); /* a bug in the table */
}

void pcl_config_rule(const pcl_config_entry *entry, char *rule, size_t rule_size)
{
    static const char *const KINDS[] = {
        [PCL_CONFIG_BOOL] = "0 or 1",
        [PCL_CONFIG_UINT] = "number",
        [PCL_CONFIG_TEXT] = "text",
        [PCL_CONFIG_CHOICE] = "one of",
        [PCL_CONFIG_ENDPOINT] = "tcp://HOST:PORT, ipc://PATH or inproc://NAME",
        [PCL_CONFIG_ADDRESS] = "HOST:PORT, loopback or private",
        [PCL_CONFIG_PUBLIC_KEY] = "public key, 40 characters of Z85",
        [PCL_CONFIG_SECRET_KEY] = "path of a key file made by portcullis keygen",
        [PCL_CONFIG_KEY_LIST] = "path of a key list, lines of NAME PUBLIC-KEY [ROLE]",
        [PCL_CONFIG_SECRET_FILE] = "path of a file with one password, readable by its owner only",
        [PCL_CONFIG_PATH] = "path",
    };
    assert(entry != NULL && rule != NULL);
    char bounds[80] = "";
    if (entry->type == PCL_CONFIG_UINT) {
        snprintf(bounds, sizeof bounds, ", %" PRIu64 " to %" PRIu64, entry->min, entry->max);
    } else if (entry->type == PCL_CONFIG_TEXT) {
        snprintf(bounds, sizeof bounds, " of %" PRIu64 " to %" PRIu64 " octets", entry->min,
                 entry->max);
    } else if (entry->type == PCL_CONFIG_CHOICE) {
        snprintf(bounds, sizeof bounds, " %s", entry->choices);
    }
    const char *text = entry->default_text;
    snprintf(rule, rule_size, "%s%s%s%s", KINDS[entry->type], bounds,
             text == NULL      ? "; must be given"
             : text[0] == '\0' ? "; default: none"
                               : "; default: ",
             text == NULL ? "" : text);
}
