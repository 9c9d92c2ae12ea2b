/* ticker.h - a thread that does something now and then, and can be ended. */
#ifndef PCL_WORKER_AGENT_TICKER_H
#define PCL_WORKER_AGENT_TICKER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct pcl_ticker pcl_ticker;

/* Does its work once; returns after how many milliseconds it wants to be called again. */
typedef uint32_t(pcl_ticker_work)(void *context);

pcl_ticker *pcl_ticker_new(pcl_ticker_work *work, void *context);

/* Ends the thread after the work in hand.  false: it was still at it after wait_ms, and goes on
 * existing; call again. */
bool pcl_ticker_stop(pcl_ticker **self_p, uint32_t wait_ms);

#endif
