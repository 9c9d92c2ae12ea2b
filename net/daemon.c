/* getrlimit() of RLIMIT_NOFILE and RLIMIT_CORE is an X/Open extension. */
#define _XOPEN_SOURCE 700

#include "net/daemon.h"

#include "common/limits.h"
#include "net/actor.h"
#include "net/config_check.h"
#include "net/file_watch.h"
#include "net/frames.h"
#include "net/log.h"
#include "net/options.h"
#include "net/time.h"
#include "net/tsan.h"
#include "net/zap.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

enum {
    EXIT_FINE = 0,
    EXIT_ROLE = 1,
    EXIT_USAGE = 64,
    EXIT_CONFIG = 78,
    PROBLEMS_SIZE_MAX = 1024 * 1024,
    FILE_NAME_SIZE_MAX = 4096,
    RELOAD_MS_MAX = 10000,
    STOP_MS_MAX = 5000,
    LOOK_MS = 250, /* at files and at the ZAP handler; two looks and a reload are under a second */
    PAGE_KEPT_SIZE = PCL_PAGE_BYTES_DEFAULT +
                     64 * 1024, /* of a long result, with what is around it */
};

/* One role that runs. */
typedef struct s_unit {
    const pcl_role *role;
    char file[FILE_NAME_SIZE_MAX]; /* its configuration's; "" for none */
    pcl_config *config;            /* owned */
    pcl_metrics *metrics;          /* owned */
    pcl_http *http;                /* owned; NULL for none */
    pcl_role_args args;
    zsock_t *pipe;      /* owned; to the actor; NULL before and after its life */
    zsock_t *actor_end; /* of the pipe; its thread's, which ends it */
    bool ready;
    bool reloaded; /* has answered the last RELOAD */
    bool failed;   /* could not open, or ended unasked */
    bool ended;
} s_unit;

/* One thread, and the roles that live on it. */
typedef struct s_thread {
    zactor_t *actor; /* owned */
    s_unit *units[PCL_ROLES_MAX];
    size_t count;
} s_thread;

typedef struct s_daemon {
    const char *who; /* in log lines */
    s_unit units[PCL_ROLES_MAX];
    size_t count;
    s_thread threads[PCL_ROLES_MAX];
    size_t thread_count;
    bool thread_each;      /* no two roles on one */
    pcl_file_watch *files; /* owned; those that reloadable settings point to */
    int signals;           /* signalfd; -1 before it is made */
    bool stop_wanted;      /* SIGTERM or SIGINT came */
    bool stop_now;         /* ... and once more */
    bool reload_wanted;
} s_daemon;

/* --- Command line ----------------------------------------------------------- */

static void s_print_options(const char *program, bool several)
{
    if (several) {
        printf("usage: %s --roles ROLE[,ROLE...] --config-dir DIR [--threads one|each]\n"
               "          [--check-config]\n",
               program);
    } else {
        printf("usage: %s --config FILE [--check-config]\n", program);
    }
    printf("       %s --print-config | --version | --help\n\n", program);
    if (several) {
        printf("  --roles LIST      which roles to run, in the order in which they drain\n"
               "  --config-dir DIR  each role reads DIR/ROLE.cfg\n"
               "  --threads one     gatekeeper, broker and proxy share a thread (the default)\n"
               "  --threads each    each has its own, and one that stands still stops no other\n");
    } else {
        printf("  --config FILE     the configuration, in ZPL (below)\n");
    }
    printf("  --check-config    name every mistake in the configuration and its files; exit 0 or "
           "78\n"
           "  --print-config    print all settings as a file to start from, and exit\n"
           "  --version         print the version and exit\n"
           "  --help            print this and exit\n\n"
           "SIGTERM and SIGINT let work in hand finish (drain/limit_ms), a second one does not.\n"
           "SIGHUP reads the configuration again and takes it over if it is whole.\n"
           "Exit: 0 orderly stop, 1 a role failed, 64 wrong usage, 78 wrong configuration.\n");
}

