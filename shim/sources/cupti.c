/* GPU kernels, copies and memsets from CUPTI's activity interface, each tied to the library call and the host thread that launched it.
 * Uses the process's own libcupti where one is loaded, yields to a profiler of the host, and says so in the trace. */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "../../trace/block.h"
#include "../../trace/kernels.h"
#include "../record/record.h"
#include "../record/sys.h"
#include "cupti_abi.h"
#include "cupti_launches.h"
#include "cupti_sync.h"
#include "gpu.h"
#include "kernel_windows.h"
#include "tables.h"

typedef void request_buffer(uint8_t **buffer, size_t *size, size_t *max_records);
typedef void complete_buffer(void *context, uint32_t stream, uint8_t *buffer, size_t size, size_t valid);

static struct {
    int (*RegisterCallbacks)(request_buffer *, complete_buffer *);
    int (*RegisterTimestampCallback)(uint64_t (*)(void));
    int (*Enable)(int kind);
    int (*Disable)(int kind);
    int (*GetNextRecord)(uint8_t *buffer, size_t valid, void **record);
    int (*FlushAll)(uint32_t flag);
    int (*GetNumDroppedRecords)(void *context, uint32_t stream, size_t *dropped);
    int (*GetResultString)(int result, const char **text);
} cupti;

enum { BUFFER_BYTES = 1 << 20, BUFFERS = 128, KERNEL_CACHE = 1 << 14, DEVICES = 16, FLUSH_MS = 200 };

static atomic_bool active; /* activity is being recorded by us */
static pid_t owner;
static pthread_mutex_t drain = PTHREAD_MUTEX_INITIALIZER;

/* Buffers that CUPTI fills: a stack under a spin lock, since the request comes from launching threads. */
static uint8_t *free_buffers[BUFFERS];
static int free_count, made_count;
static atomic_flag free_lock = ATOMIC_FLAG_INIT;

static struct {
    struct tvg_kernel *rows;
    uint32_t count;
} output[DEVICES];
static uint8_t *encode_space;

struct kernel_slot {
    uint64_t key;
    uint32_t op_id;
    bool used;
};
static struct kernel_slot *kernel_cache;
static uint64_t dropped_records, launched_kernels, replayed_kernels;

static void on_request(uint8_t **buffer, size_t *size, size_t *max_records)
{
    int saved = errno;
    uint8_t *taken = NULL;
    while (atomic_flag_test_and_set_explicit(&free_lock, memory_order_acquire))
        ;
    if (free_count)
        taken = free_buffers[--free_count];
    else if (made_count < BUFFERS && (taken = tvg_sys_memory(BUFFER_BYTES)))
        made_count++;
    atomic_flag_clear_explicit(&free_lock, memory_order_release);
    *buffer = taken;
    *size = taken ? BUFFER_BYTES : 0; /* none left: CUPTI drops records and counts them */
    *max_records = 0;
    errno = saved;
}

static void give_back(uint8_t *buffer)
{
    while (atomic_flag_test_and_set_explicit(&free_lock, memory_order_acquire))
        ;
    free_buffers[free_count++] = buffer;
    atomic_flag_clear_explicit(&free_lock, memory_order_release);
}

static void write_rows(uint32_t device)
{
    if (!output[device].count)
        return;
    size_t capacity = TVG_KERNELS_ENCODED_MAX(TVG_KERNELS_MAX);
    size_t length = tvg_encode_kernels(encode_space, capacity, (int)device, output[device].rows, output[device].count, encode_space + capacity);
    if (length)
        tvg_block_append(encode_space, length);
    output[device].count = 0;
}

static void put_row(uint32_t device, const struct tvg_kernel *row)
{
    if (device >= DEVICES)
        device = DEVICES - 1;
    if (!output[device].rows && !(output[device].rows = tvg_sys_memory(sizeof(struct tvg_kernel) * TVG_KERNELS_MAX)))
        return;
    output[device].rows[output[device].count++] = *row;
    if (output[device].count == TVG_KERNELS_MAX)
        write_rows(device);
}

