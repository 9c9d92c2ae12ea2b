/* portcullis - the command.  Wiring only: the tables of its subcommands, and which of them runs. */
#include "client/command/command.h"
#include "client/shell/shell.h"
#include "wire/request.h"

#include <langinfo.h>
#include <locale.h>
#include <string.h>

static const pcl_cli s_cli;

#define TIMEOUT_OPTION                                                                             \
    {                                                                                              \
        "timeout", 't', "MS", NULL,                                                                \
            "How long an answer may take, in milliseconds; 5000 when it is not given."             \
    }

static const pcl_cli_option s_common_options[] = {
    {"bundle", 'b', "FILE", NULL, "The cluster's addresses and this client's keys."},
    {"help", 'h', NULL, NULL, "Tells what there is to know, and exits."},
    {"version", 'V', NULL, NULL, "Prints the version, and exits."},
};

static const pcl_cli_option s_query_options[] = {
    {"file", 'f', "FILE", NULL, "Runs the statements of a file; - is standard input."},
    {"format", 'F', "FORMAT", "table|vertical|csv|json|msgpack",
     "How results are printed. table when it is not given; json prints an array of objects for "
     "each statement, msgpack the reply as it came."},
    {"strategy", 's', "NAME", PCL_STRATEGY_NAMES("|"),
     "How a node is chosen for a read; the cluster's own default when it is not given."},
    {"param", 'p', "VALUE", NULL,
     "A value for the next ?. n: is NULL, i:42 an integer, f:1.5 a floating-point number, d:1.50 "
     "an "
     "exact decimal, t:2026-11-22 a date or time, b:0aff octets in hexadecimal, s:TEXT and every "
     "TEXT that does not start with a letter and a colon a text."},
    {"db", 'd', "NAME", NULL, "The default schema."},
    TIMEOUT_OPTION,
    {"consistency", 'c', "WHAT", NULL,
     "Which nodes are fresh enough for a read: any, source, max-lag=MS (at most so many "
     "milliseconds behind), after=TOKEN (not before the write, or the read, that gave the token)."},
    {"after", 'a', "TOKEN", NULL, "The same as --consistency after=TOKEN."},
    {"monotonic", 0, NULL, NULL,
     "Has reads give a token, as writes do, and prints each result's on standard error."},
    {"causal", 0, "FILE", NULL,
     "Reads nothing older than what earlier runs with this FILE have written and read. It holds "
     "their tokens, and is made where it is not there."},
    {"route", 'r', NULL, NULL, "Prints on standard error which node answered."},
    {"explain", 'e', NULL, NULL,
     "As --route, with the candidates, their scores, and why each "
     "other node was left out."},
    {"idempotent", 'i', NULL, NULL,
     "Running it twice does no harm: send it again when its gatekeeper is lost."},
    {"force", 0, NULL, NULL, "Goes on with the next statement when one fails."},
    {"txn", 'x', NULL, NULL,
     "Runs all statements as one transaction in one request: all or none. SQL on the command line "
     "is then cut at each ;, too."},
    {"page-rows", 0, "ROWS", NULL,
     "How many rows are fetched and held at a time; 1000 when it is not given."},
    {"metadata", 'm', NULL, NULL,
     "Prints on standard error what the database says of each column."},
    {"id", 0, "ID", NULL,
     "The id of the request, 32 hexadecimal digits (a UUID): portcullis cancel stops it by that."},
};

static const pcl_cli_option s_explain_options[] = {
    {"strategy", 's', "NAME", PCL_STRATEGY_NAMES("|"),
     "How a node would be chosen for a read; the cluster's own default when it is not given."},
    {"consistency", 'c', "WHAT", NULL,
     "Which nodes are fresh enough for a read, as of query: any, source, max-lag=MS, after=TOKEN."},
    {"param", 'p', "VALUE", NULL, "A value for the next ?, as of query."},
    {"db", 'd', "NAME", NULL, "The default schema."},
    {"json", 'j', NULL, NULL, "Prints the whole decision as one JSON object."},
    TIMEOUT_OPTION,
};

