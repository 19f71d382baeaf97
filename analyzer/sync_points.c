/* Waits and events beside what ran; see sync_points.h. Each activity finds the call right behind (or before) its launch by bisection; what later calls
 * wait for too is carried on at the end. */
#include "sync_points.h"

#include <stdlib.h>
#include <string.h>

/* Device times are turned into the host's by the driver, to within some microseconds. */
static const uint64_t CLOCKS_NS = 50000, COPIES_NS = 2000; /* a copy that nobody waits for has not begun so soon after its call */

/* Lists of points of one use each, in order of group and time. */
enum use { BEHIND_STREAM, BEHIND_DEVICE, BEFORE_STREAM, ITS_COPY, ITS_GRAPH, RECORDINGS, USES };
struct entry {
    uint64_t group, time;
    uint32_t point;
};
struct tvg_sync_points {
    struct tvg_sync_point *points;
    uint32_t count, capacity, entry_count[USES];
    struct entry *entries[USES];
    bool cut;
};

struct tvg_sync_points *tvg_sync_points_new(void)
{
    return calloc(1, sizeof(struct tvg_sync_points));
}

void tvg_sync_points_free(struct tvg_sync_points *points)
{
    for (int use = 0; points && use < USES; use++)
        free(points->entries[use]);
    if (points)
        free(points->points);
    free(points);
}

bool tvg_sync_points_add(struct tvg_sync_points *points, const struct tvg_sync *rows, long count)
{
    for (long i = 0; i < count; i++) {
        if (points->count == TVG_SYNC_POINTS_MAX) {
            points->cut = true;
            return true;
        }
        if (points->count == points->capacity) {
            uint32_t capacity = points->capacity ? points->capacity * 2 : 256;
            struct tvg_sync_point *grown = realloc(points->points, capacity * sizeof *grown);
            if (!grown)
                return false;
            points->points = grown;
            points->capacity = capacity;
        }
        points->points[points->count++] = (struct tvg_sync_point){.call = rows[i]};
    }
    return true;
}

uint32_t tvg_sync_points_count(const struct tvg_sync_points *points) { return points->count; }

bool tvg_sync_points_cut(const struct tvg_sync_points *points) { return points->cut; }

static uint64_t lane(uint32_t device, uint32_t stream) { return (uint64_t)device << 32 | stream; }

/* The list that a call belongs to, and its place there; RECORDINGS are found by their number. */
static bool entry_of(const struct tvg_sync *call, enum use use, struct entry *entry)
{
    bool placed = call->device != TVG_SYNC_UNKNOWN && call->stream != TVG_SYNC_UNKNOWN;
    entry->time = call->start_ns;
    switch (use) {
    case BEHIND_STREAM: entry->group = lane(call->device, call->stream); return placed && (call->kind == TVG_SYNC_STREAM || call->kind == TVG_SYNC_RECORD);
    case BEHIND_DEVICE: entry->group = call->device; return call->device != TVG_SYNC_UNKNOWN && (call->kind == TVG_SYNC_CONTEXT || call->kind == TVG_SYNC_FREE);
    case BEFORE_STREAM: entry->group = lane(call->device, call->stream); return placed && call->kind == TVG_SYNC_STREAM_WAIT;
    case ITS_COPY: entry->group = call->tid; return call->kind == TVG_SYNC_COPY;
    case ITS_GRAPH: entry->group = call->tid; return placed && call->kind == TVG_SYNC_GRAPH_LAUNCH;
    default: entry->group = 0; entry->time = call->event; return call->kind == TVG_SYNC_RECORD && call->event;
    }
}

static int by_place(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    if (a->group != b->group)
        return a->group < b->group ? -1 : 1;
    if (a->time != b->time)
        return a->time < b->time ? -1 : 1;
    return (a->point > b->point) - (a->point < b->point);
}

bool tvg_sync_points_ready(struct tvg_sync_points *points)
{
    for (int use = 0; use < USES; use++) {
        struct entry entry;
        uint32_t count = 0;
        for (uint32_t i = 0; i < points->count; i++)
            count += entry_of(&points->points[i].call, (enum use)use, &entry);
        points->entries[use] = malloc((count + 1u) * sizeof entry);
        if (!points->entries[use])
            return false;
        for (uint32_t i = 0; i < points->count; i++)
            if (entry_of(&points->points[i].call, (enum use)use, &entry)) {
                entry.point = i;
                points->entries[use][points->entry_count[use]++] = entry;
            }
        qsort(points->entries[use], count, sizeof entry, by_place);
    }
    return true;
}

