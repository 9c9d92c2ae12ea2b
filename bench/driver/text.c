#include "bench/driver/text.h"

#include <stdarg.h>
#include <stdio.h>

void pcl_text_put(pcl_buffer *buffer, const char *format, ...)
{
    char text[512];
    va_list values;
    va_start(values, format);
    int size = vsnprintf(text, sizeof text, format, values);
    va_end(values);
    if (size > 0) {
        size_t kept = (size_t)size < sizeof text ? (size_t)size : sizeof text - 1;
        pcl_buffer_put(buffer, text, kept);
    }
}
