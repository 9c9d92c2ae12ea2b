/* policy - the policy file, checked and explained; no cluster is asked. */
#include "client/command/command.h"
#include "policy/files.h"
#include "sql/digest.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Texts and digests of one statement, or of a txn's. */
enum { PROBLEMS_SIZE_MAX = 1024 * 1024, CACHE_SIZE = 16 * 1024 * 1024, MESSAGE_SIZE = 256 };

const char *pcl_command_policy_file(const pcl_cli_line *line)
{
    const char *file = pcl_cli_value(line, "policy");
    const char *named = getenv("PORTCULLIS_POLICY");
    if (file != NULL && file[0] != '\0') {
        return file;
    }
    return named != NULL && named[0] != '\0' ? named : PCL_COMMAND_POLICY_FILE;
}

void pcl_command_put_problems(pcl_bytes problems)
{
    while (problems.size > 0) {
        const uint8_t *end = memchr(problems.data, '\n', problems.size);
        size_t size = end == NULL ? problems.size : (size_t)(end - problems.data);
        size_t taken = size + (end == NULL ? 0 : 1);
        char line[2048];
        (void)snprintf(line, sizeof line, "%.*s", (int)size, (const char *)problems.data);
        pcl_command_put_text(stderr, line);
        (void)fputc('\n', stderr);
        problems = pcl_bytes_of(problems.data + taken, problems.size - taken);
    }
}

/* false: said. */
static bool s_load(const char *file, pcl_policy_files *out_files)
{
    pcl_buffer problems;
    pcl_buffer_init(&problems, PROBLEMS_SIZE_MAX);
    bool good = pcl_policy_files_load(out_files, file, &problems);
    pcl_command_put_problems(pcl_buffer_bytes(&problems));
    pcl_buffer_release(&problems);
    return good;
}

/* --- check ------------------------------------------------------------------ */

static uint32_t s_count_principals(const pcl_policy *policy, const pcl_policy_role *role,
                                   bool without_key)
{
    uint32_t count = 0;
    for (uint32_t index = 0; index < pcl_policy_principal_count(policy); index++) {
        const pcl_policy_principal *principal = pcl_policy_principal_at(policy, index);
        count += principal->role == role && (!without_key || principal->public_key[0] == '\0');
    }
    return count;
}

/* Names of the rules whose bits are set, with blanks between. */
static void s_put_rules(char *target, size_t size, uint32_t rules)
{
    target[0] = '\0';
    for (int rule = 0; rule < PCL_POLICY_RULE_COUNT; rule++) {
        if ((rules & 1u << rule) != 0) {
            size_t used = strlen(target);
            (void)snprintf(target + used, size - used, "%s%s", used == 0 ? "" : " ",
                           pcl_policy_rule_text((pcl_policy_rule)rule));
        }
    }
}

/* What is no mistake, and yet may not be meant. */
static void s_put_notes(const pcl_policy_files *files, const pcl_policy_role *role)
{
    char rules[MESSAGE_SIZE];
    uint32_t without_key = s_count_principals(files->policy, role, true);
    if (s_count_principals(files->policy, role, false) == 0) {
        (void)printf("note: nobody has the role %s\n", role->name);
    }
    if (without_key > 0 && role->seal == PCL_POLICY_SEAL_AUTO) {
        (void)printf("note: role %s: %u without a public key, who are not served where gatekeepers "
                     "come from other hosts\n",
                     role->name, without_key);
    }
    if (role->dry_run != 0) {
        s_put_rules(rules, sizeof rules, role->dry_run);
        (void)printf("note: role %s: on trial, so not in force: %s\n", role->name, rules);
    }
    if ((role->classes & 1u << PCL_SQL_ADMIN) != 0) {
        (void)printf("note: role %s may run admin statements\n", role->name);
    }
    const pcl_digest_list *list = files->lists[role->index];
    uint32_t allowed = 0;
    for (uint32_t index = 0; list != NULL && index < pcl_digest_list_count(list); index++) {
        allowed += pcl_digest_list_at(list, index).state == PCL_DIGEST_ALLOWED;
    }
    if (role->digests == PCL_POLICY_DIGESTS_PROTECT && allowed == 0) {
        (void)printf("note: role %s may run nothing: its digest list allows none\n", role->name);
    }
}

static int s_check(const pcl_cli_line *line)
{
    if (line->operand_count > 2) {
        return pcl_command_usage(line, "check takes one file");
    }
    const char *file = line->operand_count == 2 ? line->operands[1] : pcl_command_policy_file(line);
    pcl_policy_files files = {0};
    if (file[0] == '\0') {
        return pcl_command_usage(line, "name a file");
    }
    if (!s_load(file, &files)) {
        return PCL_EXIT_CONFIG;
    }
    uint32_t roles = pcl_policy_role_count(files.policy);
    uint32_t principals = pcl_policy_principal_count(files.policy);
    for (uint32_t index = 0; index < roles; index++) {
        s_put_notes(&files, pcl_policy_role_at(files.policy, index));
    }
    pcl_command_put_text(stdout, file);
    (void)printf(": well-formed; %u role%s, %u principal%s\n", roles, roles == 1 ? "" : "s",
                 principals, principals == 1 ? "" : "s");
    pcl_policy_files_release(&files);
    return PCL_EXIT_OK;
}

