#include "proxy/membership.h"

#include "common/clock.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
#define TO(state, action) {PCL_MEMBER_##state, PCL_MEMBER_##action}

/* One cell for each of the header's, in its order. */
static const pcl_member_step STEPS[][PCL_MEMBER_EVENT_COUNT] = {
    [PCL_MEMBER_NEW]     = {TO(UP, ADMIT),        TO(UP, ADMIT),    TO(NEW, NOTHING),
                            TO(NEW, NOTHING),     TO(NEW, NOTHING), TO(NEW, NOTHING)},
    [PCL_MEMBER_UP]      = {TO(UP, NOTHING),      TO(UP, REPLACE),  TO(SUSPECT, DOUBT),
                            TO(GONE, LOSE),       TO(LEAVING, CLOSE), TO(SUSPECT, DOUBT)},
    [PCL_MEMBER_SUSPECT] = {TO(UP, CLEAR),        TO(UP, REPLACE),  TO(SUSPECT, NOTHING),
                            TO(GONE, LOSE),       TO(LEAVING, CLOSE), TO(SUSPECT, NOTHING)},
    [PCL_MEMBER_LEAVING] = {TO(LEAVING, NOTHING), TO(UP, REPLACE),  TO(GONE, LOSE),
                            TO(GONE, LOSE),       TO(LEAVING, NOTHING), TO(GONE, LOSE)},
    [PCL_MEMBER_GONE]    = {TO(UP, RETURN),       TO(UP, RETURN),   TO(GONE, NOTHING),
                            TO(GONE, NOTHING),    TO(GONE, NOTHING), TO(GONE, NOTHING)},
};
/* clang-format on */
static_assert(sizeof STEPS / sizeof STEPS[0] == PCL_MEMBER_STATE_COUNT, "a row a state");

#define BEAT_US    (PCL_BEAT_INTERVAL_MS * PCL_US_PER_MS)
#define SUSPECT_US (PCL_BEATS_SUSPECT * BEAT_US)
#define GONE_US    (PCL_BEATS_GONE * BEAT_US)

struct pcl_membership {
    pcl_member *members; /* capacity of them; the first count are in use */
    uint32_t capacity;
    uint32_t count;
    uint32_t cursor;    /* of the open tick */
    uint64_t ticked_us; /* of the last tick */
    uint64_t started_us;
    uint32_t lag_ms_max;
    char zone[PCL_REPORT_ZONE_SIZE_MAX + 1]; /* ours */
};

pcl_member_step pcl_member_on(pcl_member_state state, pcl_member_event event)
{
    assert(state < PCL_MEMBER_STATE_COUNT);
    assert(event < PCL_MEMBER_EVENT_COUNT);
    return STEPS[state][event];
}

pcl_membership *pcl_membership_new(uint32_t capacity, uint64_t now_us)
{
    assert(capacity > 0 && capacity <= PCL_NODES_MAX);
    pcl_membership *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    self->members = calloc(capacity, sizeof *self->members);
    if (self->members == NULL) {
        pcl_membership_destroy(&self);
        return NULL;
    }
    self->capacity = capacity;
    self->ticked_us = now_us;
    self->started_us = now_us;
    self->lag_ms_max = UINT32_MAX;
    return self;
}

void pcl_membership_destroy(pcl_membership **self_p)
{
    assert(self_p != NULL);
    if (*self_p != NULL) {
        free((*self_p)->members);
        free(*self_p);
        *self_p = NULL;
    }
}

/* A node that does not say where it is may be here. */
static void s_note_zone(const pcl_membership *self, pcl_member *member)
{
    const char *zone = member->reported ? member->report.zone : "";
    bool known = self->zone[0] != '\0' && zone[0] != '\0';
    pcl_zone_place place = strcmp(self->zone, zone) == 0 ? PCL_ZONE_OWN : PCL_ZONE_OTHER;
    member->candidate.place = known ? place : PCL_ZONE_UNKNOWN;
}

void pcl_membership_set_zone(pcl_membership *self, const char *zone)
{
    assert(self != NULL && zone != NULL);
    pcl_bytes_to_text(pcl_bytes_text(zone), self->zone, sizeof self->zone);
    for (uint32_t index = 0; index < self->count; index++) {
        s_note_zone(self, &self->members[index]);
    }
}

void pcl_membership_set_lag_max(pcl_membership *self, uint32_t lag_ms_max)
{
    assert(self != NULL);
    self->lag_ms_max = lag_ms_max;
}

