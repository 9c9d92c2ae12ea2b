/* portcullis-gatekeeper - wiring only. */
#include "gatekeeper/gatekeeper.h"

int main(int argc, char **argv)
{
    const pcl_role *roles[] = {&pcl_gatekeeper_role};
    return pcl_daemon_main(argc, argv, roles, 1);
}
