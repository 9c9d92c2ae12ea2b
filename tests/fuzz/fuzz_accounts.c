/* Property: whatever stands in a file of accounts is read or refused with a reason; what is read
 * shares no account, leaves the settings' own pair alone and covers no schema that is not for
 * clients. */
#include "worker-agent/accounts.h"

#include "worker-agent/schemas.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void s_check(const pcl_accounts_list *list)
{
    assert(list->count >= 1 && list->count <= PCL_ACCOUNTS_MAX);
    assert(strcmp(list->items[0].read_user, PCL_USER_READ) == 0);
    for (uint32_t index = 0; index < list->count; index++) {
        const pcl_accounts *item = &list->items[index];
        assert(item->index == index);
        assert(pcl_accounts_find(list, pcl_bytes_text(item->name)) == item);
        assert(item->read_user[0] != '\0' && item->write_user[0] != '\0');
        assert(strcmp(item->read_user, item->write_user) != 0);
        for (uint32_t other = 0; other < index; other++) {
            const pcl_accounts *earlier = &list->items[other];
            assert(strcmp(item->read_user, earlier->read_user) != 0);
            assert(strcmp(item->read_user, earlier->write_user) != 0);
            assert(strcmp(item->write_user, earlier->read_user) != 0);
            assert(strcmp(item->write_user, earlier->write_user) != 0);
        }
        const char *cursor = item->schemas;
        pcl_bytes pattern;
        while ((pattern = pcl_schemas_next(&cursor)).size > 0) {
            assert(pcl_schemas_reserved(pattern) == NULL);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > PCL_ACCOUNTS_FILE_SIZE_MAX) {
        return 0;
    }
    pcl_accounts_list *list = pcl_accounts_list_new();
    pcl_accounts *own = pcl_accounts_list_add(list, pcl_bytes_text("app"), "demo shop_%");
    assert(own != NULL);
    (void)snprintf(own->read_user, sizeof own->read_user, PCL_USER_READ);
    (void)snprintf(own->write_user, sizeof own->write_user, PCL_USER_WRITE);
    pcl_accounts_rules rules = {.file = "f", .schemas = own->schemas, .admin_user = "root"};
    pcl_buffer problems;
    pcl_buffer_init(&problems, 4096);
    if (pcl_accounts_parse(list, pcl_bytes_of(data, size), &rules, &problems)) {
        assert(problems.size == 0 && !problems.failed);
        s_check(list);
    } else {
        assert(problems.size > 0);
    }
    pcl_buffer_release(&problems);
    pcl_accounts_list_destroy(&list);
    return 0;
}
