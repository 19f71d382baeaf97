/* Puts the events of a run's traces into a profile: one pass over each block for the statistics of ops, one each for the union of op time,
 * waiting, groups and steps. Memory is bounded by the number of distinct ops and threads, not by the number of calls. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profile_build.h"
#include "sources_decode.h"

enum { TRIPLES = 1 << 15, WRITTEN = 1 << 12, DISTINCT = 1 << 16, DISTINCT_PROBES = 8, DISTINCT_MAX = 256, DISTINCT_ALL = 4096 };
static const double long_gap_seconds = 1e-3;

/* Sums of one op over the present process, in ticks. */
struct hot {
    uint64_t count, ticks, first_count, first_ticks, least, most, repeats, a_written, b_written;
    uint32_t a_distinct, b_distinct;
};

struct window {
    double start_ns, end_ns;
};

struct tvg_build {
    const struct tvg_profile_options *options;
    struct tvg_arena *arena;
    struct tvg_op_stat *ops;
    struct tvg_op_facts *facts;
    struct hot *hot;
    uint64_t *hash;                /* content of each op, to know it again in another process */
    uint32_t op_count, op_capacity;
    uint32_t *by_hash, by_hash_size;
    struct tvg_info info;
    struct tvg_groups *groups;
    struct tvg_gpu_build *gpu;     /* NULL until a GPU's activity is met */
    struct tvg_dark_sum *dark;     /* NULL until a process with samples ends */
    struct tvg_step_table *step_table;
    struct tvg_busy *busy;
    struct tvg_busy_result busy_result;
    struct tvg_process **process;
    uint32_t process_count;
    uint32_t lanes;                /* of all processes */
    struct tvg_damage damage;
    double cpu_seconds, own_seconds, waiting_seconds;
    double ticks_per_ns;
    uint32_t threads;
    bool failed;

    uint64_t triple[TRIPLES], written[WRITTEN], distinct[DISTINCT];
    uint64_t batch_triple[TVG_OPS_MAX];
    uint32_t batch_op[TVG_OPS_MAX];
    uint8_t batch_first[TVG_OPS_MAX];
};

/* A ring: the ops of a thread, or of several one after the other. */
struct lane {
    uint32_t ring, tid, number; /* number: among the lanes of all processes */
    struct tvg_group_lane group;
    struct tvg_waiting waiting;
};

struct tvg_process {
    struct tvg_build *build;
    struct tvg_trace_header header;
    tvg_op_lookup *lookup;
    const void *context;
    uint32_t number;
    uint32_t *index;            /* dictionary id -> (index of op + 1) << 1 | visited */
    uint32_t index_size;
    uint32_t reserved_index;    /* the same for ids that are in no dictionary */
    struct lane *lane;
    uint32_t lane_count, last_lane;
    uint32_t *tids, tid_count;
    struct tvg_steps *steps;
    struct tvg_dark *dark;      /* NULL: the process was not sampled */
    struct tvg_windows *windows; /* NULL: its kernels were recorded all the time */
    struct tvg_anchor near;     /* the latest anchor of a block */
    double cpu_process_ns, encode_ticks;
    uint64_t end_mono_ns, first_start, last_end;
    struct tvg_cpu_clock cpu;
    bool seen_ops, ended;
    struct window window;
    struct tvg_info_file said;
};

/* --- ops ----------------------------------------------------------------------------------------------------------------- */

static uint64_t hash_text(uint64_t h, const char *text)
{
    for (; text && *text; text++)
        h = tvg_mix(h, (unsigned char)*text);
    return tvg_mix(h, text ? 0x100 : 0x101);
}

static uint64_t content_of(const struct tvg_op *op)
{
    uint64_t h = hash_text(hash_text(hash_text(hash_text(3, op->library), op->function), op->name), op->caller_library);
    const uint64_t field[] = {op->kind, op->net, op->type_a, op->type_b, op->type_c, op->type_compute, op->on_gpu, (uint64_t)op->device, op->threads,
                              op->flags, op->epilogue, (uint64_t)op->m, (uint64_t)op->n, (uint64_t)op->k, (uint64_t)op->batch, (uint64_t)op->lda,
                              (uint64_t)op->ldb, (uint64_t)op->ldc, (uint64_t)op->stride_a, (uint64_t)op->stride_b, (uint64_t)op->stride_c,
                              op->dim_count, op->dim_spatial, op->caller_library ? op->caller_offset : op->caller, op->flop, op->bytes};
    for (size_t i = 0; i < sizeof field / sizeof field[0]; i++)
        h = tvg_mix(h, field[i]);
    for (unsigned i = 0; i < op->dim_count && i < TVG_DIMS_MAX; i++)
        h = tvg_mix(h, (uint64_t)op->dim[i]);
    return h;
}

static bool grow(void **array, size_t size, uint32_t from, uint32_t to)
{
    void *grown = calloc(to, size); /* zero pages, not touched yet: a hostile id asks for millions of places */
    if (!grown)
        return false;
    if (from)
        memcpy(grown, *array, size * from);
    free(*array);
    *array = grown;
    return true;
}

