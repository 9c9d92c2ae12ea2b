#include "wire/hop_frame.h"

#include "common/endian.h"
#include "wire/head.h"

#include <assert.h>
#include <string.h>

enum { SIZE_SIZE = 4, SIZES_SIZE = 2 * SIZE_SIZE };

size_t pcl_hop_frame_size(const pcl_hop_frame *parts)
{
    assert(parts != NULL);
    return parts->head.size + SIZES_SIZE + parts->payload.size + parts->tail.size;
}

/* Returns where the next part goes. */
static uint8_t *s_put(uint8_t *target, pcl_bytes part)
{
    if (part.size > 0) {
        memcpy(target, part.data, part.size);
    }
    return target + part.size;
}

uint8_t *pcl_hop_frame_write(const pcl_hop_frame *parts, uint8_t *target)
{
    assert(parts != NULL && target != NULL);
    assert(parts->head.size == pcl_head_size(parts->head));
    uint8_t *sizes = s_put(target, parts->head);
    pcl_put_be(sizes, parts->payload.size, SIZE_SIZE);
    pcl_put_be(sizes + SIZE_SIZE, parts->tail.size, SIZE_SIZE);
    return s_put(s_put(sizes + SIZES_SIZE, parts->payload), parts->tail);
}

bool pcl_hop_frame_next(pcl_hop_frame *out_parts, pcl_bytes *rest)
{
    assert(out_parts != NULL && rest != NULL);
    size_t head_size = pcl_head_size(*rest);
    size_t begin = head_size + SIZES_SIZE;
    if (head_size == 0 || rest->size < begin) {
        return false;
    }
    const uint8_t *octets = rest->data;
    size_t left = rest->size - begin;
    size_t payload_size = (size_t)pcl_get_be(octets + head_size, SIZE_SIZE);
    size_t tail_size = (size_t)pcl_get_be(octets + head_size + SIZE_SIZE, SIZE_SIZE);
    if (payload_size > left || tail_size > left - payload_size) {
        return false;
    }
    size_t end = begin + payload_size;
    *out_parts = (pcl_hop_frame){
        .head = pcl_bytes_of(octets, head_size),
        .payload = pcl_bytes_of(octets + begin, payload_size),
        .tail = pcl_bytes_of(octets + end, tail_size),
    };
    *rest = pcl_bytes_of(octets + end + tail_size, left - payload_size - tail_size);
    return true;
}
