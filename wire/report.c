#include "wire/report.h"

#include "common/endian.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

/* Offsets of the fields, as the header file lists them. */
enum {
    AT_BOOT_ID = 0,
    AT_SEQ = 8,
    AT_TERM = 16,
    AT_ROLE = 24,
    AT_STATE = 25,
    AT_FLAVOR = 26,
    AT_FLAGS = 27,
    AT_WARM_PERCENT = 28,
    AT_RESERVED_1 = 29,
    AT_WORKERS = 30,
    AT_LAG_MS = 32,
    AT_RIF = 36,
    AT_RUNNING = 40,
    AT_QUEUED = 44,
    AT_QUEUE_MAX = 48,
    AT_THREADS_RUNNING = 52,
    AT_ERRORS = 56,
    AT_SERVED = 64,
    AT_SERVICE_MEAN_US = 72,
    AT_SERVICE_COUNT = 76,
    AT_SERVICE_VARIANCE = 80,
    AT_SERVICE_FAST_US = 84,
    AT_SERVICE_FAST_COUNT = 88,
    AT_EXEC_US = 92,
    AT_QUEUE_US = 96,
    AT_DATABASE_PORT = 100,
    AT_GTID_SIZE = 102,
    AT_SESSIONS = 104,
    AT_CURSORS = 108,
    AT_RIF_YOU = 112,
    AT_ZONE_SIZE = 116,
    AT_RESERVED_2 = 117,
    RESERVED_2_SIZE = 11,
    AT_GTID = 128,
};

enum { FLAG_READ_ONLY = 1, FLAG_REPLICATING = 2, FLAG_FAULT = 4, FLAG_NOTICE = 8, FLAGS_ALL = 15 };

static_assert(AT_GTID == PCL_REPORT_FIXED_SIZE, "the fields fill the fixed part");
static_assert(PCL_REPORT_GTID_SIZE_MAX <= UINT16_MAX, "the GTID set's size fits its field");
static_assert(PCL_REPORT_ZONE_SIZE_MAX <= UINT8_MAX, "the size of a zone's name fits its field");
static_assert(sizeof(float) == 4, "a float is a binary32");

/* Estimates come out of arithmetic on measured times, and a rounding error
 * must not cost the neighbour the whole report: what no receiver would accept
 * is written as the nearest that it does. */
static void s_put_float(uint8_t *target, float value)
{
    if (isnan(value) || value <= 0) {
        value = 0;
    } else if (value > FLT_MAX) {
        value = FLT_MAX;
    }
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    pcl_put_be(target, bits, sizeof bits);
}

static bool s_get_float(const uint8_t *source, float *out_value)
{
    uint32_t bits = (uint32_t)pcl_get_be(source, sizeof bits);
    memcpy(out_value, &bits, sizeof bits);
    return isfinite(*out_value) && !signbit(*out_value);
}

