#include "worker-agent/keyring.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct pcl_keyring {
    pthread_mutex_t lock;
    pcl_keyring_content content; /* under the lock */
    uint64_t turn;               /* likewise */
};

static void s_wipe(void *target, size_t size)
{
    volatile char *octets = target;
    for (size_t index = 0; index < size; index++) {
        octets[index] = 0;
    }
}

void pcl_password_wipe(pcl_password *self)
{
    s_wipe(self, sizeof *self);
}

void pcl_keyring_content_wipe(pcl_keyring_content *self)
{
    if (self->passwords != NULL) {
        s_wipe(self->passwords, self->count * sizeof *self->passwords);
        free(self->passwords);
    }
    s_wipe(self, sizeof *self);
}

pcl_keyring *pcl_keyring_new(pcl_keyring_content *content)
{
    assert(content != NULL && content->count >= PCL_PLACE_ACCOUNTS);
    pcl_keyring *self = calloc(1, sizeof *self);
    assert(self != NULL);
    int failed = pthread_mutex_init(&self->lock, NULL);
    assert(failed == 0);
    self->content = *content;
    s_wipe(content, sizeof *content);
    return self;
}

void pcl_keyring_destroy(pcl_keyring **self_p)
{
    pcl_keyring *self = *self_p;
    if (self != NULL) {
        pcl_keyring_content_wipe(&self->content);
        (void)pthread_mutex_destroy(&self->lock);
        free(self);
        *self_p = NULL;
    }
}

/* What the server may have still: the last one that it was given for certain, and one that it may
 * have been given since. */
static bool s_renew_one(pcl_password *fresh, const pcl_password *old)
{
    if (strcmp(fresh->now, old->now) == 0) {
        if (fresh->before[0] == '\0') {
            memcpy(fresh->before, old->before, sizeof fresh->before);
        }
        memcpy(fresh->between, old->between, sizeof fresh->between);
        return false;
    }
    if (fresh->before[0] == '\0') {
        const char *known = old->before[0] != '\0' ? old->before : old->now;
        memcpy(fresh->before, known, sizeof fresh->before);
    }
    if (strcmp(fresh->before, old->now) != 0) {
        memcpy(fresh->between, old->now, sizeof fresh->between);
    }
    return true;
}

bool pcl_keyring_renew(pcl_keyring *self, pcl_keyring_content *content)
{
    bool changed = false;
    (void)pthread_mutex_lock(&self->lock);
    assert(content->count == self->content.count);
    for (uint32_t place = 0; place < content->count; place++) {
        changed = s_renew_one(&content->passwords[place], &self->content.passwords[place]) ||
                  changed;
    }
    pcl_keyring_content old = self->content;
    self->content = *content;
    self->turn += changed ? 1 : 0;
    (void)pthread_mutex_unlock(&self->lock);
    s_wipe(content, sizeof *content);
    pcl_keyring_content_wipe(&old);
    return changed;
}

uint64_t pcl_keyring_turn(pcl_keyring *self)
{
    (void)pthread_mutex_lock(&self->lock);
    uint64_t turn = self->turn;
    (void)pthread_mutex_unlock(&self->lock);
    return turn;
}

void pcl_keyring_settle(pcl_keyring *self, uint64_t turn, bool but_admin)
{
    uint32_t first = but_admin ? PCL_PLACE_ADMIN + 1 : PCL_PLACE_ADMIN;
    (void)pthread_mutex_lock(&self->lock);
    for (uint32_t place = first; turn == self->turn && place < self->content.count; place++) {
        pcl_password *one = &self->content.passwords[place];
        s_wipe(one->before, sizeof one->before);
        s_wipe(one->between, sizeof one->between);
    }
    (void)pthread_mutex_unlock(&self->lock);
}

void pcl_keyring_password(pcl_keyring *self, uint32_t place, pcl_password *out_password)
{
    (void)pthread_mutex_lock(&self->lock);
    assert(place < self->content.count);
    *out_password = self->content.passwords[place];
    (void)pthread_mutex_unlock(&self->lock);
}

void pcl_keyring_tokens(pcl_keyring *self, pcl_token_keys *out_keys)
{
    (void)pthread_mutex_lock(&self->lock);
    *out_keys = self->content.tokens;
    (void)pthread_mutex_unlock(&self->lock);
}