static bool grow_ops(struct tvg_build *build)
{
    uint32_t capacity = build->op_capacity ? build->op_capacity * 2 : 256;
    void *ops = build->ops, *facts = build->facts, *hot = build->hot, *hash = build->hash;
    bool done = grow(&ops, sizeof *build->ops, build->op_capacity, capacity) && (build->ops = ops, true) &&
                grow(&facts, sizeof *build->facts, build->op_capacity, capacity) && (build->facts = facts, true) &&
                grow(&hot, sizeof *build->hot, build->op_capacity, capacity) && (build->hot = hot, true) &&
                grow(&hash, sizeof *build->hash, build->op_capacity, capacity) && (build->hash = hash, true);
    uint32_t *by_hash = done ? calloc(4 * (size_t)capacity, sizeof *by_hash) : NULL;
    if (!by_hash)
        return false;
    free(build->by_hash);
    build->by_hash = by_hash;
    build->by_hash_size = 4 * capacity;
    build->op_capacity = capacity;
    for (uint32_t i = 0; i < build->op_count; i++) {
        uint32_t at = (uint32_t)(build->hash[i] % build->by_hash_size);
        while (by_hash[at])
            at = (at + 1) % build->by_hash_size;
        by_hash[at] = i + 1;
    }
    return true;
}

static const char *copy_text(struct tvg_build *build, const char *text)
{
    if (!text)
        return NULL;
    char *copy = tvg_arena_string(build->arena, text, strlen(text));
    if (!copy)
        build->failed = true;
    return copy ? copy : "";
}

/* Index of the op in the profile, made when it is new. UINT32_MAX when memory is out. */
static uint32_t intern(struct tvg_build *build, const struct tvg_op *op)
{
    if (build->op_count == build->op_capacity && !grow_ops(build)) {
        build->failed = true;
        return UINT32_MAX;
    }
    uint64_t hash = content_of(op);
    uint32_t at = (uint32_t)(hash % build->by_hash_size);
    for (; build->by_hash[at]; at = (at + 1) % build->by_hash_size)
        if (build->hash[build->by_hash[at] - 1] == hash)
            return build->by_hash[at] - 1;
    uint32_t index = build->op_count++;
    build->by_hash[at] = index + 1;
    build->hash[index] = hash;
    struct tvg_op_stat *stat = &build->ops[index];
    stat->op = *op;
    stat->op.library = copy_text(build, op->library ? op->library : "?");
    stat->op.function = copy_text(build, op->function ? op->function : "?");
    stat->op.name = copy_text(build, op->name);
    stat->op.caller_library = copy_text(build, op->caller_library);
    if (stat->op.dim_count > TVG_DIMS_MAX)
        stat->op.dim_count = TVG_DIMS_MAX;
    stat->energy_scale = 1;
    stat->seconds_min = INFINITY;
    tvg_op_facts_of(&build->facts[index], &stat->op);
    return index;
}

static uint32_t *index_slot(struct tvg_process *process, uint32_t id)
{
    if (id >= TVG_OP_ID_LIMIT)
        return &process->reserved_index;
    if (id >= process->index_size) {
        uint32_t size = process->index_size ? process->index_size : 256;
        while (size <= id)
            size *= 2;
        void *index = process->index;
        if (!grow(&index, sizeof *process->index, process->index_size, size)) {
            process->build->failed = true;
            return NULL;
        }
        process->index = index;
        process->index_size = size;
    }
    return &process->index[id];
}

/* True when (op, role, address) was not seen before; false also when the table has no room. */
static bool new_address(struct tvg_build *build, uint32_t op, unsigned role, uint64_t address)
{
    uint64_t key = tvg_mix(tvg_mix(0x51ed + role, op), address) | 1;
    for (uint32_t at = (uint32_t)(key >> 32), probe = 0; probe < DISTINCT_PROBES; probe++) {
        uint64_t *slot = &build->distinct[(at + probe) % DISTINCT];
        if (*slot == key)
            return false;
        if (!*slot) {
            *slot = key;
            return true;
        }
    }
    return false;
}

static inline bool was_written(const struct tvg_build *build, uint64_t address)
{
    return address && build->written[(address >> 4) % WRITTEN] == address;
}

/* Statistics per op; fills build->batch_op and build->batch_first. False when memory is out. */
static bool count_ops(struct tvg_process *process, const struct tvg_ops_columns *columns, uint32_t count)
{
    struct tvg_build *build = process->build;
    /* The table of triples does not fit the nearest cache: its places are worked out first and fetched some rows ahead. */
    for (uint32_t row = 0; row < count; row++)
        build->batch_triple[row] = tvg_mix(tvg_mix(tvg_mix(columns->op_id[row] + ((uint64_t)process->number << 32), columns->a[row]), columns->b[row]), columns->c[row]) | 1;
    for (uint32_t row = 0; row < count; row++) {
        __builtin_prefetch(&build->triple[(build->batch_triple[row + 12 < count ? row + 12 : row] >> 40) % TRIPLES], 1);
        uint32_t id = columns->op_id[row], packed = id < process->index_size ? process->index[id] : 0;
        bool first = !(packed & 1);
        if (first) {
            uint32_t *slot = index_slot(process, id);
            if (!slot)
                return false;
            if (!*slot) {
                uint32_t index = intern(build, process->lookup(process->context, id));
                if (index == UINT32_MAX)
                    return false;
                *slot = (index + 1) << 1;
            }
            first = !(*slot & 1);
            *slot |= 1;
            packed = *slot;
        }
        uint32_t op = (packed >> 1) - 1;
        uint64_t ticks = columns->duration[row], a = columns->a[row], b = columns->b[row], c = columns->c[row];
        build->batch_op[row] = op;
        build->batch_first[row] = first;
        struct hot *hot = &build->hot[op];
        if (first) {
            hot->first_count++;
            hot->first_ticks += ticks;
        }
        if (!hot->count++)
            hot->least = hot->most = ticks;
        hot->ticks += ticks;
        if (ticks < hot->least)
            hot->least = ticks;
        if (ticks > hot->most)
            hot->most = ticks;
        hot->a_written += was_written(build, a);
        hot->b_written += was_written(build, b);
        uint64_t triple = build->batch_triple[row], *slot = &build->triple[(triple >> 40) % TRIPLES];
        if (*slot == triple)
            hot->repeats++;
        else {
            *slot = triple;
            /* The first thousands of calls show every weight there is; of later ones a random eighth is looked at, so that addresses that go on
             * changing reach the cap as well. */
            if (hot->count < DISTINCT_ALL || (triple & 7 << 3) == 0) {
                if (hot->b_distinct < DISTINCT_MAX && b)
                    hot->b_distinct += new_address(build, op, 1, b);
                if (hot->a_distinct < DISTINCT_MAX && a)
                    hot->a_distinct += new_address(build, op, 0, a);
            }
        }
        build->written[(c >> 4) % WRITTEN] = c;
    }
    return true;
}

