#include "wire/gtid.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    UUID_TEXT_SIZE = 36,
    ITEM_SIZE_MAX = 128, /* of one written: UUID, tag, number, and what stands between */
};

static_assert(UUID_TEXT_SIZE + 1 + PCL_GTID_TAG_SIZE_MAX + 1 + 20 < ITEM_SIZE_MAX,
              "an item fits its buffer");

/* --- Reading ---------------------------------------------------------------- */

pcl_gtid_reader pcl_gtid_reader_of(pcl_bytes text)
{
    return (pcl_gtid_reader){.text = text};
}

/* 0 at the end: no octet of a set is one. */
static char s_peek(const pcl_gtid_reader *self)
{
    return self->offset < self->text.size ? (char)self->text.data[self->offset] : '\0';
}

static bool s_take(pcl_gtid_reader *self, char octet)
{
    bool there = self->offset < self->text.size && s_peek(self) == octet;
    self->offset += there ? 1 : 0;
    return there;
}

static void s_skip_blanks(pcl_gtid_reader *self)
{
    while (s_peek(self) == ' ' || s_peek(self) == '\n' || s_peek(self) == '\t' ||
           s_peek(self) == '\r') {
        self->offset++;
    }
}

static bool s_is_digit(char octet)
{
    return octet >= '0' && octet <= '9';
}

static bool s_read_number(pcl_gtid_reader *self, uint64_t max, uint64_t *out_number)
{
    uint64_t number = 0;
    size_t began = self->offset;
    while (s_is_digit(s_peek(self))) {
        uint64_t digit = (uint64_t)(s_peek(self) - '0');
        if (number > (max - digit) / 10) {
            return false;
        }
        number = number * 10 + digit;
        self->offset++;
    }
    *out_number = number;
    return self->offset > began;
}

static int s_hex(uint8_t octet)
{
    return octet >= '0' && octet <= '9'   ? octet - '0'
           : octet >= 'a' && octet <= 'f' ? octet - 'a' + 10
           : octet >= 'A' && octet <= 'F' ? octet - 'A' + 10
                                          : -1;
}

static bool s_read_uuid(pcl_gtid_reader *self, uint8_t uuid[PCL_GTID_UUID_SIZE])
{
    if (self->text.size - self->offset < UUID_TEXT_SIZE) {
        return false;
    }
    const uint8_t *text = self->text.data + self->offset;
    size_t count = 0; /* half octets */
    for (size_t index = 0; index < UUID_TEXT_SIZE; index++) {
        if (index == 8 || index == 13 || index == 18 || index == 23) {
            if (text[index] != '-') {
                return false;
            }
            continue;
        }
        int digit = s_hex(text[index]);
        if (digit < 0) {
            return false;
        }
        uint8_t *octet = &uuid[count / 2];
        *octet = (uint8_t)(count % 2 == 0 ? digit << 4 : *octet | digit);
        count++;
    }
    self->offset += UUID_TEXT_SIZE;
    return true;
}

static bool s_is_tag(char octet, bool first)
{
    return (octet >= 'a' && octet <= 'z') || (octet >= 'A' && octet <= 'Z') || octet == '_' ||
           (!first && s_is_digit(octet));
}

static bool s_read_tag(pcl_gtid_reader *self)
{
    size_t began = self->offset;
    while (s_is_tag(s_peek(self), self->offset == began)) {
        self->offset++;
    }
    size_t size = self->offset - began;
    self->origin.tag = pcl_bytes_of(self->text.data + began, size);
    return size > 0 && size <= PCL_GTID_TAG_SIZE_MAX;
}

