/* Reading the small files of /sys and /proc inside a host program: plain system calls, no malloc. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tables.h"

/* The path below the root for sources, in `out`. False when it doesn't fit. */
static bool rooted(char *out, size_t capacity, const char *path)
{
    size_t a = strlen(tvg_sources_root()), b = strlen(path);
    if (a + b >= capacity) {
        errno = ENAMETOOLONG;
        return false;
    }
    memcpy(out, tvg_sources_root(), a);
    memcpy(out + a, path, b + 1);
    return true;
}

ssize_t tvg_file_read(const char *path, char *out, size_t capacity)
{
    char full[768];
    size_t used = 0;
    if (!rooted(full, sizeof full, path)) return -1;
    int descriptor = open(full, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (descriptor < 0) return -1;
    while (used < capacity - 1) {
        ssize_t got = read(descriptor, out + used, capacity - 1 - used);
        if (got < 0) {
            if (errno == EINTR) continue;
            int cause = errno;
            close(descriptor);
            errno = cause;
            return -1;
        }
        if (got == 0) break;
        used += (size_t)got;
    }
    close(descriptor);
    while (used && (out[used - 1] == '\n' || out[used - 1] == ' ' || out[used - 1] == 0)) used--;
    out[used] = 0;
    return (ssize_t)used;
}

static bool parse_number(const char *text, uint64_t *value)
{
    uint64_t number = 0;
    if (*text < '0' || *text > '9') {
        errno = EINVAL;
        return false;
    }
    for (; *text >= '0' && *text <= '9'; text++) number = number * 10 + (uint64_t)(*text - '0');
    *value = number;
    return true;
}

bool tvg_file_number(const char *path, uint64_t *value)
{
    char text[64];
    return tvg_file_read(path, text, sizeof text) >= 0 && parse_number(text, value);
}

bool tvg_descriptor_number(int descriptor, uint64_t *value)
{
    char text[64];
    ssize_t got;
    do got = pread(descriptor, text, sizeof text - 1, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0) return false;
    text[got] = 0;
    return parse_number(text, value);
}

int tvg_descriptor_lift(int descriptor)
{
    int lifted = fcntl(descriptor, F_DUPFD_CLOEXEC, 512);
    if (lifted < 0) return descriptor;
    close(descriptor);
    return lifted;
}
