/* syscall() is the C library's own. */
#define _DEFAULT_SOURCE

#include "net/zap.h"

#include "common/clock.h"
#include "net/frames.h"
#include "net/log.h"
#include "net/loop.h"
#include "net/process.h"
#include "net/socket.h"
#include "net/time.h"
#include "net/tsan.h"
#include "net/zap_check.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ZAP_ENDPOINT "inproc://zeromq.zap.01"
#define THREAD_NAME  "zap"
#define LOOK         "LOOK" /* on the handler's pipe: are you there? */

/* Frames of a request, RFC 27; the REP socket keeps the envelope. */
enum {
    FRAME_VERSION = 0,
    FRAME_REQUEST,
    FRAME_DOMAIN,
    FRAME_ADDRESS,
    FRAME_IDENTITY,
    FRAME_MECHANISM,
    FRAME_KEY,
    CURVE_FRAMES,
};
enum { DOMAIN_SIZE_MAX = 255, CURVE_KEY_SIZE = 32 };

typedef struct s_domain {
    struct s_domain *next;
    char name[DOMAIN_SIZE_MAX + 1];
    pcl_key_list *list; /* owned */
} s_domain;

static struct {
    pthread_mutex_t mutex; /* guards all below */
    s_domain *domains;
    zactor_t *handler;  /* NULL: not running */
    unsigned looks;     /* that were not answered yet; of the starter's thread */
    atomic_long thread; /* the handler's, as the system numbers it */
} s_zap = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* --- The judgement -------------------------------------------------------- */

typedef struct s_verdict {
    const char *status; /* "200", "400", "500" */
    const char *text;
    char user_id[PCL_KEY_TEXT_SIZE]; /* "" unless 200 */
} s_verdict;

static bool s_is_admitted(pcl_bytes domain, const char *public_key)
{
    bool admitted = false;
    (void)pthread_mutex_lock(&s_zap.mutex);
    for (s_domain *entry = s_zap.domains; entry != NULL; entry = entry->next) {
        if (pcl_bytes_is(domain, entry->name)) {
            admitted = pcl_key_list_find(entry->list, public_key) != NULL;
            break;
        }
    }
    (void)pthread_mutex_unlock(&s_zap.mutex);
    return admitted;
}

static s_verdict s_judge(pcl_frames *request)
{
    if (request->overflow || request->count <= FRAME_MECHANISM ||
        !pcl_bytes_is(pcl_frame_bytes(&request->frame[FRAME_VERSION]), "1.0")) {
        return (s_verdict){.status = "500", .text = "malformed request"};
    }
    if (!pcl_bytes_is(pcl_frame_bytes(&request->frame[FRAME_MECHANISM]), "CURVE")) {
        return (s_verdict){.status = "400", .text = "only CURVE is accepted"};
    }
    pcl_bytes key = request->count == CURVE_FRAMES ? pcl_frame_bytes(&request->frame[FRAME_KEY])
                                                   : pcl_bytes_of(NULL, 0);
    if (key.size != CURVE_KEY_SIZE) {
        return (s_verdict){.status = "500", .text = "malformed credentials"};
    }
    s_verdict verdict = {.status = "400", .text = "not admitted"};
    char public_key[PCL_KEY_TEXT_SIZE];
    if (zmq_z85_encode(public_key, key.data, key.size) != NULL &&
        s_is_admitted(pcl_frame_bytes(&request->frame[FRAME_DOMAIN]), public_key)) {
        verdict.status = "200";
        verdict.text = "OK";
        snprintf(verdict.user_id, sizeof verdict.user_id, "%s", public_key);
    }
    return verdict;
}

/* --- The handler's thread -------------------------------------------------- */

/* libzmq keeps the way from a connection to the handler as long as both are there: two queues, a
 * quarter of all that it holds for an idle peer, of which nothing passes them once the peer is let
 * in.  It ends with the socket of either.  So after so many answers the handler goes on with a new
 * socket, and closes the old one when every handshake that has begun with it is over.  Whoever
 * asks in the moment between is refused, as without a handler, and tries again. */
#define MOVE_ANSWERS_MIN 64u
#define RETIRED_US       ((PCL_HANDSHAKE_MS + 1000) * PCL_US_PER_MS)

/* Giving back takes 0.14 ms of a MiB, as measured, with a lock of the allocator held: 5 ms with a
 * thousand clients, 40 ms with ten thousand.  While clients come and go all the time that would be
 * done every 4 s; but no sooner than after so many times what it took. */
#define TRIM_REST 200u

typedef struct s_handler {
    zsock_t *pipe;
    zsock_t *socket;      /* owned; bound */
    zsock_t *retired;     /* owned; was bound before, and answers who asks there; NULL: none */
    pcl_loop *loop;       /* of the sockets that there are now */
    uint32_t answers;     /* of the bound one */
    bool closed;          /* one was, and its memory is to be given back */
    uint64_t move_due_us; /* when the next of the three is to be done; UINT64_MAX: never */
    uint64_t trim_due_us; /* not before that */
    bool over;
} s_handler;

static void s_end(s_handler *self)
{
    self->over = true;
    pcl_loop_stop(self->loop);
}

