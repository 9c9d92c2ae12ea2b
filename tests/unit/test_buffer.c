#include "common/buffer.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

static void test_a_write_over_the_bound_writes_nothing(void **state)
{
    (void)state;
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, 4);
    pcl_buffer_put(&buffer, "abc", 3);
    pcl_buffer_put(&buffer, "de", 2);
    assert_true(buffer.failed);
    assert_false(buffer.out_of_memory);
    assert_int_equal(buffer.size, 3);
    pcl_buffer_put(&buffer, "d", 1); /* would fit, but the encoding is broken already */
    assert_int_equal(buffer.size, 3);
    pcl_buffer_clear(&buffer);
    pcl_buffer_put(&buffer, "wxyz", 4);
    assert_false(buffer.failed);
    assert_memory_equal(buffer.data, "wxyz", 4);
    pcl_buffer_release(&buffer);
}

static void test_taken_octets_are_the_callers(void **state)
{
    (void)state;
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, 1u << 20);
    for (int count = 0; count < 100000; count++) {
        pcl_buffer_put_u8(&buffer, (uint8_t)count);
    }
    size_t size = 0;
    uint8_t *octets = pcl_buffer_take(&buffer, &size);
    assert_int_equal(size, 100000);
    assert_int_equal(octets[99999], 99999 % 256);
    assert_int_equal(buffer.size, 0);
    assert_null(buffer.data);
    free(octets);
    assert_null(pcl_buffer_take(&buffer, &size));
    assert_int_equal(size, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_write_over_the_bound_writes_nothing),
        cmocka_unit_test(test_taken_octets_are_the_callers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
