/* What `tvg report` knows, computed once; text.c and json.c only show it, so that the two never differ. */
#ifndef TVG_REPORT_H
#define TVG_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "../../optimizer/rewrite.h"
#include "../device.h"
#include "../energy.h"
#include "../profile.h"
#include "figures.h"

/* One rewrite, replayed alone. */
struct tvg_report_rewrite {
    const struct tvg_rewrite *rewrite;
    const char *argument;  /* --rewrite NAME=ARG, or NULL */
    struct tvg_replay replay;
    bool asked;            /* named by --rewrite */
    bool in_set;           /* part of the composed set behind `optimized` */
};

/* Totals of the run, or of the rewritten run. Ops + idle_j + other_j = energy.value. */
struct tvg_report_totals {
    double ops, flop, bytes, wall_s, op_s, cpu_s, time_coverage;
    struct tvg_interval energy;
    double ops_j, idle_j, other_j;
    double per_j; /* units per joule over the whole run; NAN when there is no energy */
    enum tvg_basis basis;
};

/* How well a replay built from this run predicts a second one. */
struct tvg_report_against {
    const char *path;              /* NULL: not asked */
    struct tvg_prediction time;
    double predicted_j, actual_j, energy_error; /* error: predicted / actual - 1 */
    bool holds;                    /* the second run's time and joules lie within the prediction's noise */
    enum tvg_basis actual_basis;
    double unmatched_flop;         /* share of the second run's FLOP whose ops the first never ran */
};

/* What the cards did between their first and their last work, all together (boards.c). Who sets the pace is said of the time in which the host kept launching,
 * gaps of less than 1 ms included: the card, when it is busy for 90 % of it or the host was recorded waiting for it most of the time; launching, when
 * more than 25 % of it goes in waiting for the next launch; else both in turns. Pauses of 1 ms and more, in which the host did something else or
 * nothing, are another figure and no verdict. */
enum tvg_pace { TVG_CARD_BOUND = 0, TVG_LAUNCH_BOUND, TVG_TURNS };
struct tvg_report_cards {
    enum tvg_pace verdict;
    int multiprocessors;      /* of one card, by its device file; 0: not known */
    double span_s, busy_s;    /* first to last activity; at least one kernel or copy resident: the union over streams */
    double working_s;         /* the span without pauses of 1 ms and more */
    double launch_gap_s, pause_s, queued_gap_s; /* the rest of the span, see struct tvg_gpu */
    struct tvg_gpu_waits waits; /* summed; span 0: waits were not recorded */
    double kernels, kernel_s, caused_s;
    double small_kernels, small_s; /* kernels of fewer blocks than the card has multiprocessors: resident, not busy */
    double type_confirmed, type_disagrees; /* shares of the FLOP: a kernel's name told the type; it was not what the call said */
};

struct tvg_report {
    const char *path;
    const struct tvg_profile *profile;
    const struct tvg_device *device, *gpu;
    const struct tvg_energy *energy;
    struct tvg_unit unit;          /* the one that costs are per */
    struct tvg_interval phase_j[6];
    struct tvg_interval outside_s[6]; /* CPU seconds outside recorded ops, by phase */
    struct tvg_interval inference; /* J of warm-up, steady and waiting: what the units were made in */
    double inference_s;
    double start_j, start_s;       /* start, load and end */
    struct tvg_report_totals totals, optimized;
    struct tvg_report_rewrite *rewrites;
    uint32_t rewrite_count;
    struct tvg_replay set;         /* the composed set */
    uint32_t set_order[64];        /* indices into rewrites, in the order of composition */
    uint32_t set_count;
    bool set_asked;                /* the set is what --rewrite named, not the best of the findings */
    bool set_unsure;               /* the interval of its saving includes 0 */
    double held_up;                /* mean time of calls over that of their fastest: far above 1 on a machine busy with other work */
    bool waits;                    /* the process waits for requests: headline is same rate */
    struct tvg_interval saved;     /* the headline: same rate or same work */
    struct tvg_report_cards cards; /* zeroed without GPU activity */
    struct tvg_report_against against;
    const struct tvg_rewrite_context *context;
    bool color, full;              /* full: reasons in full */
};

/* Rewrites named on the command line. */
struct tvg_report_request {
    const struct tvg_rewrite *rewrite;
    const char *argument;
};

/* Replays every rewrite, composes the set and fills the rest from profile, device, gpu, energy, context, which the caller has set and keeps.
 * `requests`: the set is these, in this order; none: the best set of the findings. */
bool tvg_report_build(struct tvg_report *report, const struct tvg_report_request *requests, uint32_t request_count, struct tvg_error *error);
bool tvg_report_compare(struct tvg_report *report, const char *path, const struct tvg_profile *second, const struct tvg_energy *second_energy,
                        struct tvg_error *error);
bool tvg_saving_shows(const struct tvg_report *report, struct tvg_interval saved); /* above 0 over its whole interval, and not next to nothing */
void tvg_report_clear(struct tvg_report *report);
void tvg_report_boards(struct tvg_report *report); /* fills report->cards */

void tvg_report_text(const struct tvg_report *report, FILE *out);
void tvg_report_json(const struct tvg_report *report, FILE *out);

/* dark.c: the share of CPU time that ran outside recorded ops: by samples where there are any, else within bounds (an op used at most its duration
 * times the threads its library may use, at least what the fastest call of the same op took). NAN when the CPU time is not known. */
void tvg_dark_share(const struct tvg_profile *profile, double *low, double *high);
/* CPU seconds that the samples' chance may move between in ops and dark, either way, at 95 %. */
double tvg_dark_chance(const struct tvg_profile *profile);
/* CPU seconds in ops of `library`, by samples; NAN when nothing was sampled. */
double tvg_library_cpu(const struct tvg_profile *profile, const char *library);
/* "libm.so.6", "code made at run time"; escaped. Returns `out`. */
char *tvg_show_object(char *out, size_t size, const struct tvg_cpu_object *object);
/* Everything about the run's CPU time, the caller's. */
struct json_t *tvg_cpu_json(const struct tvg_profile *profile);

/* "Kernels were recorded in 12 % of the time (23 windows), the rest is scaled ...", "" where they all were (boards.c). Returns `out`. */
char *tvg_show_windows(char *out, size_t size, const struct tvg_sampled *sampled);
/* The same for programs, the caller's; null where they all were. */
struct json_t *tvg_windows_json(const struct tvg_sampled *sampled);

#endif
