#include "aws/fetch.h"

#include <assert.h>
#include <curl/curl.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_SIZE (PCL_AWS_TOKEN_SIZE + 64u)

struct pcl_fetcher {
    CURL *curl;
    char error[CURL_ERROR_SIZE];
    atomic_bool stopped;
};

static void s_start_curl(void)
{
    CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
    assert(code == CURLE_OK);
}

/* libcurl hands over one octet as so many items. */
static size_t s_on_body(char *data, size_t one, size_t count, void *context)
{
    pcl_buffer *answer = context;
    (void)one;
    pcl_buffer_put(answer, data, count);
    return answer->failed ? 0 : count;
}

static int s_on_progress(void *context, curl_off_t total, curl_off_t now, curl_off_t upload_total,
                         curl_off_t upload_now)
{
    const pcl_fetcher *self = context;
    (void)total;
    (void)now;
    (void)upload_total;
    (void)upload_now;
    return atomic_load(&self->stopped) ? 1 : 0;
}

/* What never changes.  A protocol that is not HTTP would be a way to read files. */
static void s_set_up(pcl_fetcher *self)
{
    CURL *curl = self->curl;
#if LIBCURL_VERSION_NUM >= 0x075500
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    (void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    (void)curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
    /* Else it waits for the thread that resolves a name, however long that takes. */
    (void)curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L);
#endif
    (void)curl_easy_setopt(curl, CURLOPT_USERAGENT, "portcullis/" PCL_VERSION);
    (void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, self->error);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, s_on_body);
    (void)curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, s_on_progress);
    (void)curl_easy_setopt(curl, CURLOPT_XFERINFODATA, self);
    (void)curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
}

pcl_fetcher *pcl_fetcher_new(void)
{
    static pthread_once_t started = PTHREAD_ONCE_INIT;
    (void)pthread_once(&started, s_start_curl);
    pcl_fetcher *self = calloc(1, sizeof *self);
    assert(self != NULL);
    self->curl = curl_easy_init();
    assert(self->curl != NULL);
    s_set_up(self);
    return self;
}

void pcl_fetcher_destroy(pcl_fetcher **self_p)
{
    assert(self_p != NULL);
    if (*self_p != NULL) {
        curl_easy_cleanup((*self_p)->curl);
        free(*self_p);
        *self_p = NULL;
    }
}

void pcl_fetcher_stop(pcl_fetcher *self)
{
    atomic_store(&self->stopped, true);
}

static struct curl_slist *s_headers(const pcl_fetch *fetch)
{
    char line[LINE_SIZE];
    struct curl_slist *list = NULL;
    for (uint32_t index = 0; index < fetch->header_count; index++) {
        const pcl_aws_header *header = &fetch->headers[index];
        int size = snprintf(line, sizeof line, "%s: %s", header->name, header->value);
        assert(size > 0 && (size_t)size < sizeof line); /* our own names, and bounded values */
        struct curl_slist *longer = curl_slist_append(list, line);
        assert(longer != NULL);
        list = longer;
    }
    sodium_memzero(line, sizeof line);
    return list;
}

static void s_set_request(pcl_fetcher *self, const pcl_fetch *fetch, struct curl_slist *headers,
                          pcl_buffer *answer)
{
    CURL *curl = self->curl;
    bool post = strcmp(fetch->method, "POST") == 0;
    (void)curl_easy_setopt(curl, CURLOPT_URL, fetch->url);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, NULL);
    if (post) {
        (void)curl_easy_setopt(curl, CURLOPT_POST, 1L);
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)fetch->body.size);
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, (const char *)fetch->body.data);
    } else if (strcmp(fetch->method, "GET") != 0) {
        (void)curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, fetch->method);
    }
    (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)fetch->timeout_ms);
    (void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)fetch->timeout_ms);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
}

uint32_t pcl_fetcher_run(pcl_fetcher *self, const pcl_fetch *fetch, pcl_buffer *answer, char *error,
                         size_t error_size)
{
    assert(self != NULL && fetch->header_count <= PCL_AWS_HEADERS_MAX);
    pcl_buffer_clear(answer);
    self->error[0] = '\0';
    struct curl_slist *headers = s_headers(fetch);
    s_set_request(self, fetch, headers, answer);
    CURLcode code = curl_easy_perform(self->curl);
    long status = 0;
    (void)curl_easy_getinfo(self->curl, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_setopt(self->curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);
    if (code != CURLE_OK) {
        (void)snprintf(error, error_size, "%s",
                       self->error[0] != '\0' ? self->error : curl_easy_strerror(code));
        return 0;
    }
    return status > 0 ? (uint32_t)status : 0;
}