static void s_answer(zsock_t *socket, pcl_frames *request)
{
    s_verdict verdict = s_judge(request);
    zmq_msg_t reply[6];
    pcl_frame_copy_of(&reply[0], pcl_bytes_text("1.0"));
    pcl_frame_copy_of(&reply[1], request->count > FRAME_REQUEST
                                     ? pcl_frame_bytes(&request->frame[FRAME_REQUEST])
                                     : pcl_bytes_of(NULL, 0));
    pcl_frame_copy_of(&reply[2], pcl_bytes_text(verdict.status));
    pcl_frame_copy_of(&reply[3], pcl_bytes_text(verdict.text));
    pcl_frame_copy_of(&reply[4], pcl_bytes_text(verdict.user_id));
    pcl_frame_copy_of(&reply[5], pcl_bytes_of(NULL, 0)); /* no metadata */
    if (pcl_frames_send(reply, 6, socket) != PCL_ERR_OK) {
        for (size_t index = 0; index < 6; index++) {
            zmq_msg_close(&reply[index]); /* the asker is gone; it lets nobody in */
        }
    }
}

static bool s_on_requests(s_handler *self, zsock_t *socket, uint32_t *out_count)
{
    *out_count = 0;
    while (*out_count < PCL_BATCH_MAX) {
        pcl_frames request;
        pcl_recv result = pcl_frames_recv(&request, socket);
        if (result == PCL_RECV_FAILED) {
            s_end(self);
        }
        if (result != PCL_RECV_MESSAGE) {
            return false;
        }
        s_answer(socket, &request);
        pcl_frames_close(&request);
        ++*out_count;
    }
    return true;
}

static void s_plan(s_handler *self, uint64_t at_us)
{
    self->move_due_us = at_us;
    pcl_loop_wake_at(self->loop, at_us);
}

static bool s_on_request(void *context, uint64_t now_us)
{
    s_handler *self = context;
    uint32_t count = 0;
    bool more = s_on_requests(self, self->socket, &count);
    self->answers += count;
    if (self->answers >= MOVE_ANSWERS_MIN && self->move_due_us == UINT64_MAX) {
        s_plan(self, now_us + RETIRED_US); /* those who come together are left together */
    }
    return more;
}

static bool s_on_retired(void *context, uint64_t now_us)
{
    (void)now_us;
    s_handler *self = context;
    uint32_t count = 0;
    return s_on_requests(self, self->retired, &count);
}

/* Whoever asks whether we live gets his word back; any other word is to stop. */
static bool s_on_pipe(void *context, uint64_t now_us)
{
    (void)now_us;
    s_handler *self = context;
    pcl_frames word;
    pcl_recv result = pcl_frames_recv(&word, self->pipe);
    if (result != PCL_RECV_MESSAGE) {
        if (result == PCL_RECV_FAILED) {
            s_end(self);
        }
        return false;
    }
    if (!pcl_bytes_is(pcl_frame_bytes(&word.frame[0]), LOOK)) {
        s_end(self);
    } else if (pcl_frames_send(word.frame, 1, self->pipe) == PCL_ERR_OK) {
        return true;
    }
    pcl_frames_close(&word);
    return false;
}

static void s_on_turn(void *context, uint64_t now_us)
{
    s_handler *self = context;
    if (now_us >= self->move_due_us) {
        pcl_loop_stop(self->loop); /* its sockets change */
    }
}

/* Closing alone would free the name only some time later. */
static void s_unbind(zsock_t *socket)
{
    (void)zsock_unbind(socket, "%s", ZAP_ENDPOINT);
}

static void s_trim(s_handler *self, uint64_t now_us)
{
    pcl_process_trim();
    self->trim_due_us = now_us + TRIM_REST * pcl_time_since_us(now_us, pcl_now_us());
}

/* A fresh socket; its predecessor's end; and its memory's, which libzmq frees on its own threads.
 * false: nobody is let in any more. */
static bool s_move(s_handler *self, uint64_t now_us)
{
    if (self->retired != NULL) {
        zsock_destroy(&self->retired);
        self->closed = true;
        self->move_due_us = now_us + PCL_US_PER_S;
        return true;
    }
    if (self->closed) {
        bool trims = now_us >= self->trim_due_us;
        bool moves = self->answers >= MOVE_ANSWERS_MIN;
        if (trims) {
            s_trim(self, now_us);
        }
        self->closed = !trims && !moves; /* after the next move there is a next time */
        self->move_due_us = moves ? now_us : trims ? UINT64_MAX : self->trim_due_us;
        return true;
    }
    self->retired = self->socket;
    self->socket = zsock_new(ZMQ_REP);
    assert(self->socket != NULL);
    self->answers = 0;
    self->move_due_us = now_us + RETIRED_US;
    s_unbind(self->retired);
    return zsock_bind(self->socket, "%s", ZAP_ENDPOINT) == 0;
}

