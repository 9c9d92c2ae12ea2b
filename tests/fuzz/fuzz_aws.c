/* Any octets are a safe answer of the metadata service and of Secrets Manager; what is taken from
 * them is within its bounds, and can go into a log line, a header or a folder. */
#include "aws/answers.h"
#include "aws/json_read.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void s_require(bool fact)
{
    if (!fact) {
        abort();
    }
}

/* Nothing that ends a line or a quoted value. */
static void s_check_word(const char *word)
{
    s_require(strlen(word) < PCL_AWS_WORD_SIZE);
    for (; *word != '\0'; word++) {
        s_require(*word > ' ' && *word <= '~' && *word != '"' && *word != '\\');
    }
}

static void s_check_secret(pcl_bytes answer)
{
    pcl_secret secret;
    pcl_buffer octets;
    pcl_buffer_init(&octets, PCL_SECRET_SIZE_MAX);
    if (pcl_secret_read(answer, &octets, &secret) == NULL) {
        s_require(secret.count >= 1 && secret.count <= PCL_SECRET_FILES_MAX);
        for (uint32_t index = 0; index < secret.count; index++) {
            const pcl_secret_file *file = &secret.files[index];
            s_require(file->name[0] != '\0' && file->name[0] != '.');
            s_require(strchr(file->name, '/') == NULL);
            s_require(file->offset + file->size <= octets.size);
        }
    }
    pcl_buffer_release(&octets);
}

static void s_check_members(pcl_bytes answer)
{
    const uint8_t *cursor = NULL;
    pcl_bytes key;
    pcl_bytes value;
    const uint8_t *end = answer.data;
    while (pcl_json_each(answer, &cursor, &key, &value)) {
        s_require(key.size >= 2 && value.size >= 1 && key.data >= end);
        s_require(value.data > key.data && value.data + value.size <= answer.data + answer.size);
        end = value.data + value.size;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pcl_bytes answer = pcl_bytes_of(data, size);
    static pcl_aws_credentials credentials;
    pcl_aws_notice notice;
    char word[PCL_AWS_WORD_SIZE];
    pcl_buffer value;
    pcl_buffer_init(&value, PCL_SECRET_SIZE_MAX);
    if (pcl_aws_word(answer, word)) {
        s_check_word(word);
    }
    if (pcl_aws_read_credentials(answer, &credentials)) {
        s_require(credentials.access_key[0] != '\0' && strchr(credentials.token, '\n') == NULL);
    }
    if (pcl_aws_read_notice(answer, &notice)) {
        s_check_word(notice.action);
    }
    if (pcl_secret_of_answer(answer, &value, word)) {
        s_check_word(word);
        s_check_secret(pcl_buffer_bytes(&value));
    }
    pcl_aws_error_type(answer, word);
    s_check_word(word);
    s_check_secret(answer);
    s_check_members(answer);
    pcl_buffer_release(&value);
    return 0;
}
