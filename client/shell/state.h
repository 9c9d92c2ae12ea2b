/* state.h - what the files of the shell share; for client/shell/ only.
 *
 *   shell.c  what is typed, commands, settings, life
 *   run.c    statements, their results page by page, the session
 */
#ifndef PCL_CLIENT_SHELL_STATE_H
#define PCL_CLIENT_SHELL_STATE_H

#include "client/command/cli.h"
#include "client/format.h"
#include "client/portcullis.h"
#include "client/shell/catalog.h"
#include "client/shell/input.h"

#define PCL_SHELL_DB_SIZE      257u
#define PCL_SHELL_SETTING_SIZE 640u

typedef struct pcl_shell {
    const pcl_cli_line *line;
    portcullis *client;
    portcullis_session *session; /* NULL: none is open */
    bool plain;                  /* the session was opened without a transaction: COMMIT is SQL's */
    pcl_shell_catalog catalog;
    pcl_shell_input *input;     /* the one being read, for completion and the prompt */
    char db[PCL_SHELL_DB_SIZE]; /* "": the account's */
    char strategy[32];          /* "": the cluster's */
    char consistency[PCL_SHELL_SETTING_SIZE];
    char pager[PCL_SHELL_SETTING_SIZE]; /* "": none */
    uint32_t timeout_ms;                /* 0: the client's */
    uint32_t page_rows;                 /* 0: the cluster's */
    pcl_format format;
    bool route, explain, timing;
    bool talks; /* standard input and output are terminals */
    bool force; /* goes on after a failure, as one who talks does */
    bool named; /* the catalog was read */
    bool quit;
    uint32_t depth; /* of \source */
    int failure;    /* exit code of the first failure; 0: none */
} pcl_shell;

/* Keeps the exit code of the first failure. */
void pcl_shell_note(pcl_shell *self, int code);
/* A mistake of whoever typed. */
void pcl_shell_complain(pcl_shell *self, const char *problem);

/* As pcl_command_set_consistency; "causal": what the shell's statements have seen, at least. */
bool pcl_shell_put_consistency(portcullis_request *request, const char *text,
                               const char **out_problem);

/* Runs a statement, in the session when one is open, and shows what it gives. */
void pcl_shell_run(pcl_shell *self, pcl_bytes sql, bool vertical);

/* how: "read-only", "plain" or nothing. */
void pcl_shell_begin(pcl_shell *self, pcl_bytes how);
void pcl_shell_end(pcl_shell *self, bool commit);

#endif
