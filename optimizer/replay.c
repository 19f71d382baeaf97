/* Replay: applies rewrites to a private copy of a profile and takes the difference of two pricings with the same coefficients and the same
 * meter scale. E_new = E_total - sum s (e_original - e_rewritten) - P dT; same rate drops the last term: the time saved is spent awake.
 * Interval ends: all coefficients at their low (value, high) end together, and all re-priced times longer (shorter) by their uncertainty together. */
#include "rewrite.h"
#include "rewrites/common.h"
#include "settle.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct working {
    struct tvg_profile profile;  /* shares all but ops and groups with the original */
    double *uncertainty;         /* of each op's time, relative; 0: as measured */
    uint32_t uncertain_count;
};

double tvg_interval_end(struct tvg_interval interval, int end)
{
    return end == 0 ? interval.low : end == 1 ? interval.value : interval.high;
}

void tvg_interval_hold(struct tvg_interval *interval, double value, bool middle)
{
    interval->low = fmin(interval->low, value);
    interval->high = fmax(interval->high, value);
    if (middle)
        interval->value = value;
}

void tvg_settle_totals(struct tvg_replay *replay, const struct tvg_profile *rewritten)
{
    for (uint32_t i = 0; i < rewritten->op_count; i++) {
        const struct tvg_op_stat *stat = &rewritten->ops[i];
        replay->op_seconds += stat->seconds;
        replay->flop += (double)stat->op.flop * (double)stat->count;
        replay->bytes += (double)stat->op.bytes * (double)stat->count;
        replay->op_count += stat->count;
    }
}

static bool same_stat(const struct tvg_op_stat *a, const struct tvg_op_stat *b)
{
    return a->count == b->count && a->seconds == b->seconds && a->op.flop == b->op.flop && a->op.bytes == b->op.bytes &&
           a->op.type_compute == b->op.type_compute && a->op.threads == b->op.threads && a->energy_scale == b->energy_scale && a->role_gone == b->role_gone;
}

static bool working_begin(struct working *working, const struct tvg_profile *profile)
{
    memset(working, 0, sizeof *working);
    working->profile = *profile;
    working->profile.ops = malloc((profile->op_count + 1u) * sizeof *profile->ops);
    working->profile.groups = malloc((profile->group_count + 1u) * sizeof *profile->groups);
    if (!working->profile.ops || !working->profile.groups)
        return false;
    if (profile->op_count)
        memcpy(working->profile.ops, profile->ops, profile->op_count * sizeof *profile->ops);
    if (profile->group_count)
        memcpy(working->profile.groups, profile->groups, profile->group_count * sizeof *profile->groups);
    return true;
}

static void working_end(struct working *working)
{
    free(working->profile.ops);
    free(working->profile.groups);
    free(working->uncertainty);
}

/* Applies one rewrite and notes which ops it re-priced. False when memory ran out. */
static bool apply(struct working *working, const struct tvg_rewrite *rewrite, const struct tvg_rewrite_context *context, bool boards,
                  struct tvg_rewrite_outcome *outcome)
{
    struct tvg_profile *profile = &working->profile;
    uint32_t before_count = profile->op_count;
    struct tvg_op_stat *before = malloc((before_count + 1u) * sizeof *before);
    char why[128];
    memset(outcome, 0, sizeof *outcome);
    if (!before)
        return false;
    if (before_count)
        memcpy(before, profile->ops, before_count * sizeof *before);
    if (boards && !(rewrite->runs_on & TVG_ON_GPU))
        tvg_refuse(outcome, "it changes operations on the CPU; the figures here are the board's");
    else if (!boards && !(rewrite->runs_on & TVG_ON_CPU))
        tvg_refuse(outcome, "it changes operations on a GPU, and none whose activity was recorded is in the run");
    else if (!tvg_rewrite_accepts(rewrite, context->argument, why, sizeof why))
        tvg_refuse(outcome, "%s", why);
    else
        rewrite->transform(profile, context, outcome);
    if (profile->op_count > working->uncertain_count || !working->uncertainty) {
        double *grown = realloc(working->uncertainty, (profile->op_count + 1u) * sizeof *grown);
        if (!grown) {
            free(before);
            return false;
        }
        for (uint32_t i = working->uncertain_count; i < profile->op_count; i++)
            grown[i] = 0;
        working->uncertainty = grown;
        working->uncertain_count = profile->op_count;
    }
    for (uint32_t i = 0; i < profile->op_count; i++) {
        working->uncertainty[i] = fmax(working->uncertainty[i], profile->ops[i].time_unsure);
        if (i >= before_count || before[i].op.flop != profile->ops[i].op.flop || before[i].op.bytes != profile->ops[i].op.bytes ||
            (before[i].count == profile->ops[i].count && before[i].seconds != profile->ops[i].seconds))
            working->uncertainty[i] = fmax(working->uncertainty[i], profile->ops[i].time_unsure > 0 ? profile->ops[i].time_unsure : outcome->time_uncertainty);
    }
    free(before);
    return true;
}