/* Until somebody wants it to end. */
static void s_serve(s_handler *self)
{
    while (!self->over) {
        self->loop = pcl_loop_new();
        pcl_loop_add_socket(self->loop, self->pipe, s_on_pipe, self);
        pcl_loop_add_socket(self->loop, self->socket, s_on_request, self);
        if (self->retired != NULL) {
            pcl_loop_add_socket(self->loop, self->retired, s_on_retired, self);
        }
        pcl_loop_set_tick(self->loop, 0, NULL, s_on_turn, self);
        pcl_loop_wake_at(self->loop, self->move_due_us);
        pcl_loop_run(self->loop);
        pcl_loop_destroy(&self->loop);
        uint64_t now_us = pcl_now_us();
        if (now_us < self->move_due_us || !s_move(self, now_us)) {
            self->over = true;
        }
    }
}

static void s_run(zsock_t *pipe, void *argument)
{
    (void)prctl(PR_SET_NAME, THREAD_NAME); /* for whoever looks at threads */
    bool *out_bound = argument; /* the starter waits for our signal, so it is there until then */
    s_handler self = {.pipe = pipe, .socket = zsock_new(ZMQ_REP), .move_due_us = UINT64_MAX};
    assert(self.socket != NULL);
    *out_bound = zsock_bind(self.socket, "%s", ZAP_ENDPOINT) == 0;
    bool bound = *out_bound;
    if (bound) {
        atomic_store(&s_zap.thread, syscall(SYS_gettid));
    }
    PCL_TSAN_GIVES(out_bound);
    zsock_signal(pipe, 0);
    if (bound) {
        s_serve(&self);
        s_unbind(self.socket);
    }
    zsock_destroy(&self.retired);
    zsock_destroy(&self.socket);
}

/* --- For everyone ----------------------------------------------------------- */

bool pcl_zap_start(void)
{
    bool bound = false;
    zactor_t *handler = zactor_new(s_run, &bound);
    PCL_TSAN_TAKES(&bound);
    if (handler == NULL || !bound) {
        zactor_destroy(&handler);
        pcl_log(PCL_LOG_ERROR, "zap", "failed", "reason=\"another handler runs\"");
        return false;
    }
    if (!pcl_zap_check()) {
        zactor_destroy(&handler);
        pcl_log(PCL_LOG_ERROR, "zap", "failed", "reason=\"the proof of refusal failed\"");
        return false;
    }
    (void)pthread_mutex_lock(&s_zap.mutex);
    assert(s_zap.handler == NULL); /* two cannot both have bound */
    s_zap.handler = handler;
    s_zap.looks = 0;
    (void)pthread_mutex_unlock(&s_zap.mutex);
    return true;
}

bool pcl_zap_is_alive(void)
{
    (void)pthread_mutex_lock(&s_zap.mutex);
    zactor_t *handler = s_zap.handler;
    (void)pthread_mutex_unlock(&s_zap.mutex);
    long thread = atomic_load(&s_zap.thread);
    bool gone = syscall(SYS_tgkill, (long)getpid(), thread, 0) != 0 && errno == ESRCH;
    if (handler == NULL || gone) { /* a sandbox that forbids the question is no answer */
        return false;
    }
    pcl_frames answer;
    while (pcl_frames_recv(&answer, zactor_sock(handler)) == PCL_RECV_MESSAGE) {
        s_zap.looks = 0;
        pcl_frames_close(&answer);
    }
    if (s_zap.looks >= PCL_ZAP_LOOKS_MAX) {
        return false;
    }
    zmq_msg_t look;
    pcl_frame_copy_of(&look, pcl_bytes_text(LOOK));
    if (pcl_frames_send(&look, 1, zactor_sock(handler)) != PCL_ERR_OK) {
        zmq_msg_close(&look); /* its pipe is full: that is no answer either */
    }
    s_zap.looks++;
    return true;
}

void pcl_zap_stop(void)
{
    (void)pthread_mutex_lock(&s_zap.mutex);
    zactor_t *handler = s_zap.handler;
    s_domain *domains = s_zap.domains;
    s_zap.handler = NULL;
    s_zap.domains = NULL;
    (void)pthread_mutex_unlock(&s_zap.mutex);
    zactor_destroy(&handler);
    while (domains != NULL) {
        s_domain *domain = domains;
        domains = domain->next;
        pcl_key_list_destroy(&domain->list);
        free(domain);
    }
}

void pcl_zap_set(const char *domain, const pcl_key_list *list)
{
    assert(domain != NULL && domain[0] != '\0');
    assert(strlen(domain) <= DOMAIN_SIZE_MAX);
    assert(list != NULL);
    pcl_key_list *fresh = pcl_key_list_copy(list);
    (void)pthread_mutex_lock(&s_zap.mutex);
    s_domain *entry = s_zap.domains;
    while (entry != NULL && strcmp(entry->name, domain) != 0) {
        entry = entry->next;
    }
    if (entry == NULL) {
        entry = calloc(1, sizeof *entry);
        assert(entry != NULL);
        snprintf(entry->name, sizeof entry->name, "%s", domain);
        entry->next = s_zap.domains;
        s_zap.domains = entry;
    }
    pcl_key_list *old = entry->list;
    entry->list = fresh;
    (void)pthread_mutex_unlock(&s_zap.mutex);
    pcl_key_list_destroy(&old);
}
