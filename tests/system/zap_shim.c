/* zap_shim.c - preloaded into a daemon, stands between its ZAP handler and libzmq, and does to the
 * handler's answers what the file named in ZAP_SHIM says; nothing while that is empty.  With
 * ZAP_SHIM_ROUTES, writes the routing ids that ROUTERs gave out there, eight hex digits a line.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#define ENDPOINT "inproc://zeromq.zap.01"

enum { STATUS_FRAME = 2, WORD_SIZE = 64, SLOW_S = 10 };

static void *s_handler;        /* the socket that answers */
static unsigned s_frame;       /* of the answer that is being sent */
static char s_word[WORD_SIZE]; /* for that answer */

static void s_read_word(void)
{
    const char *file = getenv("ZAP_SHIM");
    int fd = file != NULL ? open(file, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t size = fd >= 0 ? read(fd, s_word, sizeof s_word - 1) : 0;
    s_word[size > 0 ? size : 0] = '\0';
    if (fd >= 0) {
        close(fd);
    }
}

static int s_is(const char *word)
{
    return strcmp(s_word, word) == 0;
}

int zmq_bind(void *socket, const char *endpoint)
{
    int (*next)(void *, const char *) = (int (*)(void *, const char *))dlsym(RTLD_NEXT, "zmq_bind");
    if (strcmp(endpoint, ENDPOINT) == 0) {
        s_handler = socket;
        s_read_word();
        if (s_is("absent")) {
            return 0;
        }
    }
    return next(socket, endpoint);
}

/* What stands in the frame's place; NULL: what was there. */
static const char *s_instead(unsigned frame)
{
    static const char *const FRAMES[] = {"version", "request", "status", "text", "user", "extra"};
    if (s_is("garbage")) {
        return "\x01\xff garbage";
    }
    if (s_is("wrong-id")) {
        return frame == 1 ? "another" : NULL;
    }
    if (s_is("no-id")) {
        return frame == 1 ? "" : NULL;
    }
    for (unsigned which = 0; which < sizeof FRAMES / sizeof FRAMES[0]; which++) {
        size_t size = strlen(FRAMES[which]);
        if (frame == which && strncmp(s_word, FRAMES[which], size) == 0 && s_word[size] == '=') {
            return s_word + size + 1;
        }
    }
    return NULL;
}

static int s_send(zmq_msg_t *frame, void *socket, int flags)
{
    int (*next)(zmq_msg_t *, void *,
                int) = (int (*)(zmq_msg_t *, void *, int))dlsym(RTLD_NEXT, "zmq_msg_send");
    return next(frame, socket, flags);
}

/* One frame of an answer of the handler's. */
static int s_answer(zmq_msg_t *frame, void *socket, int flags)
{
    unsigned number = s_frame;
    s_frame = (flags & ZMQ_SNDMORE) != 0 ? s_frame + 1 : 0;
    if (number == 0) {
        s_read_word();
        if (s_is("slow")) {
            sleep(SLOW_S);
        }
    }
    if (s_is("silent") || (s_is("short") && number > STATUS_FRAME)) {
        int size = (int)zmq_msg_size(frame);
        zmq_msg_close(frame);
        zmq_msg_init(frame);
        return size;
    }
    if (s_is("short") && number == STATUS_FRAME) {
        flags &= ~ZMQ_SNDMORE;
    }
    const char *instead = s_instead(number);
    if (instead != NULL) {
        zmq_msg_close(frame);
        zmq_msg_init_size(frame, strlen(instead));
        memcpy(zmq_msg_data(frame), instead, strlen(instead));
    }
    if (s_is("long") && (flags & ZMQ_SNDMORE) == 0) {
        zmq_msg_t copy;
        zmq_msg_init(&copy);
        zmq_msg_copy(&copy, frame);
        s_send(&copy, socket, flags | ZMQ_SNDMORE);
    }
    return s_send(frame, socket, flags);
}

int zmq_msg_send(zmq_msg_t *frame, void *socket, int flags)
{
    return socket == s_handler ? s_answer(frame, socket, flags) : s_send(frame, socket, flags);
}

static void s_write_route(zmq_msg_t *frame)
{
    const uint8_t *octets = zmq_msg_data(frame);
    const char *file = getenv("ZAP_SHIM_ROUTES");
    if (file == NULL || zmq_msg_size(frame) != 5 || octets[0] != 0 || !zmq_msg_more(frame)) {
        return;
    }
    char line[16];
    int size = snprintf(line, sizeof line, "%02x%02x%02x%02x\n", octets[1], octets[2], octets[3],
                        octets[4]);
    int fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0) {
        ssize_t written = write(fd, line, (size_t)size);
        (void)written; /* the test misses the line */
        close(fd);
    }
}

int zmq_msg_recv(zmq_msg_t *frame, void *socket, int flags)
{
    int (*next)(zmq_msg_t *, void *,
                int) = (int (*)(zmq_msg_t *, void *, int))dlsym(RTLD_NEXT, "zmq_msg_recv");
    int size = next(frame, socket, flags);
    if (socket == s_handler && size != -1) {
        s_read_word();
        if (s_is("fail")) {
            errno = ENOTSOCK;
            return -1;
        }
        if (s_is("leave")) {
            zmq_unbind(socket, ENDPOINT);
        }
    } else if (size != -1) {
        s_write_route(frame);
    }
    return size;
}
