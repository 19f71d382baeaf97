/* Lays CPU samples over recorded ops: which share of the CPU time ran in ops, by library, and in which objects the rest ran.
 * The samples of a trace are read before its ops: they are few (a hundred a CPU second, thinned in long runs), ops may be billions. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../trace/samples.h"
#include "profile_build.h"

enum { OVERLAPS = 8 }; /* an op that began before the last one may still cover a moment: so many are looked at */

struct sample {
    uint64_t mono_ns, period_ns;
    uint32_t tid, object;
    uint32_t own, other; /* index of the op of its own thread, of another thread, that ran at the moment, plus one; 0: none */
};

struct tvg_dark {
    struct sample *samples;
    size_t count, capacity;
    struct { char *name; uint32_t kind; } objects[TVG_OBJECTS_MAX];
    uint64_t before_ns, lost, cost_ns;
    bool begun, kernel, failed;
};

struct total {
    char *name;
    uint32_t kind;
    double dark, op;
};
struct tvg_dark_sum {
    struct total *objects, *libraries;
    uint32_t object_count, library_count;
    uint32_t processes;
    bool kernel;
    uint64_t samples, lost;
    double op_seconds, dark_seconds, before_seconds;
    struct moment { double mono_ns, seconds; bool in_op; } *moments; /* each sample: which part of the run it lies in shows when all processes were read */
    size_t moment_count;
};

/* Runtimes whose threads work for whoever called: their code counts to the op that runs. */
static const char *const pools[] = {"libgomp", "libomp", "libiomp5", "libtbb", "libpthreadpool", "libpthread", NULL};

static bool is_pool(const char *name)
{
    for (int i = 0; pools[i]; i++)
        if (strncmp(name, pools[i], strlen(pools[i])) == 0)
            return true;
    return false;
}

struct tvg_dark *tvg_dark_new(void)
{
    return calloc(1, sizeof(struct tvg_dark));
}

void tvg_dark_free(struct tvg_dark *dark)
{
    if (!dark)
        return;
    for (uint32_t i = 0; i < TVG_OBJECTS_MAX; i++)
        free(dark->objects[i].name);
    free(dark->samples);
    free(dark);
}

static void take_object(const struct tvg_sampled_object *object, void *context)
{
    struct tvg_dark *dark = context;
    if (dark->objects[object->index].name)
        return; /* the first meaning holds */
    dark->objects[object->index].name = strndup(object->name, object->length);
    dark->objects[object->index].kind = object->kind;
    if (!dark->objects[object->index].name)
        dark->failed = true;
}

bool tvg_dark_add(struct tvg_dark *dark, const void *payload, uint32_t length)
{
    struct tvg_cpu_sample samples[TVG_SAMPLES_MAX];
    struct tvg_samples_info info;
    if (tvg_decode_samples(payload, length, &info, samples, take_object, dark) != 0)
        return true;
    if (dark->count + info.count > dark->capacity) {
        size_t capacity = 2 * (dark->count + info.count);
        struct sample *grown = realloc(dark->samples, capacity * sizeof *grown);
        if (!grown)
            return false;
        dark->samples = grown;
        dark->capacity = capacity;
    }
    for (uint32_t i = 0; i < info.count; i++) {
        uint32_t object = samples[i].object < TVG_OBJECTS_MAX ? samples[i].object : TVG_OBJECTS_MAX - 1;
        dark->samples[dark->count++] = (struct sample){.mono_ns = samples[i].mono_ns, .period_ns = info.period_ns, .tid = samples[i].tid, .object = object};
    }
    /* What counts up is as the last block says; two samplers (tvg record from outside, then the process itself) have blocks of their own. */
    dark->before_ns = dark->begun && dark->before_ns < info.before_ns ? dark->before_ns : info.before_ns;
    dark->lost = dark->lost > info.lost ? dark->lost : info.lost;
    dark->cost_ns = dark->cost_ns > info.cost_ns ? dark->cost_ns : info.cost_ns;
    dark->kernel = info.kernel && (!dark->begun || dark->kernel);
    dark->begun = true;
    return !dark->failed;
}

static int by_time(const void *left, const void *right)
{
    const struct sample *a = left, *b = right;
    return (a->mono_ns > b->mono_ns) - (a->mono_ns < b->mono_ns);
}

void tvg_dark_ready(struct tvg_dark *dark)
{
    if (dark->count)
        qsort(dark->samples, dark->count, sizeof *dark->samples, by_time);
}

