/* `tvg export`: a run as a timeline that other programs show. Streamed: one block of a trace is in memory at a time, and the waits and events of the
 * whole trace, which are read first, since what they wait for is told before or behind them. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../trace/kernels.h"
#include "../../trace/sync.h"
#include "../reader.h"
#include "../run.h"
#include "../sources_decode.h"
#include "../sync_points.h"
#include "../windows.h"
#include "command.h"

enum { OPTION_FORMAT = 256 };

static const struct tvg_usage usage = {
    .name = "export",
    .arguments = "TRACE|RUN... [options]",
    .summary = "Writes a run as a timeline for ui.perfetto.dev or chrome://tracing (Trace Event Format, JSON).",
    .details = "A track for each thread that called operations and one for each stream of each GPU. Arrows lead from a launching call to its kernels and copies, from\n"
               "what a thread waited for to the end of its wait, and from what an event was recorded behind to what began when it had happened. Power, clock and\n"
               "temperature of every meter are counters, power between two samples being the mean by the energy counter. Where kernels\n"
               "were recorded in windows, the gaps are on a track of their own. Times are CLOCK_MONOTONIC in\n"
               "microseconds, so that processes of one machine line up. A damaged trace gives what is whole, and a warning.\n\n"
               "The file is plain JSON; ui.perfetto.dev also takes it compressed: tvg export RUN | gzip > run.json.gz",
    .options = (const struct tvg_option[]){{OPTION_FORMAT, "format", "NAME", "perfetto (the one there is)"},
                                           {'o', "output", "FILE", "write to FILE instead of standard output"},
                                           {0, NULL, NULL, NULL}},
};

/* GPU tracks are processes of their own in the timeline: numbers that no process of Linux has. */
enum { GPU_TRACKS = 0x40000000, DEVICES_A_PROCESS = 64, TRACKS_MAX = 512, METERS_MAX = 64, GAP_TRACK = GPU_TRACKS - 1 };

struct meter {
    char name[64];
    uint64_t ns;
    double joules;
    bool known;
};
struct export {
    FILE *out;
    bool any;                /* an event was written: the next one needs a comma */
    uint64_t flows;
    /* of the trace being written */
    const struct tvg_reader *reader;
    uint32_t pid, number;    /* number: which trace of the export */
    char **names;            /* by op id: "name":..., "cat":..., "args":{...} as JSON text */
    uint32_t name_count;
    uint64_t named[TRACKS_MAX]; /* tracks that have their name: process << 32 | thread */
    uint32_t named_count;
    struct meter meters[METERS_MAX];
    struct tvg_sync_points *points; /* NULL: none are recorded */
    struct tvg_sync sync[TVG_SYNC_MAX];
    struct tvg_kernel rows[TVG_KERNELS_MAX];
    unsigned char scratch[1 << 20];
};

static void begin_event(struct export *to)
{
    fputs(to->any ? ",\n" : "\n", to->out);
    to->any = true;
}

/* A string as JSON, as every command shows it. */
static char *quoted(const char *text)
{
    char shown[4096];
    json_t *string = json_string(tvg_escape(shown, sizeof shown, text ? text : ""));
    char *dumped = string ? json_dumps(string, JSON_ENCODE_ANY) : NULL;
    json_decref(string);
    return dumped;
}

static void name_track(struct export *to, const char *what, uint32_t pid, uint32_t tid, const char *name)
{
    char *text = quoted(name);
    begin_event(to);
    fprintf(to->out, "{\"ph\":\"M\",\"name\":\"%s\",\"pid\":%" PRIu32 ",\"tid\":%" PRIu32 ",\"args\":{\"name\":%s}}", what, pid, tid, text ? text : "\"?\"");
    free(text);
}

/* True the first time that it is asked of a track. A table that is full names no more tracks; they are shown by their numbers. */
static bool is_new_track(struct export *to, uint32_t pid, uint32_t tid)
{
    uint64_t key = (uint64_t)pid << 32 | tid;
    for (uint32_t i = to->named_count; i-- > 0;)
        if (to->named[i] == key)
            return false;
    if (to->named_count == TRACKS_MAX)
        return false;
    to->named[to->named_count++] = key;
    return true;
}

static uint32_t gpu_track(const struct export *to, int device)
{
    return GPU_TRACKS + to->number * DEVICES_A_PROCESS + (uint32_t)(device < DEVICES_A_PROCESS ? device : DEVICES_A_PROCESS - 1);
}

