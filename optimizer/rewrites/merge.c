/* Joining calls that share an operand into one: the shared operand is read once, one call's overhead stays, FLOP do not change. */
#include "common.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum why { WHY_DEPENDENT, WHY_SHAPES, WHY_NOT_WEIGHTS, WHY_OTHER_ROLE, WHY_COUNTS, WHY_PRICE, WHY_COUNT };
static const char *const why_text[WHY_COUNT] = {
    [WHY_DEPENDENT] = "a call reads what an earlier one of the group writes",
    [WHY_SHAPES] = "their shapes or types do not fit together",
    [WHY_NOT_WEIGHTS] = "the operands that would be laid side by side are not proven weights, so that joining would copy them on every call",
    [WHY_OTHER_ROLE] = "the shared operand has the other role",
    [WHY_COUNTS] = "their calls are already part of another merge",
    [WHY_PRICE] = "the device file has no rate for their type",
};

static int64_t at_least_one(int64_t batch)
{
    return batch > 0 ? batch : 1;
}

/* The shape of `first` and `second` done in one call, into *joined. `along_columns`: the operands differ in B (same A). */
static bool join_shapes(struct tvg_op *joined, const struct tvg_op *next, bool along_columns)
{
    const uint32_t layout = TVG_OP_TRANS_A | TVG_OP_TRANS_B | TVG_OP_CONJ_A | TVG_OP_CONJ_B | TVG_OP_ROW_MAJOR | TVG_OP_PACKED_A | TVG_OP_PACKED_B |
                            TVG_OP_BETA_ZERO | TVG_OP_FLOP_GIVEN;
    if (joined->kind != next->kind || joined->type_a != next->type_a || joined->type_b != next->type_b || joined->type_c != next->type_c ||
        joined->type_compute != next->type_compute || (joined->flags & layout) != (next->flags & layout) || at_least_one(next->batch) != 1 ||
        at_least_one(joined->batch) != 1 || joined->on_gpu != next->on_gpu || joined->device != next->device)
        return false;
    if (joined->kind == TVG_KIND_GEMV) { /* y = A x: rows of y are rows of A, or its columns when transposed */
        bool transposed = joined->flags & TVG_OP_TRANS_A;
        if (along_columns) /* the same matrix: checked by the caller, which makes a gemm of it */
            return joined->m == next->m && joined->n == next->n;
        if (transposed ? joined->m != next->m : joined->n != next->n)
            return false;
        *(transposed ? &joined->n : &joined->m) += transposed ? next->n : next->m;
        return true;
    }
    if (joined->k != next->k || (along_columns ? joined->m != next->m : joined->n != next->n))
        return false;
    *(along_columns ? &joined->n : &joined->m) += along_columns ? next->n : next->m;
    return true;
}

static struct tvg_op gemm_of_gemv(const struct tvg_op *gemv, int64_t vectors)
{
    bool transposed = gemv->flags & TVG_OP_TRANS_A;
    struct tvg_op gemm = *gemv;
    gemm.kind = TVG_KIND_GEMM;
    gemm.m = transposed ? gemv->n : gemv->m;
    gemm.k = transposed ? gemv->m : gemv->n;
    gemm.n = vectors;
    gemm.batch = 0;
    return gemm;
}

