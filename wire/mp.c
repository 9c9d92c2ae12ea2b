#include "wire/mp.h"

#include "common/endian.h"
#include "wire/utf8.h"

#include <msgpack/pack.h>

#include <assert.h>

#define RULE_TRUNCATED "the message ends inside a value"
#define RULE_RESERVED  "octet 0xc1 begins no value"
#define RULE_COUNT     "a count promises more values than there are octets"
#define RULE_LENGTH    "a length promises more octets than there are"
#define RULE_DEPTH     "containers are nested too deeply"
#define RULE_KEYS      "a map has too many keys"
#define RULE_KEYS_OPEN "nested maps have too many keys together"
#define RULE_KEY_TYPE  "a map key is not a string"
#define RULE_KEY_TWICE "a map key appears twice"
#define RULE_UTF8      "a string is not valid UTF-8"
#define RULE_TRAILING  "octets follow the value"
#define RULE_VALUES    "there are too many values"

/* What the first octet of a value says. */
typedef struct lead_meaning {
    pcl_mp_type type;
    uint8_t width;    /* octets of the number, length or count that follows */
    bool is_signed;   /* the number is in two's complement */
    bool is_reserved; /* 0xc1 */
    int64_t value;    /* the number, length or count when width is 0 */
} lead_meaning;

/* 0xc0 to 0xdf: one format each. */
static lead_meaning s_lead_of_format(uint8_t lead)
{
    static const lead_meaning meanings[32] = {
        {.type = PCL_MP_NIL},
        {.is_reserved = true},
        {.type = PCL_MP_BOOL, .value = 0},
        {.type = PCL_MP_BOOL, .value = 1},
        {.type = PCL_MP_BIN, .width = 1},
        {.type = PCL_MP_BIN, .width = 2},
        {.type = PCL_MP_BIN, .width = 4},
        {.type = PCL_MP_EXT, .width = 1},
        {.type = PCL_MP_EXT, .width = 2},
        {.type = PCL_MP_EXT, .width = 4},
        {.type = PCL_MP_FLOAT, .width = 4},
        {.type = PCL_MP_FLOAT, .width = 8},
        {.type = PCL_MP_UINT, .width = 1},
        {.type = PCL_MP_UINT, .width = 2},
        {.type = PCL_MP_UINT, .width = 4},
        {.type = PCL_MP_UINT, .width = 8},
        {.type = PCL_MP_INT, .width = 1, .is_signed = true},
        {.type = PCL_MP_INT, .width = 2, .is_signed = true},
        {.type = PCL_MP_INT, .width = 4, .is_signed = true},
        {.type = PCL_MP_INT, .width = 8, .is_signed = true},
        {.type = PCL_MP_EXT, .value = 1},
        {.type = PCL_MP_EXT, .value = 2},
        {.type = PCL_MP_EXT, .value = 4},
        {.type = PCL_MP_EXT, .value = 8},
        {.type = PCL_MP_EXT, .value = 16},
        {.type = PCL_MP_STR, .width = 1},
        {.type = PCL_MP_STR, .width = 2},
        {.type = PCL_MP_STR, .width = 4},
        {.type = PCL_MP_ARRAY, .width = 2},
        {.type = PCL_MP_ARRAY, .width = 4},
        {.type = PCL_MP_MAP, .width = 2},
        {.type = PCL_MP_MAP, .width = 4},
    };
    return meanings[lead - 0xc0];
}

/* From 0xc0. */
static lead_meaning s_lead(uint8_t lead)
{
    if (lead < 0xe0) {
        return s_lead_of_format(lead);
    }
    return (lead_meaning){.type = PCL_MP_INT, .is_signed = true, .value = lead - 0x100};
}

static double s_real(uint64_t bits, uint8_t width)
{
    if (width == 8) {
        double real;
        memcpy(&real, &bits, sizeof real);
        return real;
    }
    uint32_t bits_32 = (uint32_t)bits;
    float real;
    memcpy(&real, &bits_32, sizeof real);
    return (double)real;
}

/* The number that width octets of two's complement say. */
static int64_t s_signed(uint64_t bits, uint8_t width)
{
    uint64_t mask = width == 8 ? UINT64_MAX : (UINT64_C(1) << (8 * width)) - 1;
    bool negative = (bits >> (8 * width - 1)) & 1;
    return negative ? -1 - (int64_t)(~bits & mask) : (int64_t)bits;
}