static void set_text(json_t *object, const char *key, const char *text)
{
    char shown[1024];
    if (text && *text)
        json_object_set_new(object, key, json_string(tvg_escape(shown, sizeof shown, text)));
}

/* What every event of an op carries, without braces. */
static char *describe(const struct tvg_op *op)
{
    char shown[1024];
    const char *title = op->kind == TVG_KIND_KERNEL && op->name ? op->name : op->function ? op->function : "?";
    json_t *object = json_object(), *args = json_object();
    json_object_set_new(object, "name", json_string(tvg_escape(shown, sizeof shown, title)));
    json_object_set_new(object, "cat", json_string(tvg_kind_name(op->kind)));
    set_text(args, "library", op->library);
    if (op->kind != TVG_KIND_KERNEL)
        set_text(args, "name", op->name);
    if (op->m || op->n || op->k) {
        snprintf(shown, sizeof shown, "%lld x %lld x %lld", (long long)op->m, (long long)op->n, (long long)op->k);
        set_text(args, "shape", shown);
    }
    if (op->dim_count) {
        json_t *dims = json_array();
        for (unsigned i = 0; i < op->dim_count && i < TVG_DIMS_MAX; i++)
            json_array_append_new(dims, json_integer(op->dim[i]));
        json_object_set_new(args, op->kind == TVG_KIND_KERNEL ? "grid, block, registers, shared" : "dims", dims);
    }
    if (op->type_compute)
        set_text(args, "compute", tvg_type_info(op->type_compute)->name);
    if (op->flop)
        json_object_set_new(args, "flop", json_real((double)op->flop));
    if (op->bytes)
        json_object_set_new(args, "bytes", json_real((double)op->bytes));
    json_object_set_new(object, "args", args);
    char *text = json_dumps(object, JSON_COMPACT), *fields = text ? strndup(text + 1, strlen(text) - 2) : NULL;
    free(text);
    json_decref(object);
    return fields;
}

static const char *description(struct export *to, uint32_t id)
{
    if (id >= to->name_count) {
        uint32_t count = tvg_reader_op_count(to->reader) > id ? tvg_reader_op_count(to->reader) : id + 1;
        char **names = realloc(to->names, count * sizeof *names);
        if (!names)
            return "\"name\":\"?\"";
        memset(names + to->name_count, 0, (count - to->name_count) * sizeof *names);
        to->names = names;
        to->name_count = count;
    }
    if (!to->names[id])
        to->names[id] = describe(tvg_reader_op(to->reader, id));
    return to->names[id] ? to->names[id] : "\"name\":\"?\"";
}

static void slice(struct export *to, const char *fields, uint32_t pid, uint32_t tid, double start_ns, double duration_ns)
{
    begin_event(to);
    fprintf(to->out, "{\"ph\":\"X\",\"pid\":%" PRIu32 ",\"tid\":%" PRIu32 ",\"ts\":%.3f,\"dur\":%.3f,%s}", pid, tid, start_ns * 1e-3, duration_ns * 1e-3, fields);
}

static void name_thread(struct export *to, uint32_t tid)
{
    char name[32];
    snprintf(name, sizeof name, "thread %" PRIu32, tid);
    if (is_new_track(to, to->pid, tid))
        name_track(to, "thread_name", to->pid, tid, name);
}

static void write_ops(struct export *to, const struct tvg_event *event)
{
    double rate = tvg_reader_ticks_per_ns(to->reader);
    for (uint32_t i = 0; i < event->info->count; i++) {
        name_thread(to, event->info->tid);
        slice(to, description(to, event->columns->op_id[i]), to->pid, event->info->tid, tvg_reader_mono_ns(to->reader, event->columns->start[i]),
              (double)event->columns->duration[i] / rate);
    }
}

static void flow(struct export *to, const char *name, char phase, uint32_t pid, uint32_t tid, double ns)
{
    begin_event(to);
    fprintf(to->out, "{\"ph\":\"%c\",%s\"id\":%" PRIu64 ",\"name\":\"%s\",\"cat\":\"%s\",\"pid\":%" PRIu32 ",\"tid\":%" PRIu32 ",\"ts\":%.3f}", phase,
            phase == 'f' ? "\"bp\":\"e\"," : "", to->flows, name, name, pid, tid, ns * 1e-3);
}

