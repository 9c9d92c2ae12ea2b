#include "worker-agent/outcome.h"

#define ER_OUTOFMEMORY          1037u
#define ER_OUT_OF_SORTMEMORY    1038u
#define ER_DISK_FULL            1021u
#define ER_SERVER_SHUTDOWN      1053u
#define ER_NEW_ABORTING         1184u
#define ER_TOO_MANY_USER        1203u
#define ER_USER_LIMIT           1226u
#define ER_NO_PASSWORD          1698u
#define ER_PASSWORD_EXPIRED     1862u
#define ER_LOCKED               3118u
#define ER_LOCKED_MARIADB       4151u
#define ER_CONNECTION_KILLED    1927u /* MariaDB */
#define ER_STATEMENT_TIMEOUT    1969u /* MariaDB */
#define ER_QUERY_TIMEOUT        3024u /* MySQL */
#define ER_RUN_HOOK             3100u /* MySQL: a KILL met the wait for a replica */
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
    return mysql_errno == PCL_ER_INTERRUPTED || mysql_errno == ER_STATEMENT_TIMEOUT ||
           mysql_errno == ER_QUERY_TIMEOUT || mysql_errno == ER_RUN_HOOK;
}

static pcl_retry s_safe_if(bool condition)
{
    return condition ? PCL_RETRY_SAFE : PCL_RETRY_UNSAFE;
}

bool pcl_errno_is_refusal(uint32_t mysql_errno)
{
    return mysql_errno == PCL_ER_ACCESS_DENIED || mysql_errno == PCL_ER_DB_ACCESS ||
           mysql_errno == ER_NO_PASSWORD || mysql_errno == ER_PASSWORD_EXPIRED ||
           mysql_errno == ER_LOCKED || mysql_errno == ER_LOCKED_MARIADB;
}

bool pcl_may_be_rolled_back(pcl_stage stage, uint8_t sql_class, uint32_t mysql_errno)
{
    bool single = sql_class == PCL_SQL_LOCKING_READ || sql_class == PCL_SQL_WRITE;
    bool rolls_back = mysql_errno == PCL_ER_DEADLOCK || mysql_errno == PCL_ER_LOCK_WAIT;
    return stage == PCL_STAGE_EXECUTE && single && rolls_back;
}

pcl_outcome pcl_outcome_of_ending(pcl_ending ending, bool traceless)
{
    return (pcl_outcome){.err = ending == PCL_ENDING_CANCELLED ? PCL_ERR_CANCELLED
                                                               : PCL_ERR_DEADLINE,
                         .retry = s_safe_if(traceless)};
}

static pcl_outcome s_loss(pcl_stage stage, bool is_read, pcl_ending ending)
{
    bool safe = is_read || stage != PCL_STAGE_EXECUTE;
    if (ending != PCL_ENDING_NONE) {
        pcl_outcome outcome = pcl_outcome_of_ending(ending, safe);
        outcome.broken = true;
        return outcome;
    }
    return (pcl_outcome){.err = stage == PCL_STAGE_CONNECT ? PCL_ERR_NO_NODE : PCL_ERR_LOST,
                         .retry = s_safe_if(safe),
                         .node_fault = true,
                         .broken = true};
}

/* Of one account only: its password, its limits.  Other roles' statements run. */
static bool s_is_of_account(uint32_t mysql_errno)
{
    return pcl_errno_is_refusal(mysql_errno) || mysql_errno == ER_USER_LIMIT;
}

