/* Who waits for the card, and which stream for which: see cupti_sync.h. A callback stores one row under a lock, whatever was called meanwhile in other
 * threads: these calls are few beside launches, which don't come here. */
#include "cupti_sync.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "../../trace/block.h"
#include "../../trace/sync.h"
#include "../record/record.h"
#include "../record/sys.h"
#include "cupti_abi.h"
#include "kernel_windows.h"
#include "tables.h"

enum { ROWS = 1 << 16, EVENTS = 1 << 15, STREAMS = 1 << 12, CAPTURES = 256 };

static struct {
    int (*GetStreamIdEx)(void *context, void *stream, uint8_t per_thread, uint32_t *id);
    int (*GetDeviceId)(void *context, uint32_t *device);
} cupti;

/* What lies in memory of our own, all under `lock`. */
static tvg_lock lock;
static struct tables {
    struct tvg_sync rows[2][ROWS]; /* one is filled while the other is written */
    struct event {
        void *handle;     /* NULL: free */
        uint64_t serial;  /* number of its last recording; 0 none */
        uint32_t capture; /* not 0: the last recording was in this capture */
    } events[EVENTS];
    struct stream {
        uint64_t key;     /* 0: free */
        uint32_t id, device;
    } streams[STREAMS];
    struct {
        uint64_t key;
        uint32_t capture;
    } capturing[CAPTURES]; /* streams that are being captured */
    uint8_t encode_space[TVG_SYNC_ENCODED_MAX(TVG_SYNC_MAX) + TVG_SYNC_SCRATCH(TVG_SYNC_MAX)];
} *tables;
static uint32_t filling, row_count, rows_lost, event_count, stream_count, capturing_count, captures;
static uint64_t serials;

/* The call that this thread is in. */
static __thread struct {
    uint64_t start, serial;
    uint32_t correlation, capture;
    uint8_t call; /* 0: in none */
    bool unseen;  /* it made a graph node instead of doing anything, or began while nothing is recorded */
} under_way __attribute__((tls_model("initial-exec")));

static uint64_t scattered(uint64_t value)
{
    return (value * 0x9e3779b97f4a7c15u) >> 32;
}

/* The place of an event, made when it is not there. A full table is emptied: what its events meant is then unknown, as at the begin. */
static struct event *event_of(void *handle)
{
    if (event_count > EVENTS / 4 * 3) {
        memset(tables->events, 0, sizeof tables->events);
        event_count = 0;
    }
    uint64_t at = scattered((uint64_t)(uintptr_t)handle);
    while (tables->events[at % EVENTS].handle && tables->events[at % EVENTS].handle != handle)
        at++;
    struct event *event = &tables->events[at % EVENTS];
    event_count += !event->handle;
    event->handle = handle;
    return event;
}

/* --- streams ------------------------------------------------------------------------------------------------------------------- */

struct which { /* a stream as a call names it */
    void *handle;    /* NULL: the default stream */
    void *context;   /* of the call */
    bool per_thread; /* of default streams: the calling thread's own */
    uint64_t key;    /* tells all streams of the process apart; never 0 */
};

static struct which which_stream(void *handle, void *context, bool per_thread, uint32_t tid)
{
    uintptr_t number = (uintptr_t)handle; /* 1 and 2: the names of the two default streams */
    if (number > 2)
        return (struct which){handle, context, false, number};
    bool own = number == 2 || (number == 0 && per_thread);
    return (struct which){NULL, context, own, ((uint64_t)(uintptr_t)context * 31 + (own ? tid : 0)) << 2 | (own ? 2 : 1)};
}

static struct stream *stream_place(uint64_t key)
{
    uint64_t at = scattered(key);
    while (tables->streams[at % STREAMS].key && tables->streams[at % STREAMS].key != key)
        at++;
    return &tables->streams[at % STREAMS];
}

static void keep_stream(uint64_t key, uint32_t id, uint32_t device)
{
    tvg_lock_take(&lock);
    if (stream_count > STREAMS / 4 * 3) {
        memset(tables->streams, 0, sizeof tables->streams);
        stream_count = 0;
    }
    struct stream *place = stream_place(key);
    stream_count += !place->key;
    *place = (struct stream){key, id, device};
    tvg_lock_drop(&lock);
}

static uint32_t device_of(void *context)
{
    uint32_t device;
    return context && cupti.GetDeviceId && cupti.GetDeviceId(context, &device) == CUPTI_OK ? device : TVG_SYNC_UNKNOWN;
}

/* Asks CUPTI, without our lock: it has its own, and holds them when it tells of streams. */
static struct stream stream_of(const struct which *which)
{
    tvg_lock_take(&lock);
    struct stream found = *stream_place(which->key);
    tvg_lock_drop(&lock);
    if (found.key)
        return found;
    found = (struct stream){which->key, TVG_SYNC_UNKNOWN, TVG_SYNC_UNKNOWN};
    if (!cupti.GetStreamIdEx)
        return found;
    if (cupti.GetStreamIdEx(which->context, which->handle, which->per_thread, &found.id) == CUPTI_OK)
        found.device = device_of(which->context);
    else if (cupti.GetStreamIdEx(NULL, which->handle, which->per_thread, &found.id) != CUPTI_OK) /* of another context than the thread's */
        found.id = TVG_SYNC_UNKNOWN;
    keep_stream(which->key, found.id, found.device);
    return found;
}

