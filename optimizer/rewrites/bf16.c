/* bf16: fp32 products with a weight run in bfloat16. Weights are converted once; activations stay in bf16 between operations, or with
 * bf16=autocast are cast on the way in and out, each cast a priced pass. */
#include "common.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void transform(struct tvg_profile *profile, const struct tvg_rewrite_context *context, struct tvg_rewrite_outcome *outcome)
{
    static const char *const cpu_flags[] = {"avx512_bf16", "amx_bf16", "bf16", NULL};
    bool autocast = context->argument && strcmp(context->argument, "autocast") == 0;
    if (context->argument && !autocast) {
        tvg_refuse(outcome, "bf16 takes no argument, or autocast; not \"%.40s\"", context->argument);
        return;
    }
    double unsure = TVG_ROOFLINE_UNCERTAINTY, flop = 0;
    uint64_t products = 0, activations = 0, slow = 0, no_flag = 0, ops = profile->op_count;
    int has = tvg_cpu_has(profile, cpu_flags);
    char *weights = tvg_weight_operands(profile, outcome);
    if (!weights)
        return;
    for (uint32_t i = 0; i < ops; i++) {
        struct tvg_op_stat *stat = &profile->ops[i];
        struct tvg_op op = stat->op;
        if (!tvg_is_product(&op) || stat->count == 0 || op.type_a != TVG_TYPE_F32 || op.type_b != TVG_TYPE_F32 || op.type_c != TVG_TYPE_F32)
            continue;
        products++;
        char weight = weights[i];
        const struct tvg_device *device = tvg_rewrite_device(&op, context);
        if (!weight) {
            activations++;
            continue;
        }
        if (!op.on_gpu && has == 0) {
            no_flag++;
            continue;
        }
        if (!device || !device->peak[TVG_TYPE_BF16].known || !device->flop[TVG_TYPE_BF16].known) {
            slow++;
            continue;
        }
        double activation = weight == 'b' ? (double)op.m * (double)op.k : op.kind == TVG_KIND_GEMV ? (double)(op.flags & TVG_OP_TRANS_A ? op.m : op.n)
                                                                                                  : (double)op.n * (double)op.k;
        double output = op.kind == TVG_KIND_GEMV ? (double)(op.flags & TVG_OP_TRANS_A ? op.n : op.m) : (double)op.m * (double)op.n;
        double batch = op.batch > 1 ? (double)op.batch : 1;
        op.type_a = op.type_b = op.type_c = op.type_compute = TVG_TYPE_BF16;
        uint64_t count = stat->count;
        if (!tvg_reprice(stat, &op, context)) {
            slow++;
            continue;
        }
        flop += (double)op.flop * (double)count;
        unsure = fmax(unsure, tvg_rate_uncertainty(device, TVG_TYPE_BF16));
        if (autocast) {
            struct tvg_op in = tvg_pass_op(&op, TVG_KIND_COPY, "cast f32 -> bf16", activation * batch, TVG_TYPE_F32, TVG_TYPE_BF16, 0);
            struct tvg_op out = tvg_pass_op(&op, TVG_KIND_COPY, "cast bf16 -> f32", output * batch, TVG_TYPE_BF16, TVG_TYPE_F32, 0);
            tvg_rewrite_add_op(profile, &in, count, context);
            tvg_rewrite_add_op(profile, &out, count, context);
        }
    }
    free(weights);
    if (flop > 0)
        tvg_applied(outcome, profile, flop, unsure, "weights once, activations %s; %llu of %llu fp32 product shapes%s",
                    autocast ? "cast on the way in and out (casts priced)" : "kept in bf16", (unsigned long long)(products - activations - slow - no_flag),
                    (unsigned long long)products, has < 0 ? "; the trace does not name the CPU's flags" : "");
    else if (!products)
        tvg_refuse(outcome, "no product runs in fp32");
    else if (no_flag)
        tvg_refuse(outcome, "this CPU has neither AVX512_BF16 nor AMX (nor the bf16 extension on Arm): bf16 would be emulated");
    else if (slow)
        tvg_refuse(outcome, "the device file has no bf16 rate: not known to compute it");
    else
        tvg_refuse(outcome, "no fp32 product has a proven weight (%llu shapes): its addresses must come back; record two passes or more",
                   (unsigned long long)activations);
}

const struct tvg_rewrite tvg_rewrite_bf16 = {
    .name = "bf16",
    .summary = "fp32 products with weights in bfloat16: half the bytes, the bf16 rate",
    .what_to_do = "Load the weights as bfloat16 (torch: model.to(torch.bfloat16)); numpy has no bf16 products: move the forward pass to torch or oneDNN. One line, can be undone.",
    .citation = "fp32 -> bf16 on one H100: -14 to -16 % J/token in eager decode at batch 1, -43 to -54 % at batch 32; times by roofline missed by -36 to +36 %",
    .nature = TVG_FINDING,
    .loss = TVG_LOSS_BOUNDED,
    .transform = transform,
};
