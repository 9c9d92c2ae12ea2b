#include "worker-agent/received.h"

#include "net/time.h"
#include "wire/gtid.h"
#include "worker-agent/outcome.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FILE_SIZE_MAX = 512,  /* of a relay log's name */
    FILES_MAX = 1000000,  /* their numbers have six digits */
    GTID_TEXT_SIZE = 64,  /* of one */
    SOURCE_TIMEOUT_S = 1, /* until a source is taken for gone */
};

/* What stands in the relay logs behind what was executed. */
typedef struct backlog {
    pcl_bytes applied;          /* gtid_slave_pos; borrowed */
    char group[GTID_TEXT_SIZE]; /* the one that is being read; "": none */
    bool alone;                 /* ... is one statement, and has no COMMIT */
    char group_file[FILE_SIZE_MAX];
    uint64_t group_at;
    bool found; /* a whole one that was not executed, the first of which begins here: */
    char file[FILE_SIZE_MAX];
    uint64_t at;
} backlog;

static void s_end_group(backlog *self)
{
    if (self->group[0] != '\0' && !self->found &&
        !pcl_gtid_reaches(self->applied, pcl_bytes_text(self->group))) {
        self->found = true;
        memcpy(self->file, self->group_file, sizeof self->file);
        self->at = self->group_at;
    }
    self->group[0] = '\0';
}

/* A row is Log_name, Pos, Event_type, Server_id, End_log_pos, Info; the Info of a Gtid is
 * "BEGIN GTID 0-1-42", or "GTID 0-1-42" of a statement that stands alone; flags may follow. */
static void s_take_event(backlog *self, const char *file, MYSQL_ROW row)
{
    const char *kind = row[2] != NULL ? row[2] : "";
    const char *info = row[5] != NULL ? row[5] : "";
    if (strcmp(kind, "Gtid") == 0) {
        const char *gtid = strstr(info, "GTID ");
        s_end_group(self);
        self->alone = gtid == info;
        gtid = gtid != NULL ? gtid + strlen("GTID ") : "";
        (void)snprintf(self->group, sizeof self->group, "%.*s", (int)strcspn(gtid, " "), gtid);
        (void)snprintf(self->group_file, sizeof self->group_file, "%s", file);
        self->group_at = strtoull(row[1] != NULL ? row[1] : "", NULL, 10);
    } else if (strcmp(kind, "Xid") == 0 ||
               (strcmp(kind, "Query") == 0 && (self->alone || strcmp(info, "COMMIT") == 0))) {
        s_end_group(self);
    }
}

/* *out_there: there is such a file.  One whose end a crash has cut off is read up to there. */
static bool s_read_file(MYSQL *mysql, const char *file, backlog *self, bool *out_there,
                        pcl_sql_error *out_error)
{
    char quoted[2 * FILE_SIZE_MAX];
    char sql[sizeof quoted + 64];
    (void)mysql_real_escape_string(mysql, quoted, file, (unsigned long)strlen(file));
    (void)snprintf(sql, sizeof sql, "SHOW RELAYLOG EVENTS IN '%s'", quoted);
    *out_there = false;
    MYSQL_RES *result = NULL;
    if (mysql_query(mysql, sql) == 0 && (result = mysql_use_result(mysql)) != NULL) {
        MYSQL_ROW row = NULL;
        /* To its end, though the first may be found: the connection is to be used again. */
        while ((row = mysql_fetch_row(result)) != NULL) {
            *out_there = true;
            s_take_event(self, file, row);
        }
    }
    bool answered = mysql_errno(mysql) < 2000 || mysql_errno(mysql) >= 3000;
    if (!answered) {
        pcl_sql_error_of(out_error, mysql);
    }
    mysql_free_result(result);
    return answered;
}

/* Of this file and those after it: no list of them is to be had from the server. */
static bool s_read_files(MYSQL *mysql, const char *first, backlog *self, pcl_sql_error *out_error)
{
    const char *dot = strrchr(first, '.');
    uint32_t number = dot != NULL ? (uint32_t)strtoul(dot + 1, NULL, 10) : 0;
    bool there = dot != NULL;
    for (; there && !self->found && number < FILES_MAX; number++) {
        char file[FILE_SIZE_MAX];
        (void)snprintf(file, sizeof file, "%.*s.%06" PRIu32, (int)(dot - first), first, number);
        if (!s_read_file(mysql, file, self, &there, out_error)) {
            return false;
        }
    }
    return true;
}

static bool s_find_backlog(MYSQL *mysql, const char *first, backlog *out_backlog,
                           pcl_sql_error *out_error)
{
    pcl_row row;
    if (!pcl_query_row(mysql, "SELECT @@global.gtid_slave_pos AS applied", &row, out_error)) {
        return false;
    }
    *out_backlog = (backlog){.applied = pcl_bytes_text(pcl_row_text(&row, "applied"))};
    bool read = s_read_files(mysql, first, out_backlog, out_error);
    out_backlog->applied = pcl_bytes_of(NULL, 0);
    pcl_row_free(&row);
    return read;
}

