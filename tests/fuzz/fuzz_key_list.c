/* A key list that can be read holds what can be found again. */
#include "net/key_list.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void s_require(bool fact)
{
    if (!fact) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char error[256] = "";
    pcl_key_list *list = pcl_key_list_read(pcl_bytes_of(data, size), error, sizeof error);
    if (list == NULL) {
        s_require(strncmp(error, "line ", 5) == 0);
        return 0;
    }
    for (size_t index = 0; index < pcl_key_list_count(list); index++) {
        const pcl_key_entry *entry = pcl_key_list_at(list, index);
        s_require(pcl_key_valid(entry->public_key));
        s_require(pcl_key_list_find(list, entry->public_key) == entry);
    }
    pcl_key_list_destroy(&list);
    return 0;
}