static bool read_sync(struct export *to, const char *file, struct tvg_error *error)
{
    struct tvg_reader *reader;
    struct tvg_event event;
    if (!tvg_reader_open(&reader, file, error))
        return false;
    bool good = true;
    while (good && tvg_reader_next_of(reader, TVG_BLOCK_SYNC, &event)) {
        good = to->points || (to->points = tvg_sync_points_new());
        good = good && tvg_sync_points_add(to->points, to->sync, tvg_decode_sync(event.payload, event.length, to->sync, to->scratch, sizeof to->scratch));
    }
    tvg_reader_close(reader);
    good = good && (!to->points || tvg_sync_points_ready(to->points));
    return good || tvg_fail(error, file, NULL, "free some memory", "out of memory");
}

/* How a call is shown on its thread: a wait by what is waited for. */
static const char *sync_fields(const struct tvg_sync_point *point)
{
    static const char *const fields[TVG_SYNC_KINDS] = {
        [TVG_SYNC_STREAM] = "\"name\":\"wait for a stream\",\"cat\":\"wait\"", [TVG_SYNC_EVENT] = "\"name\":\"wait for an event\",\"cat\":\"wait\"",
        [TVG_SYNC_CONTEXT] = "\"name\":\"wait for the card\",\"cat\":\"wait\"", [TVG_SYNC_COPY] = "\"name\":\"wait for a copy\",\"cat\":\"wait\"",
        [TVG_SYNC_FREE] = "\"name\":\"wait to free memory\",\"cat\":\"wait\"", [TVG_SYNC_RECORD] = "\"name\":\"record an event\",\"cat\":\"order\"",
        [TVG_SYNC_STREAM_WAIT] = "\"name\":\"a stream waits for an event\",\"cat\":\"order\""};
    uint32_t kind = point->call.kind < TVG_SYNC_KINDS ? point->call.kind : 0;
    if (kind == TVG_SYNC_COPY && !tvg_sync_point_waited(point))
        return "\"name\":\"copy\",\"cat\":\"order\"";
    return kind == TVG_SYNC_FREE && !tvg_sync_point_waited(point) ? "\"name\":\"free memory\",\"cat\":\"order\"" : fields[kind];
}

/* An arrow hangs on the slice that its ends lie in: the last moment of one that does. */
static double last_of(uint64_t start_ns, uint64_t end_ns)
{
    return (double)(end_ns > start_ns ? end_ns - 1 : start_ns);
}

static void arrow(struct export *to, const char *name, const struct tvg_sync_activity *from, uint32_t pid, uint32_t tid, double end_ns)
{
    to->flows++;
    flow(to, name, 's', gpu_track(to, (int)from->device), from->stream, last_of(from->start_ns, from->end_ns));
    flow(to, name, 'f', pid, tid, end_ns);
}

static void write_sync(struct export *to)
{
    uint32_t count = 0;
    const struct tvg_sync_point *points = to->points ? tvg_sync_points_finish(to->points, &count) : NULL;
    for (uint32_t i = 0; i < count; i++) {
        const struct tvg_sync_point *point = &points[i];
        const char *fields = sync_fields(point);
        if (!fields || point->call.kind == TVG_SYNC_GRAPH_LAUNCH) /* the launch is there, by its kernels */
            continue;
        name_thread(to, point->call.tid);
        slice(to, fields, to->pid, point->call.tid, (double)point->call.start_ns, (double)point->call.duration_ns);
        if (tvg_sync_point_waited(point))
            arrow(to, "wait", &point->last, to->pid, point->call.tid, last_of(point->call.start_ns, point->call.start_ns + point->call.duration_ns));
        if (tvg_sync_point_orders(point))
            arrow(to, "event", &point->last, gpu_track(to, (int)point->next.device), point->next.stream, (double)point->next.start_ns);
    }
    tvg_sync_points_free(to->points);
    to->points = NULL;
}

