/* Collects launches while a trace streams by; see timeline.h. */
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "sync_points.h"
#include "timeline.h"

enum { PROCESSES = 64 };

struct lane {
    const void *process;
    uint64_t key;
};
struct tvg_timeline_build {
    struct tvg_launch *rows;
    uint32_t count, capacity;
    uint64_t seen;
    double seconds, seconds_kept;
    struct lane host[TVG_LANES_MAX], stream[TVG_LANES_MAX];
    uint16_t host_count, stream_count;
    struct process {
        const void *process;
        struct tvg_sync_points *points; /* NULL: it recorded no waits */
        bool activities;
    } processes[PROCESSES];
    uint32_t process_count;
    bool processes_cut; /* there were more */
};

struct tvg_timeline_build *tvg_timeline_new(void)
{
    return calloc(1, sizeof(struct tvg_timeline_build));
}

void tvg_timeline_free(struct tvg_timeline_build *build)
{
    for (uint32_t i = 0; build && i < build->process_count; i++)
        tvg_sync_points_free(build->processes[i].points);
    if (build)
        free(build->rows);
    free(build);
}

/* The number of a lane; lanes beyond the table share its last place. */
static uint16_t lane_of(struct lane *lanes, uint16_t *count, const void *process, uint64_t key)
{
    for (uint16_t i = *count; i-- > 0;)
        if (lanes[i].process == process && lanes[i].key == key)
            return i;
    if (*count == TVG_LANES_MAX)
        return TVG_LANES_MAX - 1;
    lanes[*count] = (struct lane){process, key};
    return (*count)++;
}

static struct process *process_of(struct tvg_timeline_build *build, const void *process)
{
    for (uint32_t i = build->process_count; i-- > 0;)
        if (build->processes[i].process == process)
            return &build->processes[i];
    build->processes_cut |= build->process_count == PROCESSES;
    if (build->process_count == PROCESSES)
        return NULL;
    build->processes[build->process_count] = (struct process){.process = process};
    return &build->processes[build->process_count++];
}

bool tvg_timeline_sync(struct tvg_timeline_build *build, const void *process, const struct tvg_sync *rows, long count)
{
    struct process *of = process_of(build, process);
    if (!of)
        return true;
    if (!of->points && !(of->points = tvg_sync_points_new()))
        return false;
    return tvg_sync_points_add(of->points, rows, count);
}

bool tvg_timeline_add(struct tvg_timeline_build *build, const void *process, int device, uint32_t activity, uint64_t start_ns, uint64_t duration_ns, uint64_t launch_ns,
                      uint32_t tid, uint32_t stream, bool in_graph, uint16_t window, uint32_t most)
{
    build->seen++;
    build->seconds += (double)duration_ns * 1e-9;
    struct process *of = process_of(build, process);
    if (of)
        of->activities = true;
    if (build->count >= most || build->count == TVG_TIMELINE_MAX)
        return true;
    if (build->count == build->capacity) {
        uint32_t capacity = build->capacity ? build->capacity * 2 : 1024;
        struct tvg_launch *rows = realloc(build->rows, capacity * sizeof *rows);
        if (!rows)
            return false;
        build->rows = rows;
        build->capacity = capacity;
    }
    build->seconds_kept += (double)duration_ns * 1e-9;
    build->rows[build->count++] = (struct tvg_launch){.start_ns = start_ns, .launch_ns = launch_ns && launch_ns <= start_ns ? launch_ns : 0,
        .duration_ns = duration_ns < UINT32_MAX ? (uint32_t)duration_ns : UINT32_MAX, .activity = activity, .in_graph = in_graph, .window = window,
        .host = lane_of(build->host, &build->host_count, process, tid),
        .stream = lane_of(build->stream, &build->stream_count, process, (uint64_t)device << 32 | stream)};
    return true;
}

static uint64_t moment(const struct tvg_launch *row)
{
    return row->launch_ns ? row->launch_ns : row->start_ns;
}

static int by_moment(const void *left, const void *right)
{
    const struct tvg_launch *a = left, *b = right;
    if (moment(a) != moment(b))
        return moment(a) < moment(b) ? -1 : 1;
    return (a->start_ns > b->start_ns) - (a->start_ns < b->start_ns);
}

static int by_lane(const void *left, const void *right)
{
    const struct tvg_wait *a = left, *b = right;
    if (a->host != b->host)
        return a->host < b->host ? -1 : 1;
    return (a->start_ns > b->start_ns) - (a->start_ns < b->start_ns);
}

