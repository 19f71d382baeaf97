/* What ran while kernels were not recorded, by what ran while they were: see sampling.c. */
#ifndef TVG_SAMPLING_H
#define TVG_SAMPLING_H

#include <stdbool.h>
#include <stdint.h>

#include "windows.h"

struct tvg_arena;
struct tvg_kernel;
struct tvg_profile;
struct tvg_gpu_activity;

/* How a run's kernels were recorded; zeroed where they were all the time. */
enum tvg_sampled_by { TVG_SAMPLED_BY_TIME = 0, TVG_SAMPLED_BY_LAUNCHES };
struct tvg_sampled {
    uint32_t windows;           /* samples; 0 with gap_seconds 0: kernels were recorded all the time */
    double window_seconds;      /* in samples */
    double gap_seconds;         /* recorded nothing */
    double recorded_share;      /* of the time between the first and the last kernel, of the card that worked longest */
    double error;               /* of the kernels' time, relative, 95 %: sampling alone */
    enum tvg_sampled_by scaled_by; /* what kernels that no recorded call explains were scaled by */
    double missing;             /* share of the launches in windows that left no record; they are not made up for */
    uint32_t unseen_ops;        /* ops that were never called in a window: taken to run as their nearest relatives */
};

struct tvg_sampling;
struct tvg_sampling *tvg_sampling_new(void);
void tvg_sampling_free(struct tvg_sampling *sampling);
/* The gaps and windows of one process. */
void tvg_sampling_process(struct tvg_sampling *sampling, const struct tvg_windows *windows);
/* The process ended in a gap, without saying what it launched there: it went on for `seconds`. */
void tvg_sampling_tail(struct tvg_sampling *sampling, double seconds);
/* A call of GPU op `op` in window `window` (an index; -1: in a gap). False: memory is out. */
bool tvg_sampling_call(struct tvg_sampling *sampling, const struct tvg_windows *windows, uint32_t op, int window);
/* An activity (index) in window `window`. False: memory is out. */
bool tvg_sampling_row(struct tvg_sampling *sampling, const struct tvg_windows *windows, uint32_t activity, int window, const struct tvg_kernel *row);

/* What a card did in samples; what it did between them goes into the rest. */
struct tvg_sampled_card {
    double busy_seconds, work_seconds; /* in samples: resident, summed durations */
    double launch_gap_seconds, pause_seconds, queued_gap_seconds;
    double more_kernels, more_transfers, more_seconds, more_transfer_seconds, more_caused_seconds; /* estimated: in the gaps */
};
/* Adds what the gaps held to profile->activity (capacity + relatives of never-seen ops: see tvg_sampling_room) and sums it by card; fills
 * profile->sampled and the ops' sampling errors. False: memory is out. */
bool tvg_sampling_finish(struct tvg_sampling *sampling, struct tvg_profile *profile, struct tvg_sampled_card *cards, int card_count);
/* The latest moment in a gap in which a card worked; 0: a window was later. */
double tvg_sampling_worked_until(const struct tvg_sampling *sampling);
/* Activities that may be added at most. */
uint32_t tvg_sampling_room(const struct tvg_sampling *sampling, const struct tvg_profile *profile);

#endif
