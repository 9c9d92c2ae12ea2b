#include "common/error.h"

const char *pcl_err_code(int err)
{
    switch (err) {
#define PCL_ERR_CASE(name, value, retry, text)                                                     \
    case value:                                                                                    \
        return #name;
        PCL_ERR_LIST(PCL_ERR_CASE)
#undef PCL_ERR_CASE
    default:
        return "UNKNOWN";
    }
}

const char *pcl_err_text(int err)
{
    switch (err) {
#define PCL_ERR_CASE(name, value, retry, text)                                                     \
    case value:                                                                                    \
        return text;
        PCL_ERR_LIST(PCL_ERR_CASE)
#undef PCL_ERR_CASE
    default:
        return "unknown error";
    }
}

pcl_retry pcl_err_retry(int err)
{
    switch (err) {
#define PCL_ERR_CASE(name, value, retry, text)                                                     \
    case value:                                                                                    \
        return PCL_RETRY_##retry;
        PCL_ERR_LIST(PCL_ERR_CASE)
#undef PCL_ERR_CASE
    default:
        return PCL_RETRY_NEVER;
    }
}

const char *pcl_retry_text(int retry)
{
    switch (retry) {
    case PCL_RETRY_SAFE:
        return "safe";
    case PCL_RETRY_UNSAFE:
        return "unsafe";
    default:
        return "never";
    }
}
