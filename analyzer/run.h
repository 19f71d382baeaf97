/* A run as the user names it: one trace file, or a folder of them. */
#ifndef TVG_RUN_H
#define TVG_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "result.h"

/* The trace files behind `path`: itself when it is no folder, else every *.tvg in it, sorted by name. Fails when it does not exist, can't be
 * read, or is a folder without traces. The list is the caller's, freed with tvg_run_free. */
bool tvg_run_list(const char *path, char ***files, uint32_t *count, struct tvg_error *error);
void tvg_run_free(char **files, uint32_t count);

#endif
