#include "net/file_watch.h"

#include "folder.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Two looks: the change, and that it lasts. */
static bool s_settles(pcl_file_watch *watch)
{
    return pcl_file_watch_look(watch) || pcl_file_watch_look(watch);
}

static void test_a_change_counts_when_it_has_lasted(void **state)
{
    (void)state;
    pcl_file_watch *watch = pcl_file_watch_new();
    const char *file = folder_write("list", "one", 0600);
    assert_true(pcl_file_watch_add(watch, file));
    assert_false(s_settles(watch));
    (void)folder_write("list", "two, longer", 0600);
    assert_false(pcl_file_watch_look(watch));
    (void)folder_write("list", "three, longer still", 0600); /* it is being written */
    assert_false(pcl_file_watch_look(watch));
    assert_true(pcl_file_watch_look(watch));
    assert_false(s_settles(watch)); /* once */
    pcl_file_watch_destroy(&watch);
}

static void test_a_file_that_is_replaced_comes_or_goes_is_noticed(void **state)
{
    (void)state;
    pcl_file_watch *watch = pcl_file_watch_new();
    const char *file = folder_write("list", "one", 0600);
    assert_true(pcl_file_watch_add(watch, folder_file("other")));
    assert_true(pcl_file_watch_add(watch, file));
    const char *fresh = folder_write("fresh", "two", 0600); /* as long, and maybe as old */
    assert_int_equal(rename(fresh, file), 0);
    assert_true(s_settles(watch));
    assert_int_equal(unlink(file), 0);
    assert_true(s_settles(watch));
    (void)folder_write("other", "here", 0600);
    assert_true(s_settles(watch));
    pcl_file_watch_clear(watch);
    (void)folder_write("other", "nobody looks any more", 0600);
    assert_false(s_settles(watch));
    pcl_file_watch_destroy(&watch);
    pcl_file_watch_destroy(&watch); /* once more is nothing */
}

static void test_there_is_room_for_so_many(void **state)
{
    (void)state;
    pcl_file_watch *watch = pcl_file_watch_new();
    for (unsigned index = 0; index < PCL_FILE_WATCH_MAX; index++) {
        assert_true(pcl_file_watch_add(watch, "/nowhere"));
    }
    assert_false(pcl_file_watch_add(watch, "/nowhere"));
    assert_false(s_settles(watch));
    pcl_file_watch_destroy(&watch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_change_counts_when_it_has_lasted),
        cmocka_unit_test(test_a_file_that_is_replaced_comes_or_goes_is_noticed),
        cmocka_unit_test(test_there_is_room_for_so_many),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
