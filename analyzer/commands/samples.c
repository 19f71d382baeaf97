/* Sampled stacks as folded lines and counters per op as JSON lines; see samples.h. */
#include "samples.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../reader.h"
#include "../sources_decode.h"

struct op_total {
    uint64_t calls;
    double ns;
};

/* All of one trace that the two need. Released by close_trace. */
struct trace {
    struct tvg_reader *reader;
    struct op_total *ops; /* by op id */
    uint32_t op_count;
    struct tvg_stacks stacks;
    struct tvg_counters counters;
};

static void close_trace(struct trace *trace)
{
    tvg_stacks_free(&trace->stacks);
    tvg_counters_free(&trace->counters);
    free(trace->ops);
    if (trace->reader) tvg_reader_close(trace->reader);
}

static bool add_ops(struct trace *trace, const struct tvg_event *event)
{
    double rate = tvg_reader_ticks_per_ns(trace->reader);
    for (uint32_t i = 0; i < event->info->count; i++) {
        uint32_t id = event->columns->op_id[i];
        if (id >= TVG_OP_ID_FIRST_RESERVED) continue;
        if (id >= trace->op_count) {
            uint32_t count = tvg_reader_op_count(trace->reader);
            if (id >= count) continue; /* nothing says what it is */
            struct op_total *ops = realloc(trace->ops, count * sizeof *ops);
            if (!ops) return false;
            memset(ops + trace->op_count, 0, (count - trace->op_count) * sizeof *ops);
            trace->ops = ops;
            trace->op_count = count;
        }
        trace->ops[id].calls++;
        trace->ops[id].ns += (double)event->columns->duration[i] / rate;
    }
    return true;
}

static bool read_trace(struct trace *trace, const char *file, struct tvg_error *error)
{
    struct tvg_event event;
    memset(trace, 0, sizeof *trace);
    if (!tvg_reader_open(&trace->reader, file, error)) return false;
    while (tvg_reader_next(trace->reader, &event) == 1) {
        if (event.kind == TVG_EVENT_OPS) {
            if (!add_ops(trace, &event)) {
                close_trace(trace);
                return tvg_fail(error, file, NULL, NULL, "no memory");
            }
        } else if (event.block == TVG_BLOCK_STACKS) tvg_stacks_add(&trace->stacks, event.payload, event.length);
        else if (event.block == TVG_BLOCK_COUNTERS) tvg_counters_add(&trace->counters, event.payload, event.length);
    }
    return true;
}

/* --- folded stacks ---------------------------------------------------------------------------------------------------------- */

static int by_op_and_occurrence(const void *x, const void *y)
{
    const struct tvg_stack_sample *a = x, *b = y;
    if (a->op_id != b->op_id) return a->op_id < b->op_id ? -1 : 1;
    return (a->occurrence > b->occurrence) - (a->occurrence < b->occurrence);
}

/* Folded lines: frames and op, and the time of all samples that read alike. Several addresses in one function are one frame. */
struct folded {
    struct line {
        char *text;
        double ns;
    } *lines;
    size_t count, capacity;
    bool failed; /* memory is out */
};

static void add_line(struct folded *folded, char *text, double ns)
{
    if (text && folded->count == folded->capacity) {
        size_t capacity = folded->capacity ? 2 * folded->capacity : 256;
        struct line *grown = realloc(folded->lines, capacity * sizeof *grown);
        if (grown) {
            folded->lines = grown;
            folded->capacity = capacity;
        }
    }
    if (!text || folded->count == folded->capacity) {
        free(text);
        folded->failed = true;
        return;
    }
    folded->lines[folded->count++] = (struct line){text, ns};
}

static int by_text(const void *x, const void *y)
{
    return strcmp(((const struct line *)x)->text, ((const struct line *)y)->text);
}

static void print_lines(struct folded *folded)
{
    if (folded->count) qsort(folded->lines, folded->count, sizeof *folded->lines, by_text);
    for (size_t i = 0; i < folded->count;) {
        size_t first = i;
        double ns = 0;
        for (; i < folded->count && strcmp(folded->lines[i].text, folded->lines[first].text) == 0; i++) ns += folded->lines[i].ns;
        printf("%s %.0f\n", folded->lines[first].text, 1e-3 * ns);
    }
    for (size_t i = 0; i < folded->count; i++) free(folded->lines[i].text);
    free(folded->lines);
}

/* A frame's name: the function without the place in it, or library+offset where the function has no name; ';' would end a frame. */
static void print_frame(FILE *out, struct tvg_symbols *symbols, const struct tvg_stacks *stacks, struct tvg_stack_frame frame)
{
    char name[512], shown[2100];
    tvg_symbols_name(symbols, frame.library < stacks->library_count ? &stacks->libraries[frame.library] : NULL, frame.offset, name, sizeof name);
    char *place = strstr(name, "+0x");
    if (place && strstr(place, " (")) *place = 0;
    tvg_escape(shown, sizeof shown, name);
    for (char *p = shown; *p; p++)
        if (*p == ';') *p = ':';
    fprintf(out, "%s;", shown);
}