static void s_print_help(const char *program, const s_daemon *self, size_t role_count)
{
    if (role_count == 1) {
        printf("%s - %s\n\n", program, self->units[0].role->summary);
    }
    s_print_options(program, role_count > 1);
    for (size_t unit = 0; unit < self->count; unit++) {
        const pcl_role *role = self->units[unit].role;
        printf("\nSettings of %s: %s\n", role->name, role->summary);
        for (size_t index = 0; index < role->entry_count; index++) {
            char rule[1024];
            pcl_config_rule(&role->entries[index], rule, sizeof rule);
            printf("  %s\n      %s\n      %s%s.\n", role->entries[index].path,
                   role->entries[index].help, rule,
                   role->entries[index].reloadable ? "; SIGHUP takes it over" : "");
        }
    }
}

static bool s_name_files(s_daemon *self, const pcl_options *options, char *error, size_t error_size)
{
    for (size_t index = 0; index < self->count; index++) {
        s_unit *unit = &self->units[index];
        int size = 0;
        if (options->config != NULL) {
            size = snprintf(unit->file, sizeof unit->file, "%s", options->config);
        } else if (options->config_dir != NULL) {
            size = snprintf(unit->file, sizeof unit->file, "%s/%s.cfg", options->config_dir,
                            unit->role->name);
        }
        if (size < 0 || (size_t)size >= sizeof unit->file) {
            snprintf(error, error_size, "the configuration's path is too long");
            return false;
        }
    }
    return true;
}

/* --- Configuration ---------------------------------------------------------- */

static void s_print_buffer(FILE *stream, const pcl_buffer *buffer)
{
    if (buffer->size > 0) {
        (void)fwrite(buffer->data, 1, buffer->size, stream); /* nobody to tell */
    }
}

static pcl_config *s_load(const s_unit *unit, const char *file, pcl_buffer *problems)
{
    const pcl_role *role = unit->role;
    return pcl_config_load(role->entries, role->entry_count, role->check, file, problems);
}

/* Reads the files of all roles.  false: problems were written to standard error. */
static bool s_load_all(s_daemon *self)
{
    pcl_buffer problems;
    pcl_buffer_init(&problems, PROBLEMS_SIZE_MAX);
    bool fine = true;
    for (size_t index = 0; index < self->count; index++) {
        s_unit *unit = &self->units[index];
        unit->config = s_load(unit, unit->file[0] == '\0' ? NULL : unit->file, &problems);
        fine = unit->config != NULL && fine;
    }
    s_print_buffer(stderr, &problems);
    pcl_buffer_release(&problems);
    return fine;
}

static void s_print_config(const s_daemon *self)
{
    for (size_t index = 0; index < self->count; index++) {
        pcl_buffer text;
        pcl_buffer_init(&text, PROBLEMS_SIZE_MAX);
        printf("%s# %s.cfg: %s\n\n", index > 0 ? "\n" : "", self->units[index].role->name,
               self->units[index].role->summary);
        pcl_config_print(self->units[index].config, &text);
        s_print_buffer(stdout, &text);
        pcl_buffer_release(&text);
    }
}

/* The most talkative of the roles decides: the level is the process's. */
static void s_set_log_level(const s_daemon *self)
{
    static const char *const NAMES[] = {"debug", "info", "warning", "error"};
    size_t level = PCL_LOG_ERROR;
    for (size_t index = 0; index < self->count; index++) {
        const char *text = pcl_config_text(self->units[index].config, "log/level");
        size_t candidate = 0;
        while (candidate < PCL_LOG_ERROR && strcmp(NAMES[candidate], text) != 0) {
            candidate++;
        }
        level = candidate < level ? candidate : level;
    }
    pcl_log_set_level((pcl_log_level)level);
}

/* --- The process ------------------------------------------------------------ */

/* Before any thread starts, so that all inherit the mask and every signal
 * reaches the main thread's descriptor. */
static bool s_take_signals(s_daemon *self)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGTERM);
    sigaddset(&wanted, SIGINT);
    sigaddset(&wanted, SIGHUP);
    if (sigaction(SIGPIPE, &ignore, NULL) != 0 || sigprocmask(SIG_BLOCK, &wanted, NULL) != 0) {
        return false;
    }
    self->signals = signalfd(-1, &wanted, SFD_NONBLOCK | SFD_CLOEXEC);
    return self->signals >= 0;
}

