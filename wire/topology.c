#include "wire/topology.h"

#include "common/endian.h"

#include <assert.h>
#include <string.h>

/* Offsets of the fields, as the header file lists them. */
enum {
    AT_TERM = 0,
    AT_ATTEMPT = 8,
    AT_STAGE = 16,
    AT_FLAGS = 17,
    AT_SOURCE_PORT = 18,
    AT_FROM_PORT = 20,
    AT_OWN_PORT = 22,
    AT_SOURCE_SIZE = 24,
    AT_SOURCE_HOST_SIZE = 25,
    AT_FROM_SIZE = 26,
    AT_FROM_HOST_SIZE = 27,
    AT_OWN_HOST_SIZE = 28,
    AT_RESERVED = 29,
    AT_POSITION_SIZE = 30,
    AT_TEXTS = 32,
};

enum { FLAG_WANTS = 1, FLAG_READY = 2, FLAGS_ALL = 3 };

static_assert(AT_TEXTS == PCL_TOPOLOGY_FIXED_SIZE, "the fields fill the fixed part");
static_assert(PCL_TOPOLOGY_HOST_SIZE_MAX <= UINT8_MAX, "a host's size fits its octet");
static_assert(PCL_TOPOLOGY_POSITION_SIZE_MAX <= UINT16_MAX, "a position's size fits its field");

bool pcl_topology_text_is_valid(pcl_bytes text)
{
    for (size_t index = 0; index < text.size; index++) {
        uint8_t octet = text.data[index];
        uint8_t letter = octet | 0x20;
        bool fine = (octet >= '0' && octet <= '9') || (letter >= 'a' && letter <= 'z') ||
                    octet == '-' || octet == '.' || octet == '_' || octet == ':' || octet == ',';
        if (!fine) {
            return false;
        }
    }
    return true;
}

static size_t s_put(uint8_t *target, const char *text)
{
    size_t size = strlen(text);
    if (size > 0) {
        memcpy(target, text, size);
    }
    return size;
}

size_t pcl_topology_encode(const pcl_topology *topology, uint8_t target[PCL_TOPOLOGY_SIZE_MAX])
{
    assert(topology != NULL && target != NULL);
    assert(topology->stage >= 0 && topology->stage < PCL_TOPOLOGY_STAGE_COUNT);
    memset(target, 0, PCL_TOPOLOGY_FIXED_SIZE);
    pcl_put_be(target + AT_TERM, topology->term, 8);
    pcl_put_be(target + AT_ATTEMPT, topology->attempt, 8);
    target[AT_STAGE] = (uint8_t)topology->stage;
    target[AT_FLAGS] = (uint8_t)((topology->wants ? FLAG_WANTS : 0u) |
                                 (topology->ready ? FLAG_READY : 0u));
    pcl_put_be(target + AT_SOURCE_PORT, topology->source.port, 2);
    pcl_put_be(target + AT_FROM_PORT, topology->from.port, 2);
    pcl_put_be(target + AT_OWN_PORT, topology->own.port, 2);
    target[AT_SOURCE_SIZE] = (uint8_t)strlen(topology->source.name);
    target[AT_SOURCE_HOST_SIZE] = (uint8_t)strlen(topology->source.host);
    target[AT_FROM_SIZE] = (uint8_t)strlen(topology->from.name);
    target[AT_FROM_HOST_SIZE] = (uint8_t)strlen(topology->from.host);
    target[AT_OWN_HOST_SIZE] = (uint8_t)strlen(topology->own.host);
    pcl_put_be(target + AT_POSITION_SIZE, strlen(topology->position), 2);
    size_t size = AT_TEXTS;
    size += s_put(target + size, topology->source.name);
    size += s_put(target + size, topology->source.host);
    size += s_put(target + size, topology->from.name);
    size += s_put(target + size, topology->from.host);
    size += s_put(target + size, topology->own.host);
    size += s_put(target + size, topology->position);
    return size;
}