static bool s_read_mariadb(pcl_gtid_reader *self, pcl_gtid_item *item)
{
    uint64_t domain;
    uint64_t server;
    uint64_t sequence;
    if (!s_read_number(self, UINT32_MAX, &domain) || !s_take(self, '-') ||
        !s_read_number(self, UINT32_MAX, &server) || !s_take(self, '-') ||
        !s_read_number(self, UINT64_MAX, &sequence)) {
        return false;
    }
    *item = (pcl_gtid_item){
        .flavor = PCL_FLAVOR_MARIADB,
        .domain = (uint32_t)domain,
        .server = (uint32_t)server,
        .first = sequence,
        .last = sequence,
    };
    return true;
}

/* Behind a colon: an interval of the origin that was read last, or a tag and its first one. */
static bool s_read_interval(pcl_gtid_reader *self, pcl_gtid_item *item)
{
    s_skip_blanks(self);
    if (!s_is_digit(s_peek(self))) {
        if (!s_read_tag(self)) {
            return false;
        }
        s_skip_blanks(self);
        if (!s_take(self, ':')) {
            return false;
        }
        s_skip_blanks(self);
    }
    *item = self->origin;
    if (!s_read_number(self, INT64_MAX, &item->first) || item->first == 0) {
        return false;
    }
    item->last = item->first;
    return !s_take(self, '-') ||
           (s_read_number(self, INT64_MAX, &item->last) && item->last >= item->first);
}

/* What may stand behind an item: its end, or that of the text. */
static bool s_end_item(pcl_gtid_reader *self)
{
    s_skip_blanks(self);
    if (self->origin.flavor == PCL_FLAVOR_MYSQL && s_peek(self) == ':') {
        self->inside = true;
        return true;
    }
    self->inside = false;
    if (self->offset == self->text.size) {
        return true;
    }
    if (!s_take(self, ',')) {
        return false;
    }
    s_skip_blanks(self);
    return self->offset < self->text.size; /* a comma announces one more */
}

static bool s_read_first(pcl_gtid_reader *self, pcl_gtid_item *item)
{
    size_t began = self->offset;
    self->origin = (pcl_gtid_item){.flavor = PCL_FLAVOR_MARIADB};
    if (s_read_mariadb(self, item)) {
        return true;
    }
    self->offset = began;
    self->origin.flavor = PCL_FLAVOR_MYSQL;
    if (!s_read_uuid(self, self->origin.uuid)) {
        return false;
    }
    s_skip_blanks(self);
    return s_take(self, ':') && s_read_interval(self, item);
}

bool pcl_gtid_next(pcl_gtid_reader *self, pcl_gtid_item *out_item)
{
    assert(self != NULL);
    assert(out_item != NULL);
    s_skip_blanks(self);
    if (self->failed || (!self->inside && self->offset == self->text.size)) {
        return false;
    }
    pcl_gtid_item item;
    bool read = self->inside ? s_take(self, ':') && s_read_interval(self, &item)
                             : s_read_first(self, &item);
    if (!read || !s_end_item(self)) {
        self->failed = true;
        return false;
    }
    *out_item = item;
    return true;
}

pcl_flavor pcl_gtid_flavor(pcl_bytes text)
{
    pcl_gtid_reader reader = pcl_gtid_reader_of(text);
    pcl_gtid_item item;
    pcl_flavor flavor = PCL_FLAVOR_UNKNOWN;
    while (pcl_gtid_next(&reader, &item)) {
        if (flavor != PCL_FLAVOR_UNKNOWN && flavor != item.flavor) {
            return PCL_FLAVOR_UNKNOWN;
        }
        flavor = item.flavor;
    }
    return reader.failed ? PCL_FLAVOR_UNKNOWN : flavor;
}

/* --- Comparing -------------------------------------------------------------- */

static uint8_t s_lower(uint8_t octet)
{
    return octet >= 'A' && octet <= 'Z' ? (uint8_t)(octet - 'A' + 'a') : octet;
}

static bool s_same_tag(pcl_bytes a, pcl_bytes b)
{
    bool same = a.size == b.size;
    for (size_t index = 0; same && index < a.size; index++) {
        same = s_lower(a.data[index]) == s_lower(b.data[index]);
    }
    return same;
}

