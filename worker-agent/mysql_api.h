/* mysql_api.h - the client library, whichever it is: MariaDB Connector/C or
 * libmysqlclient 8.0 to 9.x. */
#ifndef PCL_WORKER_AGENT_MYSQL_API_H
#define PCL_WORKER_AGENT_MYSQL_API_H

#include <mysql.h>
#include <stdbool.h>
#include <stddef.h>

#ifdef MARIADB_PACKAGE_VERSION_ID
#define PCL_CLIENT_MARIADB 1
typedef my_bool pcl_my_bool;
#else
#define PCL_CLIENT_MARIADB 0
typedef bool pcl_my_bool; /* my_bool is gone since 8.0 */
#endif

/* Calls that return instead of waiting: what they wait for, or 0 when they are done, with
 * *out_result as of the call that waits.  libmysqlclient has none for prepared statements: there
 * they wait, and nobody should use them where waiting does harm. */
#if PCL_CLIENT_MARIADB
#define PCL_CLIENT_NONBLOCKING 1
#define PCL_WAIT_READ          MYSQL_WAIT_READ
#define PCL_WAIT_WRITE         MYSQL_WAIT_WRITE
#else
#define PCL_CLIENT_NONBLOCKING 0
#define PCL_WAIT_READ          1
#define PCL_WAIT_WRITE         2
#endif

/* Once a connection, before the first of them.  Not over TLS: there Connector/C leaves the
 * descriptor in blocking mode, and its calls wait in SSL_read for what they should wait for outside
 * of it. */
static inline bool pcl_mysql_allow_nonblocking(MYSQL *mysql)
{
#if PCL_CLIENT_NONBLOCKING
    return mysql_get_ssl_cipher(mysql) == NULL &&
           mysql_options(mysql, MYSQL_OPT_NONBLOCK, NULL) == 0;
#else
    (void)mysql;
    return false;
#endif
}

/* A socket of this machine's needs no TLS, which Connector/C wants from 3.4 on wherever a server
 * has it; libmysqlclient uses none there by itself. */
static inline void pcl_mysql_spare_tls(MYSQL *mysql)
{
#if PCL_CLIENT_MARIADB
    pcl_my_bool off = 0;
    (void)mysql_options(mysql, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &off);
    (void)mysql_options(mysql, MYSQL_OPT_SSL_ENFORCE, &off);
#else
    (void)mysql;
#endif
}

/* waited: 0 to begin, and then what was waited for. */
static inline int pcl_stmt_execute_step(MYSQL_STMT *stmt, int waited, int *out_result)
{
#if PCL_CLIENT_NONBLOCKING
    return waited == 0 ? mysql_stmt_execute_start(out_result, stmt)
                       : mysql_stmt_execute_cont(out_result, stmt, waited);
#else
    (void)waited;
    *out_result = mysql_stmt_execute(stmt);
    return 0;
#endif
}

/* Likewise. */
static inline int pcl_stmt_fetch_step(MYSQL_STMT *stmt, int waited, int *out_result)
{
#if PCL_CLIENT_NONBLOCKING
    return waited == 0 ? mysql_stmt_fetch_start(out_result, stmt)
                       : mysql_stmt_fetch_cont(out_result, stmt, waited);
#else
    (void)waited;
    *out_result = mysql_stmt_fetch(stmt);
    return 0;
#endif
}

/* The socket's file descriptor, -1 when there is none. */
static inline int pcl_mysql_fd(MYSQL *mysql)
{
#if PCL_CLIENT_MARIADB
    return mysql_get_socket(mysql);
#else
    return mysql->net.fd;
#endif
}

/* After the last row of an unbuffered prepared result.  Connector/C leaves the packet that ends it
 * unread: the number of warnings and the state of the transaction stand there. */
static inline void pcl_mysql_read_end(MYSQL *mysql)
{
#if PCL_CLIENT_MARIADB
    const unsigned char *end = mysql->net.read_pos;
    if (end != NULL && end[0] == 0xfe) {
        mysql->warning_count = (unsigned int)end[1] | (unsigned int)end[2] << 8;
        mysql->server_status = (unsigned int)end[3] | (unsigned int)end[4] << 8;
    }
#else
    (void)mysql;
#endif
}

/* After a result: forgets where its columns were bound.  libmysqlclient writes to the lengths of
 * the last binding when the statement is executed again, and by then they may be somebody else's
 * memory. */
static inline void pcl_mysql_unbind(MYSQL_STMT *stmt)
{
#if PCL_CLIENT_MARIADB
    (void)stmt;
#else
    stmt->bind_result_done = 0;
#endif
}

/* Pings, and takes over the state of the transaction, which the libraries leave in the packet: an
 * error carries none.  A ping leaves the warnings of the statement before. */
static inline bool pcl_mysql_ask_state(MYSQL *mysql)
{
    if (mysql_ping(mysql) != 0) {
        return false;
    }
    const unsigned char *ok = mysql->net.read_pos;
    /* OK, no rows affected, no id inserted, the state. */
    if (ok != NULL && ok[0] == 0 && ok[1] == 0 && ok[2] == 0) {
        mysql->server_status = (unsigned int)ok[3] | (unsigned int)ok[4] << 8;
        return true;
    }
    return false;
}

/* Octets of the buffer that packets come in; it grows with them and never shrinks. */
static inline size_t pcl_mysql_buffer_size(const MYSQL *mysql)
{
    return (size_t)mysql->net.max_packet;
}

#endif
