/* int8-w8a8: weights and activations of fp32/16-bit products in 8-bit integers. The weight is quantized once; each call quantizes its
 * activation (find the maximum, scale, round) and dequantizes its 32-bit result: both are passes with a price. */
#include "common.h"

#include <math.h>
#include <stdlib.h>

static void transform(struct tvg_profile *profile, const struct tvg_rewrite_context *context, struct tvg_rewrite_outcome *outcome)
{
    static const char *const cpu_flags[] = {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm", NULL};
    double unsure = TVG_ROOFLINE_UNCERTAINTY, flop = 0, before = 0, after = 0, passes = 0;
    uint64_t products = 0, activations = 0, slow = 0, no_flag = 0, ops = profile->op_count;
    int has = tvg_cpu_has(profile, cpu_flags);
    char *weights = tvg_weight_operands(profile, outcome);
    if (!weights)
        return;
    for (uint32_t i = 0; i < ops; i++) {
        struct tvg_op_stat *stat = &profile->ops[i];
        struct tvg_op op = stat->op;
        enum tvg_type type = op.type_a;
        if (!tvg_is_product(&op) || stat->count == 0 || op.type_b != type || (type != TVG_TYPE_F32 && type != TVG_TYPE_F16 && type != TVG_TYPE_BF16))
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
        if (!device || !device->peak[TVG_TYPE_I8].known || !device->flop[TVG_TYPE_I8].known) {
            slow++;
            continue;
        }
        bool transposed = op.flags & TVG_OP_TRANS_A;
        double batch = op.batch > 1 ? (double)op.batch : 1;
        double activation = batch * (op.kind == TVG_KIND_GEMV ? (double)(transposed ? op.m : op.n) : (double)op.k * (double)(weight == 'b' ? op.m : op.n));
        double output = batch * (op.kind == TVG_KIND_GEMV ? (double)(transposed ? op.n : op.m) : (double)op.m * (double)op.n);
        struct tvg_op quantize = tvg_pass_op(&op, TVG_KIND_QUANTIZE, "quantize", activation, type, TVG_TYPE_I8, 3);       /* maximum, scale, round */
        struct tvg_op dequantize = tvg_pass_op(&op, TVG_KIND_DEQUANTIZE, "dequantize", output, TVG_TYPE_I32, op.type_c, 2); /* convert, scale */
        op.type_a = op.type_b = TVG_TYPE_I8;
        op.type_c = TVG_TYPE_I32;
        op.type_compute = TVG_TYPE_I8;
        uint64_t count = stat->count;
        double seconds = stat->seconds;
        if (tvg_modelled_seconds(&quantize, context) <= 0 || tvg_modelled_seconds(&dequantize, context) <= 0 || !tvg_reprice(stat, &op, context)) {
            slow++;
            continue;
        }
        before += seconds;
        after += stat->seconds;
        flop += (double)op.flop * (double)count;
        unsure = fmax(unsure, tvg_rate_uncertainty(device, TVG_TYPE_I8));
        for (int pass = 0; pass < 2; pass++)
            if (tvg_rewrite_add_op(profile, pass ? &dequantize : &quantize, count, context))
                passes += profile->ops[profile->op_count - 1].seconds;
    }
    free(weights);
    if (flop > 0)
        tvg_applied(outcome, profile, flop, unsure, "%llu of %llu product shapes: %.3g s become %.3g s and %.3g s of quantize and dequantize passes%s",
                    (unsigned long long)(products - activations - slow - no_flag), (unsigned long long)products, before, after, passes,
                    has < 0 ? "; the trace does not name the CPU's flags" : "");
    else if (!products)
        tvg_refuse(outcome, "no product of a floating type of 16 or 32 bits");
    else if (no_flag)
        tvg_refuse(outcome, "this CPU has neither VNNI nor AMX (nor dot products on Arm): no int8 product");
    else if (slow)
        tvg_refuse(outcome, "the device file has no int8 rate: not known to compute it");
    else
        tvg_refuse(outcome, "no product has a proven weight (%llu shapes): its addresses must come back; record two passes or more",
                   (unsigned long long)activations);
}

const struct tvg_rewrite tvg_rewrite_int8_w8a8 = {
    .name = "int8-w8a8",
    .summary = "weights and activations of products with weights in int8, with their quantize and dequantize passes",
    .what_to_do = "Quantize the model statically or with SmoothQuant (onnxruntime, oneDNN, torchao, TensorRT); needs calibration data and an accuracy check. Can be undone: keep the float weights.",
    .citation = "SmoothQuant (Xiao et al., ICML'23): up to 1.56 times faster, half the memory of fp16",
    .nature = TVG_FINDING,
    .loss = TVG_LOSS_BOUNDED,
    .transform = transform,
};
