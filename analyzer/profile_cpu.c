/* CPU time by part of the run, and how much of it ran outside recorded ops: by samples where there are any, else within bounds. */
#include <math.h>

#include "profile_build.h"

/* --- the clock of a process's CPU time ------------------------------------------------------------------------------------- */

void tvg_cpu_seen(struct tvg_cpu_clock *clock, double mono_ns, double cpu_ns, double last_op_ns)
{
    const struct tvg_cpu_point now = {mono_ns, cpu_ns};
    if (!clock->seen++)
        clock->first = now;
    if (clock->after.mono_ns <= last_op_ns && clock->after.mono_ns > clock->before.mono_ns)
        clock->before = clock->after;
    if (mono_ns <= last_op_ns) {
        if (mono_ns > clock->before.mono_ns)
            clock->before = now;
    } else if (clock->after.mono_ns <= last_op_ns || mono_ns < clock->after.mono_ns) {
        clock->after = now;
    }
}

struct tvg_interval tvg_cpu_by(const struct tvg_cpu_clock *clock, double mono_ns, double cpus)
{
    const struct tvg_cpu_point *points[] = {&clock->start, &clock->opened, &clock->first, &clock->before, &clock->after, &clock->end};
    const struct tvg_cpu_point *low = NULL, *high = NULL;
    for (unsigned i = 0; i < sizeof points / sizeof *points; i++) {
        if (!(points[i]->mono_ns > 0))
            continue;
        if (points[i]->mono_ns <= mono_ns && (!low || points[i]->mono_ns >= low->mono_ns))
            low = points[i];
        if (points[i]->mono_ns > mono_ns && (!high || points[i]->mono_ns < high->mono_ns))
            high = points[i];
    }
    double least = low ? low->cpu_ns * 1e-9 : 0, most = high ? fmax(least, high->cpu_ns * 1e-9) : least;
    struct tvg_interval used = {least, least, most};
    if (!low || !high) {
        used.high = least;
        return used;
    }
    double since = (mono_ns - low->mono_ns) * 1e-9, until = (high->mono_ns - mono_ns) * 1e-9;
    used.value = least + (most - least) * since / (since + until); /* as if its use had been even */
    if (cpus > 0) { /* but it can't use more CPUs than it was allowed */
        used.low = fmin(most, fmax(least, most - until * cpus));
        used.high = fmax(used.low, fmin(most, least + since * cpus));
    }
    used.value = fmin(used.high, fmax(used.low, used.value));
    return used;
}

/* --- outside recorded ops --------------------------------------------------------------------------------------------------- */

/* Calls below this size run on one thread in the common BLAS libraries (OpenBLAS: m*n*k < 4 * 65536 multiply-adds). */
static const double threaded_flop = 2.0 * 4 * 65536;

double tvg_threads_of(const struct tvg_op_stat *stat, double unknown)
{
    if ((double)stat->op.flop < threaded_flop)
        return 1;
    return stat->op.threads ? stat->op.threads : unknown;
}

/* Shares out what ran outside ops between the first and the last op by the time without ops: none to waiting, where no CPU was used. */
static void share_out(const struct tvg_profile *profile, struct tvg_interval middle, enum tvg_phase_kind from, struct tvg_interval outside[6])
{
    static const enum tvg_phase_kind kinds[] = {TVG_PHASE_LOAD, TVG_PHASE_WARMUP, TVG_PHASE_STEADY};
    double weight[6] = {0}, all = 0, overlap = profile->op_seconds > 0 ? fmin(1, profile->op_wall_seconds / profile->op_seconds) : 1;
    for (int pass = 0; pass < 2 && !(all > 0); pass++)
        for (int k = 0; k < 3; k++) {
            const struct tvg_phase *phase = &profile->phase[kinds[k]];
            weight[kinds[k]] = kinds[k] < from ? 0 : fmax(0, phase->seconds - (pass ? 0 : phase->op_seconds * overlap));
            all += weight[kinds[k]];
        }
    if (!(all > 0))
        weight[TVG_PHASE_STEADY] = all = 1;
    for (int p = 0; p < 6; p++)
        outside[p] = tvg_interval_add(outside[p], tvg_interval_scale(middle, weight[p] / all));
}

double tvg_cpu_chance(const struct tvg_cpu_part_sum *part)
{
    double sampled = part->op_seconds + part->dark_seconds, share = sampled > 0 ? part->dark_seconds / sampled : 0, grain = sampled > 0 ? part->squares / sampled : 0;
    return sqrt(1.96 * 1.96 * share * (1 - share) * part->squares + grain * grain);
}

