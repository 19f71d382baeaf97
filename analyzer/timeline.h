/* The launches of a run in order: what a replay of host and cards walks along. Kept for the first TVG_TIMELINE_MAX activities, so that memory
 * does not grow with the trace. */
#ifndef TVG_TIMELINE_H
#define TVG_TIMELINE_H

#include <stdbool.h>
#include <stdint.h>

struct tvg_arena;
/* A thread's queue holds about 1024 launches: with this many not begun on the card, the launching call is taken to block. */
enum { TVG_TIMELINE_MAX = 1 << 17, TVG_LANES_MAX = 256, TVG_LAUNCHES_QUEUED = 1000 };

struct tvg_launch {
    uint64_t start_ns, launch_ns; /* on the card; when the launching call began, 0 when nothing told */
    uint32_t duration_ns;
    uint32_t activity;            /* index into profile.activity */
    uint16_t host, stream;        /* lanes: a thread of a process; a stream of a card in a process */
    uint16_t window;              /* of recording, by the low bits of its number: between two of them is time of which nothing is known */
    bool in_graph;                /* replayed by a CUDA graph: one launching call for many */
    uint32_t after;               /* 1 + index of a row of another stream that this one had to wait for, by an event; 0: none, or not known */
};
/* A call in which a host thread waited for a card. */
struct tvg_wait {
    uint64_t start_ns, end_ns;
    uint32_t row;                 /* what it waited for, or would have, had that not ended before; UINT32_MAX: not known */
    uint16_t host;                /* lane of the thread */
};
struct tvg_timeline {
    struct tvg_launch *rows;      /* by the moment of launch, or of start where that is not known */
    uint32_t count;
    uint64_t seen;                /* activities of the whole run */
    double usual_gap_ns;          /* by tvg_timeline_usual_gap */
    double seconds, seconds_kept; /* summed durations: of all, of the rows */
    uint16_t host_count, stream_count;
    bool waits_known;             /* every process that used a card recorded its waits and events: there are no others than these */
    struct tvg_wait *waits;       /* by lane and start; waits of threads that launch nothing are left out */
    uint32_t wait_count;
};

struct tvg_sync;
struct tvg_timeline_build;
struct tvg_timeline_build *tvg_timeline_new(void);
/* `process`: anything that tells processes apart. `window`: the number of the one it was recorded in, or 0. `most`: rows that there may be for this one to be kept. False: memory is out. */
bool tvg_timeline_add(struct tvg_timeline_build *build, const void *process, int device, uint32_t activity, uint64_t start_ns, uint64_t duration_ns, uint64_t launch_ns,
                      uint32_t tid, uint32_t stream, bool in_graph, uint16_t window, uint32_t most);
/* Rows of a SYNC block of a process; none: it follows its waits from here on. False: memory is out. */
bool tvg_timeline_sync(struct tvg_timeline_build *build, const void *process, const struct tvg_sync *rows, long count);
bool tvg_timeline_finish(struct tvg_timeline_build *build, struct tvg_arena *arena, struct tvg_timeline *timeline);
/* The median gap in ns between launches of a thread whose queue was not full: the host's own work for one. 0 when there are none or memory is out. */
double tvg_timeline_usual_gap(const struct tvg_timeline *timeline);
void tvg_timeline_free(struct tvg_timeline_build *build);

#endif
