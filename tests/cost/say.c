#include "tests/cost/cost.h"

#include "common/buffer.h"
#include "wire/mp.h"
#include "wire/reply.h"
#include "wire/request.h"

#include <string.h>

#define SQL "SELECT name FROM customers WHERE id = ?"

enum { OCTETS_MAX = 4096, TIMEOUT_MS = 5000 };

void cost_keys_make(cost_keys *self)
{
    pcl_keys_make(&self->client);
    pcl_keys_make(&self->broker);
    if (!pcl_seal_key_make(&self->seal, true, self->client.secret_key, self->client.public_key,
                           self->broker.public_key)) {
        cost_fail("no seal can be made");
    }
}

static void s_give(pcl_buffer *buffer, uint8_t *out_octets, size_t *inout_size)
{
    if (buffer->failed || buffer->size > *inout_size) {
        cost_fail("a message does not fit");
    }
    memcpy(out_octets, buffer->data, buffer->size);
    *inout_size = buffer->size;
    pcl_buffer_release(buffer);
}

void cost_request(uint32_t number, uint8_t out_id[16], uint8_t *out_octets, size_t *inout_size)
{
    pcl_buffer params;
    pcl_buffer buffer;
    pcl_buffer_init(&params, OCTETS_MAX);
    pcl_buffer_init(&buffer, OCTETS_MAX);
    pcl_mp_put_array(&params, 1);
    pcl_mp_put_uint(&params, 1000 + number % 1000); /* of the same size each time */
    pcl_request request = {.op = PCL_OP_QUERY,
                           .sql = pcl_bytes_text(SQL),
                           .has_id = true,
                           .params = pcl_buffer_bytes(&params),
                           .param_count = 1,
                           .timeout_ms = TIMEOUT_MS};
    memset(request.id, 7, sizeof request.id);
    memcpy(request.id, &number, sizeof number);
    memcpy(out_id, request.id, sizeof request.id);
    pcl_request_encode(&request, &buffer);
    pcl_buffer_release(&params);
    s_give(&buffer, out_octets, inout_size);
}

void cost_reply(const uint8_t id[16], uint8_t *out_octets, size_t *inout_size)
{
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, OCTETS_MAX);
    pcl_reply_open(&buffer, id, true, 3);
    pcl_mp_put_text(&buffer, "columns");
    pcl_mp_put_array(&buffer, 1);
    pcl_mp_put_array(&buffer, 3);
    pcl_mp_put_text(&buffer, "name");
    pcl_mp_put_text(&buffer, "VARCHAR");
    pcl_mp_put_uint(&buffer, 1);
    pcl_mp_put_text(&buffer, "rows");
    pcl_mp_put_array(&buffer, 1);
    pcl_mp_put_array(&buffer, 1);
    pcl_mp_put_text(&buffer, "a customer of some name");
    pcl_mp_put_text(&buffer, "route");
    pcl_mp_put_map(&buffer, 3);
    pcl_mp_pair_text(&buffer, "node", "node2");
    pcl_mp_pair_text(&buffer, "role", "replica");
    pcl_mp_pair_uint(&buffer, "attempts", 1);
    s_give(&buffer, out_octets, inout_size);
}