/* A launch is seen before the work it launches: by its correlation id, and for what a graph replays by its node too. */
static void put_activity(struct tvg_kernel *row, uint32_t correlation, uint64_t node, uint32_t device)
{
    struct tvg_launch launch;
    bool kernel = row->bytes == 0;
    row->cause = TVG_OP_ID_NONE;
    if (tvg_launch_of(correlation, &launch)) {
        row->launch_ns = launch.start_ns;
        row->tid = launch.tid;
        row->cause = launch.cause;
    } else if (kernel && tvg_windows_begun()) { /* CUPTI was still, or already, recording between two windows */
        tvg_windows_outside(row->start_ns);
        return;
    }
    launched_kernels += kernel && !node;
    replayed_kernels += kernel && node;
    if (node) {
        bool first;
        row->cause = tvg_node_cause(node, &first);
        row->replayed = first;
    }
    put_row(device, row);
}

/* The dictionary entry of a kernel with its launch shape: a busy card is grid, block, registers and shared memory, not residency. */
static uint32_t kernel_op(const struct cupti_kernel *kernel)
{
    uint64_t shape[6] = {(uint64_t)(uint32_t)kernel->grid[0] << 32 | (uint32_t)kernel->grid[1],
                         (uint64_t)(uint32_t)kernel->grid[2] << 32 | (uint32_t)kernel->block[0],
                         (uint64_t)(uint32_t)kernel->block[1] << 32 | (uint32_t)kernel->block[2],
                         (uint64_t)(uint32_t)kernel->static_shared << 32 | (uint32_t)kernel->dynamic_shared,
                         (uint64_t)kernel->registers << 32 | kernel->device, kernel->local_per_thread};
    const char *name = kernel->name ? kernel->name : "";
    uint64_t key = XXH3_64bits_withSeed(shape, sizeof shape, XXH3_64bits(name, strlen(name)));
    struct kernel_slot *slot = &kernel_cache[key & (KERNEL_CACHE - 1)];
    if (slot->used && slot->key == key)
        return slot->op_id;
    struct tvg_op op = {.library = "CUDA", .function = "kernel", .name = name, .kind = TVG_KIND_KERNEL, .net = TVG_NET_ACTIVITY, .on_gpu = 1,
                        .device = (int16_t)kernel->device, .flags = TVG_OP_FLOP_GIVEN, .dim_count = 10,
                        .dim = {kernel->grid[0], kernel->grid[1], kernel->grid[2], kernel->block[0], kernel->block[1], kernel->block[2],
                                kernel->registers, kernel->static_shared, kernel->dynamic_shared, kernel->local_per_thread}};
    *slot = (struct kernel_slot){key, tvg_op_intern(&op), true};
    return slot->op_id;
}

static uint32_t transfer_op(uint16_t kind, const char *function, uint32_t device)
{
    static struct { const char *function; uint32_t device, op_id; } known[64];
    static unsigned known_count;
    for (unsigned i = 0; i < known_count; i++)
        if (known[i].function == function && known[i].device == device)
            return known[i].op_id;
    struct tvg_op op = {.library = "CUDA", .function = function, .kind = kind, .net = TVG_NET_ACTIVITY, .on_gpu = 1, .device = (int16_t)device,
                        .flags = TVG_OP_FLOP_GIVEN};
    uint32_t id = tvg_op_intern(&op);
    if (known_count < 64) {
        known[known_count].function = function;
        known[known_count].device = device;
        known[known_count++].op_id = id;
    }
    return id;
}

static const char *copy_name(uint8_t copy_kind)
{
    static const char *const names[] = {"memcpy", "memcpy HtoD", "memcpy DtoH", "memcpy HtoA", "memcpy AtoH", "memcpy AtoA",
                                        "memcpy AtoD", "memcpy DtoA", "memcpy DtoD", "memcpy HtoH", "memcpy PtoP"};
    return copy_kind < sizeof names / sizeof names[0] ? names[copy_kind] : names[0];
}

