/* The server's side of MySQL's protocol, as MariaDB 10.11 speaks it to Connector/C: with metadata
 * that is sent once, when a statement is prepared
 * (mariadb.com/kb/en/clientserver-protocol). */
#include "tests/cost/database.h"

#include "tests/cost/cost.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    CONNECTIONS_MAX = 64,
    INPUT_SIZE = 16384, /* of one command */
    OUTPUT_SIZE = 4096,
    HEAD_SIZE = 4, /* of a packet */
    TYPE_LONGLONG = 8,
    TYPE_STRING = 254,
};

enum { /* commands */
       COM_QUIT = 1,
       COM_INIT_DB = 2,
       COM_QUERY = 3,
       COM_STMT_PREPARE = 22,
       COM_STMT_EXECUTE = 23,
       COM_STMT_CLOSE = 25,
};

typedef struct session {
    int fd;
    bool greeted; /* its client has logged in */
    uint8_t input[INPUT_SIZE];
    size_t size;
} session;

typedef struct output {
    uint8_t octets[OUTPUT_SIZE];
    size_t size;
    size_t packet; /* where the one at hand begins */
    uint8_t number;
} output;

static char s_path[64];
static int s_listener = -1;
static session *s_links[CONNECTIONS_MAX];
static uint32_t s_link_count, s_statements;

/* --- Packets ------------------------------------------------------------------------------ */

static void s_put(output *self, const void *octets, size_t size)
{
    if (size > sizeof self->octets - self->size) {
        cost_fail("the database's answer is too long");
    }
    memcpy(self->octets + self->size, octets, size);
    self->size += size;
}

static void s_put_uint(output *self, uint64_t value, size_t size)
{
    uint8_t octets[8];
    for (size_t index = 0; index < sizeof octets; index++) {
        octets[index] = (uint8_t)(value >> (8 * index));
    }
    s_put(self, octets, size);
}

/* With its length before it. */
static void s_put_text(output *self, const char *text)
{
    s_put_uint(self, strlen(text), 1);
    s_put(self, text, strlen(text));
}

static void s_begin(output *self)
{
    self->packet = self->size;
    s_put_uint(self, 0, HEAD_SIZE);
}

static void s_end(output *self)
{
    size_t size = self->size - self->packet - HEAD_SIZE;
    uint8_t *head = self->octets + self->packet;
    head[0] = (uint8_t)size;
    head[1] = (uint8_t)(size >> 8);
    head[2] = (uint8_t)(size >> 16);
    head[3] = self->number++;
}

static void s_put_ok(output *self)
{
    s_begin(self);
    s_put(self, "\0\0\0\2\0\0\0", 7); /* no rows, no id, autocommit, no warnings */
    s_end(self);
}

static void s_put_eof(output *self)
{
    s_begin(self);
    s_put(self, "\xfe\0\0\2\0", 5);
    s_end(self);
}

static void s_put_column(output *self, const char *name, uint8_t type)
{
    s_begin(self);
    s_put_text(self, "def");
    s_put_text(self, "demo");
    s_put_text(self, "customers");
    s_put_text(self, "customers");
    s_put_text(self, name);
    s_put_text(self, name);
    s_put_uint(self, 12, 1);
    s_put_uint(self, type == TYPE_STRING ? 45 : 63, 2); /* utf8mb4, binary */
    s_put_uint(self, 255, 4);
    s_put_uint(self, type, 1);
    s_put_uint(self, 0, 5); /* flags, decimals, filler */
    s_end(self);
}

static void s_send(const session *self, const output *answer)
{
    size_t sent = 0;
    while (sent < answer->size) {
        ssize_t size = send(self->fd, answer->octets + sent, answer->size - sent, MSG_NOSIGNAL);
        if (size < 0) {
            cost_fail("the database cannot answer");
        }
        sent += (size_t)size;
    }
}

/* --- Commands ----------------------------------------------------------------------------- */

static void s_greet(const session *self)
{
    output answer = {.size = 0};
    s_begin(&answer);
    s_put_uint(&answer, 10, 1);
    s_put(&answer, "5.5.5-10.11.6-MariaDB", sizeof "5.5.5-10.11.6-MariaDB");
    s_put_uint(&answer, 1, 4);          /* the session */
    s_put(&answer, "12345678", 9);      /* salt */
    s_put_uint(&answer, 0xa20c, 2);     /* a schema, transactions, 4.1, salts */
    s_put_uint(&answer, 45, 1);         /* utf8mb4 */
    s_put_uint(&answer, 2, 2);          /* autocommit */
    s_put_uint(&answer, 0x000f, 2);     /* several results, named methods */
    s_put_uint(&answer, 21, 1);         /* of salt */
    s_put_uint(&answer, 0, 6);          /* nothing */
    s_put_uint(&answer, 1u << 4, 4);    /* metadata are kept */
    s_put(&answer, "123456789012", 13); /* the rest of the salt */
    s_put(&answer, "mysql_native_password", sizeof "mysql_native_password");
    s_end(&answer);
    s_send(self, &answer);
}

