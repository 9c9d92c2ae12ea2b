/* Any two texts: a set reaches and covers what it merges to, merging ends at one text, and a token
 * that reads writes to the octets it came from.  A line end parts the two. */
#include "wire/gtid.h"
#include "wire/token.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_SIZE_MAX = 16384 };

static void s_require(bool fact)
{
    if (!fact) {
        abort();
    }
}

static void s_check_token(pcl_bytes text)
{
    uint8_t mac[PCL_TOKEN_MAC_SIZE];
    char again[PCL_TOKEN_SIZE_MAX + 1];
    pcl_bytes position;
    if (pcl_token_read(text, mac, &position)) {
        s_require(pcl_token_write(mac, position, again) == text.size);
        s_require(memcmp(again, text.data, text.size) == 0);
        s_require(pcl_token_covers(text, text));
    }
}

/* A set of more items is reached and covered by nothing. */
static bool s_may_be_wanted(pcl_bytes text)
{
    pcl_gtid_reader reader = pcl_gtid_reader_of(text);
    pcl_gtid_item item;
    uint32_t count = 0;
    while (pcl_gtid_next(&reader, &item)) {
        count++;
    }
    return count > 0 && count <= PCL_GTID_ORIGINS_MAX;
}

static void s_check_pair(pcl_bytes a, pcl_bytes b)
{
    static char merged[TEXT_SIZE_MAX];
    static char again[TEXT_SIZE_MAX];
    static char furthest[TEXT_SIZE_MAX];
    size_t size = pcl_gtid_merge(a, b, merged, sizeof merged);
    if (size == 0) {
        return;
    }
    pcl_bytes both = pcl_bytes_of(merged, size);
    s_require(pcl_gtid_merge(both, both, again, sizeof again) == size);
    s_require(memcmp(again, merged, size) == 0);
    s_require(pcl_gtid_reaches(both, both) && pcl_gtid_covers(both, both));
    s_require(pcl_gtid_covers(both, a) == s_may_be_wanted(a));
    size_t furthest_size = pcl_gtid_furthest(both, furthest, sizeof furthest);
    s_require(furthest_size > 0 && furthest_size <= size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pcl_bytes whole = pcl_bytes_of(data, size);
    const uint8_t *end = size > 0 ? memchr(data, '\n', size) : NULL;
    pcl_bytes a = end != NULL ? pcl_bytes_of(data, (size_t)(end - data)) : whole;
    pcl_bytes b = end != NULL ? pcl_bytes_of(end + 1, size - a.size - 1) : pcl_bytes_of(data, 0);
    s_check_token(whole);
    s_check_pair(a, b);
    (void)pcl_gtid_reaches(a, b);
    (void)pcl_gtid_covers(b, a);
    return 0;
}