/* --- processes ------------------------------------------------------------------------------------------------------------- */

static double ticks_rate(const struct tvg_trace_header *header)
{
    return header->ticks_per_ns > 0 && isfinite(header->ticks_per_ns) ? header->ticks_per_ns : 1;
}

struct tvg_build *tvg_build_new(const struct tvg_profile_options *options)
{
    struct tvg_build *build = calloc(1, sizeof *build);
    if (!build)
        return NULL;
    build->options = options;
    build->arena = tvg_arena_new();
    build->groups = tvg_groups_new();
    build->step_table = tvg_step_table_new();
    build->ticks_per_ns = 1;
    if (!build->arena || !build->groups || !build->step_table || !grow_ops(build)) {
        tvg_build_free(build);
        return NULL;
    }
    return build;
}

bool tvg_same_clock(const struct tvg_trace_header *a, const struct tvg_trace_header *b)
{
    return a->ticks_are_tsc == b->ticks_are_tsc && strcmp(a->host, b->host) == 0 && fabs(ticks_rate(a) / ticks_rate(b) - 1) < 0.01;
}

struct tvg_process *tvg_build_process(struct tvg_build *build, const struct tvg_trace_header *header, tvg_op_lookup *lookup, const void *context)
{
    struct tvg_process *process = calloc(1, sizeof *process);
    struct tvg_process **grown = process ? realloc(build->process, (build->process_count + 1) * sizeof *grown) : NULL;
    if (grown)
        build->process = grown;
    if (!grown || !(process->steps = tvg_steps_new(build->step_table))) {
        free(process);
        build->failed = true;
        return NULL;
    }
    process->build = build;
    process->header = *header;
    process->lookup = lookup;
    process->context = context;
    process->number = build->process_count;
    build->process[build->process_count++] = process;
    if (build->busy && !tvg_same_clock(header, &build->process[build->process_count - 2]->header)) {
        tvg_busy_finish(build->busy, &build->busy_result); /* times of another machine can't be laid over each other */
        build->busy = NULL;
    }
    if (!build->busy && !(build->busy = tvg_busy_new((uint64_t)(long_gap_seconds * 1e9 * ticks_rate(header)))))
        build->failed = true;
    return process;
}

void tvg_build_dark(struct tvg_process *process, struct tvg_dark *dark)
{
    process->dark = dark;
}

void tvg_build_windows(struct tvg_process *process, struct tvg_windows *windows)
{
    struct tvg_build *build = process->build;
    process->windows = windows;
    process->near = process->header.anchor;
    if (!windows)
        return;
    if ((!build->gpu && !(build->gpu = tvg_gpu_build_new())) || !tvg_gpu_build_sampling(build->gpu))
        build->failed = true;
    else
        tvg_sampling_process(tvg_gpu_build_sampling(build->gpu), windows);
}

static struct lane *lane_of(struct tvg_process *process, uint32_t ring, uint32_t *number)
{
    for (uint32_t i = 0; i < process->lane_count; i++) {
        uint32_t at = (process->last_lane + i) % process->lane_count;
        if (process->lane[at].ring == ring) {
            *number = process->last_lane = at;
            return &process->lane[at];
        }
    }
    if ((process->lane_count & (process->lane_count - 1)) == 0) {
        void *lanes = process->lane;
        if (!grow(&lanes, sizeof *process->lane, process->lane_count, process->lane_count ? 2 * process->lane_count : 1)) {
            process->build->failed = true;
            return NULL;
        }
        process->lane = lanes;
    }
    *number = process->last_lane = process->lane_count++;
    struct lane *lane = &process->lane[*number];
    lane->ring = ring;
    lane->number = process->build->lanes++;
    return lane;
}

static void count_thread(struct tvg_process *process, uint32_t tid)
{
    for (uint32_t i = process->tid_count; i-- > 0;)
        if (process->tids[i] == tid)
            return;
    if ((process->tid_count & (process->tid_count - 1)) == 0) {
        void *tids = process->tids;
        if (!grow(&tids, sizeof *process->tids, process->tid_count, process->tid_count ? 2 * process->tid_count : 1)) {
            process->build->failed = true;
            return;
        }
        process->tids = tids;
    }
    process->tids[process->tid_count++] = tid;
}

static double mono_ns(const struct tvg_process *process, uint64_t ticks)
{
    const struct tvg_anchor *anchor = &process->header.anchor;
    double away = ticks >= anchor->ticks ? (double)(ticks - anchor->ticks) : -(double)(anchor->ticks - ticks);
    return (double)anchor->mono_ns + away / ticks_rate(&process->header);
}

/* Which calls on a GPU began in a window. Their moments lie between the anchors of two blocks: the first estimate of the rate may be a
 * hundredth off. */
