/* A profile: what one or more traces of a run say, aggregated while streaming. It holds times, counts and structure, no joules:
 * energy.h prices it, the optimizer transforms it, the report shows it. Times in seconds, sizes in bytes, FLOP as counted by trace/op.h. */
#ifndef TVG_PROFILE_H
#define TVG_PROFILE_H

#include <stdbool.h>
#include <stdint.h>

#include "../trace/op.h"
#include "interval.h"
#include "kernel_name.h"
#include "reader.h"
#include "result.h"
#include "sampling.h"
#include "sources_decode.h"
#include "timeline.h"

struct tvg_device;

/* One distinct op (dictionary entry) with all its calls. */
struct tvg_op_stat {
    struct tvg_op op;       /* strings live in the profile's arena */
    uint64_t count;
    double seconds;         /* summed durations */
    double seconds_first;   /* duration of the first visit: warm-up */
    double seconds_min, seconds_max;
    double seconds_by_phase[6];  /* indexed by enum tvg_phase_kind */
    uint64_t count_by_phase[6];
    uint64_t repeats;       /* calls whose three addresses equal those of an earlier call of the same op (diagnostic) */
    uint64_t b_distinct;    /* distinct B addresses seen, as recorded; 256 and more count as 256. Weights have few, activations may have many */
    uint64_t a_distinct;    /* distinct A addresses seen, the same way; 0 when not counted. A library called column-major has its weights in A. */
    uint64_t a_written, b_written; /* calls whose A (B) address had been the C of a recorded op before: an activation, never a weight */
    uint64_t gpu_count;     /* kernels and copies that calls of this op launched; for a kernel that no call explains: itself */
    double host_seconds;    /* GPU ops: time the host spent in the calls; `seconds` is then the time on the card */
    double sampling_error;  /* GPU ops of a run whose kernels were recorded in windows: of `seconds`, relative, 95 %; 0: all of it was seen */
    uint8_t type_called;    /* GPU products: the compute type that the call said; op.type_compute is that of the kernels that ran */
    bool type_confirmed, type_disagrees; /* a kernel's name told its type; it is not what the call asked for */
    uint32_t follows;       /* set by rewrites that add ops on a GPU: 1 + index of the op behind (or in place of) whose calls this one is launched; 0: none */
    uint8_t role_gone;      /* set by rewrites: enum tvg_kernel_role of those kernels of this op's calls that are launched no more; 0: none */
    double time_unsure;     /* set by rewrites: relative, of this op's time, where it is not the rewrite's usual one; 0: that */
    double energy_scale;    /* set by rewrites: factor on modelled energy beside bytes and FLOP; 1 by default */
};

/* Consecutive calls of one thread that share an operand: what merge and batching rewrites look for.
 * A and B of a group are those of the row-major view C(rows, n) = A(rows, k) B(k, n), B the weights: for column-major and matrix-vector
 * calls the recorded A and B change places. So x W in numpy and W' x in torch look alike. */
enum tvg_group_kind { TVG_GROUP_SAME_A = 1, /* same A, different B: QKV, gate/up */ TVG_GROUP_SAME_B /* same B, different A: could be one call */ };
struct tvg_group {
    enum tvg_group_kind kind;
    uint32_t member_count;
    uint32_t member[8];     /* indices into profile.ops, in call order; for SAME_B longer runs repeat member[0] */
    uint64_t run_length;    /* SAME_B: calls in the run */
    uint64_t count;         /* how many times this run was seen */
    bool independent;       /* no member writes (by address) what a later one reads */
};

enum tvg_phase_kind { TVG_PHASE_START = 0, TVG_PHASE_LOAD, TVG_PHASE_WARMUP, TVG_PHASE_STEADY, TVG_PHASE_WAITING, TVG_PHASE_END };
const char *tvg_phase_name(enum tvg_phase_kind kind);
struct tvg_phase {
    double seconds, op_seconds, cpu_seconds;
    uint64_t ops;
    uint64_t flop;
};

/* A repeated forward pass found in the op sequence. Steps with the same op sequence up to lengths are one class. */
enum tvg_step_kind { TVG_STEP_PASS = 0, TVG_STEP_PREFILL, TVG_STEP_DECODE };
struct tvg_step_class {
    enum tvg_step_kind kind;
    uint64_t count;
    uint64_t ops;           /* ops of one step */
    uint64_t rows_min, rows_max; /* m of the anchor op: tokens in the step */
    double seconds, seconds_min, seconds_max, seconds_median; /* wall time of steps: sum, extremes, median (sampled) */
    double op_seconds;
    double flop;
    char anchor[96];        /* the op that starts a step, for display */
};

