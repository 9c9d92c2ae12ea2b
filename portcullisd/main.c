/* portcullisd - any set of roles in one process; wiring only. */
#include "broker/broker.h"
#include "gatekeeper/gatekeeper.h"
#include "proxy/proxy.h"
#include "worker-agent/actor.h"

int main(int argc, char **argv)
{
    const pcl_role *roles[] = {
        /* the order of draining: the outermost first */
        &pcl_gatekeeper_role,
        &pcl_broker_role,
        &pcl_proxy_role,
        &pcl_worker_agent_role,
    };
    return pcl_daemon_main(argc, argv, roles, sizeof roles / sizeof roles[0]);
}