/* A text's one row. */
static void s_query(output *answer, const uint8_t *sql, size_t size)
{
    if (size < 6 || memcmp(sql, "SELECT", 6) != 0) {
        s_put_ok(answer);
        return;
    }
    s_begin(answer);
    s_put_uint(answer, 0x0101, 2); /* one column, which is described */
    s_end(answer);
    s_put_column(answer, "1", TYPE_LONGLONG);
    s_put_eof(answer);
    s_begin(answer);
    s_put_text(answer, "1000");
    s_end(answer);
    s_put_eof(answer);
}

static void s_prepare(output *answer, const uint8_t *sql, size_t size)
{
    uint32_t params = 0;
    for (size_t index = 0; index < size; index++) {
        params += sql[index] == '?' ? 1u : 0u;
    }
    s_begin(answer);
    s_put_uint(answer, 0, 1);
    s_put_uint(answer, ++s_statements, 4);
    s_put_uint(answer, 1, 2); /* columns */
    s_put_uint(answer, params, 2);
    s_put_uint(answer, 0, 3);
    s_end(answer);
    for (uint32_t index = 0; index < params; index++) {
        s_put_column(answer, "?", TYPE_LONGLONG);
    }
    if (params > 0) {
        s_put_eof(answer);
    }
    s_put_column(answer, "name", TYPE_STRING);
    s_put_eof(answer);
}

static void s_execute(output *answer)
{
    s_begin(answer);
    s_put_uint(answer, 0x0001, 2); /* one column, as it was prepared */
    s_end(answer);
    s_put_eof(answer);
    s_begin(answer);
    s_put_uint(answer, 0, 2); /* a row, nothing in it is NULL */
    s_put_text(answer, "Ada Lovelace");
    s_end(answer);
    s_put_eof(answer);
}

/* How many statements it has executed: one or none. */
static uint32_t s_obey(session *self, const uint8_t *command, size_t size)
{
    output answer = {.number = self->greeted ? 1 : 2};
    if (!self->greeted) {
        self->greeted = true;
        s_put_ok(&answer);
    } else if (command[0] == COM_QUERY) {
        s_query(&answer, command + 1, size - 1);
    } else if (command[0] == COM_STMT_PREPARE) {
        s_prepare(&answer, command + 1, size - 1);
    } else if (command[0] == COM_STMT_EXECUTE) {
        s_execute(&answer);
    } else if (command[0] != COM_QUIT && command[0] != COM_STMT_CLOSE) {
        s_put_ok(&answer);
    }
    s_send(self, &answer);
    return self->greeted && command[0] == COM_STMT_EXECUTE ? 1 : 0;
}

/* --- Connections ---------------------------------------------------------------------------- */

static void s_accept(void)
{
    int fd = -1;
    while (s_link_count < CONNECTIONS_MAX && (fd = accept(s_listener, NULL, NULL)) >= 0) {
        session *one = calloc(1, sizeof *one);
        if (one == NULL) {
            cost_fail("no memory");
        }
        one->fd = fd;
        s_links[s_link_count++] = one;
        s_greet(one);
    }
}

static uint32_t s_hear(session *self)
{
    uint32_t executed = 0;
    ssize_t got = recv(self->fd, self->input + self->size, sizeof self->input - self->size,
                       MSG_DONTWAIT);
    self->size += got > 0 ? (size_t)got : 0;
    while (self->size >= HEAD_SIZE) {
        size_t size = self->input[0] | (size_t)self->input[1] << 8 | (size_t)self->input[2] << 16;
        if (size == 0 || size > sizeof self->input - HEAD_SIZE) {
            cost_fail("the database is told too much at once");
        }
        if (self->size < HEAD_SIZE + size) {
            break;
        }
        executed += s_obey(self, self->input + HEAD_SIZE, size);
        self->size -= HEAD_SIZE + size;
        memmove(self->input, self->input + HEAD_SIZE + size, self->size);
    }
    return executed;
}

const char *cost_database_open(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(s_path, sizeof s_path, "/tmp/portcullis-cost-%ld.sock", (long)getpid());
    memcpy(address.sun_path, s_path, sizeof s_path);
    s_listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s_listener < 0 || bind(s_listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(s_listener, CONNECTIONS_MAX) != 0) {
        cost_fail("the database cannot listen");
    }
    return s_path;
}

uint32_t cost_database_turn(void)
{
    uint32_t executed = 0;
    s_accept();
    for (uint32_t index = 0; index < s_link_count; index++) {
        executed += s_hear(s_links[index]);
    }
    return executed;
}

void cost_database_close(void)
{
    for (uint32_t index = 0; index < s_link_count; index++) {
        (void)close(s_links[index]->fd);
        free(s_links[index]);
    }
    (void)close(s_listener);
    (void)unlink(s_path);
}
