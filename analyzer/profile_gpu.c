/* GPU activity while a trace streams by: time of kernels per op and per launching call, and the union over streams in which the card was busy. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../trace/kernels.h"
#include "../trace/sync.h"
#include "profile_build.h"

enum { DEVICES = 16, PROCESSES = 64, SCRATCH = 1 << 20 };
static const double PAUSE = 1e-3; /* s: no launch takes the host that long */

struct device {
    struct tvg_gpu gpu;
    double reached_ns; /* busy time is counted up to here */
    struct tvg_sampled_card samples; /* of what it did, the part in samples */
    const void *window_process; /* whose window the last row was in, and which */
    int window;
    const void *process[PROCESSES]; /* that used it; beyond the table they are not counted */
};
struct tvg_gpu_build {
    struct device device[DEVICES];
    struct tvg_gpu_activity *activity;
    uint32_t count, capacity;
    struct tvg_timeline_build *timeline;
    struct tvg_sampling *sampling; /* NULL: kernels were recorded all the time */
    uint32_t *table, table_size; /* (kernel, cause, device) -> index + 1 */
    struct tvg_kernel rows[TVG_KERNELS_MAX];
    struct tvg_sync sync[TVG_SYNC_MAX];
    unsigned char scratch[SCRATCH];
};

struct tvg_gpu_build *tvg_gpu_build_new(void)
{
    struct tvg_gpu_build *build = calloc(1, sizeof *build);
    if (build && !(build->timeline = tvg_timeline_new())) {
        free(build);
        build = NULL;
    }
    return build;
}

void tvg_gpu_build_free(struct tvg_gpu_build *build)
{
    if (!build)
        return;
    tvg_timeline_free(build->timeline);
    tvg_sampling_free(build->sampling);
    free(build->activity);
    free(build->table);
    free(build);
}

struct tvg_sampling *tvg_gpu_build_sampling(struct tvg_gpu_build *build)
{
    if (!build->sampling)
        build->sampling = tvg_sampling_new();
    return build->sampling;
}

static bool grow(struct tvg_gpu_build *build)
{
    uint32_t capacity = build->capacity ? build->capacity * 2 : 512, size = capacity * 4;
    struct tvg_gpu_activity *activity = realloc(build->activity, capacity * sizeof *activity);
    if (activity)
        build->activity = activity;
    uint32_t *table = activity ? calloc(size, sizeof *table) : NULL;
    if (!table)
        return false;
    free(build->table);
    build->table = table;
    build->table_size = size;
    build->capacity = capacity;
    for (uint32_t i = 0; i < build->count; i++) {
        const struct tvg_gpu_activity *at = &build->activity[i];
        uint32_t slot = (uint32_t)(tvg_mix(tvg_mix((uint64_t)at->device, at->op), at->cause) % size);
        while (table[slot])
            slot = (slot + 1) % size;
        table[slot] = i + 1;
    }
    return true;
}

static struct tvg_gpu_activity *activity_of(struct tvg_gpu_build *build, int device, uint32_t op, uint32_t cause)
{
    if (build->count == build->capacity && !grow(build))
        return NULL;
    uint32_t slot = (uint32_t)(tvg_mix(tvg_mix((uint64_t)device, op), cause) % build->table_size);
    for (; build->table[slot]; slot = (slot + 1) % build->table_size) {
        struct tvg_gpu_activity *at = &build->activity[build->table[slot] - 1];
        if (at->op == op && at->cause == cause && at->device == device)
            return at;
    }
    build->table[slot] = ++build->count;
    build->activity[build->count - 1] = (struct tvg_gpu_activity){.op = op, .cause = cause, .device = device};
    return &build->activity[build->count - 1];
}

static int by_start(const void *left, const void *right)
{
    const struct tvg_kernel *a = left, *b = right;
    return (a->start_ns > b->start_ns) - (a->start_ns < b->start_ns);
}

