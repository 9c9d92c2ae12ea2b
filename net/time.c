#include "net/time.h"

#include "common/clock.h"

#include <assert.h>
#include <errno.h>
#include <sys/random.h>
#include <time.h>

static uint64_t s_clock_us(clockid_t clock)
{
    struct timespec now;
    int rc = clock_gettime(clock, &now);
    assert(rc == 0);
    return (uint64_t)now.tv_sec * PCL_US_PER_S + (uint64_t)now.tv_nsec / 1000;
}

uint64_t pcl_now_us(void)
{
    return s_clock_us(CLOCK_BOOTTIME);
}

uint64_t pcl_wall_us(void)
{
    return s_clock_us(CLOCK_REALTIME);
}

void pcl_random(void *target, uint32_t size)
{
    assert(target != NULL || size == 0);
    uint8_t *cursor = target;
    while (size > 0) {
        ssize_t count = getrandom(cursor, size, 0);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        assert(count > 0);
        cursor += count;
        size -= (uint32_t)count;
    }
}

uint64_t pcl_random_u64(void)
{
    uint64_t value;
    pcl_random(&value, sizeof value);
    return value;
}
