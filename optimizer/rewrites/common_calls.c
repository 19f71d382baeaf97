/* common-calls: calls that repeat an earlier one with the same operand addresses. Equal addresses are not equal contents, so this reports
 * and claims nothing. */
#include "common.h"

static void transform(struct tvg_profile *profile, const struct tvg_rewrite_context *context, struct tvg_rewrite_outcome *outcome)
{
    (void)context;
    uint64_t repeats = 0, calls = 0;
    double seconds = 0;
    for (uint32_t i = 0; i < profile->op_count; i++) {
        const struct tvg_op_stat *stat = &profile->ops[i];
        calls += stat->count;
        repeats += stat->repeats;
        if (stat->count)
            seconds += stat->seconds * (double)stat->repeats / (double)stat->count;
    }
    if (repeats)
        tvg_refuse(outcome, "diagnostic: %llu of %llu calls (%s) have the operand addresses of an earlier call; that their contents are equal is not proven",
                   (unsigned long long)repeats, (unsigned long long)calls, TVG_SECONDS(seconds));
    else
        tvg_refuse(outcome, "diagnostic: no call has the operand addresses of an earlier one");
}

const struct tvg_rewrite tvg_rewrite_common_calls = {
    .name = "common-calls",
    .summary = "calls that repeat an earlier one by address (a hint, never a saving)",
    .what_to_do = "Look whether the same product is computed twice from the same data (a constant prefix, a mask, a position table) and keep its result.",
    .citation = "by address only: buffers are reused with other contents",
    .nature = TVG_FINDING,
    .loss = TVG_LOSS_EXACT,
    .diagnostic_only = true,
    .runs_on = TVG_ON_CPU | TVG_ON_GPU,
    .transform = transform,
};