/* What is left of a joined run as one outcome. */
static void join_outcome(struct tvg_rewrite_outcome *joined, const struct tvg_rewrite *rewrite, const struct tvg_rewrite_outcome *outcome, bool alone)
{
    if (alone) {
        *joined = *outcome;
        return;
    }
    size_t used = strlen(joined->reason);
    snprintf(joined->reason + used, sizeof joined->reason - used, "%s%s %s", used ? ", " : "", rewrite->name, outcome->applied ? "applied" : "refused");
    joined->applied |= outcome->applied;
    joined->covered_flop = fmax(joined->covered_flop, outcome->covered_flop);
    joined->time_uncertainty = fmax(joined->time_uncertainty, outcome->time_uncertainty);
}

/* The difference between the original and the working profile in joules and seconds. */
static void settle(struct tvg_replay *replay, const struct working *working, const struct tvg_profile *profile, const struct tvg_energy *energy,
                   const struct tvg_rewrite_context *context)
{
    const struct tvg_profile *rewritten = &working->profile;
    double joules[3][3] = {{0}}, host[3] = {0}, gpu[3] = {0}, gpu_busy = 0; /* saved: [coefficients' end][shorter, as priced, longer] */
    bool changed = false;
    tvg_settle_totals(replay, rewritten);
    for (uint32_t i = 0; i < profile->op_count; i++)
        gpu_busy += profile->ops[i].op.on_gpu ? profile->ops[i].seconds : 0;
    for (uint32_t i = 0; i < rewritten->op_count; i++) {
        const struct tvg_op_stat *new = &rewritten->ops[i], *old = i < profile->op_count ? &profile->ops[i] : NULL;
        if (old && same_stat(old, new))
            continue;
        changed = true;
        const struct tvg_device *device = new->op.on_gpu ? context->gpu : context->device;
        double scale = new->op.on_gpu ? 1 : energy->meter_scale;
        struct tvg_interval none = {0, 0, 0}, before = old && device ? tvg_energy_of_stat(old, device) : none;
        double uncertainty = i < working->uncertain_count ? working->uncertainty[i] : 0, *time = new->op.on_gpu ? gpu : host;
        for (int longer = 0; longer < 3; longer++) {
            struct tvg_op_stat timed = *new; /* an op's energy has a part that goes with its time */
            tvg_scale_time(&timed, fmax(0.25, 1 + (longer - 1) * uncertainty));
            struct tvg_interval after = device ? tvg_energy_of_stat(&timed, device) : none;
            for (int end = 0; end < 3; end++)
                joules[end][longer] += scale * (tvg_interval_end(before, end) - tvg_interval_end(after, end));
            time[longer] += (old ? old->seconds : 0) - timed.seconds;
        }
    }
    replay->seconds = profile->wall_seconds;
    replay->energy = energy->total;
    replay->ops = energy->ops;
    replay->idle = energy->idle;
    replay->saved_work = replay->saved_rate = (struct tvg_interval){0, 0, 0};
    if (!changed)
        return;
    /* Ops of several threads overlap: a second of summed op time is this much wall time. */
    double overlap = profile->op_seconds > 0 ? fmin(1, profile->op_wall_seconds / profile->op_seconds) : 1;
    double wall = energy->wall_seconds > 0 ? energy->wall_seconds : profile->wall_seconds;
    /* Without recorded activity: a GPU op's time is wall time only where the device, not the host, sets the pace. */
    bool device_bound = profile->wall_seconds > 0 && gpu_busy >= TVG_CARD_SETS_PACE * profile->wall_seconds;
    struct tvg_interval work = TVG_NOTHING, left = work, ops = work, idle = work, rate = work;
    for (int end = 0; end < 3; end++) {
        double watts = wall > 0 ? tvg_interval_end(energy->idle, end) / wall : 0;
        for (int longer = 0; longer < 3; longer++) {
            bool middle = end == 1 && longer == 1;
            double saved = fmin((host[longer] + (device_bound ? gpu[longer] : 0)) * overlap, profile->op_wall_seconds > 0 ? profile->op_wall_seconds : profile->wall_seconds);
            double marginal = joules[end][longer], total = marginal + watts * saved;
            tvg_interval_hold(&rate, marginal, middle);
            tvg_interval_hold(&ops, tvg_interval_end(energy->ops, end) - marginal, middle);
            tvg_interval_hold(&work, total, middle);
            tvg_interval_hold(&left, tvg_interval_end(energy->total, end) - total, middle);
            tvg_interval_hold(&idle, tvg_interval_end(energy->idle, end) - watts * saved, middle);
            if (middle)
                replay->time_saved = saved;
        }
    }
    replay->seconds = profile->wall_seconds - replay->time_saved;
    replay->saved_work = work;
    replay->saved_rate = rate;
    replay->energy = left;
    replay->ops = ops;
    replay->idle = idle;
}

