#include "audit/record.h"

#include "common/clock.h"

#include <assert.h>
#include <string.h>

static const char HEX[] = "0123456789abcdef";

static const char *const KINDS[] = {
    [PCL_AUDIT_DONE] = "done",           [PCL_AUDIT_START] = "start",   [PCL_AUDIT_END] = "end",
    [PCL_AUDIT_STATEMENT] = "statement", [PCL_AUDIT_EVENT] = "event",   [PCL_AUDIT_OPEN] = "open",
    [PCL_AUDIT_RESUME] = "resume",       [PCL_AUDIT_DIGEST] = "digest", [PCL_AUDIT_GAP] = "gap",
};

const char *pcl_audit_kind_text(pcl_audit_kind kind)
{
    assert(kind < PCL_AUDIT_KIND_COUNT);
    return KINDS[kind];
}

bool pcl_audit_kind_parse(pcl_bytes text, pcl_audit_kind *out_kind)
{
    for (int kind = 0; kind < PCL_AUDIT_KIND_COUNT; kind++) {
        if (pcl_bytes_is(text, KINDS[kind])) {
            *out_kind = (pcl_audit_kind)kind;
            return true;
        }
    }
    return false;
}

/* --- Time -------------------------------------------------------------------------- */

#define SECONDS_PER_DAY 86400u

/* Days since 1970-01-01 of a date, and back: the Gregorian calendar in eras of 400 years that
 * begin in March, so that the leap day is the last of a year. */
static uint64_t s_days_of(uint64_t year, uint64_t month, uint64_t day)
{
    year -= month <= 2 ? 1 : 0;
    uint64_t era = year / 400;
    uint64_t year_of_era = year % 400;
    uint64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    uint64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static void s_date_of(uint64_t days, uint64_t *out_year, uint64_t *out_month, uint64_t *out_day)
{
    days += 719468;
    uint64_t era = days / 146097;
    uint64_t day_of_era = days % 146097;
    uint64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 -
                            day_of_era / 146096) /
                           365;
    uint64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint64_t month_of_year = (5 * day_of_year + 2) / 153;
    *out_day = day_of_year - (153 * month_of_year + 2) / 5 + 1;
    *out_month = month_of_year < 10 ? month_of_year + 3 : month_of_year - 9;
    *out_year = year_of_era + era * 400 + (*out_month <= 2 ? 1 : 0);
}

/* value is below 10 to the width. */
static char *s_put_digits(char *target, uint32_t value, size_t width)
{
    for (size_t index = width; index > 0; index--) {
        target[index - 1] = (char)('0' + value % 10);
        value /= 10;
    }
    return target + width;
}

/* 9999-12-31T23:59:59.999999Z */
#define TIME_US_MAX UINT64_C(253402300799999999)

void pcl_audit_time_format(uint64_t time_us, char target[PCL_AUDIT_TIME_SIZE])
{
    uint64_t year;
    uint64_t month;
    uint64_t day;
    time_us = time_us < TIME_US_MAX ? time_us : TIME_US_MAX;
    uint64_t seconds = time_us / PCL_US_PER_S;
    s_date_of(seconds / SECONDS_PER_DAY, &year, &month, &day);
    seconds %= SECONDS_PER_DAY;
    const struct {
        uint64_t value;
        size_t width;
        char end;
    } parts[] = {
        {year, 4, '-'},
        {month, 2, '-'},
        {day, 2, 'T'},
        {seconds / 3600, 2, ':'},
        {seconds / 60 % 60, 2, ':'},
        {seconds % 60, 2, '.'},
        {time_us % PCL_US_PER_S, 6, 'Z'},
    };
    for (size_t index = 0; index < sizeof parts / sizeof parts[0]; index++) {
        target = s_put_digits(target, (uint32_t)parts[index].value, parts[index].width);
        *target++ = parts[index].end;
    }
    *target = '\0';
}

