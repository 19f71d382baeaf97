/* Ties the waits and events of SYNC blocks (trace/sync.h) to what ran on the cards: which kernel or copy a thread waited for, which one a stream
 * waited for, and what came behind. One process; activities may come in any order and are not kept. */
#ifndef TVG_SYNC_POINTS_H
#define TVG_SYNC_POINTS_H

#include <stdbool.h>
#include <stdint.h>

#include "../trace/sync.h"

enum { TVG_SYNC_POINTS_MAX = 1 << 18 };

struct tvg_sync_activity {
    uint64_t launch_ns, start_ns, end_ns; /* launch 0: not known */
    uint32_t device, stream, tid;
    uint32_t row; /* the caller's number for it */
};
struct tvg_sync_point {
    struct tvg_sync call;
    /* last: what ended last of all that the call waits for, or that the event was recorded behind; next: what a stream that waits got first behind
     * the wait. end_ns 0: there is none. */
    struct tvg_sync_activity last, next;
};

struct tvg_sync_points;
struct tvg_sync_points *tvg_sync_points_new(void);
/* Rows as they come in blocks. False: memory is out. What is beyond TVG_SYNC_POINTS_MAX is left out, and *_cut says so. */
bool tvg_sync_points_add(struct tvg_sync_points *points, const struct tvg_sync *rows, long count);
uint32_t tvg_sync_points_count(const struct tvg_sync_points *points);
bool tvg_sync_points_cut(const struct tvg_sync_points *points);
/* All rows are there: activities may come. False: memory is out. */
bool tvg_sync_points_ready(struct tvg_sync_points *points);
void tvg_sync_points_activity(struct tvg_sync_points *points, const struct tvg_sync_activity *activity);
/* No more activities. The points are `points`' own, in the order in which they were added. */
struct tvg_sync_point *tvg_sync_points_finish(struct tvg_sync_points *points, uint32_t *count);
/* The thread waited in this call, and for `last`: it ended while the call went on. */
bool tvg_sync_point_waited(const struct tvg_sync_point *point);
/* `next` could not begin before `last` had ended: they are of two streams, and one followed the other. */
bool tvg_sync_point_orders(const struct tvg_sync_point *point);
void tvg_sync_points_free(struct tvg_sync_points *points);

#endif
