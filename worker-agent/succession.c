#include "worker-agent/succession.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static bool s_is_own(const pcl_succession *self, const pcl_topology_place *place)
{
    return strcmp(self->own.name, place->name) == 0;
}

pcl_succession_duty pcl_succession_duty_of(const pcl_succession *self)
{
    const pcl_topology *last = &self->last;
    switch (last->stage) {
    case PCL_TOPOLOGY_DECIDED:
        return s_is_own(self, &last->source) ? PCL_DUTY_TAKE_OVER : PCL_DUTY_CLOSED;
    case PCL_TOPOLOGY_OPEN:
        return s_is_own(self, &last->source) ? PCL_DUTY_SOURCE : PCL_DUTY_FOLLOW;
    case PCL_TOPOLOGY_NONE:
    case PCL_TOPOLOGY_PROPOSED:
    case PCL_TOPOLOGY_FENCED:
    case PCL_TOPOLOGY_STAGE_COUNT:
        break;
    }
    return self->configured_source ? PCL_DUTY_SOURCE : PCL_DUTY_FOLLOW;
}

const pcl_topology_place *pcl_succession_followed(const pcl_succession *self)
{
    switch (pcl_succession_duty_of(self)) {
    case PCL_DUTY_TAKE_OVER:
        return &self->last.from;
    case PCL_DUTY_FOLLOW:
    case PCL_DUTY_SOURCE:
    case PCL_DUTY_CLOSED:
        break;
    }
    return self->last.stage == PCL_TOPOLOGY_OPEN ? &self->last.source : &self->configured;
}

bool pcl_succession_is_closed(const pcl_succession *self)
{
    return self->phase == PCL_SUCCESSION_CLOSING || self->phase == PCL_SUCCESSION_FENCED ||
           pcl_succession_duty_of(self) != PCL_DUTY_SOURCE;
}

static void s_take_proposal(pcl_succession *self, const pcl_topology *heard, uint64_t attempt,
                            uint64_t now_us)
{
    bool fits = self->wants && self->phase == PCL_SUCCESSION_IDLE && now_us >= self->rest_us &&
                pcl_succession_duty_of(self) == PCL_DUTY_SOURCE && heard->term == self->last.term &&
                !s_is_own(self, &heard->source) && self->own.host[0] != '\0';
    if (fits) {
        self->plan = (pcl_topology){.term = self->last.term + 1,
                                    .attempt = attempt,
                                    .stage = PCL_TOPOLOGY_FENCED,
                                    .source = heard->source,
                                    .from = self->own};
        self->phase = PCL_SUCCESSION_CLOSING;
        self->until_us = now_us + PCL_SUCCESSION_WAIT_US;
    }
}

static bool s_is_plan(const pcl_succession *self, const pcl_topology *heard)
{
    return heard->term == self->plan.term && heard->attempt == self->plan.attempt;
}

/* Somebody is fenced and asks; or says that he has what we ask for. */
static void s_take_fenced(pcl_succession *self, const pcl_topology *heard, uint64_t now_us)
{
    if (self->phase == PCL_SUCCESSION_FENCED) {
        if (heard->ready && s_is_plan(self, heard) &&
            strcmp(heard->position, self->plan.position) == 0) {
            self->plan.ready = true;
        }
        return;
    }
    bool asks_us = !heard->ready && s_is_own(self, &heard->source) &&
                   pcl_succession_duty_of(self) == PCL_DUTY_FOLLOW &&
                   heard->term == self->last.term + 1 && self->own.host[0] != '\0';
    if (!asks_us) {
        return;
    }
    if (self->phase != PCL_SUCCESSION_ASKED || !s_is_plan(self, heard)) {
        self->plan = *heard;
        self->phase = PCL_SUCCESSION_ASKED;
    }
    self->until_us = now_us + PCL_SUCCESSION_ASKED_US;
}

/* Others learn of a decision once the successor has taken over.  What nobody but ourselves could
 * have begun, and is not on our disk, would mean that our disk was lost: then we take no writes. */