/* It answers, be it with a refusal: then it lives, and what it has sent it has still. */
static bool s_source_answers(const pcl_agent_options *options)
{
    unsigned int timeout_s = SOURCE_TIMEOUT_S;
    MYSQL *mysql = mysql_init(NULL);
    if (mysql == NULL) {
        return false;
    }
    (void)mysql_options(mysql, MYSQL_OPT_CONNECT_TIMEOUT, &timeout_s);
    (void)mysql_options(mysql, MYSQL_OPT_READ_TIMEOUT, &timeout_s);
    (void)mysql_options(mysql, MYSQL_OPT_WRITE_TIMEOUT, &timeout_s);
    pcl_password password;
    pcl_keyring_password(options->keyring, PCL_PLACE_REPLICATION, &password);
    bool in = mysql_real_connect(mysql, options->source_host, PCL_USER_REPLICATION, password.now,
                                 NULL, options->source_port, NULL, 0) != NULL;
    pcl_password_wipe(&password);
    bool answers = in || mysql_errno(mysql) < 2000 || mysql_errno(mysql) >= 3000;
    mysql_close(mysql);
    return answers;
}

/* The name of the source's log is none of its own: a server that has none to compare with that of
 * an event does not live through it (10.11). */
static bool s_execute(MYSQL *mysql, const pcl_flavor_ops *flavor, const backlog *found,
                      pcl_sql_error *out_error)
{
    char quoted[2 * FILE_SIZE_MAX];
    char sql[sizeof quoted + 256];
    (void)mysql_real_escape_string(mysql, quoted, found->file, (unsigned long)strlen(found->file));
    (void)snprintf(sql, sizeof sql,
                   "CHANGE MASTER TO MASTER_USE_GTID=no, MASTER_LOG_FILE='source.000001',"
                   " MASTER_LOG_POS=4, RELAY_LOG_FILE='%s', RELAY_LOG_POS=%" PRIu64,
                   quoted, found->at);
    return pcl_query_run(mysql, sql, out_error) &&
           pcl_query_run_all(mysql, flavor->parallel, out_error) &&
           pcl_query_run(mysql, "START SLAVE SQL_THREAD", out_error);
}

typedef struct standing {
    bool receives, executes; /* the two threads, be it in vain */
    bool by_gtid;
    uint32_t failed; /* the errno that ended the one that executes; 0: none */
    char file[FILE_SIZE_MAX];
} standing;

static bool s_look(MYSQL *mysql, const pcl_flavor_ops *flavor, standing *out_standing,
                   pcl_sql_error *out_error)
{
    pcl_row row;
    if (!pcl_query_row(mysql, flavor->replication_sql, &row, out_error)) {
        return false;
    }
    *out_standing = (standing){
        .receives = strcmp(pcl_row_text(&row, flavor->io_running), "No") != 0,
        .executes = strcmp(pcl_row_text(&row, flavor->sql_running), "No") != 0,
        .by_gtid = strcmp(pcl_row_text(&row, flavor->uses_gtid), "No") != 0,
        .failed = (uint32_t)pcl_row_uint(&row, "Last_SQL_Errno"),
    };
    (void)snprintf(out_standing->file, sizeof out_standing->file, "%s",
                   pcl_row_text(&row, "Relay_Log_File"));
    pcl_row_free(&row);
    return true;
}

bool pcl_received_settle(MYSQL *mysql, const pcl_flavor_ops *flavor,
                         const pcl_agent_options *options, pcl_sql_error *out_error)
{
    standing now;
    backlog found;
    if (!flavor->deletes_received) {
        return true;
    }
    if (!s_look(mysql, flavor, &now, out_error)) {
        return false;
    }
    if (now.receives || (now.executes && now.by_gtid)) {
        return true;
    }
    if (!s_find_backlog(mysql, now.file, &found, out_error)) {
        return false;
    }
    if (!found.found) {
        return !now.executes || pcl_query_run(mysql, flavor->stop, out_error);
    }
    if (!now.executes) {
        if (s_source_answers(options)) {
            return true;
        }
        if (!s_execute(mysql, flavor, &found, out_error)) {
            return false;
        }
    }
    bool failed = !now.executes && !now.by_gtid && now.failed != 0;
    *out_error = (pcl_sql_error){.number = failed ? now.failed : 0};
    (void)snprintf(out_error->message, sizeof out_error->message, "%s",
                   failed ? "what was received cannot be executed, and the source is gone"
                          : "what was received is executed first, since the source is gone");
    return false;
}
