/* Every line of a configuration is read once, and what is handed out lies in
 * the text. */
#include "net/zpl.h"

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
    pcl_zpl zpl;
    pcl_zpl_result result;
    uint32_t line = 0;
    pcl_zpl_start(&zpl, pcl_bytes_of(data, size));
    while ((result = pcl_zpl_next(&zpl)) != PCL_ZPL_END) {
        s_require(zpl.line > line);
        line = zpl.line;
        if (result == PCL_ZPL_BAD) {
            s_require(zpl.fault != NULL);
            continue;
        }
        s_require(zpl.depth > 0 && zpl.depth <= PCL_ZPL_DEPTH_MAX);
        s_require(strlen(zpl.path) == zpl.ends[zpl.depth - 1]);
        s_require(zpl.value.size == 0 ||
                  (zpl.value.data >= data && zpl.value.data + zpl.value.size <= data + size));
    }
    return 0;
}
