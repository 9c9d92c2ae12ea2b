#include "proxy/proxy.h"

int main(int argc, char **argv)
{
    const pcl_role *const roles[] = {&pcl_proxy_role};
    return pcl_daemon_main(argc, argv, roles, 1);
}