/* The next text of that size; false when it does not fit its place, or is none. */
static bool s_get(pcl_bytes source, size_t *offset, size_t size, char *target, size_t target_size)
{
    if (size >= target_size || size > source.size - *offset) {
        return false;
    }
    pcl_bytes text = pcl_bytes_of(source.data + *offset, size);
    pcl_bytes_to_text(text, target, target_size);
    *offset += size;
    return pcl_topology_text_is_valid(text);
}

static bool s_is_whole(const pcl_topology_place *place)
{
    return place->name[0] != '\0' && place->host[0] != '\0' && place->port != 0;
}

static bool s_is_complete(const pcl_topology *topology)
{
    if (topology->stage < PCL_TOPOLOGY_FENCED) {
        return topology->stage == PCL_TOPOLOGY_NONE || s_is_whole(&topology->source);
    }
    return topology->term > 0 && s_is_whole(&topology->source) && s_is_whole(&topology->from) &&
           topology->position[0] != '\0' && strcmp(topology->source.name, topology->from.name) != 0;
}

pcl_err pcl_topology_decode(pcl_topology *out_topology, pcl_bytes source)
{
    assert(out_topology != NULL);
    if (source.size < AT_TEXTS || source.size > PCL_TOPOLOGY_SIZE_MAX) {
        return PCL_ERR_MALFORMED;
    }
    const uint8_t *octets = source.data;
    if (octets[AT_STAGE] >= PCL_TOPOLOGY_STAGE_COUNT || (octets[AT_FLAGS] & ~FLAGS_ALL) != 0 ||
        octets[AT_RESERVED] != 0) {
        return PCL_ERR_MALFORMED;
    }
    pcl_topology topology = {
        .term = pcl_get_be(octets + AT_TERM, 8),
        .attempt = pcl_get_be(octets + AT_ATTEMPT, 8),
        .stage = (pcl_topology_stage)octets[AT_STAGE],
        .wants = (octets[AT_FLAGS] & FLAG_WANTS) != 0,
        .ready = (octets[AT_FLAGS] & FLAG_READY) != 0,
        .source.port = (uint16_t)pcl_get_be(octets + AT_SOURCE_PORT, 2),
        .from.port = (uint16_t)pcl_get_be(octets + AT_FROM_PORT, 2),
        .own.port = (uint16_t)pcl_get_be(octets + AT_OWN_PORT, 2),
    };
    const struct {
        size_t size;
        char *text;
        size_t text_size;
    } TEXTS[] = {
        {octets[AT_SOURCE_SIZE], topology.source.name, sizeof topology.source.name},
        {octets[AT_SOURCE_HOST_SIZE], topology.source.host, sizeof topology.source.host},
        {octets[AT_FROM_SIZE], topology.from.name, sizeof topology.from.name},
        {octets[AT_FROM_HOST_SIZE], topology.from.host, sizeof topology.from.host},
        {octets[AT_OWN_HOST_SIZE], topology.own.host, sizeof topology.own.host},
        {(size_t)pcl_get_be(octets + AT_POSITION_SIZE, 2), topology.position,
         sizeof topology.position},
    };
    size_t offset = AT_TEXTS;
    for (size_t index = 0; index < sizeof TEXTS / sizeof TEXTS[0]; index++) {
        if (!s_get(source, &offset, TEXTS[index].size, TEXTS[index].text, TEXTS[index].text_size)) {
            return PCL_ERR_MALFORMED;
        }
    }
    if (offset != source.size || !s_is_complete(&topology)) {
        return PCL_ERR_MALFORMED;
    }
    *out_topology = topology;
    return PCL_ERR_OK;
}

bool pcl_topology_is_newer(const pcl_topology *a, const pcl_topology *b)
{
    return b->term > a->term || (b->term == a->term && b->stage > a->stage);
}

const char *pcl_topology_stage_text(pcl_topology_stage stage)
{
    static const char *const TEXTS[] = {"none", "proposed", "fenced", "decided", "open"};
    return stage >= 0 && stage < PCL_TOPOLOGY_STAGE_COUNT ? TEXTS[stage] : "none";
}
