/* keygen - a pair of CURVE keys, in a file that only its owner reads. */
#include "client/command/command.h"
#include "net/keys.h"

int pcl_command_keygen(const pcl_cli_line *line)
{
    const char *file = line->operand_count > 0 ? line->operands[0] : "portcullis.key";
    char error[512];
    pcl_keys keys;
    pcl_keys_make(&keys);
    bool saved = pcl_keys_save(&keys, file, error, sizeof error);
    if (saved) {
        (void)printf("%s\n", keys.public_key);
    } else {
        (void)fprintf(stderr, "portcullis: %s\n", error);
    }
    pcl_keys_wipe(&keys);
    return saved ? PCL_EXIT_OK : PCL_EXIT_CONFIG;
}
