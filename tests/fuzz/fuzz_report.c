/* A report that decodes encodes to the very octets it came from. */
#include "wire/report.h"

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
    uint8_t octets[PCL_REPORT_SIZE_MAX];
    pcl_report report;
    if (pcl_report_decode(&report, pcl_bytes_of(data, size)) != PCL_ERR_OK) {
        return 0;
    }
    s_require(report.lag_ms >= -1 && report.warm_percent <= 100);
    s_require(report.service_mean_us >= 0 && report.service_count >= 0);
    s_require(pcl_report_encode(&report, octets) == size);
    s_require(memcmp(octets, data, size) == 0);
    s_require(pcl_node_role_text(report.role) != NULL);
    s_require(pcl_node_state_text(report.state) != NULL);
    s_require(pcl_flavor_text(report.flavor) != NULL);
    return 0;
}