/* --- explain ------------------------------------------------------------------ */

static void s_put(const char *name, const char *text)
{
    (void)printf("%-11s ", name);
    pcl_command_put_text(stdout, text);
    (void)putchar('\n');
}

static const char *s_number(char *target, size_t size, uint32_t value, const char *unit)
{
    if (value == 0) {
        return "any";
    }
    (void)snprintf(target, size, "%u%s", value, unit);
    return target;
}

static void s_put_words(const char *name, uint32_t bits, const char *(*text)(int value), int count)
{
    char words[MESSAGE_SIZE] = "";
    for (int value = 0; value < count; value++) {
        if ((bits & 1u << value) != 0 && text(value) != NULL) {
            size_t used = strlen(words);
            (void)snprintf(words + used, sizeof words - used, "%s%s", used == 0 ? "" : " ",
                           text(value));
        }
    }
    s_put(name, words);
}

static const char *s_class_text(int value)
{
    return value == PCL_SQL_NONE || value == PCL_SQL_REFUSED
               ? NULL
               : pcl_policy_class_text((pcl_sql_class)value);
}

static const char *s_strategy_text(int value)
{
    return value == PCL_STRATEGY_DEFAULT ? NULL : pcl_strategy_text((pcl_strategy_kind)value);
}

static void s_put_role(const pcl_policy_role *role)
{
    char text[PCL_POLICY_PATH_SIZE + 64];
    char number[32];
    (void)snprintf(text, sizeof text, "%s, on the accounts %s", role->name, role->accounts);
    s_put("role", text);
    s_put_words("classes", role->classes, s_class_text, PCL_SQL_CLASS_COUNT);
    s_put("schemas", role->schemas[0] != '\0' ? role->schemas : "any");
    s_put_words("strategies", role->strategies, s_strategy_text, PCL_STRATEGY_COUNT);
    (void)snprintf(text, sizeof text, "at most %u ms", role->timeout_ms_max);
    s_put("time", text);
    s_put("rows", s_number(number, sizeof number, role->rows_max, " of a result"));
    s_put("rate", s_number(number, sizeof number, role->rate, " a second"));
    uint32_t burst = role->burst != 0 ? role->burst : role->rate;
    s_put("burst", s_number(number, sizeof number, burst, ""));
    s_put("concurrency", s_number(number, sizeof number, role->concurrency_max, " at a time"));
    (void)snprintf(text, sizeof text, "%u, priority %u", role->share, role->priority);
    s_put("share", text);
    s_put("seal", pcl_policy_seal_text(role->seal));
    (void)snprintf(text, sizeof text, "%s%s%s", pcl_policy_digests_text(role->digests),
                   role->digest_list[0] != '\0' ? ", list " : "", role->digest_list);
    s_put("digests", text);
    if (role->dry_run != 0) {
        s_put_rules(text, sizeof text, role->dry_run);
        s_put("on trial", text);
    }
}

static void s_put_digest(const pcl_policy_files *files, const pcl_policy_role *role,
                         pcl_bytes digest)
{
    char id[PCL_DIGEST_ID_TEXT_SIZE];
    char text[PCL_SQL_DIGEST_SIZE_MAX + 64];
    const pcl_digest_list *list = files->lists[role->index];
    if (digest.size == 0) {
        return;
    }
    pcl_digest_id_text(pcl_digest_id(digest), id);
    (void)snprintf(text, sizeof text, "%s  %.*s", id, (int)digest.size, (const char *)digest.data);
    s_put("digest", text);
    if (list != NULL) {
        s_put("on the list", pcl_digest_state_text(pcl_digest_list_find(list, digest)));
    }
}

static void s_put_verdict(const pcl_policy_verdict *verdict, pcl_sql_verdict sql)
{
    char rules[MESSAGE_SIZE];
    s_put("verdict", verdict->err == PCL_ERR_OK ? "may run" : pcl_err_code((int)verdict->err));
    s_put("rule", pcl_policy_rule_text(verdict->rule));
    if (verdict->err != PCL_ERR_OK) {
        s_put("message", verdict->message);
    }
    if (verdict->dry_run != 0) {
        s_put_rules(rules, sizeof rules, verdict->dry_run);
        s_put("would break", rules);
        s_put("trial says", verdict->dry_message);
    }
    s_put("class", pcl_sql_class_text(sql.sql_class));
    s_put("because", sql.rule != NULL ? sql.rule : "");
}

