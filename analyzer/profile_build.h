/* How a profile is made while the events of its traces stream by. Internal to the profile*.c, steps.c, units.c, groups.c, phases.c.
 * Each concern takes one block of ops at a time (struct tvg_batch) and keeps bounded state; times are ticks until tvg_build_finish. */
#ifndef TVG_PROFILE_BUILD_H
#define TVG_PROFILE_BUILD_H

#include "arena.h"
#include "profile.h"
#include "windows.h"

/* What the passes over a block need to know of an op, worked out once.
 * Products are seen as row-major C(rows, cols) = A(rows, depth) B(depth, cols), so that A is what moves through the model and B its weights:
 * for column-major calls and for matrix-vector calls A and B change places. */
struct tvg_op_facts {
    uint64_t rows, cols, depth;
    uint64_t span_a, span_b, span_c; /* bytes from an operand's address to its last element; 0: not known */
    uint64_t size;                   /* m + n + k: grows by a constant from one decode step to the next */
    double flop;
    uint32_t symbol;                 /* hash of function, kind and types: the op without its lengths */
    uint32_t family;                 /* hash of symbol, cols and depth: the op without its rows */
    uint16_t threads;                /* at least 1 */
    bool product, swapped, square;
};

/* One block of ops of one thread, with dictionary ids turned into indices of build->ops. */
struct tvg_batch {
    uint32_t count;
    const uint64_t *start, *duration; /* ticks */
    const uint64_t *a, *b, *c;        /* as recorded */
    const uint32_t *op;
    const uint8_t *first;             /* 1: the first visit of this op in its process */
    const struct tvg_op_facts *facts; /* indexed by op */
};
static inline uint64_t tvg_batch_a(const struct tvg_batch *batch, uint32_t row)
{
    return batch->facts[batch->op[row]].swapped ? batch->b[row] : batch->a[row];
}
static inline uint64_t tvg_batch_b(const struct tvg_batch *batch, uint32_t row)
{
    return batch->facts[batch->op[row]].swapped ? batch->a[row] : batch->b[row];
}
static inline uint64_t tvg_mix(uint64_t h, uint64_t value)
{
    h = (h ^ value) * 0x9e3779b97f4a7c15u;
    return h ^ (h >> 29);
}

/* --- profile_busy.c: the union over threads of the time in which ops ran ---------------------------------------------
 * Blocks of different lanes (threads) arrive in any order. Up to half a million intervals wait; when there are more, the older half is
 * merged in order of time and forgotten but for a histogram of busy time. An op that arrives later than that is added by its share of
 * the time still free in its bucket, and what that can be off by at most is added to error_ticks. */
enum tvg_busy_class { TVG_BUSY_LOAD = 0, TVG_BUSY_FIRST, TVG_BUSY_STEADY, TVG_BUSY_CLASSES };
struct tvg_busy;
struct tvg_busy_result {
    uint64_t first_start, last_end;       /* ticks; 0 when there was no op; of several machines: of the first */
    double busy[TVG_BUSY_CLASSES];        /* ticks in which at least one op ran, by the class of the op that came first */
    double gap[TVG_BUSY_CLASSES];         /* ticks without op, by the class of the op that ended the gap; before the first step: load */
    double long_gap;                      /* part of them in gaps of at least long_gap_ticks */
    double error_ticks;                   /* the busy total is right within this */
};
struct tvg_busy *tvg_busy_new(uint64_t long_gap_ticks);
bool tvg_busy_add(struct tvg_busy *busy, uint32_t lane, const struct tvg_batch *batch); /* false: memory is out */
void tvg_busy_load_until(struct tvg_busy *busy, uint64_t ticks); /* what starts before is TVG_BUSY_LOAD */
void tvg_busy_finish(struct tvg_busy *busy, struct tvg_busy_result *result); /* adds to *result; frees `busy` */

