#include "bench/driver/progress.h"

#include "bench/driver/text.h"
#include "common/clock.h"

#include <assert.h>
#include <inttypes.h>

#define BAR_COLUMNS 10u /* so that a line of 80 has room for the figures */

static double s_ms(uint64_t us)
{
    return (double)us / (double)PCL_US_PER_MS;
}

/* Three digits tell enough of what changes each second. */
static void s_put_ms(uint64_t us, pcl_buffer *buffer)
{
    pcl_text_put(buffer, "%.*f",
                 us < 10 * PCL_US_PER_MS    ? 2
                 : us < 100 * PCL_US_PER_MS ? 1
                                            : 0,
                 s_ms(us));
}

void pcl_progress_bar(const pcl_progress *self, const pcl_progress_view *view, uint32_t columns,
                      pcl_buffer *buffer)
{
    assert(self->runs > 0);
    assert(self->run_us > 0);
    size_t start = buffer->size;
    uint64_t all_us = self->runs * self->run_us;
    uint64_t run_us = view->gone_us < self->run_us ? view->gone_us : self->run_us;
    uint64_t gone_us = self->runs_done * self->run_us + run_us;
    gone_us = gone_us < all_us ? gone_us : all_us;
    uint64_t left_s = (all_us - gone_us) / PCL_US_PER_S;
    uint64_t full = gone_us * BAR_COLUMNS / all_us;
    pcl_text_put(buffer, "[");
    for (uint32_t column = 0; column < BAR_COLUMNS; column++) {
        pcl_text_put(buffer, "%s", column < full ? "#" : "-");
    }
    pcl_text_put(buffer, "] %3" PRIu64 "%% %" PRIu64 ":%02" PRIu64 " left  %s %" PRIu32 "/%" PRIu32,
                 gone_us * 100 / all_us, left_s / 60, left_s % 60, self->strategy, self->round,
                 self->rounds);
    if (view->measures) {
        pcl_text_put(buffer, "  %.0f/s  p50 ", view->rate);
        s_put_ms(view->p50_us, buffer);
        pcl_text_put(buffer, "  p99 ");
        s_put_ms(view->p99_us, buffer);
        pcl_text_put(buffer, " ms");
    } else {
        pcl_text_put(buffer, "  warming up");
    }
    if (view->failed > 0) {
        pcl_text_put(buffer, "  %" PRIu64 " failed", view->failed);
    }
    if (buffer->size - start > columns) {
        pcl_buffer_truncate(buffer, start + columns);
    }
}

void pcl_progress_run(const pcl_progress *self, const pcl_tally *tally, pcl_buffer *buffer)
{
    pcl_text_put(buffer,
                 "round %" PRIu32 "/%" PRIu32 " %s: %.1f/s, p50 %.2f, p99 %.2f ms, failed %" PRIu64
                 "\n",
                 self->round, self->rounds, self->strategy, pcl_tally_throughput(tally),
                 s_ms(pcl_histogram_at(&tally->all_us, 0.5)),
                 s_ms(pcl_histogram_at(&tally->all_us, 0.99)), pcl_tally_failures(tally));
}
