/* What is read as packed messages is written as the very octets it came from, one after the other,
 * and nothing is read beyond their end. */
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
    pcl_bytes rest = pcl_bytes_of(data, size);
    pcl_hop_frame parts;
    uint8_t *octets = malloc(size + 1);
    uint8_t *end = octets;
    s_require(octets != NULL);
    for (size_t left = rest.size; pcl_hop_frame_next(&parts, &rest); left = rest.size) {
        pcl_head head;
        s_require(rest.size < left && pcl_hop_frame_size(&parts) == left - rest.size);
        s_require(parts.head.data + pcl_hop_frame_size(&parts) == rest.data);
        if (pcl_head_decode(&head, parts.head) == PCL_ERR_OK) {
            s_require(parts.head.size <= PCL_HEAD_SIZE_MAX);
        }
        end = pcl_hop_frame_write(&parts, end);
    }
    size_t taken = size - rest.size;
    s_require((size_t)(end - octets) == taken && (taken == 0 || memcmp(octets, data, taken) == 0));
    free(octets);
    return 0;
}
