/* sparsity-2-4: two of every four weights are zero and a GPU's sparse units skip them: at best half the FLOP, half the weight and a 2-bit
 * index for each weight kept. How much faster the units then are is yours to state (1.3 to 1.7 was measured, 2 is the limit). */
#include "common.h"

#include <stdlib.h>

extern const struct tvg_rewrite tvg_rewrite_sparsity_2_4;

static void transform(struct tvg_profile *profile, const struct tvg_rewrite_context *context, struct tvg_rewrite_outcome *outcome)
{
    double speed, flop = 0;
    uint64_t touched = 0, on_cpu = 0, other_type = 0;
    char *weights = tvg_assumed_weights(&tvg_rewrite_sparsity_2_4, profile, context, &speed, outcome);
    if (!weights)
        return;
    for (uint32_t i = 0; i < profile->op_count; i++) {
        struct tvg_op_stat *stat = &profile->ops[i];
        struct tvg_op op = stat->op;
        char weight = weights[i];
        if (!weight)
            continue;
        if (!op.on_gpu) {
            on_cpu++;
            continue;
        }
        unsigned type = op.type_compute;
        if (op.kind != TVG_KIND_GEMM || (type != TVG_TYPE_TF32 && type != TVG_TYPE_F16 && type != TVG_TYPE_BF16 && type != TVG_TYPE_I8 && type != TVG_TYPE_F8_E4M3)) {
            other_type++;
            continue;
        }
        double elements = (double)op.k * (double)(weight == 'b' ? op.n : op.m);
        uint64_t *part = weight == 'b' ? &op.bytes_b : &op.bytes_a, before = *part;
        uint64_t after = before / 2 + (uint64_t)(elements / 2 * 2 / 8); /* half the elements, each with a 2-bit index */
        *part = after;
        op.bytes = op.bytes - before + after;
        uint64_t flop_before = op.flop, count = stat->count;
        op.flags |= TVG_OP_FLOP_GIVEN;
        op.flop = (uint64_t)((double)flop_before / speed); /* what the units' time is worth in dense FLOP: prices the time */
        if (!tvg_reprice(stat, &op, context))
            continue;
        stat->op.flop = flop_before / 2; /* what is executed: prices the energy */
        touched++;
        flop += (double)flop_before * (double)count;
    }
    free(weights);
    if (touched)
        tvg_applied(outcome, profile, flop, TVG_ROOFLINE_UNCERTAINTY, "%llu GEMM shapes: half the FLOP, weights at half and a 2-bit index, sparse units %.3g times as fast",
                    (unsigned long long)touched, speed);
    else if (on_cpu)
        tvg_refuse(outcome, "the products with weights run on the CPU, whose libraries compute the zeros too");
    else if (other_type)
        tvg_refuse(outcome, "no GEMM of a type that the sparse units take (tf32, 16-bit, 8-bit)");
    else
        tvg_refuse(outcome, "no product has a proven weight");
}

const struct tvg_rewrite tvg_rewrite_sparsity_2_4 = {
    .name = "sparsity-2-4",
    .summary = "2:4 structured sparsity on a GPU's sparse units, at the stated speed-up",
    .what_to_do = "Prune 2 of 4 and train again (torch.sparse.to_sparse_semi_structured, cuSPARSELt); the accuracy is yours to measure.",
    .citation = "NVIDIA states 2 times the dense rate; 1.3 to 1.7 times is what is reported measured (from memory)",
    .nature = TVG_ASSUMPTION,
    .loss = TVG_LOSS_RETRAIN,
    .assumption = "sparse24",
    .assumption_asks = "the measured speed-up of the sparse units: --assume sparse24=1.5 (1.3 to 1.7 is usual, 2 the limit)",
    .assumption_low = 0.1,
    .assumption_most = 2,
    .assumption_high = 2,
    .runs_on = TVG_ON_CPU | TVG_ON_GPU,
    .transform = transform,
};