/* The rules that the broker's configuration adds to the judge of statements.  false: said. */
static bool s_read_rules(const pcl_cli_line *line, pcl_sql_rules *rules)
{
    const char *flavor = pcl_cli_value(line, "flavor");
    const char *functions = pcl_cli_value(line, "functions");
    pcl_bytes name = pcl_bytes_of(NULL, 0);
    if (flavor != NULL && !pcl_sql_flavor_parse(pcl_bytes_text(flavor), &rules->flavor)) {
        (void)pcl_command_usage(line, "--flavor must be both, mariadb or mysql");
        return false;
    }
    const char *wrong = functions == NULL
                            ? NULL
                            : pcl_sql_rules_set_extra(rules, pcl_bytes_text(functions), &name);
    if (wrong != NULL) {
        char problem[MESSAGE_SIZE];
        (void)snprintf(problem, sizeof problem, "--functions: %.*s: %s", (int)name.size,
                       (const char *)name.data, wrong);
        (void)pcl_command_usage(line, problem);
        return false;
    }
    return true;
}

/* false: said. */
static bool s_read_request(const pcl_cli_line *line, pcl_request *request)
{
    const char *db = pcl_cli_value(line, "db");
    const char *strategy = pcl_cli_value(line, "strategy");
    char problem[PCL_CLI_PROBLEM_SIZE];
    *request = (pcl_request){.op = PCL_OP_QUERY, .sql = pcl_bytes_text(line->operands[1])};
    request->has_session = pcl_cli_has(line, "session");
    request->session[0] = 1;
    request->db = db == NULL ? pcl_bytes_of(NULL, 0) : pcl_bytes_text(db);
    if (!pcl_cli_uint(line, "timeout", 1, PCL_TIMEOUT_MS_MAX, 0, &request->timeout_ms, problem)) {
        (void)pcl_command_usage(line, problem);
        return false;
    }
    if (strategy != NULL && !pcl_strategy_parse(pcl_bytes_text(strategy), &request->strategy)) {
        (void)pcl_command_usage(line, "--strategy names none");
        return false;
    }
    if (request->sql.size == 0 || request->sql.size > PCL_SQL_SIZE_MAX) {
        (void)pcl_command_usage(line, "the statement must have 1 to 524288 octets");
        return false;
    }
    return true;
}

static int s_explain_to(const pcl_policy_files *files, const pcl_policy_principal *principal,
                        pcl_request *request, const pcl_sql_rules *rules)
{
    pcl_sql_cache *cache = pcl_sql_cache_new(rules, 16, CACHE_SIZE, 1);
    pcl_buffer digest;
    if (cache == NULL) {
        (void)fputs("portcullis: out of memory\n", stderr);
        return PCL_EXIT_RETRY;
    }
    pcl_buffer_init(&digest, PCL_SQL_DIGEST_SIZE_MAX);
    pcl_sql_verdict sql = pcl_sql_classify_by(rules, request->sql);
    request->param_count = sql.placeholder_count; /* as if all were given */
    pcl_policy_verdict verdict = pcl_policy_judge(principal, files->lists[principal->role->index],
                                                  request, cache, &digest);
    s_put_verdict(&verdict, sql);
    s_put_digest(files, principal->role, pcl_buffer_bytes(&digest));
    s_put_role(principal->role);
    pcl_buffer_release(&digest);
    pcl_sql_cache_destroy(&cache);
    return verdict.err == PCL_ERR_OK ? PCL_EXIT_OK : PCL_EXIT_REFUSED;
}

static int s_explain(const pcl_cli_line *line)
{
    const char *name = pcl_cli_value(line, "principal");
    pcl_sql_rules rules = {0};
    pcl_request request;
    pcl_policy_files files = {0};
    if (line->operand_count != 2) {
        return pcl_command_usage(line, "explain takes one statement, in quotes");
    }
    if (name == NULL) {
        return pcl_command_usage(line, "name a principal: --principal NAME");
    }
    if (!s_read_rules(line, &rules) || !s_read_request(line, &request)) {
        return PCL_EXIT_USAGE;
    }
    if (!s_load(pcl_command_policy_file(line), &files)) {
        return PCL_EXIT_CONFIG;
    }
    const pcl_policy_principal *principal = pcl_policy_find(files.policy, pcl_bytes_text(name));
    int code = PCL_EXIT_REFUSED;
    if (principal != NULL) {
        code = s_explain_to(&files, principal, &request, &rules);
    } else {
        s_put("verdict", pcl_err_code(PCL_ERR_FORBIDDEN));
        s_put("rule", pcl_policy_rule_text(PCL_POLICY_RULE_PRINCIPAL));
        s_put("message", "the policy knows nobody of this name");
    }
    pcl_policy_files_release(&files);
    return code;
}

int pcl_command_policy(const pcl_cli_line *line)
{
    const char *action = line->operand_count > 0 ? line->operands[0] : "";
    int code = strcmp(action, "check") == 0     ? s_check(line)
               : strcmp(action, "explain") == 0 ? s_explain(line)
                                                : -1;
    if (code < 0) {
        return pcl_command_usage(line, "say check or explain");
    }
    return fflush(stdout) == 0 ? code : PCL_EXIT_REFUSED;
}
