/* fuse-epilogue: the elementwise kernel right behind a product (bias, activation, a norm with fixed statistics) is done by the product as it writes
 * its result: one write and read of that result less, one launch less. */
#include "common.h"
#include "kernels.h"

#include <math.h>
#include <stdlib.h>

/* The product's own time grows by what it then does: taken as nothing, at most as this share of the time that the kernel took. */
static const double unsure = 0.5;

static void transform(struct tvg_profile *profile, const struct tvg_rewrite_context *context, struct tvg_rewrite_outcome *outcome)
{
    const struct tvg_timeline *timeline = &profile->timeline;
    struct tvg_removal removal;
    uint32_t *product = calloc(TVG_LANES_MAX, sizeof *product); /* by stream: 1 + the product op whose kernels came last */
    double launches = 0, flop = 0, *taken_in = calloc(profile->op_count + 1u, sizeof *taken_in); /* by product: ns of the kernels that it then does */
    (void)context;
    if (!tvg_removal_begin(&removal, profile) || !product || !taken_in) {
        tvg_removal_apply(&removal, profile, 0, &launches);
        free(product);
        free(taken_in);
        tvg_refuse(outcome, "out of memory");
        return;
    }
    for (uint32_t i = 0; i < timeline->count; i++) {
        const struct tvg_launch *row = &timeline->rows[i];
        uint32_t cause = profile->activity[row->activity].cause;
        const struct tvg_op *op = cause == UINT32_MAX ? NULL : &profile->ops[cause].op;
        if (op) { /* layout changes of a call stay part of it */
            bool plain = (op->kind == TVG_KIND_GEMM || op->kind == TVG_KIND_CONV) && !(op->epilogue & ~(uint32_t)TVG_EPILOGUE_BIAS);
            product[row->stream] = plain ? cause + 1 : 0;
            continue;
        }
        if (product[row->stream] && tvg_row_is_own(profile, row) && tvg_row_traits(profile, row).role == TVG_ROLE_POINTWISE) {
            tvg_removal_add(&removal, profile, row);
            flop += (double)profile->ops[product[row->stream] - 1].op.flop;
            taken_in[product[row->stream] - 1] += row->duration_ns;
        }
        product[row->stream] = 0;
    }
    double whole = timeline->seconds_kept > 0 ? timeline->seconds / timeline->seconds_kept : 1;
    for (uint32_t i = 0; i < profile->op_count; i++)
        if (taken_in[i] > 0 && profile->ops[i].seconds > 0)
            profile->ops[i].time_unsure = fmax(profile->ops[i].time_unsure, fmin(unsure, unsure * taken_in[i] * 1e-9 * whole / profile->ops[i].seconds));
    free(product);
    free(taken_in);
    double seconds = tvg_removal_apply(&removal, profile, 0, &launches);
    if (launches > 0)
        tvg_applied(outcome, profile, flop, 0.1, "%.0f elementwise kernels right behind a product go: %s on the card, a launch each", launches, TVG_SECONDS(seconds));
    else
        tvg_refuse(outcome, "no elementwise kernel comes right behind a product that has no activation of its own yet");
}

const struct tvg_rewrite tvg_rewrite_fuse_epilogue = {
    .name = "fuse-epilogue",
    .summary = "bias, activation and fixed norms done by the product before them as it writes its result",
    .what_to_do = "torch.compile with max_autotune, TensorRT, cuBLASLt's epilogues; batch norms of a finished model: torch.fx.experimental.optimization.fuse. Can be undone.",
    .citation = "arithmetic on what the trace holds: the kernels named go, the product stays as it is",
    .nature = TVG_FINDING,
    .loss = TVG_LOSS_ROUNDING,
    .runs_on = TVG_ON_GPU,
    .transform = transform,
};
