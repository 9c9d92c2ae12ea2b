/* config.h - a daemon's configuration: one table, one ZPL file.
 *
 * A role describes its settings as a table; the checks, --check-config,
 * --print-config, the sample file and the manual are derived from it.  An
 * unknown key is an error, and every mistake is reported, not only the first.
 * What no setting alone can show, a role's own check adds.
 */
#ifndef PCL_NET_CONFIG_H
#define PCL_NET_CONFIG_H

#include "common/buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PCL_CONFIG_SECRET_SIZE_MAX 254u /* octets of a password in a SECRET_FILE */

typedef enum pcl_config_type {
    PCL_CONFIG_BOOL = 0,    /* 0 or 1 */
    PCL_CONFIG_UINT,        /* min..max; unit is in the name */
    PCL_CONFIG_TEXT,        /* any text of min..max octets */
    PCL_CONFIG_CHOICE,      /* one of choices, "a|b|c" */
    PCL_CONFIG_ENDPOINT,    /* tcp://host:port, ipc://path, inproc://name */
    PCL_CONFIG_ADDRESS,     /* host:port, for HTTP; "" means none */
    PCL_CONFIG_PUBLIC_KEY,  /* 40 characters Z85, or "" where the default is "" */
    PCL_CONFIG_SECRET_KEY,  /* path of a key file made by `portcullis keygen`; must exist, hold
                               both keys and be readable by its owner only */
    PCL_CONFIG_KEY_LIST,    /* path of a key list (net/keys.h); must exist and parse */
    PCL_CONFIG_SECRET_FILE, /* path of a file with a secret, and below it what it was before, a line
                               each; as SECRET_KEY for rights */
    PCL_CONFIG_PATH,        /* path; not checked here */
} pcl_config_type;

typedef struct pcl_config_entry {
    const char *path; /* "limits/inflight_max" */
    pcl_config_type type;
    uint64_t min, max;        /* UINT: the value; TEXT: octets */
    const char *default_text; /* NULL: the file must give it */
    const char *choices;      /* CHOICE only */
    bool reloadable;          /* takes effect on SIGHUP */
    const char *help;         /* one sentence; unit, meaning */
} pcl_config_entry;

typedef struct pcl_config pcl_config;

/* What settings must be to each other: calls pcl_config_problem for each mistake, and else only
 * reads.  It is called when the table's own checks are through, whatever they said, so a value may
 * be one that its entry does not allow, and is "" where it must be given and is not. */
typedef void(pcl_config_checker)(const pcl_config *config, pcl_buffer *problems);

/* Reads file against the table (entries is borrowed and must outlive the
 * result), then asks check (may be NULL).  NULL when anything is wrong: then
 * problems holds one line a mistake, "FILE: PATH: what it must be".  file
 * NULL: defaults only, of which files are not looked at, and check is not
 * asked; an entry without a default is then "". */
pcl_config *pcl_config_load(const pcl_config_entry *entries, size_t entry_count,
                            pcl_config_checker *check, const char *file, pcl_buffer *problems);
void pcl_config_destroy(pcl_config **self_p);

/* The same settings once more, with the files that they point to looked at anew.  file: for
 * problems.  NULL as above. */
pcl_config *pcl_config_renew(const pcl_config *old_config, pcl_config_checker *check,
                             const char *file, pcl_buffer *problems);

/* Walks the files whose change is taken over, those of reloadable entries: start with *cursor 0;
 * NULL is the end. */
const char *pcl_config_watched(const pcl_config *self, size_t *cursor);

/* For a checker: one line, of the setting at path. */
void pcl_config_problem(const pcl_config *self, pcl_buffer *problems, const char *path,
                        const char *format, ...) __attribute__((format(printf, 4, 5)));

/* path must stand in the table with that type; anything else is a bug and
 * asserts.  Texts are valid until destroy.  A relative path in the file is
 * taken from the file's folder, and credential:NAME from that of the
 * credentials (pcl_file_locate); it comes back complete. */
bool pcl_config_bool(const pcl_config *self, const char *path);
uint64_t pcl_config_uint(const pcl_config *self, const char *path);
const char *pcl_config_text(const pcl_config *self, const char *path); /* all other types */

/* All values as a ZPL file with the help as comments: --print-config. */
void pcl_config_print(const pcl_config *self, pcl_buffer *buffer);

/* Writes to changes one line for each entry that differs and is not reloadable
 * ("PATH: OLD -> NEW"); the second, that is. */
void pcl_config_unreloadable(const pcl_config *old_config, const pcl_config *new_config,
                             pcl_buffer *changes);
void pcl_config_reloadable(const pcl_config *old_config, const pcl_config *new_config,
                           pcl_buffer *changes);

#endif
