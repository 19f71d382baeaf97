/* Union over threads of the time in which ops ran, in bounded memory; see profile_build.h for the approach. */
#include <stdlib.h>
#include <string.h>

#include "profile_build.h"

enum { CHUNK_INTERVALS = 1024, CHUNKS = 512, BUCKETS = 1 << 19, FIRST_SHIFT = 16 };
#define FIRST_BIT ((uint64_t)1 << 63)

struct interval {
    uint64_t start, end; /* end: FIRST_BIT marks the first visit of an op */
};
struct chunk {
    struct chunk *next;
    uint32_t used;
    struct interval at[CHUNK_INTERVALS];
};
struct lane {
    struct chunk *head, *tail;
    uint32_t taken;       /* intervals of `head` that were merged already */
    uint64_t last_start;
};
struct tvg_busy {
    struct lane *lane;
    uint32_t lane_count;
    struct chunk *free_chunks, *all[CHUNKS];
    uint32_t chunk_count;
    uint64_t pending;
    uint32_t *heap;        /* lanes by the start of their oldest interval */
    uint32_t heap_count;

    bool begun;
    uint64_t frontier;     /* merged up to here */
    uint64_t load_until, long_gap_ticks;
    struct tvg_busy_result result;

    uint64_t base;         /* start of bucket 0 */
    unsigned shift;        /* a bucket is 2^shift ticks */
    uint64_t *bucket;      /* busy ticks in it */
    uint32_t filled;       /* buckets behind these are empty */
    uint64_t begun_at;     /* first merged start */
};

struct tvg_busy *tvg_busy_new(uint64_t long_gap_ticks)
{
    struct tvg_busy *busy = calloc(1, sizeof *busy);
    if (!busy || !(busy->bucket = calloc(BUCKETS, sizeof *busy->bucket))) {
        free(busy);
        return NULL;
    }
    busy->shift = FIRST_SHIFT;
    busy->long_gap_ticks = long_gap_ticks;
    return busy;
}

void tvg_busy_load_until(struct tvg_busy *busy, uint64_t ticks)
{
    busy->load_until = ticks;
}

/* Makes the histogram reach `end`, by buckets as many times wider as it takes. */
static void reach(struct tvg_busy *busy, uint64_t end)
{
    unsigned wider = 0;
    while ((end - busy->base) >> (busy->shift + wider) >= BUCKETS)
        wider++;
    if (!wider)
        return;
    for (uint32_t i = 1; i < busy->filled; i++) {
        uint64_t ticks = busy->bucket[i];
        busy->bucket[i] = 0;
        busy->bucket[wider < 32 ? i >> wider : 0] += ticks;
    }
    busy->filled = busy->filled ? (wider < 32 ? (busy->filled - 1) >> wider : 0) + 1 : 0;
    busy->shift += wider;
}

static void histogram(struct tvg_busy *busy, uint64_t start, uint64_t end)
{
    reach(busy, end);
    uint64_t i = (start - busy->base) >> busy->shift, last = (end - busy->base) >> busy->shift;
    for (; i < last; i++) {
        uint64_t edge = busy->base + ((i + 1) << busy->shift);
        busy->bucket[i] += edge - start;
        start = edge;
    }
    busy->bucket[i] += end - start;
    if (i >= busy->filled)
        busy->filled = (uint32_t)i + 1;
}

static enum tvg_busy_class class_of(const struct tvg_busy *busy, uint64_t start, bool first)
{
    return start < busy->load_until ? TVG_BUSY_LOAD : first ? TVG_BUSY_FIRST : TVG_BUSY_STEADY;
}

/* The next interval in order of start. */
static inline void merge(struct tvg_busy *busy, uint64_t start, uint64_t end, bool first)
{
    if (!busy->begun) {
        busy->begun = true;
        busy->base = busy->frontier = busy->begun_at = start;
    }
    enum tvg_busy_class class = class_of(busy, start, first);
    if (start > busy->frontier) {
        uint64_t gap = start - busy->frontier;
        busy->result.gap[busy->frontier < busy->load_until ? TVG_BUSY_LOAD : class] += (double)gap;
        if (gap >= busy->long_gap_ticks)
            busy->result.long_gap += (double)gap;
        busy->frontier = start;
    }
    if (end > busy->frontier) {
        busy->result.busy[class] += (double)(end - busy->frontier);
        histogram(busy, busy->frontier, end);
        busy->frontier = end;
    }
}