static bool s_same_origin(const pcl_gtid_item *a, const pcl_gtid_item *b)
{
    if (a->flavor != b->flavor) {
        return false;
    }
    return a->flavor == PCL_FLAVOR_MARIADB
               ? a->domain == b->domain && a->server == b->server
               : memcmp(a->uuid, b->uuid, sizeof a->uuid) == 0 && s_same_tag(a->tag, b->tag);
}

static bool s_reaches_item(const pcl_gtid_item *has, const pcl_gtid_item *wanted)
{
    if (has->flavor == PCL_FLAVOR_MARIADB && wanted->flavor == PCL_FLAVOR_MARIADB) {
        return has->domain == wanted->domain &&
               (has->last > wanted->last ||
                (has->last == wanted->last && has->server == wanted->server));
    }
    return s_same_origin(has, wanted) && has->first <= wanted->last && wanted->last <= has->last;
}

static bool s_covers_item(const pcl_gtid_item *has, const pcl_gtid_item *wanted)
{
    return s_same_origin(has, wanted) && has->last >= wanted->last;
}

typedef bool(s_compare)(const pcl_gtid_item *has, const pcl_gtid_item *wanted);

typedef struct item_list {
    uint32_t count;
    pcl_gtid_item items[PCL_GTID_ORIGINS_MAX];
} item_list;

/* The items of a well-formed set that has any. */
static bool s_list(item_list *self, pcl_bytes text)
{
    pcl_gtid_reader reader = pcl_gtid_reader_of(text);
    pcl_gtid_item item;
    self->count = 0;
    while (pcl_gtid_next(&reader, &item)) {
        if (self->count == PCL_GTID_ORIGINS_MAX ||
            (self->count > 0 && self->items[0].flavor != item.flavor)) {
            return false;
        }
        self->items[self->count++] = item;
    }
    return !reader.failed && self->count > 0;
}

/* Each item of wanted meets one of set.  Asked at every choice of a node: each is read once. */
static bool s_has_all(pcl_bytes set, pcl_bytes wanted, s_compare *meets)
{
    item_list missing;
    if (!s_list(&missing, wanted)) {
        return false;
    }
    pcl_gtid_reader reader = pcl_gtid_reader_of(set);
    pcl_gtid_item has;
    while (missing.count > 0 && pcl_gtid_next(&reader, &has)) {
        for (uint32_t index = 0; index < missing.count;) {
            if (meets(&has, &missing.items[index])) {
                missing.items[index] = missing.items[--missing.count];
            } else {
                index++;
            }
        }
    }
    return missing.count == 0;
}

bool pcl_gtid_reaches(pcl_bytes set, pcl_bytes position)
{
    return s_has_all(set, position, s_reaches_item);
}

bool pcl_gtid_covers(pcl_bytes a, pcl_bytes b)
{
    return s_has_all(a, b, s_covers_item);
}

/* --- Positions -------------------------------------------------------------- */

typedef bool(s_same)(const pcl_gtid_item *a, const pcl_gtid_item *b);

static bool s_same_domain(const pcl_gtid_item *a, const pcl_gtid_item *b)
{
    return a->flavor == PCL_FLAVOR_MARIADB ? a->flavor == b->flavor && a->domain == b->domain
                                           : s_same_origin(a, b);
}

/* Items that are the same in that sense become the last of them. */
static bool s_add(item_list *self, pcl_bytes text, s_same *same)
{
    pcl_gtid_reader reader = pcl_gtid_reader_of(text);
    pcl_gtid_item item;
    while (pcl_gtid_next(&reader, &item)) {
        uint32_t index = 0;
        while (index < self->count && !same(&self->items[index], &item)) {
            index++;
        }
        if (self->count > 0 && self->items[0].flavor != item.flavor) {
            return false;
        }
        if (index == PCL_GTID_ORIGINS_MAX) {
            return false;
        }
        if (index == self->count) {
            self->items[self->count++] = item;
        } else if (item.last > self->items[index].last) {
            self->items[index] = item;
        }
    }
    return !reader.failed;
}

