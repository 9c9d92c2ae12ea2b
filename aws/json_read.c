#include "aws/json_read.h"

#include "wire/utf8.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#define NAME_SIZE_MAX 256u

typedef struct reader {
    const uint8_t *at, *end;
} reader;

static bool s_value(reader *self, uint32_t depth);

static void s_blanks(reader *self)
{
    while (self->at < self->end &&
           (*self->at == ' ' || *self->at == '\t' || *self->at == '\n' || *self->at == '\r')) {
        self->at++;
    }
}

static bool s_take(reader *self, char octet)
{
    if (self->at < self->end && *self->at == (uint8_t)octet) {
        self->at++;
        return true;
    }
    return false;
}

static bool s_word(reader *self, const char *word)
{
    size_t size = strlen(word);
    if ((size_t)(self->end - self->at) < size || memcmp(self->at, word, size) != 0) {
        return false;
    }
    self->at += size;
    return true;
}

static bool s_digits(reader *self)
{
    const uint8_t *start = self->at;
    while (self->at < self->end && *self->at >= '0' && *self->at <= '9') {
        self->at++;
    }
    return self->at > start;
}

static bool s_number(reader *self)
{
    (void)s_take(self, '-');
    if (!s_take(self, '0') && !s_digits(self)) {
        return false;
    }
    if (s_take(self, '.') && !s_digits(self)) {
        return false;
    }
    if (s_take(self, 'e') || s_take(self, 'E')) {
        if (!s_take(self, '+')) {
            (void)s_take(self, '-');
        }
        return s_digits(self);
    }
    return true;
}

/* To the quote that ends it; what its escapes mean is pcl_json_text's. */
static bool s_string(reader *self)
{
    if (!s_take(self, '"')) {
        return false;
    }
    while (self->at < self->end && *self->at >= 0x20) {
        if (s_take(self, '"')) {
            return true;
        }
        self->at += *self->at == '\\' && self->end - self->at > 1 ? 2 : 1;
    }
    return false;
}

static bool s_member(reader *self, uint32_t depth, pcl_bytes *out_key, pcl_bytes *out_value)
{
    const uint8_t *key = self->at;
    if (!s_string(self)) {
        return false;
    }
    size_t key_size = (size_t)(self->at - key);
    s_blanks(self);
    if (!s_take(self, ':')) {
        return false;
    }
    s_blanks(self);
    const uint8_t *value = self->at;
    if (!s_value(self, depth)) {
        return false;
    }
    *out_key = pcl_bytes_of(key, key_size);
    *out_value = pcl_bytes_of(value, (size_t)(self->at - value));
    s_blanks(self);
    return true;
}

static bool s_object(reader *self, uint32_t depth)
{
    pcl_bytes key;
    pcl_bytes value;
    s_blanks(self);
    if (s_take(self, '}')) {
        return true;
    }
    do {
        s_blanks(self);
        if (!s_member(self, depth, &key, &value)) {
            return false;
        }
    } while (s_take(self, ','));
    return s_take(self, '}');
}

static bool s_array(reader *self, uint32_t depth)
{
    s_blanks(self);
    if (s_take(self, ']')) {
        return true;
    }
    do {
        s_blanks(self);
        if (!s_value(self, depth)) {
            return false;
        }
        s_blanks(self);
    } while (s_take(self, ','));
    return s_take(self, ']');
}

static bool s_value(reader *self, uint32_t depth)
{
    if (depth == 0 || self->at == self->end) {
        return false;
    }
    switch (*self->at) {
    case '{':
        self->at++;
        return s_object(self, depth - 1);
    case '[':
        self->at++;
        return s_array(self, depth - 1);
    case '"':
        return s_string(self);
    case 't':
        return s_word(self, "true");
    case 'f':
        return s_word(self, "false");
    case 'n':
        return s_word(self, "null");
    default:
        return s_number(self);
    }
}

static reader s_reader(pcl_bytes text)
{
    reader self = {.at = text.data, .end = text.size > 0 ? text.data + text.size : text.data};
    s_blanks(&self);
    return self;
}

bool pcl_json_is_object(pcl_bytes text)
{
    reader self = s_reader(text);
    if (self.at == self.end || *self.at != '{' || !s_value(&self, PCL_JSON_DEPTH_MAX)) {
        return false;
    }
    s_blanks(&self);
    return self.at == self.end;
}

bool pcl_json_each(pcl_bytes object, const uint8_t **cursor, pcl_bytes *out_key,
                   pcl_bytes *out_value)
{
    assert(cursor != NULL && out_key != NULL && out_value != NULL);
    reader self = s_reader(object);
    if (*cursor == NULL) {
        if (!s_take(&self, '{')) {
            return false;
        }
    } else {
        self.at = *cursor;
        if (!s_take(&self, ',')) {
            return false;
        }
    }
    s_blanks(&self);
    pcl_bytes key;
    pcl_bytes value;
    if (!s_member(&self, PCL_JSON_DEPTH_MAX - 1, &key, &value)) {
        return false;
    }
    *cursor = self.at;
    *out_key = key;
    *out_value = value;
    return true;
}