static void add_calls(struct tvg_process *process, const struct tvg_batch *batch, const struct tvg_anchor *anchor)
{
    struct tvg_build *build = process->build;
    const struct tvg_anchor *before = &process->near, *now = anchor->mono_ns ? anchor : before;
    double rate = ticks_rate(&process->header), between = (double)(int64_t)(now->mono_ns - before->mono_ns);
    if (between > 1e7) {
        double own = (double)(int64_t)(now->ticks - before->ticks) / between;
        rate = fabs(own / rate - 1) < 0.1 ? own : rate;
    }
    for (uint32_t row = 0; row < batch->count; row++) {
        if (!build->ops[batch->op[row]].op.on_gpu)
            continue;
        double at = (double)now->mono_ns + (double)(int64_t)(batch->start[row] - now->ticks) / rate;
        if (!tvg_sampling_call(tvg_gpu_build_sampling(build->gpu), process->windows, batch->op[row], tvg_windows_of_call(process->windows, at)))
            build->failed = true;
    }
    if (between > 1e7)
        process->near = *now;
}

static void add_ops(struct tvg_process *process, const struct tvg_event *event)
{
    struct tvg_build *build = process->build;
    const struct tvg_ops_info *info = event->info;
    uint32_t count = info->count < TVG_OPS_MAX ? info->count : TVG_OPS_MAX, number;
    struct lane *lane = lane_of(process, info->ring, &number);
    if (!lane || !count_ops(process, event->columns, count))
        return;
    if (lane->tid != info->tid) {
        if (lane->tid) {
            tvg_groups_close(build->groups, &lane->group);
            tvg_steps_end_lane(process->steps, number);
            lane->waiting = (struct tvg_waiting){0};
        }
        lane->tid = info->tid;
        count_thread(process, info->tid);
    }
    const struct tvg_batch batch = {.count = count, .start = event->columns->start, .duration = event->columns->duration, .a = event->columns->a,
                                    .b = event->columns->b, .c = event->columns->c, .op = build->batch_op, .first = build->batch_first,
                                    .facts = build->facts};
    double seconds_per_tick = 1e-9 / ticks_rate(&process->header);
    tvg_waiting_add(&lane->waiting, info, &batch, seconds_per_tick, (uint64_t)(long_gap_seconds / seconds_per_tick));
    tvg_groups_add(build->groups, &lane->group, &batch);
    if (process->dark)
        tvg_dark_ops(process->dark, info->tid, &batch, info->anchor.mono_ns ? &info->anchor : &process->header.anchor, ticks_rate(&process->header));
    if (process->windows)
        add_calls(process, &batch, &info->anchor);
    uint64_t first_step = tvg_steps_first(process->steps);
    if (!tvg_steps_add(process->steps, number, &batch))
        build->failed = true;
    if (!first_step && tvg_steps_first(process->steps) && process->number == 0)
        tvg_busy_load_until(build->busy, tvg_steps_first(process->steps));
    if (!build->busy || !tvg_busy_add(build->busy, lane->number, &batch))
        build->failed = true;
    if (count) {
        uint64_t start = event->columns->start[0], end = event->columns->start[count - 1] + event->columns->duration[count - 1];
        if (!process->seen_ops || start < process->first_start)
            process->first_start = start;
        if (end > process->last_end)
            process->last_end = end;
        process->seen_ops = true;
        if (info->anchor.mono_ns)
            tvg_cpu_seen(&process->cpu, (double)info->anchor.mono_ns, (double)info->cpu_process_ns, mono_ns(process, process->last_end));
    }
    if ((double)info->cpu_process_ns > process->cpu_process_ns)
        process->cpu_process_ns = (double)info->cpu_process_ns;
    if (info->anchor.mono_ns > process->end_mono_ns)
        process->end_mono_ns = info->anchor.mono_ns;
    process->encode_ticks += (double)info->encode_ticks;
}

static uint32_t op_of_id(void *context, uint32_t id)
{
    struct tvg_process *process = context;
    uint32_t *slot = index_slot(process, id);
    if (slot && !*slot) {
        uint32_t index = intern(process->build, process->lookup(process->context, id));
        if (index != UINT32_MAX)
            *slot = (index + 1) << 1;
    }
    return slot && *slot ? (*slot >> 1) - 1 : UINT32_MAX;
}

static void add_kernels(struct tvg_process *process, const struct tvg_event *event)
{
    struct tvg_build *build = process->build;
    if ((!build->gpu && !(build->gpu = tvg_gpu_build_new())) || !tvg_gpu_build_add(build->gpu, event->payload, event->length, process->windows, op_of_id, process))
        build->failed = true;
}

static void add_sync(struct tvg_process *process, const struct tvg_event *event)
{
    struct tvg_build *build = process->build;
    if ((!build->gpu && !(build->gpu = tvg_gpu_build_new())) || !tvg_gpu_build_sync(build->gpu, event->payload, event->length, process))
        build->failed = true;
}

void tvg_build_event(struct tvg_process *process, const struct tvg_event *event)
{
    if (process->build->failed)
        return;
    if (event->kind == TVG_EVENT_OPS)
        add_ops(process, event);
    else if (event->block == TVG_BLOCK_KERNELS)
        add_kernels(process, event);
    else if (event->block == TVG_BLOCK_SYNC)
        add_sync(process, event);
    else
        tvg_info_add(&process->build->info, &process->said, process->build->arena, process->number, process->header.host, event);
}