static uint64_t s_days_in_month(uint64_t year, uint64_t month)
{
    uint64_t next_year = month == 12 ? year + 1 : year;
    return s_days_of(next_year, month == 12 ? 1 : month + 1, 1) - s_days_of(year, month, 1);
}

bool pcl_audit_time_parse(pcl_bytes text, uint64_t *out_time_us)
{
    static const size_t WIDTHS[] = {4, 2, 2, 2, 2, 2, 6};
    static const char ENDS[] = "--T::.Z";
    uint64_t value[7] = {0, 1, 1, 0, 0, 0, 0};
    size_t at = 0;
    size_t part = 0;
    for (; part < 7 && at < text.size; part++) {
        value[part] = 0;
        if (text.size - at < WIDTHS[part]) {
            return false;
        }
        for (size_t index = 0; index < WIDTHS[part]; index++, at++) {
            if (text.data[at] < '0' || text.data[at] > '9') {
                return false;
            }
            value[part] = value[part] * 10 + (uint64_t)(text.data[at] - '0');
        }
        /* A `Z` may end it anywhere behind the date; else what separates it from the next part. */
        bool last = at + 1 == text.size && part >= 2 && text.data[at] == 'Z';
        if (at < text.size && (last || text.data[at] == (uint8_t)ENDS[part])) {
            at++;
        } else if (at < text.size) {
            return false;
        }
    }
    bool ended = at == text.size && part >= 3 && text.data[at - 1] != '-' &&
                 text.data[at - 1] != ':' && text.data[at - 1] != '.' && text.data[at - 1] != 'T';
    if (!ended || value[0] < 1970 || value[1] < 1 || value[1] > 12 || value[2] < 1 ||
        value[2] > s_days_in_month(value[0], value[1]) || value[3] > 23 || value[4] > 59 ||
        value[5] > 59) {
        return false;
    }
    uint64_t seconds = s_days_of(value[0], value[1], value[2]) * SECONDS_PER_DAY + value[3] * 3600 +
                       value[4] * 60 + value[5];
    *out_time_us = seconds * PCL_US_PER_S + value[6];
    return true;
}

/* --- The fields behind time, seq and kind -------------------------------------------- */

typedef enum field_type {
    FIELD_TEXT = 0, /* pcl_bytes */
    FIELD_OCTETS,   /* an array, and a bool that says whether it is there; in hexadecimal */
    FIELD_NUMBER,   /* uint64_t, and a bool */
    FIELD_COUNT,    /* uint64_t; 0 is left out */
    FIELD_FLAG,     /* bool; false is left out */
} field_type;

typedef struct field {
    const char *name;
    size_t name_size;
    field_type type;
    size_t offset;     /* in pcl_audit_record */
    size_t has_offset; /* of the bool */
    size_t size;       /* of the array; the most of a text */
} field;

