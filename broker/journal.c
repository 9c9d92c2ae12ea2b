#include "broker/actor.h"

#include "common/clock.h"
#include "net/file.h"
#include "net/time.h"
#include "sql/classify.h"
#include "wire/reply.h"
#include "wire/token.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define HEAD_EVERY_US (60 * PCL_US_PER_S)

enum {
    KEY_FILE_SIZE_MAX = 256,
    RULES_SIZE = 256,                /* names of rules, blanks between */
    TOKEN_REPLY_SIZE_MAX = 1u << 20, /* the reply to a write whose token the line has */
    MUTE_LINES_MAX = 200,            /* a second, of what nobody's rate bounds; see README.md */
};

/* --- Life -------------------------------------------------------------------- */

/* In a buffer, which can be wiped. */
static bool s_read_key(const char *file, pcl_buffer *out_key, char *error, size_t error_size)
{
    static const uint8_t none[PCL_AUDIT_KEY_SIZE];
    pcl_buffer text;
    pcl_buffer_put(out_key, none, sizeof none);
    pcl_buffer_init(&text, KEY_FILE_SIZE_MAX);
    bool good = pcl_file_read(&text, file, PCL_FILE_SECRET, error, error_size);
    if (good && (out_key->failed || !pcl_audit_key_read(pcl_buffer_bytes(&text), out_key->data))) {
        (void)snprintf(error, error_size, "%s: must hold 64 hexadecimal digits", file);
        good = false;
    }
    pcl_file_wipe(&text);
    return good;
}

bool pcl_broker_open_audit(pcl_broker *self, char *error, size_t error_size)
{
    static const char *const reads[] = {[PCL_AUDIT_READS_LOG] = "log",
                                        [PCL_AUDIT_READS_NEED] = "need",
                                        [PCL_AUDIT_READS_OFF] = "off"};
    const pcl_config *config = self->config;
    const char *folder = pcl_config_text(config, "audit/folder");
    const char *key_file = pcl_config_text(config, "audit/key_file");
    for (size_t index = 0; index < sizeof reads / sizeof reads[0]; index++) {
        if (strcmp(pcl_config_text(config, "audit/reads"), reads[index]) == 0) {
            self->audit_reads = (pcl_audit_reads)index;
        }
    }
    self->mute_limit = pcl_log_limit_of(MUTE_LINES_MAX);
    self->flood_limit = pcl_log_limit_of(MUTE_LINES_MAX);
    if (folder[0] == '\0') {
        return true;
    }
    pcl_buffer key;
    pcl_buffer_init(&key, PCL_AUDIT_KEY_SIZE);
    if (key_file[0] != '\0' && !s_read_key(key_file, &key, error, error_size)) {
        pcl_file_wipe(&key);
        return false;
    }
    bool each = strcmp(pcl_config_text(config, "audit/sync"), "each") == 0;
    pcl_audit_options options = {
        .folder = folder,
        .sync = each ? PCL_AUDIT_EACH : PCL_AUDIT_BATCH,
        .sync_ms = (uint32_t)pcl_config_uint(config, "audit/sync_ms"),
        .size_max = pcl_config_uint(config, "audit/size_max"),
        .keep = (uint32_t)pcl_config_uint(config, "audit/keep"),
        .queue_size = pcl_config_uint(config, "audit/queue_size"),
        .key = key_file[0] != '\0' ? key.data : NULL,
    };
    self->audit = pcl_audit_open(&options, error, error_size);
    pcl_file_wipe(&key);
    if (self->audit != NULL) {
        pcl_log(PCL_LOG_INFO, PCL_BROKER_WHO, "audit_opened", "folder=\"%s\" notice=\"%s\"", folder,
                pcl_audit_notice(self->audit));
    }
    return self->audit != NULL;
}

/* --- Records ----------------------------------------------------------------- */

/* What a line borrows from. */
typedef struct texts {
    char digest[PCL_DIGEST_ID_TEXT_SIZE];
    char dry_run[RULES_SIZE];
} texts;

static const char *s_rules(uint32_t rules, char *text, size_t text_size)
{
    size_t used = 0;
    text[0] = '\0';
    for (int rule = 0; rule < PCL_POLICY_RULE_COUNT && used < text_size; rule++) {
        if ((rules & (1u << rule)) != 0) {
            int count = snprintf(text + used, text_size - used, "%s%s", used > 0 ? " " : "",
                                 pcl_policy_rule_text((pcl_policy_rule)rule));
            used += count > 0 ? (size_t)count : 0;
        }
    }
    return text;
}

