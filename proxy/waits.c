/* While one node hands the source over to another there is none, for half a second or so.  What
 * needs it never ran, so it waits here, rather than at every client: inside its deadline, and in a
 * bounded number. */
#include "proxy/actor.h"

#include "common/clock.h"

#include <assert.h>

static bool s_source_changes(const pcl_proxy *self, uint64_t now_us)
{
    return self->change_us != 0 &&
           pcl_time_since_us(self->change_us, now_us) < PCL_PROXY_CHANGE_MS * PCL_US_PER_MS;
}

static bool s_needs_source(const pcl_proxy *self, const pcl_proxy_request *request)
{
    pcl_need need = pcl_proxy_need(self, request);
    return !request->pinned && (!need.read || need.source_only);
}

static bool s_has_source(const pcl_proxy *self, const pcl_proxy_request *request, uint64_t now_us)
{
    pcl_need need = pcl_proxy_need(self, request);
    pcl_candidates candidates;
    pcl_candidates_find(self->members, &need, now_us, &candidates);
    return candidates.count > 0;
}

/* Before the deadline: others, who do not know that it never ran, shall not answer first. */
static uint64_t s_wait_until(const pcl_proxy_request *request, uint64_t now_us)
{
    uint64_t left_us = pcl_time_left_us(request->deadline_us, now_us);
    uint64_t answer_us = PCL_PROXY_ANSWER_MS * PCL_US_PER_MS;
    uint64_t wait_us = left_us > 2 * answer_us ? left_us - answer_us : left_us / 2;
    uint64_t wait_us_max = PCL_PROXY_SOURCE_WAIT_MS * PCL_US_PER_MS;
    return now_us + (wait_us < wait_us_max ? wait_us : wait_us_max);
}

bool pcl_proxy_wait_for_source(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket,
                               uint64_t now_us)
{
    bool waits = s_source_changes(self, now_us) && s_needs_source(self, request) &&
                 !request->cancelled && !self->draining && now_us < request->deadline_us &&
                 request->attempts < UINT8_MAX &&
                 self->waiting_count < (self->settings.inflight_max + 1) / 2;
    if (!waits) {
        return false;
    }
    pcl_node_set tried = request->tried;
    request->tried = (pcl_node_set){0}; /* it may be the same one that comes back */
    if (s_has_source(self, request, now_us)) {
        request->tried = tried;
        return false; /* which has another reason */
    }
    request = pcl_proxy_renew(self, request, &ticket);
    request->waiting = true;
    request->waiting_until_us = s_wait_until(request, now_us);
    self->waiting_count++;
    return true;
}

static void s_go_on(pcl_proxy *self, pcl_proxy_request *request)
{
    assert(request->waiting && self->waiting_count > 0);
    request->waiting = false;
    self->waiting_count--;
}

void pcl_proxy_wait_ends(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket,
                         uint64_t now_us)
{
    pcl_err err = request->cancelled ? PCL_ERR_CANCELLED : PCL_ERR_NO_NODE;
    s_go_on(self, request);
    pcl_proxy_answer_text(self, request, ticket, err, PCL_RETRY_SAFE, NULL, now_us);
}

static void s_look_at(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket, uint64_t now_us)
{
    bool over = request->cancelled || self->draining || now_us >= request->waiting_until_us ||
                !s_source_changes(self, now_us);
    if (s_has_source(self, request, now_us) && !request->cancelled) {
        s_go_on(self, request);
        pcl_err err = pcl_proxy_route(self, request, ticket, now_us);
        if (err == PCL_ERR_OK) {
            pcl_proxy_hedge_watch(self, request, ticket, now_us);
        } else if (err != PCL_ERR_NO_NODE ||
                   !pcl_proxy_wait_for_source(self, request, ticket, now_us)) {
            pcl_proxy_answer_text(self, request, ticket, err, PCL_RETRY_SAFE, NULL, now_us);
        }
    } else if (over) {
        pcl_proxy_wait_ends(self, request, ticket, now_us);
    }
}

void pcl_proxy_waits_tick(pcl_proxy *self, uint64_t now_us)
{
    uint32_t count = 0;
    uint32_t cursor = 0;
    uint64_t ticket = 0;
    const pcl_proxy_request *found = NULL;
    if (self->waiting_count == 0) {
        return;
    }
    while ((found = pcl_ticket_table_each(self->requests, &cursor, &ticket)) != NULL) {
        if (found->waiting) {
            self->walk[count++] = ticket;
        }
    }
    for (uint32_t index = 0; index < count; index++) {
        pcl_proxy_request *request = pcl_ticket_table_find(self->requests, self->walk[index]);
        assert(request != NULL);
        s_look_at(self, request, self->walk[index], now_us);
    }
}
