#include "audit/check.h"
#include "audit/reader.h"
#include "audit/writer.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/folder.h"

enum { PATIENCE_MS = 5000 };

/* --- A disk that fails when it is told to ------------------------------------------- */

static atomic_int s_write_error; /* errno; 0: it works */
static atomic_int s_write_max;   /* octets before it fails; below 0: any number */
static atomic_int s_sync_error;
static atomic_int s_sync_count;
static atomic_int s_sync_ms; /* how long a sync takes */

static ssize_t s_fault_write(int file, const void *octets, size_t size)
{
    int left = atomic_load(&s_write_max);
    if (atomic_load(&s_write_error) != 0 && left == 0) {
        errno = atomic_load(&s_write_error);
        return -1;
    }
    if (atomic_load(&s_write_error) != 0 && left > 0 && size > (size_t)left) {
        size = (size_t)left;
    }
    ssize_t count = write(file, octets, size);
    if (atomic_load(&s_write_error) != 0 && left > 0 && count > 0) {
        atomic_fetch_sub(&s_write_max, (int)count);
    }
    return count;
}

static int s_fault_sync(int file)
{
    int wait_ms = atomic_load(&s_sync_ms);
    if (wait_ms > 0) {
        (void)poll(NULL, 0, wait_ms);
    }
    if (atomic_load(&s_sync_error) != 0) {
        errno = atomic_load(&s_sync_error);
        return -1;
    }
    atomic_fetch_add(&s_sync_count, 1);
    return fdatasync(file);
}

static const pcl_audit_disk DISK = {.write = s_fault_write, .sync = s_fault_sync};

/* --- Small things ------------------------------------------------------------------- */

static int s_make_folder(void **state)
{
    atomic_store(&s_write_error, 0);
    atomic_store(&s_write_max, 0);
    atomic_store(&s_sync_error, 0);
    atomic_store(&s_sync_count, 0);
    atomic_store(&s_sync_ms, 0);
    return folder_make(state);
}

static pcl_audit_options s_options(void)
{
    pcl_audit_options options = {
        .folder = folder_path,
        .sync = PCL_AUDIT_EACH,
        .sync_ms = 20,
        .size_max = 1 << 20,
        .keep = 100,
        .queue_size = PCL_AUDIT_QUEUE_SIZE_MIN,
        .disk = &DISK,
    };
    return options;
}

static pcl_audit *s_open_with(const pcl_audit_options *options)
{
    char error[512] = "";
    pcl_audit *audit = pcl_audit_open(options, error, sizeof error);
    if (audit == NULL) {
        fail_msg("%s", error);
    }
    return audit;
}

static pcl_audit *s_open(void)
{
    pcl_audit_options options = s_options();
    return s_open_with(&options);
}

static uint64_t s_append(pcl_audit *audit, pcl_audit_kind kind)
{
    pcl_audit_record record = {
        .time_us = UINT64_C(1795363410123456),
        .kind = kind,
        .principal = pcl_bytes_text("alice"),
        .op = pcl_bytes_text("query"),
        .sql_class = pcl_bytes_text("write"),
        .digest = pcl_bytes_text("0123456789abcdef"),
        .digest_text = pcl_bytes_text("UPDATE t SET a = ?"),
        .code = pcl_bytes_text("OK"),
    };
    return pcl_audit_append(audit, &record);
}

/* Waits as the broker does: asleep on the file descriptor. */
static bool s_wait(pcl_audit *audit, uint64_t position, pcl_audit_state state)
{
    for (int waited_ms = 0; waited_ms < PATIENCE_MS; waited_ms += 100) {
        if (pcl_audit_durable(audit) >= position && pcl_audit_get_state(audit, NULL, 0) == state) {
            return true;
        }
        struct pollfd event = {.fd = pcl_audit_fd(audit), .events = POLLIN};
        if (poll(&event, 1, 100) > 0) {
            pcl_audit_clear(audit);
            waited_ms -= 99;
        }
    }
    return false;
}

static void s_report(void *context, const char *path, uint64_t line, pcl_audit_finding finding,
                     const char *text)
{
    pcl_audit_finding *last = context;
    *last = finding;
    if (finding != PCL_AUDIT_TORN) {
        print_message("%s:%llu: %s\n", path, (unsigned long long)line, text);
    }
}

static pcl_audit_check s_checked;
static pcl_audit_finding s_finding;