static const pcl_cli_option s_cancel_options[] = {
    TIMEOUT_OPTION,
};

static const pcl_cli_option s_shell_options[] = {
    {"db", 'd', "NAME", NULL, "The default schema."},
    {"strategy", 's', "NAME", PCL_STRATEGY_NAMES("|"),
     "How a node is chosen for a read; the cluster's own default when it is not given."},
    {"format", 'F', "FORMAT", "table|vertical|csv|json",
     "How results are shown. table when it is not given."},
    {"consistency", 'c', "WHAT", NULL,
     "Which nodes are fresh enough for a read, as of query; causal: those that have all that the "
     "shell's statements have written and read. any when it is not given."},
    TIMEOUT_OPTION,
    {"force", 0, NULL, NULL,
     "Of a pipe: goes on with the next statement when one fails. At a terminal it always does."},
};

static const pcl_cli_option s_ping_options[] = {
    {"count", 'n', "NUMBER", NULL, "How often; 4 when it is not given."},
    {"interval", 'i', "MS", NULL, "Milliseconds between two; 1000 when it is not given."},
    TIMEOUT_OPTION,
};

static const pcl_cli_option s_status_options[] = {
    {"json", 'j', NULL, NULL, "Prints all that the proxy tells, as one JSON object."},
    TIMEOUT_OPTION,
};

static const pcl_cli_option s_bundle_options[] = {
    {"gatekeeper", 'g', "ENDPOINT", NULL,
     "A gatekeeper, tcp://HOST:PORT; one option for each, of at most 16."},
    {"gatekeeper-key", 'G', "KEY", NULL,
     "The public key of the gatekeepers before it that have none yet."},
    {"broker-key", 'B', "KEY", NULL,
     "The broker's public key. With it the client seals all that it sends, and believes only what "
     "the broker has sealed."},
    {"key", 'k', "FILE", NULL,
     "The client's own keys, as keygen writes them; they are made where the file is not there. "
     "Without it a pair is made that is only in the bundle."},
    {"principal", 'p', "NAME", NULL, "What the client is called in the policy, for people."},
    {"show", 's', NULL, NULL, "Shows what a bundle holds, without its secret key."},
};

static const pcl_cli_option s_principal_options[] = {
    {"policy", 'P', "FILE", NULL, "The broker's policy file."},
    {"clients", 'c', "FILE", NULL, "The gatekeeper's key list."},
    {"role", 'r', "NAME", NULL, "Of add: the role, as the policy has it."},
    {"public-key", 'K', "KEY", NULL,
     "Of add: the principal's public key, 40 characters of Z85 or a file with one."},
    {"key", 'k', "FILE", NULL,
     "Of add without --public-key: the key file; it is made where it is not there. NAME.key when "
     "it is not given."},
};

static const pcl_cli_option s_policy_options[] = {
    {"policy", 'P', "FILE", NULL, "The policy file of explain."},
    {"principal", 'p', "NAME", NULL, "Who would send the statement."},
    {"db", 'd', "NAME", NULL, "The default schema of the request."},
    {"strategy", 's', "NAME", PCL_STRATEGY_NAMES("|"), "The strategy that the request asks for."},
    {"session", 'S', NULL, NULL, "The statement is sent in a session."},
    {"timeout", 't', "MS", NULL, "The time that the request asks for, in milliseconds."},
    {"flavor", 0, "NAME", "both|mariadb|mysql", "As the broker's setting sql/flavor."},
    {"functions", 0, "NAMES", NULL, "As the broker's setting sql/functions."},
};

static const pcl_cli_option s_digests_options[] = {
    {"policy", 'P', "FILE", NULL, "The policy file that names the list."},
    {"role", 'r', "NAME", NULL,
     "The role whose list it is; the only one that has a list when it "
     "is not given."},
    {"list", 'l', "FILE", NULL, "The list itself, whatever a policy says."},
    {"file", 'f', "FILE", NULL, "Of learn: the statements of a file; - is standard input."},
    {"allow", 0, NULL, NULL, "Of learn: what is learned is allowed at once."},
    {"all", 0, NULL, NULL, "Of allow: all that were seen."},
    {"state", 0, "STATE", "seen|allowed", "Of list: only those."},
};

