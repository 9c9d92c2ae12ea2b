#include "gatekeeper/envelope.h"

#include <assert.h>

/* What a ROUTER makes up; no client can choose an id that begins with NUL. */
#define OWN_ROUTE_SIZE 5u

static pcl_envelope s_refuse(pcl_envelope envelope, pcl_err err, const char *field,
                             const char *rule)
{
    envelope.err = err;
    envelope.field = field;
    envelope.rule = rule;
    return envelope;
}

/* The first empty frame after the routing id; count when there is none. */
static uint32_t s_delimiter(const size_t *sizes, uint32_t count)
{
    uint32_t index = 1;
    while (index < count && sizes[index] != 0) {
        index++;
    }
    return index;
}

static bool s_frames_fit(const size_t *sizes, uint32_t delimiter)
{
    for (uint32_t index = 1; index < delimiter; index++) {
        if (sizes[index] > PCL_ENVELOPE_FRAME_SIZE_MAX) {
            return false;
        }
    }
    return true;
}

/* What follows the delimiter. */
static pcl_envelope s_parse_body(pcl_envelope envelope, const size_t *sizes, uint32_t first,
                                 uint32_t count, size_t payload_size_max)
{
    if (first == count) {
        return s_refuse(envelope, PCL_ERR_MALFORMED, "payload",
                        "must stand in a frame after the empty delimiter frame");
    }
    envelope.payload_index = first;
    if (count - first > 2) {
        return s_refuse(envelope, PCL_ERR_MALFORMED, "envelope",
                        "only the payload and one seal may follow the delimiter");
    }
    if (sizes[first] == 0) {
        return s_refuse(envelope, PCL_ERR_MALFORMED, "payload", "must not be empty");
    }
    if (sizes[first] > payload_size_max) {
        return s_refuse(envelope, PCL_ERR_TOO_LARGE, "payload",
                        "is over the size limit of a request");
    }
    if (count - first == 2) {
        envelope.seal_index = first + 1;
        if (sizes[first + 1] != PCL_ENVELOPE_SEAL_SIZE) {
            return s_refuse(envelope, PCL_ERR_MALFORMED, "seal", "must have 64 octets");
        }
    }
    return envelope;
}

bool pcl_envelope_is_own_route(pcl_bytes routing_id)
{
    return routing_id.size == OWN_ROUTE_SIZE && routing_id.data[0] == 0;
}

pcl_envelope pcl_envelope_parse(const size_t *sizes, uint32_t count, bool overflow,
                                size_t payload_size_max)
{
    assert(sizes != NULL);
    assert(count > 0);
    pcl_envelope envelope = {
        .err = PCL_ERR_OK,
        .field = "",
        .rule = "",
        .payload_index = PCL_ENVELOPE_NOWHERE,
        .seal_index = PCL_ENVELOPE_NOWHERE,
    };
    uint32_t delimiter = s_delimiter(sizes, count);
    if (delimiter == count) {
        return s_refuse(envelope, PCL_ERR_MALFORMED, "envelope",
                        "an empty delimiter frame must stand before the payload, after at most 4 "
                        "frames");
    }
    if (delimiter - 1 > PCL_ENVELOPE_FRAMES_MAX) {
        return s_refuse(envelope, PCL_ERR_MALFORMED, "envelope",
                        "at most 4 frames may stand before the delimiter");
    }
    if (!s_frames_fit(sizes, delimiter)) {
        return s_refuse(envelope, PCL_ERR_MALFORMED, "envelope",
                        "a frame before the delimiter may have at most 255 octets");
    }
    envelope.echo_count = delimiter - 1;
    if (overflow) { /* then what follows the delimiter is more than a payload and a seal */
        return s_refuse(envelope, PCL_ERR_MALFORMED, "envelope",
                        "only the payload and one seal may follow the delimiter");
    }
    return s_parse_body(envelope, sizes, delimiter + 1, count, payload_size_max);
}