/* The sign decides the type, not the format. */
static void s_put_number(pcl_mp_value *value, lead_meaning lead, uint64_t bits)
{
    if (lead.type == PCL_MP_FLOAT) {
        value->real = s_real(bits, lead.width);
        return;
    }
    int64_t number = lead.width == 0    ? lead.value
                     : lead.is_signed   ? s_signed(bits, lead.width)
                     : bits > INT64_MAX ? 0
                                        : (int64_t)bits;
    value->type = number < 0 ? PCL_MP_INT : PCL_MP_UINT;
    value->sint = number;
    value->uint = number < 0 ? 0 : bits;
}

/* The rule that a value with these bits breaks where left octets follow its
 * head; NULL when it breaks none.  Every value takes an octet at least. */
static const char *s_rule_of_size(pcl_mp_type type, uint64_t bits, size_t left)
{
    bool is_run = type == PCL_MP_STR || type == PCL_MP_BIN || type == PCL_MP_EXT;
    if (is_run && bits > left) {
        return RULE_LENGTH;
    }
    if ((type == PCL_MP_ARRAY && bits > left) || (type == PCL_MP_MAP && bits > left / 2)) {
        return RULE_COUNT;
    }
    return NULL;
}

/* A head of one octet under 0xc0, which says all: a small number, a short string, a small
 * container. Most heads of a request are such.  As s_read; offset is behind the lead. */
static inline const char *s_read_short(pcl_bytes source, size_t offset, uint8_t lead,
                                       pcl_mp_value *out_value, size_t *out_offset)
{
    size_t left = source.size - offset;
    if (lead < 0x80) {
        *out_value = (pcl_mp_value){.type = PCL_MP_UINT, .uint = lead, .sint = lead};
    } else if (lead < 0xa0) {
        uint32_t count = lead & 0x0f;
        bool is_map = lead < 0x90;
        if (count > (is_map ? left / 2 : left)) {
            return RULE_COUNT;
        }
        *out_value = (pcl_mp_value){.type = is_map ? PCL_MP_MAP : PCL_MP_ARRAY, .count = count};
    } else {
        size_t size = lead & 0x1f;
        if (size > left) {
            return RULE_LENGTH;
        }
        *out_value = (pcl_mp_value){.type = PCL_MP_STR,
                                    .bytes = pcl_bytes_of(source.data + offset, size)};
        offset += size;
    }
    *out_offset = offset;
    return NULL;
}

/* Reads the head at offset, and the octets of a str, bin or ext with it.
 * Returns NULL, or the rule that the octets break.  Members are stored one by
 * one where they belong: a local value that is copied out at the end costs a
 * stall for each wide load of narrow stores, four times the rest. */
static const char *s_read(pcl_bytes source, size_t offset, pcl_mp_value *out_value,
                          size_t *out_offset)
{
    if (offset >= source.size) {
        return RULE_TRUNCATED;
    }
    uint8_t octet = source.data[offset++];
    if (octet < 0xc0) {
        return s_read_short(source, offset, octet, out_value, out_offset);
    }
    lead_meaning lead = s_lead(octet);
    if (lead.is_reserved) {
        return RULE_RESERVED;
    }
    size_t head_left = (size_t)lead.width + (lead.type == PCL_MP_EXT ? 1 : 0);
    if (source.size - offset < head_left) {
        return RULE_TRUNCATED;
    }
    uint64_t bits = lead.width == 0 ? (uint64_t)lead.value
                                    : pcl_get_be(source.data + offset, lead.width);
    offset += head_left;
    const char *rule = s_rule_of_size(lead.type, bits, source.size - offset);
    if (rule != NULL) {
        return rule;
    }
    *out_value = (pcl_mp_value){.type = lead.type};
    switch (lead.type) {
    case PCL_MP_NIL:
        break;
    case PCL_MP_BOOL:
        out_value->boolean = bits != 0;
        break;
    case PCL_MP_UINT:
    case PCL_MP_INT:
    case PCL_MP_FLOAT:
        s_put_number(out_value, lead, bits);
        break;
    case PCL_MP_EXT:
        memcpy(&out_value->ext_type, source.data + offset - 1, 1);
        out_value->bytes = pcl_bytes_of(source.data + offset, (size_t)bits);
        offset += (size_t)bits;
        break;
    case PCL_MP_STR:
    case PCL_MP_BIN:
        out_value->bytes = pcl_bytes_of(source.data + offset, (size_t)bits);
        offset += (size_t)bits;
        break;
    case PCL_MP_ARRAY:
    case PCL_MP_MAP:
        out_value->count = (uint32_t)bits;
        break;
    }
    *out_offset = offset;
    return NULL;
}