/* --- groups.c: runs of calls that share an operand ------------------------------------------------------------------- */
struct tvg_groups;
struct tvg_group_call {
    uint64_t a, b, c;
    uint32_t op;
};
struct tvg_group_lane { /* a thread's last call and its runs in progress; starts zeroed */
    struct tvg_group_call last;
    struct {
        uint64_t length; /* 0: no run */
        uint32_t member_count;
        uint32_t member[8];
        uint64_t written_low, written_high; /* union of what the members wrote */
        bool independent;
    } run[2];
};
struct tvg_groups *tvg_groups_new(void);
void tvg_groups_add(struct tvg_groups *groups, struct tvg_group_lane *lane, const struct tvg_batch *batch);
void tvg_groups_close(struct tvg_groups *groups, struct tvg_group_lane *lane);
/* Copies the groups, most frequent first, into the arena. Returns how many runs found no room in the table. */
uint64_t tvg_groups_finish(struct tvg_groups *groups, struct tvg_arena *arena, struct tvg_group **out, uint32_t *count);
void tvg_groups_free(struct tvg_groups *groups);

/* --- steps.c: repeated forward passes ---------------------------------------------------------------------------------- */
struct tvg_steps;      /* one a process: what a step starts with */
struct tvg_step_table; /* the classes of all processes */
struct tvg_step_table *tvg_step_table_new(void);
struct tvg_steps *tvg_steps_new(struct tvg_step_table *table);
bool tvg_steps_add(struct tvg_steps *steps, uint32_t lane, const struct tvg_batch *batch); /* false: memory is out */
/* The thread of `lane` has gone: closes its last step. */
void tvg_steps_end_lane(struct tvg_steps *steps, uint32_t lane);
/* No more ops: learns from what there is if it has not yet, closes every step. */
bool tvg_steps_end(struct tvg_steps *steps, const struct tvg_op_facts *facts);
/* Ticks at which the first step of the process began; 0 when no step was found. */
uint64_t tvg_steps_first(const struct tvg_steps *steps);
/* Calls of op `index` recorded before that moment, and their ticks: the load. */
void tvg_steps_load(const struct tvg_steps *steps, void (*each)(uint32_t index, uint64_t calls, uint64_t ticks, void *context), void *context);
void tvg_steps_free(struct tvg_steps *steps);

/* What units.c needs of the steps beside the classes shown. */
struct tvg_step_summary {
    uint64_t steps, decode_steps, prefill_steps, encoder_steps;
    double decode_rows, prefill_rows, encoder_rows, encoder_sequences;
    bool partly_replayed; /* CUDA graphs replayed ops of a class in other proportions than its steps: how many steps that made is not known */
    bool projection; /* a decode step ends with a product that is much wider than it is deep: logits */
};
/* `grown`: how many times as often as it was recorded each op was executed, with what CUDA graphs replayed; the summary's figures grow by it. NULL: none was. */
bool tvg_step_table_finish(struct tvg_step_table *table, struct tvg_arena *arena, const struct tvg_op_stat *ops, double ticks_per_second, const double *grown,
                           struct tvg_step_class **out, uint32_t *count, struct tvg_step_summary *summary);
void tvg_step_table_free(struct tvg_step_table *table);

/* --- units.c ------------------------------------------------------------------------------------------------------------ */
enum { TVG_UNIT_MARKS_MAX = 16 };
struct tvg_unit_mark { /* what the program said it did, summed by kind */
    char kind[24];
    double value;
};
bool tvg_units_finish(struct tvg_arena *arena, const struct tvg_profile_options *options, const struct tvg_unit_mark *marks, uint32_t mark_count,
                      const struct tvg_step_summary *summary, struct tvg_unit **out, uint32_t *count);
/* Takes back what was inferred from the sequence of calls, because part of the work left none: the reason is `how`. */
void tvg_units_are_hidden(struct tvg_unit *units, uint32_t *count, const char *how);

/* --- phases.c ----------------------------------------------------------------------------------------------------------- */
struct tvg_waiting { /* what a thread did between its first and its last op, in seconds; starts zeroed */
    bool open;
    uint64_t cpu_process_ns, cpu_thread_ns, last_end;
    double ops, ops_cpu;          /* time in ops; times the threads the library may use */
    double long_gaps, short_gaps; /* time between ops, in gaps of at least and of less than long_gap_ticks */
    double cpu_process, cpu_thread;
};
void tvg_waiting_add(struct tvg_waiting *waiting, const struct tvg_ops_info *info, const struct tvg_batch *batch, double seconds_per_tick,
                     uint64_t long_gap_ticks);
