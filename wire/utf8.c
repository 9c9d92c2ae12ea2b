#include "wire/utf8.h"

#include <string.h>

/* Table 3-7 of the Unicode standard: the second octet's range depends on the
 * first, and that alone keeps out overlong forms and surrogates. */
size_t pcl_utf8_width(pcl_bytes source)
{
    if (source.size == 0) {
        return 0;
    }
    uint8_t lead = source.data[0];
    if (lead < 0x80) {
        return 1;
    }
    if (lead < 0xc2 || lead > 0xf4) {
        return 0;
    }
    size_t width = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (source.size < width) {
        return 0;
    }
    uint8_t second_min = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t second_max = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (source.data[1] < second_min || source.data[1] > second_max) {
        return 0;
    }
    for (size_t index = 2; index < width; index++) {
        if ((source.data[index] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return width;
}

bool pcl_utf8_is_valid(pcl_bytes source)
{
    size_t offset = 0;
    while (offset < source.size) {
        uint64_t eight;
        if (source.size - offset >= sizeof eight) { /* most text is ASCII: eight at a time */
            memcpy(&eight, source.data + offset, sizeof eight);
            if ((eight & UINT64_C(0x8080808080808080)) == 0) {
                offset += sizeof eight;
                continue;
            }
        }
        if (source.data[offset] < 0x80) { /* nor is there much else in what is shorter */
            offset++;
            continue;
        }
        size_t width = pcl_utf8_width(pcl_bytes_of(source.data + offset, source.size - offset));
        if (width == 0) {
            return false;
        }
        offset += width;
    }
    return true;
}