#define TEXT(name, member) name, sizeof name - 1, FIELD_TEXT, offsetof(pcl_audit_record, member), 0
#define OCTETS(name, member)                                                                       \
    name, sizeof name - 1, FIELD_OCTETS, offsetof(pcl_audit_record, member),                       \
        offsetof(pcl_audit_record, has_##member)
#define NUMBER(name, member, has)                                                                  \
    name, sizeof name - 1, FIELD_NUMBER, offsetof(pcl_audit_record, member),                       \
        offsetof(pcl_audit_record, has), 0
#define COUNT(name, member)                                                                        \
    name, sizeof name - 1, FIELD_COUNT, offsetof(pcl_audit_record, member), 0, 0
#define FLAG(name, member)                                                                         \
    name, sizeof name - 1, FIELD_FLAG, offsetof(pcl_audit_record, member), 0, 0

/* In the order of the line. */
static const field FIELDS[] = {
    {OCTETS("id", id), PCL_ID_SIZE},
    {OCTETS("session", session), PCL_ID_SIZE},
    {TEXT("principal", principal), PCL_AUDIT_WORD_SIZE_MAX},
    {TEXT("role", role), PCL_AUDIT_WORD_SIZE_MAX},
    {TEXT("op", op), PCL_AUDIT_WORD_SIZE_MAX},
    {TEXT("class", sql_class), PCL_AUDIT_WORD_SIZE_MAX},
    {TEXT("strategy", strategy), PCL_AUDIT_WORD_SIZE_MAX},
    {TEXT("db", db), PCL_AUDIT_WORD_SIZE_MAX},
    {NUMBER("statement", statement, has_statement)},
    {TEXT("digest", digest), PCL_AUDIT_WORD_SIZE_MAX},
    {TEXT("code", code), PCL_AUDIT_WORD_SIZE_MAX},
    {TEXT("rule", rule), PCL_AUDIT_WORD_SIZE_MAX},
    {TEXT("dry_run", dry_run), PCL_AUDIT_WORD_SIZE_MAX},
    {TEXT("node", node), PCL_AUDIT_WORD_SIZE_MAX},
    {NUMBER("rows", rows, has_rows)},
    {NUMBER("took_us", took_us, has_took)},
    {FLAG("sealed", sealed)},
    {TEXT("peer", peer), PCL_AUDIT_WORD_SIZE_MAX},
    {TEXT("token", token), PCL_AUDIT_TEXT_SIZE_MAX},
    {TEXT("text", digest_text), PCL_AUDIT_TEXT_SIZE_MAX},
    {OCTETS("previous", previous), PCL_AUDIT_HASH_SIZE},
    {COUNT("torn", torn)},
    {COUNT("lost", lost)},
};

enum { FIELDS_COUNT = sizeof FIELDS / sizeof FIELDS[0] };

static bool s_flag_at(const pcl_audit_record *record, size_t offset)
{
    return *(const bool *)((const char *)record + offset);
}

static uint64_t s_number_at(const pcl_audit_record *record, size_t offset)
{
    uint64_t value;
    memcpy(&value, (const char *)record + offset, sizeof value);
    return value;
}

static const pcl_bytes *s_text_at(const pcl_audit_record *record, size_t offset)
{
    return (const pcl_bytes *)(const void *)((const char *)record + offset);
}

/* --- Writing ----------------------------------------------------------------------- */

/* Which octets may stand in a value without quotes: [A-Za-z0-9._:/+-], a bit for each. */
static bool s_is_plain(uint8_t octet)
{
    static const uint64_t plain[4] = {UINT64_C(0x07ffe80000000000), UINT64_C(0x07fffffe87fffffe)};
    return (plain[octet >> 6] >> (octet & 63) & 1) != 0;
}

static void s_put(pcl_buffer *buffer, const char *text)
{
    pcl_buffer_put(buffer, text, strlen(text));
}

static void s_put_number(pcl_buffer *buffer, uint64_t value)
{
    char digits[20];
    size_t used = sizeof digits;
    do {
        digits[--used] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    pcl_buffer_put(buffer, digits + used, sizeof digits - used);
}

static void s_put_hex(pcl_buffer *buffer, const uint8_t *octets, size_t size)
{
    char text[PCL_AUDIT_HASH_TEXT];
    assert(size <= PCL_AUDIT_HASH_SIZE);
    for (size_t index = 0; index < size; index++) {
        text[2 * index] = HEX[octets[index] >> 4];
        text[2 * index + 1] = HEX[octets[index] & 15];
    }
    pcl_buffer_put(buffer, text, 2 * size);
}

static void s_put_text(pcl_buffer *buffer, pcl_bytes text, size_t size_max)
{
    size_t size = text.size < size_max ? text.size : size_max;
    size_t plain = 0;
    while (plain < size && s_is_plain(text.data[plain])) {
        plain++;
    }
    if (plain == size) {
        pcl_buffer_put(buffer, text.data, size);
        return;
    }
    pcl_buffer_put_u8(buffer, '"');
    size_t from = 0;
    for (size_t index = 0; index < size; index++) {
        uint8_t octet = text.data[index];
        if (octet >= 0x20 && octet < 0x7f && octet != '"' && octet != '\\') {
            continue;
        }
        char escaped[4] = {'\\', 'x', HEX[octet >> 4], HEX[octet & 15]};
        pcl_buffer_put(buffer, text.data + from, index - from);
        pcl_buffer_put(buffer, escaped, sizeof escaped);
        from = index + 1;
    }
    pcl_buffer_put(buffer, text.data + from, size - from);
    pcl_buffer_put_u8(buffer, '"');
}

static bool s_is_left_out(const pcl_audit_record *record, const field *which)
{
    switch (which->type) {
    case FIELD_TEXT:
        return s_text_at(record, which->offset)->size == 0;
    case FIELD_OCTETS:
    case FIELD_NUMBER:
        return !s_flag_at(record, which->has_offset);
    case FIELD_COUNT:
        return s_number_at(record, which->offset) == 0;
    case FIELD_FLAG:
        return !s_flag_at(record, which->offset);
    }
    return true;
}

static void s_put_field(pcl_buffer *buffer, const pcl_audit_record *record, const field *which)
{
    if (s_is_left_out(record, which)) {
        return;
    }
    const char *place = (const char *)record + which->offset;
    pcl_buffer_put(buffer, which->name, which->name_size);
    pcl_buffer_put_u8(buffer, '=');
    switch (which->type) {
    case FIELD_TEXT:
        s_put_text(buffer, *s_text_at(record, which->offset), which->size);
        break;
    case FIELD_OCTETS:
        s_put_hex(buffer, (const uint8_t *)place, which->size);
        break;
    case FIELD_NUMBER:
    case FIELD_COUNT:
        s_put_number(buffer, s_number_at(record, which->offset));
        break;
    case FIELD_FLAG:
        pcl_buffer_put_u8(buffer, '1');
        break;
    }
    pcl_buffer_put_u8(buffer, ' ');
}

void pcl_audit_record_format(const pcl_audit_record *record, pcl_buffer *buffer)
{
    assert(record != NULL && buffer != NULL);
    char time[PCL_AUDIT_TIME_SIZE];
    pcl_audit_time_format(record->time_us, time);
    s_put(buffer, time);
    s_put(buffer, " seq=");
    s_put_number(buffer, record->sequence);
    s_put(buffer, " kind=");
    s_put(buffer, pcl_audit_kind_text(record->kind));
    pcl_buffer_put_u8(buffer, ' ');
    for (size_t index = 0; index < FIELDS_COUNT; index++) {
        s_put_field(buffer, record, &FIELDS[index]);
    }
}

/* --- Copying ------------------------------------------------------------------------- */

static size_t s_cut(pcl_bytes text, const field *which)
{
    return text.size < which->size ? text.size : which->size;
}

size_t pcl_audit_record_texts_size(const pcl_audit_record *record)
{
    size_t size = 0;
    for (size_t index = 0; index < FIELDS_COUNT; index++) {
        if (FIELDS[index].type == FIELD_TEXT) {
            size += s_cut(*s_text_at(record, FIELDS[index].offset), &FIELDS[index]);
        }
    }
    return size;
}

void pcl_audit_record_copy(const pcl_audit_record *record, pcl_audit_record *out_copy,
                           uint8_t *octets)
{
    assert(record != out_copy);
    *out_copy = *record;
    for (size_t index = 0; index < FIELDS_COUNT; index++) {
        if (FIELDS[index].type == FIELD_TEXT) {
            pcl_bytes *text = (pcl_bytes *)(void *)((char *)out_copy + FIELDS[index].offset);
            text->size = s_cut(*text, &FIELDS[index]);
            if (text->size > 0) {
                memcpy(octets, text->data, text->size);
                text->data = octets;
                octets += text->size;
            }
        }
    }
}

/* --- Reading ----------------------------------------------------------------------- */

typedef struct cursor {
    const uint8_t *at;
    const uint8_t *end;
    pcl_audit_scratch *scratch;
    const char *problem; /* NULL: none yet */
} cursor;

static bool s_wrong(cursor *self, const char *problem)
{
    self->problem = problem;
    return false;
}

static bool s_take(cursor *self, const char *text)
{
    size_t size = strlen(text);
    if ((size_t)(self->end - self->at) < size || memcmp(self->at, text, size) != 0) {
        return false;
    }
    self->at += size;
    return true;
}

/* What stands before the next blank, which is taken too. */
static bool s_take_word(cursor *self, pcl_bytes *out_word)
{
    const uint8_t *blank = memchr(self->at, ' ', (size_t)(self->end - self->at));
    if (blank == NULL || blank == self->at) {
        return s_wrong(self, "a word is missing, or the blank behind it");
    }
    *out_word = pcl_bytes_of(self->at, (size_t)(blank - self->at));
    self->at = blank + 1;
    return true;
}

static bool s_take_number(cursor *self, uint64_t *out_value)
{
    pcl_bytes word;
    if (!s_take_word(self, &word)) {
        return false;
    }
    uint64_t value = 0;
    bool good = word.size == 1 || word.data[0] != '0';
    for (size_t index = 0; index < word.size && good; index++) {
        uint64_t digit = (uint64_t)word.data[index] - '0';
        good = word.data[index] >= '0' && digit <= 9 && value <= (UINT64_MAX - digit) / 10;
        value = value * 10 + digit;
    }
    if (!good) {
        return s_wrong(self, "a number is not a whole one of 64 bits");
    }
    *out_value = value;
    return true;
}

static int s_nibble(uint8_t digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* size octets in hexadecimal; takes no blank. */
static bool s_take_hex(cursor *self, uint8_t *target, size_t size)
{
    if ((size_t)(self->end - self->at) < 2 * size) {
        return s_wrong(self, "hexadecimal digits are missing");
    }
    for (size_t index = 0; index < size; index++, self->at += 2) {
        int high = s_nibble(self->at[0]);
        int low = s_nibble(self->at[1]);
        if (high < 0 || low < 0) {
            return s_wrong(self, "something is no hexadecimal digit");
        }
        target[index] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* One octet of a text in quotes. */
static bool s_take_octet(cursor *self, uint8_t *out_octet)
{
    uint8_t octet = *self->at++;
    if (octet < 0x20 || octet >= 0x7f) {
        return s_wrong(self, "a text holds an octet that must be escaped");
    }
    *out_octet = octet;
    if (octet != '\\') {
        return true;
    }
    if (!s_take(self, "x")) {
        return s_wrong(self, "a text holds an escape that is none");
    }
    return s_take_hex(self, out_octet, 1);
}

static bool s_take_text(cursor *self, pcl_bytes *out_text, size_t size_max)
{
    if (!s_take(self, "\"")) {
        pcl_bytes word;
        bool good = s_take_word(self, &word);
        for (size_t index = 0; good && index < word.size; index++) {
            good = s_is_plain(word.data[index]) ||
                   s_wrong(self, "a text without quotes holds an octet that needs them");
        }
        *out_text = good ? word : *out_text;
        return good && (word.size <= size_max || s_wrong(self, "a text is too long"));
    }
    uint8_t *octets = self->scratch->octets + self->scratch->used;
    size_t size = 0;
    while (self->at < self->end && *self->at != '"') {
        if (size == size_max) {
            return s_wrong(self, "a text is too long");
        }
        if (!s_take_octet(self, &octets[size++])) {
            return false;
        }
    }
    if (!s_take(self, "\" ")) {
        return s_wrong(self, "a text in quotes has no end");
    }
    if (size == 0) {
        return s_wrong(self, "a text is empty");
    }
    self->scratch->used += size;
    *out_text = pcl_bytes_of(octets, size);
    return true;
}

static bool s_take_value(cursor *self, pcl_audit_record *record, const field *which)
{
    char *place = (char *)record + which->offset;
    uint64_t number = 0;
    switch (which->type) {
    case FIELD_TEXT:
        return s_take_text(self, (pcl_bytes *)(void *)place, which->size);
    case FIELD_OCTETS:
        *(bool *)((char *)record + which->has_offset) = true;
        return s_take_hex(self, (uint8_t *)place, which->size) &&
               (s_take(self, " ") || s_wrong(self, "there are too many hexadecimal digits"));
    case FIELD_NUMBER:
        *(bool *)((char *)record + which->has_offset) = true;
        return s_take_number(self, (uint64_t *)(void *)place);
    case FIELD_COUNT:
        if (!s_take_number(self, &number) || number == 0) {
            return s_wrong(self, "a count must be a number above 0");
        }
        *(uint64_t *)(void *)place = number;
        return true;
    case FIELD_FLAG:
        *(bool *)place = true;
        return s_take(self, "1 ") || s_wrong(self, "a flag must be 1");
    }
    return false;
}

/* The fields, in their order, up to `chain=`. */
static bool s_take_fields(cursor *self, pcl_audit_record *record)
{
    for (size_t index = 0; index < FIELDS_COUNT; index++) {
        const uint8_t *before = self->at;
        if (!s_take(self, FIELDS[index].name)) {
            continue;
        }
        if (!s_take(self, "=")) {
            self->at = before; /* the beginning of another name */
        } else if (!s_take_value(self, record, &FIELDS[index])) {
            return false;
        }
    }
    return true;
}

static bool s_take_start(cursor *self, pcl_audit_record *record)
{
    pcl_bytes word;
    if (!s_take_word(self, &word) || word.size != PCL_AUDIT_TIME_SIZE - 1 ||
        !pcl_audit_time_parse(word, &record->time_us)) {
        return s_wrong(self, "it does not begin with a time");
    }
    if (!s_take(self, "seq=") || !s_take_number(self, &record->sequence)) {
        return s_wrong(self, "seq= with a number must follow the time");
    }
    if (!s_take(self, "kind=") || !s_take_word(self, &word) ||
        !pcl_audit_kind_parse(word, &record->kind)) {
        return s_wrong(self, "kind= with a known kind must follow the number");
    }
    return true;
}

bool pcl_audit_record_parse(pcl_audit_record *out_record, pcl_bytes line,
                            pcl_audit_scratch *scratch, uint8_t *out_chain, size_t *out_hashed_size,
                            const char **out_problem)
{
    assert(scratch != NULL && out_chain != NULL && out_hashed_size != NULL);
    pcl_audit_record record = {0};
    uint8_t chain[PCL_AUDIT_HASH_SIZE];
    scratch->used = 0;
    if (line.size >= PCL_AUDIT_LINE_SIZE_MAX || line.size == 0) {
        *out_problem = line.size == 0 ? "it is empty" : "it is too long";
        return false;
    }
    cursor self = {.at = line.data, .end = line.data + line.size, .scratch = scratch};
    bool good = s_take_start(&self, &record) && s_take_fields(&self, &record);
    size_t hashed_size = (size_t)(self.at - line.data);
    if (good && !s_take(&self, "chain=")) {
        good = s_wrong(&self, "a field is not known, stands twice or out of order");
    }
    good = good && s_take_hex(&self, chain, sizeof chain);
    if (good && self.at != self.end) {
        good = s_wrong(&self, "something follows the chain");
    }
    if (!good) {
        *out_problem = self.problem;
        return false;
    }
    *out_record = record;
    memcpy(out_chain, chain, sizeof chain);
    *out_hashed_size = hashed_size;
    return true;
}