static bool replay_once(struct tvg_replay *replay, const struct tvg_rewrite *const *rewrites, uint32_t count, const struct tvg_profile *profile,
                        const struct tvg_energy *energy, const struct tvg_rewrite_context *context, struct tvg_error *error)
{
    struct working working;
    memset(replay, 0, sizeof *replay);
    replay->energy_zero_at = NAN;
    replay->rewrite = count == 1 ? rewrites[0] : NULL;
    bool ready = working_begin(&working, profile), boards = energy->board_seconds > 0;
    for (uint32_t i = 0; ready && i < count; i++) {
        struct tvg_rewrite_context own = *context;
        struct tvg_rewrite_outcome outcome;
        if (context->arguments)
            own.argument = context->arguments[i];
        if (boards)
            own.device = NULL; /* the boundary is the board: what runs on the CPU stays */
        ready = apply(&working, rewrites[i], &own, boards, &outcome);
        join_outcome(&replay->outcome, rewrites[i], &outcome, count == 1);
    }
    if (ready && energy->board_seconds > 0)
        ready = tvg_settle_boards(replay, profile, &working.profile, working.uncertainty, energy, context);
    else if (ready)
        settle(replay, &working, profile, energy, context);
    working_end(&working);
    return ready || tvg_fail(error, NULL, NULL, "free some memory", "out of memory for a replay of %u ops", profile->op_count);
}

/* The joules saved, same work, if the assumption had `value`; 0 when the rewrite then refuses. */
static double saved_at(double value, const struct tvg_rewrite *rewrite, const struct tvg_profile *profile, const struct tvg_energy *energy,
                       const struct tvg_rewrite_context *context)
{
    struct tvg_assumption assumption = {"", value};
    struct tvg_rewrite_context with = *context;
    struct tvg_replay trial;
    struct tvg_error ignored;
    snprintf(assumption.name, sizeof assumption.name, "%s", rewrite->assumption);
    with.argument = NULL;
    with.arguments = NULL;
    with.assumptions = &assumption;
    with.assumption_count = 1;
    with.middle_only = true;
    return replay_once(&trial, &rewrite, 1, profile, energy, &with, &ignored) && trial.outcome.applied ? trial.saved_work.value : 0;
}

/* Where the saving crosses 0 within the values that the assumption may have: bisection in the first of 32 steps whose ends differ in sign.
 * The lower end itself when nothing is left there; NAN when the saving never is 0. */
static double zero_of(const struct tvg_rewrite *rewrite, double saved, const struct tvg_profile *profile, const struct tvg_energy *energy,
                      const struct tvg_rewrite_context *context)
{
    const int steps = 32;
    double width = (rewrite->assumption_high - rewrite->assumption_low) / steps, low = rewrite->assumption_low + width * 1e-3;
    double at_low = saved_at(low, rewrite, profile, energy, context);
    for (int i = 1; i <= steps; i++) {
        double high = rewrite->assumption_low + width * (i == steps ? i - 1e-3 : i), at_high = saved_at(high, rewrite, profile, energy, context);
        if (at_low != 0 && at_high != 0 && (at_low < 0) != (at_high < 0)) {
            for (int j = 0; j < 40; j++) {
                double middle = (low + high) / 2, at_middle = saved_at(middle, rewrite, profile, energy, context);
                if ((at_middle < 0) == (at_low < 0))
                    low = middle;
                else
                    high = middle;
            }
            return (low + high) / 2;
        }
        low = high;
        at_low = at_high;
    }
    double near_low = saved_at(rewrite->assumption_low + width * 1e-3, rewrite, profile, energy, context);
    return fabs(near_low) <= 1e-2 * fabs(saved) ? rewrite->assumption_low : NAN;
}