static void take_record(const void *record)
{
    uint32_t kind;
    memcpy(&kind, record, sizeof kind);
    switch (kind) {
    case CUPTI_KIND_CONCURRENT_KERNEL: {
        const struct cupti_kernel *kernel = record;
        struct tvg_kernel row = {.start_ns = kernel->start, .duration_ns = kernel->end - kernel->start, .op_id = kernel_op(kernel),
                                 .stream = kernel->stream, .graph = kernel->graph_node ? kernel->graph : 0};
        put_activity(&row, kernel->correlation, kernel->graph_node, kernel->device);
        break;
    }
    case CUPTI_KIND_MEMCPY: {
        const struct cupti_memcpy *copy = record;
        struct tvg_kernel row = {.start_ns = copy->start, .duration_ns = copy->end - copy->start, .bytes = copy->bytes, .stream = copy->stream,
                                 .op_id = transfer_op(TVG_KIND_COPY, copy_name(copy->copy_kind), copy->device),
                                 .graph = copy->graph_node ? copy->graph : 0};
        put_activity(&row, copy->correlation, copy->graph_node, copy->device);
        break;
    }
    case CUPTI_KIND_MEMSET: {
        const struct cupti_memset *set = record;
        struct tvg_kernel row = {.start_ns = set->start, .duration_ns = set->end - set->start, .bytes = set->bytes, .stream = set->stream,
                                 .op_id = transfer_op(TVG_KIND_MEMSET, "memset", set->device), .graph = set->graph_node ? set->graph : 0};
        put_activity(&row, set->correlation, set->graph_node, set->device);
        break;
    }
    default:
        break;
    }
}

static void on_complete(void *context, uint32_t stream, uint8_t *buffer, size_t size, size_t valid)
{
    (void)size;
    int saved = errno;
    pthread_mutex_lock(&drain);
    if (getpid() == owner) {
        void *record = NULL;
        while (valid && cupti.GetNextRecord(buffer, valid, &record) == CUPTI_OK)
            take_record(record);
        for (uint32_t device = 0; device < DEVICES; device++)
            write_rows(device);
        tvg_windows_decoded(launched_kernels, replayed_kernels);
        size_t dropped = 0;
        if (cupti.GetNumDroppedRecords && cupti.GetNumDroppedRecords(context, stream, &dropped) == CUPTI_OK && dropped) {
            dropped_records += dropped;
            char text[96];
            snprintf(text, sizeof text, "%zu activity records dropped for want of buffers", dropped);
            tvg_note("lost", "cupti", text);
        }
    }
    pthread_mutex_unlock(&drain);
    give_back(buffer);
    errno = saved;
}

static void flush(void) { cupti.FlushAll(0); }

static void flush_loop(void)
{
    while (atomic_load_explicit(&active, memory_order_acquire)) {
        uint64_t wait_ns = tvg_windows_step(), longest = FLUSH_MS * 1000000u;
        struct timespec pause = {0, (long)(wait_ns < longest ? wait_ns : longest)};
        nanosleep(&pause, NULL);
        if (atomic_load_explicit(&active, memory_order_acquire))
            flush();
        pthread_mutex_lock(&drain);
        if (atomic_load(&active)) /* else the end is written, or will be once this lock is free */
            tvg_sync_write();
        pthread_mutex_unlock(&drain);
    }
}

static void end_recording(bool forced)
{
    if (getpid() != owner || !atomic_exchange(&active, false))
        return;
    tvg_windows_stop();
    cupti.FlushAll(forced ? CUPTI_FLUSH_FORCED : 0);
    pthread_mutex_lock(&drain);
    for (uint32_t device = 0; device < DEVICES; device++)
        write_rows(device);
    tvg_sync_write();
    pthread_mutex_unlock(&drain);
}

/* Registered after cuInit, so that it runs before the driver's own exit handlers. */
static void at_exit(void)
{
    end_recording(true);
    if (getpid() == owner)
        tvg_windows_end();
}

static const int kinds[] = {CUPTI_KIND_CONCURRENT_KERNEL, CUPTI_KIND_MEMCPY, CUPTI_KIND_MEMSET};

/* While recording is off, launches cost nothing. No record is made of a launch that was not seen: callbacks are on first, and off last. */
static bool set_recording(bool on)
{
    bool done = true;
    if (on)
        tvg_launches_enable(true);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        done &= (on ? cupti.Enable(kinds[i]) : cupti.Disable(kinds[i])) == CUPTI_OK || i > 0; /* copies may be refused from the start */
    if (!on || !done)
        tvg_launches_enable(false);
    return done;
}

static void cupti_pause(bool paused)
{
    if (atomic_load(&active) && getpid() == owner)
        tvg_windows_pause(paused);
}

static atomic_bool taken_by_host;

void tvg_cupti_yield(const char *to_whom)
{
    atomic_store(&taken_by_host, true);
    if (!atomic_load(&active))
        return;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        cupti.Disable(kinds[i]);
    end_recording(true);
    tvg_launches_stop();
    tvg_note("source-yielded", "cupti", to_whom);
}

