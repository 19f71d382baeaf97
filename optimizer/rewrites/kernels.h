/* What the rewrites of GPU kernels share: kernels of a run by role, and taking launches out of a profile. */
#ifndef TVG_REWRITES_KERNELS_H
#define TVG_REWRITES_KERNELS_H

#include "../../analyzer/kernel_name.h"
#include "../rewrite.h"

/* Launches to take out, by the op that owns them: filled from the timeline, which may hold a part of the run. */
struct tvg_removal {
    double *count, *seconds; /* by op */
    double launches, time;   /* sums */
};
bool tvg_removal_begin(struct tvg_removal *removal, const struct tvg_profile *profile);
void tvg_removal_add(struct tvg_removal *removal, const struct tvg_profile *profile, const struct tvg_launch *row);
/* Takes them out of ops that are kernels of their own, scaled to the whole run, never more than is still there; what stays of those ops has its time
 * unsure by `unsure`. Returns the seconds of card time taken; *launches: how many launches went. Frees the removal. */
double tvg_removal_apply(struct tvg_removal *removal, struct tvg_profile *profile, double unsure, double *launches);

/* Traits of the kernel that a row of the timeline is; a copy or memset has none. */
struct tvg_kernel_traits tvg_row_traits(const struct tvg_profile *profile, const struct tvg_launch *row);
/* Does no library call explain it? Then it is an op of its own. */
bool tvg_row_is_own(const struct tvg_profile *profile, const struct tvg_launch *row);
/* Threads of its grid. */
double tvg_row_threads(const struct tvg_profile *profile, const struct tvg_launch *row);

#endif