static int s_order_numbers(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b ? 1 : 0;
}

static int s_order(const pcl_gtid_item *a, const pcl_gtid_item *b)
{
    if (a->flavor == PCL_FLAVOR_MARIADB) {
        int order = s_order_numbers(a->domain, b->domain);
        return order != 0 ? order : s_order_numbers(a->server, b->server);
    }
    int order = memcmp(a->uuid, b->uuid, sizeof a->uuid);
    size_t size = a->tag.size < b->tag.size ? a->tag.size : b->tag.size;
    for (size_t index = 0; order == 0 && index < size; index++) {
        order = s_lower(a->tag.data[index]) - s_lower(b->tag.data[index]);
    }
    return order != 0 ? order : s_order_numbers(a->tag.size, b->tag.size);
}

/* There are few, and mostly in order. */
static void s_sort(item_list *self)
{
    for (uint32_t index = 1; index < self->count; index++) {
        pcl_gtid_item item = self->items[index];
        uint32_t hole = index;
        for (; hole > 0 && s_order(&item, &self->items[hole - 1]) < 0; hole--) {
            self->items[hole] = self->items[hole - 1];
        }
        self->items[hole] = item;
    }
}

static size_t s_write_mysql(const pcl_gtid_item *item, char text[ITEM_SIZE_MAX])
{
    static const char DIGITS[] = "0123456789abcdef";
    size_t size = 0;
    for (size_t index = 0; index < PCL_GTID_UUID_SIZE; index++) {
        if (index == 4 || index == 6 || index == 8 || index == 10) {
            text[size++] = '-';
        }
        text[size++] = DIGITS[item->uuid[index] >> 4];
        text[size++] = DIGITS[item->uuid[index] & 15];
    }
    if (item->tag.size > 0) {
        text[size++] = ':';
        for (size_t index = 0; index < item->tag.size; index++) {
            text[size++] = (char)s_lower(item->tag.data[index]);
        }
    }
    return size + (size_t)snprintf(text + size, ITEM_SIZE_MAX - size, ":%" PRIu64, item->last);
}

static size_t s_write_item(const pcl_gtid_item *item, char text[ITEM_SIZE_MAX])
{
    if (item->flavor == PCL_FLAVOR_MYSQL) {
        return s_write_mysql(item, text);
    }
    return (size_t)snprintf(text, ITEM_SIZE_MAX, "%" PRIu32 "-%" PRIu32 "-%" PRIu64, item->domain,
                            item->server, item->last);
}

static size_t s_write(item_list *self, char *target, size_t target_size)
{
    size_t size = 0;
    s_sort(self);
    for (uint32_t index = 0; index < self->count; index++) {
        char text[ITEM_SIZE_MAX];
        size_t item_size = s_write_item(&self->items[index], text);
        size_t comma_size = index > 0 ? 1 : 0;
        if (target_size - size <= comma_size + item_size) {
            target[0] = '\0';
            return 0;
        }
        if (index > 0) {
            target[size++] = ',';
        }
        memcpy(target + size, text, item_size);
        size += item_size;
    }
    target[size] = '\0';
    return size;
}

size_t pcl_gtid_merge(pcl_bytes a, pcl_bytes b, char *target, size_t target_size)
{
    assert(target != NULL && target_size > 0);
    item_list both;
    both.count = 0;
    target[0] = '\0';
    bool whole = s_add(&both, a, s_same_origin) && s_add(&both, b, s_same_origin);
    return whole ? s_write(&both, target, target_size) : 0;
}

size_t pcl_gtid_furthest(pcl_bytes text, char *target, size_t target_size)
{
    assert(target != NULL && target_size > 0);
    item_list furthest;
    furthest.count = 0;
    target[0] = '\0';
    return s_add(&furthest, text, s_same_domain) ? s_write(&furthest, target, target_size) : 0;
}
