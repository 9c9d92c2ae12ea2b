#include "wire/head.h"

#include "common/endian.h"
#include "wire/text.h"
#include "wire/utf8.h"

#include <assert.h>

enum {
    SIGNATURE_0 = 0x50, /* 'P' */
    SIGNATURE_1 = 0x43, /* 'C' */
    VERSION = 2,
};

/* Offsets of the fields, as the header file lists them. */
enum {
    AT_TICKET = 0,
    AT_SIGNATURE = 8,
    AT_VERSION = 10,
    AT_KIND = 11,
    AT_OP = 12,
    AT_CLASS = 13,
    AT_STRATEGY = 14,
    AT_CONSISTENCY = 15,
    AT_ATTEMPT = 16,
    AT_CODE = 17,
    AT_RETRY = 18,
    AT_FLAGS = 19,
    AT_BUDGET_US = 20,
    AT_SENT_US = 24,
    AT_GATEKEEPER_US = 32,
    AT_BROKER_US = 36,
    AT_PROXY_US = 40,
    AT_MAX_LAG_MS = 44,
    AT_TERM = 48,
    AT_ID = 56,
    AT_SESSION = 72,
    AT_ROWS = 88,
    AT_PRINCIPAL_SIZE = 92,
    AT_ROLE_SIZE = 93,
    AT_AFTER_SIZE = 94,
    AT_PRINCIPAL = 96,
};

static_assert(AT_PRINCIPAL == PCL_HEAD_FIXED_SIZE, "the fields fill the fixed part");
static_assert(PCL_NAME_SIZE_MAX <= UINT8_MAX, "a name's size fits its octet");

static bool s_is_err(uint8_t code)
{
    switch (code) {
#define CASE(name, value, retry, text) case value:
        PCL_ERR_LIST(CASE)
#undef CASE
        return true;
    default:
        return false;
    }
}

static bool s_is_in_range(const pcl_head *head)
{
    return head->kind > 0 && head->kind < PCL_KIND_LIMIT && head->op >= 0 &&
           head->op < PCL_OP_COUNT && head->strategy >= 0 && head->strategy < PCL_STRATEGY_COUNT &&
           head->consistency >= 0 && head->consistency < PCL_CONSISTENCY_COUNT && head->code >= 0 &&
           head->code <= UINT8_MAX && s_is_err((uint8_t)head->code) && head->retry >= 0 &&
           head->retry <= PCL_RETRY_UNSAFE;
}

/* What it reads after is a read's that waits for it. */
static bool s_may_have_after(const pcl_head *head)
{
    return head->kind == PCL_KIND_REQUEST && head->consistency == PCL_CONSISTENCY_AFTER;
}

/* A reply made of its request's head has none, nor has a hint. */
static size_t s_after_size(const pcl_head *head)
{
    return s_may_have_after(head) ? head->after.size : 0;
}

static void s_put_texts(const pcl_head *head, uint8_t *target)
{
    target[AT_PRINCIPAL_SIZE] = (uint8_t)head->principal.size;
    target[AT_ROLE_SIZE] = (uint8_t)head->role.size;
    pcl_put_be(target + AT_AFTER_SIZE, s_after_size(head), 2);
    uint8_t *end = target + AT_PRINCIPAL + head->principal.size + head->role.size;
    if (head->principal.size > 0) {
        memcpy(target + AT_PRINCIPAL, head->principal.data, head->principal.size);
    }
    if (head->role.size > 0) {
        memcpy(target + AT_PRINCIPAL + head->principal.size, head->role.data, head->role.size);
    }
    if (s_after_size(head) > 0) {
        memcpy(end, head->after.data, head->after.size);
    }
}

size_t pcl_head_encode(const pcl_head *head, uint8_t target[PCL_HEAD_SIZE_MAX])
{
    assert(head != NULL);
    assert(target != NULL);
    assert(s_is_in_range(head));
    assert(head->principal.size <= PCL_NAME_SIZE_MAX);
    assert(head->role.size <= PCL_NAME_SIZE_MAX);
    assert(head->after.size <= PCL_GTID_SIZE_MAX);
    pcl_put_be(target + AT_TICKET, head->ticket, 8);
    target[AT_SIGNATURE] = SIGNATURE_0;
    target[AT_SIGNATURE + 1] = SIGNATURE_1;
    target[AT_VERSION] = VERSION;
    target[AT_KIND] = (uint8_t)head->kind;
    target[AT_OP] = (uint8_t)head->op;
    target[AT_CLASS] = head->sql_class;
    target[AT_STRATEGY] = (uint8_t)head->strategy;
    target[AT_CONSISTENCY] = (uint8_t)head->consistency;
    target[AT_ATTEMPT] = head->attempt;
    target[AT_CODE] = (uint8_t)head->code;
    target[AT_RETRY] = (uint8_t)head->retry;
    target[AT_FLAGS] = head->flags;
    pcl_put_be(target + AT_BUDGET_US, head->budget_us, 4);
    pcl_put_be(target + AT_SENT_US, head->sent_us, 8);
    pcl_put_be(target + AT_GATEKEEPER_US, head->gatekeeper_us, 4);
    pcl_put_be(target + AT_BROKER_US, head->broker_us, 4);
    pcl_put_be(target + AT_PROXY_US, head->proxy_us, 4);
    pcl_put_be(target + AT_MAX_LAG_MS, head->max_lag_ms, 4);
    pcl_put_be(target + AT_TERM, head->term, 8);
    memcpy(target + AT_ID, head->id, PCL_ID_SIZE);
    memcpy(target + AT_SESSION, head->session, PCL_ID_SIZE);
    pcl_put_be(target + AT_ROWS, head->rows, 4);
    s_put_texts(head, target);
    return PCL_HEAD_FIXED_SIZE + head->principal.size + head->role.size + s_after_size(head);
}

