#include "broker/queue.h"

#include "common/clock.h"

#include <assert.h>
#include <stdlib.h>

#define NOWHERE UINT32_MAX
#define STEP    (UINT64_C(1) << 32) /* a request's cost on the clock of a line with share 1 */

typedef struct item {
    uint32_t line;           /* NOWHERE: free */
    uint32_t previous, next; /* in the line; next also of the free ones */
    size_t octets;
    uint64_t queued_us;
} item;

/* One flow in one lane. */
typedef struct line {
    uint32_t first, last; /* items: the oldest, the newest */
    uint32_t count;
    uint32_t place; /* in its heap; only with count > 0 */
    uint32_t share;
    uint32_t priority;
    uint64_t clock; /* what it has had, by its share */
    uint64_t interval_end_us;
    uint64_t waited_us_min; /* in this interval */
    bool standing;
} line;

/* The lines of a lane and priority that have anything, by their clocks: the least is first. */
typedef struct heap {
    uint32_t *lines;
    uint32_t count;
    uint64_t clock; /* of whoever was served last */
} heap;

struct pcl_queue {
    pcl_queue_options options;
    item *items;
    line *lines; /* flow * PCL_QUEUE_LANES + lane */
    heap heaps[PCL_QUEUE_LANES][PCL_QUEUE_PRIORITIES];
    uint32_t free_first; /* given back */
    uint32_t fresh;      /* from here on none was ever taken */
    uint32_t count[PCL_QUEUE_LANES];
    size_t octets;
};

static void s_make_empty(pcl_queue *self)
{
    self->free_first = NOWHERE;
    for (uint32_t index = 0; index < self->options.flow_max * PCL_QUEUE_LANES; index++) {
        self->lines[index] = (line){.first = NOWHERE, .last = NOWHERE, .share = 1, .priority = 1};
    }
}

pcl_queue *pcl_queue_new(const pcl_queue_options *options)
{
    assert(options != NULL);
    assert(options->item_max > 0 && options->item_max <= PCL_QUEUE_ITEMS_MAX);
    assert(options->flow_max > 0 && options->flow_max <= PCL_QUEUE_FLOWS_MAX);
    assert(options->octets_max > 0);
    assert(options->target_us > 0 && options->interval_us > 0);
    pcl_queue *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    self->options = *options;
    self->items = calloc(options->item_max, sizeof *self->items);
    self->lines = calloc((size_t)options->flow_max * PCL_QUEUE_LANES, sizeof *self->lines);
    bool whole = self->items != NULL && self->lines != NULL;
    for (uint32_t lane = 0; lane < PCL_QUEUE_LANES; lane++) {
        for (uint32_t priority = 0; priority < PCL_QUEUE_PRIORITIES; priority++) {
            uint32_t *lines = calloc(options->flow_max, sizeof *lines);
            self->heaps[lane][priority].lines = lines;
            whole = whole && lines != NULL;
        }
    }
    if (!whole) {
        pcl_queue_destroy(&self);
        return NULL;
    }
    s_make_empty(self);
    return self;
}

void pcl_queue_destroy(pcl_queue **self_p)
{
    assert(self_p != NULL);
    pcl_queue *self = *self_p;
    if (self != NULL) {
        for (uint32_t lane = 0; lane < PCL_QUEUE_LANES; lane++) {
            for (uint32_t priority = 0; priority < PCL_QUEUE_PRIORITIES; priority++) {
                free(self->heaps[lane][priority].lines);
            }
        }
        free(self->items);
        free(self->lines);
        free(self);
        *self_p = NULL;
    }
}

void pcl_queue_set_times(pcl_queue *self, uint64_t target_us, uint64_t interval_us)
{
    assert(self != NULL);
    assert(target_us > 0 && interval_us > 0);
    self->options.target_us = target_us;
    self->options.interval_us = interval_us;
}

/* --- Heaps ----------------------------------------------------------------- */

static heap *s_heap_of(pcl_queue *self, uint32_t index)
{
    return &self->heaps[index % PCL_QUEUE_LANES][self->lines[index].priority];
}

static bool s_before(const pcl_queue *self, uint32_t a, uint32_t b)
{
    return self->lines[a].clock < self->lines[b].clock ||
           (self->lines[a].clock == self->lines[b].clock && a < b);
}

static void s_place(pcl_queue *self, heap *all, uint32_t place, uint32_t index)
{
    all->lines[place] = index;
    self->lines[index].place = place;
}

