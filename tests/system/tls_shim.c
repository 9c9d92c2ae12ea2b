/* Before the client library of an agent: its connections want TLS, which Connector/C asks for by
 * itself from 3.4 on, and trust whatever certificate they are shown. */
#include <dlfcn.h>
#include <mysql.h>
#include <stdlib.h>

MYSQL *mysql_real_connect(MYSQL *mysql, const char *host, const char *user, const char *password,
                          const char *db, unsigned int port, const char *socket,
                          unsigned long flags)
{
    MYSQL *(*connect)(MYSQL *, const char *, const char *, const char *, const char *, unsigned int,
                      const char *, unsigned long);
    my_bool on = 1;
    my_bool off = 0;
    *(void **)&connect = dlsym(RTLD_NEXT, "mysql_real_connect");
    if (connect == NULL || mysql_options(mysql, MYSQL_OPT_SSL_ENFORCE, &on) != 0 ||
        mysql_options(mysql, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &off) != 0) {
        abort();
    }
    return connect(mysql, host, user, password, db, port, socket, flags);
}
