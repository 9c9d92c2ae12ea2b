/* What is read as a packed message is written as the very octets it came from. */
#include "wire/head.h"
#include "wire/hop_frame.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void s_require(bool fact)
{
    if (!fact) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pcl_hop_frame parts;
    pcl_head head;
    if (!pcl_hop_frame_read(&parts, pcl_bytes_of(data, size))) {
        return 0;
    }
    s_require(parts.head.data == data && pcl_hop_frame_size(&parts) == size);
    s_require(parts.tail.data + parts.tail.size == data + size);
    if (pcl_head_decode(&head, parts.head) == PCL_ERR_OK) {
        s_require(parts.head.size <= PCL_HEAD_SIZE_MAX);
    }
    uint8_t *octets = malloc(size);
    s_require(octets != NULL);
    pcl_hop_frame_write(&parts, octets);
    s_require(memcmp(octets, data, size) == 0);
    free(octets);
    return 0;
}