static const pcl_cli_option s_audit_options[] = {
    {"key", 'k', "FILE", NULL, "verify: the key file of a chain that has one (audit/key_file)."},
    {"expect-head", 0, "HEAD", NULL,
     "verify: a head that was noted before, SEQ:HASH, must stand in the log; so its end was not "
     "cut off and it was not made anew."},
    {"lines", 'n', "NUMBER", NULL,
     "tail: how many of the last lines that match; 20 when it is not given, all with --since."},
    {"follow", 'f', NULL, NULL, "tail: goes on with what is written from now on."},
    {"text", 'T', NULL, NULL, "tail: shows the text of each digest below its line."},
    {"principal", 'p', "NAME", NULL, "tail: only lines of this principal."},
    {"role", 0, "NAME", NULL, "tail: only lines of this role."},
    {"op", 0, "OP", NULL, "tail: only lines of this operation (query, txn, begin, ...)."},
    {"class", 0, "CLASS", NULL, "tail: only lines of this class (read, write, ddl, ...)."},
    {"code", 0, "CODE", NULL, "tail: only lines with this outcome (OK, FORBIDDEN, ...)."},
    {"refused", 0, NULL, NULL, "tail: only lines whose outcome is not OK."},
    {"rule", 0, "RULE", NULL, "tail: only lines that this rule refused, or would have refused."},
    {"node", 0, "NAME", NULL, "tail: only lines of what this node ran."},
    {"digest", 0, "DIGEST", NULL, "tail: only lines of statements with this digest."},
    {"id", 0, "ID", NULL, "tail: only lines of this request, session or cursor."},
    {"kind", 0, "KIND", "done|start|end|statement|event|open|resume|digest|gap",
     "tail: only lines of this kind."},
    {"since", 0, "TIME", NULL, "tail: from this time on, UTC: 2026-11-22, 2026-11-22T15:30."},
    {"until", 0, "TIME", NULL, "tail: up to this time, UTC."},
};

static const pcl_cli_option s_help_options[] = {
    {"man", 0, NULL, NULL, "Prints the manual page of the program, for man(1) to show."},
};

static int s_print(const pcl_buffer *text)
{
    bool good = !text->failed && pcl_command_write(NULL, pcl_buffer_bytes(text));
    return good && fflush(stdout) == 0 ? PCL_EXIT_OK : PCL_EXIT_REFUSED;
}

static int s_help(const pcl_cli_line *line)
{
    pcl_buffer text;
    pcl_buffer_init(&text, SIZE_MAX);
    int code = pcl_cli_help_on(&s_cli, line, &text)
                   ? s_print(&text)
                   : pcl_command_usage(line, "there is no such command");
    pcl_buffer_release(&text);
    return code;
}

static int s_completion(const pcl_cli_line *line)
{
    pcl_buffer text;
    pcl_buffer_init(&text, SIZE_MAX);
    bool known = line->operand_count > 0 && pcl_cli_completion(&s_cli, line->operands[0], &text);
    int code = known ? s_print(&text) : pcl_command_usage(line, "name a shell: bash, zsh or fish");
    pcl_buffer_release(&text);
    return code;
}

