/* The options --param of a command line. */
#include "client/command/command.h"
#include "client/param.h"

#include <string.h>

static bool s_put(portcullis_request *request, const pcl_param *param)
{
    switch (param->type) {
    case PCL_PARAM_NULL:
        return portcullis_request_add_null(request);
    case PCL_PARAM_INT:
        return portcullis_request_add_int(request, param->integer);
    case PCL_PARAM_UINT:
        return portcullis_request_add_uint(request, param->uinteger);
    case PCL_PARAM_DOUBLE:
        return portcullis_request_add_double(request, param->real);
    case PCL_PARAM_TEXT:
        return portcullis_request_add_text(request, param->text);
    case PCL_PARAM_BLOB:
        return portcullis_request_add_blob(request, param->octets.data, param->octets.size);
    case PCL_PARAM_DECIMAL:
        return portcullis_request_add_decimal(request, param->text);
    case PCL_PARAM_TEMPORAL:
        return portcullis_request_add_temporal(request, param->text);
    }
    return false;
}

static bool s_add(portcullis_request *request, const char *argument, char *problem)
{
    pcl_param param;
    const char *why = "";
    if (!pcl_param_parse(&param, argument, &why)) {
        (void)snprintf(problem, PCL_CLI_PROBLEM_SIZE, "--param %.60s: %s", argument, why);
        return false;
    }
    bool added = s_put(request, &param);
    pcl_param_release(&param);
    if (!added) {
        (void)snprintf(problem, PCL_CLI_PROBLEM_SIZE, "--param there are too many of them");
    }
    return added;
}

bool pcl_command_add_params(const pcl_cli_line *line, portcullis_request *request, char *problem)
{
    for (size_t index = 0; index < line->given_count; index++) {
        if (strcmp(line->given[index].option->name, "param") == 0 &&
            !s_add(request, line->given[index].value, problem)) {
            return false;
        }
    }
    return true;
}
