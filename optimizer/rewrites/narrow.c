/* Products in a narrower floating type, what bf16, fp16 and tf32 share: weights converted once, activations kept in the type between operations or, with
 * the argument autocast, cast on the way in and out by priced passes. On a GPU convolutions too: their filter is a weight by its role. */
#include "narrow.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"

static bool is_candidate(const struct tvg_op *op, const struct tvg_narrow *narrow)
{
    bool product = tvg_is_product(op) || (op->on_gpu && op->kind == TVG_KIND_CONV && op->flop > 0);
    return product && op->type_a == TVG_TYPE_F32 && op->type_b == TVG_TYPE_F32 && op->type_c == TVG_TYPE_F32 && op->type_compute != narrow->compute;
}

/* Elements of a product's activation and of its result: what casts pass over. */
static void cast_elements(const struct tvg_op *op, char weight, double *in, double *out)
{
    double batch = op->batch > 1 ? (double)op->batch : 1;
    bool vector = op->kind == TVG_KIND_GEMV, transposed = op->flags & TVG_OP_TRANS_A;
    if (op->kind == TVG_KIND_CONV) { /* trace/op.h tells the order of dim */
        int spatial = op->dim_spatial;
        *in = (double)op->dim[0] * (double)op->dim[1];
        *out = (double)op->dim[0] * (double)op->dim[2 + spatial];
        for (int i = 0; i < spatial && 3 + 3 * spatial <= TVG_DIMS_MAX; i++) {
            *in *= (double)op->dim[2 + i];
            *out *= (double)op->dim[3 + 2 * spatial + i];
        }
        return;
    }
    *in = batch * (vector ? (double)(transposed ? op->m : op->n) : (double)op->k * (double)(weight == 'b' ? op->m : op->n));
    *out = batch * (vector ? (double)(transposed ? op->n : op->m) : (double)op->m * (double)op->n);
}

void tvg_narrow_products(struct tvg_profile *profile, const struct tvg_rewrite_context *context, struct tvg_rewrite_outcome *outcome, const struct tvg_narrow *narrow)
{
    bool stored = narrow->storage != TVG_TYPE_NONE, autocast = context->argument != NULL;
    double unsure = TVG_ROOFLINE_UNCERTAINTY, flop = 0;
    struct tvg_left_alone left = {0};
    uint64_t touched = 0, already = 0;
    uint32_t ops = profile->op_count;
    int has = narrow->cpu_flags ? tvg_cpu_has(profile, narrow->cpu_flags) : 0;
    char *weights = tvg_weight_operands(profile, outcome);
    if (!weights)
        return;
    for (uint32_t i = 0; i < ops; i++) {
        struct tvg_op_stat *stat = &profile->ops[i];
        struct tvg_op op = stat->op;
        already += op.type_a == TVG_TYPE_F32 && op.type_compute == narrow->compute && op.flop > 0;
        if (!stat->count || !is_candidate(&op, narrow))
            continue;
        char weight = op.kind == TVG_KIND_CONV ? 'b' : weights[i];
        if (!tvg_may_become(&left, &op, weight || !stored, has, narrow->compute, context))
            continue;
        const struct tvg_device *device = tvg_rewrite_device(&op, context);
        double in, out;
        cast_elements(&op, weight, &in, &out);
        op.type_compute = (uint8_t)narrow->compute;
        if (stored) {
            op.type_a = op.type_b = op.type_c = (uint8_t)narrow->storage;
            if (op.flags & TVG_OP_FLOP_GIVEN) /* no shape to count anew from: every operand has half the bytes */
                op.bytes /= 2, op.bytes_a /= 2, op.bytes_b /= 2, op.bytes_c /= 2;
        }
        uint64_t count = stat->count;
        if (!tvg_reprice(stat, &op, context)) {
            left.no_rate++;
            continue;
        }
        touched++;
        flop += (double)op.flop * (double)count;
        unsure = fmax(unsure, tvg_rate_uncertainty(device, narrow->compute));
        if (autocast) {
            struct tvg_op cast_in = tvg_pass_op(&op, TVG_KIND_COPY, "cast in", in, TVG_TYPE_F32, narrow->storage, 0);
            struct tvg_op cast_out = tvg_pass_op(&op, TVG_KIND_COPY, "cast out", out, narrow->storage, TVG_TYPE_F32, 0);
            tvg_rewrite_add_op_behind(profile, &cast_in, count, context, i);
            tvg_rewrite_add_op_behind(profile, &cast_out, count, context, i);
        }
    }
    free(weights);
    if (flop > 0)
        tvg_applied(outcome, profile, flop, unsure, "%s%s%llu of %llu fp32 product shapes%s%s", stored ? "weights once, activations " : "storage stays fp32; ",
                    !stored ? "" : autocast ? "cast on the way in and out (casts priced); " : "kept in the type; ", (unsigned long long)touched, (unsigned long long)left.products,
                    context->gpu && profile->gpu_count ? ", other kernels as they are" : "", has < 0 ? "; the trace does not name the CPU's flags" : "");
    else {
        char ran[64];
        snprintf(ran, sizeof ran, already ? "the kernels that ran already multiply in %s" : "no product runs in fp32", tvg_type_info(narrow->compute)->name);
        tvg_refuse_left(outcome, &left, "fp32 product", ran, narrow->cpu_lacks, tvg_type_info(narrow->compute)->name);
    }
}