static void s_rise(pcl_queue *self, heap *all, uint32_t place)
{
    uint32_t index = all->lines[place];
    while (place > 0 && s_before(self, index, all->lines[(place - 1) / 2])) {
        s_place(self, all, place, all->lines[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    s_place(self, all, place, index);
}

static void s_sink(pcl_queue *self, heap *all, uint32_t place)
{
    uint32_t index = all->lines[place];
    for (;;) {
        uint32_t child = 2 * place + 1;
        if (child + 1 < all->count && s_before(self, all->lines[child + 1], all->lines[child])) {
            child++;
        }
        if (child >= all->count || !s_before(self, all->lines[child], index)) {
            break;
        }
        s_place(self, all, place, all->lines[child]);
        place = child;
    }
    s_place(self, all, place, index);
}

static void s_heap_add(pcl_queue *self, uint32_t index)
{
    heap *all = s_heap_of(self, index);
    line *mine = &self->lines[index];
    mine->clock = mine->clock > all->clock ? mine->clock : all->clock;
    s_place(self, all, all->count++, index);
    s_rise(self, all, mine->place);
}

static void s_heap_remove(pcl_queue *self, uint32_t index)
{
    heap *all = s_heap_of(self, index);
    uint32_t place = self->lines[index].place;
    assert(all->lines[place] == index);
    uint32_t moved = all->lines[--all->count];
    if (moved != index) {
        s_place(self, all, place, moved);
        s_rise(self, all, place);
        s_sink(self, all, self->lines[moved].place);
    }
}

void pcl_queue_set_flow(pcl_queue *self, uint32_t flow, uint32_t share, uint32_t priority)
{
    assert(self != NULL);
    assert(flow < self->options.flow_max);
    assert(share > 0 && share <= PCL_QUEUE_SHARE_MAX);
    assert(priority < PCL_QUEUE_PRIORITIES);
    for (uint32_t lane = 0; lane < PCL_QUEUE_LANES; lane++) {
        uint32_t index = flow * PCL_QUEUE_LANES + lane;
        line *mine = &self->lines[index];
        mine->share = share;
        if (mine->priority == priority) {
            continue;
        }
        if (mine->count > 0) {
            s_heap_remove(self, index);
        }
        mine->priority = priority;
        mine->clock = 0; /* the clocks of two priorities have nothing to do with each other */
        if (mine->count > 0) {
            s_heap_add(self, index);
        }
    }
}

/* --- Lines ----------------------------------------------------------------- */

/* A request of the line waits, or leaves, after that time. */
static void s_observe(const pcl_queue *self, line *mine, uint64_t waited_us, uint64_t now_us)
{
    mine->waited_us_min = waited_us < mine->waited_us_min ? waited_us : mine->waited_us_min;
    if (now_us >= mine->interval_end_us) {
        mine->standing = mine->waited_us_min > self->options.target_us;
        mine->interval_end_us = now_us + self->options.interval_us;
        mine->waited_us_min = waited_us;
    }
}

static bool s_gives_up(const pcl_queue *self, const line *mine, uint64_t waited_us)
{
    return mine->standing && waited_us > PCL_QUEUE_STANDING_TIMES * self->options.target_us;
}

static void s_take_out(pcl_queue *self, uint32_t number)
{
    item *gone = &self->items[number];
    line *mine = &self->lines[gone->line];
    *(gone->previous == NOWHERE ? &mine->first : &self->items[gone->previous].next) = gone->next;
    *(gone->next == NOWHERE ? &mine->last : &self->items[gone->next].previous) = gone->previous;
    self->octets -= gone->octets;
    self->count[gone->line % PCL_QUEUE_LANES]--;
    if (--mine->count == 0) {
        s_heap_remove(self, gone->line);
    }
    *gone = (item){.line = NOWHERE, .next = self->free_first};
    self->free_first = number;
}

uint32_t pcl_queue_push(pcl_queue *self, uint32_t flow, pcl_queue_lane lane, size_t octets,
                        uint64_t now_us)
{
    assert(self != NULL);
    assert(flow < self->options.flow_max);
    bool again = self->free_first != NOWHERE;
    uint32_t number = again ? self->free_first : self->fresh;
    if (number == self->options.item_max || octets > self->options.octets_max - self->octets) {
        return PCL_QUEUE_NONE;
    }
    uint32_t index = flow * PCL_QUEUE_LANES + (uint32_t)lane;
    line *mine = &self->lines[index];
    item *fresh = &self->items[number];
    self->free_first = again ? fresh->next : NOWHERE;
    self->fresh += again ? 0 : 1;
    *fresh = (item){.line = index,
                    .previous = mine->last,
                    .next = NOWHERE,
                    .octets = octets,
                    .queued_us = now_us};
    *(mine->last == NOWHERE ? &mine->first : &self->items[mine->last].next) = number;
    mine->last = number;
    if (mine->count++ == 0) {
        if (now_us >= mine->interval_end_us) { /* else it stands, or not, as it did just now */
            mine->standing = false;
            mine->interval_end_us = now_us + self->options.interval_us;
            mine->waited_us_min = UINT64_MAX;
        }
        s_heap_add(self, index);
    }
    self->octets += octets;
    self->count[lane]++;
    return number;
}

/* The oldest of a line that has any. */
static uint32_t s_pop_line(pcl_queue *self, uint32_t index, uint64_t now_us,
                           pcl_queue_fate *out_fate)
{
    heap *all = s_heap_of(self, index);
    line *mine = &self->lines[index];
    uint32_t number = mine->first;
    uint64_t waited_us = pcl_time_since_us(self->items[number].queued_us, now_us);
    s_observe(self, mine, waited_us, now_us);
    *out_fate = s_gives_up(self, mine, waited_us) ? PCL_QUEUE_DROPPED : PCL_QUEUE_NEXT;
    if (*out_fate == PCL_QUEUE_NEXT) {
        all->clock = all->lines[0] == index ? mine->clock : all->clock;
        mine->clock += STEP / mine->share;
        s_sink(self, all, mine->place);
    }
    s_take_out(self, number);
    return number;
}

uint32_t pcl_queue_pop(pcl_queue *self, pcl_queue_lane lane, uint64_t now_us,
                       pcl_queue_fate *out_fate)
{
    assert(self != NULL);
    assert(out_fate != NULL);
    heap *all = NULL;
    for (uint32_t priority = 0; priority < PCL_QUEUE_PRIORITIES; priority++) {
        all = &self->heaps[lane][priority];
        if (all->count > 0) {
            break;
        }
    }
    if (all->count == 0) {
        return PCL_QUEUE_NONE;
    }
    return s_pop_line(self, all->lines[0], now_us, out_fate);
}

uint32_t pcl_queue_pop_flow(pcl_queue *self, uint32_t flow, pcl_queue_lane lane, uint64_t now_us,
                            pcl_queue_fate *out_fate)
{
    assert(self != NULL);
    assert(flow < self->options.flow_max);
    assert(out_fate != NULL);
    uint32_t index = flow * PCL_QUEUE_LANES + (uint32_t)lane;
    return self->lines[index].count == 0 ? PCL_QUEUE_NONE
                                         : s_pop_line(self, index, now_us, out_fate);
}

uint32_t pcl_queue_expire(pcl_queue *self, uint64_t now_us)
{
    assert(self != NULL);
    for (uint32_t lane = 0; lane < PCL_QUEUE_LANES; lane++) {
        for (uint32_t priority = 0; priority < PCL_QUEUE_PRIORITIES; priority++) {
            const heap *all = &self->heaps[lane][priority];
            for (uint32_t place = 0; place < all->count; place++) {
                line *mine = &self->lines[all->lines[place]];
                uint32_t number = mine->first;
                uint64_t waited_us = pcl_time_since_us(self->items[number].queued_us, now_us);
                if (now_us >= mine->interval_end_us) {
                    s_observe(self, mine, waited_us, now_us);
                }
                if (s_gives_up(self, mine, waited_us)) {
                    s_take_out(self, number);
                    return number;
                }
            }
        }
    }
    return PCL_QUEUE_NONE;
}

void pcl_queue_remove(pcl_queue *self, uint32_t number)
{
    assert(self != NULL);
    assert(number < self->fresh);
    assert(self->items[number].line != NOWHERE);
    s_take_out(self, number);
}

/* --- Counts ---------------------------------------------------------------- */

uint32_t pcl_queue_count(const pcl_queue *self)
{
    assert(self != NULL);
    return self->count[PCL_QUEUE_READS] + self->count[PCL_QUEUE_REST];
}

uint32_t pcl_queue_flow_count(const pcl_queue *self, uint32_t flow, pcl_queue_lane lane)
{
    assert(self != NULL);
    assert(flow < self->options.flow_max);
    return self->lines[flow * PCL_QUEUE_LANES + (uint32_t)lane].count;
}

uint32_t pcl_queue_lane_count(const pcl_queue *self, pcl_queue_lane lane)
{
    assert(self != NULL);
    return self->count[lane];
}

size_t pcl_queue_octets(const pcl_queue *self)
{
    assert(self != NULL);
    return self->octets;
}

uint64_t pcl_queue_waited_us(const pcl_queue *self, uint32_t number, uint64_t now_us)
{
    assert(self != NULL);
    assert(number < self->options.item_max);
    return pcl_time_since_us(self->items[number].queued_us, now_us);
}