size_t pcl_report_encode(const pcl_report *report, uint8_t target[PCL_REPORT_SIZE_MAX])
{
    assert(report != NULL);
    assert(target != NULL);
    assert(report->role >= 0 && report->role < PCL_NODE_ROLE_COUNT);
    assert(report->state >= 0 && report->state < PCL_NODE_STATE_COUNT);
    assert(report->flavor >= 0 && report->flavor < PCL_FLAVOR_COUNT);
    assert(report->warm_percent <= 100);
    assert(report->lag_ms >= -1);
    assert(report->gtid.size <= PCL_REPORT_GTID_SIZE_MAX);
    pcl_bytes zone = pcl_bytes_text(report->zone);
    assert(zone.size <= PCL_REPORT_ZONE_SIZE_MAX);
    unsigned flags = (report->read_only ? FLAG_READ_ONLY : 0u) |
                     (report->replicating ? FLAG_REPLICATING : 0u) |
                     (report->fault ? FLAG_FAULT : 0u) | (report->notice ? FLAG_NOTICE : 0u);
    memset(target, 0, PCL_REPORT_FIXED_SIZE);
    pcl_put_be(target + AT_BOOT_ID, report->boot_id, 8);
    pcl_put_be(target + AT_SEQ, report->seq, 8);
    pcl_put_be(target + AT_TERM, report->term, 8);
    target[AT_ROLE] = (uint8_t)report->role;
    target[AT_STATE] = (uint8_t)report->state;
    target[AT_FLAVOR] = (uint8_t)report->flavor;
    target[AT_FLAGS] = (uint8_t)flags;
    target[AT_WARM_PERCENT] = report->warm_percent;
    pcl_put_be(target + AT_WORKERS, report->workers, 2);
    pcl_put_be(target + AT_LAG_MS, (uint32_t)report->lag_ms, 4);
    pcl_put_be(target + AT_RIF, report->rif, 4);
    pcl_put_be(target + AT_RUNNING, report->running, 4);
    pcl_put_be(target + AT_QUEUED, report->queued, 4);
    pcl_put_be(target + AT_QUEUE_MAX, report->queue_max, 4);
    pcl_put_be(target + AT_THREADS_RUNNING, report->threads_running, 4);
    pcl_put_be(target + AT_ERRORS, report->errors, 8);
    pcl_put_be(target + AT_SERVED, report->served, 8);
    s_put_float(target + AT_SERVICE_MEAN_US, report->service_mean_us);
    s_put_float(target + AT_SERVICE_COUNT, report->service_count);
    s_put_float(target + AT_SERVICE_VARIANCE, report->service_variance);
    s_put_float(target + AT_SERVICE_FAST_US, report->service_fast_us);
    s_put_float(target + AT_SERVICE_FAST_COUNT, report->service_fast_count);
    pcl_put_be(target + AT_EXEC_US, report->exec_us, 4);
    pcl_put_be(target + AT_QUEUE_US, report->queue_us, 4);
    pcl_put_be(target + AT_DATABASE_PORT, report->database_port, 2);
    pcl_put_be(target + AT_GTID_SIZE, report->gtid.size, 2);
    pcl_put_be(target + AT_SESSIONS, report->sessions, 4);
    pcl_put_be(target + AT_CURSORS, report->cursors, 4);
    pcl_put_be(target + AT_RIF_YOU, report->rif_you, 4);
    target[AT_ZONE_SIZE] = (uint8_t)zone.size;
    if (report->gtid.size > 0) {
        memcpy(target + AT_GTID, report->gtid.data, report->gtid.size);
    }
    if (zone.size > 0) {
        memcpy(target + AT_GTID + report->gtid.size, zone.data, zone.size);
    }
    return PCL_REPORT_FIXED_SIZE + report->gtid.size + zone.size;
}

bool pcl_zone_is_valid(pcl_bytes zone)
{
    for (size_t index = 0; index < zone.size; index++) {
        uint8_t octet = zone.data[index];
        uint8_t letter = octet | 0x20;
        bool fine = (octet >= '0' && octet <= '9') || (letter >= 'a' && letter <= 'z') ||
                    octet == '-' || octet == '.' || octet == '_';
        if (!fine) {
            return false;
        }
    }
    return zone.size <= PCL_REPORT_ZONE_SIZE_MAX;
}

/* GTID sets are ASCII; MySQL breaks long ones into lines. */
static bool s_is_gtid_text(pcl_bytes text)
{
    for (size_t index = 0; index < text.size; index++) {
        uint8_t octet = text.data[index];
        if ((octet < 0x20 || octet > 0x7e) && octet != '\n') {
            return false;
        }
    }
    return true;
}

static bool s_is_reserved_zero(const uint8_t *source)
{
    uint8_t any = source[AT_RESERVED_1];
    for (size_t index = 0; index < RESERVED_2_SIZE; index++) {
        any |= source[AT_RESERVED_2 + index];
    }
    return any == 0;
}

/* All but the floats and the GTID set; any values. */
static pcl_report s_get_fixed(const uint8_t *source)
{
    return (pcl_report){
        .boot_id = pcl_get_be(source + AT_BOOT_ID, 8),
        .seq = pcl_get_be(source + AT_SEQ, 8),
        .term = pcl_get_be(source + AT_TERM, 8),
        .role = (pcl_node_role)source[AT_ROLE],
        .state = (pcl_node_state)source[AT_STATE],
        .flavor = (pcl_flavor)source[AT_FLAVOR],
        .read_only = (source[AT_FLAGS] & FLAG_READ_ONLY) != 0,
        .replicating = (source[AT_FLAGS] & FLAG_REPLICATING) != 0,
        .fault = (source[AT_FLAGS] & FLAG_FAULT) != 0,
        .notice = (source[AT_FLAGS] & FLAG_NOTICE) != 0,
        .warm_percent = source[AT_WARM_PERCENT],
        .workers = (uint16_t)pcl_get_be(source + AT_WORKERS, 2),
        .rif = (uint32_t)pcl_get_be(source + AT_RIF, 4),
        .running = (uint32_t)pcl_get_be(source + AT_RUNNING, 4),
        .queued = (uint32_t)pcl_get_be(source + AT_QUEUED, 4),
        .queue_max = (uint32_t)pcl_get_be(source + AT_QUEUE_MAX, 4),
        .threads_running = (uint32_t)pcl_get_be(source + AT_THREADS_RUNNING, 4),
        .errors = pcl_get_be(source + AT_ERRORS, 8),
        .served = pcl_get_be(source + AT_SERVED, 8),
        .exec_us = (uint32_t)pcl_get_be(source + AT_EXEC_US, 4),
        .queue_us = (uint32_t)pcl_get_be(source + AT_QUEUE_US, 4),
        .database_port = (uint16_t)pcl_get_be(source + AT_DATABASE_PORT, 2),
        .sessions = (uint32_t)pcl_get_be(source + AT_SESSIONS, 4),
        .cursors = (uint32_t)pcl_get_be(source + AT_CURSORS, 4),
        .rif_you = (uint32_t)pcl_get_be(source + AT_RIF_YOU, 4),
    };
}

