/* A frame of a client, or of a gatekeeper: what is read of it lies within it, and written again it
 * is the same octets. */
#include "wire/packed.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void s_require(bool fact)
{
    if (!fact) {
        abort();
    }
}

static bool s_is_within(pcl_bytes part, const uint8_t *data, size_t size)
{
    return part.data >= data && part.data <= data + size &&
           part.size <= (size_t)(data + size - part.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pcl_packed packed = {.tag = 42};
    pcl_bytes frame = pcl_bytes_of(data, size);
    if (!pcl_packed_read(&packed, frame)) {
        s_require(packed.tag == 42 && packed.payload.data == NULL);
        return 0;
    }
    s_require(pcl_packed_is(frame));
    s_require(s_is_within(packed.seal, data, size) && s_is_within(packed.payload, data, size));
    s_require(packed.payload.size <= PCL_PACKED_PAYLOAD_MAX);
    uint8_t head[PCL_PACKED_HEAD_MAX];
    uint32_t head_size = pcl_packed_write_head(packed.tag, packed.seal, head);
    s_require(head_size + packed.payload.size == size);
    s_require(memcmp(head, data, head_size) == 0);
    s_require(packed.payload.data == data + head_size);
    return 0;
}
