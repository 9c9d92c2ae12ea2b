#include "common/clock.h"
#include "policy/internal.h"
#include "policy/pattern.h"
#include "policy/policy.h"
#include "sql/digest.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* One request on its way through the rules.  Each step says whether the next one is to look. */
typedef struct judgement {
    const pcl_policy_role *role;
    const pcl_digest_list *list; /* NULL: empty */
    const pcl_request *request;
    pcl_sql_cache *cache;
    pcl_buffer *digest;
    bool digest_full;    /* the next statement's digest did not fit any more */
    uint64_t *digest_id; /* of a query's only digest, where the cache keeps it; NULL: nowhere */
    pcl_policy_verdict verdict;
} judgement;

static bool s_refuse(judgement *self, pcl_policy_rule rule, pcl_err err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static bool s_forbid(judgement *self, pcl_policy_rule rule, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static bool s_refuse(judgement *self, pcl_policy_rule rule, pcl_err err, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    self->verdict.err = err;
    self->verdict.rule = rule;
    (void)vsnprintf(self->verdict.message, sizeof self->verdict.message, format, arguments);
    va_end(arguments);
    return false;
}

/* A rule of the role stands against it: FORBIDDEN, unless the rule is on trial. */
static bool s_forbid(judgement *self, pcl_policy_rule rule, const char *format, ...)
{
    pcl_policy_verdict *verdict = &self->verdict;
    bool dry = pcl_policy_is_dry(self->role, rule);
    char message[PCL_POLICY_MESSAGE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    if (!dry) {
        return s_refuse(self, rule, PCL_ERR_FORBIDDEN, "%s", message);
    }
    if (verdict->dry_run == 0) {
        memcpy(verdict->dry_message, message, sizeof message);
    }
    verdict->dry_run |= 1u << rule;
    return true;
}

/* --- Statements ------------------------------------------------------------- */

/* Where the statement stands: "", or "statements[3]." of a txn. */
enum { PLACE_SIZE = 32 };

/* Whether a txn may run it: it neither commits, nor leaves anything behind on its connection, nor
 * does what nobody can see in its text. */
static bool s_fits_txn(pcl_sql_verdict sql)
{
    bool plain = sql.statement_class == PCL_SQL_READ ||
                 sql.statement_class == PCL_SQL_LOCKING_READ ||
                 sql.statement_class == PCL_SQL_WRITE;
    return plain && (sql.sql_class == sql.statement_class || sql.sql_class == PCL_SQL_STATE);
}

/* Whether the role has the statement's classes; else *out_lacking is one that it has not.  A write
 * that uses a user variable is class state, and needs both: or state would be a way around write.
 * So would be a PREPARE, whose text's class is needed, too, and what writes in a state statement.
 */
static bool s_has_classes(const judgement *self, pcl_sql_verdict sql, pcl_sql_class *out_lacking)
{
    bool in_txn = self->request->op == PCL_OP_TXN && s_fits_txn(sql);
    if (!in_txn && (self->role->classes & 1u << sql.sql_class) == 0) {
        *out_lacking = sql.sql_class;
        return false;
    }
    bool prepares = sql.prepared_class != PCL_SQL_NONE;
    if (prepares && (self->role->classes & 1u << sql.prepared_class) == 0) {
        *out_lacking = sql.prepared_class;
        return false;
    }
    bool effect = sql.effect_class != PCL_SQL_NONE;
    if (effect && (self->role->classes & 1u << sql.effect_class) == 0) {
        *out_lacking = sql.effect_class;
        return false;
    }
    *out_lacking = sql.statement_class;
    return (self->role->classes & 1u << sql.statement_class) != 0;
}

static bool s_judge_class(judgement *self, pcl_sql_verdict sql, const char *place)
{
    pcl_sql_class lacking = PCL_SQL_NONE;
    if (s_has_classes(self, sql, &lacking)) {
        return true;
    }
    if (lacking == PCL_SQL_ADMIN) { /* not even on trial */
        return s_refuse(self, PCL_POLICY_RULE_CLASS, PCL_ERR_FORBIDDEN,
                        "%ssql: the role may not run an admin statement", place);
    }
    return s_forbid(self, PCL_POLICY_RULE_CLASS, "%ssql: the role may not run a %s statement",
                    place, pcl_sql_class_text(lacking));
}

static bool s_judge_place(judgement *self, pcl_sql_verdict sql, const char *place)
{
    const pcl_request *request = self->request;
    if (request->op == PCL_OP_TXN && !s_fits_txn(sql)) {
        return s_refuse(self, PCL_POLICY_RULE_OP, PCL_ERR_UNSUPPORTED,
                        "%ssql: a %s statement cannot stand in a txn (%s)", place,
                        pcl_sql_class_text(sql.sql_class), sql.rule);
    }
    bool of_session = sql.sql_class == PCL_SQL_TRANSACTION || sql.sql_class == PCL_SQL_STATE;
    if (request->op == PCL_OP_QUERY && of_session && !request->has_session) {
        return s_refuse(self, PCL_POLICY_RULE_OP, PCL_ERR_UNSUPPORTED,
                        "%ssql: a %s statement needs a session", place,
                        pcl_sql_class_text(sql.sql_class));
    }
    return true;
}

/* All PREPAREs have the same digest, whatever they prepare: to allow it would be to allow all. */
static bool s_judge_prepare(judgement *self, const char *place)
{
    return self->role->digests != PCL_POLICY_DIGESTS_PROTECT ||
           s_forbid(self, PCL_POLICY_RULE_DIGEST, "%ssql: PREPARE can be on no list", place);
}

static bool s_judge_digest(judgement *self, pcl_bytes digest, const char *place)
{
    if (self->role->digests == PCL_POLICY_DIGESTS_OFF) {
        return true;
    }
    pcl_digest_state state = self->list == NULL ? PCL_DIGEST_UNKNOWN
                                                : pcl_digest_list_find(self->list, digest);
    if (state == PCL_DIGEST_ALLOWED) {
        return true;
    }
    self->verdict.digest_unknown = true;
    return self->role->digests == PCL_POLICY_DIGESTS_DETECT ||
           s_forbid(self, PCL_POLICY_RULE_DIGEST,
                    "%ssql: digest %016" PRIx64 " is not on the list%s", place,
                    pcl_digest_id(digest), pcl_digest_is_cut(digest) ? ", for it is too long" : "");
}

/* Joins the digests of a txn; what does not fit any more is left away, whole. */
static void s_put_digest(judgement *self, pcl_bytes digest)
{
    static const char BETWEEN[] = "; ";
    static const char CUT[] = "...";
    pcl_buffer *buffer = self->digest;
    size_t between = buffer->size == 0 ? 0 : sizeof BETWEEN - 1;
    bool last = self->request->op != PCL_OP_TXN;
    size_t room = PCL_SQL_DIGEST_SIZE_MAX - (last ? 0 : between + sizeof CUT - 1);
    if (self->digest_full) {
        return;
    }
    if (digest.size > room || buffer->size > room - digest.size) {
        self->digest_full = true;
        pcl_buffer_put(buffer, CUT, sizeof CUT - 1);
        return;
    }
    pcl_buffer_put(buffer, BETWEEN, between);
    pcl_buffer_put(buffer, digest.data, digest.size);
}

static bool s_judge_statement(judgement *self, pcl_bytes text, uint32_t param_count,
                              const char *place)
{
    pcl_sql_judged judged = pcl_sql_cache_judge(self->cache, text);
    pcl_sql_verdict sql = judged.verdict;
    if (self->request->op == PCL_OP_QUERY) {
        self->verdict.sql_class = sql.sql_class;
        self->verdict.repeatable = pcl_sql_is_read(sql.sql_class);
    }
    if (sql.sql_class == PCL_SQL_REFUSED) {
        return s_refuse(self, PCL_POLICY_RULE_STATEMENT, PCL_ERR_REFUSED, "%ssql: %s at offset %u",
                        place, sql.rule, sql.offset);
    }
    s_put_digest(self, judged.digest);
    self->digest_id = judged.note;
    if (sql.placeholder_count != param_count) {
        return s_refuse(self, PCL_POLICY_RULE_STATEMENT, PCL_ERR_MALFORMED,
                        "%sparams: the statement has %u placeholders, %u were given", place,
                        sql.placeholder_count, param_count);
    }
    bool allowed = s_judge_class(self, sql, place) && s_judge_place(self, sql, place);
    if (allowed && sql.prepared_class != PCL_SQL_NONE) {
        return s_judge_prepare(self, place);
    }
    return allowed && s_judge_digest(self, judged.digest, place);
}

static bool s_judge_txn(judgement *self)
{
    self->verdict.sql_class = PCL_SQL_WRITE;
    pcl_statements statements = pcl_request_statements(self->request);
    pcl_statement statement;
    for (uint32_t index = 0; pcl_statements_next(&statements, &statement); index++) {
        char place[PLACE_SIZE];
        (void)snprintf(place, sizeof place, "statements[%u].", index);
        if (!s_judge_statement(self, statement.sql, statement.param_count, place)) {
            self->verdict.has_statement = true;
            self->verdict.statement = index;
            return false;
        }
    }
    return true;
}

/* --- The request --------------------------------------------------------------- */

static bool s_judge_begin(judgement *self)
{
    uint32_t needs = 1u << PCL_SQL_TRANSACTION | 1u << PCL_SQL_STATE;
    self->verdict.sql_class = self->request->read_only ? PCL_SQL_READ : PCL_SQL_WRITE;
    self->verdict.repeatable = true; /* a session that nobody knows of is rolled back */
    self->verdict.metered = true;
    return (self->role->classes & needs) != 0 ||
           s_forbid(self, PCL_POLICY_RULE_CLASS, "op: the role may not open a session");
}

/* More rows of what was asked for earlier: whoever may not read any more gets no more of them. */
static bool s_judge_fetch(judgement *self)
{
    uint32_t needs = 1u << PCL_SQL_READ | 1u << PCL_SQL_LOCKING_READ;
    return (self->role->classes & needs) != 0 ||
           s_forbid(self, PCL_POLICY_RULE_CLASS, "op: the role may not read");
}

/* What a role is told to leave is not forbidden: commit, rollback and close free something, and
 * what they end was allowed when it began. */
static bool s_judge_op(judgement *self)
{
    pcl_policy_verdict *verdict = &self->verdict;
    pcl_op op = self->request->op;
    verdict->metered = op != PCL_OP_COMMIT && op != PCL_OP_ROLLBACK && op != PCL_OP_CLOSE &&
                       op != PCL_OP_CANCEL;
    switch (op) {
    case PCL_OP_QUERY:
        return s_judge_statement(self, self->request->sql, self->request->param_count, "");
    case PCL_OP_TXN:
        return s_judge_txn(self);
    case PCL_OP_BEGIN:
        return s_judge_begin(self);
    case PCL_OP_ROLLBACK:
        verdict->repeatable = true; /* the session ends in a rollback in any case */
        verdict->sql_class = PCL_SQL_TRANSACTION;
        return true;
    case PCL_OP_COMMIT:
        verdict->sql_class = PCL_SQL_TRANSACTION;
        return true;
    case PCL_OP_FETCH:
        verdict->sql_class = PCL_SQL_READ;
        return s_judge_fetch(self);
    case PCL_OP_CLOSE:
        verdict->sql_class = PCL_SQL_READ;
        verdict->repeatable = true;
        return true;
    case PCL_OP_CANCEL:
    case PCL_OP_PING:
    case PCL_OP_STATUS:
        verdict->repeatable = true;
        return true;
    case PCL_OP_ADMIN:
    case PCL_OP_COUNT:
        break;
    }
    return s_refuse(self, PCL_POLICY_RULE_OP, PCL_ERR_UNSUPPORTED, "op: %s is not available here",
                    pcl_op_text(op));
}

/* Whether the session or cursor has the id that means "none" in the head; no agent gives it. */
static bool s_names_nothing(const pcl_request *request)
{
    static const uint8_t none[PCL_ID_SIZE];
    return (request->has_session && memcmp(request->session, none, sizeof none) == 0) ||
           (request->has_cursor && memcmp(request->cursor, none, sizeof none) == 0);
}

static bool s_judge_shape(judgement *self)
{
    const pcl_request *request = self->request;
    if (request->once) {
        return s_refuse(self, PCL_POLICY_RULE_OP, PCL_ERR_UNSUPPORTED,
                        "once: is not available here");
    }
    if (s_names_nothing(request)) {
        return s_refuse(self, PCL_POLICY_RULE_OP, PCL_ERR_GONE, "%s: there is none with this id",
                        request->has_session ? "session" : "cursor");
    }
    return true;
}

static bool s_judge_schema(judgement *self)
{
    pcl_bytes db = self->request->db;
    if (pcl_sql_schema_is_reserved(db)) {
        return s_refuse(self, PCL_POLICY_RULE_SCHEMA, PCL_ERR_REFUSED,
                        "db: the schema is not for statements of clients");
    }
    const char *cursor = self->role->schemas;
    bool open = db.size == 0 || *cursor == '\0';
    for (pcl_bytes pattern = pcl_pattern_next(&cursor); !open && pattern.size > 0;
         pattern = pcl_pattern_next(&cursor)) {
        open = pcl_pattern_covers(pattern, db);
    }
    return open || s_forbid(self, PCL_POLICY_RULE_SCHEMA, "db: the role may not use this schema");
}

static bool s_judge_strategy(judgement *self)
{
    pcl_strategy_kind strategy = self->request->strategy;
    return strategy == PCL_STRATEGY_DEFAULT || (self->role->strategies & 1u << strategy) != 0 ||
           s_forbid(self, PCL_POLICY_RULE_STRATEGY, "strategy: the role may not choose %s",
                    pcl_strategy_text(strategy));
}

/* Cuts: what runs, runs within these. */
static void s_bound(judgement *self)
{
    pcl_policy_verdict *verdict = &self->verdict;
    const pcl_policy_role *role = self->role;
    bool dry_time = pcl_policy_is_dry(role, PCL_POLICY_RULE_TIMEOUT);
    bool dry_rows = pcl_policy_is_dry(role, PCL_POLICY_RULE_ROWS);
    verdict->timeout_ms = dry_time ? PCL_TIMEOUT_MS_MAX : role->timeout_ms_max;
    verdict->rows_max = dry_rows ? 0 : role->rows_max;
    verdict->rows_dry_max = dry_rows ? role->rows_max : 0;
    if (dry_time && self->request->timeout_ms > role->timeout_ms_max) {
        (void)s_forbid(self, PCL_POLICY_RULE_TIMEOUT, "timeout_ms: would be cut to %u",
                       role->timeout_ms_max);
    }
}

/* The id costs a hash, so that of a query stays with its text in the cache. */
static uint64_t s_digest_id(judgement *self)
{
    bool kept = self->request->op == PCL_OP_QUERY && self->digest_id != NULL;
    if (kept && *self->digest_id != 0) {
        return *self->digest_id;
    }
    uint64_t id = pcl_digest_id(pcl_buffer_bytes(self->digest));
    if (kept) {
        *self->digest_id = id;
    }
    return id;
}

pcl_policy_verdict pcl_policy_judge(const pcl_policy_principal *principal,
                                    const pcl_digest_list *list, const pcl_request *request,
                                    pcl_sql_cache *cache, pcl_buffer *digest)
{
    assert(principal != NULL);
    assert(request != NULL);
    assert(cache != NULL);
    assert(digest != NULL);
    judgement self = {
        .role = principal->role,
        .list = list,
        .request = request,
        .cache = cache,
        .digest = digest,
        .verdict = {.err = PCL_ERR_OK},
    };
    pcl_buffer_clear(digest);
    s_bound(&self);
    bool runs = s_judge_shape(&self) && s_judge_op(&self) && s_judge_schema(&self) &&
                s_judge_strategy(&self);
    if (!runs) {
        self.verdict.repeatable = false;
    }
    if (digest->size > 0 && !digest->failed) {
        self.verdict.digest_id = s_digest_id(&self);
    }
    return self.verdict;
}

static void s_tell_unknown(const pcl_digest_list *list, pcl_bytes digest,
                           pcl_policy_unknown *unknown, void *context)
{
    bool there = list != NULL && pcl_digest_list_find(list, digest) != PCL_DIGEST_UNKNOWN;
    if (!there && digest.size > 0 && !pcl_digest_is_cut(digest)) {
        unknown(context, digest);
    }
}

void pcl_policy_each_unknown(const pcl_digest_list *list, const pcl_request *request,
                             pcl_sql_cache *cache, pcl_policy_unknown *unknown, void *context)
{
    assert(request != NULL && cache != NULL && unknown != NULL);
    if (request->op == PCL_OP_QUERY) {
        s_tell_unknown(list, pcl_sql_cache_judge(cache, request->sql).digest, unknown, context);
    }
    pcl_statements statements = pcl_request_statements(request);
    pcl_statement statement;
    while (pcl_statements_next(&statements, &statement)) {
        s_tell_unknown(list, pcl_sql_cache_judge(cache, statement.sql).digest, unknown, context);
    }
}

pcl_policy_verdict pcl_policy_judge_seal(const pcl_policy_principal *principal, bool sealed,
                                         bool remote)
{
    assert(principal != NULL);
    judgement self = {.role = principal->role, .verdict = {.err = PCL_ERR_OK}};
    pcl_policy_seal seal = principal->role->seal;
    bool required = seal == PCL_POLICY_SEAL_REQUIRED || (seal == PCL_POLICY_SEAL_AUTO && remote);
    if (required && !sealed) {
        (void)s_forbid(&self, PCL_POLICY_RULE_SEAL, "seal: the role is served with a seal only");
    }
    return self.verdict;
}

pcl_policy_verdict pcl_policy_agree(const pcl_head *head, const pcl_request *request)
{
    assert(head != NULL);
    assert(request != NULL);
    judgement self = {.verdict = {.err = PCL_ERR_OK}};
    uint64_t timeout_ms = request->timeout_ms != 0 ? request->timeout_ms : PCL_TIMEOUT_MS_MAX;
    const char *wrong = NULL;
    if (head->op != request->op) {
        wrong = "op: the gatekeeper's head says another";
    } else if (request->has_id && memcmp(head->id, request->id, sizeof head->id) != 0) {
        wrong = "id: the gatekeeper's head says another";
    } else if (head->budget_us > timeout_ms * PCL_US_PER_MS) {
        wrong = "timeout_ms: the gatekeeper's head allows more";
    } else if (head->principal.size == 0) {
        wrong = "principal: the gatekeeper's head names none";
    }
    if (wrong != NULL) {
        (void)s_refuse(&self, PCL_POLICY_RULE_OP, PCL_ERR_MALFORMED, "%s", wrong);
    }
    return self.verdict;
}