struct tvg_dark *tvg_dark_read(const char *path)
{
    struct tvg_reader *reader;
    struct tvg_event event;
    struct tvg_error ignored;
    struct tvg_dark *dark = NULL;
    if (!tvg_reader_open(&reader, path, &ignored))
        return NULL;
    while (tvg_reader_next_of(reader, TVG_BLOCK_SAMPLES, &event))
        if ((!dark && !(dark = tvg_dark_new())) || !tvg_dark_add(dark, event.payload, event.length)) {
            tvg_dark_free(dark);
            dark = NULL;
            break;
        }
    tvg_reader_close(reader);
    if (dark)
        tvg_dark_ready(dark);
    return dark;
}

double tvg_dark_cost_ns(const struct tvg_dark *dark)
{
    return (double)dark->cost_ns;
}

/* The op of the batch that covers `ticks`, plus one; 0: none. Ops of a batch begin in order. */
static uint32_t op_at(const struct tvg_batch *batch, uint64_t ticks)
{
    uint32_t low = 0, high = batch->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (batch->start[middle] <= ticks)
            low = middle + 1;
        else
            high = middle;
    }
    for (uint32_t i = low; i > 0 && low - i < OVERLAPS; i--)
        if (ticks - batch->start[i - 1] < batch->duration[i - 1] && batch->start[i - 1] <= ticks)
            return batch->op[i - 1] + 1;
    return 0;
}

void tvg_dark_ops(struct tvg_dark *dark, uint32_t tid, const struct tvg_batch *batch, const struct tvg_anchor *anchor, double ticks_per_ns)
{
    if (!batch->count || !dark->count)
        return;
    /* Moments in ns of the batch's ends, by the anchor near it: over a whole run the first estimate of the rate would be milliseconds off. */
    double first = (double)(int64_t)(batch->start[0] - anchor->ticks) / ticks_per_ns;
    size_t low = 0, high = dark->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((double)(int64_t)(dark->samples[middle].mono_ns - anchor->mono_ns) < first)
            low = middle + 1;
        else
            high = middle;
    }
    uint64_t end = batch->start[batch->count - 1] + batch->duration[batch->count - 1];
    for (; low < dark->count; low++) {
        struct sample *sample = &dark->samples[low];
        double away = (double)(int64_t)(sample->mono_ns - anchor->mono_ns) * ticks_per_ns;
        if (!(fabs(away) < 4e18))
            return; /* clocks gone wild */
        uint64_t ticks = anchor->ticks + (uint64_t)(int64_t)away;
        if (ticks >= end)
            return;
        uint32_t op = op_at(batch, ticks);
        if (op && sample->tid == tid)
            sample->own = op;
        else if (op)
            sample->other = op;
    }
}

/* --- sums over the processes of a run ------------------------------------------------------------------------------------ */

struct tvg_dark_sum *tvg_dark_sum_new(void)
{
    return calloc(1, sizeof(struct tvg_dark_sum));
}

static void free_totals(struct total *totals, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        free(totals[i].name);
    free(totals);
}

void tvg_dark_sum_free(struct tvg_dark_sum *sum)
{
    if (!sum)
        return;
    free_totals(sum->objects, sum->object_count);
    free_totals(sum->libraries, sum->library_count);
    free(sum->moments);
    free(sum);
}

/* The total of that name and kind, made when it is new; NULL: memory is out. */
static struct total *total_of(struct total **totals, uint32_t *count, const char *name, uint32_t kind)
{
    for (uint32_t i = 0; i < *count; i++)
        if ((*totals)[i].kind == kind && strcmp((*totals)[i].name, name) == 0)
            return &(*totals)[i];
    struct total *grown = realloc(*totals, (*count + 1) * sizeof *grown);
    if (!grown)
        return NULL;
    *totals = grown;
    grown[*count] = (struct total){.name = strdup(name), .kind = kind};
    return grown[*count].name ? &grown[(*count)++] : NULL;
}

