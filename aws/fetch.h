/* fetch.h - one HTTP exchange at a time, over libcurl.
 *
 * Nothing of the environment counts (no proxy, no .netrc), nothing is followed, and everything has
 * a bound: the time of an exchange and the size of an answer.  Belongs to one thread, but for
 * pcl_fetcher_stop.
 */
#ifndef PCL_AWS_FETCH_H
#define PCL_AWS_FETCH_H

#include "aws/sigv4.h"
#include "common/buffer.h"
#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct pcl_fetcher pcl_fetcher;

/* All borrowed until the exchange is over. */
typedef struct pcl_fetch {
    const char *method; /* "GET", "PUT", "POST" */
    const char *url;
    const pcl_aws_header *headers;
    uint32_t header_count; /* at most PCL_AWS_HEADERS_MAX */
    pcl_bytes body;        /* of a POST */
    uint32_t timeout_ms;   /* of all of it, name resolution included */
} pcl_fetch;

pcl_fetcher *pcl_fetcher_new(void);
void pcl_fetcher_destroy(pcl_fetcher **self_p);

/* Ends the exchange at hand within a second, and each later one at once; from any thread. */
void pcl_fetcher_stop(pcl_fetcher *self);

/* The status of the answer, whose body is put into answer (cleared first).  0: there was none, and
 * error says why, in libcurl's words. */
uint32_t pcl_fetcher_run(pcl_fetcher *self, const pcl_fetch *fetch, pcl_buffer *answer, char *error,
                         size_t error_size) PCL_MUST_CHECK;

#endif
