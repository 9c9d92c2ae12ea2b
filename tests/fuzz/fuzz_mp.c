/* What checks can be walked head by head and skipped as a whole, and both end
 * exactly at the end; any octets are safe to walk, checked or not. */
#include "wire/mp.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void s_require(bool fact)
{
    if (!fact) {
        abort();
    }
}

/* Reads heads until the value is whole; false when the octets do not hold it.
 * Every borrowed octet is touched, so that a bad pointer is noticed. */
static bool s_walk(pcl_mp_reader *reader)
{
    for (uint64_t left = 1; left > 0; left--) {
        pcl_mp_value value;
        if (!pcl_mp_next(reader, &value)) {
            return false;
        }
        bool has_bytes = value.type == PCL_MP_STR || value.type == PCL_MP_BIN ||
                         value.type == PCL_MP_EXT;
        for (size_t index = 0; has_bytes && index < value.bytes.size; index++) {
            (void)*(const volatile uint8_t *)(value.bytes.data + index);
        }
        s_require(value.type != PCL_MP_INT || value.sint < 0);
        left += value.type == PCL_MP_MAP     ? 2 * (uint64_t)value.count
                : value.type == PCL_MP_ARRAY ? value.count
                                             : 0;
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pcl_bytes source = pcl_bytes_of(data, size);
    pcl_mp_fault fault = {.rule = NULL};
    bool checked = pcl_mp_check(source, 8, 32, &fault) == PCL_ERR_OK;
    s_require(checked == (fault.rule == NULL));
    s_require(fault.offset <= size);

    pcl_mp_reader walked = pcl_mp_reader_of(source);
    pcl_mp_reader skipped = walked;
    bool walks = s_walk(&walked);
    pcl_bytes octets;
    bool skips = pcl_mp_skip(&skipped, &octets);
    s_require(walks == skips);
    if (walks) {
        s_require(walked.offset == skipped.offset);
        s_require(octets.data == data && octets.size == skipped.offset);
    }
    s_require(!checked || (walks && walked.offset == size));
    /* Limits only ever forbid. */
    s_require(!checked ||
              pcl_mp_check(source, PCL_MP_DEPTH_MAX, PCL_MP_KEYS_MAX, NULL) == PCL_ERR_OK);
    return 0;
}