/* Ticks of the process's sums become seconds of the run's. */
static void settle(struct tvg_build *build, double seconds_per_tick)
{
    for (uint32_t i = 0; i < build->op_count; i++) {
        struct hot *hot = &build->hot[i];
        struct tvg_op_stat *stat = &build->ops[i];
        if (!hot->count)
            continue;
        double least = (double)hot->least * seconds_per_tick, most = (double)hot->most * seconds_per_tick;
        stat->count += hot->count;
        stat->seconds += (double)hot->ticks * seconds_per_tick;
        stat->seconds_first += (double)hot->first_ticks * seconds_per_tick;
        stat->seconds_min = least < stat->seconds_min ? least : stat->seconds_min;
        stat->seconds_max = most > stat->seconds_max ? most : stat->seconds_max;
        stat->repeats += hot->repeats;
        stat->a_written += hot->a_written;
        stat->b_written += hot->b_written;
        stat->a_distinct = stat->a_distinct + hot->a_distinct < DISTINCT_MAX ? stat->a_distinct + hot->a_distinct : DISTINCT_MAX;
        stat->b_distinct = stat->b_distinct + hot->b_distinct < DISTINCT_MAX ? stat->b_distinct + hot->b_distinct : DISTINCT_MAX;
        stat->count_by_phase[TVG_PHASE_WARMUP] += hot->first_count;
        stat->seconds_by_phase[TVG_PHASE_WARMUP] += (double)hot->first_ticks * seconds_per_tick;
        memset(hot, 0, sizeof *hot);
    }
}

struct load_context {
    struct tvg_build *build;
    double seconds_per_tick;
};

static void load_op(uint32_t index, uint64_t calls, uint64_t ticks, void *context)
{
    const struct load_context *to = context;
    struct tvg_op_stat *stat = &to->build->ops[index];
    stat->count_by_phase[TVG_PHASE_LOAD] += calls;
    stat->seconds_by_phase[TVG_PHASE_LOAD] += (double)ticks * to->seconds_per_tick;
    /* the first visit lies in the load when the op was called there */
    if (stat->count_by_phase[TVG_PHASE_WARMUP]) {
        stat->count_by_phase[TVG_PHASE_WARMUP]--;
        double first = stat->seconds_first < stat->seconds_by_phase[TVG_PHASE_WARMUP] ? stat->seconds_first : stat->seconds_by_phase[TVG_PHASE_WARMUP];
        stat->seconds_by_phase[TVG_PHASE_WARMUP] -= first;
    }
}

void tvg_build_process_end(struct tvg_process *process, double ticks_per_ns, const struct tvg_damage *damage)
{
    struct tvg_build *build = process->build;
    if (process->ended)
        return;
    process->ended = true;
    if (!(ticks_per_ns > 0) || !isfinite(ticks_per_ns))
        ticks_per_ns = ticks_rate(&process->header);
    process->header.ticks_per_ns = ticks_per_ns;
    build->ticks_per_ns = ticks_per_ns;
    double seconds_per_tick = 1e-9 / ticks_per_ns;
    const struct lane *busiest = NULL;
    for (uint32_t i = 0; i < process->lane_count; i++) {
        tvg_groups_close(build->groups, &process->lane[i].group);
        if (!busiest || process->lane[i].waiting.ops > busiest->waiting.ops)
            busiest = &process->lane[i];
    }
    if (busiest && process->number == 0) { /* of the first process: the one that serves */
        double fastest = 0, all = 0;
        for (uint32_t i = 0; i < build->op_count; i++) {
            fastest += (double)build->hot[i].least * (double)build->hot[i].count;
            all += (double)build->hot[i].ticks;
        }
        build->waiting_seconds = tvg_waiting_seconds(&busiest->waiting, all > 0 ? fastest / all : 1);
    }
    uint64_t first_step = tvg_steps_first(process->steps);
    if (!tvg_steps_end(process->steps, build->facts))
        build->failed = true;
    if (!first_step && tvg_steps_first(process->steps) && process->number == 0 && build->busy)
        tvg_busy_load_until(build->busy, tvg_steps_first(process->steps));
    settle(build, seconds_per_tick);
    double sampling_ns = process->dark ? tvg_dark_cost_ns(process->dark) : 0;
    if (process->dark && ((!build->dark && !(build->dark = tvg_dark_sum_new())) ||
                          !tvg_dark_sum_add(build->dark, process->dark, build->ops, build->op_count, tvg_same_clock(&process->header, &build->process[0]->header))))
        build->failed = true;
    tvg_dark_free(process->dark);
    process->dark = NULL;
    struct load_context load = {build, seconds_per_tick};
    tvg_steps_load(process->steps, load_op, &load);
    tvg_steps_free(process->steps);
    process->steps = NULL;

    const struct tvg_info_file *said = &process->said;
    double cpu_ns = said->end_cpu_ns > process->cpu_process_ns ? said->end_cpu_ns : process->cpu_process_ns;
    double own = (said->end_encode_ticks > 0 ? said->end_encode_ticks : process->encode_ticks) * seconds_per_tick + (said->meter_cost_ns + sampling_ns) * 1e-9;
    double cpu = cpu_ns * 1e-9;
    build->own_seconds += own;
    build->cpu_seconds += cpu > own ? cpu - own : 0;
    process->window.start_ns = (double)(process->header.process_start_mono_ns ? process->header.process_start_mono_ns : process->header.anchor.mono_ns);
    process->window.end_ns = (double)(said->last_mono_ns > process->end_mono_ns ? said->last_mono_ns : process->end_mono_ns);
    if (process->seen_ops) {
        double first = mono_ns(process, process->first_start), last = mono_ns(process, process->last_end);
        process->window.start_ns = first < process->window.start_ns ? first : process->window.start_ns;
        process->window.end_ns = last > process->window.end_ns ? last : process->window.end_ns;
    }
    if (process->window.end_ns < process->window.start_ns)
        process->window.end_ns = process->window.start_ns;
    process->cpu.start = (struct tvg_cpu_point){(double)process->header.process_start_mono_ns, 0};
    if (process->header.cpu_process_ns)
        process->cpu.opened = (struct tvg_cpu_point){(double)process->header.anchor.mono_ns, (double)process->header.cpu_process_ns};
    process->cpu.end = (struct tvg_cpu_point){process->window.end_ns, cpu_ns};
    build->threads += process->tid_count;
    const struct tvg_windows *windows = process->windows;
    if (windows && windows->open_end && process->window.end_ns > windows->end_ns)
        tvg_sampling_tail(tvg_gpu_build_sampling(build->gpu), (process->window.end_ns - windows->end_ns) * 1e-9);
    if (damage) {
        build->damage.bytes_skipped += damage->bytes_skipped;
        build->damage.blocks_damaged += damage->blocks_damaged;
        build->damage.cut_off |= damage->cut_off;
        build->damage.no_end |= damage->no_end;
        build->damage.ops_recovered += damage->ops_recovered;
        build->damage.ops_lost += damage->ops_lost;
        build->damage.records_missing += damage->records_missing;
    }
    free(process->index);
    free(process->lane);
    free(process->tids);
    process->index = NULL;
    process->lane = NULL;
    process->tids = NULL;
    process->index_size = process->lane_count = 0;
}