/* An interval that starts before the frontier: its time was merged and only the histogram remembers it. */
static void late(struct tvg_busy *busy, uint64_t start, uint64_t end, bool first)
{
    enum tvg_busy_class class = class_of(busy, start, first);
    if (end > busy->frontier) { /* what lies beyond is exact */
        busy->result.busy[class] += (double)(end - busy->frontier);
        histogram(busy, busy->frontier, end);
        uint64_t old = busy->frontier;
        busy->frontier = end;
        end = old;
    }
    if (start < busy->base) { /* before anything that was merged: all of it is free time */
        uint64_t edge = end < busy->base ? end : busy->base;
        busy->result.busy[class] += (double)(edge - start);
        if (start < busy->begun_at)
            busy->begun_at = start;
        if (end <= busy->base)
            return;
        start = busy->base;
    }
    reach(busy, end); /* an op of no duration moves the frontier alone */
    double width = (double)((uint64_t)1 << busy->shift), added = 0;
    while (start < end) {
        uint64_t i = (start - busy->base) >> busy->shift, edge = busy->base + ((i + 1) << busy->shift);
        uint64_t stop = end < edge ? end : edge;
        double covered = (double)(stop - start), filled = (double)busy->bucket[i], free_part = width - filled;
        double share = covered * free_part / width;
        double least = covered > filled ? covered - filled : 0, most = covered < free_part ? covered : free_part;
        if (share < least)
            share = least;
        busy->result.error_ticks += most - share > share - least ? most - share : share - least;
        busy->bucket[i] += (uint64_t)(share + 0.5);
        if (i >= busy->filled)
            busy->filled = (uint32_t)i + 1;
        added += share;
        start = stop;
    }
    busy->result.busy[class] += added;
    /* it fills what was counted as a gap */
    double *gap = &busy->result.gap[class];
    if (*gap < added)
        gap = &busy->result.gap[TVG_BUSY_STEADY];
    *gap -= *gap < added ? *gap : added;
}

static uint64_t oldest(const struct tvg_busy *busy, uint32_t lane)
{
    return busy->lane[lane].head->at[busy->lane[lane].taken].start;
}

static void sink(struct tvg_busy *busy, uint32_t at)
{
    for (;;) {
        uint32_t least = at, child = 2 * at + 1;
        for (uint32_t c = child; c < child + 2 && c < busy->heap_count; c++)
            if (oldest(busy, busy->heap[c]) < oldest(busy, busy->heap[least]))
                least = c;
        if (least == at)
            return;
        uint32_t swap = busy->heap[at];
        busy->heap[at] = busy->heap[least];
        busy->heap[least] = swap;
        at = least;
    }
}

/* Merges the oldest intervals until at most `keep` wait. */
static void drain(struct tvg_busy *busy, uint64_t keep)
{
    busy->heap_count = 0;
    for (uint32_t i = 0; i < busy->lane_count; i++)
        if (busy->lane[i].head)
            busy->heap[busy->heap_count++] = i;
    for (uint32_t i = busy->heap_count / 2; i-- > 0;)
        sink(busy, i);
    while (busy->pending > keep && busy->heap_count) {
        struct lane *lane = &busy->lane[busy->heap[0]];
        uint64_t limit = UINT64_MAX; /* this lane stays the oldest up to here */
        for (uint32_t c = 1; c < 3 && c < busy->heap_count; c++)
            if (oldest(busy, busy->heap[c]) < limit)
                limit = oldest(busy, busy->heap[c]);
        while (lane->head && busy->pending > keep) {
            const struct interval *at = &lane->head->at[lane->taken];
            if (at->start > limit)
                break;
            merge(busy, at->start, at->end & ~FIRST_BIT, (at->end & FIRST_BIT) != 0);
            busy->pending--;
            if (++lane->taken == lane->head->used) {
                struct chunk *empty = lane->head;
                lane->head = empty->next;
                if (!lane->head)
                    lane->tail = NULL;
                lane->taken = 0;
                empty->next = busy->free_chunks;
                busy->free_chunks = empty;
            }
        }
        if (!lane->head)
            busy->heap[0] = busy->heap[--busy->heap_count];
        sink(busy, 0);
    }
}