static void s_fill_work(const pcl_broker *self, uint32_t index, texts *borrowed,
                        pcl_audit_record *record)
{
    const pcl_work *work = pcl_works_at(self->works, index);
    record->peer = pcl_bytes_text(work->peer);
    record->role = pcl_bytes_text(work->role);
    record->sealed = work->sealed;
    if (work->rule != PCL_POLICY_RULE_NONE) {
        record->rule = pcl_bytes_text(pcl_policy_rule_text(work->rule));
    }
    if (!work->judged) {
        return;
    }
    record->strategy = pcl_bytes_text(pcl_strategy_text(work->strategy));
    record->db = pcl_bytes_text(work->db);
    record->has_session = work->has_session;
    memcpy(record->session, work->session, sizeof record->session);
    if (work->dry_run != 0) {
        record->dry_run = pcl_bytes_text(
            s_rules(work->dry_run, borrowed->dry_run, sizeof borrowed->dry_run));
    }
    if (work->digest_id != 0) {
        pcl_digest_id_text(work->digest_id, borrowed->digest);
        record->digest = pcl_bytes_text(borrowed->digest);
        record->digest_text = pcl_works_digest(self->works, index);
    }
}

/* All but kind and outcome. */
static pcl_audit_record s_record(const pcl_broker *self, const pcl_relay_entry *entry,
                                 uint32_t work, texts *borrowed)
{
    pcl_audit_record record = {
        .time_us = pcl_wall_us(),
        .has_id = entry->has_id,
        .principal = pcl_bytes_text(entry->principal),
        .op = pcl_bytes_text(pcl_op_text(entry->op)),
    };
    memcpy(record.id, entry->id, sizeof record.id);
    if (entry->sql_class != PCL_SQL_NONE) {
        record.sql_class = pcl_bytes_text(pcl_sql_class_text((pcl_sql_class)entry->sql_class));
    }
    if (work != PCL_RELAY_OWNER_NONE) {
        s_fill_work(self, work, borrowed, &record);
    } else if (self->refusing != PCL_POLICY_RULE_NONE) {
        record.rule = pcl_bytes_text(pcl_policy_rule_text(self->refusing));
    }
    return record;
}

bool pcl_broker_audit_first(const pcl_broker *self, const pcl_relay_entry *entry)
{
    return self->audit != NULL && entry->sql_class != PCL_SQL_NONE &&
           entry->sql_class != PCL_SQL_READ;
}

/* Each statement of a txn has a line of its own. */
static bool s_start_statements(pcl_broker *self, const pcl_audit_record *of, pcl_bytes payload)
{
    pcl_request request;
    pcl_fault fault;
    if (pcl_request_decode(&request, payload, &fault, NULL, NULL) != PCL_ERR_OK) {
        return false;
    }
    bool taken = true;
    pcl_statements statements = pcl_request_statements(&request);
    pcl_statement statement;
    for (uint32_t index = 0; taken && pcl_statements_next(&statements, &statement); index++) {
        char digest[PCL_DIGEST_ID_TEXT_SIZE];
        pcl_sql_judged judged = pcl_sql_cache_judge(self->cache, statement.sql);
        pcl_digest_id_text(pcl_digest_id(judged.digest), digest);
        pcl_audit_record record = {
            .time_us = of->time_us,
            .kind = PCL_AUDIT_STATEMENT,
            .has_id = of->has_id,
            .principal = of->principal,
            .sql_class = pcl_bytes_text(pcl_sql_class_text(judged.verdict.sql_class)),
            .digest = pcl_bytes_text(digest),
            .digest_text = judged.digest,
            .has_statement = true,
            .statement = index,
        };
        memcpy(record.id, of->id, sizeof record.id);
        taken = pcl_audit_append(self->audit, &record) != 0;
    }
    return taken;
}

uint64_t pcl_broker_audit_start(pcl_broker *self, const pcl_relay_entry *entry, uint32_t work,
                                pcl_bytes payload)
{
    texts borrowed;
    pcl_audit_record record = s_record(self, entry, work, &borrowed);
    record.kind = PCL_AUDIT_START;
    record.code = pcl_bytes_text(pcl_err_code(PCL_ERR_OK));
    if (entry->op == PCL_OP_TXN && !s_start_statements(self, &record, payload)) {
        return 0;
    }
    uint64_t position = pcl_audit_append(self->audit, &record);
    pcl_works_at(self->works, work)->started = position != 0;
    return position;
}

bool pcl_broker_audit_takes_reads(const pcl_broker *self)
{
    return self->audit == NULL || self->audit_reads != PCL_AUDIT_READS_NEED ||
           pcl_audit_get_state(self->audit, NULL, 0) == PCL_AUDIT_FINE;
}

/* Whether there is to be a line for it at all. */
static bool s_is_told(pcl_broker *self, const pcl_relay_entry *entry, const pcl_work *work,
                      uint64_t now_us)
{
    bool proved = work != NULL && work->judged; /* else nobody's rate bounds it */
    if (!proved || work->unbounded) {
        bool taken = pcl_log_limit_take(proved ? &self->flood_limit : &self->mute_limit, now_us);
        pcl_metric_add(self->metrics.audit_muted, taken ? 0 : 1);
        return taken;
    }
    return self->audit_reads != PCL_AUDIT_READS_OFF || work->rule != PCL_POLICY_RULE_NONE ||
           pcl_broker_audit_first(self, entry);
}