void tvg_build_note(struct tvg_build *build, const char *what, const char *subject, const char *detail)
{
    tvg_info_note(&build->info, build->arena, what, subject, detail, 1);
}

void tvg_build_free(struct tvg_build *build)
{
    if (!build)
        return;
    for (uint32_t i = 0; i < build->process_count; i++) {
        struct tvg_process *process = build->process[i];
        tvg_steps_free(process->steps);
        tvg_dark_free(process->dark);
        tvg_windows_free(process->windows);
        free(process->index);
        free(process->lane);
        free(process->tids);
        free(process);
    }
    free(build->process);
    tvg_busy_finish(build->busy, NULL);
    tvg_groups_free(build->groups);
    tvg_gpu_build_free(build->gpu);
    tvg_dark_sum_free(build->dark);
    tvg_step_table_free(build->step_table);
    tvg_info_free(&build->info);
    free(build->ops);
    free(build->facts);
    free(build->hot);
    free(build->hash);
    free(build->by_hash);
    tvg_arena_free(build->arena);
    free(build);
}

/* --- the profile -------------------------------------------------------------------------------------------------------------- */

static int by_start(const void *left, const void *right)
{
    const struct window *a = left, *b = right;
    return (a->start_ns > b->start_ns) - (a->start_ns < b->start_ns);
}

/* Seconds in which at least one process lived; *start_ns and *end_ns of the whole. */
static double lifetime(const struct tvg_build *build, double *start_ns, double *end_ns)
{
    struct window *window = calloc(build->process_count + 1, sizeof *window);
    double total = 0, reached = -INFINITY;
    *start_ns = *end_ns = 0;
    if (!window)
        return 0;
    const struct tvg_trace_header *here = &build->process[0]->header;
    for (uint32_t i = 0; i < build->process_count; i++) {
        const struct tvg_trace_header *header = &build->process[i]->header;
        window[i] = build->process[i]->window;
        if (strcmp(header->host, here->host) != 0) { /* another machine's clock: by the time of day */
            double shift = ((double)header->anchor.wall_ns - (double)header->anchor.mono_ns) - ((double)here->anchor.wall_ns - (double)here->anchor.mono_ns);
            window[i].start_ns += shift;
            window[i].end_ns += shift;
        }
    }
    qsort(window, build->process_count, sizeof *window, by_start);
    for (uint32_t i = 0; i < build->process_count; i++) {
        double from = window[i].start_ns > reached ? window[i].start_ns : reached;
        if (window[i].end_ns > from)
            total += window[i].end_ns - from;
        if (window[i].end_ns > reached)
            reached = window[i].end_ns;
    }
    *start_ns = window[0].start_ns;
    *end_ns = reached;
    free(window);
    return total * 1e-9;
}

static uint32_t manifest_number(const struct tvg_profile *profile, const char *key)
{
    const char *value = tvg_profile_manifest(profile, key);
    double number = value ? strtod(value, NULL) : 0;
    return number > 0 && number < 1e6 ? (uint32_t)number : 0;
}

static const char *either(const struct tvg_profile *profile, const char *one, const char *other)
{
    const char *value = tvg_profile_manifest(profile, one);
    return value ? value : tvg_profile_manifest(profile, other);
}

static void take_manifest(struct tvg_profile *profile)
{
    const char *model = either(profile, "cpu.model", "cpu_brand"), *id = either(profile, "cpu.id", "cpu_id");
    snprintf(profile->cpu_model, sizeof profile->cpu_model, "%s", model ? model : "");
    snprintf(profile->cpu_id, sizeof profile->cpu_id, "%s", id ? id : "");
    profile->cpus_online = manifest_number(profile, tvg_profile_manifest(profile, "cpu.online") ? "cpu.online" : "cpus_online");
    profile->cpus_allowed = manifest_number(profile, tvg_profile_manifest(profile, "cpu.allowed") ? "cpu.allowed" : "cpus_allowed");
    profile->cores_physical = manifest_number(profile, tvg_profile_manifest(profile, "cpu.cores") ? "cpu.cores" : "cores_physical");
}

static void take_meters(struct tvg_profile *profile, struct tvg_info *info)
{
    uint32_t count = 0;
    const struct tvg_meter_total *total = info->meters ? tvg_meters_totals(info->meters, &count) : NULL;
    profile->meters = count ? tvg_arena_alloc(profile->arena, count * sizeof *profile->meters) : NULL;
    for (uint32_t i = 0; i < count && profile->meters; i++) {
        struct tvg_meter *meter = &profile->meters[profile->meter_count++];
        memcpy(meter->name, total[i].name, sizeof meter->name);
        memcpy(meter->boundary, total[i].boundary, sizeof meter->boundary);
        meter->joules = total[i].joules;
        meter->seconds = total[i].seconds;
        meter->samples = total[i].samples;
        meter->wraps = total[i].wraps;
        meter->board = total[i].board;
    }
}