static void s_set_limits(const s_daemon *self)
{
    if (prctl(PR_SET_DUMPABLE, 0L, 0L, 0L, 0L) != 0) { /* no core, no debugger, no /proc/.../mem */
        pcl_log(PCL_LOG_WARNING, self->who, "limit", "what=dumpable error=\"%s\"", strerror(errno));
    }
    struct rlimit core = {0, 0}; /* a core would hold keys */
    if (setrlimit(RLIMIT_CORE, &core) != 0) {
        pcl_log(PCL_LOG_WARNING, self->who, "limit", "what=core error=\"%s\"", strerror(errno));
    }
    struct rlimit files; /* every client is one */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &files) != 0) {
            pcl_log(PCL_LOG_WARNING, self->who, "limit", "what=files error=\"%s\"",
                    strerror(errno));
        }
    }
#ifdef M_MMAP_THRESHOLD
    /* Setting it stops glibc from raising it: a flood of large messages would otherwise stay in the
     * heap for good (2.5 GB measured, 36 MB with it).  A page of a long result is below: each of
     * its 4 KiB would otherwise be made, and faulted in, for every message at every hop. */
    (void)mallopt(M_MMAP_THRESHOLD, PAGE_KEPT_SIZE);
    (void)mallopt(M_TRIM_THRESHOLD, 4 * PAGE_KEPT_SIZE);
#endif
}

static void s_read_signals(s_daemon *self)
{
    struct signalfd_siginfo info;
    while (read(self->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGHUP) {
            self->reload_wanted = true;
        } else {
            self->stop_now = self->stop_wanted;
            self->stop_wanted = true;
        }
    }
}

/* --- Roles ------------------------------------------------------------------ */

static void s_read_pipe(s_unit *unit)
{
    pcl_frames message;
    pcl_recv result = PCL_RECV_MESSAGE;
    /* Not past the last word: what follows is for zactor_destroy. */
    while (!unit->ended && (result = pcl_frames_recv(&message, unit->pipe)) == PCL_RECV_MESSAGE) {
        pcl_bytes word = pcl_frame_bytes(&message.frame[0]);
        if (pcl_bytes_is(word, PCL_ACTOR_READY)) {
            unit->ready = true;
        } else if (pcl_bytes_is(word, PCL_ACTOR_RELOADED)) {
            unit->reloaded = true;
        } else if (pcl_bytes_is(word, PCL_ACTOR_FAILED)) {
            unit->failed = true;
        } else if (pcl_bytes_is(word, PCL_ACTOR_ENDED)) {
            unit->ended = true;
        }
        pcl_frames_close(&message);
    }
    unit->ended = unit->ended || result == PCL_RECV_FAILED;
}

/* Waits for signals and for words of the roles, at most timeout_ms (-1: for ever). */
static void s_wait(s_daemon *self, long timeout_ms)
{
    zmq_pollitem_t items[PCL_ROLES_MAX + 1] = {{.fd = self->signals, .events = ZMQ_POLLIN}};
    s_unit *owners[PCL_ROLES_MAX + 1] = {NULL};
    int count = 1;
    for (size_t index = 0; index < self->count; index++) {
        s_unit *unit = &self->units[index];
        if (unit->pipe != NULL && !unit->ended) {
            owners[count] = unit;
            items[count++] = (zmq_pollitem_t){.socket = zsock_resolve(unit->pipe),
                                              .events = ZMQ_POLLIN};
        }
    }
    if (zmq_poll(items, count, timeout_ms) <= 0) {
        return;
    }
    if (items[0].revents != 0) {
        s_read_signals(self);
    }
    for (int index = 1; index < count; index++) {
        if (items[index].revents != 0) {
            s_read_pipe(owners[index]);
        }
    }
}

static bool s_start_http(s_daemon *self)
{
    for (size_t index = 0; index < self->count; index++) {
        s_unit *unit = &self->units[index];
        const char *address = pcl_config_text(unit->config, "http/address");
        char error[256];
        unit->metrics = pcl_metrics_new();
        if (address[0] == '\0') {
            continue;
        }
        unit->http = pcl_http_start(address, unit->metrics, error, sizeof error);
        if (unit->http == NULL) {
            pcl_log(PCL_LOG_ERROR, unit->role->name, "failed", "what=http error=\"%s\"", error);
            return false;
        }
    }
    return true;
}

