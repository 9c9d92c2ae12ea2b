/* What decodes as a topology encodes to the very octets it came from, and has what its stage
 * wants. */
#include "wire/topology.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void s_require(bool fact)
{
    if (!fact) {
        abort();
    }
}

static void s_require_text(const char *text, size_t size_max)
{
    s_require(strlen(text) <= size_max && pcl_topology_text_is_valid(pcl_bytes_text(text)));
}

static void s_require_place(const pcl_topology_place *place, bool whole)
{
    s_require_text(place->name, PCL_NAME_SIZE_MAX);
    s_require_text(place->host, PCL_TOPOLOGY_HOST_SIZE_MAX);
    s_require(!whole || (place->name[0] != '\0' && place->host[0] != '\0' && place->port != 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t octets[PCL_TOPOLOGY_SIZE_MAX];
    pcl_topology topology;
    if (pcl_topology_decode(&topology, pcl_bytes_of(data, size)) != PCL_ERR_OK) {
        return 0;
    }
    bool from_fenced = topology.stage >= PCL_TOPOLOGY_FENCED;
    s_require(topology.stage >= PCL_TOPOLOGY_NONE && topology.stage < PCL_TOPOLOGY_STAGE_COUNT);
    s_require_place(&topology.source, topology.stage >= PCL_TOPOLOGY_PROPOSED);
    s_require_place(&topology.from, from_fenced);
    s_require_place(&topology.own, false);
    s_require(topology.own.name[0] == '\0');
    s_require_text(topology.position, PCL_TOPOLOGY_POSITION_SIZE_MAX);
    s_require(!from_fenced || (topology.term > 0 && topology.position[0] != '\0' &&
                               strcmp(topology.source.name, topology.from.name) != 0));
    s_require(!pcl_topology_is_newer(&topology, &topology));
    s_require(pcl_topology_stage_text(topology.stage) != NULL);
    s_require(pcl_topology_encode(&topology, octets) == size);
    s_require(memcmp(octets, data, size) == 0);
    return 0;
}
