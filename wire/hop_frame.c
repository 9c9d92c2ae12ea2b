#include "wire/hop_frame.h"

#include "common/endian.h"
#include "wire/head.h"

#include <assert.h>
#include <string.h>

enum { SIZE_SIZE = 4 };

size_t pcl_hop_frame_size(const pcl_hop_frame *parts)
{
    assert(parts != NULL);
    return parts->head.size + SIZE_SIZE + parts->payload.size + parts->tail.size;
}

/* Returns where the next part goes. */
static uint8_t *s_put(uint8_t *target, pcl_bytes part)
{
    if (part.size > 0) {
        memcpy(target, part.data, part.size);
    }
    return target + part.size;
}

void pcl_hop_frame_write(const pcl_hop_frame *parts, uint8_t *target)
{
    assert(parts != NULL && target != NULL);
    assert(parts->head.size == pcl_head_size(parts->head));
    uint8_t *size = s_put(target, parts->head);
    pcl_put_be(size, parts->payload.size, SIZE_SIZE);
    (void)s_put(s_put(size + SIZE_SIZE, parts->payload), parts->tail);
}

bool pcl_hop_frame_read(pcl_hop_frame *out_parts, pcl_bytes frame)
{
    assert(out_parts != NULL);
    size_t head_size = pcl_head_size(frame);
    size_t begin = head_size + SIZE_SIZE;
    if (head_size == 0 || frame.size < begin) {
        return false;
    }
    size_t payload_size = (size_t)pcl_get_be(frame.data + head_size, SIZE_SIZE);
    if (payload_size > frame.size - begin) {
        return false;
    }
    size_t end = begin + payload_size;
    *out_parts = (pcl_hop_frame){
        .head = pcl_bytes_of(frame.data, head_size),
        .payload = pcl_bytes_of(frame.data + begin, payload_size),
        .tail = pcl_bytes_of(frame.data + end, frame.size - end),
    };
    return true;
}
