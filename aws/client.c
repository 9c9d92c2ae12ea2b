#include "aws/client.h"

#include "aws/fetch.h"
#include "common/clock.h"
#include "net/file.h"
#include "net/time.h"

#include <assert.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_SIZE       256u
#define TOKEN_TTL_S      21600u
#define TOKEN_TTL_TEXT   "21600"
#define TOKEN_AHEAD_S    60u
#define METADATA         "/latest/meta-data/"
#define ROLE_PATH        "iam/security-credentials/"
#define SERVICE          "secretsmanager"
#define STATUS_OK        200u
#define STATUS_UNKNOWN   401u
#define STATUS_NOT_FOUND 404u

struct pcl_aws_client {
    pcl_fetcher *fetcher;
    char metadata_url[PCL_AWS_URL_SIZE];
    char secrets_url[PCL_AWS_URL_SIZE]; /* "": by the region */
    char region[PCL_AWS_WORD_SIZE];     /* "": not known yet */
    uint32_t timeout_ms;
    char token[TOKEN_SIZE]; /* of the metadata service; "": none */
    uint64_t token_end_us;  /* by the clock of pcl_now_us */
    pcl_aws_credentials credentials;
    bool has_credentials;
};

/* --- Life ------------------------------------------------------------------------ */

const char *pcl_aws_url_fault(const char *url)
{
    static const char WHY[] = "must be http:// or https://, and a host, without a path behind it";
    const char *host = strncmp(url, "http://", 7) == 0    ? url + 7
                       : strncmp(url, "https://", 8) == 0 ? url + 8
                                                          : "";
    if (host[0] == '\0' || strlen(url) >= PCL_AWS_URL_SIZE) {
        return WHY;
    }
    for (; *host != '\0'; host++) {
        bool fine = (*host >= 'a' && *host <= 'z') || (*host >= 'A' && *host <= 'Z') ||
                    (*host >= '0' && *host <= '9') || strchr("-._:[]", *host) != NULL;
        if (!fine) {
            return WHY;
        }
    }
    return NULL;
}

pcl_aws_client *pcl_aws_client_new(const pcl_aws_options *options)
{
    assert(options != NULL && options->timeout_ms > 0);
    pcl_aws_client *self = calloc(1, sizeof *self);
    assert(self != NULL);
    const char *metadata_url = options->metadata_url;
    (void)snprintf(self->metadata_url, sizeof self->metadata_url, "%s",
                   metadata_url[0] != '\0' ? metadata_url : PCL_AWS_METADATA_URL);
    (void)snprintf(self->secrets_url, sizeof self->secrets_url, "%s", options->secrets_url);
    (void)snprintf(self->region, sizeof self->region, "%s", options->region);
    self->timeout_ms = options->timeout_ms;
    self->fetcher = pcl_fetcher_new();
    return self;
}

void pcl_aws_client_destroy(pcl_aws_client **self_p)
{
    assert(self_p != NULL);
    pcl_aws_client *self = *self_p;
    if (self != NULL) {
        pcl_fetcher_destroy(&self->fetcher);
        sodium_memzero(self, sizeof *self);
        free(self);
        *self_p = NULL;
    }
}

void pcl_aws_client_stop(pcl_aws_client *self)
{
    pcl_fetcher_stop(self->fetcher);
}

static void s_say(char error[PCL_AWS_ERROR_SIZE], const char *who, uint32_t status,
                  const char *what)
{
    if (status == 0) {
        (void)snprintf(error, PCL_AWS_ERROR_SIZE, "%s: %.200s", who, what);
    } else {
        (void)snprintf(error, PCL_AWS_ERROR_SIZE, "%s: HTTP status %" PRIu32 "%s%.128s", who,
                       status, what[0] != '\0' ? ", " : "", what);
    }
}

/* --- The metadata service ---------------------------------------------------------- */

