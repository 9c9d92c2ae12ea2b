/* spread.h - which of several equal neighbours gets the next request; pure.
 *
 * The one with the fewest of ours in flight, of those that may be asked; where several are equal,
 * each in its turn.  A neighbour that is slow keeps what it has for longer, and so gets less.
 * No allocation; one thread.
 */
#ifndef PCL_NET_SPREAD_H
#define PCL_NET_SPREAD_H

#include <stdint.h>

#define PCL_SPREAD_MAX  8u
#define PCL_SPREAD_NONE UINT32_MAX

typedef struct pcl_spread {
    uint32_t count; /* of neighbours, 1 to PCL_SPREAD_MAX */
    uint32_t turn;  /* whose turn it is among equals */
    uint32_t inflight[PCL_SPREAD_MAX];
} pcl_spread;

pcl_spread pcl_spread_of(uint32_t count);

/* may: bit 1u << index of each that may be asked.  NONE: nobody may. */
uint32_t pcl_spread_choose(pcl_spread *self, uint32_t may);

/* A request went there; it was answered or lost. */
void pcl_spread_begin(pcl_spread *self, uint32_t index);
void pcl_spread_end(pcl_spread *self, uint32_t index);

#endif
