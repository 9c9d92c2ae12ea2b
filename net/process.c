/* getrusage() is an X/Open extension. */
#define _XOPEN_SOURCE 700

#include "net/process.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

static void s_put(pcl_buffer *buffer, const char *name, const char *kind, const char *help,
                  double value)
{
    char text[512];
    int size = snprintf(text, sizeof text,
                        "# HELP portcullis_process_%s %s\n# TYPE portcullis_process_%s %s\n"
                        "portcullis_process_%s %.17g\n",
                        name, help, name, kind, name, value);
    if (size > 0 && (size_t)size < sizeof text) {
        pcl_buffer_put(buffer, text, (size_t)size);
    }
}

uint64_t pcl_process_resident_size(void)
{
    unsigned long total = 0;
    unsigned long resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file != NULL) {
        if (fscanf(file, "%lu %lu", &total, &resident) != 2) {
            resident = 0;
        }
        (void)fclose(file); /* it was only read */
    }
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static unsigned s_open_files(void)
{
    unsigned count = 0;
    DIR *folder = opendir("/proc/self/fd");
    if (folder != NULL) {
        for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
            count += entry->d_name[0] != '.';
        }
        (void)closedir(folder);
        count -= count > 0; /* the folder's own */
    }
    return count;
}

static double s_seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

void pcl_process_render(pcl_buffer *buffer)
{
    uint64_t resident = pcl_process_resident_size();
    if (resident > 0) {
        s_put(buffer, "resident_memory_bytes", "gauge", "Memory of the process that is resident.",
              (double)resident);
    }
    unsigned files = s_open_files();
    if (files > 0) {
        s_put(buffer, "open_fds", "gauge", "File descriptors in use.", (double)files);
    }
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        s_put(buffer, "cpu_seconds_total", "counter", "Processor time used, user and system.",
              s_seconds(usage.ru_utime) + s_seconds(usage.ru_stime));
    }
}

void pcl_process_trim(void)
{
#ifdef __GLIBC__
    (void)malloc_trim(0); /* says whether there was any */
#endif
}