/* By samples. What no sample stands for is taken to be like the rest; the interval holds that none and that all of it was outside. */
static bool by_samples(const struct tvg_profile *profile, struct tvg_interval outside[6])
{
    const struct tvg_cpu_where *where = &profile->where;
    double known = where->op_seconds + where->dark_seconds + where->before_seconds, cpu = profile->cpu_seconds;
    if (!where->processes || !(known > 0))
        return false;
    double like = cpu / known, fits = fmin(1, like);
    struct tvg_interval part[TVG_CPU_PARTS];
    for (int p = 0; p < TVG_CPU_PARTS; p++) {
        const struct tvg_cpu_part_sum *sum = &where->part[p];
        double sampled = sum->op_seconds + sum->dark_seconds, before = p == TVG_CPU_START ? where->before_seconds : 0;
        double chance = tvg_cpu_chance(sum);
        double dark = sum->dark_seconds + before, unsampled = where->unsampled_seconds * (sampled + before) / known;
        part[p] = (struct tvg_interval){dark * like, fmax(0, dark - chance) * fits, fmin((sampled + before) * like, (dark + chance) * fits + unsampled)};
    }
    outside[TVG_PHASE_START] = part[TVG_CPU_START];
    outside[TVG_PHASE_LOAD] = part[TVG_CPU_LOAD];
    outside[TVG_PHASE_END] = part[TVG_CPU_END];
    share_out(profile, part[TVG_CPU_MAIN], TVG_PHASE_WARMUP, outside);
    return true;
}

/* By durations. Before the first op and after the last all CPU time is outside. Between them an op's duration is wall time of the thread that called it; what
 * its worker threads used is between nothing (high end) and all they were allowed (low end). Where the library's thread count is unknown, a large call
 * is taken to keep as many CPUs busy as the run did on average. */
static void by_durations(const struct tvg_profile *profile, struct tvg_interval outside[6])
{
    double least = 0, fast = 0, likely = 0, all = 0, cpu = profile->cpu_seconds;
    double cpus = profile->cpus_allowed ? profile->cpus_allowed : 1;
    double mean_busy = profile->wall_seconds > 0 ? fmax(1, fmin(cpus, cpu / profile->wall_seconds)) : 1;
    for (uint32_t i = 0; i < profile->op_count; i++) {
        const struct tvg_op_stat *stat = &profile->ops[i];
        if (stat->op.on_gpu)
            continue; /* the host waits or works on: its CPU seconds are outside */
        double threads = fmin(cpus, tvg_threads_of(stat, mean_busy)), fastest = fmin(stat->seconds, stat->seconds_min * (double)stat->count);
        least += fastest;
        fast += fastest * threads;
        all += stat->seconds * fmin(cpus, stat->op.threads ? stat->op.threads : cpus);
        likely += stat->seconds * threads;
    }
    double ends = fmin(cpu, profile->cpu_start.value + profile->cpu_end.value);
    double middle = cpu - ends, lasts = profile->wall_seconds - profile->phase[TVG_PHASE_START].seconds - profile->phase[TVG_PHASE_END].seconds;
    /* On a busy machine a call's time holds waits for a core: its CPU time is then the run's mean, but not less than its fastest calls say. */
    if (lasts > 0)
        likely = fmin(likely, fmax(fast, middle * fmin(1, profile->op_wall_seconds / lasts)));
    double value = fmax(0, middle - likely);
    outside[TVG_PHASE_START] = profile->cpu_start;
    outside[TVG_PHASE_END] = profile->cpu_end;
    share_out(profile, (struct tvg_interval){value, fmin(value, fmax(0, middle - all)), fmax(value, middle - least)}, TVG_PHASE_LOAD, outside);
}

void tvg_cpu_outside(const struct tvg_profile *profile, struct tvg_interval outside[6])
{
    double cpu = profile->cpu_seconds;
    for (int p = 0; p < 6; p++)
        outside[p] = (struct tvg_interval){0, 0, 0};
    if (!(cpu > 0))
        return;
    if (profile->op_count == 0) /* what was in no op is not a matter of samples */
        outside[TVG_PHASE_START] = (struct tvg_interval){cpu, cpu, cpu};
    else if (!by_samples(profile, outside))
        by_durations(profile, outside);
}