/* What energy is divided by, best basis first. When nothing is known: one unit {pass, 0, none}. */
struct tvg_unit {
    char kind[24];          /* output_token, input_token, image, sequence, audio_second, request, pass */
    double value;
    enum tvg_basis basis;   /* exact (the program said it), given (--tokens), inferred, none */
    char how[160];          /* "rows of the output projection", "tvg_tokens() marks" */
};

/* Energy meters found in the trace. */
struct tvg_meter {
    char name[64];          /* "package-0", "dram-0", "psys", "GPU 0" */
    char boundary[24];      /* package, dram, platform, board */
    double joules;          /* from first to last sample */
    double seconds;         /* the window it covers */
    double joules_in_ops;   /* reserved for windows that fall into op time */
    uint32_t samples, wraps;
    struct tvg_board_state board; /* of GPU boards */
};

#define TVG_CARD_SETS_PACE 0.9 /* share of the time that a card is busy from which on it, not the host, sets the pace */
/* What one GPU did, by its activity records. */
struct tvg_gpu {
    int device;             /* CUDA ordinal */
    char name[96];          /* "NVIDIA H100 80GB HBM3"; "" when no source said */
    uint64_t kernels, transfers;
    uint32_t processes;     /* recorded processes that used it */
    double busy_seconds;    /* at least one kernel or copy was resident: the union over streams */
    double kernel_seconds, transfer_seconds; /* summed durations */
    double caused_seconds;  /* kernel time that a recorded library call explains */
    double launched_seconds; /* kernel time whose launching call and thread are known */
    /* time between the first and the last activity in which nothing was resident, by what it waited for: */
    double launch_gap_seconds; /* the host had not launched the next kernel yet; gaps of less than 1 ms: the host was busy launching */
    double pause_seconds;      /* gaps of 1 ms and more: the host did something else, or had nothing to do */
    double queued_gap_seconds; /* the next kernel was already launched: the card's own change from one to the next */
    double first_ns, last_ns; /* CLOCK_MONOTONIC of the first and last activity */
    /* The same time by what the host did meanwhile, where its waits were recorded (timeline.waits_known); of the part that the timeline holds. The
     * host is the thread that makes the next launch. */
    struct tvg_gpu_waits {
        double span;         /* s; the five below add up to it */
        double host_waited;  /* the card worked, the host waited for it in a call */
        double both;         /* both worked */
        double queue_full;   /* the card worked, and so many launches were under way that the launching call is taken to have waited */
        double card_waited;  /* the card had nothing to do, the host was in no waiting call */
        double returning;    /* the card had nothing to do, the host was still in its call: the way back from one to the other */
    } waits;
};

/* All launches of one kernel (dictionary entry: name, grid, block...) by one library call. */
struct tvg_gpu_activity {
    uint32_t op;            /* index into ops: the kernel or copy itself */
    uint32_t cause;         /* index into ops: the library call that launched it; UINT32_MAX none */
    int device;
    uint64_t count;
    uint64_t replays;       /* executions of `cause` that a CUDA graph replayed */
    double seconds, bytes;  /* bytes: of copies and memsets */
    struct tvg_kernel_traits traits; /* by the kernel's name */
};

struct tvg_coverage_note {
    char *what, *subject, *detail; /* raw; escape before showing */
    uint64_t count;
};

/* Where CPU time went, by samples of every thread (the source "dark"). A sample is in an op when its thread was in one, or when another thread was and
 * it fell into code of that op's library or of a thread pool: workers that help. Dark is all other CPU time. */
struct tvg_cpu_object {
    char *name;             /* raw; "" for kinds that have none */
    uint32_t kind;          /* enum tvg_object_kind */
    double dark_seconds, op_seconds;
};
struct tvg_cpu_library {    /* a computing library (struct tvg_op) and the CPU seconds in its ops */
    const char *name;
    double seconds;
};
enum tvg_cpu_part { TVG_CPU_START = 0, TVG_CPU_LOAD, TVG_CPU_MAIN, TVG_CPU_END, TVG_CPU_PARTS }; /* before the first op; the phase load; until the last op; after it */
struct tvg_cpu_part_sum {
    double op_seconds, dark_seconds;
    double squares;         /* sum over samples of the square of what each stands for, s^2 */
};
struct tvg_cpu_where {
    uint32_t processes;     /* that were sampled; 0: all below is 0 */
    bool kernel;            /* time in the kernel was sampled too, in all of them */
    uint64_t samples, lost; /* lost: found no room in the kernel's buffers */
    double op_seconds, dark_seconds; /* by samples */
    double before_seconds;  /* CPU time before sampling began, which is before any op was seen: dark too, in unknown objects */
    double unsampled_seconds; /* of cpu_seconds: in no sample (a thread's first moments; the kernel, where it is not sampled) */
    double all_seconds;     /* what in ops, dark, before and unsampled add up to: cpu_seconds, or more where the samples say more than the last reading of the clock */
    struct tvg_cpu_part_sum part[TVG_CPU_PARTS]; /* of op_seconds and dark_seconds, by when they were */
    struct tvg_cpu_object *objects; /* most dark seconds first */
    uint32_t object_count;
    struct tvg_cpu_library *libraries;
    uint32_t library_count;
};

