/* CUPTI's callback interface: who launches what, and which library call each graph node was captured from. See cupti_launches.h.
 * A callback runs in the launching thread: it stores a few words. Only the making of graph nodes and calls that wait (cupti_sync.h) take a lock. */
#include "cupti_launches.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../record/record.h"
#include "../record/sys.h"
#include "cupti_abi.h"
#include "cupti_sync.h"
#include "gpu.h"
#include "kernel_windows.h"
#include "tables.h"

typedef void callback(void *context, int domain, uint32_t id, const void *data);
static struct {
    int (*Subscribe)(void **subscriber, callback *function, void *context);
    int (*Unsubscribe)(void *subscriber);
    int (*EnableCallback)(uint32_t enable, void *subscriber, int domain, uint32_t id);
    int (*GetGraphNodeId)(void *node, uint64_t *id);
} cupti;
static void *subscriber;
static uint8_t call_of[CUPTI_DRIVER_CALLS]; /* by callback id: enum cupti_call */

/* The library call that this thread is in, and what its launches became. */
static __thread struct {
    uint32_t cause;    /* op id + 1; 0: in none */
    struct tvg_call *call; /* the guard's call when it began: an exception that leaves the call takes that away */
    uint32_t captured; /* kernel nodes made since it began */
    uint32_t window;   /* that was open when it began: what it launches is in it, whatever has become of it */
    uint32_t tid;
} in_call __attribute__((tls_model("initial-exec")));

static uint32_t cause_now(void)
{
    return in_call.cause && in_call.call == tvg_guard.call ? in_call.cause : 0;
}

enum { LAUNCHES = 1 << 17, NODES_FIRST = 1 << 12, NODES_MOST = 1 << 22 };

/* By correlation id: they count up, so the low bits are the place. The id is written last. */
static struct place {
    _Atomic uint32_t correlation;
    uint32_t tid, cause;
    uint64_t start_ns;
} *launches;

static struct node {
    uint64_t id;    /* 0: free */
    uint32_t cause; /* op id + 1 */
    uint32_t first;
} *nodes;
static uint32_t node_capacity, node_count;
static bool nodes_full;
static atomic_flag node_lock = ATOMIC_FLAG_INIT;

static void lock_nodes(void)
{
    while (atomic_flag_test_and_set_explicit(&node_lock, memory_order_acquire))
        ;
}

static void unlock_nodes(void) { atomic_flag_clear_explicit(&node_lock, memory_order_release); }

/* The place of `id` in a table that is never full: its own, or the free one where it would go. */
static struct node *place_of(struct node *table, uint32_t capacity, uint64_t id)
{
    uint32_t at = (uint32_t)((id * 0x9e3779b97f4a7c15u) >> 32) & (capacity - 1);
    while (table[at].id && table[at].id != id)
        at = (at + 1) & (capacity - 1);
    return &table[at];
}

static bool make_room(void)
{
    if (node_count * 2 < node_capacity)
        return true;
    uint32_t capacity = node_capacity ? node_capacity * 2 : NODES_FIRST;
    struct node *table = capacity <= NODES_MOST ? tvg_sys_memory(capacity * sizeof *table) : NULL;
    if (!table)
        return false;
    for (uint32_t i = 0; i < node_capacity; i++)
        if (nodes[i].id)
            *place_of(table, capacity, nodes[i].id) = nodes[i];
    if (nodes)
        munmap(nodes, node_capacity * sizeof *nodes);
    nodes = table;
    node_capacity = capacity;
    return true;
}

/* 0 is a free place in the table, and the first node of the first graph may have it. */
static uint64_t stored(uint64_t id) { return id + 1; }

static void keep_node(uint64_t id, uint32_t cause, bool first)
{
    lock_nodes();
    bool room = make_room();
    if (room) {
        struct node *node = place_of(nodes, node_capacity, stored(id));
        node_count += !node->id;
        *node = (struct node){stored(id), cause, first};
    }
    bool say = !room && !nodes_full;
    nodes_full |= !room;
    unlock_nodes();
    if (say)
        tvg_note("limit", "CUDA graph nodes", "further nodes are not tied to the library calls that they were captured from");
}

static bool find_node(uint64_t id, struct node *out)
{
    lock_nodes();
    struct node *node = nodes ? place_of(nodes, node_capacity, stored(id)) : NULL;
    bool found = node && node->id;
    if (found)
        *out = *node;
    unlock_nodes();
    return found;
}

static void on_node_created(const struct cupti_graph_data *graph)
{
    uint64_t id;
    uint32_t cause = cause_now();
    tvg_sync_captured();
    if (!cause || cupti.GetGraphNodeId(graph->node, &id) != CUPTI_OK)
        return;
    bool kernel = graph->node_type == CUPTI_NODE_KERNEL;
    keep_node(id, cause, kernel && !in_call.captured);
    in_call.captured += kernel;
}

static void on_node_cloned(const struct cupti_graph_data *graph)
{
    uint64_t id, original;
    struct node node;
    if (cupti.GetGraphNodeId(graph->node, &id) == CUPTI_OK && cupti.GetGraphNodeId(graph->original_node, &original) == CUPTI_OK &&
        find_node(original, &node))
        keep_node(id, node.cause, node.first);
}

