/* The sources that exist, and what they share among themselves. */
#ifndef TVG_SHIM_SOURCE_TABLES_H
#define TVG_SHIM_SOURCE_TABLES_H

#include <stdbool.h>
#include <link.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "source.h"

extern const struct tvg_source tvg_source_rapl, tvg_source_papi, tvg_source_stacks, tvg_source_nvml, tvg_source_cupti, tvg_source_dark;

/* Reads a whole small file (of /sys or /proc, below tvg_sources_root()) into `out`, zero-terminated, without malloc. Trailing blanks and
 * line ends are cut. Returns its length, or -1 with errno set. At most capacity - 1 bytes. */
ssize_t tvg_sysfs_read(const char *path, char *out, size_t capacity);
/* The number in such a file. False with errno set when it can't be read or holds none. */
bool tvg_sysfs_number(const char *path, uint64_t *value);
/* Software events of the calling thread, read together. */
enum { TVG_PERF_EVENTS = 3 };
struct tvg_perf_set {
    int descriptor[TVG_PERF_EVENTS];
    int count;
};
/* Opens and starts them; names[0 .. set->count - 1] are what they are called. False with errno's number in *cause. */
bool tvg_perf_open(struct tvg_perf_set *set, const char **names, int *cause);
/* The counts since they were opened. False when a descriptor is no longer ours. */
bool tvg_perf_read(const struct tvg_perf_set *set, long long *values);
void tvg_perf_close(struct tvg_perf_set *set);

/* CLOCK_MONOTONIC in ns. */
uint64_t tvg_mono_ns(void);

enum { TVG_BUILD_ID_MAX = 20 };
/* The build-id of a loaded object, from its notes in memory. Returns its length in bytes, 0 when it has none. */
size_t tvg_build_id(const struct dl_phdr_info *object, uint8_t out[TVG_BUILD_ID_MAX]);

/* A thread that a source samples on: detached, all signals blocked, small stack. False when it can't be made. */
bool tvg_source_thread(void (*body)(void));

#endif
