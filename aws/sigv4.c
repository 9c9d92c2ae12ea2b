#include "aws/sigv4.h"

#include <assert.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define HASH_SIZE     crypto_hash_sha256_BYTES
#define HEX_SIZE      (2 * HASH_SIZE + 1)
#define ALGORITHM     "AWS4-HMAC-SHA256"
#define SECONDS_A_DAY UINT64_C(86400)
#define DAY_SIZE      8u /* "20150830" */

/* --- Times ---------------------------------------------------------------------- */

/* Days since 1970 and back by Howard Hinnant's "chrono-compatible low-level date algorithms": years
 * begin in March, so that the odd day is a year's last. */
static uint64_t s_days_of(uint32_t year, uint32_t month, uint32_t day)
{
    uint64_t shifted = (uint64_t)year - (month <= 2 ? 1 : 0);
    uint64_t era = shifted / 400;
    uint64_t of_era = shifted % 400;
    uint64_t of_year = (153 * (uint64_t)(month + (month > 2 ? 0 : 12) - 3) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

void pcl_aws_date(uint64_t wall_s, char target[PCL_AWS_DATE_SIZE])
{
    assert(target != NULL);
    uint64_t days = wall_s / SECONDS_A_DAY + 719468;
    uint64_t second = wall_s % SECONDS_A_DAY;
    uint64_t era = days / 146097;
    uint64_t of_era = days % 146097;
    uint64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    uint64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    uint64_t shifted = (5 * of_year + 2) / 153;
    uint64_t month = shifted < 10 ? shifted + 3 : shifted - 9;
    uint64_t day = of_year - (153 * shifted + 2) / 5 + 1;
    year += era * 400 + (month <= 2 ? 1 : 0);
    (void)snprintf(target, PCL_AWS_DATE_SIZE, "%04u%02u%02uT%02u%02u%02uZ",
                   (unsigned)(year % 10000), (unsigned)(month % 100), (unsigned)(day % 100),
                   (unsigned)(second / 3600), (unsigned)(second / 60 % 60),
                   (unsigned)(second % 60));
}

static uint32_t s_number(const char *digits, uint32_t count)
{
    uint32_t value = 0;
    for (uint32_t index = 0; index < count; index++) {
        value = value * 10 + (uint32_t)(digits[index] - '0');
    }
    return value;
}

bool pcl_aws_time(const char *text, uint64_t *out_wall_s)
{
    static const char FORM[] = "0000-00-00T00:00:00Z";
    assert(text != NULL && out_wall_s != NULL);
    if (strlen(text) != sizeof FORM - 1) {
        return false;
    }
    for (size_t index = 0; index < sizeof FORM - 1; index++) {
        bool digit = text[index] >= '0' && text[index] <= '9';
        if (FORM[index] == '0' ? !digit : text[index] != FORM[index]) {
            return false;
        }
    }
    uint32_t year = s_number(text, 4);
    uint32_t month = s_number(text + 5, 2);
    uint32_t day = s_number(text + 8, 2);
    uint32_t hour = s_number(text + 11, 2);
    uint32_t minute = s_number(text + 14, 2);
    uint32_t second = s_number(text + 17, 2);
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 ||
        second > 60) {
        return false;
    }
    *out_wall_s = s_days_of(year, month, day) * SECONDS_A_DAY + hour * UINT64_C(3600) +
                  minute * UINT64_C(60) + second;
    return true;
}

/* --- The canonical form ----------------------------------------------------------- */

static void s_put(pcl_buffer *target, const char *text)
{
    pcl_buffer_put(target, text, strlen(text));
}

static void s_put_hash(pcl_buffer *target, pcl_bytes octets)
{
    uint8_t hash[HASH_SIZE];
    char hex[HEX_SIZE];
    static const uint8_t NOTHING = 0;
    (void)crypto_hash_sha256(hash, octets.size > 0 ? octets.data : &NOTHING, octets.size);
    s_put(target, sodium_bin2hex(hex, sizeof hex, hash, sizeof hash));
}

/* Without blanks around it, one for each run of them. */
static void s_put_value(pcl_buffer *target, const char *value)
{
    bool first = true;
    while (*value != '\0') {
        size_t blanks = strspn(value, " \t");
        value += blanks;
        size_t size = strcspn(value, " \t");
        if (size > 0 && blanks > 0 && !first) {
            pcl_buffer_put_u8(target, ' ');
        }
        pcl_buffer_put(target, value, size);
        first = first && size == 0;
        value += size;
    }
}

/* Places of the headers in the order of their names; few, so by insertion, which keeps those of one
 * name as they came. */
static void s_order(const pcl_aws_request *request, uint32_t order[PCL_AWS_HEADERS_MAX])
{
    assert(request->header_count <= PCL_AWS_HEADERS_MAX);
    for (uint32_t count = 0; count < request->header_count; count++) {
        uint32_t place = count;
        while (place > 0 &&
               strcmp(request->headers[order[place - 1]].name, request->headers[count].name) > 0) {
            order[place] = order[place - 1];
            place--;
        }
        order[place] = count;
    }
}

static bool s_same_name(const pcl_aws_request *request, const uint32_t *order, uint32_t index)
{
    return index > 0 && strcmp(request->headers[order[index - 1]].name,
                               request->headers[order[index]].name) == 0;
}

static void s_put_headers(pcl_buffer *target, const pcl_aws_request *request, const uint32_t *order)
{
    for (uint32_t index = 0; index < request->header_count; index++) {
        const pcl_aws_header *header = &request->headers[order[index]];
        if (s_same_name(request, order, index)) {
            pcl_buffer_put_u8(target, ',');
        } else {
            s_put(target, index > 0 ? "\n" : "");
            s_put(target, header->name);
            pcl_buffer_put_u8(target, ':');
        }
        s_put_value(target, header->value);
    }
    pcl_buffer_put_u8(target, '\n');
}

static void s_put_names(pcl_buffer *target, const pcl_aws_request *request, const uint32_t *order)
{
    for (uint32_t index = 0; index < request->header_count; index++) {
        if (!s_same_name(request, order, index)) {
            s_put(target, index > 0 ? ";" : "");
            s_put(target, request->headers[order[index]].name);
        }
    }
}

void pcl_aws_canonical(const pcl_aws_request *request, pcl_buffer *target)
{
    uint32_t order[PCL_AWS_HEADERS_MAX];
    assert(request != NULL && target != NULL);
    s_order(request, order);
    s_put(target, request->method);
    pcl_buffer_put_u8(target, '\n');
    s_put(target, request->path);
    pcl_buffer_put_u8(target, '\n');
    s_put(target, request->query);
    pcl_buffer_put_u8(target, '\n');
    s_put_headers(target, request, order);
    pcl_buffer_put_u8(target, '\n');
    s_put_names(target, request, order);
    pcl_buffer_put_u8(target, '\n');
    s_put_hash(target, request->body);
}

/* --- The signature ------------------------------------------------------------------ */

static void s_mac(uint8_t out_mac[HASH_SIZE], pcl_bytes key, pcl_bytes text)
{
    crypto_auth_hmacsha256_state state;
    (void)crypto_auth_hmacsha256_init(&state, key.data, key.size);
    (void)crypto_auth_hmacsha256_update(&state, text.data, text.size);
    (void)crypto_auth_hmacsha256_final(&state, out_mac);
    sodium_memzero(&state, sizeof state);
}

static void s_derive(uint8_t key[HASH_SIZE], const char *secret_key, const char *date,
                     const char *region, const char *service)
{
    char first[4 + PCL_AWS_SECRET_KEY_SIZE];
    (void)snprintf(first, sizeof first, "AWS4%s", secret_key);
    s_mac(key, pcl_bytes_text(first), pcl_bytes_of(date, DAY_SIZE));
    sodium_memzero(first, sizeof first);
    s_mac(key, pcl_bytes_of(key, HASH_SIZE), pcl_bytes_text(region));
    s_mac(key, pcl_bytes_of(key, HASH_SIZE), pcl_bytes_text(service));
    s_mac(key, pcl_bytes_of(key, HASH_SIZE), pcl_bytes_text("aws4_request"));
}

static void s_put_scope(pcl_buffer *target, const char *date, const char *region,
                        const char *service)
{
    pcl_buffer_put(target, date, DAY_SIZE);
    s_put(target, "/");
    s_put(target, region);
    s_put(target, "/");
    s_put(target, service);
    s_put(target, "/aws4_request");
}

/* The text that is signed, over the canonical form. */
static bool s_put_text(pcl_buffer *target, const pcl_aws_request *request, const char *region,
                       const char *service, const char *date)
{
    pcl_buffer canonical;
    pcl_buffer_init(&canonical, PCL_AWS_HEADERS_SIZE_MAX);
    pcl_aws_canonical(request, &canonical);
    s_put(target, ALGORITHM "\n");
    s_put(target, date);
    s_put(target, "\n");
    s_put_scope(target, date, region, service);
    s_put(target, "\n");
    s_put_hash(target, pcl_buffer_bytes(&canonical));
    bool fine = !canonical.failed && !target->failed;
    pcl_buffer_release(&canonical);
    return fine;
}

bool pcl_aws_sign(const pcl_aws_request *request, const pcl_aws_credentials *credentials,
                  const char *region, const char *service, const char date[PCL_AWS_DATE_SIZE],
                  pcl_buffer *target)
{
    assert(request != NULL && credentials != NULL && region != NULL && service != NULL);
    uint32_t order[PCL_AWS_HEADERS_MAX];
    uint8_t key[HASH_SIZE];
    uint8_t signature[HASH_SIZE];
    char hex[HEX_SIZE];
    pcl_buffer text;
    pcl_buffer_init(&text, PCL_AWS_HEADERS_SIZE_MAX);
    bool fine = s_put_text(&text, request, region, service, date);
    if (fine) {
        s_order(request, order);
        s_derive(key, credentials->secret_key, date, region, service);
        s_mac(signature, pcl_bytes_of(key, sizeof key), pcl_buffer_bytes(&text));
        sodium_memzero(key, sizeof key);
        s_put(target, ALGORITHM " Credential=");
        s_put(target, credentials->access_key);
        s_put(target, "/");
        s_put_scope(target, date, region, service);
        s_put(target, ", SignedHeaders=");
        s_put_names(target, request, order);
        s_put(target, ", Signature=");
        s_put(target, sodium_bin2hex(hex, sizeof hex, signature, sizeof signature));
    }
    pcl_buffer_release(&text);
    return fine && !target->failed;
}