static bool s_is_name(pcl_bytes name)
{
    if (name.size == 0 || name.size > PCL_NAME_SIZE_MAX) {
        return false;
    }
    for (size_t offset = 0; offset < name.size; offset++) {
        uint8_t octet = name.data[offset];
        bool letter = (octet >= 'a' && octet <= 'z') || (octet >= 'A' && octet <= 'Z');
        bool digit = octet >= '0' && octet <= '9';
        if (!letter && !digit && octet != '.' && octet != '_' && octet != '-') {
            return false;
        }
    }
    return true;
}

uint32_t pcl_membership_find(const pcl_membership *self, pcl_bytes name)
{
    assert(self != NULL);
    for (uint32_t index = 0; index < self->count; index++) {
        if (pcl_bytes_is(name, self->members[index].name)) {
            return index;
        }
    }
    return PCL_MEMBER_NONE;
}

static bool s_is_old_boot(const pcl_member *member, uint64_t boot_id)
{
    for (uint32_t index = 0; index < PCL_MEMBER_OLD_BOOTS; index++) {
        if (member->old_boots[index] == boot_id) {
            return true;
        }
    }
    return false;
}

uint32_t pcl_membership_find_boot(const pcl_membership *self, uint64_t boot_id)
{
    assert(self != NULL);
    for (uint32_t index = 0; boot_id != 0 && index < self->count; index++) {
        const pcl_member *member = &self->members[index];
        if (member->boot_id == boot_id || s_is_old_boot(member, boot_id)) {
            return index;
        }
    }
    return PCL_MEMBER_NONE;
}

uint32_t pcl_membership_add(pcl_membership *self, pcl_bytes name)
{
    uint32_t index = pcl_membership_find(self, name);
    if (index != PCL_MEMBER_NONE || !s_is_name(name) || self->count == self->capacity) {
        return index;
    }
    pcl_member *member = &self->members[self->count];
    memcpy(member->name, name.data, name.size); /* zeroed and one longer: NUL terminated */
    member->candidate.index = self->count;
    member->candidate.lag_ms = -1;
    return self->count++;
}

uint32_t pcl_membership_count(const pcl_membership *self)
{
    assert(self != NULL);
    return self->count;
}

pcl_member *pcl_membership_at(const pcl_membership *self, uint32_t index)
{
    assert(self != NULL);
    assert(index < self->count);
    return &self->members[index];
}

static pcl_member_action s_step(pcl_member *member, pcl_member_event event)
{
    pcl_member_step step = pcl_member_on(member->state, event);
    member->state = step.next;
    return step.action;
}

static void s_set_boot(pcl_member *member, uint64_t boot_id)
{
    if (member->boot_id != 0) {
        member->old_boots[member->old_boot_next] = member->boot_id;
        member->old_boot_next = (member->old_boot_next + 1) % PCL_MEMBER_OLD_BOOTS;
    }
    member->boot_id = boot_id;
    member->reported = false;
}

/* A run that is heard again, or a new one, after a long time: an agent that merely starts again
 * finds its database as warm as it left it.  Those that are there when the proxy itself starts have
 * served others all the while. */
static bool s_comes_cold(const pcl_membership *self, pcl_member_action action, uint64_t away_us,
                         uint64_t now_us)
{
    switch (action) {
    case PCL_MEMBER_ADMIT:
        return pcl_time_since_us(self->started_us, now_us) > PCL_MEMBER_AWAY_US;
    case PCL_MEMBER_REPLACE:
    case PCL_MEMBER_RETURN:
        return away_us > PCL_MEMBER_AWAY_US;
    case PCL_MEMBER_NOTHING:
    case PCL_MEMBER_CLEAR:
    case PCL_MEMBER_DOUBT:
    case PCL_MEMBER_CLOSE:
    case PCL_MEMBER_LOSE:
    case PCL_MEMBER_ACTION_COUNT:
        break;
    }
    return false;
}

bool pcl_membership_heard(pcl_membership *self, uint32_t index, uint64_t boot_id, uint64_t now_us,
                          pcl_member_action *out_action)
{
    pcl_member *member = pcl_membership_at(self, index);
    assert(out_action != NULL);
    if (boot_id != 0 && s_is_old_boot(member, boot_id)) {
        return false;
    }
    pcl_member_event event = PCL_MEMBER_HEARD;
    if (boot_id != 0 && boot_id != member->boot_id) {
        event = PCL_MEMBER_REBORN;
        s_set_boot(member, boot_id);
    } else if (member->boot_id == 0) {
        return false; /* nothing is known of a node that has not beaten yet */
    }
    uint64_t away_us = pcl_time_since_us(member->heard_us, now_us);
    member->heard_us = now_us;
    *out_action = s_step(member, event);
    if (*out_action == PCL_MEMBER_ADMIT || *out_action == PCL_MEMBER_REPLACE ||
        *out_action == PCL_MEMBER_RETURN) {
        pcl_candidate_reset(&member->candidate, now_us);
        member->lag_gate = (pcl_lag_gate){.out = false}; /* as if nothing had been said before */
        bool cold = s_comes_cold(self, *out_action, away_us, now_us);
        member->candidate.slow_since_us = cold ? now_us : 0;
        member->reported = false;
    }
    return true;
}

