#include "wire/packed.h"

#include "common/endian.h"

#include <assert.h>
#include <string.h>

enum { AT_TAG = 4, TAG_SIZE = 8, AT_SEAL_SIZE = 12, AT_RESERVED = 13, SIZE_SIZE = 4 };

static const uint8_t MARK[AT_TAG] = {0xc1, 'P', 'C', 1};
static const uint8_t MARK_OF_MANY[AT_TAG] = {0xc1, 'P', 'C', 2};

bool pcl_packed_is(pcl_bytes frame)
{
    return frame.size >= sizeof MARK && memcmp(frame.data, MARK, sizeof MARK) == 0;
}

bool pcl_packed_read(pcl_packed *out_packed, pcl_bytes frame)
{
    assert(out_packed != NULL);
    if (!pcl_packed_is(frame) || frame.size < PCL_PACKED_FIXED_SIZE) {
        return false;
    }
    size_t seal_size = frame.data[AT_SEAL_SIZE];
    size_t head_size = PCL_PACKED_FIXED_SIZE + seal_size;
    bool reserved = pcl_get_be(frame.data + AT_RESERVED, PCL_PACKED_FIXED_SIZE - AT_RESERVED) == 0;
    if (!reserved || frame.size < head_size || frame.size - head_size > PCL_PACKED_PAYLOAD_MAX) {
        return false;
    }
    *out_packed = (pcl_packed){
        .tag = pcl_get_be(frame.data + AT_TAG, TAG_SIZE),
        .seal = pcl_bytes_of(frame.data + PCL_PACKED_FIXED_SIZE, seal_size),
        .payload = pcl_bytes_of(frame.data + head_size, frame.size - head_size),
    };
    return true;
}

uint32_t pcl_packed_write_head(uint64_t tag, pcl_bytes seal, uint8_t target[PCL_PACKED_HEAD_MAX])
{
    assert(target != NULL);
    assert(seal.size <= PCL_PACKED_SEAL_MAX);
    memset(target, 0, PCL_PACKED_FIXED_SIZE);
    memcpy(target, MARK, sizeof MARK);
    pcl_put_be(target + AT_TAG, tag, TAG_SIZE);
    target[AT_SEAL_SIZE] = (uint8_t)seal.size;
    if (seal.size > 0) {
        memcpy(target + PCL_PACKED_FIXED_SIZE, seal.data, seal.size);
    }
    return PCL_PACKED_FIXED_SIZE + (uint32_t)seal.size;
}

/* The next message of those that are left, and what follows it.  false: there is none that is whole
 * and has its payload. */
static bool s_next(pcl_bytes *left, pcl_packed *out_packed)
{
    if (left->size < SIZE_SIZE) {
        return false;
    }
    uint64_t size = pcl_get_be(left->data, SIZE_SIZE);
    size_t room = left->size - SIZE_SIZE;
    const uint8_t *data = left->data + SIZE_SIZE;
    if (size > room || !pcl_packed_read(out_packed, pcl_bytes_of(data, (size_t)size)) ||
        out_packed->payload.size == 0) {
        return false;
    }
    *left = pcl_bytes_of(data + size, room - (size_t)size);
    return true;
}

bool pcl_packed_open(pcl_packed_reader *out_reader, pcl_bytes frame)
{
    assert(out_reader != NULL);
    if (frame.size <= sizeof MARK_OF_MANY || frame.size > PCL_PACKED_SIZE_MAX ||
        memcmp(frame.data, MARK_OF_MANY, sizeof MARK_OF_MANY) != 0) {
        return false;
    }
    pcl_bytes all = pcl_bytes_of(frame.data + sizeof MARK_OF_MANY,
                                 frame.size - sizeof MARK_OF_MANY);
    pcl_bytes left = all;
    for (uint32_t count = 0; left.size > 0; count++) {
        pcl_packed packed;
        if (count == PCL_PACKED_MANY_MAX || !s_next(&left, &packed)) {
            return false;
        }
    }
    out_reader->left = all;
    return true;
}

bool pcl_packed_next(pcl_packed_reader *self, pcl_packed *out_packed)
{
    assert(self != NULL && out_packed != NULL);
    return s_next(&self->left, out_packed);
}

void pcl_packed_writer_init(pcl_packed_writer *self)
{
    assert(self != NULL);
    pcl_buffer_init(&self->octets, PCL_PACKED_SIZE_MAX);
    self->count = 0;
}

void pcl_packed_writer_release(pcl_packed_writer *self)
{
    assert(self != NULL);
    pcl_buffer_release(&self->octets);
    self->count = 0;
}

void pcl_packed_writer_clear(pcl_packed_writer *self)
{
    assert(self != NULL);
    pcl_buffer_clear(&self->octets);
    self->count = 0;
}

bool pcl_packed_writer_add(pcl_packed_writer *self, uint64_t tag, pcl_bytes seal, pcl_bytes payload)
{
    assert(self != NULL);
    assert(payload.size > 0 && payload.size <= PCL_PACKED_PAYLOAD_MAX);
    uint8_t head[SIZE_SIZE + PCL_PACKED_HEAD_MAX];
    uint32_t head_size = pcl_packed_write_head(tag, seal, head + SIZE_SIZE);
    size_t before = self->octets.size;
    if (self->count == PCL_PACKED_MANY_MAX) {
        return false;
    }
    if (self->count == 0) {
        pcl_buffer_put(&self->octets, MARK_OF_MANY, sizeof MARK_OF_MANY);
    }
    pcl_put_be(head, head_size + payload.size, SIZE_SIZE);
    pcl_buffer_put(&self->octets, head, SIZE_SIZE + head_size);
    pcl_buffer_put(&self->octets, payload.data, payload.size);
    if (self->octets.failed) {
        pcl_buffer_truncate(&self->octets, before);
        self->octets.failed = false; /* what went in before is whole */
        return false;
    }
    self->count++;
    return true;
}

pcl_bytes pcl_packed_writer_frame(const pcl_packed_writer *self)
{
    assert(self != NULL && self->count > 0);
    return pcl_buffer_bytes(&self->octets);
}

pcl_bytes pcl_packed_writer_single(const pcl_packed_writer *self)
{
    assert(self != NULL && self->count == 1);
    size_t before = sizeof MARK_OF_MANY + SIZE_SIZE;
    return pcl_bytes_of(self->octets.data + before, self->octets.size - before);
}