/* The fixed part, any values. */
static pcl_head s_get_fixed(const uint8_t *source)
{
    pcl_head head = {
        .ticket = pcl_get_be(source + AT_TICKET, 8),
        .kind = (pcl_kind)source[AT_KIND],
        .op = (pcl_op)source[AT_OP],
        .sql_class = source[AT_CLASS],
        .strategy = (pcl_strategy_kind)source[AT_STRATEGY],
        .consistency = (pcl_consistency_kind)source[AT_CONSISTENCY],
        .attempt = source[AT_ATTEMPT],
        .code = (pcl_err)source[AT_CODE],
        .retry = (pcl_retry)source[AT_RETRY],
        .flags = source[AT_FLAGS],
        .budget_us = (uint32_t)pcl_get_be(source + AT_BUDGET_US, 4),
        .sent_us = pcl_get_be(source + AT_SENT_US, 8),
        .gatekeeper_us = (uint32_t)pcl_get_be(source + AT_GATEKEEPER_US, 4),
        .broker_us = (uint32_t)pcl_get_be(source + AT_BROKER_US, 4),
        .proxy_us = (uint32_t)pcl_get_be(source + AT_PROXY_US, 4),
        .max_lag_ms = (uint32_t)pcl_get_be(source + AT_MAX_LAG_MS, 4),
        .term = pcl_get_be(source + AT_TERM, 8),
        .rows = (uint32_t)pcl_get_be(source + AT_ROWS, 4),
    };
    memcpy(head.id, source + AT_ID, PCL_ID_SIZE);
    memcpy(head.session, source + AT_SESSION, PCL_ID_SIZE);
    return head;
}

size_t pcl_head_size(pcl_bytes octets)
{
    if (octets.size < PCL_HEAD_FIXED_SIZE) {
        return 0;
    }
    return PCL_HEAD_FIXED_SIZE + octets.data[AT_PRINCIPAL_SIZE] + octets.data[AT_ROLE_SIZE] +
           (size_t)pcl_get_be(octets.data + AT_AFTER_SIZE, 2);
}

pcl_err pcl_head_decode(pcl_head *out_head, pcl_bytes source)
{
    assert(out_head != NULL);
    if (source.size < PCL_HEAD_FIXED_SIZE || source.data[AT_SIGNATURE] != SIGNATURE_0 ||
        source.data[AT_SIGNATURE + 1] != SIGNATURE_1) {
        return PCL_ERR_MALFORMED;
    }
    if (source.data[AT_VERSION] != VERSION) {
        return PCL_ERR_VERSION;
    }
    size_t principal_size = source.data[AT_PRINCIPAL_SIZE];
    size_t role_size = source.data[AT_ROLE_SIZE];
    size_t after_size = (size_t)pcl_get_be(source.data + AT_AFTER_SIZE, 2);
    if (principal_size > PCL_NAME_SIZE_MAX || role_size > PCL_NAME_SIZE_MAX ||
        after_size > PCL_GTID_SIZE_MAX ||
        source.size != PCL_HEAD_FIXED_SIZE + principal_size + role_size + after_size) {
        return PCL_ERR_MALFORMED;
    }
    pcl_head head = s_get_fixed(source.data);
    head.principal = pcl_bytes_of(source.data + AT_PRINCIPAL, principal_size);
    head.role = pcl_bytes_of(source.data + AT_PRINCIPAL + principal_size, role_size);
    head.after = pcl_bytes_of(head.role.data + role_size, after_size);
    if (!s_is_in_range(&head) || !pcl_utf8_is_valid(head.principal) ||
        !pcl_utf8_is_valid(head.role) ||
        (after_size > 0 && (!s_may_have_after(&head) || !pcl_text_is_printable(head.after)))) {
        return PCL_ERR_MALFORMED;
    }
    *out_head = head;
    return PCL_ERR_OK;
}

uint64_t pcl_head_boot_id(const pcl_head *head)
{
    assert(head != NULL);
    return pcl_get_be(head->session, 8);
}

void pcl_head_set_boot_id(pcl_head *head, uint64_t boot_id)
{
    assert(head != NULL);
    pcl_put_be(head->session, boot_id, 8);
    memset(head->session + 8, 0, PCL_ID_SIZE - 8);
}

#define AT_HELD_HANDLE 8u
#define AT_HELD_PAGE   (AT_HELD_HANDLE + PCL_HELD_HANDLE_SIZE)

uint64_t pcl_held_id_boot(const uint8_t id[PCL_ID_SIZE])
{
    assert(id != NULL);
    return pcl_get_be(id, 8);
}

uint16_t pcl_held_id_page(const uint8_t id[PCL_ID_SIZE])
{
    assert(id != NULL);
    return (uint16_t)pcl_get_be(id + AT_HELD_PAGE, 2);
}

void pcl_held_id_set_page(uint8_t id[PCL_ID_SIZE], uint16_t page)
{
    assert(id != NULL);
    pcl_put_be(id + AT_HELD_PAGE, page, 2);
}

uint16_t pcl_held_id_next_page(uint16_t page)
{
    return page == UINT16_MAX ? 1 : (uint16_t)(page + 1);
}

void pcl_held_id_make(uint8_t out_id[PCL_ID_SIZE], uint64_t boot_id,
                      const uint8_t handle[PCL_HELD_HANDLE_SIZE], uint16_t page)
{
    assert(out_id != NULL);
    assert(handle != NULL);
    pcl_put_be(out_id, boot_id, 8);
    memcpy(out_id + AT_HELD_HANDLE, handle, PCL_HELD_HANDLE_SIZE);
    pcl_held_id_set_page(out_id, page);
}