/* A container that is not complete yet. */
typedef struct level {
    uint64_t left;       /* values still to come; a map's keys count too */
    uint32_t keys_begin; /* of a map: where its keys begin in checker.keys */
    bool is_map;
} level;

typedef struct checker {
    pcl_bytes source;
    uint32_t depth_max, keys_max;
    uint32_t values_left; /* that may still come */
    size_t offset;
    uint32_t depth;     /* levels in use */
    uint32_t key_count; /* keys in use, of all open maps */
    level levels[PCL_MP_DEPTH_MAX];
    pcl_bytes keys[PCL_MP_KEYS_OPEN_MAX];
} checker;

static const char *s_check_key(checker *self, const level *map, const pcl_mp_value *key)
{
    if (key->type != PCL_MP_STR) {
        return RULE_KEY_TYPE;
    }
    for (uint32_t index = map->keys_begin; index < self->key_count; index++) {
        if (pcl_bytes_equal(self->keys[index], key->bytes)) {
            return RULE_KEY_TWICE;
        }
    }
    if (self->key_count == PCL_MP_KEYS_OPEN_MAX) {
        return RULE_KEYS_OPEN;
    }
    self->keys[self->key_count++] = key->bytes;
    return NULL;
}

static const char *s_check_open(checker *self, const pcl_mp_value *container)
{
    bool is_map = container->type == PCL_MP_MAP;
    if (self->depth == self->depth_max) {
        return RULE_DEPTH;
    }
    if (is_map && container->count > self->keys_max) {
        return RULE_KEYS;
    }
    self->levels[self->depth++] = (level){
        .left = is_map ? 2 * (uint64_t)container->count : container->count,
        .keys_begin = self->key_count,
        .is_map = is_map,
    };
    return NULL;
}

static const char *s_check_next(checker *self)
{
    pcl_mp_value value;
    size_t next_offset;
    const char *rule = s_read(self->source, self->offset, &value, &next_offset);
    if (rule != NULL) {
        return rule;
    }
    if (self->values_left-- == 0) {
        return RULE_VALUES;
    }
    if (value.type == PCL_MP_STR && !pcl_utf8_is_valid(value.bytes)) {
        return RULE_UTF8;
    }
    if (self->depth > 0) {
        level *top = &self->levels[self->depth - 1];
        if (top->is_map && top->left % 2 == 0) {
            rule = s_check_key(self, top, &value);
        }
        top->left--;
    }
    if (rule == NULL && (value.type == PCL_MP_ARRAY || value.type == PCL_MP_MAP)) {
        rule = s_check_open(self, &value);
    }
    if (rule != NULL) {
        return rule;
    }
    while (self->depth > 0 && self->levels[self->depth - 1].left == 0) {
        self->depth--;
        self->key_count = self->levels[self->depth].keys_begin;
    }
    self->offset = next_offset;
    return NULL;
}

/* Checks the value at offset.  NULL: it is well-formed, and *offset_p is behind it; else it is at
 * the head at fault. */
static const char *s_check_value(pcl_bytes source, size_t *offset_p, uint32_t depth_max,
                                 uint32_t keys_max, uint32_t values_max)
{
    assert(depth_max <= PCL_MP_DEPTH_MAX);
    assert(keys_max <= PCL_MP_KEYS_MAX);
    checker self; /* member by member: the arrays need no zeroes */
    self.source = source;
    self.depth_max = depth_max;
    self.keys_max = keys_max;
    self.values_left = values_max;
    self.offset = *offset_p;
    self.depth = 0;
    self.key_count = 0;
    const char *rule;
    do {
        rule = s_check_next(&self);
    } while (rule == NULL && self.depth > 0);
    *offset_p = self.offset;
    return rule;
}

pcl_err pcl_mp_check(pcl_bytes source, uint32_t depth_max, uint32_t keys_max,
                     pcl_mp_fault *out_fault)
{
    return pcl_mp_check_within(source, depth_max, keys_max, UINT32_MAX, out_fault);
}