/* What its reports say of how long it was away while its agent lived. */
static void s_note_absence(const pcl_membership *self, pcl_member *member, uint64_t reported_us)
{
    const pcl_report *report = &member->report;
    pcl_lag_gate *gate = &member->lag_gate;
    uint64_t since_us = reported_us;
    if (report->state == PCL_NODE_NOT_READY) {
        member->unready_us = member->unready_us == 0 ? reported_us : member->unready_us;
    } else if (member->unready_us != 0) {
        since_us = member->unready_us;
        member->unready_us = 0;
    }
    if (pcl_lag_gate_note(gate, report->lag_ms, self->lag_ms_max, reported_us) &&
        gate->out_us < since_us) {
        since_us = gate->out_us;
    }
    if (pcl_time_since_us(since_us, reported_us) > PCL_MEMBER_AWAY_US) {
        member->candidate.slow_since_us = reported_us;
    }
}

bool pcl_membership_report(pcl_membership *self, uint32_t index, const pcl_report *report,
                           uint64_t reported_us)
{
    pcl_member *member = pcl_membership_at(self, index);
    assert(report != NULL);
    assert(report->gtid.size <= PCL_REPORT_GTID_SIZE_MAX);
    if (report->boot_id != member->boot_id) {
        return false;
    }
    if (member->reported && report->seq <= member->report.seq) {
        return false;
    }
    member->report = *report;
    if (report->gtid.size > 0) {
        memcpy(member->gtid_text, report->gtid.data, report->gtid.size);
    }
    member->report.gtid = pcl_bytes_of(member->gtid_text, report->gtid.size);
    member->reported = true;
    pcl_candidate_report(&member->candidate, report, reported_us);
    s_note_zone(self, member);
    s_note_absence(self, member, reported_us);
    return true;
}

pcl_member_action pcl_membership_bye(pcl_membership *self, uint32_t index)
{
    return s_step(pcl_membership_at(self, index), PCL_MEMBER_BYE);
}

pcl_member_action pcl_membership_unreachable(pcl_membership *self, uint32_t index)
{
    return s_step(pcl_membership_at(self, index), PCL_MEMBER_UNREACHABLE);
}

bool pcl_membership_is_silent(const pcl_membership *self, uint32_t index, uint64_t now_us)
{
    const pcl_member *member = pcl_membership_at(self, index);
    return member->state != PCL_MEMBER_NEW && member->state != PCL_MEMBER_GONE &&
           pcl_time_since_us(member->heard_us, now_us) >= 2 * BEAT_US;
}

void pcl_membership_stirs(pcl_membership *self, uint32_t index, uint64_t now_us)
{
    pcl_membership_at(self, index)->heard_us = now_us;
}

void pcl_membership_tick(pcl_membership *self, uint64_t now_us)
{
    assert(self != NULL);
    uint64_t gap_us = pcl_time_since_us(self->ticked_us, now_us);
    if (gap_us > BEAT_US) {
        for (uint32_t index = 0; index < self->count; index++) {
            self->members[index].heard_us += gap_us;
        }
    }
    self->ticked_us = now_us;
    self->cursor = 0;
}

pcl_member_action pcl_membership_next(pcl_membership *self, uint64_t now_us, uint32_t *out_index)
{
    assert(self != NULL);
    assert(out_index != NULL);
    while (self->cursor < self->count) {
        uint32_t index = self->cursor++;
        pcl_member *member = &self->members[index];
        uint64_t silent_us = pcl_time_since_us(member->heard_us, now_us);
        if (silent_us < SUSPECT_US) {
            continue;
        }
        pcl_member_action action = s_step(member, silent_us >= GONE_US ? PCL_MEMBER_LOST_LONG
                                                                       : PCL_MEMBER_SILENT);
        if (action != PCL_MEMBER_NOTHING) {
            *out_index = index;
            return action;
        }
    }
    return PCL_MEMBER_NOTHING;
}

const char *pcl_member_state_text(pcl_member_state state)
{
    switch (state) {
    case PCL_MEMBER_NEW:
        return "new";
    case PCL_MEMBER_UP:
        return "up";
    case PCL_MEMBER_SUSPECT:
        return "suspect";
    case PCL_MEMBER_LEAVING:
        return "leaving";
    case PCL_MEMBER_GONE:
        return "gone";
    case PCL_MEMBER_STATE_COUNT:
        break;
    }
    return "unknown";
}
