/* Frame sizes, two octets each, then what is over: whatever they are, the
 * verdict points only at frames that are there, and an accepted message is one
 * of the grammar's. */
#include "gatekeeper/envelope.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void s_require(bool fact)
{
    if (!fact) {
        abort();
    }
}

static void s_require_grammar(const pcl_envelope *envelope, const size_t *sizes, uint32_t count,
                              size_t payload_size_max)
{
    bool sealed = envelope->seal_index != PCL_ENVELOPE_NOWHERE;
    uint32_t delimiter = envelope->echo_count + 1;
    s_require(sizes[delimiter] == 0);
    s_require(envelope->payload_index == delimiter + 1);
    s_require(count == envelope->payload_index + (sealed ? 2 : 1));
    s_require(sizes[envelope->payload_index] > 0);
    s_require(sizes[envelope->payload_index] <= payload_size_max);
    s_require(!sealed || sizes[envelope->seal_index] == PCL_ENVELOPE_SEAL_SIZE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4) {
        return 0;
    }
    bool overflow = (data[0] & 1) != 0;
    size_t payload_size_max = 1 + data[1];
    size_t sizes[PCL_ENVELOPE_MESSAGE_FRAMES_MAX];
    uint32_t count = 0;
    for (size_t at = 2; at + 1 < size && count < PCL_ENVELOPE_MESSAGE_FRAMES_MAX; at += 2) {
        sizes[count++] = (size_t)data[at] << 8 | data[at + 1];
    }
    pcl_envelope envelope = pcl_envelope_parse(sizes, count, overflow, payload_size_max);
    s_require(envelope.echo_count <= PCL_ENVELOPE_FRAMES_MAX);
    s_require(envelope.echo_count < count);
    for (uint32_t index = 1; index <= envelope.echo_count; index++) {
        s_require(sizes[index] > 0 && sizes[index] <= PCL_ENVELOPE_FRAME_SIZE_MAX);
    }
    s_require(envelope.payload_index == PCL_ENVELOPE_NOWHERE || envelope.payload_index < count);
    s_require((envelope.err == PCL_ERR_OK) == (envelope.rule[0] == '\0'));
    if (envelope.err == PCL_ERR_OK) {
        s_require(!overflow);
        s_require_grammar(&envelope, sizes, count, payload_size_max);
    }
    return 0;
}
