/* job_list.h - jobs in a row, linked through themselves; a job stands in one row at most. */
#ifndef PCL_WORKER_AGENT_JOB_LIST_H
#define PCL_WORKER_AGENT_JOB_LIST_H

struct pcl_job;

/* All zero is empty. */
typedef struct pcl_job_list {
    struct pcl_job *first, *last;
} pcl_job_list;

void pcl_job_list_append(pcl_job_list *self, struct pcl_job *job);
/* job must be in it. */
void pcl_job_list_remove(pcl_job_list *self, struct pcl_job *job);

#endif