static void *into_arena(struct tvg_arena *arena, const void *data, size_t bytes)
{
    void *copy = tvg_arena_alloc(arena, bytes);
    if (copy && bytes)
        memcpy(copy, data, bytes);
    return copy;
}

/* What is left of an op's calls after load and warm-up is steady. */
static void totals(struct tvg_profile *profile)
{
    for (uint32_t i = 0; i < profile->op_count; i++) {
        struct tvg_op_stat *stat = &profile->ops[i];
        uint64_t *count = stat->count_by_phase;
        double *seconds = stat->seconds_by_phase;
        count[TVG_PHASE_STEADY] = stat->count - count[TVG_PHASE_LOAD] - count[TVG_PHASE_WARMUP];
        seconds[TVG_PHASE_STEADY] = fmax(0, stat->seconds - seconds[TVG_PHASE_LOAD] - seconds[TVG_PHASE_WARMUP]);
        profile->total_ops += stat->count;
        profile->flop += (double)stat->op.flop * (double)stat->count;
        profile->bytes += (double)stat->op.bytes * (double)stat->count;
        profile->op_seconds += stat->seconds;
    }
}

static struct tvg_interval at_most(struct tvg_interval value, double limit)
{
    return (struct tvg_interval){fmin(value.value, limit), fmin(value.low, limit), fmin(value.high, limit)};
}

/* CPU time before the first op and after the last is what the clocks around them tell; the rest is shared out by time, none to waiting. A process on another
 * machine has a clock of its own: all it used is in the rest. */
static void share_cpu(struct tvg_profile *profile, const struct tvg_build *build, double first_ns, double last_ns)
{
    struct tvg_phase *phase = profile->phase;
    struct tvg_interval start = {0, 0, 0}, end = start;
    for (uint32_t i = 0; i < build->process_count; i++) {
        const struct tvg_process *process = build->process[i];
        if (!tvg_same_clock(&process->header, &build->process[0]->header))
            continue;
        double all = process->cpu.end.cpu_ns * 1e-9;
        struct tvg_interval before = tvg_cpu_by(&process->cpu, first_ns, profile->cpus_allowed), by_last = tvg_cpu_by(&process->cpu, last_ns, profile->cpus_allowed);
        start = tvg_interval_add(start, before);
        end = tvg_interval_add(end, (struct tvg_interval){fmax(0, all - by_last.value), fmax(0, all - by_last.high), fmax(0, all - by_last.low)});
    }
    profile->cpu_start = at_most(start, profile->cpu_seconds);
    profile->cpu_end = at_most(end, profile->cpu_seconds - profile->cpu_start.value);
    phase[TVG_PHASE_START].cpu_seconds = profile->cpu_start.value;
    phase[TVG_PHASE_END].cpu_seconds = profile->cpu_end.value;
    double rest = profile->cpu_seconds - profile->cpu_start.value - profile->cpu_end.value, time = 0;
    for (int p = TVG_PHASE_LOAD; p < TVG_PHASE_WAITING; p++)
        time += phase[p].seconds;
    for (int p = TVG_PHASE_LOAD; p < TVG_PHASE_WAITING; p++)
        phase[p].cpu_seconds = time > 0 ? rest * phase[p].seconds / time : 0;
}

/* --skip-warmup: what was called before the steady state is taken out of every sum. */
static void leave_warmup_out(struct tvg_profile *profile)
{
    for (uint32_t i = 0; i < profile->op_count; i++) {
        struct tvg_op_stat *stat = &profile->ops[i];
        stat->count = stat->count_by_phase[TVG_PHASE_STEADY];
        stat->seconds = stat->seconds_by_phase[TVG_PHASE_STEADY];
        stat->count_by_phase[TVG_PHASE_LOAD] = stat->count_by_phase[TVG_PHASE_WARMUP] = 0;
        stat->seconds_by_phase[TVG_PHASE_LOAD] = stat->seconds_by_phase[TVG_PHASE_WARMUP] = 0;
    }
}

/* Steps and units. What CUDA graphs replayed left no calls to find steps in; where it repeats what was recorded, whole steps of it, they are as many more. */
static bool count_units(struct tvg_build *build, struct tvg_profile *profile, double ticks_per_second)
{
    struct tvg_step_summary summary = {0};
    double *grown = NULL;
    for (uint32_t i = 0; i < profile->activity_count; i++) {
        const struct tvg_gpu_activity *at = &profile->activity[i];
        if (!at->replays || at->cause == UINT32_MAX)
            continue;
        if (!grown && !(grown = calloc(profile->op_count + 1u, sizeof *grown)))
            return false;
        grown[at->cause] += (double)at->replays;
    }
    for (uint32_t i = 0; grown && i < profile->op_count; i++) {
        double all = (double)profile->ops[i].count, recorded = all - grown[i];
        grown[i] = recorded > 0 ? all / recorded : 1;
    }
    bool done = tvg_step_table_finish(build->step_table, build->arena, build->ops, ticks_per_second, grown, &profile->steps, &profile->step_count, &summary) &&
                tvg_units_finish(build->arena, build->options, build->info.marks, build->info.mark_count, &summary, &profile->units, &profile->unit_count);
    if (done && grown && (summary.partly_replayed || !summary.steps))
        tvg_units_are_hidden(profile->units, &profile->unit_count, "CUDA graphs replayed part of the work, without calls to count");
    free(grown);
    return done;
}

