/* Collects launches while a trace streams by; see timeline.h. */
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "timeline.h"

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
};

struct tvg_timeline_build *tvg_timeline_new(void)
{
    return calloc(1, sizeof(struct tvg_timeline_build));
}

void tvg_timeline_free(struct tvg_timeline_build *build)
{
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

bool tvg_timeline_add(struct tvg_timeline_build *build, const void *process, int device, uint32_t activity, uint64_t start_ns, uint64_t duration_ns, uint64_t launch_ns,
                      uint32_t tid, uint32_t stream, bool in_graph, uint32_t most)
{
    build->seen++;
    build->seconds += (double)duration_ns * 1e-9;
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
        .duration_ns = duration_ns < UINT32_MAX ? (uint32_t)duration_ns : UINT32_MAX, .activity = activity, .in_graph = in_graph,
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

bool tvg_timeline_finish(struct tvg_timeline_build *build, struct tvg_arena *arena, struct tvg_timeline *timeline)
{
    struct tvg_launch *rows = tvg_arena_alloc(arena, (build->count + 1u) * sizeof *rows);
    if (!rows)
        return false;
    if (build->count)
        memcpy(rows, build->rows, build->count * sizeof *rows);
    qsort(rows, build->count, sizeof *rows, by_moment);
    *timeline = (struct tvg_timeline){rows, build->count, build->seen, 0, build->seconds, build->seconds_kept, build->host_count, build->stream_count};
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
