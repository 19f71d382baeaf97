/* The sources that exist, and what they share among themselves. */
#ifndef TVG_SHIM_SOURCE_TABLES_H
#define TVG_SHIM_SOURCE_TABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "source.h"

extern const struct tvg_source tvg_source_rapl, tvg_source_papi, tvg_source_stacks;

/* Reads a whole small file (of /sys or /proc, below tvg_sources_root()) into `out`, zero-terminated, without malloc. Trailing blanks and
 * line ends are cut. Returns its length, or -1 with errno set. At most capacity - 1 bytes. */
ssize_t tvg_file_read(const char *path, char *out, size_t capacity);
/* The number in such a file. False with errno set when it can't be read or holds none. */
bool tvg_file_number(const char *path, uint64_t *value);
/* The number in an open descriptor of such a file, read from its start. */
bool tvg_descriptor_number(int descriptor, uint64_t *value);
/* Moves a descriptor above 512 with close-on-exec, where hosts that close or count theirs leave it alone. Returns it, or the same one when none is free. */
int tvg_descriptor_lift(int descriptor);

#endif
