/* A frame of a client, or of a gatekeeper, with one message or several: what is read of it lies
 * within it, and written again it is the same octets. */
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

/* Several messages, if it is that. */
static void s_read_several(pcl_bytes frame)
{
    pcl_packed_reader reader;
    if (!pcl_packed_open(&reader, frame)) {
        return;
    }
    pcl_packed packed;
    pcl_packed_writer writer;
    pcl_packed_writer_init(&writer);
    while (pcl_packed_next(&reader, &packed)) {
        s_require(s_is_within(packed.seal, frame.data, frame.size));
        s_require(s_is_within(packed.payload, frame.data, frame.size));
        s_require(packed.payload.size > 0 && packed.payload.size <= PCL_PACKED_PAYLOAD_MAX);
        s_require(pcl_packed_writer_add(&writer, packed.tag, packed.seal, packed.payload));
    }
    s_require(reader.left.size == 0 && !pcl_packed_is(frame));
    s_require(pcl_bytes_equal(pcl_packed_writer_frame(&writer), frame));
    pcl_packed_writer_release(&writer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pcl_packed packed = {.tag = 42};
    pcl_bytes frame = pcl_bytes_of(data, size);
    s_read_several(frame);
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