bool tvg_gpu_build_add(struct tvg_gpu_build *build, const void *payload, uint32_t length, const struct tvg_windows *windows, uint32_t (*op_of)(void *context, uint32_t id), void *context)
{
    int number = -1;
    long count = tvg_decode_kernels(payload, length, &number, build->rows, build->scratch, sizeof build->scratch);
    if (count <= 0 || number < 0 || number >= DEVICES)
        return true;
    struct device *device = &build->device[number];
    struct tvg_gpu *gpu = &device->gpu;
    gpu->device = number;
    uint32_t known = 0;
    while (known < gpu->processes && device->process[known] != context)
        known++;
    if (known == gpu->processes && known < PROCESSES)
        device->process[gpu->processes++] = context;
    qsort(build->rows, (size_t)count, sizeof build->rows[0], by_start);
    for (long i = 0; i < count; i++) {
        const struct tvg_kernel *row = &build->rows[i];
        int window = windows ? tvg_windows_of_row(windows, row->launch_ns, row->start_ns) : 0;
        if (window < 0)
            continue; /* a copy that ran as recording was being switched: it is in no window, so it must not stand for the gaps */
        bool sample = windows && !windows->window[window].whole;
        uint32_t op = op_of(context, row->op_id), cause = row->cause == TVG_OP_ID_NONE ? UINT32_MAX : op_of(context, row->cause);
        struct tvg_gpu_activity *at = op == UINT32_MAX ? NULL : activity_of(build, number, op, cause);
        if (!at || !tvg_timeline_add(build->timeline, context, number, (uint32_t)(at - build->activity), row->start_ns, row->duration_ns, row->launch_ns, row->tid, row->stream,
                                     row->graph != 0, (uint16_t)window, windows && !sample ? TVG_TIMELINE_MAX / 2 : TVG_TIMELINE_MAX) ||
            (windows && !tvg_sampling_row(build->sampling, windows, (uint32_t)(at - build->activity), window, row)))
            return false;
        double seconds = (double)row->duration_ns * 1e-9, start = (double)row->start_ns, end = start + (double)row->duration_ns;
        at->count++;
        at->replays += row->replayed == 1;
        at->seconds += seconds;
        at->bytes += (double)row->bytes;
        if (row->bytes) {
            gpu->transfers++;
            gpu->transfer_seconds += seconds;
        } else {
            gpu->kernels++;
            gpu->kernel_seconds += seconds;
            gpu->caused_seconds += cause != UINT32_MAX ? seconds : 0;
            gpu->launched_seconds += row->tid ? seconds : 0;
        }
        struct tvg_sampled_card none = {0}, *samples = sample ? &device->samples : &none;
        samples->work_seconds += sample ? seconds : 0;
        bool seen = !windows || (device->window_process == context && device->window == window); /* what came before it */
        device->window_process = context;
        device->window = window;
        if (device->reached_ns && start > device->reached_ns && seen) {
            double gap = (start - device->reached_ns) * 1e-9;
            bool pause = gap >= PAUSE, launch = (double)row->launch_ns > device->reached_ns || !row->launch_ns;
            *(pause ? &gpu->pause_seconds : launch ? &gpu->launch_gap_seconds : &gpu->queued_gap_seconds) += gap;
            if (sample)
                *(pause ? &samples->pause_seconds : launch ? &samples->launch_gap_seconds : &samples->queued_gap_seconds) += gap;
        }
        if (end > device->reached_ns) {
            double busy = (end - fmax(start, device->reached_ns)) * 1e-9;
            gpu->busy_seconds += busy;
            if (sample)
                samples->busy_seconds += busy;
            device->reached_ns = end;
        }
        if (!gpu->first_ns || start < gpu->first_ns)
            gpu->first_ns = start;
        if (end > gpu->last_ns)
            gpu->last_ns = end;
    }
    return true;
}

bool tvg_gpu_build_sync(struct tvg_gpu_build *build, const void *payload, uint32_t length, const void *context)
{
    return tvg_timeline_sync(build->timeline, context, build->sync, tvg_decode_sync(payload, length, build->sync, build->scratch, sizeof build->scratch));
}

/* What a card did in the gaps goes into its figures: its busy time with the work, what is left of the time shared out as in the samples. */
static void add_gaps(struct tvg_gpu *gpu, const struct tvg_sampled_card *card, double end_ns)
{
    double work = card->more_seconds + card->more_transfer_seconds, before = gpu->kernel_seconds;
    gpu->last_ns = fmax(gpu->last_ns, end_ns);
    double span = (gpu->last_ns - gpu->first_ns) * 1e-9;
    gpu->kernels += (uint64_t)llround(fmin(card->more_kernels, 1e15));
    gpu->transfers += (uint64_t)llround(fmin(card->more_transfers, 1e15));
    gpu->kernel_seconds += card->more_seconds;
    gpu->transfer_seconds += card->more_transfer_seconds;
    gpu->caused_seconds += card->more_caused_seconds;
    gpu->launched_seconds *= before > 0 ? gpu->kernel_seconds / before : 1;
    double idle = gpu->launch_gap_seconds + gpu->pause_seconds + gpu->queued_gap_seconds;
    double busy = card->work_seconds > 0 ? work * card->busy_seconds / card->work_seconds : work;
    busy = fmax(0, fmin(busy, span - gpu->busy_seconds - idle));
    gpu->busy_seconds += busy;
    double left = fmax(0, span - gpu->busy_seconds - idle);
    double seen = card->launch_gap_seconds + card->pause_seconds + card->queued_gap_seconds;
    gpu->launch_gap_seconds += seen > 0 ? left * card->launch_gap_seconds / seen : 0;
    gpu->queued_gap_seconds += seen > 0 ? left * card->queued_gap_seconds / seen : 0;
    gpu->pause_seconds += seen > 0 ? left * card->pause_seconds / seen : left;
}

