/* ping - the way to the proxy and back. */
#include "client/command/command.h"
#include "net/time.h"

#include <inttypes.h>
#include <time.h>

typedef struct ping_tally {
    uint32_t sent;
    uint32_t answered;
    uint64_t least_us;
    uint64_t most_us;
    uint64_t sum_us;
    bool sealed; /* every answer until now */
} ping_tally;

static void s_sleep(uint32_t ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000L};
    (void)nanosleep(&time, NULL); /* cut short by a signal: the next comes sooner */
}

static int s_ping(portcullis *client, const portcullis_request *request, ping_tally *tally)
{
    uint64_t start_us = pcl_now_us();
    portcullis_result *result = portcullis_call(client, request);
    uint64_t took_us = pcl_now_us() - start_us;
    tally->sent++;
    int code = PCL_EXIT_OK;
    if (portcullis_result_code(result) == PORTCULLIS_OK) {
        tally->answered++;
        tally->sealed = tally->sealed && portcullis_result_sealed(result);
        tally->sum_us += took_us;
        tally->least_us = tally->least_us < took_us ? tally->least_us : took_us;
        tally->most_us = tally->most_us > took_us ? tally->most_us : took_us;
        (void)printf("%" PRIu32 ": %.3f ms\n", tally->sent, (double)took_us / 1000.0);
        (void)fflush(stdout);
    } else {
        code = pcl_command_fail(result, NULL);
    }
    portcullis_result_destroy(&result);
    return code;
}

int pcl_command_ping(const pcl_cli_line *line)
{
    char problem[PCL_CLI_PROBLEM_SIZE];
    uint32_t count = 0;
    uint32_t interval_ms = 0;
    uint32_t timeout_ms = 0;
    if (!pcl_cli_uint(line, "count", 1, 1000000, 4, &count, problem) ||
        !pcl_cli_uint(line, "interval", 0, 3600000, 1000, &interval_ms, problem) ||
        !pcl_cli_uint(line, "timeout", 1, 600000, 0, &timeout_ms, problem)) {
        return pcl_command_usage(line, problem);
    }
    portcullis *client = pcl_command_open(line);
    if (client == NULL) {
        return PCL_EXIT_CONFIG;
    }
    portcullis_request *request = portcullis_request_new_ping();
    if (request == NULL) {
        portcullis_close(&client);
        return PCL_EXIT_RETRY;
    }
    portcullis_request_set_timeout(request, timeout_ms);
    ping_tally tally = {.least_us = UINT64_MAX, .sealed = true};
    int code = PCL_EXIT_OK;
    for (uint32_t index = 0; index < count; index++) {
        if (index > 0) {
            s_sleep(interval_ms);
        }
        int outcome = s_ping(client, request, &tally);
        code = code == PCL_EXIT_OK ? outcome : code;
    }
    if (tally.answered > 0) {
        (void)printf("sealed: %s\n", tally.sealed ? "yes" : "no");
        (void)printf("%" PRIu32 " of %" PRIu32 " answered; least %.3f, mean %.3f, most %.3f ms\n",
                     tally.answered, tally.sent, (double)tally.least_us / 1000.0,
                     (double)tally.sum_us / tally.answered / 1000.0,
                     (double)tally.most_us / 1000.0);
    }
    portcullis_request_destroy(&request);
    portcullis_close(&client);
    return code;
}
