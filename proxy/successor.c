#include "proxy/successor.h"

#include <string.h>

bool pcl_successor_fits(const pcl_member *source, const pcl_member *member,
                        const pcl_successor_place *where)
{
    const pcl_report *report = &member->report;
    bool sound = member->state == PCL_MEMBER_UP && !member->drained && member->reported &&
                 report->state == PCL_NODE_UP && !report->notice;
    bool follows = sound && report->role == PCL_NODE_REPLICA && report->replicating &&
                   report->flavor == source->report.flavor && report->term == source->report.term;
    return follows && report->lag_ms >= 0 && report->lag_ms <= PCL_SUCCESSOR_LAG_MS_MAX &&
           where->connected && !where->leaves && where->place->host[0] != '\0' &&
           where->place->port != 0;
}

bool pcl_successor_is_better(const pcl_member *a, const pcl_member *b)
{
    int32_t a_beats = a->report.lag_ms / (int32_t)PCL_BEAT_INTERVAL_MS;
    int32_t b_beats = b->report.lag_ms / (int32_t)PCL_BEAT_INTERVAL_MS;
    return a_beats < b_beats || (a_beats == b_beats && strcmp(a->name, b->name) < 0);
}
