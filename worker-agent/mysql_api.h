/* mysql_api.h - the client library, whichever it is: MariaDB Connector/C or
 * libmysqlclient 8.0 to 9.x. */
#ifndef PCL_WORKER_AGENT_MYSQL_API_H
#define PCL_WORKER_AGENT_MYSQL_API_H

#include <mysql.h>
#include <stdbool.h>

#ifdef MARIADB_PACKAGE_VERSION_ID
#define PCL_CLIENT_MARIADB 1
typedef my_bool pcl_my_bool;
#else
#define PCL_CLIENT_MARIADB 0
typedef bool pcl_my_bool; /* my_bool is gone since 8.0 */
#endif

/* The socket's file descriptor, -1 when there is none. */
static inline int pcl_mysql_fd(MYSQL *mysql)
{
#if PCL_CLIENT_MARIADB
    return mysql_get_socket(mysql);
#else
    return mysql->net.fd;
#endif
}

#endif
