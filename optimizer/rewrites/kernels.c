/* Kernels of the timeline by role, and taking launches out of a profile; see kernels.h. */
#include "kernels.h"

#include <math.h>
#include <stdlib.h>

#include "common.h"

static const struct tvg_op *kernel_of(const struct tvg_profile *profile, const struct tvg_launch *row)
{
    return &profile->ops[profile->activity[row->activity].op].op;
}

struct tvg_kernel_traits tvg_row_traits(const struct tvg_profile *profile, const struct tvg_launch *row)
{
    return profile->activity[row->activity].traits;
}

bool tvg_row_is_own(const struct tvg_profile *profile, const struct tvg_launch *row)
{
    return profile->activity[row->activity].cause == UINT32_MAX && kernel_of(profile, row)->kind == TVG_KIND_KERNEL;
}

double tvg_row_threads(const struct tvg_profile *profile, const struct tvg_launch *row)
{
    const struct tvg_op *kernel = kernel_of(profile, row);
    double threads = 1;
    for (int i = 0; i < 6; i++) /* grid and block */
        threads *= fmax(1, (double)kernel->dim[i]);
    return threads;
}

bool tvg_removal_begin(struct tvg_removal *removal, const struct tvg_profile *profile)
{
    *removal = (struct tvg_removal){.count = calloc(profile->op_count + 1u, sizeof(double)), .seconds = calloc(profile->op_count + 1u, sizeof(double))};
    return removal->count && removal->seconds;
}

void tvg_removal_add(struct tvg_removal *removal, const struct tvg_profile *profile, const struct tvg_launch *row)
{
    uint32_t op = profile->activity[row->activity].op;
    removal->count[op]++;
    removal->seconds[op] += row->duration_ns * 1e-9;
}

double tvg_removal_apply(struct tvg_removal *removal, struct tvg_profile *profile, double unsure, double *launches)
{
    const struct tvg_timeline *timeline = &profile->timeline;
    double whole = timeline->count ? (double)timeline->seen / timeline->count : 1, taken = 0;
    *launches = 0;
    for (uint32_t i = 0; i < profile->op_count && removal->count; i++) {
        struct tvg_op_stat *stat = &profile->ops[i];
        double count = fmin((double)stat->count, round(removal->count[i] * whole));
        if (!(removal->count[i] > 0) || !(count > 0))
            continue;
        double seconds = fmin(stat->seconds, removal->seconds[i] / removal->count[i] * count), left = stat->seconds > 0 ? 1 - seconds / stat->seconds : 0;
        if (stat->count == (uint64_t)count)
            seconds = stat->seconds, left = 0;
        for (int phase = 0; phase < 6; phase++) {
            stat->seconds_by_phase[phase] *= left;
            stat->count_by_phase[phase] = (uint64_t)((double)stat->count_by_phase[phase] * (1 - count / (double)stat->count));
        }
        stat->count -= (uint64_t)count;
        stat->seconds -= seconds;
        stat->time_unsure = fmax(stat->time_unsure, unsure);
        taken += seconds;
        *launches += count;
    }
    free(removal->count);
    free(removal->seconds);
    return taken;
}