/* What is in the folder is sound. */
static bool s_check_with(const uint8_t *key)
{
    char error[512] = "";
    s_finding = PCL_AUDIT_SOUND;
    pcl_audit_check_start(&s_checked, key, NULL, s_report, &s_finding);
    if (!pcl_audit_check_path(&s_checked, folder_path, error, sizeof error)) {
        fail_msg("%s", error);
    }
    return pcl_audit_check_finish(&s_checked);
}

static bool s_check(void)
{
    return s_check_with(NULL);
}

/* How many lines of the folder hold this text. */
static size_t s_count_lines(const char *text)
{
    char error[512];
    pcl_audit_files files;
    size_t count = 0;
    assert_true(pcl_audit_files_list(&files, folder_path, error, sizeof error));
    for (size_t index = 0; index < files.count; index++) {
        char name[PCL_AUDIT_NAME_SIZE];
        pcl_audit_name_format(files.numbers[index], name);
        pcl_audit_reader *reader = pcl_audit_reader_open(folder_file(name), error, sizeof error);
        assert_non_null(reader);
        pcl_bytes line;
        while (pcl_audit_reader_next(reader, &line) == PCL_AUDIT_READ_LINE) {
            char copy[2048] = "";
            memcpy(copy, line.data, line.size < sizeof copy - 1 ? line.size : sizeof copy - 1);
            count += strstr(copy, text) != NULL;
        }
        pcl_audit_reader_close(&reader);
    }
    pcl_audit_files_release(&files);
    return count;
}

