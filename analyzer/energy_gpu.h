/* Board energy of the GPUs of a profile. Internal to energy.c and the report. */
#ifndef TVG_ENERGY_GPU_H
#define TVG_ENERGY_GPU_H

#include "energy.h"

enum tvg_kernel_class { TVG_KERNEL_OTHER = 0, TVG_KERNEL_FMA, TVG_KERNEL_TENSOR };
/* Which units a kernel keeps busy, by its name (mangled or not): libraries name theirs after the instruction. NULL: other. */
enum tvg_kernel_class tvg_kernel_class(const char *name);

/* Replaces an energy's figures (per_op allocated) by those of the boards: total = rest and awake over the meter's window + s x kernels +
 * unexplained, exactly. CPU ops cost nothing here: the boundary is the board. The interval of a metered total is the meter's. */
bool tvg_energy_price_boards(struct tvg_energy *energy, const struct tvg_profile *profile, const struct tvg_device *gpu);

#endif
