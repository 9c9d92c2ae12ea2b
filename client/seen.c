#include "client/seen.h"

#include "wire/token.h"

#include <assert.h>
#include <string.h>

static pcl_bytes s_bytes(const pcl_seen_token *token)
{
    return pcl_bytes_of(token->text, token->size);
}

uint64_t pcl_seen_mark(const pcl_seen *self)
{
    assert(self != NULL);
    return self->source ? self->turns : 0;
}

/* Tokens are opaque: what one of another version says is for others to know. */
static bool s_is_token(pcl_bytes token)
{
    bool good = token.size > 0 && token.size <= PCL_TOKEN_SIZE_MAX;
    for (size_t index = 0; good && index < token.size; index++) {
        good = token.data[index] > ' ' && token.data[index] < 0x7f;
    }
    return good;
}

static void s_turn_to_source(pcl_seen *self)
{
    self->source = true;
    self->turns++;
}

/* Does one that is kept say as much? */
static bool s_is_covered(const pcl_seen *self, pcl_bytes token)
{
    for (uint32_t index = 0; index < self->count; index++) {
        pcl_bytes kept = s_bytes(&self->tokens[index]);
        if (pcl_bytes_equal(kept, token) || pcl_token_covers(kept, token)) {
            return true;
        }
    }
    return false;
}

static void s_drop_covered(pcl_seen *self, pcl_bytes token)
{
    uint32_t kept = 0;
    for (uint32_t index = 0; index < self->count; index++) {
        if (!pcl_token_covers(token, s_bytes(&self->tokens[index]))) {
            if (kept != index) {
                self->tokens[kept] = self->tokens[index];
            }
            kept++;
        }
    }
    self->count = kept;
}

void pcl_seen_note(pcl_seen *self, pcl_bytes token, uint64_t mark)
{
    assert(self != NULL);
    if (!s_is_token(token)) {
        return;
    }
    if (self->source && mark == self->turns) {
        self->source = false; /* the source had all that was given up before the request went */
    }
    if (s_is_covered(self, token)) {
        return;
    }
    s_drop_covered(self, token);
    if (self->count == PCL_TOKENS_MAX) {
        s_turn_to_source(self);
        return;
    }
    pcl_seen_token *kept = &self->tokens[self->count++];
    kept->size = (uint16_t)token.size;
    memcpy(kept->text, token.data, token.size);
}

void pcl_seen_miss(pcl_seen *self)
{
    assert(self != NULL);
    s_turn_to_source(self);
}

bool pcl_seen_add(pcl_seen *self, pcl_bytes text)
{
    assert(self != NULL);
    pcl_seen all = *self;
    size_t at = 0;
    while (at < text.size) {
        size_t start = at;
        while (at < text.size && strchr(" \t\r\n", text.data[at]) == NULL) {
            at++;
        }
        pcl_bytes token = pcl_bytes_of(text.data + start, at - start);
        if (token.size > 0 && !s_is_token(token)) {
            return false;
        }
        if (pcl_bytes_is(token, PCL_SEEN_SOURCE)) {
            s_turn_to_source(&all);
        } else {
            pcl_seen_note(&all, token, 0); /* an empty one is none */
        }
        at += at < text.size ? 1 : 0;
    }
    *self = all;
    return true;
}

size_t pcl_seen_text(const pcl_seen *self, char target[PCL_SEEN_TEXT_SIZE])
{
    assert(self != NULL);
    size_t size = self->source ? strlen(PCL_SEEN_SOURCE) : 0;
    memcpy(target, PCL_SEEN_SOURCE, size);
    for (uint32_t index = 0; index < self->count; index++) {
        if (size > 0) {
            target[size++] = ' ';
        }
        memcpy(target + size, self->tokens[index].text, self->tokens[index].size);
        size += self->tokens[index].size;
    }
    target[size] = '\0';
    return size;
}