/* Seconds of long gaps in which the thread and the process used no CPU. `undisturbed`: CPU time of an op over its duration, at least. */
double tvg_waiting_seconds(const struct tvg_waiting *waiting, double undisturbed);
/* Splits the wall time: see phases.c. */
void tvg_phases_finish(struct tvg_profile *profile, const struct tvg_busy_result *busy, double seconds_per_tick, double start_seconds,
                       double end_seconds, double waiting_seconds);

/* --- profile_cpu.c: CPU time by moments --------------------------------------------------------------------------------------- */
struct tvg_cpu_point { /* CPU time that a process had used by a moment of CLOCK_MONOTONIC; a moment of 0: not known */
    double mono_ns, cpu_ns;
};
struct tvg_cpu_clock { /* of one process; starts zeroed */
    struct tvg_cpu_point start, opened, end;         /* set by the owner: its start, the opening of the trace, its end */
    struct tvg_cpu_point first, before, after;       /* the first block; the blocks around its last op */
    uint64_t seen;
};
/* A block was written at `mono_ns`, when the last op seen so far had ended at `last_op_ns`. */
void tvg_cpu_seen(struct tvg_cpu_clock *clock, double mono_ns, double cpu_ns, double last_op_ns);
/* CPU seconds used by a moment: interpolated, with the ends that `cpus` CPUs allow (0: not known how many). */
struct tvg_interval tvg_cpu_by(const struct tvg_cpu_clock *clock, double mono_ns, double cpus);

/* --- profile_gpu.c: activity of GPUs ----------------------------------------------------------------------------------------- */
struct tvg_gpu_build;
struct tvg_gpu_build *tvg_gpu_build_new(void);
/* The payload of a KERNELS block. `op_of` gives the profile's index for a dictionary id. `windows`: in which the process's kernels were recorded, or
 * NULL. False: memory is out. A damaged payload is left out. */
bool tvg_gpu_build_add(struct tvg_gpu_build *build, const void *payload, uint32_t length, const struct tvg_windows *windows, uint32_t (*op_of)(void *context, uint32_t id), void *context);
/* What estimates the kernels of the gaps, made at the first call. NULL: memory is out. */
struct tvg_sampling *tvg_gpu_build_sampling(struct tvg_gpu_build *build);
/* The payload of a SYNC block of the process `context`. False: memory is out. A damaged payload is left out. */
bool tvg_gpu_build_sync(struct tvg_gpu_build *build, const void *payload, uint32_t length, const void *context);
/* Fills gpus, activity and the GPU ops' time of a profile whose ops and notes are in place. */
bool tvg_gpu_build_finish(struct tvg_gpu_build *build, struct tvg_arena *arena, struct tvg_profile *profile);
void tvg_gpu_build_free(struct tvg_gpu_build *build);
/* profile_waits.c: lays the recorded waits over what the cards did. False: memory is out. */
bool tvg_gpu_lay_waits(struct tvg_profile *profile);
/* profile_gpu_types.c: turns the calls' compute types into those of the kernels that ran, with a note where they differ. False: memory is out. */
bool tvg_gpu_confirm_types(struct tvg_profile *profile, struct tvg_arena *arena);

/* --- profile_dark.c: CPU samples laid over ops --------------------------------------------------------------------------------- */
struct tvg_dark;     /* the samples of one process */
struct tvg_dark_sum; /* of a run */
/* All samples of a trace, which has to be read for them before its ops are. NULL: it has none, or memory is out. */
struct tvg_dark *tvg_dark_read(const char *path);
struct tvg_dark *tvg_dark_new(void);
/* The payload of a SAMPLES block; a damaged one is left out. False: memory is out. */
bool tvg_dark_add(struct tvg_dark *dark, const void *payload, uint32_t length);
/* No more samples will come, ops will. */
void tvg_dark_ready(struct tvg_dark *dark);
/* Marks the samples that fall into a batch of ops of thread `tid`. `anchor`: a moment near them. */
void tvg_dark_ops(struct tvg_dark *dark, uint32_t tid, const struct tvg_batch *batch, const struct tvg_anchor *anchor, double ticks_per_ns);
/* What sampling has cost the process. */
double tvg_dark_cost_ns(const struct tvg_dark *dark);
struct tvg_dark_sum *tvg_dark_sum_new(void);
/* Adds a process, whose ops were all marked, to the run's sums; `ops` gives their libraries. `same_clock`: its moments are those of the run. False: memory
 * is out. */
