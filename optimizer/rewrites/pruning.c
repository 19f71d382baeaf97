/* pruning: structured pruning removes the given share of each weight's outputs: an exact change of shapes by a share that is yours to
 * state. The inputs that the next layer loses in turn are not counted. */
#include "common.h"

#include <math.h>
#include <stdlib.h>

extern const struct tvg_rewrite tvg_rewrite_pruning;

static void transform(struct tvg_profile *profile, const struct tvg_rewrite_context *context, struct tvg_rewrite_outcome *outcome)
{
    double share, flop = 0;
    uint64_t touched = 0;
    char *weights = tvg_assumed_weights(&tvg_rewrite_pruning, profile, context, &share, outcome);
    if (!weights)
        return;
    for (uint32_t i = 0; i < profile->op_count; i++) {
        struct tvg_op_stat *stat = &profile->ops[i];
        struct tvg_op op = stat->op;
        char weight = weights[i];
        if (!weight)
            continue;
        int64_t *outputs = op.kind == TVG_KIND_GEMV ? (op.flags & TVG_OP_TRANS_A ? &op.n : &op.m) : weight == 'b' ? &op.n : &op.m;
        int64_t kept = *outputs - (int64_t)floor((double)*outputs * share);
        uint64_t flop_before = op.flop;
        if (kept < 1 || kept == *outputs)
            continue;
        *outputs = kept;
        uint64_t count = stat->count;
        if (!tvg_reprice(stat, &op, context))
            continue;
        touched++;
        flop += (double)flop_before * (double)count;
    }
    free(weights);
    if (touched)
        tvg_applied(outcome, profile, flop, TVG_ROOFLINE_UNCERTAINTY, "%.3g %% of the outputs of %llu product shapes removed; what later layers lose in turn is not counted",
                    share * 100, (unsigned long long)touched);
    else
        tvg_refuse(outcome, "no product has a proven weight to prune");
}

const struct tvg_rewrite tvg_rewrite_pruning = {
    .name = "pruning",
    .summary = "structured pruning: the stated share of each weight's outputs removed",
    .what_to_do = "Prune whole heads, channels or neurons and train again (torch.nn.utils.prune, LLM-Pruner); the accuracy is yours to measure. Can't be undone without the old weights.",
    .citation = "arithmetic on shapes; unstructured zeros save nothing in dense libraries",
    .nature = TVG_ASSUMPTION,
    .loss = TVG_LOSS_RETRAIN,
    .assumption = "prune",
    .assumption_asks = "the share of each weight's outputs to remove: --assume prune=0.3",
    .assumption_low = 0,
    .assumption_most = 0.99,
    .assumption_high = 1,
    .runs_on = TVG_ON_CPU | TVG_ON_GPU,
    .transform = transform,
};
