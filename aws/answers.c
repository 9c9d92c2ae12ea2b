#include "aws/answers.h"

#include "aws/json_read.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#define PAUSE_MS_MIN 200u

static bool s_is_alnum(uint8_t octet)
{
    uint8_t letter = octet | 0x20;
    return (octet >= '0' && octet <= '9') || (letter >= 'a' && letter <= 'z');
}

/* others: what there may be beside letters and digits. */
static bool s_take_word(pcl_bytes answer, const char *others, char target[PCL_AWS_WORD_SIZE])
{
    size_t size = answer.size;
    if (size > 0 && answer.data[size - 1] == '\n') {
        size--;
    }
    if (size == 0 || size >= PCL_AWS_WORD_SIZE) {
        return false;
    }
    for (size_t index = 0; index < size; index++) {
        uint8_t octet = answer.data[index];
        if (octet == '\0' || (!s_is_alnum(octet) && strchr(others, octet) == NULL)) {
            return false;
        }
    }
    pcl_bytes_to_text(pcl_bytes_of(answer.data, size), target, PCL_AWS_WORD_SIZE);
    return true;
}

bool pcl_aws_word(pcl_bytes answer, char target[PCL_AWS_WORD_SIZE])
{
    return s_take_word(answer, "-.:_/", target);
}

bool pcl_aws_role_name(pcl_bytes answer, char target[PCL_AWS_WORD_SIZE])
{
    return s_take_word(answer, "-._+=,@", target);
}

/* --- Credentials and notices -------------------------------------------------------- */

static bool s_text(pcl_bytes answer, const char *name, char *target, size_t size)
{
    return pcl_json_find_text(answer, name, target, size);
}

/* A word: what goes into a log line or a header. */
static bool s_word(pcl_bytes answer, const char *name, char target[PCL_AWS_WORD_SIZE])
{
    char text[PCL_AWS_WORD_SIZE];
    return s_text(answer, name, text, sizeof text) && pcl_aws_word(pcl_bytes_text(text), target);
}

bool pcl_aws_read_credentials(pcl_bytes answer, pcl_aws_credentials *out_credentials)
{
    pcl_aws_credentials read = {.token = ""};
    char text[PCL_AWS_WORD_SIZE] = "";
    bool fine = pcl_json_is_object(answer) &&
                (!s_word(answer, "Code", text) || strcmp(text, "Success") == 0) &&
                s_text(answer, "AccessKeyId", read.access_key, sizeof read.access_key) &&
                s_text(answer, "SecretAccessKey", read.secret_key, sizeof read.secret_key) &&
                s_text(answer, "Token", read.token, sizeof read.token) &&
                s_text(answer, "Expiration", text, sizeof text) &&
                pcl_aws_time(text, &read.expires_s) && read.access_key[0] != '\0' &&
                read.secret_key[0] != '\0';
    if (fine) {
        *out_credentials = read;
    }
    sodium_memzero(&read, sizeof read);
    return fine;
}

bool pcl_aws_credentials_age(const pcl_aws_credentials *self, uint64_t wall_s)
{
    return self->expires_s != 0 && wall_s + PCL_AWS_REFRESH_AHEAD_S >= self->expires_s;
}

bool pcl_aws_credentials_expired(const pcl_aws_credentials *self, uint64_t wall_s)
{
    return self->expires_s != 0 && wall_s >= self->expires_s;
}

bool pcl_aws_read_notice(pcl_bytes answer, pcl_aws_notice *out_notice)
{
    pcl_aws_notice read = {.at_s = 0};
    char text[PCL_AWS_WORD_SIZE];
    if (!pcl_json_is_object(answer) || !s_word(answer, "action", read.action)) {
        return false;
    }
    if (!s_text(answer, "time", text, sizeof text) || !pcl_aws_time(text, &read.at_s)) {
        read.at_s = 0; /* that it ends counts, not when */
    }
    *out_notice = read;
    return true;
}

/* --- Secrets -------------------------------------------------------------------------- */

bool pcl_secret_of_answer(pcl_bytes answer, pcl_buffer *value, char version[PCL_AWS_WORD_SIZE])
{
    pcl_bytes text;
    char read[PCL_AWS_WORD_SIZE] = "";
    if (!pcl_json_is_object(answer) || !pcl_json_find(answer, "SecretString", &text) ||
        !pcl_json_text(text, value)) {
        return false;
    }
    if (!s_word(answer, "VersionId", read)) {
        read[0] = '\0'; /* it is only told */
    }
    pcl_bytes_to_text(pcl_bytes_text(read), version, PCL_AWS_WORD_SIZE);
    return true;
}