pcl_err pcl_mp_check_within(pcl_bytes source, uint32_t depth_max, uint32_t keys_max,
                            uint32_t values_max, pcl_mp_fault *out_fault)
{
    size_t offset = 0;
    const char *rule = s_check_value(source, &offset, depth_max, keys_max, values_max);
    if (rule == NULL && offset < source.size) {
        rule = RULE_TRAILING;
    }
    if (rule == NULL) {
        return PCL_ERR_OK;
    }
    if (out_fault != NULL) {
        *out_fault = (pcl_mp_fault){.rule = rule, .offset = offset};
    }
    return PCL_ERR_MALFORMED;
}

pcl_mp_reader pcl_mp_reader_of(pcl_bytes source)
{
    return (pcl_mp_reader){.data = source.data, .size = source.size};
}

bool pcl_mp_next(pcl_mp_reader *self, pcl_mp_value *out_value)
{
    assert(self != NULL);
    assert(out_value != NULL);
    pcl_bytes source = pcl_bytes_of(self->data, self->size);
    return s_read(source, self->offset, out_value, &self->offset) == NULL;
}

bool pcl_mp_next_str_long(pcl_mp_reader *self, pcl_bytes *out_text)
{
    assert(self != NULL);
    assert(out_text != NULL);
    size_t offset = self->offset;
    pcl_mp_value value;
    pcl_bytes source = pcl_bytes_of(self->data, self->size);
    if (s_read(source, offset, &value, &offset) != NULL || value.type != PCL_MP_STR) {
        return false;
    }
    *out_text = value.bytes;
    self->offset = offset;
    return true;
}

bool pcl_mp_skip(pcl_mp_reader *self, pcl_bytes *out_octets)
{
    uint32_t values_left = UINT32_MAX;
    return pcl_mp_skip_within(self, &values_left, out_octets);
}

bool pcl_mp_skip_within(pcl_mp_reader *self, uint32_t *values_left, pcl_bytes *out_octets)
{
    assert(self != NULL);
    assert(values_left != NULL);
    pcl_bytes source = pcl_bytes_of(self->data, self->size);
    size_t offset = self->offset;
    /* Values still to come, of all open containers together.  A count never
     * exceeds the octets that are left, so the sum stays far below 2^64. */
    for (uint64_t left = 1; left > 0; left--) {
        pcl_mp_value value;
        if (*values_left == 0 || s_read(source, offset, &value, &offset) != NULL) {
            return false;
        }
        (*values_left)--;
        left += value.type == PCL_MP_MAP ? 2 * (uint64_t)value.count : value.count;
    }
    if (out_octets != NULL) {
        *out_octets = pcl_bytes_of(self->data + self->offset, offset - self->offset);
    }
    self->offset = offset;
    return true;
}

bool pcl_mp_skip_checked(pcl_mp_reader *self, uint32_t depth_max, uint32_t keys_max,
                         pcl_bytes *out_octets)
{
    assert(self != NULL);
    size_t offset = self->offset;
    pcl_bytes source = pcl_bytes_of(self->data, self->size);
    if (s_check_value(source, &offset, depth_max, keys_max, UINT32_MAX) != NULL) {
        return false;
    }
    *out_octets = pcl_bytes_of(self->data + self->offset, offset - self->offset);
    self->offset = offset;
    return true;
}

static int s_write(void *data, const char *octets, size_t size)
{
    pcl_buffer_put(data, octets, size);
    return 0;
}

static msgpack_packer s_packer(pcl_buffer *buffer)
{
    assert(buffer != NULL);
    msgpack_packer packer;
    msgpack_packer_init(&packer, buffer, s_write);
    return packer;
}

/* msgpack's lengths have 32 bits. */
static bool s_fits(pcl_buffer *buffer, pcl_bytes octets)
{
    if (octets.size > UINT32_MAX) {
        buffer->failed = true;
    }
    return octets.size <= UINT32_MAX;
}

void pcl_mp_put_nil(pcl_buffer *buffer)
{
    msgpack_packer packer = s_packer(buffer);
    (void)msgpack_pack_nil(&packer); /* here and below: the buffer knows of a failure */
}

void pcl_mp_put_bool(pcl_buffer *buffer, bool value)
{
    pcl_buffer_put_u8(buffer, value ? 0xc3 : 0xc2);
}

/* What most values are is written here; all others by the packer, to the same format. */
void pcl_mp_put_uint(pcl_buffer *buffer, uint64_t value)
{
    if (value < 0x80) {
        pcl_buffer_put_u8(buffer, (uint8_t)value);
        return;
    }
    msgpack_packer packer = s_packer(buffer);
    (void)msgpack_pack_uint64(&packer, value);
}

