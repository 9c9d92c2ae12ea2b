#include "worker-agent/outcome.h"

#define ER_OUTOFMEMORY          1037u
#define ER_OUT_OF_SORTMEMORY    1038u
#define ER_DISK_FULL            1021u
#define ER_ACCESS_DENIED        1045u
#define ER_SERVER_SHUTDOWN      1053u
#define ER_NEW_ABORTING         1184u
#define ER_TOO_MANY_USER        1203u
#define ER_QUERY_INTERRUPTED    1317u
#define ER_NO_PASSWORD          1698u
#define ER_PASSWORD_EXPIRED     1862u
#define ER_CONNECTION_KILLED    1927u /* MariaDB */
#define ER_STATEMENT_TIMEOUT    1969u /* MariaDB */
#define ER_QUERY_TIMEOUT        3024u /* MySQL */
#define ER_SESSION_WAS_KILLED   3169u /* MySQL */
#define ER_CLIENT_TIMEOUT       4031u /* MySQL: the idle session was ended */
#define CR_ERROR_FIRST          2000u
#define CR_ERROR_LAST           2999u
#define CR_OUT_OF_MEMORY        2008u
#define CR_COMMANDS_OUT_OF_SYNC 2014u

bool pcl_errno_is_loss(uint32_t mysql_errno)
{
    switch (mysql_errno) {
    case ER_SERVER_SHUTDOWN:
    case ER_NEW_ABORTING:
    case ER_CONNECTION_KILLED:
    case ER_SESSION_WAS_KILLED:
    case ER_CLIENT_TIMEOUT:
        return true;
    case PCL_CR_NEW_STMT_METADATA:
    case PCL_CR_NET_PACKET_TOO_LARGE:
    case CR_OUT_OF_MEMORY:
        return false;
    default:
        break;
    }
    return mysql_errno >= CR_ERROR_FIRST && mysql_errno <= CR_ERROR_LAST;
}

static bool s_is_interruption(uint32_t mysql_errno)
{
    return mysql_errno == ER_QUERY_INTERRUPTED || mysql_errno == ER_STATEMENT_TIMEOUT ||
           mysql_errno == ER_QUERY_TIMEOUT;
}

static pcl_retry s_safe_if(bool condition)
{
    return condition ? PCL_RETRY_SAFE : PCL_RETRY_UNSAFE;
}

bool pcl_errno_is_refusal(uint32_t mysql_errno)
{
    return mysql_errno == ER_ACCESS_DENIED || mysql_errno == PCL_ER_DB_ACCESS ||
           mysql_errno == ER_NO_PASSWORD || mysql_errno == ER_PASSWORD_EXPIRED;
}

bool pcl_may_be_rolled_back(pcl_stage stage, uint8_t sql_class, uint32_t mysql_errno)
{
    bool single = sql_class == PCL_SQL_LOCKING_READ || sql_class == PCL_SQL_WRITE;
    bool rolls_back = mysql_errno == PCL_ER_DEADLOCK || mysql_errno == PCL_ER_LOCK_WAIT;
    return stage == PCL_STAGE_EXECUTE && single && rolls_back;
}

static pcl_outcome s_loss(pcl_stage stage, bool is_read, bool killed)
{
    bool safe = is_read || stage != PCL_STAGE_EXECUTE;
    if (killed) {
        return (pcl_outcome){.err = PCL_ERR_DEADLINE, .retry = s_safe_if(safe), .broken = true};
    }
    return (pcl_outcome){.err = stage == PCL_STAGE_CONNECT ? PCL_ERR_NO_NODE : PCL_ERR_LOST,
                         .retry = s_safe_if(safe),
                         .node_fault = true,
                         .broken = true};
}

pcl_outcome pcl_outcome_of_error(pcl_stage stage, uint8_t sql_class, uint32_t mysql_errno,
                                 bool killed, bool rolled_back)
{
    bool is_read = pcl_sql_is_read((pcl_sql_class)sql_class);
    bool unstarted = stage != PCL_STAGE_EXECUTE;
    if (pcl_errno_is_loss(mysql_errno)) {
        return s_loss(stage, is_read, killed);
    }
    if (s_is_interruption(mysql_errno)) {
        return (pcl_outcome){.err = killed ? PCL_ERR_DEADLINE : PCL_ERR_SQL,
                             .retry = s_safe_if(unstarted || is_read)};
    }
    switch (mysql_errno) {
    case PCL_ER_DEADLOCK:
    case PCL_ER_LOCK_WAIT:
        return (pcl_outcome){.err = PCL_ERR_SQL,
                             .retry = s_safe_if(unstarted || is_read || rolled_back)};
    case PCL_ER_CON_COUNT:
    case ER_TOO_MANY_USER:
    case PCL_ER_MAX_PREPARED:
        return (pcl_outcome){.err = PCL_ERR_OVERLOADED,
                             .retry = s_safe_if(unstarted || is_read),
                             .node_fault = true};
    case ER_OUTOFMEMORY:
    case ER_OUT_OF_SORTMEMORY:
    case ER_DISK_FULL:
    case CR_OUT_OF_MEMORY:
        return (pcl_outcome){.err = PCL_ERR_SQL,
                             .retry = s_safe_if(is_read),
                             .node_fault = true,
                             .broken = mysql_errno == CR_OUT_OF_MEMORY};
    case PCL_CR_NET_PACKET_TOO_LARGE:
        return (pcl_outcome){.err = PCL_ERR_TOO_LARGE,
                             .retry = is_read ? PCL_RETRY_NEVER : PCL_RETRY_UNSAFE,
                             .broken = true};
    case PCL_CR_NEW_STMT_METADATA:
        return (pcl_outcome){.err = PCL_ERR_INTERNAL, .retry = s_safe_if(is_read), .broken = true};
    default:
        break;
    }
    if (stage == PCL_STAGE_CONNECT) { /* the server refuses the agent itself */
        return (pcl_outcome){.err = PCL_ERR_NO_NODE, .retry = PCL_RETRY_SAFE, .node_fault = true};
    }
    return (pcl_outcome){.err = PCL_ERR_SQL, .retry = PCL_RETRY_NEVER};
}

pcl_outcome pcl_outcome_of_success(uint8_t sql_class, bool killed)
{
    return killed ? pcl_outcome_of_silence(sql_class) : (pcl_outcome){.err = PCL_ERR_OK};
}

pcl_outcome pcl_outcome_of_silence(uint8_t sql_class)
{
    return (pcl_outcome){.err = PCL_ERR_DEADLINE,
                         .retry = s_safe_if(pcl_sql_is_read((pcl_sql_class)sql_class))};
}