static uint64_t s_seed(void)
{
    const char *text = getenv("PCL_SEED");
    return text != NULL ? strtoull(text, NULL, 0) : pcl_random_u64();
}

/* Roles that cannot share a thread say ENDED here, the others where they end. */
static void s_run_units(s_thread *self)
{
    pcl_actor_seat seats[PCL_ROLES_MAX];
    for (size_t index = 0; index < self->count; index++) {
        s_unit *unit = self->units[index];
        seats[index] = (pcl_actor_seat){
            .pipe = unit->actor_end, .args = &unit->args, .parts = unit->role->parts};
    }
    s_unit *first = self->units[0];
    if (first->role->parts != NULL) {
        pcl_actor_share(seats, self->count);
    } else {
        first->role->actor(first->actor_end, &first->args);
        (void)zstr_send(first->actor_end, PCL_ACTOR_ENDED); /* unless nobody listens any more */
    }
}

/* The thread of actors: net/actor.h says what is told to the main thread when. */
static void s_thread_main(zsock_t *pipe, void *argument)
{
    zsock_signal(pipe, 0); /* zactor_new returns, and the main thread minds its signals */
    s_thread *self = argument;
    s_run_units(self);
    bool over = false;
    while (!over) {
        char *word = zstr_recv(pipe);
        over = word == NULL || strcmp(word, "$TERM") == 0;
        zstr_free(&word);
    }
    /* Not before: the main thread may write to a role whose last word it has not read yet, and
     * would wait for ever for a pipe whose other end is gone. */
    for (size_t index = 0; index < self->count; index++) {
        zsock_destroy(&self->units[index]->actor_end);
    }
}

/* Those that can share a thread do so, on the first such one's. */
static void s_seat_roles(s_daemon *self)
{
    s_thread *shared = NULL;
    for (size_t index = 0; index < self->count; index++) {
        s_unit *unit = &self->units[index];
        unit->args = (pcl_role_args){.config = unit->config,
                                     .metrics = unit->metrics,
                                     .http = unit->http,
                                     .boot_id = pcl_random_u64(),
                                     .seed = s_seed()};
        bool shares = unit->role->parts != NULL && !self->thread_each;
        if (!shares || shared == NULL) {
            s_thread *thread = &self->threads[self->thread_count++];
            thread->units[thread->count++] = unit;
            shared = shares ? thread : shared;
        } else {
            shared->units[shared->count++] = unit;
        }
    }
}

static void s_start_thread(s_thread *self)
{
    for (size_t index = 0; index < self->count; index++) {
        s_unit *unit = self->units[index];
        unit->pipe = zsys_create_pipe(&unit->actor_end);
        assert(unit->pipe != NULL);
    }
    self->actor = zactor_new(s_thread_main, self);
    assert(self->actor != NULL);
}

static bool s_wait_ready(s_daemon *self, s_unit *unit)
{
    while (!unit->ready && !unit->failed && !unit->ended && !self->stop_now) {
        s_wait(self, -1);
    }
    if (!unit->ready) {
        pcl_log(PCL_LOG_ERROR, unit->role->name, "failed", "what=start");
        unit->failed = !self->stop_now;
    }
    return unit->ready;
}

/* One after the other; false when one could not open, or a stop was asked for. */
static bool s_start_roles(s_daemon *self)
{
    s_seat_roles(self);
    for (size_t index = 0; index < self->thread_count && !self->stop_wanted; index++) {
        s_thread *thread = &self->threads[index];
        s_start_thread(thread);
        for (size_t place = 0; place < thread->count; place++) {
            if (!s_wait_ready(self, thread->units[place])) {
                return false;
            }
        }
    }
    return !self->stop_wanted;
}