static bool s_is_file_name(pcl_bytes name)
{
    if (name.size == 0 || name.size >= PCL_SECRET_NAME_SIZE || name.data[0] == '.') {
        return false;
    }
    for (size_t index = 0; index < name.size; index++) {
        uint8_t octet = name.data[index];
        if (!s_is_alnum(octet) && octet != '.' && octet != '-' && octet != '_') {
            return false;
        }
    }
    return true;
}

static bool s_is_there(const pcl_secret *secret, pcl_bytes name)
{
    for (uint32_t index = 0; index < secret->count; index++) {
        if (pcl_bytes_is(name, secret->files[index].name)) {
            return true;
        }
    }
    return false;
}

static const char *s_read_file(pcl_bytes key, pcl_bytes content, pcl_buffer *octets,
                               pcl_secret *secret)
{
    pcl_bytes name = pcl_bytes_of(key.data + 1, key.size - 2);
    if (!s_is_file_name(name)) {
        return "the secret has a file name that is none";
    }
    if (s_is_there(secret, name)) {
        return "the secret has a file twice";
    }
    if (secret->count == PCL_SECRET_FILES_MAX) {
        return "the secret has too many files";
    }
    size_t offset = octets->size;
    if (!pcl_json_text(content, octets)) {
        return "the content of a file is no text, or is too large";
    }
    pcl_secret_file *file = &secret->files[secret->count++];
    pcl_bytes_to_text(name, file->name, sizeof file->name);
    file->offset = offset;
    file->size = octets->size - offset;
    return NULL;
}

const char *pcl_secret_read(pcl_bytes value, pcl_buffer *octets, pcl_secret *out_secret)
{
    assert(octets != NULL && out_secret != NULL);
    pcl_bytes files;
    pcl_bytes key;
    pcl_bytes content;
    const uint8_t *cursor = NULL;
    pcl_secret secret = {.count = 0};
    if (!pcl_json_is_object(value) || !pcl_json_find(value, "files", &files) ||
        !pcl_json_is_object(files)) {
        return "the secret is not of the form {\"files\": {\"NAME\": \"CONTENT\"}}";
    }
    while (pcl_json_each(files, &cursor, &key, &content)) {
        const char *fault = s_read_file(key, content, octets, &secret);
        if (fault != NULL) {
            return fault;
        }
    }
    if (secret.count == 0) {
        return "the secret has no file";
    }
    *out_secret = secret;
    return NULL;
}

/* "com.amazonaws.secretsmanager#ThrottlingException" in some services' words. */
void pcl_aws_error_type(pcl_bytes answer, char target[PCL_AWS_WORD_SIZE])
{
    char text[2 * PCL_AWS_WORD_SIZE];
    target[0] = '\0';
    if (pcl_json_is_object(answer) && s_text(answer, "__type", text, sizeof text)) {
        const char *hash = strrchr(text, '#');
        if (!pcl_aws_word(pcl_bytes_text(hash != NULL ? hash + 1 : text), target)) {
            target[0] = '\0';
        }
    }
}

bool pcl_aws_error_is_of_credentials(const char *type)
{
    static const char *const TYPES[] = {"ExpiredTokenException",       "ExpiredToken",
                                        "UnrecognizedClientException", "InvalidSignatureException",
                                        "InvalidClientTokenId",        "RequestExpired"};
    for (size_t index = 0; index < sizeof TYPES / sizeof TYPES[0]; index++) {
        if (strcmp(type, TYPES[index]) == 0) {
            return true;
        }
    }
    return false;
}

/* --- Waiting -------------------------------------------------------------------------- */

uint32_t pcl_aws_pause_ms(uint32_t failures, pcl_rng *rng)
{
    uint32_t pause_ms = PAUSE_MS_MIN;
    for (uint32_t turn = 1; turn < failures && pause_ms < PCL_AWS_PAUSE_MS_MAX; turn++) {
        pause_ms *= 2;
    }
    pause_ms = pause_ms < PCL_AWS_PAUSE_MS_MAX ? pause_ms : PCL_AWS_PAUSE_MS_MAX;
    return pause_ms / 2 + pcl_rng_below(rng, pause_ms / 2 + 1);
}

uint32_t pcl_aws_jitter_ms(uint32_t interval_ms, pcl_rng *rng)
{
    uint32_t tenth_ms = interval_ms / 10;
    return interval_ms - tenth_ms + pcl_rng_below(rng, 2 * tenth_ms + 1);
}
