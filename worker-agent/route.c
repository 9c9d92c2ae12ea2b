#include "worker-agent/route.h"

#include "wire/mp.h"

#define EXPLANATION_KEYS_MAX 256u

/* The explanation's pairs, as octets, and how many; none when it is no map. */
static uint32_t s_explanation(pcl_bytes explanation, pcl_bytes *out_pairs)
{
    *out_pairs = pcl_bytes_of(NULL, 0);
    if (explanation.size == 0 || pcl_mp_check(explanation, PCL_MSGPACK_DEPTH_MAX,
                                              EXPLANATION_KEYS_MAX, NULL) != PCL_ERR_OK) {
        return 0;
    }
    pcl_mp_reader reader = pcl_mp_reader_of(explanation);
    pcl_mp_value value;
    if (!pcl_mp_next(&reader, &value) || value.type != PCL_MP_MAP) {
        return 0;
    }
    *out_pairs = pcl_bytes_of(explanation.data + reader.offset, explanation.size - reader.offset);
    return value.count;
}

static void s_put_count(pcl_buffer *buffer, const char *key, uint64_t value)
{
    pcl_mp_put_text(buffer, key);
    pcl_mp_put_uint(buffer, value);
}

static void s_put_times(pcl_buffer *buffer, const pcl_route *route)
{
    pcl_mp_put_text(buffer, "us");
    pcl_mp_put_map(buffer, 5);
    s_put_count(buffer, "gatekeeper", route->head->gatekeeper_us);
    s_put_count(buffer, "broker", route->head->broker_us);
    s_put_count(buffer, "proxy", route->head->proxy_us);
    s_put_count(buffer, "queue", route->queue_us);
    s_put_count(buffer, "exec", route->exec_us);
}

void pcl_route_put(pcl_buffer *buffer, const pcl_route *route)
{
    const pcl_head *head = route->head;
    bool explain = (head->flags & PCL_HEAD_EXPLAIN) != 0;
    pcl_bytes pairs = {0};
    uint32_t pair_count = explain ? s_explanation(route->explanation, &pairs) : 0;
    pcl_mp_put_text(buffer, "route");
    pcl_mp_put_map(buffer, 5u + pair_count + (explain ? 1u : 0u));
    pcl_mp_put_text(buffer, "node");
    pcl_mp_put_text(buffer, route->node);
    pcl_mp_put_text(buffer, "role");
    pcl_mp_put_text(buffer, pcl_node_role_text(route->role));
    pcl_mp_put_text(buffer, "strategy");
    pcl_mp_put_text(buffer, pcl_strategy_text(head->strategy));
    s_put_count(buffer, "attempts", (uint64_t)head->attempt + 1);
    pcl_mp_put_text(buffer, "hedged");
    pcl_mp_put_bool(buffer, (head->flags & PCL_HEAD_HEDGE) != 0);
    if (explain) {
        pcl_mp_put_raw(buffer, pairs);
        s_put_times(buffer, route);
    }
}
