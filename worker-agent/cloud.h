/* cloud.h - what the instance that the agent runs on says and gives, on a thread of its own: its
 * zone, what will become of it, and the files of its secret.
 *
 * The thread asks the metadata service every PCL_CLOUD_LOOK_MS, and Secrets Manager every
 * aws/refresh_ms, ever less often while they do not answer; what was learned last stays.  So
 * neither of them is ever waited for: a service that is dead, or slow, stops nothing that runs.
 *
 * A secret's files are written into aws/secret_directory (aws/store.h).  Whoever reads them there,
 * the settings of this daemon first, notices that they have changed as with any other file.
 */
#ifndef PCL_WORKER_AGENT_CLOUD_H
#define PCL_WORKER_AGENT_CLOUD_H

#include "aws/answers.h"
#include "net/config.h"
#include "wire/report.h"

#include <stdbool.h>
#include <stdint.h>

#define PCL_CLOUD_LOOK_MS 5000u /* a notice comes two minutes ahead */

/* What the host of the node is about to do. */
typedef enum pcl_cloud_notice {
    PCL_CLOUD_STAYS = 0,
    PCL_CLOUD_REBALANCE, /* it is likelier than others to be taken away */
    PCL_CLOUD_ENDS,      /* it will be taken away within minutes */
} pcl_cloud_notice;

typedef struct pcl_cloud_view {
    char zone[PCL_REPORT_ZONE_SIZE_MAX + 1];                     /* "" unknown */
    pcl_cloud_notice notice;                                     /* once given it stands */
    uint64_t metadata_failures, secret_failures, secret_changes; /* since start */
} pcl_cloud_view;

typedef struct pcl_cloud pcl_cloud;

/* Settings node/zone and aws/...; who: of log lines, borrowed.  Never NULL, and without a thread
 * where there is nothing to ask. */
pcl_cloud *pcl_cloud_new(const pcl_config *config, const char *who);
/* false: the thread did not end within wait_ms; call again. */
bool pcl_cloud_destroy(pcl_cloud **self_p, uint32_t wait_ms);

/* Copies what is known; from any thread. */
void pcl_cloud_look(pcl_cloud *self, pcl_cloud_view *out_view);

/* A line in problems for each setting of aws/... that is wrong. */
void pcl_cloud_check(const pcl_config *config, pcl_buffer *problems);

#endif
