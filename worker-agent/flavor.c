#include "worker-agent/flavor.h"

#include <string.h>

const pcl_flavor_ops *pcl_flavor_of(MYSQL *mysql)
{
    bool mariadb = strstr(mysql_get_server_info(mysql), "MariaDB") != NULL;
    return mariadb ? &pcl_flavor_mariadb_ops : &pcl_flavor_mysql_ops;
}