struct tvg_profile {
    /* ops, in order of first appearance */
    struct tvg_op_stat *ops;
    uint32_t op_count;
    struct tvg_group *groups;
    uint32_t group_count;
    struct tvg_step_class *steps;
    uint32_t step_count;
    struct tvg_unit *units;
    uint32_t unit_count;
    struct tvg_meter *meters;
    uint32_t meter_count;
    struct tvg_coverage_note *notes;
    uint32_t note_count;
    struct tvg_gpu *gpus;   /* those that did something; none: no GPU activity was recorded */
    uint32_t gpu_count;
    struct tvg_gpu_activity *activity;
    uint32_t activity_count;
    struct tvg_timeline timeline; /* launches in order; empty without GPU activity */
    struct tvg_sampled sampled;   /* how kernels were recorded: all the time, or in windows and the rest estimated */
    bool graph_replay;      /* set by a rewrite: repeated launches are replayed by CUDA graphs */
    struct tvg_phase phase[6];

    /* totals */
    uint64_t total_ops;
    double flop, bytes;     /* double: sums over billions of calls */
    double wall_seconds;    /* from the process's start (or first block) to its end */
    double op_seconds;      /* summed durations, all threads */
    double op_wall_seconds; /* time in which at least one op ran (union over threads) */
    double op_wall_error;   /* it is right within this many seconds (0: exact) */
    double cpu_seconds;     /* process CPU time, user + system, without the recorder's own */
    struct tvg_interval cpu_start, cpu_end; /* of cpu_seconds: before the first op, after the last one */
    double own_seconds;     /* the recorder's own cost */
    struct tvg_cpu_where where; /* of cpu_seconds */
    uint32_t threads;       /* threads that ran ops */
    uint32_t processes;
    struct tvg_damage damage;

    /* manifest: key/value pairs as recorded */
    struct tvg_pair { char *key, *value; } *manifest;
    uint32_t manifest_count;
    char command[256];
    char cpu_model[128];    /* brand string */
    char cpu_id[32];        /* "AuthenticAMD-26-2": vendor-family-model */
    uint32_t cpus_online, cpus_allowed, cores_physical;

    struct tvg_arena *arena;
};

struct tvg_profile_options {
    double tokens;              /* --tokens N, 0 when not given */
    const char *unit_kind;      /* --units KIND=N */
    double unit_value;
    bool skip_warmup;
    void (*progress)(uint64_t done, uint64_t total, void *context); /* or NULL */
    void *context;
};

/* Reads a trace file or a run folder (every *.tvg in it). The profile is the caller's, released with tvg_profile_free. */
bool tvg_profile_load(struct tvg_profile **profile, const char *path, const struct tvg_profile_options *options, struct tvg_error *error);
/* A copy whose ops and groups (malloc'd in every profile) may be changed and reallocated; all else is shared and stays as it is. */
struct tvg_profile *tvg_profile_copy(const struct tvg_profile *profile);
void tvg_profile_free(struct tvg_profile *profile);
/* CPU seconds outside recorded ops, by phase: by samples of the source "dark", else within bounds. All 0 when the CPU time is not known. */
void tvg_cpu_outside(const struct tvg_profile *profile, struct tvg_interval outside[6]);
/* The chance in the dark seconds of a part, either way: 1.96 standard deviations of a binomial, sqrt(p (1 - p) sum of squares of what a sample stands for), and the
 * grain, one sample. */
double tvg_cpu_chance(const struct tvg_cpu_part_sum *part);
/* Threads that a call keeps busy: those its library may use where the call is large enough, `unknown` when the recorder could not tell. */
double tvg_threads_of(const struct tvg_op_stat *stat, double unknown);
/* --tokens and --units: a value that is not above 0 (or not finite) is refused; KIND=N is taken apart, an unknown kind is refused. */
bool tvg_unit_value_check(const char *option, double value, struct tvg_error *error);
bool tvg_unit_parse(const char *text, char kind[24], double *value, struct tvg_error *error);
bool tvg_unit_kind_known(const char *kind);
const char *tvg_profile_manifest(const struct tvg_profile *profile, const char *key); /* NULL when absent */

#endif
