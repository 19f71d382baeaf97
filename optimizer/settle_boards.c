/* Savings on GPU boards. A faster kernel always saves its joules; it saves time only where the host was not what set the pace, which replaying both
 * paths tells. The machine that stays on saves the kernels' joules alone; the one that is released saves the time at awake power too. */
#include <math.h>
#include <stdlib.h>

#include "../analyzer/energy_gpu.h"
#include "gpu_replay.h"
#include "settle.h"

static double watts_awake(const struct tvg_energy *energy, double seconds)
{
    return seconds > 0 ? energy->idle.value / seconds : 0;
}

bool tvg_settle_boards(struct tvg_replay *replay, const struct tvg_profile *profile, const struct tvg_profile *rewritten, const double *uncertainty,
                       const struct tvg_energy *energy, const struct tvg_rewrite_context *context)
{
    tvg_settle_totals(replay, rewritten);
    replay->seconds = profile->wall_seconds;
    replay->energy = energy->total;
    replay->ops = energy->ops;
    replay->idle = energy->idle;
    if (!replay->outcome.applied)
        return true;
    struct tvg_interval *before = calloc(profile->op_count + 1u, sizeof *before), *after = calloc(rewritten->op_count + 1u, sizeof *after);
    double *stretch = malloc((rewritten->op_count + 1u) * sizeof *stretch);
    bool ready = before && after && stretch && context->gpu && tvg_energy_of_boards(before, profile, profile, NULL, context->gpu);
    struct tvg_interval work = TVG_NOTHING, left = TVG_NOTHING, ops = TVG_NOTHING, idle = TVG_NOTHING, rate = TVG_NOTHING;
    double seconds = energy->board_seconds > 0 ? energy->board_seconds : profile->wall_seconds;
    int from = context->middle_only ? 1 : 0, to = context->middle_only ? 1 : 2, last = context->middle_only ? TVG_WAIT_IS_HOST : TVG_WAIT_IS_CARD;
    for (int longer = from; ready && longer <= to; longer++) {
        double saved[2], joules[3] = {0};
        for (uint32_t i = 0; i < rewritten->op_count; i++)
            stretch[i] = fmax(0.25, 1 + (longer - 1) * uncertainty[i]);
        ready = tvg_energy_of_boards(after, profile, rewritten, stretch, context->gpu);
        for (int reading = TVG_WAIT_IS_HOST; ready && reading <= last; reading++)
            ready = tvg_gpu_replay(&saved[reading], profile, rewritten, stretch, (enum tvg_wait_reading)reading);
        for (int end = 0; end < 3; end++) {
            for (uint32_t i = 0; i < profile->op_count; i++)
                joules[end] += tvg_interval_end(before[i], end);
            for (uint32_t i = 0; i < rewritten->op_count; i++)
                joules[end] -= tvg_interval_end(after[i], end);
        }
        for (int end = 0; ready && end < 3; end++) {
            double watts = seconds > 0 ? tvg_interval_end(energy->idle, end) / seconds : 0, marginal = energy->meter_scale * joules[end];
            for (int reading = TVG_WAIT_IS_HOST; reading <= last; reading++) {
                bool middle = end == 1 && longer == 1 && reading == TVG_WAIT_IS_HOST;
                double time = fmin(saved[reading], seconds), total = marginal + watts * time;
                tvg_interval_hold(&rate, marginal, middle);
                tvg_interval_hold(&work, total, middle);
                tvg_interval_hold(&ops, tvg_interval_end(energy->ops, end) - marginal, middle);
                tvg_interval_hold(&idle, tvg_interval_end(energy->idle, end) - watts * time, middle);
                tvg_interval_hold(&left, tvg_interval_end(energy->total, end) - total, middle);
                if (middle)
                    replay->time_saved = time;
            }
        }
    }
    free(before);
    free(after);
    free(stretch);
    if (!ready)
        return false;
    double unsure = profile->sampled.error * watts_awake(energy, seconds) * fabs(replay->time_saved); /* the launches walked stand for all, as the windows do */
    work.low -= unsure;
    work.high += unsure;
    left.low -= unsure;
    left.high += unsure;
    replay->seconds = profile->wall_seconds - replay->time_saved;
    replay->saved_work = work;
    replay->saved_rate = rate;
    replay->energy = left;
    replay->ops = ops;
    replay->idle = idle;
    return true;
}