/* What may stand in a header's line. */
static bool s_take_token(pcl_aws_client *self, pcl_bytes answer)
{
    if (answer.size == 0 || answer.size >= sizeof self->token) {
        return false;
    }
    for (size_t index = 0; index < answer.size; index++) {
        if (answer.data[index] <= ' ' || answer.data[index] > '~') {
            return false;
        }
    }
    pcl_bytes_to_text(answer, self->token, sizeof self->token);
    self->token_end_us = pcl_now_us() + (TOKEN_TTL_S - TOKEN_AHEAD_S) * PCL_US_PER_S;
    return true;
}

static bool s_renew_token(pcl_aws_client *self, pcl_buffer *answer, char error[PCL_AWS_ERROR_SIZE])
{
    static const pcl_aws_header HEADERS[] = {
        {"x-aws-ec2-metadata-token-ttl-seconds", TOKEN_TTL_TEXT}};
    char url[PCL_AWS_URL_SIZE + 32];
    char why[PCL_AWS_ERROR_SIZE] = "";
    (void)snprintf(url, sizeof url, "%s/latest/api/token", self->metadata_url);
    pcl_fetch fetch = {.method = "PUT",
                       .url = url,
                       .headers = HEADERS,
                       .header_count = 1,
                       .timeout_ms = self->timeout_ms};
    uint32_t status = pcl_fetcher_run(self->fetcher, &fetch, answer, why, sizeof why);
    if (status == STATUS_OK && s_take_token(self, pcl_buffer_bytes(answer))) {
        return true;
    }
    s_say(error, "metadata token", status, status == STATUS_OK ? "not a token" : why);
    return false;
}

static uint32_t s_ask_metadata(pcl_aws_client *self, const char *path, pcl_buffer *answer,
                               char error[PCL_AWS_ERROR_SIZE])
{
    char url[PCL_AWS_URL_SIZE + 2 * PCL_AWS_WORD_SIZE];
    char why[PCL_AWS_ERROR_SIZE] = "";
    bool old = self->token[0] == '\0' || pcl_now_us() >= self->token_end_us;
    if (old && !s_renew_token(self, answer, error)) {
        return 0;
    }
    (void)snprintf(url, sizeof url, "%s" METADATA "%s", self->metadata_url, path);
    const pcl_aws_header headers[] = {{"x-aws-ec2-metadata-token", self->token}};
    pcl_fetch fetch = {.method = "GET",
                       .url = url,
                       .headers = headers,
                       .header_count = 1,
                       .timeout_ms = self->timeout_ms};
    uint32_t status = pcl_fetcher_run(self->fetcher, &fetch, answer, why, sizeof why);
    if (status != STATUS_OK) {
        s_say(error, "metadata", status, why);
    }
    return status;
}

pcl_err pcl_aws_metadata(pcl_aws_client *self, const char *path, pcl_buffer *answer,
                         char error[PCL_AWS_ERROR_SIZE])
{
    uint32_t status = s_ask_metadata(self, path, answer, error);
    if (status == STATUS_UNKNOWN) { /* the token ended sooner than it said */
        self->token[0] = '\0';
        status = s_ask_metadata(self, path, answer, error);
    }
    return status == STATUS_OK          ? PCL_ERR_OK
           : status == STATUS_NOT_FOUND ? PCL_ERR_GONE
                                        : PCL_ERR_UNAVAILABLE;
}

static pcl_err s_metadata_name(pcl_aws_client *self, const char *path,
                               bool (*take)(pcl_bytes answer, char target[PCL_AWS_WORD_SIZE]),
                               char target[PCL_AWS_WORD_SIZE], char error[PCL_AWS_ERROR_SIZE])
{
    pcl_buffer answer;
    pcl_buffer_init(&answer, PCL_AWS_ANSWER_SIZE_MAX);
    pcl_err err = pcl_aws_metadata(self, path, &answer, error);
    if (err == PCL_ERR_OK && !take(pcl_buffer_bytes(&answer), target)) {
        s_say(error, "metadata", 0, "the answer is not one word");
        err = PCL_ERR_UNAVAILABLE;
    }
    pcl_buffer_release(&answer);
    return err;
}

pcl_err pcl_aws_metadata_word(pcl_aws_client *self, const char *path,
                              char target[PCL_AWS_WORD_SIZE], char error[PCL_AWS_ERROR_SIZE])
{
    return s_metadata_name(self, path, pcl_aws_word, target, error);
}

