#include "client/command/key_argument.h"

#include "client/command/command.h"
#include "net/file.h"
#include "net/zpl.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { KEY_FILE_SIZE_MAX = 64 * 1024 };

/* The only word of a text, when it can be a key. */
static bool s_word(pcl_bytes text, char out_key[PCL_KEY_TEXT_SIZE])
{
    while (text.size > 0 && strchr(" \t\r\n", text.data[text.size - 1]) != NULL) {
        text.size--;
    }
    if (text.size != PCL_KEY_TEXT_SIZE - 1) {
        return false;
    }
    memcpy(out_key, text.data, text.size);
    out_key[text.size] = '\0';
    return pcl_key_valid(out_key);
}

static bool s_of_text(pcl_bytes text, char out_key[PCL_KEY_TEXT_SIZE])
{
    pcl_zpl zpl;
    pcl_zpl_start(&zpl, text);
    for (pcl_zpl_result result; (result = pcl_zpl_next(&zpl)) != PCL_ZPL_END;) {
        if (result == PCL_ZPL_ITEM && strcmp(zpl.path, "curve/public-key") == 0) {
            return s_word(zpl.value, out_key);
        }
    }
    return s_word(text, out_key);
}

bool pcl_command_public_key(const char *argument, char out_key[PCL_KEY_TEXT_SIZE], char *error,
                            size_t error_size)
{
    if (access(argument, F_OK) != 0) { /* a file's name may look like a key */
        bool good = s_word(pcl_bytes_text(argument), out_key);
        if (!good) {
            (void)snprintf(error, error_size,
                           "%s: must be a public key, 40 characters of Z85, or a file with one",
                           argument);
        }
        return good;
    }
    pcl_buffer text;
    pcl_buffer_init(&text, KEY_FILE_SIZE_MAX);
    bool good = pcl_file_read(&text, argument, PCL_FILE_PUBLIC, error, error_size);
    if (good && !s_of_text(pcl_buffer_bytes(&text), out_key)) {
        (void)snprintf(error, error_size, "%s: has no public key in it", argument);
        good = false;
    }
    pcl_file_wipe(&text); /* a key file has the secret one, too */
    return good;
}

bool pcl_command_own_keys(const char *file, pcl_keys *out_keys, char *error, size_t error_size)
{
    if (access(file, F_OK) == 0) {
        return pcl_keys_load(out_keys, file, error, error_size);
    }
    pcl_keys_make(out_keys);
    if (pcl_keys_save(out_keys, file, error, error_size)) {
        return true;
    }
    pcl_keys_wipe(out_keys);
    return false;
}