static void s_end_role(s_daemon *self, s_unit *unit)
{
    if (unit->pipe == NULL) {
        return;
    }
    if (!unit->ended) {
        (void)zstr_send(unit->pipe, PCL_ACTOR_STOP); /* ENDED, or its absence, is the answer */
    }
    uint64_t deadline_us = pcl_now_us() + STOP_MS_MAX * UINT64_C(1000);
    while (!unit->ended && pcl_now_us() < deadline_us) {
        s_wait(self, 100);
    }
    if (!unit->ended) {
        /* Its thread holds what an orderly end would wait for for ever. */
        pcl_log(PCL_LOG_ERROR, unit->role->name, "failed", "what=stop");
        _exit(EXIT_ROLE);
    }
    zsock_destroy(&unit->pipe);
}

static void s_end_roles(s_daemon *self)
{
    for (size_t index = 0; index < self->count; index++) {
        s_end_role(self, &self->units[index]);
    }
    for (size_t index = 0; index < self->thread_count; index++) {
        zactor_destroy(&self->threads[index].actor);
    }
}

/* --- Reload ------------------------------------------------------------------ */

static void s_log_lines(const char *who, pcl_log_level level, const char *event, const char *key,
                        const pcl_buffer *lines)
{
    size_t start = 0;
    for (size_t index = 0; index < lines->size; index++) {
        if (lines->data[index] != '\n') {
            continue;
        }
        char raw[1024];
        char text[1024];
        size_t size = index - start < sizeof raw ? index - start : sizeof raw - 1;
        memcpy(raw, lines->data + start, size);
        raw[size] = '\0';
        pcl_log(level, who, event, "%s=\"%s\"", key, pcl_log_escape(raw, text, sizeof text));
        start = index + 1;
    }
}

static void s_log_changes(const s_unit *unit, const pcl_config *fresh)
{
    pcl_buffer lines;
    pcl_buffer_init(&lines, PROBLEMS_SIZE_MAX);
    pcl_config_reloadable(unit->config, fresh, &lines);
    s_log_lines(unit->role->name, PCL_LOG_INFO, "changed", "what", &lines);
    pcl_buffer_clear(&lines);
    pcl_config_unreloadable(unit->config, fresh, &lines);
    s_log_lines(unit->role->name, PCL_LOG_WARNING, "needs-restart", "what", &lines);
    pcl_buffer_release(&lines);
}

/* Hands one role its new configuration and frees the old one when it is let go. */
static void s_reload_role(s_daemon *self, s_unit *unit, pcl_config *fresh)
{
    s_log_changes(unit, fresh);
    unit->reloaded = false;
    PCL_TSAN_GIVES(fresh);
    if (unit->ended || zstr_sendm(unit->pipe, PCL_ACTOR_RELOAD) != 0) {
        pcl_config_destroy(&fresh);
        return;
    }
    zmq_msg_t frame;
    pcl_frame_copy_of(&frame, pcl_bytes_of(&fresh, sizeof fresh));
    pcl_err err = pcl_frames_send(&frame, 1, unit->pipe);
    assert(err == PCL_ERR_OK); /* the second half of a message that was begun */
    uint64_t deadline_us = pcl_now_us() + RELOAD_MS_MAX * UINT64_C(1000);
    while (!unit->reloaded && !unit->ended && pcl_now_us() < deadline_us) {
        s_wait(self, 100);
    }
    if (!unit->reloaded && !unit->ended) {
        pcl_log(PCL_LOG_ERROR, unit->role->name, "failed", "what=reload");
        unit->failed = true; /* it may use either configuration: neither may be freed */
        return;
    }
    PCL_TSAN_TAKES(fresh);
    pcl_config_destroy(&unit->config);
    unit->config = fresh;
    unit->args.config = fresh;
}

/* After the configurations were read, and before the roles read what they point to: so a change
 * after that is seen. */
static void s_watch_files(s_daemon *self, pcl_config *const *configs)
{
    pcl_file_watch_clear(self->files);
    for (size_t index = 0; index < self->count; index++) {
        size_t cursor = 0;
        for (const char *file; (file = pcl_config_watched(configs[index], &cursor)) != NULL;) {
            if (!pcl_file_watch_add(self->files, file)) {
                pcl_log(PCL_LOG_WARNING, self->who, "unwatched", "file=\"%s\"", file);
            }
        }
    }
}

/* again: the settings are those that are in force, and only the files that they point to are read
 * anew. */
