/* Reads the marks of windows of kernel recording; see windows.h. */
#include "windows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../trace/kernels.h"
#include "profile_build.h"

struct reading {
    struct tvg_windows *windows;
    uint32_t capacity;
    bool open, ended, failed;
    double since_ns;           /* the last change */
    uint64_t launches, graphs; /* by then */
    double paused_ns;          /* when the host's pause began; 0: none */
};

static void close_stretch(struct reading *at, double now, uint64_t launches, uint64_t graphs, bool last)
{
    struct tvg_windows *windows = at->windows;
    uint64_t more = launches > at->launches ? launches - at->launches : 0, more_graphs = graphs > at->graphs ? graphs - at->graphs : 0;
    if (at->open) {
        struct tvg_window *window = &windows->window[windows->count - 1];
        window->close_ns = now;
        window->launches = more;
        window->graph_launches = more_graphs;
    } else if (!last || more || more_graphs || !(at->launches || at->graphs)) { /* when the last thing was launched long ago, the last gap held nothing */
        windows->gap_seconds += fmax(0, now - at->since_ns) * 1e-9;
        windows->gap_launches += more;
        windows->gap_graph_launches += more_graphs;
        windows->worked_until_ns = last && (more || more_graphs) ? now : 0;
    }
    windows->end_ns = now;
    at->since_ns = now;
    at->launches = launches > at->launches ? launches : at->launches;
    at->graphs = graphs > at->graphs ? graphs : at->graphs;
}

static void open_window(struct reading *at, double now, bool whole)
{
    struct tvg_windows *windows = at->windows;
    if (windows->count == at->capacity) {
        uint32_t capacity = at->capacity ? at->capacity * 2 : 64;
        struct tvg_window *grown = realloc(windows->window, capacity * sizeof *grown);
        if (!grown) {
            at->failed = true;
            return;
        }
        windows->window = grown;
        at->capacity = capacity;
    }
    windows->window[windows->count++] = (struct tvg_window){.open_ns = now, .close_ns = INFINITY, .whole = whole};
    at->open = true;
}

static void take_mark(struct reading *at, const struct tvg_event *event)
{
    char kind[24];
    tvg_event_text(event, "kind", kind, sizeof kind);
    double now = (double)tvg_event_number(event, "mono_ns");
    bool on = strcmp(kind, "kernels-on") == 0, off = strcmp(kind, "kernels-off") == 0, end = strcmp(kind, "kernels-end") == 0;
    if (strcmp(kind, "pause") == 0)
        at->paused_ns = now;
    else if (strcmp(kind, "resume") == 0 && at->paused_ns > 0) {
        if (!at->open) /* nothing was recorded anyway, and nothing counted */
            at->since_ns += fmax(0, now - fmax(at->paused_ns, at->since_ns));
        at->paused_ns = 0;
    }
    if (!on && !off && !end)
        return;
    close_stretch(at, now, tvg_event_number(event, "launches"), tvg_event_number(event, "graph_launches"), end);
    at->open = false;
    at->ended |= end;
    if (on)
        open_window(at, now, tvg_event_real(event, "value") > 0);
}

/* The launch of the last activity that a trace holds. */
static double last_activity(const char *path)
{
    struct tvg_reader *reader;
    struct tvg_event event;
    struct tvg_error ignored;
    enum { SCRATCH = 1 << 20 };
    struct tvg_kernel *rows = malloc(TVG_KERNELS_MAX * sizeof *rows);
    unsigned char *scratch = malloc(SCRATCH);
    double last = 0;
    if (rows && scratch && tvg_reader_open(&reader, path, &ignored)) {
        while (tvg_reader_next_of(reader, TVG_BLOCK_KERNELS, &event)) {
            int device;
            long count = tvg_decode_kernels(event.payload, event.length, &device, rows, scratch, SCRATCH);
            for (long i = 0; i < count; i++)
                last = fmax(last, (double)(rows[i].launch_ns ? rows[i].launch_ns : rows[i].start_ns));
        }
        tvg_reader_close(reader);
    }
    free(rows);
    free(scratch);
    return last;
}

struct tvg_windows *tvg_windows_read(const char *path)
{
    struct tvg_reader *reader;
    struct tvg_event event;
    struct tvg_error ignored;
    struct reading at = {.windows = calloc(1, sizeof *at.windows)};
    if (!at.windows || !tvg_reader_open(&reader, path, &ignored)) {
        free(at.windows);
        return NULL;
    }
    open_window(&at, 0, true);
    while (!at.failed && tvg_reader_next_of(reader, TVG_BLOCK_MARK, &event))
        take_mark(&at, &event);
    tvg_reader_close(reader);
    struct tvg_windows *windows = at.windows;
    if (at.failed || (windows->count == 1 && at.open)) { /* recorded whole */
        tvg_windows_free(windows);
        return NULL;
    }
    windows->open_end = !at.ended && !at.open;
    if (!at.ended && at.open) { /* killed: what CUPTI still held is not here, so the window ends with what is */
        struct tvg_window *window = &windows->window[windows->count - 1];
        window->close_ns = fmax(window->open_ns, last_activity(path) + 1);
        windows->end_ns = window->close_ns;
    }
    return windows;
}

void tvg_windows_free(struct tvg_windows *windows)
{
    if (windows)
        free(windows->window);
    free(windows);
}

/* The last window that was open by then; there is one, the first opens at 0. */
static uint32_t latest(const struct tvg_windows *windows, double mono_ns)
{
    uint32_t low = 0, high = windows->count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (windows->window[middle].open_ns <= mono_ns)
            low = middle;
        else
            high = middle;
    }
    return low;
}

int tvg_windows_of_call(const struct tvg_windows *windows, double mono_ns)
{
    uint32_t at = latest(windows, mono_ns);
    return mono_ns < windows->window[at].close_ns ? (int)at : -1;
}

int tvg_windows_of_row(const struct tvg_windows *windows, uint64_t launch_ns, uint64_t start_ns)
{
    return launch_ns ? (int)latest(windows, (double)launch_ns) : tvg_windows_of_call(windows, (double)start_ns);
}