pcl_err pcl_aws_metadata_notice(pcl_aws_client *self, pcl_aws_notice *out_notice,
                                char error[PCL_AWS_ERROR_SIZE])
{
    pcl_buffer answer;
    pcl_buffer_init(&answer, PCL_AWS_ANSWER_SIZE_MAX);
    pcl_err err = pcl_aws_metadata(self, "spot/instance-action", &answer, error);
    if (err == PCL_ERR_OK && !pcl_aws_read_notice(pcl_buffer_bytes(&answer), out_notice)) {
        s_say(error, "metadata", 0, "the notice does not parse");
        err = PCL_ERR_UNAVAILABLE;
    }
    pcl_buffer_release(&answer);
    return err;
}

/* --- Credentials --------------------------------------------------------------------- */

static bool s_renew_credentials(pcl_aws_client *self, char error[PCL_AWS_ERROR_SIZE])
{
    char role[PCL_AWS_WORD_SIZE];
    char path[sizeof ROLE_PATH + PCL_AWS_WORD_SIZE];
    pcl_err err = s_metadata_name(self, ROLE_PATH, pcl_aws_role_name, role, error);
    if (err != PCL_ERR_OK) {
        if (err == PCL_ERR_GONE) {
            s_say(error, "metadata", 0, "the instance has no role");
        }
        return false;
    }
    (void)snprintf(path, sizeof path, ROLE_PATH "%s", role);
    pcl_buffer answer;
    pcl_buffer_init(&answer, PCL_AWS_ANSWER_SIZE_MAX);
    bool fine = pcl_aws_metadata(self, path, &answer, error) == PCL_ERR_OK;
    if (fine && !pcl_aws_read_credentials(pcl_buffer_bytes(&answer), &self->credentials)) {
        s_say(error, "metadata", 0, "the answer holds no credentials");
        fine = false;
    }
    pcl_file_wipe(&answer);
    self->has_credentials = self->has_credentials || fine;
    return fine;
}

/* The clock of the host counts, as it does in the signature. */
static bool s_have_credentials(pcl_aws_client *self, char error[PCL_AWS_ERROR_SIZE])
{
    uint64_t wall_s = pcl_wall_us() / PCL_US_PER_S;
    if (self->has_credentials && !pcl_aws_credentials_age(&self->credentials, wall_s)) {
        return true;
    }
    return s_renew_credentials(self, error) ||
           (self->has_credentials && !pcl_aws_credentials_expired(&self->credentials, wall_s));
}

static bool s_have_region(pcl_aws_client *self, char error[PCL_AWS_ERROR_SIZE])
{
    return self->region[0] != '\0' ||
           pcl_aws_metadata_word(self, "placement/region", self->region, error) == PCL_ERR_OK;
}

/* --- Secrets Manager ------------------------------------------------------------------ */

/* One signed POST to /; the status, or 0. */
static uint32_t s_post(pcl_aws_client *self, const char *target, const char *body,
                       pcl_buffer *answer, char *why)
{
    char url[PCL_AWS_URL_SIZE + 1];
    char date[PCL_AWS_DATE_SIZE];
    pcl_buffer authorization;
    pcl_buffer_init(&authorization, 4096);
    if (self->secrets_url[0] != '\0') {
        (void)snprintf(url, sizeof url, "%s/", self->secrets_url);
    } else {
        (void)snprintf(url, sizeof url, "https://" SERVICE ".%s.amazonaws.com/", self->region);
    }
    char host[PCL_AWS_URL_SIZE];
    const char *start = strstr(url, "://") + 3;
    (void)snprintf(host, sizeof host, "%.*s", (int)strcspn(start, "/"), start);
    pcl_aws_date(pcl_wall_us() / PCL_US_PER_S, date);
    pcl_aws_header headers[] = {{"content-type", "application/x-amz-json-1.1"},
                                {"host", host},
                                {"x-amz-date", date},
                                {"x-amz-security-token", ""},
                                {"x-amz-target", target},
                                {"authorization", ""}};
    headers[3].value = self->credentials.token;
    uint32_t signed_count = sizeof headers / sizeof headers[0] - 1;
    pcl_aws_request request = {.method = "POST",
                               .path = "/",
                               .query = "",
                               .headers = headers,
                               .header_count = signed_count,
                               .body = pcl_bytes_text(body)};
    uint32_t status = 0;
    bool fine = pcl_aws_sign(&request, &self->credentials, self->region, SERVICE, date,
                             &authorization);
    pcl_buffer_put_u8(&authorization, '\0');
    if (fine && !authorization.failed) {
        headers[signed_count].value = (const char *)authorization.data;
        pcl_fetch fetch = {.method = "POST",
                           .url = url,
                           .headers = headers,
                           .header_count = signed_count + 1,
                           .body = request.body,
                           .timeout_ms = self->timeout_ms};
        status = pcl_fetcher_run(self->fetcher, &fetch, answer, why, PCL_AWS_ERROR_SIZE);
    }
    pcl_buffer_release(&authorization);
    return status;
}