static void s_reload(s_daemon *self, bool again)
{
    pcl_config *fresh[PCL_ROLES_MAX] = {NULL};
    pcl_buffer problems;
    pcl_buffer_init(&problems, PROBLEMS_SIZE_MAX);
    bool fine = true;
    for (size_t index = 0; index < self->count; index++) {
        s_unit *unit = &self->units[index];
        fresh[index] = again ? pcl_config_renew(unit->config, unit->role->check, unit->file,
                                                &problems)
                             : s_load(unit, unit->file, &problems);
        fine = fresh[index] != NULL && fine;
    }
    if (!fine) {
        s_log_lines(self->who, PCL_LOG_ERROR, "reload-refused", "problem", &problems);
    } else if (!again) {
        s_watch_files(self, fresh);
    }
    pcl_buffer_release(&problems);
    for (size_t index = 0; index < self->count; index++) {
        if (fine) {
            s_reload_role(self, &self->units[index], fresh[index]);
        } else {
            pcl_config_destroy(&fresh[index]);
        }
    }
    if (fine) {
        s_set_log_level(self);
        pcl_log(PCL_LOG_INFO, self->who, "reloaded", "cause=%s", again ? "files" : "signal");
    }
}

/* --- Life ------------------------------------------------------------------- */

/* true when a role failed or ended by itself. */
static bool s_has_failed(const s_daemon *self)
{
    for (size_t index = 0; index < self->count; index++) {
        const s_unit *unit = &self->units[index];
        if (unit->failed || unit->ended) {
            pcl_log(PCL_LOG_ERROR, unit->role->name, "failed", "what=run");
            return true;
        }
    }
    return false;
}

/* Outermost first: each still has those below it while it finishes. */
static void s_drain(s_daemon *self)
{
    for (size_t index = 0; index < self->count; index++) {
        s_unit *unit = &self->units[index];
        pcl_http_set_ready(unit->http, false, "draining");
    }
    for (size_t index = 0; index < self->count && !self->stop_now; index++) {
        s_unit *unit = &self->units[index];
        uint64_t limit_us = pcl_config_uint(unit->config, "drain/limit_ms") * 1000;
        uint64_t deadline_us = pcl_now_us() + limit_us;
        pcl_log(PCL_LOG_INFO, unit->role->name, "drain", "%s", "");
        if (zstr_send(unit->pipe, PCL_ACTOR_DRAIN) != 0) {
            continue;
        }
        while (!unit->ended && !self->stop_now && pcl_now_us() < deadline_us) {
            s_wait(self, 100);
        }
        if (!unit->ended) {
            pcl_log(PCL_LOG_WARNING, unit->role->name, "drain-limit", "%s", "");
        }
        s_end_role(self, unit);
    }
}

static const char *s_role_names(const s_daemon *self, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t index = 0; index < self->count && used < size; index++) {
        int count = snprintf(text + used, size - used, "%s%s", index > 0 ? "," : "",
                             self->units[index].role->name);
        used += count > 0 ? (size_t)count : 0;
    }
    return text;
}

/* Waits for something to do, and looks around now and then.  false: the process must end. */
static bool s_look_around(s_daemon *self, uint64_t *look_due_us)
{
    uint64_t now_us = pcl_now_us();
    if (now_us >= *look_due_us) {
        *look_due_us = now_us + LOOK_MS * UINT64_C(1000);
        if (!pcl_zap_is_alive()) {
            pcl_log(PCL_LOG_ERROR, self->who, "failed", "what=zap");
            return false;
        }
        if (pcl_file_watch_look(self->files)) {
            s_reload(self, true);
        }
    }
    s_wait(self, LOOK_MS);
    return true;
}

static bool s_prepare_roles(const s_daemon *self)
{
    for (size_t index = 0; index < self->count; index++) {
        const pcl_role *role = self->units[index].role;
        if (role->prepare != NULL && !role->prepare()) {
            pcl_log(PCL_LOG_ERROR, role->name, "failed", "what=prepare");
            return false;
        }
    }
    return true;
}

