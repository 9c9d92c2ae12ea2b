#include "client/failover.h"

#include "common/clock.h"

#include <assert.h>

/* Lower is better. */
static uint32_t s_rank(const pcl_failover_peer *peer, bool tried, uint64_t now_us)
{
    return (peer->silent_until_us > now_us ? 2u : 0u) + (tried ? 1u : 0u);
}

uint32_t pcl_failover_choose(const pcl_failover_peer *peers, uint32_t count, uint32_t current,
                             uint32_t tried, uint64_t now_us)
{
    assert(count >= 1 && count <= 32);
    uint32_t best = PCL_FAILOVER_NONE;
    uint32_t best_rank = UINT32_MAX;
    for (uint32_t step = 0; step < count; step++) {
        uint32_t index = (current + step) % count;
        if (!peers[index].up) {
            continue;
        }
        uint32_t rank = s_rank(&peers[index], (tried >> index & 1u) != 0, now_us);
        if (rank < best_rank) {
            best = index;
            best_rank = rank;
        }
    }
    return best;
}

void pcl_failover_unanswered(pcl_failover_peer *peer, uint64_t sent_us, uint64_t now_us)
{
    if (peer->heard_us < sent_us) {
        peer->silent_until_us = now_us + PCL_FAILOVER_SILENT_MS * PCL_US_PER_MS;
    }
}

void pcl_failover_forged(pcl_failover_peer *peer, uint64_t now_us)
{
    peer->silent_until_us = now_us + PCL_FAILOVER_SILENT_MS * PCL_US_PER_MS;
}

pcl_failover_fate pcl_failover_lost(bool idempotent, uint64_t deadline_us, uint64_t now_us)
{
    return idempotent && now_us < deadline_us ? PCL_FAILOVER_SEND_AGAIN : PCL_FAILOVER_FAIL;
}

bool pcl_failover_drains(pcl_bytes code, pcl_bytes hop, pcl_retry retry)
{
    return retry == PCL_RETRY_SAFE && pcl_bytes_is(hop, "gatekeeper") &&
           pcl_bytes_is(code, "DRAINING");
}

bool pcl_failover_elsewhere(pcl_bytes code, pcl_bytes hop, pcl_retry retry,
                            const pcl_failover_peer *peers, uint32_t count, uint32_t tried)
{
    if (retry != PCL_RETRY_SAFE || !pcl_bytes_is(hop, "gatekeeper") ||
        !pcl_bytes_is(code, "UNAVAILABLE")) {
        return false;
    }
    for (uint32_t index = 0; index < count; index++) {
        if (peers[index].up && (tried >> index & 1u) == 0) {
            return true;
        }
    }
    return false;
}
