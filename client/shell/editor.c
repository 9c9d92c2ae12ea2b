#include "client/shell/editor.h"

#include <errno.h>
#include <histedit.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define HISTORY_MAX    2000
#define COMMON_MAX     512u /* octets of a completion */
#define LISTED_MAX     200u
#define CANDIDATE_SIZE 280u

struct pcl_shell_editor {
    pcl_shell_editor_calls calls;
    EditLine *line;
    History *history;
    char *history_file;
    bool interrupted;
};

/* --- Completion -------------------------------------------------------------- */

/* The candidates of one press of the key. */
typedef struct choices {
    uint32_t count;
    char common[COMMON_MAX]; /* what all begin with */
    size_t common_size;
    char listed[LISTED_MAX][CANDIDATE_SIZE];
} choices;

static bool s_take(void *context, pcl_bytes text)
{
    choices *self = context;
    if (text.size >= CANDIDATE_SIZE) {
        return true;
    }
    for (uint32_t index = 0; index < self->count; index++) {
        if (pcl_bytes_is(text, self->listed[index])) {
            return true;
        }
    }
    if (self->count == 0) {
        memcpy(self->common, text.data, text.size);
        self->common_size = text.size;
    }
    size_t same = 0;
    while (same < self->common_size && same < text.size &&
           self->common[same] == (char)text.data[same]) {
        same++;
    }
    self->common_size = same;
    (void)snprintf(self->listed[self->count], CANDIDATE_SIZE, "%.*s", (int)text.size,
                   (const char *)text.data);
    self->count++;
    return self->count < LISTED_MAX;
}

static void s_list(const choices *found)
{
    enum { WIDTH = 78, GAP = 2 };
    size_t widest = 0;
    for (uint32_t index = 0; index < found->count; index++) {
        size_t size = strlen(found->listed[index]);
        widest = size > widest ? size : widest;
    }
    uint32_t columns = (uint32_t)(WIDTH / (widest + GAP));
    columns = columns == 0 ? 1 : columns;
    for (uint32_t index = 0; index < found->count; index++) {
        (void)printf("%s%-*s", index % columns == 0 ? "\n" : "  ", (int)widest,
                     found->listed[index]);
    }
    (void)printf("%s\n", found->count == LISTED_MAX ? "\n..." : "");
    (void)fflush(stdout);
}

static unsigned char s_on_tab(EditLine *line, int key)
{
    (void)key;
    pcl_shell_editor *self = NULL;
    (void)el_get(line, EL_CLIENTDATA, &self);
    const LineInfo *info = el_line(line);
    static choices found; /* too large for a stack; one editor a process */
    found.count = 0;
    found.common_size = 0;
    pcl_bytes text = pcl_bytes_of(info->buffer, (size_t)(info->cursor - info->buffer));
    size_t typed = self->calls.complete(self->calls.context, text, s_take, &found);
    if (found.count == 0) {
        return CC_ERROR;
    }
    bool longer = found.common_size > typed;
    bool other = found.common_size == typed && typed > 0 &&
                 memcmp(info->cursor - typed, found.common, typed) != 0;
    if (found.count > 1 && !longer && !other) {
        s_list(&found);
        return CC_REDISPLAY;
    }
    char inserted[COMMON_MAX + 2];
    (void)snprintf(inserted, sizeof inserted, "%.*s%s", (int)found.common_size, found.common,
                   found.count == 1 ? " " : "");
    el_deletestr(line, (int)typed);
    return el_insertstr(line, inserted) == 0 ? CC_REFRESH : CC_ERROR;
}

/* --- The line ---------------------------------------------------------------- */

static unsigned char s_on_interrupt(EditLine *line, int key)
{
    (void)key;
    pcl_shell_editor *self = NULL;
    (void)el_get(line, EL_CLIENTDATA, &self);
    self->interrupted = true;
    return CC_NEWLINE;
}

static char *s_prompt(EditLine *line)
{
    static char text[128];
    pcl_shell_editor *self = NULL;
    (void)el_get(line, EL_CLIENTDATA, &self);
    (void)snprintf(text, sizeof text, "%s", self->calls.prompt(self->calls.context));
    return text;
}

