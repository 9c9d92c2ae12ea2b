/* command.h - what the subcommands share. */
#ifndef PCL_CLIENT_COMMAND_COMMAND_H
#define PCL_CLIENT_COMMAND_COMMAND_H

#include "client/command/cli.h"
#include "client/portcullis.h"

#include <stdio.h>

/* Exit codes: stable, and told by --help. */
typedef enum pcl_exit {
    PCL_EXIT_OK = 0,
    PCL_EXIT_SQL = 1,           /* the database refused */
    PCL_EXIT_REFUSED = 2,       /* the request will always be refused */
    PCL_EXIT_RETRY = 3,         /* nothing ran, or it left no trace */
    PCL_EXIT_UNKNOWN = 4,       /* it may have run */
    PCL_EXIT_USAGE = 64,        /* EX_USAGE */
    PCL_EXIT_CONFIG = 78,       /* EX_CONFIG */
    PCL_EXIT_INTERRUPTED = 130, /* as shells have it: 128 and SIGINT */
} pcl_exit;

/* The subcommands. */
int pcl_command_query(const pcl_cli_line *line);
int pcl_command_explain(const pcl_cli_line *line);
int pcl_command_ping(const pcl_cli_line *line);
int pcl_command_status(const pcl_cli_line *line);
int pcl_command_cancel(const pcl_cli_line *line);
int pcl_command_keygen(const pcl_cli_line *line);
int pcl_command_bundle(const pcl_cli_line *line);
int pcl_command_principal(const pcl_cli_line *line);
int pcl_command_policy(const pcl_cli_line *line);
int pcl_command_digests(const pcl_cli_line *line);
int pcl_command_audit(const pcl_cli_line *line);

/* How the program was started, for finding the bundle.  Set once, by main. */
void pcl_command_set_program(const char *path);

/* Says what is wrong with the command line; PCL_EXIT_USAGE. */
int pcl_command_usage(const pcl_cli_line *line, const char *problem);

/* The bundle that is found where none is named; false: there is none. */
bool pcl_command_find_bundle(char *path, size_t path_size) PCL_MUST_CHECK;

/* The client of --bundle or of the bundle that is found.  NULL: it has been said why;
 * PCL_EXIT_CONFIG. */
portcullis *pcl_command_open(const pcl_cli_line *line);
/* The same, causal. */
portcullis *pcl_command_open_causal(const pcl_cli_line *line);

/* What earlier runs have seen, from a file that need not be there; and what this one has seen, to
 * it. false: it has been said why. */
bool pcl_command_load_tokens(portcullis *client, const char *file) PCL_MUST_CHECK;
bool pcl_command_save_tokens(portcullis *client, const char *file) PCL_MUST_CHECK;

/* Shows the cluster's state, for people or as JSON; timeout_ms 0: the client's.  Exit code. */
int pcl_command_show_status(portcullis *client, uint32_t timeout_ms, bool json);

/* The id of a request, 16 octets: 32 hexadecimal digits, with or without dashes.  false: it is
 * none. */
#define PCL_COMMAND_ID_RULE "must be 32 hexadecimal digits; dashes may stand between them"
bool pcl_command_parse_id(const char *text, uint8_t *out_id) PCL_MUST_CHECK;

/* The policy file of --policy, of $PORTCULLIS_POLICY, or where the package has it. */
#define PCL_COMMAND_POLICY_FILE "/etc/portcullis/broker/policy.cfg"
const char *pcl_command_policy_file(const pcl_cli_line *line);
/* Where the package has a gatekeeper's list of clients; $PORTCULLIS_CLIENTS names another. */
#define PCL_COMMAND_CLIENTS_FILE "/etc/portcullis/gatekeeper/clients.keys"
/* Lines of problems, on standard error. */
void pcl_command_put_problems(pcl_bytes problems);

/* Exit code of a result. */
int pcl_command_exit(const portcullis_result *result);

/* Tells a failure on standard error, in one line with what to do about it; its exit code.
 * what: NULL or where it happened ("statement 3"). */
int pcl_command_fail(const portcullis_result *result, const char *what);

/* Writes text with what a terminal would obey escaped. */
void pcl_command_put_text(FILE *stream, const char *text);

/* A FILE, as a pcl_format_sink; NULL: standard output.  false when nobody reads any more. */
bool pcl_command_write(void *context, pcl_bytes text);

/* Adds the values of all --param.  false: problem (PCL_CLI_PROBLEM_SIZE) says why. */
bool pcl_command_add_params(const pcl_cli_line *line, portcullis_request *request,
                            char *problem) PCL_MUST_CHECK;

/* "any", "source", "max-lag=MS", "after=TOKEN".  false: *out_problem says what it must
 * be. */
bool pcl_command_set_consistency(portcullis_request *request, const char *text,
                                 const char **out_problem);

/* "route: node=n2 role=replica ..." on standard error. */
void pcl_command_put_route(const portcullis_result *result);

#endif