/* The figures so far are those of the windows: adds the gaps'. */
static bool estimate(struct tvg_gpu_build *build, struct tvg_profile *profile)
{
    struct tvg_sampled_card card[DEVICES];
    for (int i = 0; i < DEVICES; i++)
        card[i] = build->device[i].samples;
    if (!tvg_sampling_finish(build->sampling, profile, card, DEVICES))
        return false;
    double longest = 0, seconds = 0;
    uint64_t activities = 0;
    for (uint32_t i = 0; i < profile->gpu_count; i++) {
        struct tvg_gpu *gpu = &profile->gpus[i];
        add_gaps(gpu, &card[gpu->device], tvg_sampling_worked_until(build->sampling));
        longest = fmax(longest, (gpu->last_ns - gpu->first_ns) * 1e-9);
        seconds += gpu->kernel_seconds + gpu->transfer_seconds;
        activities += gpu->kernels + gpu->transfers;
    }
    profile->sampled.recorded_share = longest > 0 ? fmax(0, 1 - profile->sampled.gap_seconds / longest) : 0;
    profile->timeline.seconds = seconds;
    profile->timeline.seen = activities;
    return true;
}

bool tvg_gpu_build_finish(struct tvg_gpu_build *build, struct tvg_arena *arena, struct tvg_profile *profile)
{
    uint32_t devices = 0;
    for (int i = 0; i < DEVICES; i++)
        devices += build->device[i].gpu.last_ns > 0;
    if (!devices)
        return true;
    profile->gpus = tvg_arena_alloc(arena, devices * sizeof *profile->gpus);
    uint32_t added = build->sampling ? tvg_sampling_room(build->sampling, profile) : 0;
    profile->activity = tvg_arena_alloc(arena, (build->count + added + 1) * sizeof *profile->activity);
    if (!profile->gpus || !profile->activity)
        return false;
    for (int i = 0; i < DEVICES; i++) {
        if (!(build->device[i].gpu.last_ns > 0))
            continue;
        struct tvg_gpu *gpu = &profile->gpus[profile->gpu_count++];
        *gpu = build->device[i].gpu;
        char subject[16];
        snprintf(subject, sizeof subject, "gpu-%d", i);
        for (uint32_t n = 0; n < profile->note_count; n++)
            if (strcmp(profile->notes[n].what, "gpu") == 0 && strcmp(profile->notes[n].subject, subject) == 0)
                snprintf(gpu->name, sizeof gpu->name, "%s", profile->notes[n].detail);
    }
    memcpy(profile->activity, build->activity, build->count * sizeof *profile->activity);
    profile->activity_count = build->count;
    if (!tvg_timeline_finish(build->timeline, arena, &profile->timeline) || !tvg_gpu_lay_waits(profile))
        return false;
    if (build->sampling && !estimate(build, profile))
        return false;
    for (uint32_t i = 0; i < profile->activity_count; i++) {
        const struct tvg_op *op = &profile->ops[profile->activity[i].op].op;
        profile->activity[i].traits = tvg_kernel_traits(op->kind == TVG_KIND_KERNEL ? op->name : NULL);
    }
    /* A library call on a GPU takes what its kernels take; how long the host was in the call is another figure. A kernel that no call explains
     * is an op of its own. */
    for (uint32_t i = 0; i < profile->op_count; i++) {
        struct tvg_op_stat *stat = &profile->ops[i];
        if (stat->op.on_gpu) {
            stat->host_seconds = stat->seconds;
            stat->seconds = 0;
        }
    }
    for (uint32_t i = 0; i < profile->activity_count; i++) {
        const struct tvg_gpu_activity *at = &profile->activity[i];
        struct tvg_op_stat *owner = &profile->ops[at->cause != UINT32_MAX ? at->cause : at->op];
        owner->seconds += at->seconds;
        owner->gpu_count += at->count;
        owner->count += at->replays; /* calls captured into a graph have no record of their own */
        if (at->cause == UINT32_MAX)
            owner->count += at->count;
        if (at->cause == UINT32_MAX && at->bytes > 0 && owner->count)
            owner->op.bytes = (uint64_t)(at->bytes / (double)owner->count); /* of copies: their mean */
    }
    for (uint32_t i = 0; i < profile->op_count; i++) {
        struct tvg_op_stat *stat = &profile->ops[i];
        if (!stat->op.on_gpu)
            continue;
        for (int p = 0; p < 6; p++) /* by calls: a kernel follows its launch closely */
            stat->seconds_by_phase[p] = stat->count ? stat->seconds * (double)stat->count_by_phase[p] / (double)stat->count : 0;
        double mean = stat->count ? stat->seconds / (double)stat->count : 0;
        stat->seconds_min = stat->seconds_max = mean;
    }
    return tvg_gpu_confirm_types(profile, arena);
}