void tvg_sync_stream_created(const struct cupti_resource_data *resource)
{
    uint32_t id;
    if (tables && (uintptr_t)resource->stream > 2 && cupti.GetStreamIdEx && cupti.GetStreamIdEx(resource->context, resource->stream, 0, &id) == CUPTI_OK)
        keep_stream((uintptr_t)resource->stream, id, device_of(resource->context));
}

static void leave_capture(uint64_t key, uint32_t capture)
{
    for (uint32_t i = 0; i < capturing_count;)
        if (capture ? tables->capturing[i].capture == capture : tables->capturing[i].key == key)
            tables->capturing[i] = tables->capturing[--capturing_count];
        else
            i++;
}

void tvg_sync_stream_destroyed(const struct cupti_resource_data *resource)
{
    if (!tables)
        return;
    uint64_t key = (uintptr_t)resource->stream;
    tvg_lock_take(&lock);
    struct stream *place = stream_place(key);
    if (place->key) { /* the next stream at this address is another one; its place stays taken, so that others behind it are found */
        place->id = TVG_SYNC_UNKNOWN;
        place->device = TVG_SYNC_UNKNOWN;
    }
    leave_capture(key, 0);
    tvg_lock_drop(&lock);
}

/* The capture that a stream is in; 0 none. */
static uint32_t capture_of(uint64_t key)
{
    for (uint32_t i = 0; i < capturing_count; i++)
        if (tables->capturing[i].key == key)
            return tables->capturing[i].capture;
    return 0;
}

static bool goes_on(uint32_t capture)
{
    for (uint32_t i = 0; i < capturing_count; i++)
        if (tables->capturing[i].capture == capture)
            return true;
    return false;
}

static void join_capture(uint64_t key, uint32_t capture)
{
    if (capturing_count < CAPTURES && !capture_of(key)) {
        tables->capturing[capturing_count].key = key;
        tables->capturing[capturing_count++].capture = capture;
    }
}

/* --- calls --------------------------------------------------------------------------------------------------------------------- */

static void put(const struct tvg_sync *row)
{
    if (row_count == ROWS)
        rows_lost++;
    else
        tables->rows[filling][row_count++] = *row;
}

void tvg_sync_enter(uint8_t call, const struct cupti_callback_data *data, uint64_t now)
{
    if (!tables)
        return;
    under_way.call = call;
    under_way.correlation = data->correlation;
    under_way.start = now;
    under_way.unseen = tvg_paused() || !tvg_window_now();
    void *event;
    switch (call & ~CUPTI_CALL_PER_THREAD) {
    case CUPTI_CALL_WAIT_EVENT: event = ((const struct cupti_event_call *)data->function_params)->event; break;
    case CUPTI_CALL_EVENT_DESTROY: event = ((const struct cupti_event_call *)data->function_params)->event; break;
    case CUPTI_CALL_STREAM_WAIT: event = ((const struct cupti_wait_call *)data->function_params)->event; break;
    default: return;
    }
    /* What is waited for is the last recording as the call begins. A destroyed event's number is forgotten before another can have its address. */
    tvg_lock_take(&lock);
    struct event *place = event_of(event);
    under_way.serial = place->serial;
    under_way.capture = place->capture;
    if ((call & ~CUPTI_CALL_PER_THREAD) == CUPTI_CALL_EVENT_DESTROY)
        *place = (struct event){.handle = event};
    tvg_lock_drop(&lock);
}

void tvg_sync_captured(void) { under_way.unseen = true; }

static void end_of_capture(const struct which *stream, int status)
{
    if (status == CUDA_CAPTURE_UNMATCHED || status == CUDA_CAPTURE_WRONG_THREAD)
        return;
    tvg_lock_take(&lock);
    uint32_t capture = capture_of(stream->key);
    if (capture)
        leave_capture(0, capture);
    tvg_lock_drop(&lock);
}

