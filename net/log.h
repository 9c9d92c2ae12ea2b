/* log.h - one structured line an event, on standard error.
 *
 *   2026-11-22T15:33:30.123456Z info gatekeeper event=refused id=00ff... code=MALFORMED field="v"
 *
 * Only actors and mains log.  No SQL text above debug, no secret ever.  Safe
 * from any thread; a line is one write(2).
 */
#ifndef PCL_NET_LOG_H
#define PCL_NET_LOG_H

#include "common/limits.h"

#include <stdint.h>

typedef enum pcl_log_level {
    PCL_LOG_DEBUG = 0,
    PCL_LOG_INFO,
    PCL_LOG_WARNING,
    PCL_LOG_ERROR,
} pcl_log_level;

/* Lines under the level are dropped.  Default INFO. */
void pcl_log_set_level(pcl_log_level level);

/* who: "gatekeeper", "agent.node1"; event: a word; format: `key=value key="value"`
 * pairs, printf style, may be "". */
void pcl_log(pcl_log_level level, const char *who, const char *event, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* 32 hex digits of an id, for log lines: text must hold 33 characters. */
char *pcl_id_text(const uint8_t id[PCL_ID_SIZE], char text[2 * PCL_ID_SIZE + 1]);

/* Replaces quotes, backslashes and control characters, so that a value from outside cannot forge a
 * field or a line.  Returns target, NUL terminated and cut to its size. */
char *pcl_log_escape(const char *source, char *target, uint32_t target_size);

#endif