bool pcl_json_find(pcl_bytes object, const char *name, pcl_bytes *out_value)
{
    assert(name != NULL && strlen(name) <= NAME_SIZE_MAX);
    const uint8_t *cursor = NULL;
    pcl_bytes key;
    pcl_bytes value;
    size_t size = strlen(name);
    while (pcl_json_each(object, &cursor, &key, &value)) {
        if (key.size == size + 2 && memcmp(key.data + 1, name, size) == 0) {
            *out_value = value;
            return true;
        }
    }
    return false;
}

/* --- Strings -------------------------------------------------------------------- */

static int s_hex_digit(uint8_t octet)
{
    if (octet >= '0' && octet <= '9') {
        return octet - '0';
    }
    uint8_t letter = octet | 0x20;
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

/* Four hexadecimal digits. */
static bool s_unit(reader *self, uint32_t *out_unit)
{
    uint32_t unit = 0;
    if (self->end - self->at < 4) {
        return false;
    }
    for (int index = 0; index < 4; index++) {
        int digit = s_hex_digit(self->at[index]);
        if (digit < 0) {
            return false;
        }
        unit = unit << 4 | (uint32_t)digit;
    }
    self->at += 4;
    *out_unit = unit;
    return true;
}

static void s_put_character(pcl_buffer *target, uint32_t character)
{
    if (character < 0x80) {
        pcl_buffer_put_u8(target, (uint8_t)character);
        return;
    }
    uint32_t more = character < 0x800 ? 1 : character < 0x10000 ? 2 : 3;
    static const uint8_t FIRST[] = {0, 0xc0, 0xe0, 0xf0};
    pcl_buffer_put_u8(target, (uint8_t)(FIRST[more] | character >> 6 * more));
    while (more-- > 0) {
        pcl_buffer_put_u8(target, (uint8_t)(0x80 | (character >> 6 * more & 0x3f)));
    }
}

/* What stands behind \u, two of which may make one character. */
static bool s_unicode(reader *self, pcl_buffer *target)
{
    uint32_t high = 0;
    uint32_t low = 0;
    if (!s_unit(self, &high) || (high >= 0xdc00 && high < 0xe000)) {
        return false;
    }
    if (high < 0xd800 || high >= 0xe000) {
        s_put_character(target, high);
        return true;
    }
    if (!s_word(self, "\\u") || !s_unit(self, &low) || low < 0xdc00 || low >= 0xe000) {
        return false;
    }
    s_put_character(target, 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00));
    return true;
}

static bool s_escape(reader *self, pcl_buffer *target)
{
    static const char FROM[] = "\"\\/bfnrt";
    static const char TO[] = "\"\\/\b\f\n\r\t";
    if (self->at == self->end || *self->at == '\0') {
        return false;
    }
    uint8_t octet = *self->at++;
    if (octet == 'u') {
        return s_unicode(self, target);
    }
    const char *place = strchr(FROM, octet);
    if (place != NULL) {
        pcl_buffer_put_u8(target, (uint8_t)TO[place - FROM]);
    }
    return place != NULL;
}

bool pcl_json_text(pcl_bytes value, pcl_buffer *target)
{
    reader self = {.at = value.data, .end = value.size > 0 ? value.data + value.size : value.data};
    size_t before = target->size;
    if (!s_take(&self, '"')) {
        return false;
    }
    while (self.at < self.end && *self.at >= 0x20 && *self.at != '"') {
        uint8_t octet = *self.at++;
        if (octet != '\\') {
            pcl_buffer_put_u8(target, octet);
        } else if (!s_escape(&self, target)) {
            return false;
        }
    }
    if (!s_take(&self, '"') || self.at != self.end || target->failed) {
        return false;
    }
    size_t size = target->size - before;
    return size == 0 || pcl_utf8_is_valid(pcl_bytes_of(target->data + before, size));
}

bool pcl_json_find_text(pcl_bytes object, const char *name, char *target, size_t target_size)
{
    assert(target != NULL && target_size > 0);
    pcl_bytes value;
    if (!pcl_json_find(object, name, &value)) {
        return false;
    }
    pcl_buffer text;
    pcl_buffer_init(&text, target_size);
    bool fine = pcl_json_text(value, &text) && text.size < target_size;
    for (size_t index = 0; fine && index < text.size; index++) {
        fine = text.data[index] >= 0x20 && text.data[index] != 0x7f;
    }
    if (fine) {
        pcl_bytes_to_text(pcl_buffer_bytes(&text), target, target_size);
    }
    if (text.data != NULL) {
        sodium_memzero(text.data, text.capacity); /* it may be a secret */
    }
    pcl_buffer_release(&text);
    return fine;
}
