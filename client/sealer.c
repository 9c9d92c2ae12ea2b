#include "client/sealer.h"

#include "net/time.h"

#include <assert.h>

pcl_seal_mark pcl_sealer_seal(pcl_sealer *self, uint64_t generation, const pcl_seal_key *key,
                              pcl_bytes payload, uint8_t out_octets[PCL_SEAL_SIZE])
{
    assert(generation != 0);
    if (self->generation != generation) {
        *self = (pcl_sealer){.generation = generation, .channel = pcl_random_u64()};
    }
    self->sequence++;
    pcl_seal seal = {.kind = PCL_SEAL_REQUEST,
                     .time_us = pcl_wall_us(),
                     .channel = self->channel,
                     .sequence = self->sequence};
    pcl_seal_write(out_octets, &seal, payload, key);
    return (pcl_seal_mark){.channel = seal.channel, .sequence = seal.sequence};
}

const char *pcl_sealer_fault(pcl_seal_mark mark, const pcl_seal_key *key, pcl_bytes octets,
                             pcl_bytes payload)
{
    if (octets.size == 0) {
        return "is missing";
    }
    pcl_seal seal;
    const char *fault = pcl_seal_read(&seal, PCL_SEAL_REPLY, octets, payload, key);
    if (fault != NULL) {
        return fault;
    }
    bool ours = mark.sequence != 0 && seal.channel == mark.channel &&
                seal.sequence == mark.sequence;
    return ours ? NULL : "is that of another request's reply";
}
