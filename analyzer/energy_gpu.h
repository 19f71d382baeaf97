/* Board energy of the GPUs of a profile. Internal to energy.c and the report. */
#ifndef TVG_ENERGY_GPU_H
#define TVG_ENERGY_GPU_H

#include "energy.h"
#include "kernel_name.h"

/* Replaces an energy's figures (per_op allocated) by those of the boards: total = rest and awake over the meter's window + s x kernels +
 * unexplained, exactly. CPU ops cost nothing here: the boundary is the board. The interval of a metered total is the meter's. */
bool tvg_energy_price_boards(struct tvg_energy *energy, const struct tvg_profile *profile, const struct tvg_device *gpu);

#endif
