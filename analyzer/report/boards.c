/* What the cards were doing, beside what it cost: busy, waiting for launches, paused; kernels too small to fill them; types that ran. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report.h"

/* Blocks of a kernel's grid; 0 for what is no kernel. */
static double blocks_of(const struct tvg_op *op)
{
    return op->kind == TVG_KIND_KERNEL ? fmax(1, (double)op->dim[0]) * fmax(1, (double)op->dim[1]) * fmax(1, (double)op->dim[2]) : 0;
}

static void add_waits(struct tvg_gpu_waits *sum, const struct tvg_gpu_waits *waits)
{
    sum->span += waits->span;
    sum->host_waited += waits->host_waited;
    sum->both += waits->both;
    sum->queue_full += waits->queue_full;
    sum->card_waited += waits->card_waited;
    sum->returning += waits->returning;
}

/* Who sets the pace, as report.h defines it. With recorded waits an idle card has waited for the host only where the host was in no wait for it. */
static enum tvg_pace pace_of(const struct tvg_report_cards *cards)
{
    double share = cards->working_s > 0 ? cards->busy_s / cards->working_s : 0, starved = cards->working_s > 0 ? cards->launch_gap_s / cards->working_s : 0;
    bool held_up = false;
    if (cards->waits.span > 0) {
        held_up = cards->waits.host_waited + cards->waits.queue_full > cards->waits.span / 2;
        starved = fmin(starved, cards->waits.card_waited / cards->waits.span);
    }
    return share >= TVG_CARD_SETS_PACE || held_up ? TVG_CARD_BOUND : starved > 0.25 ? TVG_LAUNCH_BOUND : TVG_TURNS;
}

void tvg_report_boards(struct tvg_report *report)
{
    const struct tvg_profile *profile = report->profile;
    struct tvg_report_cards *cards = &report->cards;
    memset(cards, 0, sizeof *cards);
    cards->multiprocessors = report->gpu ? report->gpu->multiprocessors : 0;
    for (uint32_t i = 0; i < profile->gpu_count; i++) {
        const struct tvg_gpu *gpu = &profile->gpus[i];
        cards->busy_s += gpu->busy_seconds;
        cards->span_s += (gpu->last_ns - gpu->first_ns) * 1e-9;
        cards->launch_gap_s += gpu->launch_gap_seconds;
        cards->pause_s += gpu->pause_seconds;
        cards->queued_gap_s += gpu->queued_gap_seconds;
        add_waits(&cards->waits, &gpu->waits);
        cards->kernels += (double)gpu->kernels;
        cards->kernel_s += gpu->kernel_seconds;
        cards->caused_s += gpu->caused_seconds;
    }
    for (uint32_t i = 0; i < profile->activity_count; i++) {
        const struct tvg_gpu_activity *at = &profile->activity[i];
        double blocks = blocks_of(&profile->ops[at->op].op);
        if (blocks > 0 && cards->multiprocessors > 0 && blocks < cards->multiprocessors) {
            cards->small_s += at->seconds;
            cards->small_kernels += (double)at->count;
        }
    }
    double told = 0, other = 0, all = 0;
    for (uint32_t i = 0; i < profile->op_count; i++) {
        const struct tvg_op_stat *stat = &profile->ops[i];
        double flop = stat->op.on_gpu ? (double)stat->op.flop * (double)stat->count : 0;
        all += flop;
        told += stat->type_confirmed ? flop : 0;
        other += stat->type_disagrees ? flop : 0;
    }
    cards->type_confirmed = all > 0 ? told / all : 0;
    cards->type_disagrees = all > 0 ? other / all : 0;
    cards->working_s = cards->busy_s + cards->launch_gap_s + cards->queued_gap_s;
    cards->verdict = pace_of(cards);
}

char *tvg_show_windows(char *out, size_t size, const struct tvg_sampled *sampled)
{
    char missing[96] = "", unseen[96] = "";
    out[0] = '\0';
    if (!(sampled->gap_seconds > 0))
        return out;
    if (sampled->missing > 0)
        snprintf(missing, sizeof missing, " %.0f %% of the launches in them left no record.", 100 * sampled->missing);
    if (sampled->unseen_ops)
        snprintf(unseen, sizeof unseen, " %u ops ran between them alone: taken to run as their like.", sampled->unseen_ops);
    snprintf(out, size, "Kernels were recorded in %.*f %% of the time (%u windows); the rest is scaled, library calls by their number, other kernels by %s: +-%.2g %% of kernel time.%s%s",
             sampled->recorded_share < 0.095 ? 1 : 0, 100 * sampled->recorded_share, sampled->windows, sampled->scaled_by == TVG_SAMPLED_BY_LAUNCHES ? "launches" : "time", 100 * sampled->error, missing, unseen);
    return out;
}
