/* The slow path: all signals blocked and errno kept, from begin to end. Nests. */
#ifndef TVG_SHIM_QUIET_H
#define TVG_SHIM_QUIET_H

#include <stdint.h>

struct tvg_quiet {
    uint64_t mask;
    int saved_errno;
};
void tvg_quiet_begin(struct tvg_quiet *quiet);
void tvg_quiet_end(const struct tvg_quiet *quiet);

#endif