static bool s_open_history(pcl_shell_editor *self, const char *file)
{
    HistEvent event;
    self->history = history_init();
    if (self->history == NULL) {
        return false;
    }
    (void)history(self->history, &event, H_SETSIZE, HISTORY_MAX);
    (void)history(self->history, &event, H_SETUNIQUE, 1);
    if (file != NULL) {
        self->history_file = strdup(file);
        (void)history(self->history, &event, H_LOAD, file); /* there may be none yet */
    }
    return true;
}

pcl_shell_editor *pcl_shell_editor_new(const pcl_shell_editor_calls *calls,
                                       const char *history_file)
{
    pcl_shell_editor *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    self->calls = *calls;
    self->line = el_init("portcullis", stdin, stdout, stderr);
    if (self->line == NULL || !s_open_history(self, history_file)) {
        pcl_shell_editor_destroy(&self);
        return NULL;
    }
    EditLine *line = self->line;
    (void)el_set(line, EL_CLIENTDATA, self);
    (void)el_set(line, EL_PROMPT, s_prompt);
    (void)el_set(line, EL_EDITOR, "emacs");
    (void)el_set(line, EL_HIST, history, self->history);
    (void)el_set(line, EL_ADDFN, "pcl-complete", "completes names", s_on_tab);
    (void)el_set(line, EL_ADDFN, "pcl-interrupt", "throws the line away", s_on_interrupt);
    (void)el_source(line, NULL); /* the user's ~/.editrc; what follows is ours in any case */
    (void)el_set(line, EL_BIND, "^I", "pcl-complete", NULL);
    (void)el_set(line, EL_BIND, "^R", "em-inc-search-prev", NULL);
    /* While a line is edited Ctrl-C is a key, not a signal (`intr=` alone leaves it one). */
    (void)el_set(line, EL_SETTY, "-d", "-isig", NULL);
    (void)el_set(line, EL_BIND, "^C", "pcl-interrupt", NULL);
    return self;
}

void pcl_shell_editor_destroy(pcl_shell_editor **self_p)
{
    pcl_shell_editor *self = *self_p;
    if (self == NULL) {
        return;
    }
    if (self->line != NULL) {
        el_end(self->line);
    }
    if (self->history != NULL) {
        history_end(self->history);
    }
    free(self->history_file);
    free(self);
    *self_p = NULL;
}

/* A statement that sets a password is not for a file. */
static bool s_has_secret(const char *text)
{
    static const char *const words[] = {"identified by", "password"};
    for (size_t index = 0; index < sizeof words / sizeof words[0]; index++) {
        size_t size = strlen(words[index]);
        for (const char *at = text; *at != '\0'; at++) {
            size_t same = 0;
            while (same < size &&
                   ((unsigned char)at[same] | 0x20u) == (unsigned char)words[index][same]) {
                same++;
            }
            if (same == size) {
                return true;
            }
        }
    }
    return false;
}

static void s_remember(pcl_shell_editor *self, const char *text)
{
    HistEvent event;
    if (text[strspn(text, " \t\r\n")] == '\0' || s_has_secret(text)) {
        return;
    }
    (void)history(self->history, &event, H_ENTER, text);
    if (self->history_file != NULL) {
        mode_t old_mask = umask(077);
        (void)history(self->history, &event, H_SAVE, self->history_file);
        (void)umask(old_mask);
    }
}

pcl_shell_line pcl_shell_editor_read(pcl_shell_editor *self, pcl_bytes *out_line)
{
    int size = 0;
    self->interrupted = false;
    errno = 0;
    const char *text = el_gets(self->line, &size);
    if (self->interrupted) {
        (void)fputs("^C\n", stdout);
        return PCL_SHELL_INTERRUPTED;
    }
    if (text == NULL || size <= 0) {
        return text == NULL && errno == EINTR ? PCL_SHELL_INTERRUPTED : PCL_SHELL_END;
    }
    s_remember(self, text);
    size_t length = (size_t)size;
    if (text[length - 1] == '\n') {
        length--;
    }
    *out_line = pcl_bytes_of(text, length);
    return PCL_SHELL_LINE;
}
