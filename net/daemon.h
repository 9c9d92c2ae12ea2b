/* daemon.h - what every main shares: options, configuration, keys, the ZAP
 * handler, HTTP, signals, and the life of the actors.
 *
 *   portcullis-gatekeeper --config FILE [--check-config | --print-config]
 *   portcullisd --roles gatekeeper,broker,proxy --config-dir DIR   (DIR/<role>.cfg)
 *
 * Exit: 0 orderly stop, 1 a role failed, 64 usage, 78 configuration.
 * SIGTERM / SIGINT drain: roles are told in the order given, first the outermost; each
 * finishes its work or gives up after drain_ms.  A second signal stops at
 * once.  SIGHUP reloads: the new file is checked whole, and used or refused
 * whole.
 */
#ifndef PCL_NET_DAEMON_H
#define PCL_NET_DAEMON_H

#include "net/config.h"
#include "net/http.h"
#include "net/loop.h"
#include "net/metrics.h"

#include <czmq.h>

/* What an actor gets as its argument; all borrowed until the actor ends. */
typedef struct pcl_role_args {
    const pcl_config *config; /* until a reload replaces it */
    pcl_metrics *metrics;
    pcl_http *http;   /* NULL when http/address is "" */
    uint64_t boot_id; /* random, of this run */
    uint64_t seed;    /* random, or from PCL_SEED in the environment */
} pcl_role_args;

/* What the daemon asks of an actor while it runs; each is called from its loop. */
typedef struct pcl_actor_hooks {
    void (*drain)(void *context, uint64_t now_us);           /* take no new work */
    bool (*drained)(void *context);                          /* asked each tick once draining */
    void (*reload)(void *context, const pcl_config *config); /* config is valid from now on; the
                                                       old one until this returns */
} pcl_actor_hooks;

/* An actor that does not own the thread that it lives on. */
typedef struct pcl_role_parts {
    /* Opens its sockets, adds them and its tick to the loop, which it may use until it is closed,
     * and returns the context of all else.  *out_opened false: something cannot be opened, and the
     * log says what; it is closed all the same. */
    void *(*open)(const pcl_role_args *args, pcl_loop *loop, bool *out_opened);
    void (*close)(void *context, bool opened);
    pcl_actor_hooks hooks;
} pcl_role_parts;

typedef struct pcl_role {
    const char *name;    /* "gatekeeper" */
    const char *summary; /* one sentence for --help */
    const pcl_config_entry *entries;
    size_t entry_count;
    zactor_fn *actor;            /* argument: pcl_role_args * */
    const pcl_role_parts *parts; /* of the actor; NULL: it needs a thread of its own */
    pcl_config_checker *check;   /* what the table cannot say; NULL: nothing */
    /* On the first thread, before any role has one: what libraries cannot do on several at once, or
     * would keep with a thread that ends.  false: the role cannot run.  NULL: nothing. */
    bool (*prepare)(void);
} pcl_role;

/* Entries that every role's table ends with: log/level, http/address,
 * drain/limit_ms. */
#define PCL_CONFIG_COMMON                                                                          \
    {"log/level", PCL_CONFIG_CHOICE,          0,    0,                                             \
     "info",      "debug|info|warning|error", true, "Lines under this level are not written."},    \
        {"http/address",                                                                           \
         PCL_CONFIG_ADDRESS,                                                                       \
         0,                                                                                        \
         0,                                                                                        \
         "",                                                                                       \
         NULL,                                                                                     \
         false,                                                                                    \
         "host:port of /health, /ready and /metrics; loopback or private; empty for none."},       \
    {                                                                                              \
        "drain/limit_ms", PCL_CONFIG_UINT, 0, 600000, "10000", NULL, true,                         \
            "How long SIGTERM waits for work in hand, in milliseconds."                            \
    }

int pcl_daemon_main(int argc, char **argv, const pcl_role *const *roles, size_t role_count);

/* --- For the actors ------------------------------------------------------- */

/* The whole life of an actor that has parts, on this thread. */
void pcl_actor_live(zsock_t *pipe, const pcl_role_args *args, const pcl_role_parts *parts);

/* Call after the actor has opened its sockets: says ready (or failed) to the
 * daemon, then runs the loop until it is drained or told to stop.  The
 * caller's tick is set before. */
void pcl_actor_run(zsock_t *pipe, bool opened, pcl_loop *loop, const pcl_actor_hooks *hooks,
                   void *context);

#endif