static void s_append_octets(const char *name, const void *octets, size_t size)
{
    FILE *file = fopen(folder_file(name), "ae");
    assert_non_null(file);
    assert_int_equal(fwrite(octets, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

#define FIRST "audit-0000000001.log"

/* --- Tests -------------------------------------------------------------------------- */

static void test_what_is_durable_stands_in_the_file(void **state)
{
    (void)state;
    pcl_audit *audit = s_open();
    assert_string_equal(pcl_audit_notice(audit), "");
    for (int round = 0; round < 50; round++) {
        uint64_t position = s_append(audit, PCL_AUDIT_START);
        assert_int_equal(position, 2 * round + 1);
        assert_true(s_wait(audit, position, PCL_AUDIT_FINE));
        assert_int_equal(s_count_lines("kind=start"), round + 1);
        assert_int_equal(s_append(audit, PCL_AUDIT_END), 2 * round + 2);
    }
    assert_true(atomic_load(&s_sync_count) >= 50);
    pcl_audit_destroy(&audit);
    assert_null(audit);
    assert_true(s_check());
    assert_int_equal(s_checked.verify.lines, 1 + 1 + 100); /* open, digest, records */
    assert_int_equal(s_count_lines("text=\"UPDATE t SET a = \\x"), 0);
    assert_int_equal(s_count_lines("kind=digest digest=0123456789abcdef text=\"UPDATE t SET"), 1);
}

static void test_many_share_a_sync(void **state)
{
    (void)state;
    atomic_store(&s_sync_ms, 20);
    pcl_audit *audit = s_open();
    uint64_t position = 0;
    for (int round = 0; round < 200; round++) {
        position = s_append(audit, PCL_AUDIT_START);
    }
    assert_true(s_wait(audit, position, PCL_AUDIT_FINE));
    assert_in_range(atomic_load(&s_sync_count), 1, 10);
    pcl_audit_destroy(&audit);
    assert_true(s_check());
}

static void test_reads_are_written_without_a_sync_of_their_own(void **state)
{
    (void)state;
    pcl_audit_options options = s_options();
    options.sync_ms = 60000;
    pcl_audit *audit = s_open_with(&options);
    for (int round = 0; round < 100; round++) {
        assert_true(s_append(audit, PCL_AUDIT_DONE) > 0);
        (void)poll(NULL, 0, 1);
    }
    for (int waited_ms = 0; waited_ms < PATIENCE_MS && s_count_lines("kind=done") < 100;
         waited_ms += 10) {
        (void)poll(NULL, 0, 10);
    }
    assert_int_equal(s_count_lines("kind=done"), 100);
    assert_int_equal(atomic_load(&s_sync_count), 0);
    pcl_audit_destroy(&audit);
    assert_int_equal(atomic_load(&s_sync_count), 1); /* at the end all is synced */
}

static void test_a_batch_is_durable_when_it_is_written(void **state)
{
    (void)state;
    pcl_audit_options options = s_options();
    options.sync = PCL_AUDIT_BATCH;
    options.sync_ms = 60000;
    pcl_audit *audit = s_open_with(&options);
    assert_true(s_wait(audit, s_append(audit, PCL_AUDIT_START), PCL_AUDIT_FINE));
    assert_int_equal(atomic_load(&s_sync_count), 0);
    assert_int_equal(s_count_lines("kind=start"), 1);
    pcl_audit_destroy(&audit);
    options.sync_ms = 30;
    audit = s_open_with(&options);
    assert_true(s_wait(audit, s_append(audit, PCL_AUDIT_START), PCL_AUDIT_FINE));
    for (int waited_ms = 0; waited_ms < PATIENCE_MS && atomic_load(&s_sync_count) < 2;
         waited_ms += 10) {
        (void)poll(NULL, 0, 10);
    }
    assert_true(atomic_load(&s_sync_count) >= 2);
    pcl_audit_destroy(&audit);
    assert_true(s_check());
}

static void test_a_restart_goes_on_in_the_same_chain(void **state)
{
    (void)state;
    for (int run = 0; run < 3; run++) {
        pcl_audit *audit = s_open();
        assert_string_equal(pcl_audit_notice(audit), "");
        assert_true(s_wait(audit, s_append(audit, PCL_AUDIT_START), PCL_AUDIT_FINE));
        pcl_audit_destroy(&audit);
    }
    assert_true(s_check());
    assert_int_equal(s_checked.files, 1);
    assert_int_equal(s_count_lines("kind=open"), 1);
    assert_int_equal(s_count_lines("kind=resume"), 2);
}

static void test_a_torn_last_line_is_told_of_in_the_next_file(void **state)
{
    (void)state;
    pcl_audit *audit = s_open();
    assert_true(s_wait(audit, s_append(audit, PCL_AUDIT_START), PCL_AUDIT_FINE));
    pcl_audit_destroy(&audit);
    s_append_octets(FIRST, "2026-11-22T16:43:30.1", 21);
    assert_false(s_check());
    assert_int_equal(s_finding, PCL_AUDIT_CUT);
    audit = s_open();
    assert_non_null(strstr(pcl_audit_notice(audit), "21 octets"));
    assert_true(s_wait(audit, s_append(audit, PCL_AUDIT_START), PCL_AUDIT_FINE));
    pcl_audit_destroy(&audit);
    assert_true(s_check());
    assert_int_equal(s_finding, PCL_AUDIT_TORN);
    assert_int_equal(s_checked.files, 2);
    assert_int_equal(s_count_lines("torn=21"), 1);
    /* What was torn stays as it was found. */
    struct stat info;
    assert_int_equal(stat(folder_file(FIRST), &info), 0);
}

static void test_an_open_line_that_is_torn_is_told_of_too(void **state)
{
    (void)state;
    pcl_audit *audit = s_open();
    pcl_audit_destroy(&audit);
    s_append_octets(FIRST, "2026", 4);
    s_append_octets("audit-0000000002.log", "2026-1", 6);
    (void)folder_write("audit-0000000003.log", "", 0600);
    audit = s_open();
    assert_true(s_wait(audit, s_append(audit, PCL_AUDIT_START), PCL_AUDIT_FINE));
    pcl_audit_destroy(&audit);
    assert_true(s_check());
    assert_int_equal(s_count_lines("torn=10"), 1);
}

static void test_damage_is_told_and_not_built_upon(void **state)
{
    (void)state;
    pcl_audit *audit = s_open();
    assert_true(s_wait(audit, s_append(audit, PCL_AUDIT_START), PCL_AUDIT_FINE));
    pcl_audit_destroy(&audit);
    s_append_octets(FIRST, "garbage\n", 8);
    audit = s_open();
    assert_non_null(strstr(pcl_audit_notice(audit), FIRST ":4"));
    assert_true(s_wait(audit, s_append(audit, PCL_AUDIT_START), PCL_AUDIT_FINE));
    pcl_audit_destroy(&audit);
    assert_false(s_check());
    assert_int_equal(s_checked.damages, 1);
    assert_int_equal(s_checked.files, 2);
}

static void test_files_are_rotated_and_the_oldest_go(void **state)
{
    (void)state;
    pcl_audit_options options = s_options();
    options.size_max = PCL_AUDIT_SIZE_MIN;
    options.keep = 4;
    pcl_audit *audit = s_open_with(&options);
    for (int round = 0; round < 4000; round++) {
        uint64_t position = 0;
        while ((position = s_append(audit, PCL_AUDIT_START)) == 0) {
            (void)poll(NULL, 0, 1); /* the queue is full */
        }
        if (round % 100 == 0) {
            assert_true(s_wait(audit, position, PCL_AUDIT_FINE));
        }
    }
    pcl_audit_counts counts = pcl_audit_count(audit);
    pcl_audit_destroy(&audit);
    assert_in_range(counts.files, 8, 100);
    assert_true(s_check());
    assert_true(s_checked.verify.first > 1);
    assert_in_range(s_checked.files, 3, 5);
    /* Every file tells the texts of its digests. */
    assert_int_equal(s_count_lines("kind=digest"), s_checked.files);
    pcl_audit_files files;
    char error[512];
    uint64_t octets = 0;
    assert_true(pcl_audit_files_list(&files, folder_path, error, sizeof error));
    for (size_t index = 0; index < files.count; index++) {
        char name[PCL_AUDIT_NAME_SIZE];
        struct stat info;
        pcl_audit_name_format(files.numbers[index], name);
        assert_int_equal(stat(folder_file(name), &info), 0);
        octets += (uint64_t)info.st_size;
        assert_in_range(info.st_size, 0, PCL_AUDIT_SIZE_MIN + 4096);
    }
    pcl_audit_files_release(&files);
    assert_in_range(octets, 1, 4 * (PCL_AUDIT_SIZE_MIN + 4096));
}

static void test_a_full_disk_takes_no_announcement_and_recovers(void **state)
{
    (void)state;
    pcl_audit *audit = s_open();
    assert_true(s_wait(audit, s_append(audit, PCL_AUDIT_START), PCL_AUDIT_FINE));
    atomic_store(&s_write_max, 100); /* torn in the middle of a line */
    atomic_store(&s_write_error, ENOSPC);
    uint64_t waiting = s_append(audit, PCL_AUDIT_START);
    assert_true(waiting > 0);
    assert_true(s_wait(audit, 0, PCL_AUDIT_WAITING));
    char reason[512];
    assert_int_equal(pcl_audit_get_state(audit, reason, sizeof reason), PCL_AUDIT_WAITING);
    assert_non_null(strstr(reason, "No space left on device"));
    assert_int_equal(s_append(audit, PCL_AUDIT_START), 0);
    assert_int_equal(s_append(audit, PCL_AUDIT_STATEMENT), 0);
    assert_true(s_append(audit, PCL_AUDIT_END) > 0);
    assert_true(s_append(audit, PCL_AUDIT_DONE) > 0);
    assert_true(pcl_audit_durable(audit) < waiting);
    assert_int_equal(s_count_lines("kind=start"), 1);
    atomic_store(&s_write_error, 0);
    assert_true(s_wait(audit, waiting + 2, PCL_AUDIT_FINE));
    assert_true(s_wait(audit, s_append(audit, PCL_AUDIT_START), PCL_AUDIT_FINE));
    pcl_audit_destroy(&audit);
    assert_true(s_check());
    assert_int_equal(s_count_lines("kind=start"), 3);
    assert_int_equal(s_count_lines("kind=end"), 1);
    assert_int_equal(s_count_lines("kind=gap lost=2 "), 1);
}

/* The bound of a batch holds while the disk is full, too. */
static void test_what_was_written_is_synced_while_the_rest_waits(void **state)
{
    (void)state;
    pcl_audit_options options = s_options();
    options.sync = PCL_AUDIT_BATCH;
    options.sync_ms = 300;
    pcl_audit *audit = s_open_with(&options);
    uint64_t first = s_append(audit, PCL_AUDIT_START);
    assert_true(s_wait(audit, first, PCL_AUDIT_FINE));
    int before = atomic_load(&s_sync_count);
    atomic_store(&s_write_max, 10);
    atomic_store(&s_write_error, ENOSPC);
    uint64_t waiting = s_append(audit, PCL_AUDIT_START);
    assert_true(s_wait(audit, 0, PCL_AUDIT_WAITING));
    for (int waited_ms = 0; waited_ms < PATIENCE_MS && atomic_load(&s_sync_count) == before;
         waited_ms += 10) {
        (void)poll(NULL, 0, 10);
    }
    assert_true(atomic_load(&s_sync_count) > before);
    assert_true(pcl_audit_durable(audit) < waiting);
    atomic_store(&s_write_error, 0);
    assert_true(s_wait(audit, waiting, PCL_AUDIT_FINE));
    pcl_audit_destroy(&audit);
    assert_true(s_check());
}

/* Reads leave room for writes, and these for outcomes. */
static void test_the_queue_is_bounded_and_keeps_room_for_outcomes(void **state)
{
    (void)state;
    pcl_audit *audit = s_open();
    assert_true(s_wait(audit, s_append(audit, PCL_AUDIT_START), PCL_AUDIT_FINE));
    atomic_store(&s_sync_ms, 300);
    (void)s_append(audit, PCL_AUDIT_START); /* keeps the thread busy */
    (void)poll(NULL, 0, 50);
    const pcl_audit_kind kinds[] = {PCL_AUDIT_DONE, PCL_AUDIT_START, PCL_AUDIT_END};
    int taken[3] = {0};
    for (int step = 0; step < 3; step++) {
        while (s_append(audit, kinds[step]) > 0) {
            taken[step]++;
        }
        assert_in_range(taken[step], 50, PCL_AUDIT_QUEUE_SIZE_MIN / 100);
    }
    atomic_store(&s_sync_ms, 0);
    assert_true(s_wait(audit, 2 + (uint64_t)(taken[0] + taken[1] + taken[2]), PCL_AUDIT_FINE));
    assert_int_equal(pcl_audit_count(audit).lost, 3);
    pcl_audit_destroy(&audit);
    assert_true(s_check());
    assert_int_equal(s_count_lines("kind=gap lost=3 "), 1);
}

static void test_after_a_failed_sync_nothing_is_trusted(void **state)
{
    (void)state;
    pcl_audit *audit = s_open();
    assert_true(s_wait(audit, s_append(audit, PCL_AUDIT_START), PCL_AUDIT_FINE));
    uint64_t durable = pcl_audit_durable(audit);
    atomic_store(&s_sync_error, EIO);
    uint64_t position = s_append(audit, PCL_AUDIT_START);
    assert_true(s_wait(audit, 0, PCL_AUDIT_BROKEN));
    atomic_store(&s_sync_error, 0); /* the next one would succeed: that is the trap */
    (void)poll(NULL, 0, 250);
    assert_true(pcl_audit_durable(audit) == durable && durable < position);
    assert_int_equal(pcl_audit_get_state(audit, NULL, 0), PCL_AUDIT_BROKEN);
    assert_int_equal(s_append(audit, PCL_AUDIT_START), 0);
    assert_int_equal(s_append(audit, PCL_AUDIT_END), 0);
    assert_int_equal(s_append(audit, PCL_AUDIT_DONE), 0);
    pcl_audit_destroy(&audit);
}

static void test_a_disk_that_fails_breaks_it(void **state)
{
    (void)state;
    pcl_audit *audit = s_open();
    atomic_store(&s_write_max, 0);
    atomic_store(&s_write_error, EIO);
    (void)s_append(audit, PCL_AUDIT_START);
    assert_true(s_wait(audit, 0, PCL_AUDIT_BROKEN));
    pcl_audit_destroy(&audit);
}

static void test_a_file_that_was_taken_away_breaks_it(void **state)
{
    (void)state;
    pcl_audit *audit = s_open();
    assert_true(s_wait(audit, s_append(audit, PCL_AUDIT_START), PCL_AUDIT_FINE));
    uint64_t durable = pcl_audit_durable(audit);
    assert_int_equal(unlink(folder_file(FIRST)), 0);
    assert_true(s_append(audit, PCL_AUDIT_START) > 0);
    assert_true(s_wait(audit, 0, PCL_AUDIT_BROKEN));
    assert_true(pcl_audit_durable(audit) == durable);
    pcl_audit_destroy(&audit);
}

static void test_two_processes_do_not_write_in_one_folder(void **state)
{
    (void)state;
    pcl_audit *audit = s_open();
    pid_t child = fork();
    if (child == 0) {
        pcl_audit_options options = s_options();
        char error[512] = "";
        pcl_audit *second = pcl_audit_open(&options, error, sizeof error);
        _exit(second == NULL && strstr(error, "another process") != NULL ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    pcl_audit_destroy(&audit);
}

static void test_a_folder_that_cannot_be_used_is_an_error(void **state)
{
    (void)state;
    pcl_audit_options options = s_options();
    char error[512] = "";
    options.folder = "/nonexistent/audit";
    assert_null(pcl_audit_open(&options, error, sizeof error));
    assert_non_null(strstr(error, "/nonexistent/audit: "));
    options.folder = "/proc/self/status";
    assert_null(pcl_audit_open(&options, error, sizeof error));
}

static void test_a_keyed_log_needs_its_key(void **state)
{
    (void)state;
    uint8_t key[PCL_AUDIT_KEY_SIZE] = {7};
    pcl_audit_options options = s_options();
    options.key = key;
    pcl_audit *audit = s_open_with(&options);
    assert_true(s_wait(audit, s_append(audit, PCL_AUDIT_START), PCL_AUDIT_FINE));
    assert_true(s_append(audit, PCL_AUDIT_END) > 0);
    pcl_audit_finish(audit);
    assert_int_equal(s_append(audit, PCL_AUDIT_END), 0);
    pcl_audit_counts counts = pcl_audit_count(audit);
    pcl_audit_destroy(&audit);
    assert_true(s_check_with(key));
    assert_memory_equal(s_checked.verify.hash, counts.head, sizeof counts.head);
    assert_int_equal(s_checked.verify.sequence, counts.sequence);
    key[0] = 8;
    assert_false(s_check_with(key));
}

/* A process that is killed at any moment leaves a log that can be gone on with. */
static void test_a_writer_that_is_killed_loses_nothing_durable(void **state)
{
    (void)state;
    int pipes[2];
    uint64_t durable = 0;
    for (int run = 0; run < 10; run++) {
        assert_int_equal(pipe(pipes), 0);
        pid_t child = fork();
        if (child == 0) {
            pcl_audit_options options = s_options();
            char error[512];
            pcl_audit *audit = pcl_audit_open(&options, error, sizeof error);
            uint64_t told = 0;
            while (audit != NULL) {
                (void)s_append(audit, PCL_AUDIT_START);
                uint64_t now = pcl_audit_durable(audit);
                for (; told < now; told++) {
                    if (write(pipes[1], "x", 1) != 1) {
                        _exit(1);
                    }
                }
            }
            _exit(1);
        }
        (void)close(pipes[1]);
        char octets[4096];
        ssize_t count = 0;
        for (size_t seen = 0; seen < 300; seen += (size_t)count) {
            count = read(pipes[0], octets, sizeof octets);
            assert_true(count > 0);
            durable += (uint64_t)count;
        }
        assert_int_equal(kill(child, SIGKILL), 0);
        while ((count = read(pipes[0], octets, sizeof octets)) > 0) {
            durable += (uint64_t)count;
        }
        (void)close(pipes[0]);
        assert_int_equal(waitpid(child, NULL, 0), child);
    }
    pcl_audit *audit = s_open();
    pcl_audit_destroy(&audit);
    assert_true(s_check());
    assert_true(s_count_lines("kind=start") >= durable);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, s_make_folder, folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_durable_stands_in_the_file),
        TEST(test_many_share_a_sync),
        TEST(test_reads_are_written_without_a_sync_of_their_own),
        TEST(test_a_batch_is_durable_when_it_is_written),
        TEST(test_a_restart_goes_on_in_the_same_chain),
        TEST(test_a_torn_last_line_is_told_of_in_the_next_file),
        TEST(test_an_open_line_that_is_torn_is_told_of_too),
        TEST(test_damage_is_told_and_not_built_upon),
        TEST(test_files_are_rotated_and_the_oldest_go),
        TEST(test_a_full_disk_takes_no_announcement_and_recovers),
        TEST(test_what_was_written_is_synced_while_the_rest_waits),
        TEST(test_the_queue_is_bounded_and_keeps_room_for_outcomes),
        TEST(test_after_a_failed_sync_nothing_is_trusted),
        TEST(test_a_disk_that_fails_breaks_it),
        TEST(test_a_file_that_was_taken_away_breaks_it),
        TEST(test_two_processes_do_not_write_in_one_folder),
        TEST(test_a_folder_that_cannot_be_used_is_an_error),
        TEST(test_a_keyed_log_needs_its_key),
        TEST(test_a_writer_that_is_killed_loses_nothing_durable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