pcl_err pcl_report_decode(pcl_report *out_report, pcl_bytes source)
{
    assert(out_report != NULL);
    if (source.size < PCL_REPORT_FIXED_SIZE) {
        return PCL_ERR_MALFORMED;
    }
    const uint8_t *octets = source.data;
    size_t gtid_size = (size_t)pcl_get_be(octets + AT_GTID_SIZE, 2);
    size_t zone_size = octets[AT_ZONE_SIZE];
    if (gtid_size > PCL_REPORT_GTID_SIZE_MAX || zone_size > PCL_REPORT_ZONE_SIZE_MAX ||
        source.size != PCL_REPORT_FIXED_SIZE + gtid_size + zone_size ||
        !s_is_reserved_zero(octets) || (octets[AT_FLAGS] & ~FLAGS_ALL) != 0) {
        return PCL_ERR_MALFORMED;
    }
    pcl_report report = s_get_fixed(octets);
    if (report.role >= PCL_NODE_ROLE_COUNT || report.state >= PCL_NODE_STATE_COUNT ||
        report.flavor >= PCL_FLAVOR_COUNT || report.warm_percent > 100) {
        return PCL_ERR_MALFORMED;
    }
    uint32_t lag = (uint32_t)pcl_get_be(octets + AT_LAG_MS, 4);
    if (lag > INT32_MAX && lag != UINT32_MAX) {
        return PCL_ERR_MALFORMED;
    }
    report.lag_ms = lag == UINT32_MAX ? -1 : (int32_t)lag;
    if (!s_get_float(octets + AT_SERVICE_MEAN_US, &report.service_mean_us) ||
        !s_get_float(octets + AT_SERVICE_COUNT, &report.service_count) ||
        !s_get_float(octets + AT_SERVICE_VARIANCE, &report.service_variance) ||
        !s_get_float(octets + AT_SERVICE_FAST_US, &report.service_fast_us) ||
        !s_get_float(octets + AT_SERVICE_FAST_COUNT, &report.service_fast_count)) {
        return PCL_ERR_MALFORMED;
    }
    report.gtid = pcl_bytes_of(octets + AT_GTID, gtid_size);
    pcl_bytes zone = pcl_bytes_of(octets + AT_GTID + gtid_size, zone_size);
    if (!s_is_gtid_text(report.gtid) || !pcl_zone_is_valid(zone)) {
        return PCL_ERR_MALFORMED;
    }
    pcl_bytes_to_text(zone, report.zone, sizeof report.zone);
    *out_report = report;
    return PCL_ERR_OK;
}

const char *pcl_node_role_text(pcl_node_role role)
{
    switch (role) {
    case PCL_NODE_SOURCE:
        return "source";
    case PCL_NODE_REPLICA:
        return "replica";
    case PCL_NODE_UNKNOWN:
    case PCL_NODE_ROLE_COUNT:
        break;
    }
    return "unknown";
}

const char *pcl_node_state_text(pcl_node_state state)
{
    switch (state) {
    case PCL_NODE_UP:
        return "up";
    case PCL_NODE_DRAIN:
        return "drain";
    case PCL_NODE_NOT_READY:
    case PCL_NODE_STATE_COUNT:
        break;
    }
    return "not ready";
}

const char *pcl_flavor_text(pcl_flavor flavor)
{
    switch (flavor) {
    case PCL_FLAVOR_MARIADB:
        return "mariadb";
    case PCL_FLAVOR_MYSQL:
        return "mysql";
    case PCL_FLAVOR_UNKNOWN:
    case PCL_FLAVOR_COUNT:
        break;
    }
    return "unknown";
}
