/* A head that decodes encodes to the very octets it came from. */
#include "wire/head.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void s_require(bool fact)
{
    if (!fact) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t octets[PCL_HEAD_SIZE_MAX];
    pcl_head head;
    if (pcl_head_decode(&head, pcl_bytes_of(data, size)) != PCL_ERR_OK) {
        return 0;
    }
    s_require(head.kind > 0 && head.kind < PCL_KIND_LIMIT);
    s_require(size <= PCL_HEAD_SIZE_MAX);
    s_require(pcl_head_encode(&head, octets) == size);
    s_require(memcmp(octets, data, size) == 0);
    uint64_t boot_id = pcl_head_boot_id(&head);
    pcl_head_set_boot_id(&head, boot_id);
    s_require(pcl_head_boot_id(&head) == boot_id);
    return 0;
}