bool tvg_dark_sum_add(struct tvg_dark_sum *sum, const struct tvg_dark *dark, const struct tvg_op_stat *ops, uint32_t op_count, bool same_clock)
{
    struct moment *moments = realloc(sum->moments, (sum->moment_count + dark->count + 1) * sizeof *moments);
    if (!moments)
        return false;
    sum->moments = moments;
    /* Which objects an op's own thread was seen in tells what is code of its library: files have other names than what is linked (libopenblas.so.0
     * is a link to libopenblasp-r0.3.21.so). */
    uint32_t *library = calloc(op_count + 1u, sizeof *library); /* of each op: index of its total */
    for (uint32_t i = 0; library && i < op_count; i++) {
        struct total *total = total_of(&sum->libraries, &sum->library_count, ops[i].op.library ? ops[i].op.library : "?", 0);
        if (!total) {
            free(library);
            return false;
        }
        library[i] = (uint32_t)(total - sum->libraries);
    }
    uint8_t *is_code = library ? calloc(((size_t)sum->library_count + 1) * TVG_OBJECTS_MAX, 1) : NULL;
    bool held = is_code != NULL;
    for (size_t i = 0; held && i < dark->count; i++) {
        const struct sample *sample = &dark->samples[i];
        uint32_t kind = dark->objects[sample->object].kind;
        if (sample->own && sample->own <= op_count && (kind == TVG_OBJECT_FILE || kind == TVG_OBJECT_MADE))
            is_code[(size_t)library[sample->own - 1] * TVG_OBJECTS_MAX + sample->object] = 1;
    }
    for (size_t i = 0; held && i < dark->count; i++) {
        const struct sample *sample = &dark->samples[i];
        const char *name = dark->objects[sample->object].name;
        uint32_t kind = name ? dark->objects[sample->object].kind : (uint32_t)TVG_OBJECT_UNKNOWN, op = sample->own;
        if (!name)
            name = "";
        if (!op && sample->other && sample->other <= op_count &&
            (is_pool(name) || is_code[(size_t)library[sample->other - 1] * TVG_OBJECTS_MAX + sample->object]))
            op = sample->other;
        double seconds = (double)sample->period_ns * 1e-9;
        struct total *object = total_of(&sum->objects, &sum->object_count, name, kind);
        held = object != NULL;
        if (held && op && op <= op_count) {
            object->op += seconds;
            sum->libraries[library[op - 1]].op += seconds;
            sum->op_seconds += seconds;
        } else if (held) {
            object->dark += seconds;
            sum->dark_seconds += seconds;
        }
        sum->moments[sum->moment_count++] = (struct moment){same_clock ? (double)sample->mono_ns : NAN, seconds, op && op <= op_count};
    }
    free(library);
    free(is_code);
    sum->kernel = (sum->processes == 0 || sum->kernel) && dark->kernel;
    sum->processes++;
    sum->samples += dark->count;
    sum->lost += dark->lost;
    sum->before_seconds += (double)dark->before_ns * 1e-9;
    return held;
}

static int most_dark(const void *left, const void *right)
{
    const struct total *a = left, *b = right;
    if (a->dark != b->dark)
        return a->dark < b->dark ? 1 : -1;
    return a->op != b->op ? (a->op < b->op ? 1 : -1) : strcmp(a->name, b->name);
}

static enum tvg_cpu_part part_at(double mono_ns, const double ends[TVG_CPU_PARTS - 1])
{
    if (isnan(mono_ns))
        return TVG_CPU_MAIN;
    int part = TVG_CPU_START;
    while (part < TVG_CPU_END && mono_ns >= ends[part])
        part++;
    return (enum tvg_cpu_part)part;
}

bool tvg_dark_sum_finish(struct tvg_dark_sum *sum, struct tvg_arena *arena, double cpu_seconds, const double ends[TVG_CPU_PARTS - 1], struct tvg_cpu_where *where)
{
    *where = (struct tvg_cpu_where){0};
    if (!sum || !sum->processes)
        return true;
    where->processes = sum->processes;
    where->kernel = sum->kernel;
    where->samples = sum->samples;
    where->lost = sum->lost;
    where->op_seconds = sum->op_seconds;
    where->dark_seconds = sum->dark_seconds;
    where->before_seconds = sum->before_seconds;
    where->unsampled_seconds = fmax(0, cpu_seconds - sum->op_seconds - sum->dark_seconds - sum->before_seconds);
    where->all_seconds = sum->op_seconds + sum->dark_seconds + sum->before_seconds + where->unsampled_seconds;
    for (size_t i = 0; i < sum->moment_count; i++) {
        const struct moment *moment = &sum->moments[i];
        struct tvg_cpu_part_sum *part = &where->part[part_at(moment->mono_ns, ends)];
        *(moment->in_op ? &part->op_seconds : &part->dark_seconds) += moment->seconds;
        part->squares += moment->seconds * moment->seconds;
    }
    if (sum->object_count)
        qsort(sum->objects, sum->object_count, sizeof *sum->objects, most_dark);
    where->objects = tvg_arena_alloc(arena, (sum->object_count + 1) * sizeof *where->objects);
    where->libraries = tvg_arena_alloc(arena, (sum->library_count + 1) * sizeof *where->libraries);
    if (!where->objects || !where->libraries)
        return false;
    for (uint32_t i = 0; i < sum->object_count; i++) {
        const struct total *from = &sum->objects[i];
        char *name = tvg_arena_string(arena, from->name, strlen(from->name));
        if (!name)
            return false;
        where->objects[where->object_count++] = (struct tvg_cpu_object){name, from->kind, from->dark, from->op};
    }
    for (uint32_t i = 0; i < sum->library_count; i++) {
        const struct total *from = &sum->libraries[i];
        char *name = tvg_arena_string(arena, from->name, strlen(from->name));
        if (!name)
            return false;
        where->libraries[where->library_count++] = (struct tvg_cpu_library){name, from->op};
    }
    return true;
}