void pcl_mp_put_int(pcl_buffer *buffer, int64_t value)
{
    msgpack_packer packer = s_packer(buffer);
    (void)msgpack_pack_int64(&packer, value);
}

void pcl_mp_put_double(pcl_buffer *buffer, double value)
{
    msgpack_packer packer = s_packer(buffer);
    (void)msgpack_pack_double(&packer, value);
}

void pcl_mp_put_float(pcl_buffer *buffer, float value)
{
    msgpack_packer packer = s_packer(buffer);
    (void)msgpack_pack_float(&packer, value);
}

void pcl_mp_put_str(pcl_buffer *buffer, pcl_bytes text)
{
    if (text.size < 0x20) {
        uint8_t *place = pcl_buffer_extend(buffer, 1 + text.size);
        if (place != NULL && text.size > 0) {
            memcpy(place + 1, text.data, text.size);
        }
        if (place != NULL) {
            *place = (uint8_t)(0xa0 | text.size);
        }
        return;
    }
    msgpack_packer packer = s_packer(buffer);
    if (s_fits(buffer, text)) {
        (void)msgpack_pack_str(&packer, text.size);
        pcl_buffer_put(buffer, text.data, text.size);
    }
}

void pcl_mp_put_bin(pcl_buffer *buffer, pcl_bytes octets)
{
    msgpack_packer packer = s_packer(buffer);
    if (s_fits(buffer, octets)) {
        (void)msgpack_pack_bin(&packer, octets.size);
        pcl_buffer_put(buffer, octets.data, octets.size);
    }
}

void pcl_mp_put_ext(pcl_buffer *buffer, int8_t type, pcl_bytes octets)
{
    msgpack_packer packer = s_packer(buffer);
    if (s_fits(buffer, octets)) {
        (void)msgpack_pack_ext(&packer, octets.size, type);
        pcl_buffer_put(buffer, octets.data, octets.size);
    }
}

void pcl_mp_put_array(pcl_buffer *buffer, uint32_t count)
{
    if (count < 0x10) {
        pcl_buffer_put_u8(buffer, (uint8_t)(0x90 | count));
        return;
    }
    msgpack_packer packer = s_packer(buffer);
    (void)msgpack_pack_array(&packer, count);
}

void pcl_mp_put_map(pcl_buffer *buffer, uint32_t count)
{
    if (count < 0x10) {
        pcl_buffer_put_u8(buffer, (uint8_t)(0x80 | count));
        return;
    }
    msgpack_packer packer = s_packer(buffer);
    (void)msgpack_pack_map(&packer, count);
}

void pcl_mp_put_raw(pcl_buffer *buffer, pcl_bytes octets)
{
    assert(buffer != NULL);
    pcl_buffer_put(buffer, octets.data, octets.size);
}

void pcl_mp_pair_text(pcl_buffer *buffer, const char *key, const char *value)
{
    pcl_mp_put_text(buffer, key);
    pcl_mp_put_text(buffer, value);
}

void pcl_mp_pair_uint(pcl_buffer *buffer, const char *key, uint64_t value)
{
    pcl_mp_put_text(buffer, key);
    pcl_mp_put_uint(buffer, value);
}

void pcl_mp_pair_bool(pcl_buffer *buffer, const char *key, bool value)
{
    pcl_mp_put_text(buffer, key);
    pcl_mp_put_bool(buffer, value);
}

void pcl_mp_pair_double(pcl_buffer *buffer, const char *key, double value)
{
    pcl_mp_put_text(buffer, key);
    pcl_mp_put_double(buffer, value);
}

size_t pcl_mp_put_array_later(pcl_buffer *buffer)
{
    assert(buffer != NULL);
    size_t offset = buffer->size;
    pcl_buffer_put(buffer, (const uint8_t[]){0xdd, 0, 0, 0, 0}, 5);
    return offset;
}

void pcl_mp_patch_array(pcl_buffer *buffer, size_t offset, uint32_t count)
{
    assert(buffer != NULL);
    if (buffer->failed) {
        return; /* the head may never have been written */
    }
    assert(offset + 5 <= buffer->size);
    assert(buffer->data[offset] == 0xdd);
    pcl_put_be(buffer->data + offset + 1, count, 4);
}
