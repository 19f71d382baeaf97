/* What the sources share: reading the small files of /sys and /proc by raw system calls (no malloc, no cancellation point), the clock, build-ids. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "../record/sys.h"
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

ssize_t tvg_sysfs_read(const char *path, char *out, size_t capacity)
{
    char full[768];
    size_t used = 0;
    if (!rooted(full, sizeof full, path)) return -1;
    long descriptor = tvg_sys_open(full, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0);
    if (descriptor < 0) {
        errno = (int)-descriptor;
        return -1;
    }
    while (used < capacity - 1) {
        long got = tvg_sys_read((int)descriptor, out + used, capacity - 1 - used);
        if (got == -EINTR) continue;
        if (got < 0) {
            tvg_sys_close((int)descriptor);
            errno = (int)-got;
            return -1;
        }
        if (got == 0) break;
        used += (size_t)got;
    }
    tvg_sys_close((int)descriptor);
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

bool tvg_sysfs_number(const char *path, uint64_t *value)
{
    char text[64];
    return tvg_sysfs_read(path, text, sizeof text) >= 0 && parse_number(text, value);
}

uint64_t tvg_mono_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

size_t tvg_build_id(const struct dl_phdr_info *object, uint8_t out[TVG_BUILD_ID_MAX])
{
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &object->dlpi_phdr[i];
        if (header->p_type != PT_NOTE) continue;
        const char *p = (const char *)(object->dlpi_addr + header->p_vaddr), *end = p + header->p_memsz;
        while ((size_t)(end - p) >= sizeof(ElfW(Nhdr))) {
            const ElfW(Nhdr) *note = (const ElfW(Nhdr) *)p;
            size_t name = (note->n_namesz + 3u) & ~3u, description = (note->n_descsz + 3u) & ~3u;
            if (sizeof *note + name + description > (size_t)(end - p)) break;
            const char *data = p + sizeof *note + name;
            if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 && memcmp(p + sizeof *note, "GNU", 4) == 0) {
                size_t length = note->n_descsz < TVG_BUILD_ID_MAX ? note->n_descsz : TVG_BUILD_ID_MAX;
                memcpy(out, data, length);
                return length;
            }
            p = data + description;
        }
    }
    return 0;
}