/* Takes `group` out of the profile as single calls and puts the joined call in. Returns WHY_COUNT when done. */
static enum why merge_group(struct tvg_profile *profile, struct tvg_group *group, const char *weights, const struct tvg_rewrite_context *context,
                            bool shared_weight, double *flop, double *bytes_saved)
{
    const struct tvg_op_stat *first = &profile->ops[group->member[0]];
    bool vector = first->op.kind == TVG_KIND_GEMV, exchanged = vector || !(first->op.flags & TVG_OP_ROW_MAJOR);
    bool same_a = (group->kind == TVG_GROUP_SAME_A) != exchanged; /* groups speak of the row-major view, ops of operands as recorded */
    uint64_t extra = group->kind == TVG_GROUP_SAME_B && group->run_length > group->member_count ? group->run_length - group->member_count : 0;
    uint64_t calls = group->member_count + extra;
    if (!tvg_is_product(&first->op))
        return WHY_SHAPES;
    /* The role of the shared operand: a weight, or an activation whose partners are weights. */
    char weight = weights[group->member[0]], shared = same_a ? 'a' : 'b', other = same_a ? 'b' : 'a';
    if (shared_weight ? weight != shared : weight == shared)
        return WHY_OTHER_ROLE;
    if (!shared_weight)
        for (uint32_t i = 0; i < group->member_count; i++)
            if (weights[group->member[i]] != other)
                return WHY_NOT_WEIGHTS;
    if (!group->independent)
        return WHY_DEPENDENT;

    struct tvg_op joined = first->op;
    uint64_t uses[8] = {0};
    double bytes_before = 0, seconds_before = 0, least_before = 0, roofline_before = 0;
    const struct tvg_device *device = tvg_rewrite_device(&first->op, context);
    double floor = device && device->launch_floor.known ? device->launch_floor.value.value : 0;
    for (uint64_t call = 0; call < calls; call++) {
        uint32_t index = group->member[call < group->member_count ? call : 0];
        const struct tvg_op_stat *stat = &profile->ops[index];
        if (call && !join_shapes(&joined, &stat->op, same_a))
            return WHY_SHAPES;
        double roofline = tvg_modelled_seconds(&stat->op, context);
        if (roofline <= 0 || stat->count == 0)
            return roofline <= 0 ? WHY_PRICE : WHY_COUNTS;
        double mean = stat->seconds / (double)stat->count;
        bytes_before += (double)stat->op.bytes;
        seconds_before += mean - fmin(mean, floor);
        least_before += fmax(0, stat->seconds_min - floor);
        roofline_before += roofline;
        for (uint32_t i = 0; i < group->member_count; i++)
            if (group->member[i] == index) {
                uses[i]++;
                break;
            }
    }
    if (vector && same_a)
        joined = gemm_of_gemv(&joined, (int64_t)calls);
    joined.name = shared_weight ? "batched" : "merged";
    joined.ldb = joined.ldc = 0; /* the joined operand has a layout of its own */
    tvg_op_count(&joined);
    for (uint32_t i = 0; i < group->member_count; i++)
        if (uses[i] && profile->ops[group->member[i]].count < uses[i] * group->count)
            return WHY_COUNTS;
    double roofline_after = tvg_modelled_seconds(&joined, context);
    if (roofline_after <= 0)
        return WHY_PRICE;
    struct tvg_op_stat template = *first;
    if (!tvg_rewrite_add_op_behind(profile, &joined, group->count, context, group->member[0]))
        return WHY_PRICE;
    struct tvg_op_stat *added = &profile->ops[profile->op_count - 1];
    added->a_distinct = template.a_distinct;
    added->b_distinct = template.b_distinct;
    if (!shared_weight) { /* one weight where there were several: the first member's share of the calls, by how often it is in the group */
        uint64_t *kept = same_a ? &added->b_distinct : &added->a_distinct;
        double share = (double)(uses[0] * group->count) / (double)template.count;
        *kept = (uint64_t)fmax(1, ceil((double)*kept * share / (double)uses[0] - 1e-9));
    }
    if (seconds_before > 0 || floor > 0) {
        double each = fmin(floor, template.seconds / (double)template.count) + seconds_before * roofline_after / roofline_before;
        tvg_scale_time(added, each / (added->seconds / (double)added->count));
        added->seconds_min = fmin(each, fmin(floor, template.seconds_min) + least_before * roofline_after / roofline_before);
    }
    for (uint32_t i = 0; i < group->member_count; i++) {
        struct tvg_op_stat *stat = &profile->ops[group->member[i]];
        if (!uses[i])
            continue;
        uint64_t removed = uses[i] * group->count;
        double left = (double)(stat->count - removed) / (double)stat->count;
        stat->seconds *= left;
        for (int phase = 0; phase < 6; phase++) {
            stat->seconds_by_phase[phase] *= left;
            stat->count_by_phase[phase] = (uint64_t)((double)stat->count_by_phase[phase] * left);
        }
        stat->count -= removed;
        if (!shared_weight) { /* the calls that stay have weights of their own */
            uint64_t *kept = same_a ? &stat->b_distinct : &stat->a_distinct;
            *kept = (uint64_t)ceil((double)*kept * left - 1e-9);
        }
    }
    if (shared_weight) { /* the inputs lie in different places: one copy of each brings them together */
        double elements = same_a ? (double)joined.k * (double)joined.n : (double)joined.m * (double)joined.k;
        struct tvg_op gather = tvg_pass_op(&joined, TVG_KIND_COPY, "gather", elements, joined.type_a, joined.type_a, 0);
        if (tvg_rewrite_add_op_behind(profile, &gather, group->count, context, group->member[0]))
            bytes_before -= (double)gather.bytes;
    }
    *flop += (double)joined.flop * (double)group->count;
    *bytes_saved += (bytes_before - (double)joined.bytes) * (double)group->count;
    group->count = 0; /* consumed */
    return WHY_COUNT;
}

void tvg_merge_calls(struct tvg_profile *profile, const struct tvg_rewrite_context *context, struct tvg_rewrite_outcome *outcome, bool shared_weight)
{
    uint64_t merged = 0, calls = 0, refused[WHY_COUNT] = {0};
    double flop = 0, bytes = 0;
    uint32_t op_count = profile->op_count; /* joined calls come behind */
    char *weights = tvg_weight_operands(profile, outcome);
    if (!weights)
        return;
    for (uint32_t i = 0; i < profile->group_count; i++) {
        struct tvg_group *group = &profile->groups[i];
        if (group->count == 0 || group->member_count < 2)
            continue;
        bool inside = true;
        for (uint32_t j = 0; j < group->member_count; j++)
            inside = inside && j < 8 && group->member[j] < op_count;
        if (!inside)
            continue;
        uint64_t count = group->count, each = group->run_length > group->member_count ? group->run_length : group->member_count;
        enum why why = merge_group(profile, group, weights, context, shared_weight, &flop, &bytes);
        if (why == WHY_COUNT) {
            merged += count;
            calls += count * each;
        } else {
            refused[why] += count;
        }
    }
    free(weights);
    if (merged) {
        tvg_applied(outcome, profile, flop, TVG_MERGE_UNCERTAINTY, "%llu calls became %llu: %s less to read", (unsigned long long)calls,
                    (unsigned long long)merged, TVG_BYTES(bytes));
        return;
    }
    refused[WHY_OTHER_ROLE] = 0;
    enum why most = 0;
    for (int i = 0; i < WHY_COUNT; i++)
        if (refused[i] > refused[most])
            most = (enum why)i;
    if (refused[most])
        tvg_refuse(outcome, "%llu runs of calls share %s, but %s", (unsigned long long)refused[most], shared_weight ? "a weight" : "an input",
                   why_text[most]);
    else
        tvg_refuse(outcome, shared_weight ? "no calls in a row read the same weight" : "no calls in a row read the same input with different weights");
}