static void print_op(FILE *out, const struct tvg_op *op)
{
    char shown[512];
    fprintf(out, "%s %" PRId64 "x%" PRId64 "x%" PRId64, tvg_escape(shown, sizeof shown, op->function ? op->function : "?"), op->m, op->n, op->k);
}

/* One sample's line, malloc'ed; `stack` NULL: none was sampled. NULL when memory is out. */
static char *fold(struct tvg_symbols *symbols, const struct tvg_stacks *stacks, const struct tvg_stack *stack, const struct tvg_op *op)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out) return NULL;
    for (uint32_t k = stack ? stack->frame_count : 0; k-- > 0;) print_frame(out, symbols, stacks, stack->frames[k]);
    if (!stack) fputs("(no stack sampled);", out);
    print_op(out, op);
    return fclose(out) == 0 ? text : NULL;
}

bool tvg_dump_folded(const char *file, struct tvg_error *error)
{
    struct trace trace;
    if (!read_trace(&trace, file, error)) return false;
    struct tvg_stacks *stacks = &trace.stacks;
    struct tvg_symbols *symbols = tvg_symbols_new();
    if (stacks->sample_count) qsort(stacks->samples, stacks->sample_count, sizeof *stacks->samples, by_op_and_occurrence);
    struct folded folded = {0};
    uint32_t at = 0;
    for (uint32_t id = 0; symbols && id < trace.op_count; id++) {
        const struct op_total *total = &trace.ops[id];
        while (at < stacks->sample_count && stacks->samples[at].op_id < id) at++;
        uint32_t end = at;
        while (end < stacks->sample_count && stacks->samples[end].op_id == id) end++;
        if (!total->calls) continue;
        for (uint32_t i = at; i < end; i++) {
            /* a sample stands for its call and those up to the next one; the first one for those before it too */
            uint64_t from = i == at ? 1 : stacks->samples[i].occurrence, to = i + 1 < end ? stacks->samples[i + 1].occurrence : total->calls + 1;
            double share = to > from ? (double)(to - from) / (double)total->calls : 0;
            if (share > 1) share = 1;
            const struct tvg_stack *stack = stacks->samples[i].stack < stacks->stack_count ? &stacks->stacks[stacks->samples[i].stack] : NULL;
            add_line(&folded, fold(symbols, stacks, stack, tvg_reader_op(trace.reader, id)), total->ns * share);
        }
        if (at == end) add_line(&folded, fold(symbols, stacks, NULL, tvg_reader_op(trace.reader, id)), total->ns);
        at = end;
    }
    print_lines(&folded);
    tvg_symbols_free(symbols);
    if (trace.op_count && !stacks->sample_count)
        fprintf(stderr, "tvg dump: no stack in this trace: record it with --stacks (TVG_STACKS=1); tvg coverage says whether that was refused\n");
    close_trace(&trace);
    return (symbols && !folded.failed) || tvg_fail(error, file, NULL, NULL, "no memory");
}

/* --- counters ----------------------------------------------------------------------------------------------------------------- */

bool tvg_dump_counters(const char *file, struct tvg_error *error)
{
    struct trace trace;
    if (!read_trace(&trace, file, error)) return false;
    const struct tvg_counters *counters = &trace.counters;
    uint32_t pid = tvg_reader_header(trace.reader)->pid;
    for (uint32_t i = 0; i < counters->row_count; i++) {
        const struct tvg_counter_row *row = &counters->rows[i];
        bool beyond = row->op_id == TVG_OP_ID_NONE; /* ops that the counters' table had no room for, together */
        char shown[512];
        json_t *line = json_pack("{s:I}", "process", (json_int_t)pid);
        if (!beyond) {
            const struct tvg_op *op = tvg_reader_op(trace.reader, row->op_id);
            json_object_set_new(line, "op", json_integer(row->op_id));
            json_object_set_new(line, "function", json_string(tvg_escape(shown, sizeof shown, op->function ? op->function : "?")));
            json_object_set_new(line, "m", json_integer(op->m));
            json_object_set_new(line, "n", json_integer(op->n));
            json_object_set_new(line, "k", json_integer(op->k));
        } else {
            json_object_set_new(line, "op", json_null());
        }
        json_object_set_new(line, "calls", json_integer((json_int_t)row->calls));
        for (uint32_t e = 0; e < counters->event_count; e++)
            json_object_set_new(line, tvg_escape(shown, sizeof shown, counters->event[e]), json_integer((json_int_t)(row->value[e] & INT64_MAX)));
        json_dumpf(line, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(line);
    }
    if (!counters->row_count)
        fprintf(stderr, "tvg dump: no counters in this trace: record it with --sources +papi; tvg coverage says whether that was refused\n");
    close_trace(&trace);
    return true;
}
