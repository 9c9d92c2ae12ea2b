#include "net/keys.h"

#include "net/file.h"
#include "net/zpl.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

enum { KEY_FILE_SIZE_MAX = 64 * 1024 };

static bool s_fail(char *error, size_t error_size, const char *file, const char *why)
{
    snprintf(error, error_size, "%s: %s", file, why);
    return false;
}

void pcl_keys_make(pcl_keys *out_keys)
{
    assert(out_keys != NULL);
    int rc = zmq_curve_keypair(out_keys->public_key, out_keys->secret_key);
    assert(rc == 0); /* fails only when libzmq is built without CURVE */
}

void pcl_keys_wipe(pcl_keys *keys)
{
    assert(keys != NULL);
    sodium_memzero(keys, sizeof *keys);
}

bool pcl_key_valid(const char *z85)
{
    static const char ALPHABET[] = "0123456789abcdefghijklmnopqrstuvwxyz"
                                   "ABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
    uint8_t key[32];
    return z85 != NULL && strlen(z85) == PCL_KEY_TEXT_SIZE - 1 &&
           strspn(z85, ALPHABET) == PCL_KEY_TEXT_SIZE - 1 && zmq_z85_decode(key, z85) != NULL;
}

/* Takes the two keys out of a file's text; NULL, or the fault. */
static const char *s_parse(pcl_keys *keys, pcl_bytes text)
{
    pcl_zpl zpl;
    pcl_zpl_start(&zpl, text);
    pcl_zpl_result result;
    while ((result = pcl_zpl_next(&zpl)) == PCL_ZPL_ITEM) {
        char *target = strcmp(zpl.path, "curve/public-key") == 0   ? keys->public_key
                       : strcmp(zpl.path, "curve/secret-key") == 0 ? keys->secret_key
                                                                   : NULL;
        if (target == NULL) {
            continue; /* metadata, which zcert allows */
        }
        if (target[0] != '\0') {
            return "a key stands twice";
        }
        if (zpl.value.size != PCL_KEY_TEXT_SIZE - 1) {
            return "a key must be 40 characters of Z85, in quotes";
        }
        memcpy(target, zpl.value.data, zpl.value.size);
        target[zpl.value.size] = '\0';
    }
    if (result == PCL_ZPL_BAD) {
        return zpl.fault;
    }
    if (!pcl_key_valid(keys->public_key)) {
        return "curve/public-key must be 40 characters of Z85, in quotes";
    }
    if (!pcl_key_valid(keys->secret_key)) {
        return "curve/secret-key must be 40 characters of Z85, in quotes";
    }
    char public_key[PCL_KEY_TEXT_SIZE];
    if (zmq_curve_public(public_key, keys->secret_key) != 0 ||
        strcmp(public_key, keys->public_key) != 0) {
        return "curve/public-key does not belong to curve/secret-key";
    }
    return NULL;
}

bool pcl_keys_load(pcl_keys *out_keys, const char *file, char *error, size_t error_size)
{
    assert(out_keys != NULL && file != NULL && error != NULL);
    pcl_buffer text;
    pcl_buffer_init(&text, KEY_FILE_SIZE_MAX);
    bool fine = pcl_file_read(&text, file, PCL_FILE_SECRET, error, error_size);
    if (fine) {
        pcl_keys keys = {.public_key = ""};
        const char *fault = s_parse(&keys, pcl_buffer_bytes(&text));
        if (fault == NULL) {
            *out_keys = keys;
        } else {
            fine = s_fail(error, error_size, file, fault);
        }
        pcl_keys_wipe(&keys);
    }
    pcl_file_wipe(&text);
    return fine;
}

static bool s_write_all(int fd, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t count = write(fd, text, size);
        if (count < 0 && errno != EINTR) {
            return false;
        }
        if (count > 0) {
            text += count;
            size -= (size_t)count;
        }
    }
    return fsync(fd) == 0;
}

bool pcl_keys_save(const pcl_keys *keys, const char *file, char *error, size_t error_size)
{
    assert(keys != NULL && file != NULL && error != NULL);
    char text[256];
    int size = snprintf(text, sizeof text,
                        "# CURVE secret key: keep it from others.\n"
                        "curve\n"
                        "    public-key = \"%s\"\n"
                        "    secret-key = \"%s\"\n",
                        keys->public_key, keys->secret_key);
    assert(size > 0 && (size_t)size < sizeof text);
    int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool fine = fd >= 0;
    if (!fine) {
        s_fail(error, error_size, file, strerror(errno));
    } else {
        bool written = s_write_all(fd, text, (size_t)size);
        fine = close(fd) == 0 && written;
        if (!fine) {
            s_fail(error, error_size, file, strerror(errno));
            (void)unlink(file); /* half a key file helps nobody */
        }
    }
    sodium_memzero(text, sizeof text);
    return fine;
}