static bool refuse(const char *step, int result)
{
    const char *text = NULL;
    if (cupti.GetResultString)
        cupti.GetResultString(result, &text);
    char why[256];
    snprintf(why, sizeof why, "%s: %s (%d)%s", step, text ? text : "error", result,
             result == CUPTI_REFUSED_PRIVILEGES ? "; the driver's NVreg_RestrictProfilingToAdminUsers=0 or CAP_SYS_ADMIN allows it" : "");
    tvg_note("source-refused", "cupti", why);
    return false;
}

static void *find_library(void)
{
    static const char *const names[] = {"libcupti.so.13", "libcupti.so.12", "libcupti.so.11.8", "libcupti.so.11.2", "libcupti.so"};
    for (size_t pass = 0; pass < 2; pass++) /* the process's own copy first: two copies would fight */
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
            void *handle = dlopen(names[i], RTLD_LAZY | RTLD_LOCAL | (pass ? 0 : RTLD_NOLOAD));
            if (handle)
                return handle;
        }
    return NULL;
}

static bool cupti_start(void)
{
    if (atomic_load(&taken_by_host)) {
        tvg_note("source-refused", "cupti", "a profiler of the host holds it");
        return false;
    }
    void *handle = find_library();
    if (!handle) {
        tvg_note("source-refused", "cupti", "libcupti.so is neither loaded nor on the library path");
        return false;
    }
    struct { const char *name; void *place; bool needed; } wanted[] = {
        {"cuptiActivityRegisterCallbacks", &cupti.RegisterCallbacks, true},
        {"cuptiActivityRegisterTimestampCallback", &cupti.RegisterTimestampCallback, true},
        {"cuptiActivityEnable", &cupti.Enable, true},
        {"cuptiActivityDisable", &cupti.Disable, true},
        {"cuptiActivityGetNextRecord", &cupti.GetNextRecord, true},
        {"cuptiActivityFlushAll", &cupti.FlushAll, true},
        {"cuptiActivityGetNumDroppedRecords", &cupti.GetNumDroppedRecords, false},
        {"cuptiGetResultString", &cupti.GetResultString, false},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        void *symbol = dlsym(handle, wanted[i].name);
        if (!symbol && wanted[i].needed) {
            tvg_note("source-refused", "cupti", wanted[i].name);
            return false;
        }
        memcpy(wanted[i].place, &symbol, sizeof symbol);
    }
    kernel_cache = tvg_sys_memory(sizeof *kernel_cache * KERNEL_CACHE);
    encode_space = tvg_sys_memory(TVG_KERNELS_ENCODED_MAX(TVG_KERNELS_MAX) + TVG_KERNELS_SCRATCH(TVG_KERNELS_MAX));
    if (!kernel_cache || !encode_space) {
        tvg_note("source-refused", "cupti", "no memory");
        return false;
    }
    owner = getpid();
    int result = cupti.RegisterTimestampCallback(tvg_mono_ns);
    if (result != CUPTI_OK)
        return refuse("the timestamp callback", result);
    if ((result = cupti.RegisterCallbacks(on_request, on_complete)) != CUPTI_OK)
        return refuse("the buffer callbacks", result);
    const char *why = NULL;
    if (!tvg_launches_start(handle, &why)) {
        tvg_note("source-refused", "cupti", why);
        return false;
    }
    if ((result = cupti.Enable(kinds[0])) != CUPTI_OK) {
        tvg_launches_stop();
        return refuse("kernel activity", result);
    }
    for (size_t i = 1; i < sizeof kinds / sizeof kinds[0]; i++)
        if ((result = cupti.Enable(kinds[i])) != CUPTI_OK)
            refuse("copies", result);
    tvg_windows_start(&(struct tvg_windows_switch){set_recording, flush});
    atomic_store_explicit(&active, true, memory_order_release);
    atexit(at_exit);
    if (!tvg_source_thread(flush_loop))
        tvg_note("source-partial", "cupti", "no flush thread: a killed process loses what the driver's buffers hold");
    return true;
}

static void cupti_stop(void) { end_recording(true); }

const struct tvg_source tvg_source_cupti = {.name = "cupti", .by_default = true, .with_cuda = true, .prepare = tvg_windows_configure, .start = cupti_start,
                                            .pause = cupti_pause, .stop = cupti_stop};
