#include "worker-agent/job.h"

#include "common/limits.h"

#include <stdlib.h>
#include <string.h>

/* As much as most replies need. */
#define REPLY_KEPT_SIZE 2048u

pcl_job *pcl_job_new(void)
{
    pcl_job *self = calloc(1, sizeof *self);
    if (self != NULL) {
        pcl_buffer_init(&self->reply, PCL_REPLY_SIZE_MAX);
    }
    return self;
}

void pcl_job_destroy(pcl_job **self_p)
{
    pcl_job *self = *self_p;
    if (self != NULL) {
        pcl_hop_close(&self->message);
        pcl_buffer_release(&self->reply);
        free(self->connect_text);
        pcl_held_destroy(&self->opened);
        free(self);
        *self_p = NULL;
    }
}

void pcl_job_discard(pcl_job **self_p)
{
    pcl_job *self = *self_p;
    if (self != NULL) {
        pcl_buffer_release(&self->reply);
        free(self);
        *self_p = NULL;
    }
}

void pcl_job_renew(pcl_job *self)
{
    pcl_hop_close(&self->message);
    free(self->connect_text);
    pcl_held_destroy(&self->opened);
    if (self->reply.capacity > REPLY_KEPT_SIZE) {
        pcl_buffer_release(&self->reply);
    }
    pcl_buffer reply = self->reply;
    pcl_buffer_clear(&reply);
    memset(self, 0, sizeof *self);
    self->reply = reply;
}

void pcl_job_list_append(pcl_job_list *self, pcl_job *job)
{
    job->next = NULL;
    job->previous = self->last;
    *(self->last != NULL ? &self->last->next : &self->first) = job;
    self->last = job;
}

void pcl_job_list_remove(pcl_job_list *self, pcl_job *job)
{
    *(job->previous != NULL ? &job->previous->next : &self->first) = job->next;
    *(job->next != NULL ? &job->next->previous : &self->last) = job->previous;
    job->next = NULL;
    job->previous = NULL;
}
