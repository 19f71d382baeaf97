/* layout-removal: a convolution that gets its tensors channels-last needs no kernels of its own that turn them around; they go, the convolution stays. */
#include "common.h"
#include "kernels.h"

#include <stdlib.h>

static void transform(struct tvg_profile *profile, const struct tvg_rewrite_context *context, struct tvg_rewrite_outcome *outcome)
{
    double *count = calloc(profile->op_count + 1u, sizeof *count), *seconds = calloc(profile->op_count + 1u, sizeof *seconds), launches = 0, time = 0, flop = 0;
    (void)context;
    if (!count || !seconds) {
        free(count);
        free(seconds);
        tvg_refuse(outcome, "out of memory");
        return;
    }
    for (uint32_t i = 0; i < profile->activity_count; i++) {
        const struct tvg_gpu_activity *at = &profile->activity[i];
        if (at->cause == UINT32_MAX || profile->ops[at->cause].op.kind != TVG_KIND_CONV || at->traits.role != TVG_ROLE_LAYOUT)
            continue;
        count[at->cause] += (double)at->count;
        seconds[at->cause] += at->seconds;
    }
    for (uint32_t i = 0; i < profile->op_count; i++) {
        struct tvg_op_stat *stat = &profile->ops[i];
        if (!(count[i] > 0) || stat->role_gone || !(stat->seconds > seconds[i]))
            continue;
        tvg_scale_time(stat, 1 - seconds[i] / stat->seconds);
        stat->role_gone = TVG_ROLE_LAYOUT;
        launches += count[i];
        time += seconds[i];
        flop += (double)stat->op.flop * (double)stat->count;
    }
    free(count);
    free(seconds);
    if (launches > 0)
        tvg_applied(outcome, profile, flop, 0.1, "%.0f kernels that only turn tensors around go: %s on the card", launches, TVG_SECONDS(time));
    else
        tvg_refuse(outcome, "no convolution launched kernels that turn its tensors around");
}

const struct tvg_rewrite tvg_rewrite_layout_removal = {
    .name = "layout-removal",
    .summary = "convolutions on channels-last tensors: the kernels that turn them around go",
    .what_to_do = "torch: model.to(memory_format=torch.channels_last), and the input too; one line, can be undone. Elementwise kernels between may become faster or slower.",
    .citation = "arithmetic on what the trace holds: the layout kernels of each convolution go",
    .nature = TVG_FINDING,
    .loss = TVG_LOSS_ROUNDING,
    .runs_on = TVG_ON_GPU,
    .transform = transform,
};
