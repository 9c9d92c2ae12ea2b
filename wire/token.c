#include "wire/token.h"

#include "wire/gtid.h"

#include <assert.h>
#include <string.h>

#define PREFIX "1."

enum {
    PREFIX_SIZE = sizeof PREFIX - 1,
    MAC_TEXT_SIZE = 22, /* of base64url, without padding */
    POSITION_AT = PREFIX_SIZE + MAC_TEXT_SIZE + 1,
};

static_assert((MAC_TEXT_SIZE * 6) / 8 == PCL_TOKEN_MAC_SIZE, "the text has the whole MAC");
static_assert(POSITION_AT + PCL_GTID_SIZE_MAX <= PCL_TOKEN_SIZE_MAX, "every position fits");

static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static int s_digit(uint8_t octet)
{
    const char *found = octet == 0 ? NULL : strchr(ALPHABET, octet);
    return found == NULL ? -1 : (int)(found - ALPHABET);
}

/* The four bits that are over must be 0, so that there is one text for each MAC. */
static bool s_read_mac(const uint8_t *text, uint8_t mac[PCL_TOKEN_MAC_SIZE])
{
    uint32_t bits = 0;
    uint32_t bit_count = 0;
    size_t size = 0;
    for (size_t index = 0; index < MAC_TEXT_SIZE; index++) {
        int digit = s_digit(text[index]);
        if (digit < 0) {
            return false;
        }
        bits = bits << 6 | (uint32_t)digit;
        bit_count += 6;
        if (bit_count >= 8) {
            bit_count -= 8;
            mac[size++] = (uint8_t)(bits >> bit_count);
            bits &= (1u << bit_count) - 1u;
        }
    }
    assert(size == PCL_TOKEN_MAC_SIZE);
    return bits == 0;
}

bool pcl_token_read(pcl_bytes text, uint8_t out_mac[PCL_TOKEN_MAC_SIZE], pcl_bytes *out_position)
{
    assert(out_mac != NULL);
    assert(out_position != NULL);
    uint8_t mac[PCL_TOKEN_MAC_SIZE];
    if (text.size <= POSITION_AT || text.size > POSITION_AT + PCL_GTID_SIZE_MAX ||
        memcmp(text.data, PREFIX, PREFIX_SIZE) != 0 || text.data[POSITION_AT - 1] != '.' ||
        !s_read_mac(text.data + PREFIX_SIZE, mac)) {
        return false;
    }
    pcl_bytes position = pcl_bytes_of(text.data + POSITION_AT, text.size - POSITION_AT);
    if (pcl_gtid_flavor(position) == PCL_FLAVOR_UNKNOWN) {
        return false;
    }
    memcpy(out_mac, mac, sizeof mac);
    *out_position = position;
    return true;
}

size_t pcl_token_write(const uint8_t mac[PCL_TOKEN_MAC_SIZE], pcl_bytes position,
                       char target[PCL_TOKEN_SIZE_MAX + 1])
{
    assert(mac != NULL);
    assert(position.size > 0 && position.size <= PCL_GTID_SIZE_MAX);
    assert(target != NULL);
    memcpy(target, PREFIX, PREFIX_SIZE);
    for (size_t index = 0; index < MAC_TEXT_SIZE; index++) {
        size_t bit = index * 6;
        uint32_t pair = (uint32_t)mac[bit / 8] << 8;
        pair |= bit / 8 + 1 < PCL_TOKEN_MAC_SIZE ? mac[bit / 8 + 1] : 0u;
        target[PREFIX_SIZE + index] = ALPHABET[pair >> (10 - bit % 8) & 63u];
    }
    target[POSITION_AT - 1] = '.';
    memcpy(target + POSITION_AT, position.data, position.size);
    target[POSITION_AT + position.size] = '\0';
    return POSITION_AT + position.size;
}

bool pcl_token_covers(pcl_bytes a, pcl_bytes b)
{
    uint8_t mac[PCL_TOKEN_MAC_SIZE];
    pcl_bytes position_a;
    pcl_bytes position_b;
    return pcl_token_read(a, mac, &position_a) && pcl_token_read(b, mac, &position_b) &&
           pcl_gtid_covers(position_a, position_b);
}