static const pcl_cli_command s_commands[] = {
    {"query", "[SQL]", NULL, 1, "runs statements and prints what they give",
     "Runs the statement SQL, or the statements of --file, or those of standard input.\n\n"
     "SQL on the command line is one statement and is sent as it is: two in one text are refused, "
     "so a value that was pasted into it cannot become a second one (and with ? and --param it "
     "cannot become SQL at all). Text from a file or standard input is cut at each ; outside "
     "quotes and comments, and run in order up to the first that fails.\n\n"
     "A result may be of any length: it is fetched and printed a page at a time. When it breaks "
     "off, "
     "json and csv stay without their end, and the exit code says so. Ctrl-C cancels the statement "
     "that runs, and so does a reader that goes away.",
     s_query_options, sizeof s_query_options / sizeof s_query_options[0],
     "portcullis query 'SELECT * FROM demo.products LIMIT 5'\n"
     "portcullis query -d demo -F csv 'SELECT id, name FROM customers' > customers.csv\n"
     "# values travel beside the statement, never in it\n"
     "portcullis query 'SELECT * FROM demo.customers WHERE id = ? AND name <> ?' -p i:7 -p "
     "\"O'Hara\"\n"
     "# from both replicas in turn, and which one it was\n"
     "portcullis query --strategy round-robin --route 'SELECT COUNT(*) FROM demo.orders'\n"
     "# from a replica that is hardly behind\n"
     "portcullis query --consistency max-lag=100 'SELECT MAX(id) FROM demo.orders'\n"
     "# read what was just written, wherever it is read\n"
     "portcullis query --causal orders.seen 'DELETE FROM demo.orders WHERE id = 7'\n"
     "portcullis query --causal orders.seen 'SELECT COUNT(*) FROM demo.orders'\n"
     "# a script; stops at its first error\n"
     "portcullis query -d demo -f schema.sql\n"
     "# both or none\n"
     "portcullis query -d demo --txn 'UPDATE customers SET balance = balance - 5 WHERE id = 1; "
     "UPDATE customers SET balance = balance + 5 WHERE id = 2'\n"
     "echo 'SELECT 1; SELECT 2' | portcullis query -F json\n",
     pcl_command_query},
    {"shell", "", NULL, 0, "asks for statements and shows what they give",
     "Reads statements, each ended by ; or \\G, and commands that begin with a backslash; \\help "
     "lists them. At a terminal lines can be edited, the last 2000 are kept in "
     "~/.portcullis_history ($PORTCULLIS_HISTORY names another file, an empty one none; what looks "
     "like a password is left out), Tab completes names of commands, tables and columns, long "
     "results go through $PAGER or less, and Ctrl-C cancels the statement that runs.\n\n"
     "BEGIN opens a session, COMMIT and ROLLBACK end it; the prompt then has a star. Statements "
     "that need a session without a transaction (SET, temporary tables, locks) work after \\begin "
     "plain.\n\n"
     "From a pipe it runs statement after statement up to the first that fails.",
     s_shell_options, sizeof s_shell_options / sizeof s_shell_options[0],
     "portcullis shell -d demo\n"
     "echo 'BEGIN; UPDATE demo.customers SET balance = 0 WHERE id = 7; ROLLBACK' | portcullis "
     "shell\n",
     pcl_command_shell},
    {"cancel", "ID", NULL, 1, "stops a request that is under way",
     "Stops the request with this id, wherever it is: what waits is taken out of its queue, a "
     "statement that runs is killed. The request is answered with CANCELLED, or with its result "
     "when that was there first. Only requests made with the same key are found.",
     s_cancel_options, sizeof s_cancel_options / sizeof s_cancel_options[0],
     "id=$(uuidgen)\n"
     "portcullis query --id \"$id\" 'SELECT COUNT(*) FROM demo.orders a, demo.orders b' &\n"
     "portcullis cancel \"$id\"\n",
     pcl_command_cancel},
    {"explain", "SQL", NULL, 1, "tells which node a statement would go to, and why",
     "Has the cluster decide on the statement SQL, without running it: what it is taken for, which "
     "node it would go to, what the strategy thinks of each node that fits, and why each other was "
     "left out. It is judged like every request, so what is refused is refused here, too.\n\n"
     "The decision is that of this moment: the next statement may meet other loads. portcullis "
     "query --explain runs a statement and tells why it went where it went; portcullis status has "
     "what each strategy would choose now.\n\n"
     "The exit code is 0 when a node would take it, and 3 when none fits now.",
     s_explain_options, sizeof s_explain_options / sizeof s_explain_options[0],
     "portcullis explain 'SELECT COUNT(*) FROM demo.orders'\n"
     "# is any replica that fresh?\n"
     "portcullis explain --consistency max-lag=20 'SELECT 1'\n"
     "# nothing is deleted\n"
     "portcullis explain --json 'DELETE FROM demo.orders' | jq -r .node\n",
     pcl_command_explain},
    {"ping", "", NULL, 0, "measures the way to the proxy and back",
     "Sends small requests through gatekeeper and broker to the proxy, which answers them itself, "
     "and prints how long each took, and whether the broker sealed the answers: it does when the "
     "bundle has its key. No database is asked.",
     s_ping_options, sizeof s_ping_options / sizeof s_ping_options[0],
     "portcullis ping\n"
     "# is the way open? for scripts\n"
     "portcullis ping --count 1 --timeout 500 > /dev/null && echo open\n"
     "# a hundred as fast as they come\n"
     "portcullis ping --count 100 --interval 0 | tail -1\n",
     pcl_command_ping},
    {"status", "", NULL, 0, "shows nodes, roles, lag, load and choices",
     "Shows the cluster as the proxy sees it: each node with its role, state, lag behind the "
     "source and load, and for each strategy the node it would choose now for a read, with the "
     "scores and with the reason why each other node was left out.",
     s_status_options, sizeof s_status_options / sizeof s_status_options[0],
     "portcullis status\n"
     "portcullis status --json | jq '.nodes[] | {name, role, lag_ms}'\n",
     pcl_command_status},
    {"keygen", "[FILE]", "FILE", 1, "makes a pair of keys",
     "Makes a pair of CURVE keys, writes both to FILE (portcullis.key when none is named), which "
     "only its owner can read and which must not be there yet, and prints the public key. The "
     "public key goes into the key list of whoever shall admit its owner; the secret key stays.",
     NULL, 0,
     "portcullis keygen reports.key\n"
     "# admit it, where the policy and the gatekeeper's list are\n"
     "portcullis principal add reports --role app --public-key \"$(portcullis keygen "
     "reports.key)\"\n",
     pcl_command_keygen},
    {"bundle", "[FILE]", "FILE", 1, "makes the one file that a client needs",
     "Writes a client bundle to FILE (client.bundle when none is named; - is standard output): the "
     "gatekeepers' addresses and key, the broker's key, the client's own keys. Only its owner can "
     "read it, and it must not be there yet. The client's public key is printed: portcullis "
     "principal add takes it.\n\n"
     "A KEY is 40 characters of Z85, or a file that has one: a key file, whose secret is not "
     "looked at, or one with nothing else in it.\n\n"
     "With --show it prints what the bundle FILE, or the one that is found, holds.",
     s_bundle_options, sizeof s_bundle_options / sizeof s_bundle_options[0],
     "portcullis bundle reports.bundle -g tcp://gate.example:5501 -G gatekeeper.pub \\\n"
     "    -B broker.pub -p reports\n"
     "# two gatekeepers with a key each\n"
     "portcullis bundle -g tcp://a.example:5501 -G a.pub -g tcp://b.example:5501 -G b.pub -B "
     "broker.pub\n"
     "portcullis bundle --show\n",
     pcl_command_bundle},
    {"principal", "add NAME | list | revoke NAME", "add|list|revoke", 2,
     "keeps the lists of who may come in",
     "add puts a principal into the broker's policy file and into the gatekeeper's key list, under "
     "the public key that is given, or one that is made; revoke takes it out of both; list shows "
     "who is in them, and where they do not fit together. Where only one of the two files is on "
     "this host, that one is changed: do it on the other host, too.\n\n"
     "One line is changed, everything else, comments too, stays as it is. The file is checked "
     "before and after, and replaced at once or not at all. Gatekeeper and broker notice by "
     "themselves: a principal that was revoked loses its connections within a second.\n\n"
     "The files are those of --policy and --clients, else of $PORTCULLIS_POLICY and "
     "$PORTCULLIS_CLIENTS, else " PCL_COMMAND_POLICY_FILE " and " PCL_COMMAND_CLIENTS_FILE ".",
     s_principal_options, sizeof s_principal_options / sizeof s_principal_options[0],
     "portcullis principal add reports --role app --key reports.key\n"
     "# of somebody who keeps the secret key\n"
     "portcullis principal add reports --role app --public-key reports.pub\n"
     "portcullis principal list\n"
     "portcullis principal revoke reports\n",
     pcl_command_principal},
    {"policy", "check [FILE] | explain SQL", "check|explain", 2,
     "checks a policy file, and says what it says of a statement",
     "check reads the broker's policy file and the digest lists that it names, and tells every "
     "mistake with file and line. What is no mistake and may yet not be meant is told as a "
     "note.\n\n"
     "explain says what the broker would do with the statement SQL of a principal: the verdict, "
     "the "
     "rule that decides, the statement's class and digest, and all limits of the principal's role. "
     "The exit code is 0 when it may run and 2 when it is refused.\n\n"
     "No cluster is asked. The file is that of --policy, else of $PORTCULLIS_POLICY, else "
     "/etc/portcullis/broker/policy.cfg.",
     s_policy_options, sizeof s_policy_options / sizeof s_policy_options[0],
     "portcullis policy check /etc/portcullis/broker/policy.cfg\n"
     "portcullis policy explain --principal reports 'DELETE FROM demo.orders'\n"
     "# in a session, with a default schema\n"
     "portcullis policy explain -p app -S -d demo 'SET @a = 1'\n",
     pcl_command_policy},
    {"digests", "learn|list|export | allow ID...", "learn|list|allow|export", 1000,
     "keeps the lists of statements that roles send",
     "A role with digests = detect or protect has a list of digests: statements without their "
     "values. The broker writes what is not on it to a file beside it (LIST.seen).\n\n"
     "learn takes what the broker has seen, or the statements of --file, into the list, to be "
     "looked "
     "at. list shows what is on the list and what is not yet. allow marks digests as allowed: in "
     "mode protect these run and no others. export prints those that are allowed, in order, as a "
     "list for another cluster.\n\n"
     "The list is a text file, a line for each digest, with room for comments; it is replaced at "
     "once or not at all. With --policy or its default the policy file is touched, so that a "
     "broker "
     "on this host reads the list again; another one reads it when it reloads.",
     s_digests_options, sizeof s_digests_options / sizeof s_digests_options[0],
     "portcullis digests learn --role app\n"
     "portcullis digests list --role app --state seen\n"
     "portcullis digests allow --role app 6b1a4fc0f2d19e07\n"
     "# the statements of an application, before its first day\n"
     "portcullis digests learn --role app --allow --file statements.sql\n"
     "portcullis digests export --role app > app.list\n",
     pcl_command_digests},
    {"audit", "verify|tail [FOLDER|FILE ...]", "verify|tail", 1025,
     "verifies the audit log, and shows its lines",
     "verify reads the broker's audit log from its first line to its last and holds each line to "
     "the one before it: a line that was changed, is missing, was moved or cut off is named with "
     "its file, its line and its number. It prints the head, the number and the hash of the last "
     "line: noted elsewhere and given with --expect-head later, it shows that nothing was cut off "
     "since. It exits with 2 when anything was found.\n\n"
     "tail prints the last lines, or the last that pass all filters that are given.\n\n"
     "The log is a FOLDER or its FILEs, oldest first; else $PORTCULLIS_AUDIT, else var/audit, else "
     "/var/log/portcullis-broker.",
     s_audit_options, sizeof s_audit_options / sizeof s_audit_options[0],
     "portcullis audit verify /var/log/portcullis-broker\n"
     "portcullis audit verify --key audit.key --expect-head 1234:0f3a... /var/log/"
     "portcullis-broker\n"
     "portcullis audit tail -f --text --principal reports\n"
     "# what was refused today\n"
     "portcullis audit tail --refused --since \"$(date -u +%F)\"\n",
     pcl_command_audit},
    {"completion", "SHELL", "bash|zsh|fish", 1, "prints a completion script for a shell",
     "Prints a script that completes commands, options and their values in bash, zsh or fish.",
     NULL, 0,
     "source <(portcullis completion bash)\n"
     "portcullis completion zsh > ~/.zfunc/_portcullis\n"
     "portcullis completion fish > ~/.config/fish/completions/portcullis.fish\n",
     s_completion},
    {"help", "[COMMAND]",
     "query|shell|explain|cancel|ping|status|keygen|bundle|principal|policy|digests|audit|"
     "completion",
     1, "tells more of a command",
     "Tells what a command does, with its options and examples; without one, what there is.",
     s_help_options, sizeof s_help_options / sizeof s_help_options[0],
     "portcullis help query\n"
     "portcullis help --man | man -l -\n",
     s_help},
};