static int s_live(s_daemon *self)
{
    if (!s_prepare_roles(self) || !pcl_zap_start() || !s_start_http(self)) {
        return EXIT_ROLE;
    }
    if (!s_start_roles(self)) {
        return self->stop_wanted ? EXIT_FINE : EXIT_ROLE;
    }
    char names[256];
    pcl_log(PCL_LOG_INFO, self->who, "ready", "roles=%s version=%s",
            s_role_names(self, names, sizeof names), PCL_VERSION);
    uint64_t look_due_us = 0;
    while (!self->stop_wanted) {
        if (!s_look_around(self, &look_due_us)) {
            _exit(EXIT_ROLE); /* an orderly end would wait for the handler */
        }
        if (s_has_failed(self)) {
            return EXIT_ROLE;
        }
        if (self->reload_wanted) {
            self->reload_wanted = false;
            s_reload(self, false);
        }
    }
    s_drain(self);
    return EXIT_FINE;
}

static int s_run(s_daemon *self)
{
    s_set_log_level(self);
    if (!s_take_signals(self)) {
        pcl_log(PCL_LOG_ERROR, self->who, "failed", "what=signals error=\"%s\"", strerror(errno));
        return EXIT_ROLE;
    }
    s_set_limits(self);
    pcl_config *configs[PCL_ROLES_MAX] = {NULL};
    for (size_t index = 0; index < self->count; index++) {
        configs[index] = self->units[index].config;
    }
    self->files = pcl_file_watch_new();
    s_watch_files(self, configs);
    zsys_handler_set(NULL); /* signals are ours */
    int result = s_live(self);
    s_end_roles(self);
    for (size_t index = 0; index < self->count; index++) {
        pcl_http_stop(&self->units[index].http);
        pcl_metrics_destroy(&self->units[index].metrics);
    }
    pcl_zap_stop();
    (void)close(self->signals);
    pcl_file_watch_destroy(&self->files);
    pcl_log(PCL_LOG_INFO, self->who, "stopped", "code=%d", result);
    return result;
}

static int s_act(s_daemon *self, pcl_options_action action)
{
    if (!s_load_all(self)) {
        return EXIT_CONFIG;
    }
    if (action == PCL_OPTIONS_PRINT_CONFIG) {
        s_print_config(self);
        return EXIT_FINE;
    }
    if (action == PCL_OPTIONS_CHECK_CONFIG) {
        for (size_t index = 0; index < self->count; index++) {
            printf("%s: ok\n", self->units[index].file);
        }
        return EXIT_FINE;
    }
    return s_run(self);
}

int pcl_daemon_main(int argc, char **argv, const pcl_role *const *roles, size_t role_count)
{
    assert(argv != NULL && roles != NULL);
    assert(role_count > 0 && role_count <= PCL_ROLES_MAX);
    const char *program = strrchr(argv[0], '/') != NULL ? strrchr(argv[0], '/') + 1 : argv[0];
    const char *names[PCL_ROLES_MAX];
    for (size_t index = 0; index < role_count; index++) {
        names[index] = roles[index]->name;
    }
    char error[512];
    pcl_options options;
    static s_daemon self; /* large, and one a process */
    self = (s_daemon){.signals = -1, .who = role_count == 1 ? roles[0]->name : "portcullisd"};
    if (!pcl_options_parse(&options, argc, argv, names, role_count, error, sizeof error)) {
        fprintf(stderr, "%s: %s\n", program, error);
        return EXIT_USAGE;
    }
    self.count = options.role_count;
    self.thread_each = options.thread_each;
    for (size_t index = 0; index < self.count; index++) {
        self.units[index].role = roles[options.roles[index]];
    }
    if (!s_name_files(&self, &options, error, sizeof error)) {
        fprintf(stderr, "%s: %s\n", program, error);
        return EXIT_USAGE;
    }
    if (options.action == PCL_OPTIONS_VERSION) {
        printf("%s %s\n", program, PCL_VERSION);
        return EXIT_FINE;
    }
    if (options.action == PCL_OPTIONS_HELP) {
        s_print_help(program, &self, role_count);
        return EXIT_FINE;
    }
    int result = s_act(&self, options.action);
    for (size_t index = 0; index < self.count; index++) {
        pcl_config_destroy(&self.units[index].config);
    }
    return result;
}