static bool s_concerns_us(const pcl_succession *self, const pcl_topology *heard)
{
    if (heard->stage == PCL_TOPOLOGY_DECIDED) {
        return s_is_own(self, &heard->source) || s_is_own(self, &heard->from) ||
               pcl_succession_duty_of(self) == PCL_DUTY_SOURCE;
    }
    return !s_is_own(self, &heard->source); /* only its own disk makes a node the source */
}

bool pcl_succession_hear(pcl_succession *self, const pcl_topology *heard, uint64_t attempt,
                         uint64_t now_us, pcl_topology *out_record)
{
    switch (heard->stage) {
    case PCL_TOPOLOGY_PROPOSED:
        s_take_proposal(self, heard, attempt, now_us);
        return false;
    case PCL_TOPOLOGY_FENCED:
        s_take_fenced(self, heard, now_us);
        return false;
    case PCL_TOPOLOGY_DECIDED:
    case PCL_TOPOLOGY_OPEN:
        if (!pcl_topology_is_newer(&self->last, heard) || !s_concerns_us(self, heard)) {
            return false;
        }
        *out_record = *heard;
        out_record->own = (pcl_topology_place){.port = 0};
        out_record->wants = false;
        out_record->ready = false;
        return true;
    case PCL_TOPOLOGY_NONE:
    case PCL_TOPOLOGY_STAGE_COUNT:
        break;
    }
    return false;
}

void pcl_succession_fenced(pcl_succession *self, const char *position, uint64_t now_us)
{
    assert(self->phase == PCL_SUCCESSION_CLOSING);
    (void)snprintf(self->plan.position, sizeof self->plan.position, "%s", position);
    self->phase = PCL_SUCCESSION_FENCED;
    self->until_us = now_us + PCL_SUCCESSION_WAIT_US;
}

void pcl_succession_reached(pcl_succession *self)
{
    assert(self->phase == PCL_SUCCESSION_ASKED);
    self->plan.ready = true;
}

bool pcl_succession_decision(const pcl_succession *self, pcl_topology *out_record)
{
    if (self->phase != PCL_SUCCESSION_FENCED || !self->plan.ready) {
        return false;
    }
    *out_record = self->plan;
    out_record->stage = PCL_TOPOLOGY_DECIDED;
    out_record->ready = false;
    return true;
}

pcl_topology pcl_succession_opening(const pcl_succession *self)
{
    assert(pcl_succession_duty_of(self) == PCL_DUTY_TAKE_OVER);
    pcl_topology record = self->last;
    record.stage = PCL_TOPOLOGY_OPEN;
    return record;
}

void pcl_succession_stands(pcl_succession *self, const pcl_topology *record)
{
    assert(pcl_topology_is_newer(&self->last, record));
    self->last = *record;
    self->phase = PCL_SUCCESSION_IDLE;
    self->plan = (pcl_topology){.term = 0};
    self->failures = 0;
}

void pcl_succession_give_up(pcl_succession *self, uint64_t now_us)
{
    if (self->phase == PCL_SUCCESSION_CLOSING || self->phase == PCL_SUCCESSION_FENCED) {
        self->rest_us = now_us + (PCL_SUCCESSION_REST_US << self->failures);
        self->failures += self->failures < PCL_SUCCESSION_REST_DOUBLINGS ? 1 : 0;
    }
    self->phase = PCL_SUCCESSION_IDLE;
    self->plan = (pcl_topology){.term = 0};
}

bool pcl_succession_is_late(const pcl_succession *self, uint64_t now_us)
{
    return self->phase != PCL_SUCCESSION_IDLE && now_us >= self->until_us;
}

pcl_topology pcl_succession_message(const pcl_succession *self, uint64_t now_us)
{
    bool confirms = self->phase == PCL_SUCCESSION_ASKED && self->plan.ready;
    bool speaks_of_plan = (self->phase == PCL_SUCCESSION_FENCED || confirms) &&
                          !pcl_succession_is_late(self, now_us);
    pcl_topology message = speaks_of_plan ? self->plan : self->last;
    message.ready = speaks_of_plan && confirms;
    message.wants = (self->wants && self->phase == PCL_SUCCESSION_IDLE) || self->unfit;
    message.own = self->own;
    return message;
}
