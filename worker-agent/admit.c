#include "worker-agent/admit.h"

static pcl_err s_refuse(pcl_err err, const char *reason, const char **out_reason)
{
    *out_reason = reason;
    return err;
}

/* Of what opens something or stands alone. */
static pcl_err s_admit_new(const pcl_admission *node, bool read, const char **out_reason)
{
    if (node->draining) {
        return s_refuse(PCL_ERR_DRAINING, "the agent is shutting down", out_reason);
    }
    if (!node->ready) {
        return s_refuse(PCL_ERR_NO_NODE, "the node's database is not ready", out_reason);
    }
    if (!read && !node->source) {
        return s_refuse(PCL_ERR_NO_NODE, "the node is not the source", out_reason);
    }
    if (!read && node->read_only) {
        return s_refuse(PCL_ERR_NO_NODE, "the node is read-only", out_reason);
    }
    if (!read && node->other_term) {
        return s_refuse(PCL_ERR_NO_NODE, "the source has changed", out_reason);
    }
    return PCL_ERR_OK;
}

static pcl_err s_admit_in_session(const pcl_errand *errand, const char **out_reason)
{
    uint8_t sql_class = errand->sql_class;
    if (sql_class < PCL_SQL_READ || sql_class > PCL_SQL_STATE) {
        return s_refuse(PCL_ERR_UNSUPPORTED, "a session runs no statements of this class",
                        out_reason);
    }
    bool fits = sql_class == PCL_SQL_READ || sql_class == PCL_SQL_TRANSACTION ||
                sql_class == PCL_SQL_STATE;
    if (errand->session_read_only && !fits) {
        return s_refuse(PCL_ERR_REFUSED, "the session is read-only", out_reason);
    }
    return PCL_ERR_OK;
}

pcl_err pcl_admit(const pcl_admission *node, const pcl_errand *errand, const char **out_reason)
{
    *out_reason = "";
    uint8_t sql_class = errand->sql_class;
    bool read = pcl_sql_is_read((pcl_sql_class)sql_class);
    switch (errand->op) {
    case PCL_OP_QUERY:
        if (errand->in_session) {
            return s_admit_in_session(errand, out_reason);
        }
        if (sql_class < PCL_SQL_READ || sql_class > PCL_SQL_DDL) {
            return s_refuse(PCL_ERR_UNSUPPORTED,
                            "outside a session an agent runs reads, writes, calls and DDL only",
                            out_reason);
        }
        return s_admit_new(node, read, out_reason);
    case PCL_OP_BEGIN:
        return s_admit_new(node, read, out_reason);
    case PCL_OP_TXN:
        return s_admit_new(node, false, out_reason);
    case PCL_OP_COMMIT:
    case PCL_OP_ROLLBACK:
    case PCL_OP_FETCH:
    case PCL_OP_CLOSE:
        return PCL_ERR_OK;
    case PCL_OP_CANCEL:
    case PCL_OP_PING:
    case PCL_OP_STATUS:
    case PCL_OP_ADMIN:
    case PCL_OP_COUNT:
        break;
    }
    return s_refuse(PCL_ERR_UNSUPPORTED, "an agent runs statements only", out_reason);
}
