/* key_vault.h - keys of a server, of a client that its list names and of a stranger, with the
 * files that a configuration points to, in a folder that goes away again. */
#ifndef PCL_TESTS_KEY_VAULT_H
#define PCL_TESTS_KEY_VAULT_H

#include "net/keys.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <czmq.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct key_vault {
    pcl_keys server, client, stranger;
    char folder[64];
    char key_file[128];  /* of the server */
    char list_file[128]; /* of who may come in */
    char endpoint[64];   /* tcp, on a port that was free a moment ago */
} key_vault;

/* Makes the list anew, with one line. */
static inline void vault_write_list(const key_vault *self, const char *name, const char *public_key)
{
    FILE *file = fopen(self->list_file, "w");
    assert_non_null(file);
    (void)fprintf(file, "%s %s\n", name, public_key);
    assert_int_equal(fclose(file), 0);
}

static inline unsigned vault_free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int probe = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(probe >= 0);
    assert_int_equal(bind(probe, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(probe, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(close(probe), 0);
    return ntohs(address.sin_port);
}

/* The list names the client. */
static inline void vault_open(key_vault *self, const char *client_name)
{
    (void)snprintf(self->folder, sizeof self->folder, "/tmp/portcullis-test-XXXXXX");
    assert_non_null(mkdtemp(self->folder));
    (void)snprintf(self->key_file, sizeof self->key_file, "%s/server.key", self->folder);
    (void)snprintf(self->list_file, sizeof self->list_file, "%s/list", self->folder);
    (void)snprintf(self->endpoint, sizeof self->endpoint, "tcp://127.0.0.1:%u", vault_free_port());
    pcl_keys_make(&self->server);
    pcl_keys_make(&self->client);
    pcl_keys_make(&self->stranger);
    char error[256];
    if (!pcl_keys_save(&self->server, self->key_file, error, sizeof error)) {
        fail_msg("%s", error);
    }
    vault_write_list(self, client_name, self->client.public_key);
}

static inline void vault_close(key_vault *self)
{
    (void)unlink(self->key_file);
    (void)unlink(self->list_file);
    assert_int_equal(rmdir(self->folder), 0);
}

static inline void vault_connect(const key_vault *self, zsock_t *socket, const pcl_keys *keys)
{
    assert_non_null(socket);
    zsock_set_linger(socket, 0);
    zsock_set_curve_publickey(socket, keys->public_key);
    zsock_set_curve_secretkey(socket, keys->secret_key);
    zsock_set_curve_serverkey(socket, self->server.public_key);
    assert_int_equal(zsock_connect(socket, "%s", self->endpoint), 0);
}

#endif
