#include "net/token_keys.h"

#include "net/file.h"
#include "wire/gtid.h"
#include "wire/token.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define CONTEXT "portcullis token 1"

enum { KEY_TEXT_SIZE = 2 * PCL_TOKEN_KEY_SIZE, FILE_SIZE_MAX = 1024, ERROR_SIZE = 1024 };

static bool s_is_blank(uint8_t octet)
{
    return octet == ' ' || octet == '\t' || octet == '\n' || octet == '\r';
}

/* The next word of text, which is cut by it; empty at the end. */
static pcl_bytes s_next_word(pcl_bytes *text)
{
    while (text->size > 0 && s_is_blank(text->data[0])) {
        *text = pcl_bytes_of(text->data + 1, text->size - 1);
    }
    size_t size = 0;
    while (size < text->size && !s_is_blank(text->data[size])) {
        size++;
    }
    pcl_bytes word = pcl_bytes_of(text->data, size);
    *text = pcl_bytes_of(text->data + size, text->size - size);
    return word;
}

bool pcl_token_keys_read(pcl_token_keys *out_keys, pcl_bytes text)
{
    assert(out_keys != NULL);
    pcl_token_keys keys = {.count = 0};
    bool good = true;
    pcl_bytes word;
    while (good && (word = s_next_word(&text)).size > 0) {
        size_t size = 0;
        good = keys.count < PCL_TOKEN_KEYS_MAX && word.size == KEY_TEXT_SIZE &&
               sodium_hex2bin(keys.octets[keys.count], PCL_TOKEN_KEY_SIZE, (const char *)word.data,
                              word.size, NULL, &size, NULL) == 0 &&
               size == PCL_TOKEN_KEY_SIZE;
        keys.count++;
    }
    good = good && keys.count > 0;
    if (good) {
        *out_keys = keys;
    }
    pcl_token_keys_wipe(&keys);
    return good;
}

bool pcl_token_keys_load(pcl_token_keys *out_keys, const char *file, char *error, size_t error_size)
{
    assert(out_keys != NULL);
    if (file[0] == '\0') {
        *out_keys = (pcl_token_keys){.count = 0};
        return true;
    }
    pcl_buffer text;
    pcl_buffer_init(&text, FILE_SIZE_MAX);
    bool good = pcl_file_read(&text, file, PCL_FILE_SECRET, error, error_size);
    if (good && !pcl_token_keys_read(out_keys, pcl_buffer_bytes(&text))) {
        (void)snprintf(error, error_size, "%s: must hold 1 to %u keys of %d hexadecimal digits",
                       file, PCL_TOKEN_KEYS_MAX, KEY_TEXT_SIZE);
        good = false;
    }
    pcl_file_wipe(&text);
    return good;
}

void pcl_token_keys_wipe(pcl_token_keys *self)
{
    assert(self != NULL);
    sodium_memzero(self, sizeof *self);
}

void pcl_token_keys_check(const pcl_config *config, pcl_buffer *problems)
{
    pcl_token_keys keys;
    char error[ERROR_SIZE];
    const char *file = pcl_config_text(config, "tokens/key_file");
    if (!pcl_token_keys_load(&keys, file, error, sizeof error)) {
        pcl_config_problem(config, problems, "tokens/key_file", "%s", error);
        return;
    }
    pcl_token_keys_wipe(&keys);
}

static void s_mac(uint8_t out_mac[PCL_TOKEN_MAC_SIZE], const uint8_t key[PCL_TOKEN_KEY_SIZE],
                  pcl_bytes position)
{
    crypto_generichash_state state;
    int rc = crypto_generichash_init(&state, key, PCL_TOKEN_KEY_SIZE, PCL_TOKEN_MAC_SIZE);
    rc |= crypto_generichash_update(&state, (const uint8_t *)CONTEXT, sizeof CONTEXT - 1);
    rc |= crypto_generichash_update(&state, position.data, position.size);
    rc |= crypto_generichash_final(&state, out_mac, PCL_TOKEN_MAC_SIZE);
    assert(rc == 0); /* fails only for sizes that it does not take */
    sodium_memzero(&state, sizeof state);
}

size_t pcl_token_make(const pcl_token_keys *self, pcl_bytes position,
                      char target[PCL_TOKEN_SIZE_MAX + 1])
{
    assert(self != NULL && self->count > 0);
    uint8_t mac[PCL_TOKEN_MAC_SIZE];
    s_mac(mac, self->octets[0], position);
    return pcl_token_write(mac, position, target);
}

const char *pcl_token_prove(const pcl_token_keys *self, pcl_bytes token, pcl_bytes *out_position,
                            pcl_err *out_err)
{
    assert(self != NULL);
    assert(out_err != NULL);
    uint8_t claimed[PCL_TOKEN_MAC_SIZE];
    pcl_bytes position;
    if (self->count == 0) {
        *out_err = PCL_ERR_UNSUPPORTED;
        return "this cluster has no key for tokens";
    }
    if (!pcl_token_read(token, claimed, &position)) {
        *out_err = PCL_ERR_MALFORMED;
        return "is not a token";
    }
    for (uint32_t index = 0; index < self->count; index++) {
        uint8_t mac[PCL_TOKEN_MAC_SIZE];
        s_mac(mac, self->octets[index], position);
        if (sodium_memcmp(mac, claimed, sizeof mac) == 0) {
            *out_position = position;
            return NULL;
        }
    }
    *out_err = PCL_ERR_FORBIDDEN;
    return "was not made by an agent of this cluster";
}

const char *pcl_tokens_prove(const pcl_token_keys *self, const pcl_bytes *tokens, uint32_t count,
                             char target[PCL_GTID_SIZE_MAX + 1], pcl_err *out_err)
{
    assert(tokens != NULL && count > 0);
    char merged[PCL_GTID_SIZE_MAX + 1];
    size_t size = 0;
    pcl_flavor flavor = PCL_FLAVOR_UNKNOWN;
    for (uint32_t index = 0; index < count; index++) {
        pcl_bytes position;
        const char *wrong = pcl_token_prove(self, tokens[index], &position, out_err);
        if (wrong != NULL) {
            return wrong;
        }
        pcl_flavor own = pcl_gtid_flavor(position);
        if (index > 0 && own != flavor) {
            *out_err = PCL_ERR_MALFORMED;
            return "names transactions of two kinds of server";
        }
        flavor = own;
        memcpy(merged, target, size);
        size = pcl_gtid_merge(pcl_bytes_of(merged, size), position, target, PCL_GTID_SIZE_MAX + 1);
        if (size == 0) {
            *out_err = PCL_ERR_TOO_LARGE;
            return "names transactions of too many servers";
        }
    }
    return NULL;
}
