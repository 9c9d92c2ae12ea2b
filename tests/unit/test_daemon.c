/* syscall() is the C library's own. */
#define _DEFAULT_SOURCE

/* Runs itself with the argument "as-daemon" as a daemon of two roles that do
 * nothing but what the files beside it say, and looks at it from outside. */
#include "net/daemon.h"
#include "net/keys.h"
#include "net/log.h"

#include "folder.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

extern char **environ;

/* --- The daemon ------------------------------------------------------------- */

static const pcl_config_entry ENTRIES[] = {
    {"role/way", PCL_CONFIG_CHOICE, 0, 0, "good",
     "good|fails|ends|lingers|hangs|zap-ends|zap-hangs", true, "How it behaves."},
    {"role/number", PCL_CONFIG_UINT, 1, 100, NULL, NULL, true, "A number to show."},
    {"role/fixed", PCL_CONFIG_UINT, 1, 100, "1", NULL, false, "Another number."},
    {"role/list", PCL_CONFIG_KEY_LIST, 0, 0, "", NULL, true, "Others' keys."},
    {"role/key_file", PCL_CONFIG_SECRET_KEY, 0, 0, "", NULL, false, "Own keys."},
    PCL_CONFIG_COMMON,
};

typedef struct s_role {
    const char *name;
    const char *way;
    pcl_loop *loop;
    int ticks;
} s_role;

/* The handler's thread gets the signal, and is no more, or does no more. */
static void s_on_signal(int number)
{
    (void)syscall(SYS_exit, number);
}

static void s_on_hang_signal(int number)
{
    (void)number;
    for (;;) {
        (void)poll(NULL, 0, 1000);
    }
}

static void s_strike_zap(void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};
    (void)sigaction(SIGUSR1, &action, NULL);
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *entry; tasks != NULL && (entry = readdir(tasks)) != NULL;) {
        char path[300];
        char name[16] = "";
        (void)snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        FILE *file = fopen(path, "re");
        if (file != NULL && fscanf(file, "%15s", name) == 1 && strcmp(name, "zap") == 0) {
            (void)syscall(SYS_tgkill, (long)getpid(), atol(entry->d_name), SIGUSR1);
        }
        if (file != NULL) {
            (void)fclose(file);
        }
    }
    (void)closedir(tasks);
}

static void s_on_tick(void *context, uint64_t now_us)
{
    (void)now_us;
    s_role *self = context;
    if (++self->ticks != 5) {
        return;
    }
    if (strcmp(self->way, "ends") == 0) {
        pcl_loop_stop(self->loop);
    } else if (strcmp(self->way, "zap-ends") == 0) {
        s_strike_zap(s_on_signal);
    } else if (strcmp(self->way, "zap-hangs") == 0) {
        s_strike_zap(s_on_hang_signal);
    }
}

static void s_on_drain(void *context, uint64_t now_us)
{
    (void)now_us;
    s_role *self = context;
    pcl_log(PCL_LOG_INFO, self->name, "told-to-drain", "%s", "");
    while (strcmp(self->way, "hangs") == 0) {
        (void)poll(NULL, 0, 1000);
    }
}

static bool s_is_drained(void *context)
{
    const s_role *self = context;
    return strcmp(self->way, "lingers") != 0;
}

static void s_on_reload(void *context, const pcl_config *config)
{
    s_role *self = context;
    self->way = pcl_config_text(config, "role/way");
    pcl_log(PCL_LOG_INFO, self->name, "took-over", "number=%d",
            (int)pcl_config_uint(config, "role/number"));
}

static void s_run_role(zsock_t *pipe, pcl_role_args *args, const char *name)
{
    static const pcl_actor_hooks HOOKS = {
        .drain = s_on_drain, .drained = s_is_drained, .reload = s_on_reload};
    s_role self = {
        .name = name, .way = pcl_config_text(args->config, "role/way"), .loop = pcl_loop_new()};
    struct rlimit core = {1, 1};
    (void)getrlimit(RLIMIT_CORE, &core);
    pcl_log(PCL_LOG_INFO, name, "born", "dumpable=%d core=%d", prctl(PR_GET_DUMPABLE, 0, 0, 0, 0),
            (int)core.rlim_max);
    pcl_loop_set_tick(self.loop, 10000, s_on_tick, NULL, &self);
    pcl_actor_run(pipe, strcmp(self.way, "fails") != 0, self.loop, &HOOKS, &self);
    pcl_loop_destroy(&self.loop);
}

static void s_first(zsock_t *pipe, void *args)
{
    s_run_role(pipe, args, "first");
}

static void s_second(zsock_t *pipe, void *args)
{
    s_run_role(pipe, args, "second");
}