static const pcl_cli s_cli = {
    .program = "portcullis",
    .summary = "asks a MySQL cluster behind a Portcullis gate",
    .description =
        "Sends SQL to a MySQL cluster through its gatekeeper, the only address of the cluster that "
        "the outside reaches. Writes go to the source, reads to the node that a strategy chooses. "
        "What it needs is one file, the client bundle: addresses of the gatekeepers and keys.",
    .options = s_common_options,
    .option_count = sizeof s_common_options / sizeof s_common_options[0],
    .commands = s_commands,
    .command_count = sizeof s_commands / sizeof s_commands[0],
    .examples = "portcullis query 'SELECT 1'\n"
                "portcullis query --strategy random --route 'SELECT @@hostname'\n"
                "portcullis status\n"
                "portcullis --bundle ~/other.bundle ping\n",
    .exits =
        " 0  all is well\n"
        " 1  the database refused the statement (SQL)\n"
        " 2  the request was refused and always will be (MALFORMED, REFUSED, FORBIDDEN,\n"
        "    UNSUPPORTED, TOO_LARGE, VERSION), its session or result is GONE, or its\n"
        "    transaction was rolled back (ABORTED, EXPECT)\n"
        " 3  not now; nothing ran, so it is safe to send it again (UNAVAILABLE, NO_NODE, BEHIND,\n"
        "    OVERLOADED, DRAINING; DEADLINE and LOST of a read)\n"
        " 4  it may have run, and nobody can say (DEADLINE and LOST of a write, INTERNAL,\n"
        "    FORGED; with a broker's key in the bundle every refusal without its seal)\n"
        "64  the command line is wrong\n"
        "78  the bundle or a key file is missing or wrong\n"
        "130 it was interrupted (Ctrl-C)\n",
    .files = "$PORTCULLIS_BUNDLE\n"
             "./var/client.bundle\n"
             "var/client.bundle beside the command, and in each folder above it\n"
             "~/.config/portcullis/client.bundle\n"
             "/etc/portcullis/client.bundle\n",
};