/* The waits and orders of one process, among rows in their final order. */
static bool add_waits(struct tvg_timeline_build *build, const struct process *of, struct tvg_launch *rows, struct tvg_wait *waits, uint32_t *wait_count)
{
    if (!tvg_sync_points_ready(of->points))
        return false;
    for (uint32_t i = 0; i < build->count; i++) {
        const struct lane *host = &build->host[rows[i].host], *stream = &build->stream[rows[i].stream];
        if (host->process == of->process)
            tvg_sync_points_activity(of->points, &(struct tvg_sync_activity){.launch_ns = rows[i].launch_ns, .start_ns = rows[i].start_ns, .end_ns = rows[i].start_ns + rows[i].duration_ns,
                                     .device = (uint32_t)(stream->key >> 32), .stream = (uint32_t)stream->key, .tid = (uint32_t)host->key, .row = i});
    }
    uint32_t count;
    const struct tvg_sync_point *points = tvg_sync_points_finish(of->points, &count);
    for (uint32_t i = 0; i < count; i++) {
        const struct tvg_sync_point *point = &points[i];
        if (tvg_sync_point_orders(point)) {
            struct tvg_launch *next = &rows[point->next.row];
            const struct tvg_launch *known = next->after ? &rows[next->after - 1] : NULL;
            if (point->last.row < point->next.row && (!known || known->start_ns + known->duration_ns < point->last.end_ns))
                next->after = point->last.row + 1;
        }
        uint16_t host = 0;
        while (host < build->host_count && (build->host[host].process != of->process || build->host[host].key != point->call.tid))
            host++;
        uint32_t kind = point->call.kind;
        bool waits_by_name = kind == TVG_SYNC_STREAM || kind == TVG_SYNC_EVENT || kind == TVG_SYNC_CONTEXT;
        if (host < build->host_count && (waits_by_name || tvg_sync_point_waited(point)))
            waits[(*wait_count)++] = (struct tvg_wait){point->call.start_ns, point->call.start_ns + point->call.duration_ns, point->last.end_ns ? point->last.row : UINT32_MAX, host};
    }
    return true;
}

bool tvg_timeline_finish(struct tvg_timeline_build *build, struct tvg_arena *arena, struct tvg_timeline *timeline)
{
    struct tvg_launch *rows = tvg_arena_alloc(arena, (build->count + 1u) * sizeof *rows);
    if (!rows)
        return false;
    if (build->count)
        memcpy(rows, build->rows, build->count * sizeof *rows);
    qsort(rows, build->count, sizeof *rows, by_moment);
    *timeline = (struct tvg_timeline){.rows = rows, .count = build->count, .seen = build->seen, .seconds = build->seconds, .seconds_kept = build->seconds_kept,
                                      .host_count = build->host_count, .stream_count = build->stream_count, .waits_known = build->count && !build->processes_cut};
    uint32_t room = 0;
    for (uint32_t i = 0; i < build->process_count; i++) {
        const struct process *of = &build->processes[i];
        timeline->waits_known &= !of->activities || (of->points && !tvg_sync_points_cut(of->points));
        room += of->points ? tvg_sync_points_count(of->points) : 0;
    }
    timeline->waits = timeline->waits_known ? tvg_arena_alloc(arena, (room + 1u) * sizeof *timeline->waits) : NULL;
    for (uint32_t i = 0; timeline->waits_known && i < build->process_count; i++)
        if (!timeline->waits || (build->processes[i].activities && !add_waits(build, &build->processes[i], rows, timeline->waits, &timeline->wait_count)))
            return false;
    if (timeline->waits)
        qsort(timeline->waits, timeline->wait_count, sizeof *timeline->waits, by_lane);
    timeline->usual_gap_ns = tvg_timeline_usual_gap(timeline);
    return true;
}

static int by_value(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

double tvg_timeline_usual_gap(const struct tvg_timeline *timeline)
{
    enum { RING = 2 * TVG_LAUNCHES_QUEUED };
    struct thread {
        uint64_t last, launched, begun, start[RING];
    } *threads = calloc(timeline->host_count + 1u, sizeof *threads);
    double *gaps = malloc((timeline->count + 1u) * sizeof *gaps), median = 0;
    uint32_t count = 0;
    for (uint32_t i = 0; threads && gaps && i < timeline->count; i++) {
        const struct tvg_launch *row = &timeline->rows[i];
        struct thread *thread = &threads[row->host];
        if (!row->launch_ns)
            continue;
        while (thread->begun < thread->launched && thread->start[thread->begun % RING] <= thread->last)
            thread->begun++;
        if (thread->launched && row->launch_ns > thread->last && thread->launched - thread->begun < TVG_LAUNCHES_QUEUED)
            gaps[count++] = (double)(row->launch_ns - thread->last);
        thread->last = row->launch_ns;
        thread->start[thread->launched++ % RING] = row->start_ns;
    }
    if (count) {
        qsort(gaps, count, sizeof *gaps, by_value);
        median = gaps[count / 2];
    }
    free(threads);
    free(gaps);
    return median;
}
