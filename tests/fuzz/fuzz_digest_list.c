/* What a list reads it writes, in a form that reads back as the same list; rewriting a file keeps
 * what it says, and any octets can be a digest. */
#include "policy/digest_list.h"
#include "sql/digest.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void s_require(bool fact)
{
    if (!fact) {
        abort();
    }
}

static void s_require_equal(const pcl_digest_list *a, const pcl_digest_list *b)
{
    s_require(pcl_digest_list_count(a) == pcl_digest_list_count(b));
    for (uint32_t index = 0; index < pcl_digest_list_count(a); index++) {
        pcl_digest_entry left = pcl_digest_list_at(a, index);
        pcl_digest_entry right = pcl_digest_list_at(b, index);
        pcl_digest_entry found;
        s_require(left.id == right.id && left.state == right.state);
        s_require(pcl_bytes_equal(left.text, right.text));
        s_require(pcl_digest_id(left.text) == left.id);
        s_require(pcl_digest_list_find(b, left.text) == left.state);
        s_require(pcl_digest_list_get(b, left.id, &found));
    }
}

/* Over a file of `original`. */
static void s_write_and_read(const pcl_digest_list *list, pcl_bytes original)
{
    pcl_buffer file;
    pcl_buffer problems;
    pcl_digest_list *back = pcl_digest_list_new();
    pcl_buffer_init(&file, SIZE_MAX);
    pcl_buffer_init(&problems, 65536);
    s_require(back != NULL);
    s_require(pcl_digest_list_write(list, original, &file));
    s_require(pcl_digest_list_read(back, pcl_buffer_bytes(&file), "f", &problems));
    s_require(problems.size == 0);
    s_require_equal(list, back);
    pcl_digest_list_destroy(&back);
    pcl_buffer_release(&problems);
    pcl_buffer_release(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pcl_bytes text = pcl_bytes_of(data, size);
    pcl_buffer problems;
    pcl_digest_list *list = pcl_digest_list_new();
    pcl_buffer_init(&problems, 65536);
    s_require(list != NULL);
    bool good = pcl_digest_list_read(list, text, "f", &problems);
    s_require(good == (problems.size == 0 && !problems.failed));
    s_write_and_read(list, text);
    if (pcl_digest_list_put(list, text, PCL_DIGEST_ALLOWED)) {
        s_require(pcl_digest_list_find(list, text) == PCL_DIGEST_ALLOWED);
    } else {
        s_require(size == 0 || size > PCL_SQL_DIGEST_SIZE_MAX || pcl_digest_is_cut(text));
    }
    s_write_and_read(list, pcl_bytes_of(NULL, 0));
    pcl_digest_list_destroy(&list);
    pcl_buffer_release(&problems);
    return 0;
}
