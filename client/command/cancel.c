/* cancel - stops a request that is under way. */
#include "client/command/command.h"

#include <inttypes.h>

int pcl_command_cancel(const pcl_cli_line *line)
{
    char problem[PCL_CLI_PROBLEM_SIZE];
    uint32_t timeout_ms = 0;
    uint8_t id[16];
    if (!pcl_cli_uint(line, "timeout", 1, 600000, 0, &timeout_ms, problem)) {
        return pcl_command_usage(line, problem);
    }
    if (line->operand_count == 0 || !pcl_command_parse_id(line->operands[0], id)) {
        return pcl_command_usage(line, "the id " PCL_COMMAND_ID_RULE);
    }
    portcullis *client = pcl_command_open(line);
    if (client == NULL) {
        return PCL_EXIT_CONFIG;
    }
    portcullis_request *request = portcullis_request_new_cancel(id);
    if (request == NULL) {
        portcullis_close(&client);
        return PCL_EXIT_RETRY;
    }
    portcullis_request_set_timeout(request, timeout_ms);
    portcullis_result *result = portcullis_call(client, request);
    int code = PCL_EXIT_OK;
    uint64_t found = portcullis_result_affected(result);
    if (portcullis_result_code(result) != PORTCULLIS_OK) {
        code = pcl_command_fail(result, NULL);
    } else if (found == 0) {
        (void)fputs("portcullis: nothing with this id and of this client's key is under way\n",
                    stderr);
        code = PCL_EXIT_REFUSED;
    } else {
        (void)printf("%" PRIu64 " request%s told to stop\n", found, found == 1 ? "" : "s");
    }
    portcullis_result_destroy(&result);
    portcullis_request_destroy(&request);
    portcullis_close(&client);
    return code;
}
