/* Runs a fuzz target over the files named on the command line; no file at all
 * is a failure, since then nothing was tested. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
    static uint8_t octets[4u << 20];
    for (int arg = 1; arg < argc; arg++) {
        FILE *file = fopen(argv[arg], "rb");
        if (file == NULL) {
            perror(argv[arg]);
            return EXIT_FAILURE;
        }
        size_t size = fread(octets, 1, sizeof octets, file);
        fclose(file);
        (void)LLVMFuzzerTestOneInput(octets, size);
    }
    printf("%d inputs replayed\n", argc - 1);
    return argc > 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}
