/* What a rewrite is, and the replay that re-costs a rewritten profile. Adding a rewrite is one file and one line in rewrites.c. */
#ifndef TVG_REWRITE_H
#define TVG_REWRITE_H

#include "../analyzer/energy.h"
#include "../analyzer/profile.h"

enum tvg_nature { TVG_FINDING = 0, TVG_ASSUMPTION, TVG_OPERATOR };
enum tvg_runs_on { TVG_ON_CPU = 1, TVG_ON_GPU = 2 };
enum tvg_loss { TVG_LOSS_EXACT = 0, TVG_LOSS_ROUNDING, TVG_LOSS_BOUNDED, TVG_LOSS_RETRAIN };

struct tvg_assumption { char name[32]; double value; };  /* --assume prune=0.5 */

struct tvg_rewrite_context {
    const struct tvg_device *device, *gpu;
    const char *argument;                      /* NAME=ARG, or NULL */
    const char *const *arguments;              /* for tvg_replay_run with several rewrites: each one's ARG or NULL; NULL: `argument` is for all */
    const struct tvg_assumption *assumptions;
    uint32_t assumption_count;
    uint64_t cores;                            /* cores the run could use */
    bool middle_only;                          /* of savings on boards: their values, no interval (which takes six replays) */
};

struct tvg_rewrite_outcome {
    bool applied;
    char reason[256];      /* refused: why; applied: what was changed, in numbers */
    double covered_flop;   /* share of FLOP it touched, 0..1 */
    double time_uncertainty; /* relative, of re-priced ops: 0.4 for the roofline rule */
};

struct tvg_rewrite {
    const char *name;      /* "bf16" */
    const char *summary;   /* one line for people */
    const char *what_to_do;/* which flag, which line, whose job, whether it can be undone */
    const char *citation;
    enum tvg_nature nature;
    enum tvg_loss loss;
    unsigned runs_on;      /* TVG_ON_CPU, TVG_ON_GPU or both: whose operations it can change, which is what it is refused for on others */
    bool diagnostic_only;  /* reports, never claims a saving */
    const char *assumption;            /* TVG_ASSUMPTION: the name that --assume gives a value to; else NULL */
    const char *assumption_asks;       /* what that value is, with an example: "the number of ...: --assume batch=8" */
    double assumption_low, assumption_most; /* the values it may have: above the first, at most the second */
    double assumption_high;            /* up to here the value is looked for at which nothing is saved */
    const char *takes;                 /* what may follow NAME= in --rewrite: that word, "N" for a whole number from 1 on, NULL: nothing but an assumption's value */
    /* Changes the ops and groups of `profile` (a private copy: both arrays are malloc'd, all else is shared) and returns what it did.
     * Must leave the profile untouched when it refuses. New ops go to the end through tvg_rewrite_add_op (rewrites/common.h). */
    void (*transform)(struct tvg_profile *profile, const struct tvg_rewrite_context *context, struct tvg_rewrite_outcome *outcome);
};

extern const struct tvg_rewrite *const tvg_rewrites[]; /* NULL-terminated, in order of presentation */
const struct tvg_rewrite *tvg_rewrite_find(const char *name);
/* Whether a rewrite can be called NAME=ARG, and whether an assumption may have a value. False: `why` says what is allowed. */
bool tvg_rewrite_accepts(const struct tvg_rewrite *rewrite, const char *argument, char *why, size_t size);
bool tvg_assumption_accepts(const struct tvg_rewrite *rewrite, double value, char *why, size_t size);

/* One rewrite, replayed. */
struct tvg_replay {
    const struct tvg_rewrite *rewrite;
    struct tvg_rewrite_outcome outcome;
    double seconds;                    /* wall time of the rewritten run */
    struct tvg_interval energy;        /* J of the rewritten run, same work: the machine is released when the work ends */
    struct tvg_interval saved_work;    /* J saved, same work */
    struct tvg_interval saved_rate;    /* J saved, same rate: the time saved is spent awake */
    double time_saved;                 /* s */
    double energy_zero_at;             /* assumptions: value of the assumption at which the saving is 0; NAN when none */
    /* the rewritten run's parts, so that its own totals can be shown: ops + idle + the original's other = energy.value */
    struct tvg_interval ops, idle;     /* J */
    double op_seconds, flop, bytes;
    uint64_t op_count;                 /* calls */
};

/* Replays `rewrites` together (composed by re-costing, in the given order) on top of `profile` priced as `energy`.
 * Savings are the difference of two replays with the same coefficients and the same meter scale. */
bool tvg_replay_run(struct tvg_replay *replay, const struct tvg_rewrite *const *rewrites, uint32_t count, const struct tvg_profile *profile,
                    const struct tvg_energy *energy, const struct tvg_rewrite_context *context, struct tvg_error *error);

/* How well the times of one run say the time of another run of the same command. */
struct tvg_prediction {
    double predicted, measured; /* wall seconds of the second run */
    double error;               /* (predicted - measured) / measured */
    double op_error;            /* the same of summed op time */
    double noise;               /* relative: how far a run of the same command may be from the prediction: what the first's own calls were off their fastest, at least 10 % */
    uint64_t calls, unmatched;  /* calls of the second run; those of ops that the first never ran, priced at the first's mean FLOP/s */
};
/* Predicts `second` from `first`: every op of the second at its mean time in the first, host time as the first had it per call.
 * Fails when either ran no op. */
bool tvg_replay_predict(struct tvg_prediction *prediction, const struct tvg_profile *first, const struct tvg_profile *second, struct tvg_error *error);

#endif
