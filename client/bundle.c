#include "client/bundle.h"

#include "net/zpl.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef enum section {
    SECTION_NONE = 0, /* before the first, or an unknown one */
    SECTION_BUNDLE,
    SECTION_GATEKEEPER,
    SECTION_BROKER,
    SECTION_CURVE,
} section;

typedef struct parser {
    pcl_bundle bundle;     /* what was read so far */
    const char *name;      /* of the file */
    uint32_t line;         /* from 1 */
    uint32_t section_line; /* where the present section began */
    section section;
    bool version_given;
    uint32_t bundle_line, broker_line, curve_line; /* 0: not there */
    pcl_buffer *problems;
    bool failed;
} parser;

static void s_problem(parser *self, uint32_t line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void s_problem(parser *self, uint32_t line, const char *format, ...)
{
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    char where[300];
    if (line > 0) {
        (void)snprintf(where, sizeof where, "%s:%u: ", self->name, line);
    } else {
        (void)snprintf(where, sizeof where, "%s: ", self->name);
    }
    pcl_buffer_put(self->problems, where, strlen(where));
    pcl_buffer_put(self->problems, text, strlen(text));
    pcl_buffer_put_u8(self->problems, '\n');
    self->failed = true;
}

bool pcl_bundle_key_valid(pcl_bytes text)
{
    static const char alphabet[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                   ".-:+=^!/*?&<>()[]{}@%$#";
    if (text.size != PCL_BUNDLE_KEY_SIZE) {
        return false;
    }
    for (size_t index = 0; index < text.size; index++) {
        if (text.data[index] == 0 || strchr(alphabet, text.data[index]) == NULL) {
            return false;
        }
    }
    return true;
}

static bool s_starts(pcl_bytes text, const char *start)
{
    size_t size = strlen(start);
    return text.size > size && memcmp(text.data, start, size) == 0;
}

static bool s_port_valid(pcl_bytes text)
{
    uint32_t port = 0;
    for (size_t index = 0; index < text.size; index++) {
        if (text.data[index] < '0' || text.data[index] > '9' || port > 65535) {
            return false;
        }
        port = port * 10 + (uint32_t)(text.data[index] - '0');
    }
    return text.size > 0 && port >= 1 && port <= 65535;
}

bool pcl_bundle_endpoint_valid(pcl_bytes text)
{
    if (text.size == 0 || text.size > PCL_BUNDLE_ENDPOINT_SIZE_MAX) {
        return false;
    }
    for (size_t index = 0; index < text.size; index++) { /* it must stand in quotes in a file */
        if (text.data[index] < ' ' || text.data[index] == '"' || text.data[index] == '\'') {
            return false;
        }
    }
    if (s_starts(text, "ipc://")) {
        return true;
    }
    if (!s_starts(text, "tcp://")) {
        return false;
    }
    size_t colon = text.size;
    while (colon > 6 && text.data[colon - 1] != ':') {
        colon--;
    }
    return colon > 7 && s_port_valid(pcl_bytes_of(text.data + colon, text.size - colon));
}

static void s_copy(char *target, pcl_bytes value)
{
    memcpy(target, value.data, value.size);
    target[value.size] = '\0';
}

static void s_set_key(parser *self, const char *path, char *target, pcl_bytes value)
{
    if (target[0] != '\0') {
        s_problem(self, self->line, "%s: stands there twice", path);
    } else if (!pcl_bundle_key_valid(value)) {
        s_problem(self, self->line, "%s: must be a key, 40 characters of Z85", path);
    } else {
        s_copy(target, value);
    }
}

static bool s_name_valid(pcl_bytes value)
{
    for (size_t index = 0; index < value.size; index++) {
        uint8_t octet = value.data[index];
        bool good = (octet >= '0' && octet <= '9') || (octet >= 'a' && octet <= 'z') ||
                    (octet >= 'A' && octet <= 'Z') || octet == '.' || octet == '_' || octet == '-';
        if (!good) {
            return false;
        }
    }
    return value.size > 0 && value.size <= PCL_BUNDLE_NAME_SIZE_MAX;
}

/* How much of a foreign key a message repeats. */
static int s_shown(pcl_bytes key)
{
    return key.size < 63 ? (int)key.size : 63;
}

static void s_bundle_pair(parser *self, pcl_bytes key, pcl_bytes value)
{
    if (pcl_bytes_is(key, "version")) {
        if (!pcl_bytes_is(value, "1")) {
            s_problem(self, self->line,
                      "bundle/version: must be 1, the only one this client knows");
        }
        self->version_given = true;
    } else if (pcl_bytes_is(key, "principal")) {
        if (!s_name_valid(value)) {
            s_problem(self, self->line,
                      "bundle/principal: must be 1 to 63 characters of A-Za-z0-9._-");
        } else {
            s_copy(self->bundle.principal, value);
        }
    } else {
        s_problem(self, self->line, "bundle/%.*s: there is no such key", s_shown(key),
                  (const char *)key.data);
    }
}

static void s_gatekeeper_pair(parser *self, pcl_bytes key, pcl_bytes value)
{
    pcl_bundle_gatekeeper *gatekeeper =
        &self->bundle.gatekeepers[self->bundle.gatekeeper_count - 1];
    if (pcl_bytes_is(key, "endpoint")) {
        if (gatekeeper->endpoint[0] != '\0') {
            s_problem(self, self->line, "gatekeeper/endpoint: stands there twice");
        } else if (!pcl_bundle_endpoint_valid(value)) {
            s_problem(self, self->line,
                      "gatekeeper/endpoint: must be tcp://HOST:PORT or ipc://PATH");
        } else {
            s_copy(gatekeeper->endpoint, value);
        }
    } else if (pcl_bytes_is(key, "public-key")) {
        s_set_key(self, "gatekeeper/public-key", gatekeeper->public_key, value);
    } else {
        s_problem(self, self->line, "gatekeeper/%.*s: there is no such key", s_shown(key),
                  (const char *)key.data);
    }
}

static void s_broker_pair(parser *self, pcl_bytes key, pcl_bytes value)
{
    if (pcl_bytes_is(key, "public-key")) {
        s_set_key(self, "broker/public-key", self->bundle.broker_key, value);
    } else {
        s_problem(self, self->line, "broker/%.*s: there is no such key", s_shown(key),
                  (const char *)key.data);
    }
}

static void s_curve_pair(parser *self, pcl_bytes key, pcl_bytes value)
{
    if (pcl_bytes_is(key, "public-key")) {
        s_set_key(self, "curve/public-key", self->bundle.public_key, value);
    } else if (pcl_bytes_is(key, "secret-key")) {
        s_set_key(self, "curve/secret-key", self->bundle.secret_key, value);
    } else {
        s_problem(self, self->line, "curve/%.*s: there is no such key", s_shown(key),
                  (const char *)key.data);
    }
}

static void s_end_section(parser *self)
{
    if (self->section != SECTION_GATEKEEPER || self->failed) {
        return;
    }
    const pcl_bundle_gatekeeper *gatekeeper =
        &self->bundle.gatekeepers[self->bundle.gatekeeper_count - 1];
    if (gatekeeper->endpoint[0] == '\0') {
        s_problem(self, self->section_line, "gatekeeper/endpoint: is missing");
    } else if (gatekeeper->public_key[0] == '\0' && gatekeeper->endpoint[0] == 't') {
        s_problem(self, self->section_line, "gatekeeper/public-key: is missing");
    }
}

static void s_section(parser *self, pcl_bytes name, bool has_value)
{
    s_end_section(self);
    self->section = SECTION_NONE;
    self->section_line = self->line;
    if (has_value) {
        s_problem(self, self->line, "%s: a key must stand indented in a section",
                  (const char *)name.data);
        return;
    }
    if (pcl_bytes_is(name, "gatekeeper")) {
        if (self->bundle.gatekeeper_count == PCL_BUNDLE_GATEKEEPERS_MAX) {
            s_problem(self, self->line, "gatekeeper: there may be %u of them",
                      PCL_BUNDLE_GATEKEEPERS_MAX);
            return;
        }
        self->bundle.gatekeeper_count++;
        self->section = SECTION_GATEKEEPER;
        return;
    }
    struct {
        const char *name;
        section section;
        uint32_t *line;
    } single[] = {{"bundle", SECTION_BUNDLE, &self->bundle_line},
                  {"broker", SECTION_BROKER, &self->broker_line},
                  {"curve", SECTION_CURVE, &self->curve_line}};
    for (size_t index = 0; index < sizeof single / sizeof *single; index++) {
        if (pcl_bytes_is(name, single[index].name)) {
            if (*single[index].line != 0) {
                s_problem(self, self->line, "%s: stands there twice", single[index].name);
            }
            *single[index].line = self->line;
            self->section = single[index].section;
            return;
        }
    }
    s_problem(self, self->line,
              "%s: there is no such section; there are bundle, gatekeeper, broker, curve",
              (const char *)name.data);
}

static void s_item(parser *self, const pcl_zpl *zpl)
{
    pcl_bytes path = pcl_bytes_text(zpl->path);
    if (zpl->depth == 1) {
        s_section(self, path, zpl->has_value);
        return;
    }
    const uint8_t *slash = memchr(path.data, '/', path.size);
    assert(slash != NULL);
    pcl_bytes key = pcl_bytes_of(slash + 1, path.size - (size_t)(slash + 1 - path.data));
    switch (self->section) {
    case SECTION_BUNDLE:
        s_bundle_pair(self, key, zpl->value);
        break;
    case SECTION_GATEKEEPER:
        s_gatekeeper_pair(self, key, zpl->value);
        break;
    case SECTION_BROKER:
        s_broker_pair(self, key, zpl->value);
        break;
    case SECTION_CURVE:
        s_curve_pair(self, key, zpl->value);
        break;
    case SECTION_NONE: /* the unknown section has been reported already */
        break;
    }
}

/* What can only be said of the whole. */
static void s_finish(parser *self)
{
    s_end_section(self);
    if (self->bundle_line == 0) {
        s_problem(self, 0, "bundle: the section is missing; this is no client bundle");
    } else if (!self->version_given) {
        s_problem(self, self->bundle_line, "bundle/version: is missing");
    }
    if (self->broker_line != 0 && self->bundle.broker_key[0] == '\0' && !self->failed) {
        s_problem(self, self->broker_line, "broker/public-key: is missing");
    }
    bool curve_needed = self->broker_line != 0; /* a seal is made with the client's own key */
    for (uint32_t index = 0; index < self->bundle.gatekeeper_count; index++) {
        curve_needed = curve_needed || self->bundle.gatekeepers[index].public_key[0] != '\0';
    }
    if (self->bundle.gatekeeper_count == 0) {
        s_problem(self, 0, "gatekeeper: there is none");
    }
    if (self->failed || !curve_needed) {
        return;
    }
    if (self->curve_line == 0) {
        s_problem(self, 0, "curve: the section with the client's own keys is missing");
        return;
    }
    if (self->bundle.public_key[0] == '\0') {
        s_problem(self, self->curve_line, "curve/public-key: is missing");
    }
    if (self->bundle.secret_key[0] == '\0') {
        s_problem(self, self->curve_line, "curve/secret-key: is missing");
    }
}

bool pcl_bundle_parse(pcl_bundle *out_bundle, pcl_bytes text, const char *name,
                      pcl_buffer *problems)
{
    assert(out_bundle != NULL);
    assert(problems != NULL);
    parser self = {.name = name, .problems = problems};
    if (text.size > PCL_BUNDLE_SIZE_MAX) {
        s_problem(&self, 0, "is over %u octets; this is no client bundle", PCL_BUNDLE_SIZE_MAX);
        return false;
    }
    pcl_zpl zpl;
    pcl_zpl_start(&zpl, text);
    for (pcl_zpl_result result; (result = pcl_zpl_next(&zpl)) != PCL_ZPL_END;) {
        self.line = zpl.line;
        if (result == PCL_ZPL_BAD) {
            s_problem(&self, self.line, "%s", zpl.fault);
        } else {
            s_item(&self, &zpl);
        }
    }
    s_finish(&self);
    if (!self.failed) {
        *out_bundle = self.bundle;
    }
    pcl_bundle_wipe(&self.bundle);
    return !self.failed;
}

/* All that may stand in one needs no escapes: neither keys and names nor endpoints have quotes. */
static void s_put(pcl_buffer *buffer, const char *before, const char *value, const char *after)
{
    pcl_buffer_put(buffer, before, strlen(before));
    pcl_buffer_put(buffer, value, strlen(value));
    pcl_buffer_put(buffer, after, strlen(after));
}

void pcl_bundle_put(const pcl_bundle *bundle, pcl_buffer *buffer)
{
    s_put(buffer, "# What a client needs.  It has the secret key: keep it from others.\n", "",
          "bundle\n    version = \"1\"\n");
    if (bundle->principal[0] != '\0') {
        s_put(buffer, "    principal = \"", bundle->principal, "\"\n");
    }
    for (uint32_t index = 0; index < bundle->gatekeeper_count; index++) {
        const pcl_bundle_gatekeeper *gatekeeper = &bundle->gatekeepers[index];
        s_put(buffer, "gatekeeper\n    endpoint = \"", gatekeeper->endpoint, "\"\n");
        if (gatekeeper->public_key[0] != '\0') {
            s_put(buffer, "    public-key = \"", gatekeeper->public_key, "\"\n");
        }
    }
    if (bundle->broker_key[0] != '\0') {
        s_put(buffer, "broker\n    public-key = \"", bundle->broker_key, "\"\n");
    }
    if (bundle->public_key[0] != '\0') {
        s_put(buffer, "curve\n    public-key = \"", bundle->public_key, "\"\n");
        s_put(buffer, "    secret-key = \"", bundle->secret_key, "\"\n");
    }
}

void pcl_bundle_wipe(pcl_bundle *bundle)
{
    volatile uint8_t *octets = (volatile uint8_t *)bundle;
    for (size_t index = 0; index < sizeof *bundle; index++) {
        octets[index] = 0; /* volatile: may not be left out as a dead store */
    }
}
