/* Board energy of the GPUs of a profile. Internal to energy.c and the report. */
#ifndef TVG_ENERGY_GPU_H
#define TVG_ENERGY_GPU_H

#include "energy.h"
#include "kernel_name.h"

/* Modelled joules of every op of `rewritten` (a changed copy of `profile`, its added ops behind; `profile` itself: as it ran) before any meter scale.
 * Kernels follow their owner: calls kept, time a call (times stretch[op], NULL: 1), the units of its type. per_op has rewritten->op_count
 * places. False: memory is out. */
bool tvg_energy_of_boards(struct tvg_interval *per_op, const struct tvg_profile *profile, const struct tvg_profile *rewritten, const double *stretch, const struct tvg_device *gpu);

/* Card time of each op of `profile` without the kernels that `rewritten` launches no more (role_gone): what the others' times are scaled from. To be freed;
 * NULL: memory is out. */
double *tvg_seconds_left(const struct tvg_profile *profile, const struct tvg_profile *rewritten);

/* Replaces an energy's figures (per_op allocated) by those of the boards: total = rest and awake over the meter's window + s x kernels +
 * unexplained, exactly. CPU ops cost nothing here: the boundary is the board. The interval of a metered total is the meter's. */
bool tvg_energy_price_boards(struct tvg_energy *energy, const struct tvg_profile *profile, const struct tvg_device *gpu);

#endif
