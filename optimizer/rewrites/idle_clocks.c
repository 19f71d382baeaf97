/* idle-clocks: what a live context costs while nothing runs: it lifts the card's clocks, and they stay lifted. How much of that a driver gives back is reported, not
 * measured here, so this names the most there is to get and claims no saving. */
#include "common.h"

static void transform(struct tvg_profile *profile, const struct tvg_rewrite_context *context, struct tvg_rewrite_outcome *outcome)
{
    double idle = 0;
    for (uint32_t i = 0; i < profile->gpu_count; i++)
        idle += profile->gpus[i].pause_seconds;
    const struct tvg_device *gpu = context->gpu;
    double lifted = gpu && gpu->awake.known && gpu->floor.known ? gpu->awake.value.value - gpu->floor.value.value : 0;
    if (!(lifted > 0))
        tvg_refuse(outcome, "the device file does not tell awake from rest");
    else if (!(idle > 0))
        tvg_refuse(outcome, "the card was never without work for 1 ms or more between its first and its last");
    else
        tvg_refuse(outcome, "diagnostic: in %s of pauses a live context keeps the card %.3g W above rest: %.3g J at most", TVG_SECONDS(idle), lifted, idle * lifted);
}

const struct tvg_rewrite tvg_rewrite_idle_clocks = {
    .name = "idle-clocks",
    .summary = "the most that lower clocks could give back while a live context waits",
    .what_to_do = "CUDA_DISABLE_PERF_BOOST=1 (driver 580.105 on), or unload models that wait; measure both. An environment variable, can be undone; the first kernel after a pause may be slower.",
    .citation = "reported for that variable: 50 W on H100, 26 on A100, 66 on L40S; a published study finds the step of 72 to 122 W on H100 (arXiv 2605.23918); not measured here",
    .nature = TVG_OPERATOR,
    .loss = TVG_LOSS_EXACT,
    .diagnostic_only = true,
    .runs_on = TVG_ON_GPU,
    .transform = transform,
};