static void s_check(const pcl_config *config, pcl_buffer *problems)
{
    if (pcl_config_uint(config, "role/fixed") > pcl_config_uint(config, "role/number")) {
        pcl_config_problem(config, problems, "role/fixed", "must not be more than %s",
                           "role/number");
    }
}

static const pcl_role FIRST = {
    .name = "first",
    .summary = "The first role.",
    .entries = ENTRIES,
    .entry_count = sizeof ENTRIES / sizeof ENTRIES[0],
    .actor = s_first,
    .check = s_check,
};
static const pcl_role SECOND = {
    .name = "second",
    .summary = "The second role.",
    .entries = ENTRIES,
    .entry_count = sizeof ENTRIES / sizeof ENTRIES[0],
    .actor = s_second,
};

static int s_daemon_main(int argc, char **argv)
{
    static const pcl_role *const ROLES[] = {&FIRST, &SECOND};
    return pcl_daemon_main(argc, argv, ROLES, 2);
}

/* --- The tests -------------------------------------------------------------- */

static const char *s_program;
static pid_t s_pid;
static int s_output;        /* read end of its standard output and error */
static char s_text[262144]; /* what it has written */
static size_t s_size;

static void s_start(const char *const *options)
{
    char *argv[16] = {strdup(s_program), strdup("as-daemon")};
    size_t count = 2;
    for (; options[count - 2] != NULL; count++) {
        argv[count] = strdup(options[count - 2]);
    }
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    assert_int_equal(posix_spawn(&s_pid, s_program, &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    s_output = ends[0];
    s_size = 0;
    s_text[0] = '\0';
    while (count > 0) {
        free(argv[--count]);
    }
}

/* Reads what comes; false at the end, or when nothing comes for ten seconds. */
static bool s_read_more(void)
{
    struct pollfd item = {.fd = s_output, .events = POLLIN};
    if (poll(&item, 1, 10000) != 1) {
        kill(s_pid, SIGKILL); /* it says nothing and does not end: the test fails, not hangs */
        return false;
    }
    ssize_t count = read(s_output, s_text + s_size, sizeof s_text - 1 - s_size);
    if (count <= 0) {
        return false;
    }
    s_size += (size_t)count;
    s_text[s_size] = '\0';
    return true;
}

static void s_wait_for(const char *text)
{
    while (strstr(s_text, text) == NULL) {
        if (!s_read_more()) {
            fail_msg("not said: %s\n in: %s", text, s_text);
        }
    }
}

static int s_wait_end(void)
{
    while (s_read_more()) {
    }
    int status = 0;
    assert_int_equal(waitpid(s_pid, &status, 0), s_pid);
    close(s_output);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void s_configure(const char *name, const char *way, int number, const char *more)
{
    char text[512];
    snprintf(text, sizeof text, "role\n    way = %s\n    number = %d\n%s", way, number, more);
    folder_write(name, text, 0644);
}

static void s_start_both(void)
{
    const char *const options[] = {"--roles", "first,second", "--config-dir", folder_path, NULL};
    s_start(options);
}

static void test_signals_drain_the_outermost_first(void **state)
{
    (void)state;
    s_configure("first.cfg", "good", 1, "");
    s_configure("second.cfg", "good", 2, "");
    static const int SIGNALS[] = {SIGTERM, SIGINT};
    for (size_t index = 0; index < 2; index++) {
        s_start_both();
        s_wait_for("event=ready roles=first,second");
        kill(s_pid, SIGNALS[index]);
        assert_int_equal(s_wait_end(), 0);
        const char *first = strstr(s_text, "first event=told-to-drain");
        const char *second = strstr(s_text, "second event=told-to-drain");
        assert_non_null(first);
        assert_non_null(second);
        assert_true(first < second);
    }
}

static void test_a_drain_has_a_limit(void **state)
{
    (void)state;
    s_configure("first.cfg", "lingers", 1, "drain\n    limit_ms = 200\n");
    s_configure("second.cfg", "good", 2, "");
    s_start_both();
    s_wait_for("event=ready");
    kill(s_pid, SIGTERM);
    assert_int_equal(s_wait_end(), 0);
    assert_non_null(strstr(s_text, "warning first event=drain-limit"));
    assert_non_null(strstr(s_text, "second event=told-to-drain"));
}

static void test_a_second_signal_stops_at_once(void **state)
{
    (void)state;
    s_configure("first.cfg", "lingers", 1, "drain\n    limit_ms = 60000\n");
    s_configure("second.cfg", "good", 2, "");
    s_start_both();
    s_wait_for("event=ready");
    kill(s_pid, SIGTERM);
    s_wait_for("first event=told-to-drain");
    time_t before = time(NULL);
    kill(s_pid, SIGTERM);
    assert_int_equal(s_wait_end(), 0);
    assert_true(time(NULL) - before < 5);
}

static void test_a_role_that_cannot_open_ends_the_process(void **state)
{
    (void)state;
    s_configure("first.cfg", "good", 1, "");
    s_configure("second.cfg", "fails", 2, "");
    s_start_both();
    assert_int_equal(s_wait_end(), 1);
    assert_non_null(strstr(s_text, "error second event=failed"));
    assert_null(strstr(s_text, "event=ready"));
}

static void test_a_role_that_ends_by_itself_ends_the_process(void **state)
{
    (void)state;
    s_configure("first.cfg", "good", 1, "");
    s_configure("second.cfg", "ends", 2, "");
    s_start_both();
    assert_int_equal(s_wait_end(), 1);
    assert_non_null(strstr(s_text, "error second event=failed"));
}

static void test_a_role_that_hangs_does_not_hang_the_process(void **state)
{
    (void)state;
    s_configure("first.cfg", "hangs", 1, "drain\n    limit_ms = 100\n");
    s_configure("second.cfg", "good", 2, "");
    s_start_both();
    s_wait_for("event=ready");
    kill(s_pid, SIGTERM);
    assert_int_equal(s_wait_end(), 1);
    assert_non_null(strstr(s_text, "error first event=failed what=stop"));
}

static void test_reload_is_all_or_nothing(void **state)
{
    (void)state;
    s_configure("first.cfg", "good", 1, "");
    s_configure("second.cfg", "good", 2, "");
    s_start_both();
    s_wait_for("event=ready");
    s_configure("first.cfg", "good", 11, "    fixed = 5\n");
    s_configure("second.cfg", "good", 101, ""); /* wrong: neither is taken over */
    kill(s_pid, SIGHUP);
    s_wait_for("event=reload-refused");
    s_wait_for("second.cfg: role/number: must be a number from 1 to 100");
    s_configure("second.cfg", "good", 22, "");
    s_configure("first.cfg", "good", 11, "    fixed = 12\n"); /* each fine, not both together */
    kill(s_pid, SIGHUP);
    s_wait_for("first.cfg: role/fixed: must not be more than role/number");
    s_configure("first.cfg", "good", 11, "    fixed = 5\n");
    kill(s_pid, SIGHUP);
    s_wait_for("event=reloaded");
    assert_non_null(strstr(s_text, "info first event=changed what=\"role/number: 1 -> 11\""));
    assert_non_null(
        strstr(s_text, "warning first event=needs-restart what=\"role/fixed: 1 -> 5\""));
    assert_non_null(strstr(s_text, "first event=took-over number=11"));
    assert_non_null(strstr(s_text, "second event=took-over number=22"));
    assert_non_null(strstr(s_text, "second event=changed what=\"role/number: 2 -> 22\""));
    kill(s_pid, SIGTERM);
    assert_int_equal(s_wait_end(), 0);
}

/* A key list is looked at, without a signal; settings are not. */
static void test_a_changed_list_is_taken_over_by_itself(void **state)
{
    (void)state;
    pcl_keys keys;
    char list[256];
    pcl_keys_make(&keys);
    (void)snprintf(list, sizeof list, "alice %s\n", keys.public_key);
    folder_write("list", list, 0600);
    s_configure("first.cfg", "good", 1, "    list = list\n");
    s_configure("second.cfg", "good", 2, "");
    s_start_both();
    s_wait_for("event=ready");
    s_configure("second.cfg", "good", 3, ""); /* waits for its signal */
    folder_write("list", "carol\n", 0600);
    s_wait_for("event=reload-refused");
    s_wait_for("role/list");
    (void)snprintf(list, sizeof list, "carol %s\n", keys.public_key);
    folder_write("list", list, 0600);
    s_wait_for("event=reloaded cause=files");
    assert_non_null(strstr(s_text, "second event=took-over number=2"));
    kill(s_pid, SIGHUP);
    s_wait_for("event=reloaded cause=signal");
    assert_non_null(strstr(s_text, "second event=took-over number=3"));
    kill(s_pid, SIGTERM);
    assert_int_equal(s_wait_end(), 0);
}

/* Without it libzmq lets nobody in, so somebody has to start the process again. */
static void test_the_end_of_the_zap_handler_is_the_end_of_the_process(void **state)
{
    (void)state;
    static const struct {
        const char *way;
        time_t seconds_max; /* and room */
    } CASES[] = {{"zap-ends", 1 + 2}, {"zap-hangs", 3 + 4}};
    for (size_t index = 0; index < sizeof CASES / sizeof CASES[0]; index++) {
        s_configure("first.cfg", "good", 1, "");
        s_configure("second.cfg", CASES[index].way, 2, "");
        time_t before = time(NULL);
        s_start_both();
        assert_int_equal(s_wait_end(), 1);
        assert_true(time(NULL) - before <= CASES[index].seconds_max);
        assert_non_null(strstr(s_text, "event=ready"));
        assert_non_null(strstr(s_text, "event=failed what=zap"));
    }
}

static void test_the_process_leaves_no_dump(void **state)
{
    (void)state;
    s_configure("first.cfg", "good", 1, "");
    s_configure("second.cfg", "good", 2, "");
    s_start_both();
    s_wait_for("event=ready");
    assert_non_null(strstr(s_text, "first event=born dumpable=0 core=0"));
    kill(s_pid, SIGTERM);
    assert_int_equal(s_wait_end(), 0);
}

static unsigned s_free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static void test_an_address_in_use_ends_the_process(void **state)
{
    (void)state;
    char http[64];
    snprintf(http, sizeof http, "http\n    address = 127.0.0.1:%u\n", s_free_port());
    s_configure("first.cfg", "good", 1, http);
    s_configure("second.cfg", "good", 2, http);
    s_start_both();
    assert_int_equal(s_wait_end(), 1);
    assert_non_null(strstr(s_text, "second event=failed what=http"));
}

static void test_every_configuration_mistake_is_told_with_78(void **state)
{
    (void)state;
    folder_write("open.key", "curve\n", 0644);
    s_configure("first.cfg", "badly", 0,
                "    key_file = open.key\n    colour = blue\n    fixed = 5\n");
    folder_write("second.cfg", "log\n    level = loud\n", 0644);
    const char *const options[] = {"--check-config", "--roles",   "first,second",
                                   "--config-dir",   folder_path, NULL};
    static const char *const EXPECTED[] = {
        "first.cfg: role/way: must be one of good|",
        "first.cfg: role/number: must be a number from 1 to 100",
        "open.key: group or others have rights",
        "first.cfg: line 5: role/colour: is not a key",
        "first.cfg: role/fixed: must not be more than role/number", /* the role's own */
        "second.cfg: log/level: must be one of",
        "second.cfg: role/number: must be given",
    };
    for (size_t from = 0; from < 2; from++) { /* when checked, and when started */
        s_start(options + from);
        assert_int_equal(s_wait_end(), 78);
        for (size_t index = 0; index < sizeof EXPECTED / sizeof EXPECTED[0]; index++) {
            assert_non_null(strstr(s_text, EXPECTED[index]));
        }
    }
}

static void test_a_good_configuration_is_told_with_0(void **state)
{
    (void)state;
    s_configure("first.cfg", "good", 1, "");
    s_configure("second.cfg", "good", 2, "");
    const char *const options[] = {"--check-config", "--roles",   "second",
                                   "--config-dir",   folder_path, NULL};
    s_start(options);
    assert_int_equal(s_wait_end(), 0);
    assert_non_null(strstr(s_text, "second.cfg: ok\n"));
    assert_null(strstr(s_text, "first.cfg"));
}

static void test_usage_help_version_and_printing(void **state)
{
    (void)state;
    static const struct {
        const char *options[4];
        int code;
        const char *expected;
    } CASES[] = {
        {{"--nonsense", NULL}, 64, "--nonsense: no such option"},
        {{"--roles", "third", NULL}, 64, "names a role that is not in this program"},
        {{"--help", NULL}, 0, "role/number\n      A number to show.\n"},
        {{"--version", NULL}, 0, " " PCL_VERSION "\n"},
        {{"--print-config", "--roles", "first", NULL}, 0, "    # A number to show.\n"},
    };
    for (size_t index = 0; index < sizeof CASES / sizeof CASES[0]; index++) {
        s_start(CASES[index].options);
        assert_int_equal(s_wait_end(), CASES[index].code);
        assert_non_null(strstr(s_text, CASES[index].expected));
    }
}

int main(int argc, char **argv)
{
    s_program = argv[0];
    if (argc > 1 && strcmp(argv[1], "as-daemon") == 0) {
        return s_daemon_main(argc - 1, argv + 1);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signals_drain_the_outermost_first),
        cmocka_unit_test(test_a_drain_has_a_limit),
        cmocka_unit_test(test_a_second_signal_stops_at_once),
        cmocka_unit_test(test_a_role_that_cannot_open_ends_the_process),
        cmocka_unit_test(test_a_role_that_ends_by_itself_ends_the_process),
        cmocka_unit_test(test_a_role_that_hangs_does_not_hang_the_process),
        cmocka_unit_test(test_reload_is_all_or_nothing),
        cmocka_unit_test(test_a_changed_list_is_taken_over_by_itself),
        cmocka_unit_test(test_the_end_of_the_zap_handler_is_the_end_of_the_process),
        cmocka_unit_test(test_the_process_leaves_no_dump),
        cmocka_unit_test(test_an_address_in_use_ends_the_process),
        cmocka_unit_test(test_every_configuration_mistake_is_told_with_78),
        cmocka_unit_test(test_a_good_configuration_is_told_with_0),
        cmocka_unit_test(test_usage_help_version_and_printing),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
