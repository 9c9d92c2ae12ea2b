/* portcullis-worker-agent - wiring only. */
#include "worker-agent/actor.h"

int main(int argc, char **argv)
{
    const pcl_role *roles[] = {&pcl_worker_agent_role};
    return pcl_daemon_main(argc, argv, roles, 1);
}
