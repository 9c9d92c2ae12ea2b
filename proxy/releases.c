#include "proxy/actor.h"

#include <assert.h>
#include <string.h>

void pcl_proxy_release(pcl_proxy *self, const uint8_t session[PCL_ID_SIZE], pcl_bytes principal,
                       const char *from, uint64_t now_us)
{
    pcl_head head = {.kind = PCL_KIND_RELEASE, .sent_us = now_us, .principal = principal};
    memcpy(head.session, session, sizeof head.session);
    uint32_t node = pcl_pinned_node(self->members, session);
    if (node == PCL_MEMBER_NONE || !pcl_proxy_hint(self, node, &head)) {
        pcl_proxy_dropped(self, PCL_PROXY_DROP_RELEASE, from, now_us);
        return;
    }
    self->release_count++;
    pcl_metric_add(self->telemetry.releases, 1);
}

void pcl_proxy_release_opened(pcl_proxy *self, const pcl_head *reply, pcl_bytes principal,
                              uint64_t now_us)
{
    if ((reply->flags & PCL_HEAD_HELD) != 0) {
        pcl_proxy_release(self, reply->session, principal, "agent", now_us);
    }
}
