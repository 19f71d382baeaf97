/* qkv-merge: products of one input with several weights (query, key and value; gate and up) become one product with the weights side by
 * side: the input is read once, one call stays. */
#include "common.h"

static void transform(struct tvg_profile *profile, const struct tvg_rewrite_context *context, struct tvg_rewrite_outcome *outcome)
{
    tvg_merge_calls(profile, context, outcome, false);
}

const struct tvg_rewrite tvg_rewrite_qkv_merge = {
    .name = "qkv-merge",
    .summary = "products of one input with several weights joined (QKV, gate and up): the input is read once",
    .what_to_do = "Lay the weights side by side once at load (np.concatenate, torch.cat) and split the result by views. A few lines in the model's code, can be undone.",
    .citation = "same FLOP, same sums in the same order: exact up to the library's choice of kernel",
    .nature = TVG_FINDING,
    .loss = TVG_LOSS_EXACT,
    .runs_on = TVG_ON_CPU | TVG_ON_GPU,
    .transform = transform,
};