static int s_run(pcl_cli_line *line)
{
    if (pcl_cli_has(line, "version")) {
        (void)printf("portcullis %s\n", portcullis_version());
        return PCL_EXIT_OK;
    }
    if (pcl_cli_has(line, "help")) {
        pcl_buffer text;
        pcl_buffer_init(&text, SIZE_MAX);
        pcl_cli_help(&s_cli, line->command, &text);
        int code = s_print(&text);
        pcl_buffer_release(&text);
        return code;
    }
    if (line->command == NULL) {
        return pcl_command_usage(line,
                                 "name a command: query, shell, explain, cancel, ping, status, "
                                 "keygen, bundle, principal, policy, digests, audit, completion");
    }
    return line->command->run(line);
}

int main(int argc, char **argv)
{
    /* The user's language for the width of characters only: numbers keep their point. */
    if (setlocale(LC_CTYPE, "") == NULL || strcmp(nl_langinfo(CODESET), "UTF-8") != 0) {
        (void)setlocale(LC_CTYPE, "C.UTF-8");
    }
    pcl_command_set_program(argc > 0 ? argv[0] : NULL);
    pcl_cli_line line;
    char problem[PCL_CLI_PROBLEM_SIZE];
    bool good = pcl_cli_parse(&line, &s_cli, argc > 0 ? argc - 1 : 0,
                              (const char *const *)(argv + (argc > 0 ? 1 : 0)), problem);
    int code = good ? s_run(&line) : pcl_command_usage(&line, problem);
    pcl_cli_release(&line);
    return code;
}