/* The first entry at or behind a time of a group; the list's end when there is none. */
static uint32_t at_or_behind(const struct tvg_sync_points *points, enum use use, uint64_t group, uint64_t time)
{
    uint32_t low = 0, high = points->entry_count[use];
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct entry *at = &points->entries[use][middle];
        if (at->group < group || (at->group == group && at->time < time))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct tvg_sync_point *point_at(const struct tvg_sync_points *points, enum use use, uint32_t at, uint64_t group)
{
    return at < points->entry_count[use] && points->entries[use][at].group == group ? &points->points[points->entries[use][at].point] : NULL;
}

static void end_later(struct tvg_sync_activity *last, const struct tvg_sync_activity *activity)
{
    if (activity->end_ns > last->end_ns)
        *last = *activity;
}

void tvg_sync_points_activity(struct tvg_sync_points *points, const struct tvg_sync_activity *activity)
{
    uint64_t moment = activity->launch_ns ? activity->launch_ns : activity->start_ns, stream = lane(activity->device, activity->stream);
    struct tvg_sync_point *point;
    if (activity->launch_ns && (point = point_at(points, ITS_GRAPH, at_or_behind(points, ITS_GRAPH, activity->tid, moment), activity->tid)) && point->call.start_ns == moment)
        stream = lane(point->call.device, point->call.stream);
    if ((point = point_at(points, BEHIND_STREAM, at_or_behind(points, BEHIND_STREAM, stream, moment), stream)))
        end_later(&point->last, activity);
    if ((point = point_at(points, BEHIND_DEVICE, at_or_behind(points, BEHIND_DEVICE, activity->device, moment), activity->device)))
        end_later(&point->last, activity);
    if (activity->launch_ns && (point = point_at(points, ITS_COPY, at_or_behind(points, ITS_COPY, activity->tid, moment), activity->tid)) && point->call.start_ns == moment)
        end_later(&point->last, activity);
    uint32_t behind = at_or_behind(points, BEFORE_STREAM, stream, moment + 1);
    if (behind && (point = point_at(points, BEFORE_STREAM, behind - 1, stream)) && (!point->next.end_ns || activity->start_ns < point->next.start_ns))
        point->next = *activity;
}

static void carry_on(struct tvg_sync_points *points, enum use use)
{
    for (uint32_t i = 1; i < points->entry_count[use]; i++)
        if (points->entries[use][i].group == points->entries[use][i - 1].group)
            end_later(&points->points[points->entries[use][i].point].last, &points->points[points->entries[use][i - 1].point].last);
}

struct tvg_sync_point *tvg_sync_points_finish(struct tvg_sync_points *points, uint32_t *count)
{
    carry_on(points, BEHIND_STREAM);
    carry_on(points, BEHIND_DEVICE);
    for (uint32_t i = points->entry_count[BEFORE_STREAM]; i-- > 1;) { /* a wait with nothing between it and the next one */
        const struct entry *at = &points->entries[BEFORE_STREAM][i];
        struct tvg_sync_point *before = &points->points[at[-1].point];
        if (at->group == at[-1].group && !before->next.end_ns)
            before->next = points->points[at->point].next;
    }
    for (uint32_t i = 0; i < points->count; i++) {
        struct tvg_sync_point *point = &points->points[i];
        if (point->call.event && (point->call.kind == TVG_SYNC_EVENT || point->call.kind == TVG_SYNC_STREAM_WAIT)) {
            const struct tvg_sync_point *recording = point_at(points, RECORDINGS, at_or_behind(points, RECORDINGS, 0, point->call.event), 0);
            if (recording && recording->call.event == point->call.event)
                point->last = recording->last;
        }
    }
    *count = points->count;
    return points->points;
}

bool tvg_sync_point_waited(const struct tvg_sync_point *point)
{
    uint64_t start = point->call.start_ns, end = start + point->call.duration_ns;
    return point->call.kind < TVG_SYNC_RECORD && point->last.end_ns > start && point->last.end_ns <= end + CLOCKS_NS &&
           (point->call.kind != TVG_SYNC_COPY || point->last.end_ns <= end + COPIES_NS);
}

bool tvg_sync_point_orders(const struct tvg_sync_point *point)
{
    return point->call.kind == TVG_SYNC_STREAM_WAIT && point->last.end_ns && point->next.end_ns && point->last.end_ns <= point->next.start_ns + CLOCKS_NS &&
           lane(point->last.device, point->last.stream) != lane(point->next.device, point->next.stream);
}
