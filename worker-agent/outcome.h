/* outcome.h - the agent's rule of what a failure means to the client.  Pure.
 *
 * The client's question is always the same: may I send it again?  `safe` is
 * only said when nothing ran, it is certain that the server rolled all of it back, or
 * the statement was a read.
 */
#ifndef PCL_WORKER_AGENT_OUTCOME_H
#define PCL_WORKER_AGENT_OUTCOME_H

#include "common/error.h"
#include "sql/classify.h"
#include "wire/report.h"
#include "wire/request.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct pcl_outcome {
    pcl_err err;
    pcl_retry retry;
    bool node_fault; /* the node's own reason: it cannot be reached, ended the connection, is short
                        of something, or answers nobody.  Nothing that a statement can bring
                        about or that is one account's, and no full queue of ours: that is load */
    bool broken;     /* the connection cannot be used any more */
} pcl_outcome;

/* Whether the watchdog fired at a statement, and why. */
typedef enum pcl_ending {
    PCL_ENDING_NONE = 0, /* it did not */
    PCL_ENDING_DEADLINE,
    PCL_ENDING_CANCELLED,
} pcl_ending;

/* How far the statement had come when it failed. */
typedef enum pcl_stage {
    PCL_STAGE_CONNECT = 0, /* nothing was sent */
    PCL_STAGE_PREPARE,     /* the server had the text, and did not run it */
    PCL_STAGE_EXECUTE,     /* it may have run */
} pcl_stage;

/* Of a failure with MySQL's errno (server's or client library's).  rolled_back:
 * pcl_may_be_rolled_back, and the server was asked and has rolled back every table.  What was
 * interrupted never is: rows of a table without transactions stay as far as the statement came. */
pcl_outcome pcl_outcome_of_error(pcl_stage stage, uint8_t sql_class, uint32_t mysql_errno,
                                 pcl_ending ending, bool rolled_back);

/* A failure of which it is worth asking.  A CALL may have committed on its
 * way, and DDL commits by itself. */
bool pcl_may_be_rolled_back(pcl_stage stage, uint8_t sql_class, uint32_t mysql_errno);

/* Of a success: OK, unless our watchdog had fired.  Then nobody waits; a
 * read may show what the KILL left of it (SLEEP() returns 1), and a write may
 * wait for an acknowledgement that never came. */
pcl_outcome pcl_outcome_of_success(uint8_t sql_class, pcl_ending ending);

/* Of what our watchdog ended, or what was given up at its deadline or when it was cancelled.
 * traceless: nothing of it can stand.  ending is not NONE. */
pcl_outcome pcl_outcome_of_ending(pcl_ending ending, bool traceless);

/* Of an error at COMMIT: whether any of it stands is not known, unless the server says that it
 * rolled all of it back. */
pcl_outcome pcl_outcome_of_commit(uint32_t mysql_errno, pcl_ending ending);

/* Of a statement of a transaction in one request, or of its START TRANSACTION, before the COMMIT
 * was sent.  traceless: nothing was changed before, or the server has rolled all of it back. */
pcl_outcome pcl_outcome_in_txn(pcl_stage stage, uint32_t mysql_errno, pcl_ending ending,
                               bool traceless);

/* A deadlock or a wait for a lock that took too long: what was rolled back for certain may be run
 * again at once. */
bool pcl_errno_is_contention(uint32_t mysql_errno);

/* After a statement that failed in a transaction which is open no more: may the transaction have
 * ended only by the server's own will?  Not where the statement itself ends one. */
bool pcl_class_may_not_end(uint8_t sql_class);

/* Of a request that has not come back at its deadline.  What begin opens is closed when it comes
 * back, and what close and rollback leave behind is what they were asked for; a page that fetch
 * took cannot be had again.  node_answers: the database does answer the agent's own questions; then
 * the statement is one that a KILL ends late, and says nothing of the node. */
pcl_outcome pcl_outcome_of_silence(pcl_op op, uint8_t sql_class, bool node_answers);

/* True when the connection was lost, or never there. */
bool pcl_errno_is_loss(uint32_t mysql_errno);

/* True when the server refuses the account itself: its password was changed, it is
 * expired or gone.  Setting the accounts up again mends that. */
bool pcl_errno_is_refusal(uint32_t mysql_errno);

/* Errors of the server that the agent reacts to. */
#define PCL_ER_CON_COUNT            1040u
#define PCL_ER_DB_ACCESS            1044u
#define PCL_ER_ACCESS_DENIED        1045u
#define PCL_ER_NO_DB                1046u
#define PCL_ER_BAD_DB               1049u
#define PCL_ER_NOT_ROLLED_BACK      1196u
#define PCL_ER_LOCK_WAIT            1205u
#define PCL_ER_INTERRUPTED          1317u
#define PCL_ER_DEADLOCK             1213u
#define PCL_ER_UNSUPPORTED_PS       1295u
#define PCL_ER_MAX_PREPARED         1461u
#define PCL_ER_NO_CONVERSION        3988u /* MySQL: of a text into a character set */
#define PCL_CR_NEW_STMT_METADATA    2057u
#define PCL_CR_NET_PACKET_TOO_LARGE 2020u

#endif