static void on_launch(uint32_t correlation, uint64_t now)
{
    uint32_t cause = cause_now();
    if (!(cause ? in_call.window : tvg_window_now()))
        return;
    struct place *place = &launches[correlation & (LAUNCHES - 1)];
    atomic_store_explicit(&place->correlation, 0, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    place->tid = in_call.tid;
    place->cause = cause;
    place->start_ns = now;
    atomic_store_explicit(&place->correlation, correlation, memory_order_release);
}

static void on_callback(void *context, int domain, uint32_t id, const void *data)
{
    (void)context;
    int saved = errno;
    if (domain == CUPTI_DOMAIN_DRIVER) {
        const struct cupti_callback_data *call = data;
        uint8_t what = id < CUPTI_DRIVER_CALLS ? call_of[id] : CUPTI_CALL_NONE;
        if (call->site == CUPTI_SITE_ENTER) {
            uint64_t now = tvg_mono_ns();
            if (!in_call.tid)
                in_call.tid = (uint32_t)tvg_sys_gettid();
            if ((what & ~CUPTI_CALL_PER_THREAD) <= CUPTI_CALL_COPY)
                on_launch(call->correlation, now);
            if (what != CUPTI_CALL_LAUNCH)
                tvg_sync_enter(what, call, now);
        } else if (what != CUPTI_CALL_LAUNCH) {
            tvg_sync_exit(call, in_call.tid);
        }
    } else if (domain == CUPTI_DOMAIN_RESOURCE) {
        const struct cupti_resource_data *resource = data;
        if (id == CUPTI_RESOURCE_STREAM_CREATED)
            tvg_sync_stream_created(resource);
        else if (id == CUPTI_RESOURCE_STREAM_DESTROYED)
            tvg_sync_stream_destroyed(resource);
        else if (id == CUPTI_RESOURCE_GRAPHNODE_CREATED)
            on_node_created(resource->descriptor);
        else if (id == CUPTI_RESOURCE_GRAPHNODE_CLONED)
            on_node_cloned(resource->descriptor);
    }
    errno = saved;
}

/* Ids that this version of CUPTI lacks are refused one by one. */
static void enable(bool on, bool launches_only)
{
    for (uint32_t id = 0; subscriber && id < CUPTI_DRIVER_CALLS; id++)
        if (call_of[id] != CUPTI_CALL_NONE && (call_of[id] == CUPTI_CALL_LAUNCH || !launches_only))
            cupti.EnableCallback(on, subscriber, CUPTI_DOMAIN_DRIVER, id);
}

/* Calls that wait, record events or capture stay followed: they are few, and what an event means or a stream does is known by all of them only. */
void tvg_launches_enable(bool on) { enable(on, true); }

bool tvg_launches_start(void *library, const char **why)
{
    static const struct { const char *name; void *place; } wanted[] = {
        {"cuptiSubscribe", &cupti.Subscribe},
        {"cuptiUnsubscribe", &cupti.Unsubscribe},
        {"cuptiEnableCallback", &cupti.EnableCallback},
        {"cuptiGetGraphNodeId", &cupti.GetGraphNodeId},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        void *symbol = dlsym(library, wanted[i].name);
        if (!symbol) {
            *why = wanted[i].name;
            return false;
        }
        memcpy(wanted[i].place, &symbol, sizeof symbol);
    }
    launches = tvg_sys_memory(sizeof *launches * LAUNCHES);
    *why = "no memory";
    if (!launches)
        return false;
    *why = "a profiler of the host has CUPTI's callbacks";
    if (cupti.Subscribe(&subscriber, on_callback, NULL) != CUPTI_OK) {
        subscriber = NULL;
        return false;
    }
    bool sync = tvg_sync_start(library);
    for (size_t i = 0; i < sizeof cupti_driver_calls / sizeof cupti_driver_calls[0]; i++)
        for (uint32_t id = cupti_driver_calls[i].first; id <= cupti_driver_calls[i].last; id++)
            if (sync || (cupti_driver_calls[i].call & ~CUPTI_CALL_PER_THREAD) <= CUPTI_CALL_COPY)
                call_of[id] = cupti_driver_calls[i].call;
    enable(true, false);
    static const uint32_t resources[] = {CUPTI_RESOURCE_STREAM_CREATED, CUPTI_RESOURCE_STREAM_DESTROYED, CUPTI_RESOURCE_GRAPHNODE_CREATED, CUPTI_RESOURCE_GRAPHNODE_CLONED};
    for (size_t i = 0; i < sizeof resources / sizeof resources[0]; i++)
        cupti.EnableCallback(1, subscriber, CUPTI_DOMAIN_RESOURCE, resources[i]);
    return true;
}

void tvg_launches_stop(void)
{
    void *held = __atomic_exchange_n(&subscriber, NULL, __ATOMIC_ACQ_REL);
    if (held)
        cupti.Unsubscribe(held);
}

bool tvg_launch_of(uint32_t correlation, struct tvg_launch *out)
{
    const struct place *place = launches ? &launches[correlation & (LAUNCHES - 1)] : NULL;
    if (!place || !correlation || atomic_load_explicit(&place->correlation, memory_order_acquire) != correlation)
        return false;
    *out = (struct tvg_launch){correlation, place->tid, place->cause ? place->cause - 1 : TVG_OP_ID_NONE, place->start_ns};
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&place->correlation, memory_order_relaxed) == correlation;
}

uint32_t tvg_node_cause(uint64_t id, bool *first)
{
    struct node node;
    *first = false;
    if (!find_node(id, &node))
        return TVG_OP_ID_NONE;
    *first = node.first;
    return node.cause - 1;
}

void tvg_gpu_launches_begin(uint32_t op_id)
{
    in_call.cause = op_id == TVG_OP_ID_NONE ? 0 : op_id + 1;
    in_call.call = tvg_guard.call;
    in_call.captured = 0;
    in_call.window = tvg_window_now();
}

bool tvg_gpu_launches_end(void)
{
    in_call.cause = 0;
    return in_call.captured == 0;
}