bool tvg_replay_run(struct tvg_replay *replay, const struct tvg_rewrite *const *rewrites, uint32_t count, const struct tvg_profile *profile,
                    const struct tvg_energy *energy, const struct tvg_rewrite_context *context, struct tvg_error *error)
{
    if (!replay_once(replay, rewrites, count, profile, energy, context, error))
        return false;
    if (count == 1 && rewrites[0]->assumption && replay->outcome.applied)
        replay->energy_zero_at = zero_of(rewrites[0], replay->saved_work.value, profile, energy, context);
    return true;
}

/* --- one run from another ----------------------------------------------------------------------------------------------- */
static bool same_call(const struct tvg_op *a, const struct tvg_op *b)
{
    return a->kind == b->kind && a->m == b->m && a->n == b->n && a->k == b->k && a->batch == b->batch && a->flags == b->flags && a->type_a == b->type_a &&
           a->type_b == b->type_b && a->type_c == b->type_c && a->type_compute == b->type_compute && a->threads == b->threads && a->on_gpu == b->on_gpu &&
           a->dim_count == b->dim_count && memcmp(a->dim, b->dim, a->dim_count <= TVG_DIMS_MAX ? a->dim_count * sizeof *a->dim : 0) == 0 &&
           strcmp(a->function ? a->function : "", b->function ? b->function : "") == 0 && strcmp(a->library ? a->library : "", b->library ? b->library : "") == 0;
}

/* Wall time without any op: start, load and end happen once, the rest goes with the calls. */
static void host_time(const struct tvg_profile *profile, double *once, double *with_calls)
{
    static const enum tvg_phase_kind fixed[] = {TVG_PHASE_START, TVG_PHASE_LOAD, TVG_PHASE_END};
    double host = fmax(0, profile->wall_seconds - profile->op_wall_seconds);
    *once = 0;
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        *once += fmax(0, profile->phase[fixed[i]].seconds - profile->phase[fixed[i]].op_seconds);
    *once = fmin(*once, host);
    *with_calls = host - *once;
}

bool tvg_replay_predict(struct tvg_prediction *prediction, const struct tvg_profile *first, const struct tvg_profile *second, struct tvg_error *error)
{
    memset(prediction, 0, sizeof *prediction);
    if (!first->total_ops || !second->total_ops || !(first->op_seconds > 0))
        return tvg_fail(error, NULL, NULL, "record a run that uses the library", "one of the two runs has no operations to compare");
    double ops = 0, flop_rate = first->flop > 0 ? first->op_seconds / first->flop : 0, call_time = first->op_seconds / (double)first->total_ops;
    for (uint32_t i = 0; i < second->op_count; i++) {
        const struct tvg_op_stat *stat = &second->ops[i];
        double seconds = 0, calls = 0;
        for (uint32_t j = 0; j < first->op_count; j++)
            if (same_call(&first->ops[j].op, &stat->op)) { /* one per call site: pooled */
                seconds += first->ops[j].seconds;
                calls += (double)first->ops[j].count;
            }
        prediction->calls += stat->count;
        if (calls > 0) {
            ops += seconds / calls * (double)stat->count;
        } else {
            prediction->unmatched += stat->count;
            ops += stat->op.flop && flop_rate > 0 ? (double)stat->op.flop * flop_rate * (double)stat->count : call_time * (double)stat->count;
        }
    }
    double once, with_calls, overlap = fmin(1, first->op_wall_seconds / first->op_seconds);
    host_time(first, &once, &with_calls);
    prediction->predicted = ops * overlap + once + with_calls * (double)second->total_ops / (double)first->total_ops;
    const double least_noise = 0.1; /* two runs on a quiet machine */
    double fastest = 0;
    for (uint32_t i = 0; i < first->op_count; i++)
        fastest += fmin(first->ops[i].seconds, first->ops[i].seconds_min * (double)first->ops[i].count);
    prediction->noise = fmax(least_noise, 1 - fastest / first->op_seconds);
    prediction->measured = second->wall_seconds;
    prediction->error = second->wall_seconds > 0 ? prediction->predicted / second->wall_seconds - 1 : 0;
    prediction->op_error = second->op_seconds > 0 ? ops / second->op_seconds - 1 : 0;
    return true;
}
