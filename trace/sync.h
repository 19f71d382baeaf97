/* The calls by which a host thread waits for a GPU, and those that order streams by events, as they lie in a SYNC block: one row a driver call.
 * FORMAT.md, "SYNC", is the specification. */
#ifndef TVG_TRACE_SYNC_H
#define TVG_TRACE_SYNC_H

#include <stddef.h>
#include <stdint.h>

/* What the call does. The numbers are part of the trace format: append only. */
enum tvg_sync_kind {
    TVG_SYNC_NONE = 0,
    TVG_SYNC_STREAM,      /* the thread waits until a stream is done */
    TVG_SYNC_EVENT,       /* the thread waits until an event has happened */
    TVG_SYNC_CONTEXT,     /* the thread waits until the card has done all work of its context */
    TVG_SYNC_COPY,        /* a copy: the thread waits for it when one end is memory that the driver has to stage, or the call says so */
    TVG_SYNC_FREE,        /* memory is freed: the driver waits for the card's work first */
    TVG_SYNC_RECORD,      /* an event is put behind what the stream has so far: nobody waits here */
    TVG_SYNC_STREAM_WAIT, /* what the stream gets from here on waits for an event: the thread does not */
    TVG_SYNC_GRAPH_LAUNCH,/* a graph is launched in the order of a stream: its kernels may run in others. Nobody waits here */
    TVG_SYNC_KINDS
};
/* "stream", "event"...: the name shown everywhere. Never NULL; "?" out of range. */
const char *tvg_sync_name(unsigned kind);

#define TVG_SYNC_UNKNOWN UINT32_MAX
struct tvg_sync {
    uint64_t start_ns;    /* CLOCK_MONOTONIC; of copies and graphs it is the launch of their rows in KERNELS blocks */
    uint64_t duration_ns; /* the call, from its begin to its return */
    uint64_t event;       /* RECORD: number of this recording, counted from 1 in the process; EVENT, STREAM_WAIT: the recording waited for; 0 none, or not seen */
    uint32_t kind;        /* enum tvg_sync_kind */
    uint32_t tid;         /* the calling thread */
    uint32_t device;      /* CUDA ordinal; TVG_SYNC_UNKNOWN */
    uint32_t stream;      /* as in KERNELS blocks: STREAM, RECORD, STREAM_WAIT, GRAPH_LAUNCH; else TVG_SYNC_UNKNOWN */
};

enum { TVG_SYNC_MAX = 8192, TVG_SYNC_COLUMNS = 7 };
#define TVG_SYNC_ENCODED_MAX(n) (4096u + (size_t)(n) * 72u)
#define TVG_SYNC_SCRATCH(n) (4096u + (size_t)(n) * 24u)

/* Encodes `count` rows as a whole block at `out`; `scratch` (TVG_SYNC_SCRATCH(count) bytes) is the caller's. Returns bytes written. */
size_t tvg_encode_sync(void *out, size_t capacity, const struct tvg_sync *rows, size_t count, void *scratch);
/* Decodes a payload into `rows` (TVG_SYNC_MAX entries). Returns the number of rows, or -1 when the payload contradicts itself. */
long tvg_decode_sync(const void *payload, size_t length, struct tvg_sync *rows, void *scratch, size_t scratch_bytes);

#endif
