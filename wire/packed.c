#include "wire/packed.h"

#include "common/endian.h"

#include <assert.h>
#include <string.h>

enum { AT_TAG = 4, TAG_SIZE = 8, AT_SEAL_SIZE = 12, AT_RESERVED = 13 };

static const uint8_t MARK[AT_TAG] = {0xc1, 'P', 'C', 1};

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
