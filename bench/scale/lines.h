/* lines.h - orders, a line each, from a descriptor that nobody may wait for. */
#ifndef PCL_BENCH_SCALE_LINES_H
#define PCL_BENCH_SCALE_LINES_H

#include <stdbool.h>
#include <stddef.h>

#define PCL_LINE_SIZE 256u /* with its end; a longer line is the end of all */

typedef struct pcl_lines {
    int fd;
    bool ended; /* nothing more will come */
    size_t size;
    char text[PCL_LINE_SIZE];
} pcl_lines;

/* fd is made non-blocking. */
pcl_lines pcl_lines_of(int fd);

/* Takes the next line, without its end.  false: there is none now, or never will be (ended). */
bool pcl_lines_next(pcl_lines *self, char out_line[PCL_LINE_SIZE]);

#endif