/* Where it stands in the database's log, which is what a reader of the audit looks for. */
static pcl_bytes s_position(pcl_bytes token)
{
    uint8_t mac[PCL_TOKEN_MAC_SIZE];
    pcl_bytes position;
    return pcl_token_read(token, mac, &position) ? position : token;
}

void pcl_broker_audit_end(pcl_broker *self, const pcl_relay_entry *entry, pcl_relay_reply *reply,
                          uint64_t now_us)
{
    const pcl_work *work = entry->work == PCL_RELAY_OWNER_NONE
                               ? NULL
                               : pcl_works_at(self->works, entry->work);
    bool started = work != NULL && work->started;
    if (self->audit == NULL || (!started && !s_is_told(self, entry, work, now_us))) {
        return;
    }
    texts borrowed;
    pcl_audit_record record = s_record(self, entry, entry->work, &borrowed);
    record.kind = started ? PCL_AUDIT_END : PCL_AUDIT_DONE;
    record.code = pcl_bytes_text(pcl_err_code((int)reply->code));
    record.node = pcl_bytes_text(reply->node);
    record.has_rows = reply->node[0] != '\0';
    record.rows = reply->rows;
    record.has_took = true;
    record.took_us = pcl_time_since_us(entry->arrived_us, now_us);
    pcl_reply decoded;
    if (started && zmq_msg_size(&reply->payload) <= TOKEN_REPLY_SIZE_MAX &&
        pcl_reply_decode(&decoded, pcl_frame_bytes(&reply->payload)) == PCL_ERR_OK) {
        record.token = s_position(decoded.token);
        record.has_statement = decoded.has_error_statement;
        record.statement = decoded.error_statement;
    }
    (void)pcl_audit_append(self->audit, &record); /* what is lost is counted there, in a GAP line */
}

void pcl_broker_audit_event(pcl_broker *self, const char *word, const char *principal)
{
    if (self->audit != NULL) {
        pcl_audit_record record = {
            .time_us = pcl_wall_us(),
            .kind = PCL_AUDIT_EVENT,
            .principal = pcl_bytes_text(principal),
            .rule = pcl_bytes_text(word),
        };
        (void)pcl_audit_append(self->audit, &record); /* likewise */
    }
}

/* --- State ------------------------------------------------------------------- */

static void s_note_state(pcl_broker *self)
{
    char reason[PCL_BROKER_MESSAGE_MAX] = "";
    pcl_audit_state state = pcl_audit_get_state(self->audit, reason, sizeof reason);
    if (state == self->audit_state) {
        return;
    }
    self->audit_state = state;
    pcl_log(state == PCL_AUDIT_FINE ? PCL_LOG_INFO : PCL_LOG_ERROR, PCL_BROKER_WHO, "audit",
            "state=%s reason=\"%s\"",
            state == PCL_AUDIT_FINE      ? "fine"
            : state == PCL_AUDIT_WAITING ? "waiting"
                                         : "broken",
            reason);
    if (state == PCL_AUDIT_BROKEN) {
        pcl_loop_stop(self->loop); /* the daemon ends with an error */
    }
}

bool pcl_broker_on_audit(void *context, uint64_t now_us)
{
    pcl_broker *self = context;
    pcl_audit_clear(self->audit);
    s_note_state(self);
    pcl_broker_pump_sure(self, now_us);
    return false;
}

/* What `portcullis audit verify --expect-head` is given later. */
static void s_log_head(pcl_broker *self)
{
    pcl_audit_counts counts = pcl_audit_count(self->audit);
    if (counts.sequence > 0) {
        char head[PCL_AUDIT_HASH_TEXT + 1];
        for (size_t index = 0; index < sizeof counts.head; index++) {
            (void)snprintf(head + 2 * index, 3, "%02x", counts.head[index]);
        }
        pcl_log(PCL_LOG_INFO, PCL_BROKER_WHO, "audit_head", "seq=%" PRIu64 " chain=%s",
                counts.sequence, head);
    }
}

void pcl_broker_audit_tick(pcl_broker *self, uint64_t now_us)
{
    if (self->audit != NULL && now_us >= self->head_due_us) {
        s_log_head(self); /* the first time at the start */
        self->head_due_us = now_us + HEAD_EVERY_US;
    }
}

void pcl_broker_close_audit(pcl_broker *self)
{
    if (self->audit != NULL) {
        pcl_audit_finish(self->audit);
        s_log_head(self);
        pcl_audit_destroy(&self->audit);
    }
}
