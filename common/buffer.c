#include "common/buffer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { CAPACITY_FIRST = 256 };

void pcl_buffer_init(pcl_buffer *self, size_t size_max)
{
    assert(self != NULL);
    assert(size_max > 0);
    *self = (pcl_buffer){.size_max = size_max};
}

void pcl_buffer_release(pcl_buffer *self)
{
    assert(self != NULL);
    free(self->data);
    *self = (pcl_buffer){.size_max = self->size_max};
}

void pcl_buffer_clear(pcl_buffer *self)
{
    assert(self != NULL);
    self->size = 0;
    self->failed = false;
    self->out_of_memory = false;
}

/* Room for size more octets, or failed. */
static bool s_reserve(pcl_buffer *self, size_t size)
{
    if (self->failed) {
        return false;
    }
    if (size > self->size_max - self->size) {
        self->failed = true;
        return false;
    }
    size_t needed = self->size + size;
    if (needed <= self->capacity) {
        return true;
    }
    size_t capacity = self->capacity == 0 ? CAPACITY_FIRST : self->capacity;
    while (capacity < needed) {
        capacity = capacity > self->size_max / 2 ? self->size_max : capacity * 2;
    }
    capacity = capacity < self->size_max ? capacity : self->size_max;
    uint8_t *data = realloc(self->data, capacity);
    if (data == NULL) {
        self->failed = true;
        self->out_of_memory = true;
        return false;
    }
    self->data = data;
    self->capacity = capacity;
    return true;
}

uint8_t *pcl_buffer_extend_more(pcl_buffer *self, size_t size)
{
    assert(self != NULL);
    assert(self->size_max > 0 && size > 0);
    if (!s_reserve(self, size)) {
        return NULL;
    }
    uint8_t *place = self->data + self->size;
    self->size += size;
    return place;
}

void pcl_buffer_put(pcl_buffer *self, const void *data, size_t size)
{
    assert(self != NULL);
    assert(data != NULL || size == 0);
    uint8_t *place = size > 0 ? pcl_buffer_extend(self, size) : NULL;
    if (place != NULL) {
        memcpy(place, data, size);
    }
}

void pcl_buffer_truncate(pcl_buffer *self, size_t size)
{
    assert(self != NULL);
    assert(size <= self->size);
    self->size = size;
}

uint8_t *pcl_buffer_take(pcl_buffer *self, size_t *out_size)
{
    assert(self != NULL);
    assert(out_size != NULL);
    uint8_t *data = self->size > 0 ? self->data : NULL;
    if (data == NULL) {
        free(self->data);
    }
    *out_size = self->size;
    *self = (pcl_buffer){.size_max = self->size_max};
    return data;
}
