#include "net/log.h"

#include "common/clock.h"
#include "net/time.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* One write of at most PIPE_BUF octets is not torn apart by other writers. */
enum { LINE_SIZE_MAX = 4096 };

static const char *const LEVEL_NAMES[] = {
    [PCL_LOG_DEBUG] = "debug",
    [PCL_LOG_INFO] = "info",
    [PCL_LOG_WARNING] = "warning",
    [PCL_LOG_ERROR] = "error",
};

static atomic_int s_level = PCL_LOG_INFO;

void pcl_log_set_level(pcl_log_level level)
{
    assert(level <= PCL_LOG_ERROR);
    atomic_store_explicit(&s_level, (int)level, memory_order_relaxed);
}

/* How much snprintf really put there. */
static size_t s_written(int count, size_t size)
{
    if (count < 0) {
        return 0;
    }
    return (size_t)count < size ? (size_t)count : size - 1;
}

static size_t s_put_prefix(char *line, size_t size, pcl_log_level level, const char *who,
                           const char *event)
{
    uint64_t wall_us = pcl_wall_us();
    time_t seconds = (time_t)(wall_us / PCL_US_PER_S);
    struct tm utc;
    if (gmtime_r(&seconds, &utc) == NULL) {
        utc = (struct tm){.tm_year = 70, .tm_mday = 1};
    }
    size_t used = strftime(line, size, "%Y-%m-%dT%H:%M:%S", &utc);
    int count = snprintf(line + used, size - used, ".%06uZ %s %s event=%s",
                         (unsigned)(wall_us % PCL_US_PER_S), LEVEL_NAMES[level], who, event);
    return used + s_written(count, size - used);
}

void pcl_log(pcl_log_level level, const char *who, const char *event, const char *format, ...)
{
    assert(level <= PCL_LOG_ERROR);
    assert(who != NULL && event != NULL && format != NULL);
    if ((int)level < atomic_load_explicit(&s_level, memory_order_relaxed)) {
        return;
    }
    int saved_errno = errno;
    char line[LINE_SIZE_MAX];
    size_t size = sizeof line - 1; /* the last octet is kept for the line's end */
    size_t used = s_put_prefix(line, size, level, who, event);
    if (format[0] != '\0' && used + 2 < size) {
        line[used++] = ' ';
        va_list values;
        va_start(values, format);
        int count = vsnprintf(line + used, size - used, format, values);
        va_end(values);
        used += s_written(count, size - used);
    }
    while (line[used - 1] == ' ') {
        used--; /* the pairs were empty */
    }
    for (size_t index = 0; index < used; index++) {
        if ((unsigned char)line[index] < 0x20 || line[index] == 0x7f) {
            line[index] = '?'; /* one event stays one line, whatever the values hold */
        }
    }
    line[used++] = '\n';
    /* Nobody can be told that the log is gone. */
    ssize_t ignored = write(STDERR_FILENO, line, used);
    (void)ignored;
    errno = saved_errno;
}

char *pcl_id_text(const uint8_t id[PCL_ID_SIZE], char text[2 * PCL_ID_SIZE + 1])
{
    static const char DIGITS[] = "0123456789abcdef";
    assert(id != NULL && text != NULL);
    for (size_t index = 0; index < PCL_ID_SIZE; index++) {
        text[2 * index] = DIGITS[id[index] >> 4];
        text[2 * index + 1] = DIGITS[id[index] & 15];
    }
    text[2 * PCL_ID_SIZE] = '\0';
    return text;
}

char *pcl_log_escape(const char *source, char *target, uint32_t target_size)
{
    assert(source != NULL && target != NULL);
    assert(target_size > 0);
    uint32_t used = 0;
    for (; source[used] != '\0' && used + 1 < target_size; used++) {
        unsigned char octet = (unsigned char)source[used];
        /* U+0080 to U+009F, which steer terminals too, are C2 80 to C2 9F. */
        bool steers = octet >= 0x80 && octet < 0xa0 && used > 0 && source[used - 1] == '\xc2';
        bool plain = octet >= 0x20 && octet != 0x7f && octet != '"' && octet != '\\' && !steers;
        target[used] = plain ? source[used] : '?';
    }
    target[used] = '\0';
    return target;
}
