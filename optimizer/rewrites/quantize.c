/* Products with weights and activations in 8 bits, what int8 and fp8 share. The weight is quantized once; each call quantizes its activation (find the
 * maximum, scale, round) and, where the product does not scale its own result, dequantizes that: passes with a price. */
#include "quantize.h"

#include <math.h>
#include <stdlib.h>

#include "common.h"

void tvg_quantize_products(struct tvg_profile *profile, const struct tvg_rewrite_context *context, struct tvg_rewrite_outcome *outcome, const struct tvg_quantized *to)
{
    double unsure = TVG_ROOFLINE_UNCERTAINTY, flop = 0, before = 0, after = 0, passes = 0;
    uint64_t touched = 0, ops = profile->op_count;
    struct tvg_left_alone left = {0};
    int has = to->cpu_flags ? tvg_cpu_has(profile, to->cpu_flags) : 0;
    char *weights = tvg_weight_operands(profile, outcome);
    if (!weights)
        return;
    for (uint32_t i = 0; i < ops; i++) {
        struct tvg_op_stat *stat = &profile->ops[i];
        struct tvg_op op = stat->op;
        enum tvg_type type = op.type_a;
        char weight = weights[i];
        if (!tvg_is_floating_product(stat) || !tvg_may_become(&left, &op, weight, has, to->type, context))
            continue;
        const struct tvg_device *device = tvg_rewrite_device(&op, context);
        bool transposed = op.flags & TVG_OP_TRANS_A;
        double batch = op.batch > 1 ? (double)op.batch : 1;
        double activation = batch * (op.kind == TVG_KIND_GEMV ? (double)(transposed ? op.m : op.n) : (double)op.k * (double)(weight == 'b' ? op.m : op.n));
        double output = batch * (op.kind == TVG_KIND_GEMV ? (double)(transposed ? op.n : op.m) : (double)op.m * (double)op.n);
        struct tvg_op quantize = tvg_pass_op(&op, TVG_KIND_QUANTIZE, "quantize", activation, type, to->type, 3);       /* maximum, scale, round */
        struct tvg_op dequantize = tvg_pass_op(&op, TVG_KIND_DEQUANTIZE, "dequantize", output, to->result, op.type_c, 2); /* convert, scale */
        op.type_a = op.type_b = op.type_compute = (uint8_t)to->type;
        if (to->result != TVG_TYPE_NONE)
            op.type_c = (uint8_t)to->result;
        uint64_t count = stat->count;
        double seconds = stat->seconds;
        if (tvg_modelled_seconds(&quantize, context) <= 0 || (to->result != TVG_TYPE_NONE && tvg_modelled_seconds(&dequantize, context) <= 0) || !tvg_reprice(stat, &op, context)) {
            left.no_rate++;
            continue;
        }
        touched++;
        before += seconds;
        after += stat->seconds;
        flop += (double)op.flop * (double)count;
        unsure = fmax(unsure, tvg_rate_uncertainty(device, to->type));
        for (int pass = 0; pass < (to->result != TVG_TYPE_NONE ? 2 : 1); pass++)
            if (tvg_rewrite_add_op_behind(profile, pass ? &dequantize : &quantize, count, context, i))
                passes += profile->ops[profile->op_count - 1].seconds;
    }
    free(weights);
    if (flop > 0)
        tvg_applied(outcome, profile, flop, unsure, "%llu of %llu product shapes: %s become %s and %s of %s passes%s", (unsigned long long)touched, (unsigned long long)left.products,
                    TVG_SECONDS(before), TVG_SECONDS(after), TVG_SECONDS(passes), to->result != TVG_TYPE_NONE ? "quantize and dequantize" : "scale and quantize",
                    has < 0 ? "; the trace does not name the CPU's flags" : "");
    else
        tvg_refuse_left(outcome, &left, "product", "no product of a floating type of 16 or 32 bits", to->cpu_lacks, to->type == TVG_TYPE_I8 ? "int8" : "fp8");
}