struct tvg_profile *tvg_build_finish(struct tvg_build *build, const char *path, struct tvg_error *error)
{
    struct tvg_profile *profile = calloc(1, sizeof *profile);
    for (uint32_t i = 0; i < build->process_count; i++)
        tvg_build_process_end(build->process[i], 0, NULL);
    if (!profile || build->failed || build->info.failed)
        goto memory;
    tvg_busy_finish(build->busy, &build->busy_result);
    build->busy = NULL;
    double seconds_per_tick = 1e-9 / build->ticks_per_ns, start_ns = 0, end_ns = 0;
    struct tvg_busy_result *busy = &build->busy_result;
    profile->arena = build->arena;
    profile->processes = build->process_count;
    profile->threads = build->threads;
    profile->damage = build->damage;
    profile->cpu_seconds = build->cpu_seconds;
    profile->own_seconds = build->own_seconds;
    profile->wall_seconds = build->process_count ? lifetime(build, &start_ns, &end_ns) : 0;
    profile->op_wall_seconds = (busy->busy[TVG_BUSY_LOAD] + busy->busy[TVG_BUSY_FIRST] + busy->busy[TVG_BUSY_STEADY]) * seconds_per_tick;
    profile->op_wall_error = busy->error_ticks * seconds_per_tick;

    struct tvg_info *info = &build->info;
    profile->manifest = into_arena(build->arena, info->manifest, info->manifest_count * sizeof *info->manifest);
    profile->manifest_count = info->manifest_count;
    take_manifest(profile);
    take_meters(profile, info);
    if (build->process_count)
        snprintf(profile->command, sizeof profile->command, "%s", build->process[0]->header.command);

    profile->ops = build->ops;
    profile->op_count = build->op_count;
    struct tvg_group *groups;
    uint64_t overflow = tvg_groups_finish(build->groups, build->arena, &groups, &profile->group_count);
    profile->groups = malloc((profile->group_count + 1) * sizeof *profile->groups);
    if (!groups || !profile->groups)
        goto memory_again;
    memcpy(profile->groups, groups, profile->group_count * sizeof *groups);
    char number[64];
    if (overflow) {
        snprintf(number, sizeof number, "%llu runs of calls found no room in the table", (unsigned long long)overflow);
        tvg_build_note(build, "limit", "groups", number);
    }
    if (build->process_count && build->op_count == 0)
        tvg_build_note(build, "nothing-seen", "operations", "none was recorded: what is said of time and energy is of the whole run, and none of it of inference");
    if (info->notes_dropped) {
        snprintf(number, sizeof number, "%llu notes found no room", (unsigned long long)info->notes_dropped);
        tvg_build_note(build, "limit", "coverage", number);
    }
    profile->notes = into_arena(build->arena, info->notes, info->note_count * sizeof *info->notes);
    profile->note_count = info->note_count;
    if (build->gpu && !tvg_gpu_build_finish(build->gpu, build->arena, profile))
        goto memory_again;
    if (!count_units(build, profile, 1 / seconds_per_tick))
        goto memory_again;

    totals(profile);
    /* Each process has its own rate of ticks, the union one for all: a union is never more than the sum. */
    profile->op_wall_seconds = fmin(profile->op_wall_seconds, profile->op_seconds);
    for (uint32_t i = 0; i < profile->gpu_count; i++) /* ops on a card run beside the host: the card's busy time is what they cover */
        profile->op_wall_seconds = i == 0 || profile->gpus[i].busy_seconds > profile->op_wall_seconds ? profile->gpus[i].busy_seconds : profile->op_wall_seconds;
    double start = 0, end = 0;
    const struct tvg_process *first = build->process[0];
    if (profile->total_ops && first->seen_ops) { /* a run whose ops were all replayed by graphs has no op record */
        start = (mono_ns(first, busy->first_start) - start_ns) * 1e-9;
        double last = mono_ns(first, busy->last_end);
        for (uint32_t i = 0; i < profile->gpu_count; i++) /* the work ends on the card: graphs replay without a call that is recorded */
            last = fmax(last, profile->gpus[i].last_ns);
        end = (end_ns - last) * 1e-9;
    } else {
        start = profile->wall_seconds;
    }
    start = start < 0 ? 0 : start > profile->wall_seconds ? profile->wall_seconds : start;
    end = end < 0 ? 0 : end > profile->wall_seconds - start ? profile->wall_seconds - start : end;
    tvg_phases_finish(profile, busy, seconds_per_tick, start, end, build->waiting_seconds);
    double first_ns = start_ns + start * 1e9;
    const double part_ends[TVG_CPU_PARTS - 1] = {first_ns, first_ns + profile->phase[TVG_PHASE_LOAD].seconds * 1e9, end_ns - end * 1e9};
    share_cpu(profile, build, first_ns, part_ends[TVG_CPU_MAIN]);
    if (!tvg_dark_sum_finish(build->dark, build->arena, profile->cpu_seconds, part_ends, &profile->where))
        goto memory_again;
    if (build->options && build->options->skip_warmup) {
        leave_warmup_out(profile);
        profile->total_ops = 0;
        profile->flop = profile->bytes = profile->op_seconds = 0;
        totals(profile);
    }
    for (uint32_t i = 0; i < profile->op_count; i++)
        if (!profile->ops[i].count)
            profile->ops[i].seconds_min = 0;
    build->arena = tvg_arena_new(); /* ours went to the profile */
    build->ops = NULL;
    build->op_count = 0;
    tvg_build_free(build);
    return profile;

memory_again:
    free(profile->groups);
memory:
    free(profile);
    tvg_build_free(build);
    tvg_fail(error, path, NULL, "free some memory and run again", "out of memory");
    return NULL;
}
