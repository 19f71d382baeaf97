/* What share of a board's time each of its parts was at work, by NVML's GPU performance monitoring (Hopper and later). */
#ifndef TVG_SHIM_GPM_H
#define TVG_SHIM_GPM_H

#include "../../trace/block.h"

enum { TVG_GPM_BOARDS = 16 };

/* Opens it for board `index` (0 .. TVG_GPM_BOARDS - 1), `device` of the NVML that `library` is the handle of. What it refuses is noted once. */
void tvg_gpm_open(void *library, int index, void *device);
/* Takes a sample and puts what passed since the last one into `map` (keys in FORMAT.md, ENERGY). Nothing at the first sample, or where it is not open. */
void tvg_gpm_sample(int index, struct tvg_map *map);

#endif