static void write_kernels(struct export *to, const struct tvg_event *event)
{
    int device = 0;
    long count = tvg_decode_kernels(event->payload, event->length, &device, to->rows, to->scratch, sizeof to->scratch);
    char name[64];
    uint64_t launch = 0;
    for (long i = 0; i < count && device >= 0; i++) {
        const struct tvg_kernel *row = &to->rows[i];
        uint32_t track = gpu_track(to, device);
        if (row->op_id >= tvg_reader_op_count(to->reader))
            continue;
        if (is_new_track(to, track, UINT32_MAX)) {
            snprintf(name, sizeof name, "GPU %d, process %" PRIu32, device, to->pid);
            name_track(to, "process_name", track, 0, name);
        }
        if (is_new_track(to, track, row->stream)) {
            snprintf(name, sizeof name, "stream %" PRIu32, row->stream);
            name_track(to, "thread_name", track, row->stream, name);
        }
        slice(to, description(to, row->op_id), track, row->stream, (double)row->start_ns, (double)row->duration_ns);
        if (to->points)
            tvg_sync_points_activity(to->points, &(struct tvg_sync_activity){.launch_ns = row->launch_ns, .start_ns = row->start_ns, .end_ns = row->start_ns + row->duration_ns,
                                                                             .device = (uint32_t)device, .stream = row->stream, .tid = row->tid});
        if (!row->launch_ns || !row->tid)
            continue;
        if (row->launch_ns != launch) { /* one launching call of a graph has many kernels. How long it took is not recorded: a slice without length */
            name_thread(to, row->tid);
            slice(to, row->graph ? "\"name\":\"graph launch\",\"cat\":\"launch\"" : "\"name\":\"launch\",\"cat\":\"launch\"", to->pid, row->tid, (double)row->launch_ns, 0);
        }
        launch = row->launch_ns;
        to->flows++;
        flow(to, "launch", 's', to->pid, row->tid, (double)row->launch_ns);
        flow(to, "launch", 'f', track, row->stream, (double)row->start_ns);
    }
}

/* Where kernels were not recorded, so that no empty stream is taken for an idle card. */
static void write_gaps(struct export *to, const char *file)
{
    struct tvg_windows *windows = tvg_windows_read(file);
    for (uint32_t i = 0; windows && i < windows->count; i++) {
        double from = windows->window[i].close_ns, until = i + 1 < windows->count ? windows->window[i + 1].open_ns : windows->end_ns;
        if (!(until > from))
            continue;
        if (is_new_track(to, to->pid, GAP_TRACK))
            name_track(to, "thread_name", to->pid, GAP_TRACK, "recording of kernels");
        slice(to, "\"name\":\"kernels not recorded\",\"cat\":\"gap\"", to->pid, GAP_TRACK, from, until - from);
    }
    tvg_windows_free(windows);
}

static void counter(struct export *to, const char *meter, const char *what, const char *unit, uint64_t ns, double value)
{
    char name[128], *text;
    snprintf(name, sizeof name, "%s %s", meter, what);
    text = quoted(name);
    begin_event(to);
    fprintf(to->out, "{\"ph\":\"C\",\"name\":%s,\"pid\":%" PRIu32 ",\"tid\":0,\"ts\":%.3f,\"args\":{\"%s\":%.6g}}", text ? text : "\"?\"", to->pid, (double)ns * 1e-3, unit, value);
    free(text);
}

static void write_sample(const struct tvg_energy_sample *sample, void *context)
{
    struct export *to = context;
    struct meter *meter = NULL;
    for (int i = 0; i < METERS_MAX && !meter; i++)
        if (!to->meters[i].name[0] || strcmp(to->meters[i].name, sample->meter) == 0)
            meter = &to->meters[i];
    if (!meter)
        return;
    snprintf(meter->name, sizeof meter->name, "%s", sample->meter);
    double joules = sample->joules - meter->joules;
    if (joules < 0 && sample->range_joules > 0)
        joules += sample->range_joules; /* the counter went round */
    if (meter->known && sample->ns > meter->ns && joules >= 0) /* the mean, shown from the sample before on */
        counter(to, sample->meter, "power", "W", meter->ns, joules / (double)(sample->ns - meter->ns) * 1e9);
    *meter = (struct meter){.ns = sample->ns, .joules = sample->joules, .known = true};
    snprintf(meter->name, sizeof meter->name, "%s", sample->meter);
    if (isfinite(sample->sm_mhz))
        counter(to, sample->meter, "clock", "MHz", sample->ns, sample->sm_mhz);
    if (isfinite(sample->celsius))
        counter(to, sample->meter, "temperature", "C", sample->ns, sample->celsius);
}