bool tvg_dark_sum_add(struct tvg_dark_sum *sum, const struct tvg_dark *dark, const struct tvg_op_stat *ops, uint32_t op_count, bool same_clock);
/* The run's figures, strings and arrays in the arena. `ends`: when each part of the run but the last ended, CLOCK_MONOTONIC ns. `sum` may be NULL: nothing
 * was sampled. False: memory is out. */
bool tvg_dark_sum_finish(struct tvg_dark_sum *sum, struct tvg_arena *arena, double cpu_seconds, const double ends[TVG_CPU_PARTS - 1], struct tvg_cpu_where *where);
void tvg_dark_sum_free(struct tvg_dark_sum *sum);
void tvg_dark_free(struct tvg_dark *dark);

/* --- profile_build.c: all of it together ------------------------------------------------------------------------------- */
struct tvg_build;
struct tvg_process;
/* Facts about the op with a dictionary id: what tvg_reader_op is for a file, and a table is for a test. */
typedef const struct tvg_op *tvg_op_lookup(const void *context, uint32_t op_id);

struct tvg_build *tvg_build_new(const struct tvg_profile_options *options);
/* A further traced process of the run. Several may be open at once when they share a clock (tvg_same_clock). NULL when memory is out. */
bool tvg_same_clock(const struct tvg_trace_header *a, const struct tvg_trace_header *b);
struct tvg_process *tvg_build_process(struct tvg_build *build, const struct tvg_trace_header *header, tvg_op_lookup *lookup, const void *context);
/* Gives the process its samples, before its first event; they are then the build's. NULL is fine. */
void tvg_build_dark(struct tvg_process *process, struct tvg_dark *dark);
/* The same for the windows in which its kernels were recorded; NULL: all the time. */
void tvg_build_windows(struct tvg_process *process, struct tvg_windows *windows);
void tvg_build_event(struct tvg_process *process, const struct tvg_event *event);
/* The process has no more events. ticks_per_ns by its anchors; `damage` may be NULL. */
void tvg_build_process_end(struct tvg_process *process, double ticks_per_ns, const struct tvg_damage *damage);
/* A coverage note of the analyzer's own. */
void tvg_build_note(struct tvg_build *build, const char *what, const char *subject, const char *detail);
/* The profile, or NULL with an error. Frees `build` and its processes in either case. */
struct tvg_profile *tvg_build_finish(struct tvg_build *build, const char *path, struct tvg_error *error);
void tvg_build_free(struct tvg_build *build);

/* profile_facts.c */
void tvg_op_facts_of(struct tvg_op_facts *facts, const struct tvg_op *op);

/* --- profile_info.c: every block kind but ops; strings go to the arena --------------------------------------------------- */
struct tvg_meters;
struct tvg_info {
    struct tvg_pair *manifest;    /* keys as tvg_manifest_read gives them; a later value of a key holds */
    uint32_t manifest_count;
    struct tvg_coverage_note *notes; /* equal ones are one, counted */
    uint32_t note_count;
    struct tvg_unit_mark marks[TVG_UNIT_MARKS_MAX];
    uint32_t mark_count;
    struct tvg_meters *meters;
    uint64_t notes_dropped;
    bool failed;                  /* memory is out */
};
struct tvg_info_file { /* what is said of one process */
    uint64_t last_mono_ns;               /* latest moment that any block but ops names */
    double end_cpu_ns, end_encode_ticks; /* by END, what recording the ops took included; 0 when not given */
    double meter_cost_ns;                /* what reading the meters has cost it */
};
/* `file`: the number of the trace file. The manifest is that of the first file; what later ones add is added. */
void tvg_info_add(struct tvg_info *info, struct tvg_info_file *sums, struct tvg_arena *arena, uint32_t file, const char *host, const struct tvg_event *event);
/* The value of `key` in an event's map; 0, "" where there is none of its kind. */
uint64_t tvg_event_number(const struct tvg_event *event, const char *key);
double tvg_event_real(const struct tvg_event *event, const char *key);
void tvg_event_text(const struct tvg_event *event, const char *key, char *out, size_t capacity);
void tvg_info_note(struct tvg_info *info, struct tvg_arena *arena, const char *what, const char *subject, const char *detail, uint64_t count);
void tvg_info_free(struct tvg_info *info); /* the growing arrays and the meters; strings stay in the arena */

#endif
