/* batching: as many requests as you state are computed together. Each weight is read once for all of them; what has no weight (attention, elementwise) has as
 * much to do as before, in fewer and larger launches. That so many requests are there at the same time is yours to state. */
#include "common.h"
#include "kernels.h"

#include <math.h>
#include <stdlib.h>

/* Fewer calls of the same work each `factor` times as long. */
static void fewer_calls(struct tvg_op_stat *stat, double factor, double longer)
{
    double calls = (double)stat->count / factor;
    stat->count = (uint64_t)fmax(1, round(calls));
    stat->energy_scale *= calls / (double)stat->count; /* a last batch that is not full: the work stays what it was */
    for (int phase = 0; phase < 6; phase++)
        stat->count_by_phase[phase] = (uint64_t)round((double)stat->count_by_phase[phase] / factor);
    tvg_scale_time(stat, longer / factor);
    stat->seconds_first *= factor, stat->seconds_min *= factor, stat->seconds_max *= factor; /* of one call */
}

/* How much longer a kernel of `factor` times the blocks takes: the multiprocessors that it left free come first. */
static double longer_kernel(const struct tvg_op *kernel, double factor, const struct tvg_device *gpu)
{
    double blocks = fmax(1, (double)kernel->dim[0]) * fmax(1, (double)kernel->dim[1]) * fmax(1, (double)kernel->dim[2]);
    double room = gpu && gpu->multiprocessors > 0 ? gpu->multiprocessors : 1;
    return blocks * factor <= room ? 1 : blocks * factor / fmax(blocks, room);
}

extern const struct tvg_rewrite tvg_rewrite_batching;

static void transform(struct tvg_profile *profile, const struct tvg_rewrite_context *context, struct tvg_rewrite_outcome *outcome)
{
    double factor, flop = 0;
    uint64_t touched = 0;
    char *weights = tvg_assumed_weights(&tvg_rewrite_batching, profile, context, &factor, outcome);
    if (!weights)
        return;
    for (uint32_t i = 0; i < profile->op_count; i++) {
        struct tvg_op_stat *stat = &profile->ops[i];
        struct tvg_op op = stat->op;
        bool convolution = op.on_gpu && op.kind == TVG_KIND_CONV;
        if ((!weights[i] && !convolution) || op.kind == TVG_KIND_GEMV || (double)stat->count < factor)
            continue;
        if (convolution) {
            op.flop = (uint64_t)((double)op.flop * factor);
            op.bytes_a = (uint64_t)((double)op.bytes_a * factor), op.bytes_c = (uint64_t)((double)op.bytes_c * factor);
            op.bytes = op.bytes_a + op.bytes_b + op.bytes_c;
            op.flags |= TVG_OP_FLOP_GIVEN;
        } else {
            *(weights[i] == 'b' ? &op.m : &op.n) = (int64_t)((double)(weights[i] == 'b' ? op.m : op.n) * factor);
        }
        double before = (double)stat->op.flop * (double)stat->count;
        if (!tvg_reprice(stat, &op, context))
            continue;
        fewer_calls(stat, factor, 1);
        flop += before;
        touched++;
    }
    for (uint32_t i = 0; i < profile->op_count && touched; i++) {
        struct tvg_op_stat *stat = &profile->ops[i];
        bool kernel = stat->op.kind == TVG_KIND_KERNEL && (double)stat->count >= factor;
        if (kernel) {
            fewer_calls(stat, factor, longer_kernel(&stat->op, factor, context->gpu));
            stat->time_unsure = fmax(stat->time_unsure, TVG_ROOFLINE_UNCERTAINTY);
        }
    }
    free(weights);
    if (touched)
        tvg_applied(outcome, profile, flop, TVG_ROOFLINE_UNCERTAINTY, "%.4g requests together: %llu product shapes read their weights once for all; each request waits for the slowest, and "
                    "for the others to arrive", factor, (unsigned long long)touched);
    else
        tvg_refuse(outcome, "no product with a proven weight is called %.4g times or more", factor);
}

const struct tvg_rewrite tvg_rewrite_batching = {
    .name = "batching",
    .summary = "as many requests as stated computed together: each weight is read once for all",
    .what_to_do = "Serve with continuous batching (vLLM, TensorRT-LLM, llama.cpp --parallel) or collect inputs before the call. Can be undone; latency grows, memory too.",
    .citation = "one H100, bf16 decode with graphs: 0.711 J/token at batch 1, 0.029 at 32, same work",
    .nature = TVG_ASSUMPTION,
    .loss = TVG_LOSS_EXACT,
    .assumption = "batch",
    .assumption_asks = "the number of requests computed together: --assume batch=8",
    .assumption_low = 1,
    .assumption_most = 1024,
    .assumption_high = 64,
    .runs_on = TVG_ON_CPU | TVG_ON_GPU,
    .transform = transform,
};
