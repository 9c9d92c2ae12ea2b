/* portcullis-broker - wiring only. */
#include "broker/broker.h"

int main(int argc, char **argv)
{
    const pcl_role *roles[] = {&pcl_broker_role};
    return pcl_daemon_main(argc, argv, roles, 1);
}
