/* int4-weights: weights alone in 4 bits with one 16-bit scale for 128 of them (W4A16). FLOP stay and each weight costs a convert and a
 * scale on every read; it pays only where the weight's bytes set the time, so compute-bound products are left alone. */
#include "common.h"

#include <stdlib.h>

enum { GROUP = 128, DEQUANTIZE_FLOP = 2 };

static void transform(struct tvg_profile *profile, const struct tvg_rewrite_context *context, struct tvg_rewrite_outcome *outcome)
{
    double flop = 0, saved = 0;
    uint64_t touched = 0, compute_bound = 0;
    struct tvg_left_alone left = {0};
    char *weights = tvg_weight_operands(profile, outcome);
    if (!weights)
        return;
    for (uint32_t i = 0; i < profile->op_count; i++) {
        struct tvg_op_stat *stat = &profile->ops[i];
        struct tvg_op op = stat->op;
        if (!tvg_is_floating_product(stat))
            continue;
        left.products++;
        char weight = weights[i];
        if (!weight) {
            left.activations++;
            continue;
        }
        double elements = op.kind == TVG_KIND_GEMV ? (double)op.m * (double)op.n : (double)op.k * (double)(weight == 'b' ? op.n : op.m);
        uint64_t *part = weight == 'b' ? &op.bytes_b : &op.bytes_a;
        uint64_t before = *part, after = (uint64_t)(elements / 2 + (elements + GROUP - 1) / GROUP * 2);
        struct tvg_op bytes_gone = stat->op; /* the same product with no weight to read: not faster means bound by FLOP */
        bytes_gone.flags |= TVG_OP_FLOP_GIVEN;
        bytes_gone.bytes -= before;
        double whole = tvg_modelled_seconds(&stat->op, context);
        if (whole <= 0 || tvg_modelled_seconds(&bytes_gone, context) >= whole * (1 - 1e-9)) {
            compute_bound++;
            continue;
        }
        *part = after;
        op.bytes = op.bytes - before + after;
        op.flop += (uint64_t)(elements * DEQUANTIZE_FLOP);
        op.flags |= TVG_OP_FLOP_GIVEN; /* bytes and FLOP are set here */
        *(weight == 'b' ? &op.type_b : &op.type_a) = TVG_TYPE_I4;
        uint64_t count = stat->count;
        if (!tvg_reprice(stat, &op, context))
            continue;
        touched++;
        flop += (double)op.flop * (double)count;
        saved += ((double)before - (double)after) * (double)count;
    }
    free(weights);
    if (touched)
        tvg_applied(outcome, profile, flop, TVG_ROOFLINE_UNCERTAINTY, "%llu of %llu product shapes read their weights at 4.125 bits: %s less, %d FLOP more a weight; %llu are compute-bound and stay",
                    (unsigned long long)touched, (unsigned long long)left.products, TVG_BYTES(saved), DEQUANTIZE_FLOP, (unsigned long long)compute_bound);
    else if (compute_bound)
        tvg_refuse(outcome, "no product is bound by its weight's bytes (%llu shapes are compute-bound): fewer bits save no time and cost FLOP",
                   (unsigned long long)compute_bound);
    else
        tvg_refuse_left(outcome, &left, "product", "no product of a floating type of 16 or 32 bits", NULL, "int4");
}

const struct tvg_rewrite tvg_rewrite_int4_weights = {
    .name = "int4-weights",
    .summary = "weights in 4 bits (16-bit scales per 128), where the weight's bytes set the time",
    .what_to_do = "Quantize the weights with GPTQ, AWQ or a GGUF Q4 type and run a library that reads them (llama.cpp, vLLM, torchao); needs an accuracy check. Can be undone: keep the float weights.",
    .citation = "GPTQ (Frantar et al., ICLR'23): 3.25 times faster on A100, 4.5 on A6000, at batch 1",
    .nature = TVG_FINDING,
    .loss = TVG_LOSS_BOUNDED,
    .runs_on = TVG_ON_CPU | TVG_ON_GPU,
    .transform = transform,
};