static struct chunk *new_chunk(struct tvg_busy *busy)
{
    if (!busy->free_chunks) {
        if (busy->chunk_count < CHUNKS) {
            struct chunk *chunk = malloc(sizeof *chunk);
            if (!chunk)
                return NULL;
            busy->all[busy->chunk_count++] = chunk;
            chunk->next = NULL;
            busy->free_chunks = chunk;
        } else {
            drain(busy, busy->pending / 2);
            if (!busy->free_chunks)
                drain(busy, 0); /* every chunk is partly used: more threads than chunks */
        }
    }
    struct chunk *chunk = busy->free_chunks;
    busy->free_chunks = chunk->next;
    chunk->next = NULL;
    chunk->used = 0;
    return chunk;
}

static bool grow_lanes(struct tvg_busy *busy, uint32_t lane)
{
    uint32_t count = busy->lane_count ? busy->lane_count : 16;
    while (count <= lane)
        count *= 2;
    struct lane *lanes = realloc(busy->lane, count * sizeof *lanes);
    if (!lanes)
        return false;
    memset(lanes + busy->lane_count, 0, (count - busy->lane_count) * sizeof *lanes);
    busy->lane = lanes;
    uint32_t *heap = realloc(busy->heap, count * sizeof *heap);
    if (!heap)
        return false;
    busy->heap = heap;
    busy->lane_count = count;
    return true;
}

bool tvg_busy_add(struct tvg_busy *busy, uint32_t number, const struct tvg_batch *batch)
{
    if (number >= busy->lane_count && !grow_lanes(busy, number))
        return false;
    for (uint32_t row = 0; row < batch->count;) {
        struct lane *lane = &busy->lane[number];
        struct chunk *before_tail = NULL;
        if (!lane->tail || lane->tail->used == CHUNK_INTERVALS) {
            struct chunk *chunk = new_chunk(busy); /* may drain this very lane */
            if (!chunk)
                return false;
            before_tail = lane->tail;
            if (lane->tail)
                lane->tail->next = chunk;
            else
                lane->head = chunk;
            lane->tail = chunk;
        }
        struct chunk *chunk = lane->tail;
        uint64_t last = lane->last_start, frontier = busy->begun ? busy->frontier : 0;
        uint32_t used = chunk->used, before = used;
        for (; row < batch->count && used < CHUNK_INTERVALS; row++) {
            uint64_t start = batch->start[row], end = start + batch->duration[row];
            if (end < start || end >= FIRST_BIT)
                continue; /* a clock gone wild: counted by its duration, not here */
            if (start < last || start < frontier) {
                if (!busy->begun) {
                    busy->begun = true;
                    busy->base = busy->frontier = busy->begun_at = start;
                }
                late(busy, start, end, batch->first[row]);
                frontier = busy->frontier;
                continue;
            }
            chunk->at[used++] = (struct interval){start, end | (batch->first[row] ? FIRST_BIT : 0)};
            last = start;
        }
        chunk->used = used;
        lane->last_start = last;
        busy->pending += used - before;
        if (used == 0) { /* nothing but late ones: give the chunk back */
            lane->tail = before_tail;
            if (before_tail)
                before_tail->next = NULL;
            else
                lane->head = NULL;
            chunk->next = busy->free_chunks;
            busy->free_chunks = chunk;
        }
    }
    return true;
}

void tvg_busy_finish(struct tvg_busy *busy, struct tvg_busy_result *result)
{
    if (!busy)
        return;
    drain(busy, 0);
    if (result && busy->begun) {
        if (!result->last_end) { /* else: of another machine's clock */
            result->first_start = busy->begun_at;
            result->last_end = busy->frontier;
        }
        for (int class = 0; class < TVG_BUSY_CLASSES; class++) {
            result->busy[class] += busy->result.busy[class];
            result->gap[class] += busy->result.gap[class];
        }
        result->long_gap += busy->result.long_gap;
        result->error_ticks += busy->result.error_ticks;
    }
    for (uint32_t i = 0; i < busy->chunk_count; i++)
        free(busy->all[i]);
    free(busy->lane);
    free(busy->heap);
    free(busy->bucket);
    free(busy);
}
