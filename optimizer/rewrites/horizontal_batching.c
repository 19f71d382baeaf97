/* horizontal-batching: calls in a row that read the same weight for independent inputs become one call: the weight is read once. Bringing
 * the inputs together is a priced copy. */
#include "common.h"

static void transform(struct tvg_profile *profile, const struct tvg_rewrite_context *context, struct tvg_rewrite_outcome *outcome)
{
    tvg_merge_calls(profile, context, outcome, true);
}

const struct tvg_rewrite tvg_rewrite_horizontal_batching = {
    .name = "horizontal-batching",
    .summary = "independent calls in a row with the same weight done as one call: the weight is read once",
    .what_to_do = "Stack the inputs and call once (a batch dimension instead of a loop). Your code or the framework's batching; can be undone. Latency of the first input grows.",
    .citation = "same FLOP; a matrix-vector product that becomes a matrix product may sum in another order",
    .nature = TVG_FINDING,
    .loss = TVG_LOSS_ROUNDING,
    .runs_on = TVG_ON_CPU | TVG_ON_GPU,
    .transform = transform,
};