static bool write_trace(struct export *to, const char *file, struct tvg_error *error)
{
    struct tvg_reader *reader;
    struct tvg_event event;
    char name[512];
    if (!read_sync(to, file, error) || !tvg_reader_open(&reader, file, error))
        return false;
    to->reader = reader;
    to->pid = tvg_reader_header(reader)->pid;
    to->named_count = 0;
    memset(to->meters, 0, sizeof to->meters);
    name_track(to, "process_name", to->pid, to->pid, tvg_reader_header(reader)->command);
    while (!ferror(to->out) && tvg_reader_next(reader, &event)) {
        if (event.kind == TVG_EVENT_OPS)
            write_ops(to, &event);
        else if (event.block == TVG_BLOCK_KERNELS)
            write_kernels(to, &event);
        else if (event.block == TVG_BLOCK_ENERGY)
            tvg_energy_each(event.payload, event.length, write_sample, to);
    }
    write_sync(to);
    write_gaps(to, file);
    const struct tvg_damage *damage = tvg_reader_damage(reader);
    if (damage->blocks_damaged || damage->cut_off || damage->ops_lost)
        fprintf(stderr, "tvg export: %s: warning: %s; what is whole was written (tvg check says more)\n", tvg_escape(name, sizeof name, file),
                damage->blocks_damaged ? "damaged" : damage->cut_off ? "cut off" : "ops were lost while recording");
    for (uint32_t i = 0; i < to->name_count; i++)
        free(to->names[i]);
    free(to->names);
    to->names = NULL;
    to->name_count = 0;
    to->number++;
    tvg_reader_close(reader);
    return true;
}

static bool write_all(struct export *to, char *const *operands, int operand_count, struct tvg_error *error)
{
    bool good = true;
    fputs("{\"displayTimeUnit\":\"ns\",\"otherData\":{\"producer\":\"tvg " TVG_VERSION "\"},\"traceEvents\":[", to->out);
    for (int i = 0; good && i < operand_count; i++) {
        char **files;
        uint32_t count;
        if (!(good = tvg_run_list(operands[i], &files, &count, error)))
            break;
        for (uint32_t j = 0; good && j < count; j++)
            good = write_trace(to, files[j], error);
        tvg_run_free(files, count);
    }
    fputs("\n]}\n", to->out);
    return good;
}

int tvg_command_export(int argc, char **argv)
{
    struct tvg_arguments arguments;
    const struct tvg_option *option;
    const char *output = NULL;
    char shown[512];
    tvg_arguments_begin(&arguments, &usage, argc, argv);
    while ((option = tvg_arguments_next(&arguments))) {
        if (option->id == 'o')
            output = arguments.value;
        else if (strcmp(arguments.value, "perfetto") != 0)
            return tvg_command_misuse("export", "--format %s: the one format there is is perfetto", tvg_escape(shown, sizeof shown, arguments.value));
    }
    if (arguments.stop)
        return arguments.exit_code;
    if (arguments.operand_count == 0)
        return tvg_command_misuse("export", "which trace? Give a .tvg file or a run folder");
    if (output && strlen(output) > 3 && strcmp(output + strlen(output) - 3, ".gz") == 0)
        return tvg_command_misuse("export", "--output %s: the file is plain JSON; compress it behind: tvg export RUN | gzip > FILE.gz", tvg_escape(shown, sizeof shown, output));

    struct export *to = calloc(1, sizeof *to);
    struct tvg_error error = {""};
    if (!to) {
        tvg_fail(&error, NULL, NULL, "free some memory", "out of memory");
        return tvg_command_fail("export", &error);
    }
    to->out = output ? fopen(output, "we") : stdout;
    bool good = to->out || tvg_fail(&error, output, NULL, "choose another file", "can't be written: %s", strerror(errno));
    if (good) {
        good = write_all(to, arguments.operand, arguments.operand_count, &error);
        bool written = !ferror(to->out) && (output ? fclose(to->out) == 0 : fflush(stdout) == 0);
        if (good && !written)
            good = tvg_fail(&error, output ? output : "standard output", NULL, "make room and run again", "not everything could be written: %s", strerror(errno));
    }
    if (!good && output && !to->any) /* bad input leaves no empty timeline behind */
        remove(output);
    tvg_sync_points_free(to->points);
    free(to);
    return good ? TVG_EXIT_OK : tvg_command_fail("export", &error);
}