pcl_outcome pcl_outcome_of_error(pcl_stage stage, uint8_t sql_class, uint32_t mysql_errno,
                                 pcl_ending ending, bool rolled_back)
{
    bool is_read = pcl_sql_is_read((pcl_sql_class)sql_class);
    bool unstarted = stage != PCL_STAGE_EXECUTE;
    if (pcl_errno_is_loss(mysql_errno)) {
        return s_loss(stage, is_read, ending);
    }
    if (s_is_interruption(mysql_errno)) {
        if (ending != PCL_ENDING_NONE) {
            return pcl_outcome_of_ending(ending, unstarted || is_read);
        }
        return (pcl_outcome){.err = PCL_ERR_SQL, .retry = s_safe_if(unstarted || is_read)};
    }
    switch (mysql_errno) {
    case PCL_ER_DEADLOCK:
    case PCL_ER_LOCK_WAIT:
        return (pcl_outcome){.err = PCL_ERR_SQL,
                             .retry = s_safe_if(unstarted || is_read || rolled_back)};
    case PCL_ER_CON_COUNT:
    case ER_TOO_MANY_USER:    /* of one account */
    case PCL_ER_MAX_PREPARED: /* sessions may prepare statements of their own */
        return (pcl_outcome){.err = PCL_ERR_OVERLOADED,
                             .retry = s_safe_if(unstarted || is_read),
                             .node_fault = mysql_errno == PCL_ER_CON_COUNT};
    case ER_OUTOFMEMORY:
    case CR_OUT_OF_MEMORY:
    case ER_OUT_OF_SORTMEMORY: /* one large sort is enough for these two: the statement's own */
    case ER_DISK_FULL:
        return (pcl_outcome){.err = PCL_ERR_SQL,
                             .retry = s_safe_if(is_read),
                             .node_fault = mysql_errno != ER_OUT_OF_SORTMEMORY &&
                                           mysql_errno != ER_DISK_FULL,
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
        return (pcl_outcome){.err = PCL_ERR_NO_NODE,
                             .retry = PCL_RETRY_SAFE,
                             .node_fault = !s_is_of_account(mysql_errno)};
    }
    return (pcl_outcome){.err = PCL_ERR_SQL, .retry = PCL_RETRY_NEVER};
}

pcl_outcome pcl_outcome_of_success(uint8_t sql_class, pcl_ending ending)
{
    if (ending == PCL_ENDING_NONE) {
        return (pcl_outcome){.err = PCL_ERR_OK};
    }
    return pcl_outcome_of_ending(ending, pcl_sql_is_read((pcl_sql_class)sql_class));
}

pcl_outcome pcl_outcome_of_silence(pcl_op op, uint8_t sql_class, bool node_answers)
{
    bool read = pcl_sql_is_read((pcl_sql_class)sql_class);
    bool traceless = op == PCL_OP_BEGIN || op == PCL_OP_ROLLBACK || op == PCL_OP_CLOSE ||
                     (op == PCL_OP_QUERY && read);
    pcl_outcome outcome = pcl_outcome_of_ending(PCL_ENDING_DEADLINE, traceless);
    /* What answers the agent is well; undoing a write may take its time. */
    outcome.node_fault = read && !node_answers;
    if (op == PCL_OP_FETCH) {
        outcome.retry = PCL_RETRY_NEVER;
    }
    return outcome;
}

bool pcl_errno_is_contention(uint32_t mysql_errno)
{
    return mysql_errno == PCL_ER_DEADLOCK || mysql_errno == PCL_ER_LOCK_WAIT;
}

pcl_outcome pcl_outcome_of_commit(uint32_t mysql_errno, pcl_ending ending)
{
    if (mysql_errno == PCL_ER_DEADLOCK) { /* a cluster's certification refused it, whole */
        return (pcl_outcome){.err = PCL_ERR_SQL, .retry = PCL_RETRY_SAFE};
    }
    pcl_outcome outcome = pcl_outcome_of_error(PCL_STAGE_EXECUTE, PCL_SQL_TRANSACTION, mysql_errno,
                                               ending, false);
    outcome.retry = PCL_RETRY_UNSAFE;
    return outcome;
}

pcl_outcome pcl_outcome_in_txn(pcl_stage stage, uint32_t mysql_errno, pcl_ending ending,
                               bool traceless)
{
    pcl_outcome outcome = pcl_outcome_of_error(stage, PCL_SQL_WRITE, mysql_errno, ending, false);
    bool passing = outcome.retry != PCL_RETRY_NEVER;
    if (!traceless) {
        outcome.retry = PCL_RETRY_UNSAFE;
    } else if (passing) {
        outcome.retry = PCL_RETRY_SAFE;
    }
    return outcome;
}

bool pcl_class_may_not_end(uint8_t sql_class)
{
    switch ((pcl_sql_class)sql_class) {
    case PCL_SQL_READ:
    case PCL_SQL_LOCKING_READ:
    case PCL_SQL_WRITE:
    case PCL_SQL_CALL: /* it may have; then nothing must follow it blindly either */
        return true;
    case PCL_SQL_NONE:
    case PCL_SQL_DDL:
    case PCL_SQL_TRANSACTION:
    case PCL_SQL_STATE:
    case PCL_SQL_ADMIN:
    case PCL_SQL_REFUSED:
    case PCL_SQL_CLASS_COUNT:
        break;
    }
    return false;
}
