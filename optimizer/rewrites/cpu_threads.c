/* cpu-threads: another number of threads, from what the trace itself measured. A shape that ran with two thread counts has a curve; where
 * none did there is nothing to go by, and no law of scaling is put in its place. cpu-threads=N asks for N, faster or not. */
#include "common.h"

#include <stdlib.h>

static bool same_work(const struct tvg_op *a, const struct tvg_op *b)
{
    return a->kind == b->kind && a->type_a == b->type_a && a->type_b == b->type_b && a->type_c == b->type_c && a->type_compute == b->type_compute &&
           a->flags == b->flags && a->m == b->m && a->n == b->n && a->k == b->k && a->batch == b->batch && !a->on_gpu && !b->on_gpu;
}

static double mean(const struct tvg_op_stat *stat)
{
    return stat->count ? stat->seconds / (double)stat->count : 0;
}

static void transform(struct tvg_profile *profile, const struct tvg_rewrite_context *context, struct tvg_rewrite_outcome *outcome)
{
    double flop = 0, before = 0, after = 0;
    uint64_t curves = 0, moved = 0, counted = 0;
    long wanted = context->argument ? strtol(context->argument, NULL, 10) : 0;
    /* times as measured: a stat that was moved must not serve as a point of another's curve */
    double *measured = calloc(profile->op_count ? profile->op_count : 1, sizeof *measured);
    if (!measured) {
        tvg_refuse(outcome, "out of memory");
        return;
    }
    for (uint32_t i = 0; i < profile->op_count; i++)
        measured[i] = mean(&profile->ops[i]);
    for (uint32_t i = 0; i < profile->op_count; i++) {
        struct tvg_op_stat *stat = &profile->ops[i];
        if (!stat->count || !stat->op.threads || measured[i] <= 0)
            continue;
        counted++;
        uint32_t best = i;
        bool curve = false, found = false;
        for (uint32_t j = 0; j < profile->op_count; j++) {
            const struct tvg_op_stat *other = &profile->ops[j];
            if (!other->count || !other->op.threads || measured[j] <= 0 || !same_work(&stat->op, &other->op))
                continue;
            curve = curve || other->op.threads != stat->op.threads;
            if (wanted ? other->op.threads == wanted && (!found || measured[j] < measured[best]) : measured[j] < measured[best]) {
                best = j;
                found = true;
            }
        }
        curves += curve;
        if (!curve || (wanted && !found) || profile->ops[best].op.threads == stat->op.threads)
            continue;
        before += stat->seconds;
        tvg_scale_time(stat, measured[best] / measured[i]);
        after += stat->seconds;
        stat->op.threads = profile->ops[best].op.threads;
        flop += (double)stat->op.flop * (double)stat->count;
        moved++;
    }
    free(measured);
    if (moved)
        tvg_applied(outcome, profile, flop, 0.1, "%llu shapes moved to their %s thread count as measured in this trace: %s become %s", (unsigned long long)moved,
                    wanted ? "wanted" : "fastest", TVG_SECONDS(before), TVG_SECONDS(after));
    else if (!counted)
        tvg_refuse(outcome, "the trace does not say how many threads a call had, so there is no curve: compare runs with another OMP_NUM_THREADS by tvg report --against");
    else if (!curves)
        tvg_refuse(outcome, "no shape ran with two thread counts: let the command run a part with another number, or compare two runs by tvg report --against");
    else if (wanted)
        tvg_refuse(outcome, "no shape ran with %ld threads as well as with another number", wanted);
    else
        tvg_refuse(outcome, "every shape that ran with several thread counts already runs with its fastest");
}

const struct tvg_rewrite tvg_rewrite_cpu_threads = {
    .name = "cpu-threads",
    .summary = "another number of threads per product, from the curve that the trace measured",
    .what_to_do = "Set OMP_NUM_THREADS (or the library's own call) to the number named. One variable, can be undone.",
    .citation = "the trace's own times; spinning threads' power is not seen by the model",
    .nature = TVG_FINDING,
    .loss = TVG_LOSS_ROUNDING,
    .takes = "N",
    .runs_on = TVG_ON_CPU,
    .transform = transform,
};
