/* Streaming reader of one trace file: yields decoded blocks one at a time, survives damage, picks up the rings of a killed process.
 * Memory does not grow with the trace. The dictionary is kept whole (it is bounded by the recorder). */
#ifndef TVG_READER_H
#define TVG_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "../trace/block.h"
#include "result.h"

struct tvg_reader;

struct tvg_damage {
    uint64_t bytes_skipped;     /* bytes that belong to no whole block */
    uint32_t blocks_damaged;    /* places where reading had to resynchronise */
    bool cut_off;               /* the file ends in the middle of a block */
    bool no_end;                /* no END block: the process was killed or is still running */
    uint64_t ops_recovered;     /* ops read from the rings side file */
    uint64_t ops_lost;          /* LOST records of the trace itself */
    uint64_t records_missing;   /* gaps in the rings' sequence numbers: what damaged or lost blocks held */
    uint32_t clock_irregular;   /* stretches whose tick rate is off by more than 100 ppm: migration, suspend */
    uint64_t first_offset;      /* where the first damage was; meaningful when blocks_damaged or cut_off */
};

enum tvg_event_kind { TVG_EVENT_OPS = 1, TVG_EVENT_BLOCK };

/* What the reader yields. OPS: decoded columns. BLOCK: any other known block kind except DICT, as its raw msgpack payload. */
struct tvg_event {
    enum tvg_event_kind kind;
    enum tvg_block_kind block;
    const struct tvg_ops_info *info;          /* OPS */
    const struct tvg_ops_columns *columns;    /* OPS; valid until the next call */
    const void *payload;                      /* BLOCK; valid until the next call */
    uint32_t length;
    uint64_t offset;                          /* of the block in the file */
};

/* What the file header says. */
struct tvg_trace_header {
    uint32_t version;
    uint32_t pid, ppid;
    uint32_t grid_shift;
    double ticks_per_ns;   /* first estimate; anchors refine it */
    bool ticks_are_tsc;
    struct tvg_anchor anchor;
    uint64_t process_start_mono_ns; /* 0 when unknown */
    uint64_t cpu_process_ns; /* CPU time used by the anchor's moment; 0 when unknown */
    char command[256];     /* escaped for display */
    char host[64];
    char rings_path[512];  /* "" when there is none */
};

/* Opens `path`. Fails on: not a trace, damaged header, newer version, unreadable. */
bool tvg_reader_open(struct tvg_reader **reader, const char *path, struct tvg_error *error);
/* 1: *event is filled; 0: the end; a damaged place is stepped over and counted, never an error. Every op id that it yields is below
 * tvg_reader_op_count(); payloads have passed tvg_msgpack_check, so a general unpacker may be let at them. */
int tvg_reader_next(struct tvg_reader *reader, struct tvg_event *event);
/* The same for the blocks of one kind, undecoded: steps over all others by their headers, without reading what they hold. For a reader of its own,
 * which counts no damage and reads no rings. */
int tvg_reader_next_of(struct tvg_reader *reader, enum tvg_block_kind kind, struct tvg_event *event);
const struct tvg_trace_header *tvg_reader_header(const struct tvg_reader *reader);
const struct tvg_damage *tvg_reader_damage(const struct tvg_reader *reader);
/* The dictionary so far; entries stay where they are until tvg_reader_close. An id that no DICT block explained gives an op of kind "other", library and function "?". */
const struct tvg_op *tvg_reader_op(const struct tvg_reader *reader, uint32_t op_id);
uint32_t tvg_reader_op_count(const struct tvg_reader *reader); /* ids are 0 .. count-1 */
/* Nanoseconds of CLOCK_MONOTONIC at `ticks`, by piecewise interpolation between the anchors seen so far. */
double tvg_reader_mono_ns(const struct tvg_reader *reader, uint64_t ticks);
/* Ticks per nanosecond by the anchors seen so far. */
double tvg_reader_ticks_per_ns(const struct tvg_reader *reader);
uint64_t tvg_reader_bytes_read(const struct tvg_reader *reader), tvg_reader_bytes_total(const struct tvg_reader *reader);
void tvg_reader_close(struct tvg_reader *reader);

#endif