void tvg_sync_exit(const struct cupti_callback_data *data, uint32_t tid)
{
    if (!tables || !under_way.call || under_way.correlation != data->correlation)
        return;
    uint64_t now = tvg_mono_ns();
    unsigned call = under_way.call & ~CUPTI_CALL_PER_THREAD;
    bool per_thread = under_way.call & CUPTI_CALL_PER_THREAD;
    int status = data->return_value ? *(const int *)data->return_value : 0;
    struct tvg_sync row = {.start_ns = under_way.start, .duration_ns = now - under_way.start, .tid = tid, .device = TVG_SYNC_UNKNOWN, .stream = TVG_SYNC_UNKNOWN};
    struct which which = {0};
    under_way.call = 0;
    switch (call) {
    case CUPTI_CALL_COPY: row.kind = TVG_SYNC_COPY; break;
    case CUPTI_CALL_FREE: row.kind = TVG_SYNC_FREE; break;
    case CUPTI_CALL_WAIT_CONTEXT:
    case CUPTI_CALL_WAIT_THAT_CONTEXT: row.kind = TVG_SYNC_CONTEXT; break;
    case CUPTI_CALL_WAIT_EVENT:
        row.kind = TVG_SYNC_EVENT;
        row.event = under_way.serial;
        break;
    case CUPTI_CALL_WAIT_STREAM:
        row.kind = TVG_SYNC_STREAM;
        which = which_stream(((const struct cupti_stream_call *)data->function_params)->stream, data->context, per_thread, tid);
        break;
    case CUPTI_CALL_EVENT_RECORD:
        row.kind = TVG_SYNC_RECORD;
        which = which_stream(((const struct cupti_record_call *)data->function_params)->stream, data->context, per_thread, tid);
        break;
    case CUPTI_CALL_STREAM_WAIT:
        row.kind = TVG_SYNC_STREAM_WAIT;
        row.event = under_way.serial;
        which = which_stream(((const struct cupti_wait_call *)data->function_params)->stream, data->context, per_thread, tid);
        break;
    case CUPTI_CALL_GRAPH_LAUNCH:
        row.kind = TVG_SYNC_GRAPH_LAUNCH;
        which = which_stream(((const struct cupti_graph_launch *)data->function_params)->stream, data->context, per_thread, tid);
        break;
    case CUPTI_CALL_CAPTURE_BEGIN:
    case CUPTI_CALL_CAPTURE_END:
        which = which_stream(((const struct cupti_stream_call *)data->function_params)->stream, data->context, per_thread, tid);
        break;
    default: return;
    }
    if (call == CUPTI_CALL_CAPTURE_END) {
        end_of_capture(&which, status);
        return;
    }
    if (status == 0 && call == CUPTI_CALL_CAPTURE_BEGIN) {
        tvg_lock_take(&lock);
        join_capture(which.key, ++captures);
        tvg_lock_drop(&lock);
    }
    bool order = row.kind == TVG_SYNC_RECORD || row.kind == TVG_SYNC_STREAM_WAIT;
    if (status != 0 || !row.kind || (under_way.unseen && !order))
        return;
    if (row.kind == TVG_SYNC_CONTEXT || row.kind == TVG_SYNC_FREE)
        row.device = device_of(call == CUPTI_CALL_WAIT_THAT_CONTEXT ? ((const struct cupti_context_call *)data->function_params)->context : data->context);
    if (which.key && !under_way.unseen) {
        struct stream stream = stream_of(&which);
        row.stream = stream.id;
        row.device = stream.device;
    }
    tvg_lock_take(&lock);
    uint32_t capture = order ? capture_of(which.key) : 0;
    bool real = !capture && !under_way.unseen;
    if (row.kind == TVG_SYNC_RECORD) {
        struct event *event = event_of(((const struct cupti_record_call *)data->function_params)->event);
        event->capture = capture;
        event->serial = row.event = real ? ++serials : 0;
    } else if (row.kind == TVG_SYNC_STREAM_WAIT && under_way.capture) { /* the stream is captured from here on too */
        if (goes_on(under_way.capture))
            join_capture(which.key, under_way.capture);
        real = false;
    }
    if (real)
        put(&row);
    tvg_lock_drop(&lock);
}

/* --- what was collected -------------------------------------------------------------------------------------------------------- */

static void append(const struct tvg_sync *rows, size_t count)
{
    size_t length = tvg_encode_sync(tables->encode_space, TVG_SYNC_ENCODED_MAX(TVG_SYNC_MAX), rows, count, tables->encode_space + TVG_SYNC_ENCODED_MAX(TVG_SYNC_MAX));
    if (length)
        tvg_block_append(tables->encode_space, length);
}

void tvg_sync_write(void)
{
    if (!tables)
        return;
    tvg_lock_take(&lock);
    const struct tvg_sync *rows = tables->rows[filling];
    uint32_t count = row_count, lost = rows_lost;
    row_count = rows_lost = 0;
    filling = !filling;
    tvg_lock_drop(&lock);
    for (uint32_t at = 0; at < count; at += TVG_SYNC_MAX)
        append(rows + at, count - at < TVG_SYNC_MAX ? count - at : TVG_SYNC_MAX);
    if (lost) {
        char text[96];
        snprintf(text, sizeof text, "%u synchronisation calls: more than could be kept between two writes", lost);
        tvg_note("lost", "cupti", text);
    }
}

bool tvg_sync_start(void *library)
{
    static const struct { const char *name; void *place; } wanted[] = {{"cuptiGetStreamIdEx", &cupti.GetStreamIdEx}, {"cuptiGetDeviceId", &cupti.GetDeviceId}};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        void *symbol = dlsym(library, wanted[i].name); /* without them rows name no stream or device */
        memcpy(wanted[i].place, &symbol, sizeof symbol);
    }
    if (!(tables = tvg_sys_memory(sizeof *tables))) {
        tvg_note("source-partial", "cupti", "no memory for synchronisation calls");
        return false;
    }
    append(NULL, 0); /* from here on they are followed */
    return true;
}