/* The answer to GetSecretValue.  *out_stale: it was refused because of the credentials. */
static bool s_get_secret(pcl_aws_client *self, const char *body, pcl_buffer *answer,
                         bool *out_stale, char error[PCL_AWS_ERROR_SIZE])
{
    char why[PCL_AWS_ERROR_SIZE] = "";
    char type[PCL_AWS_WORD_SIZE] = "";
    *out_stale = false;
    if (!s_have_region(self, error) || !s_have_credentials(self, error)) {
        return false;
    }
    uint32_t status = s_post(self, "secretsmanager.GetSecretValue", body, answer, why);
    if (status == STATUS_OK) {
        return true;
    }
    pcl_aws_error_type(pcl_buffer_bytes(answer), type);
    *out_stale = status != 0 && pcl_aws_error_is_of_credentials(type);
    s_say(error, "secret", status, status == 0 ? why : type);
    return false;
}

static bool s_read_secret(pcl_bytes answer, pcl_buffer *octets, pcl_secret *out_secret,
                          char version[PCL_AWS_WORD_SIZE], char error[PCL_AWS_ERROR_SIZE])
{
    pcl_buffer value;
    pcl_buffer_init(&value, PCL_SECRET_SIZE_MAX);
    const char *fault = "the answer has no text";
    if (pcl_secret_of_answer(answer, &value, version)) {
        fault = pcl_secret_read(pcl_buffer_bytes(&value), octets, out_secret);
    }
    pcl_file_wipe(&value);
    if (fault != NULL) {
        s_say(error, "secret", 0, fault);
    }
    return fault == NULL;
}

/* What an id may be made of (letters, digits and these) needs no escapes in JSON. */
static bool s_is_secret_id(const char *id)
{
    size_t size = strlen(id);
    static const char LETTERS[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "/_+=.@-:!";
    return size > 0 && size <= PCL_AWS_SECRET_ID_MAX && strspn(id, LETTERS) == size;
}

bool pcl_aws_secret(pcl_aws_client *self, const char *secret_id, pcl_buffer *octets,
                    pcl_secret *out_secret, char version[PCL_AWS_WORD_SIZE],
                    char error[PCL_AWS_ERROR_SIZE])
{
    char body[PCL_AWS_SECRET_ID_MAX + 32];
    bool stale = false;
    pcl_buffer answer;
    if (!s_is_secret_id(secret_id)) {
        s_say(error, "secret", 0, "its id has characters that no id has");
        return false;
    }
    (void)snprintf(body, sizeof body, "{\"SecretId\":\"%s\"}", secret_id);
    pcl_buffer_init(&answer, PCL_AWS_ANSWER_SIZE_MAX);
    bool fine = s_get_secret(self, body, &answer, &stale, error);
    if (!fine && stale) {
        self->has_credentials = false;
        fine = s_get_secret(self, body, &answer, &stale, error);
    }
    fine = fine && s_read_secret(pcl_buffer_bytes(&answer), octets, out_secret, version, error);
    pcl_file_wipe(&answer);
    return fine;
}
