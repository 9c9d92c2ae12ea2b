/* http.h - GET /health, /ready, /metrics and published pages, on
 * libmicrohttpd's own thread; loopback or a private address only.
 *
 *   /health  200 while the process lives; body says "ok"
 *   /ready   200 when the role does its work, else 503 and the reason
 */
#ifndef PCL_NET_HTTP_H
#define PCL_NET_HTTP_H

#include "common/bytes.h"
#include "net/metrics.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct pcl_http pcl_http;

/* address: "127.0.0.1:8000" or "[::1]:8000"; a public address is refused.  metrics is borrowed.
 * NULL on failure, and error says why. */
pcl_http *pcl_http_start(const char *address, pcl_metrics *metrics, char *error, size_t error_size);
void pcl_http_stop(pcl_http **self_p);

/* Where it listens; of use when the address asked for port 0. */
uint16_t pcl_http_port(const pcl_http *self);

/* In both below self may be NULL: then there is nobody to tell. */

/* Safe from any thread.  reason is copied; "" when ready. */
void pcl_http_set_ready(pcl_http *self, bool ready, const char *reason);

/* Replaces the page at path ("/api/cluster"); octets are copied, content_type and path must be
 * static.  At most 8 paths.  Safe from any thread. */
void pcl_http_publish(pcl_http *self, const char *path, const char *content_type, pcl_bytes octets);

#endif
