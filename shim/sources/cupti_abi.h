/* The part of CUPTI's binary interface that tvg uses, written down so that no CUDA header is needed to build.
 * Records only ever grew at their end since CUDA 11.0 (CUpti_ActivityKernel5); tests/unit/test_cupti_abi.c holds the offsets. */
#ifndef TVG_SHIM_CUPTI_ABI_H
#define TVG_SHIM_CUPTI_ABI_H

#include <stddef.h>
#include <stdint.h>

enum {
    CUPTI_KIND_MEMCPY = 1, CUPTI_KIND_MEMSET = 2, CUPTI_KIND_CONCURRENT_KERNEL = 10
};
enum { CUPTI_OK = 0, CUPTI_REFUSED_PRIVILEGES = 35, CUPTI_TAKEN = 39 };
enum { CUPTI_FLUSH_FORCED = 1 };

struct cupti_kernel {
    uint32_t kind;
    uint8_t cache_config, shared_memory_config;
    uint16_t registers;
    uint32_t partitioned[2];
    uint64_t start, end, completed; /* ns of the registered timestamp callback */
    uint32_t device, context, stream;
    int32_t grid[3], block[3];
    int32_t static_shared, dynamic_shared;
    uint32_t local_per_thread, local_total;
    uint32_t correlation;
    int64_t grid_id;
    const char *name;
    void *reserved;
    uint64_t queued, submitted;
    uint8_t launch_type, carveout_requested, carveout, padding;
    uint32_t shared_executed;
    uint64_t graph_node;
    uint32_t shared_limit;
    uint32_t graph;
} __attribute__((packed, aligned(8)));

struct cupti_memcpy {
    uint32_t kind;
    uint8_t copy_kind, source_kind, destination_kind, flags;
    uint64_t bytes, start, end;
    uint32_t device, context, stream, correlation, runtime_correlation, padding;
    void *reserved;
    uint64_t graph_node;
    uint32_t graph;
} __attribute__((packed, aligned(8)));

struct cupti_memset {
    uint32_t kind, value;
    uint64_t bytes, start, end;
    uint32_t device, context, stream, correlation;
    uint16_t flags, memory_kind;
    uint32_t padding;
    void *reserved;
    uint64_t graph_node;
    uint32_t graph;
} __attribute__((packed, aligned(8)));

/* The callback interface: what cuptiSubscribe's function gets. */
enum { CUPTI_DOMAIN_DRIVER = 1, CUPTI_DOMAIN_RESOURCE = 3, CUPTI_SITE_ENTER = 0, CUPTI_SITE_EXIT = 1, CUPTI_NODE_KERNEL = 0 };
enum { CUPTI_RESOURCE_STREAM_CREATED = 3, CUPTI_RESOURCE_STREAM_DESTROYED = 4, CUPTI_RESOURCE_GRAPHNODE_CREATED = 13, CUPTI_RESOURCE_GRAPHNODE_CLONED = 20 };

struct cupti_callback_data {
    int32_t site;
    const char *function_name;
    const void *function_params;
    void *return_value;
    const char *symbol_name;
    void *context;
    uint32_t context_id;
    uint64_t *correlation_data;
    uint32_t correlation;
};

struct cupti_resource_data {
    void *context, *stream, *descriptor;
};

struct cupti_graph_data {
    void *graph, *original_graph, *node, *original_node;
    int32_t node_type;
    void *dependency, *graph_exec;
};

/* What the callbacks' function_params point to, as far as it is read: CUPTI passes the call's arguments in order. */
struct cupti_stream_call { /* cuStreamSynchronize, cuStreamBeginCapture..., cuStreamEndCapture */
    void *stream;
};
struct cupti_event_call { /* cuEventSynchronize, cuEventDestroy */
    void *event;
};
struct cupti_record_call { /* cuEventRecord, cuEventRecordWithFlags */
    void *event, *stream;
};
struct cupti_graph_launch { /* cuGraphLaunch */
    void *graph_exec, *stream;
};
struct cupti_wait_call { /* cuStreamWaitEvent */
    void *stream, *event;
};
struct cupti_context_call { /* cuCtxSynchronize_v2; cuCtxSynchronize has none */
    void *context;
};
enum { CUDA_CAPTURE_UNMATCHED = 903, CUDA_CAPTURE_WRONG_THREAD = 908 }; /* cuStreamEndCapture was called for nothing: the capture goes on */

/* Driver calls that are followed. The numbers are CUPTI's callback ids and never change. Launches start device work, one call for each piece of it,
 * whatever the process called above them; copies do too, and may wait; graphs do, in the order of a stream that their kernels' records need not name. */
enum cupti_call {
    CUPTI_CALL_NONE = 0, CUPTI_CALL_LAUNCH, CUPTI_CALL_GRAPH_LAUNCH, CUPTI_CALL_COPY, CUPTI_CALL_FREE, CUPTI_CALL_WAIT_STREAM, CUPTI_CALL_WAIT_EVENT, CUPTI_CALL_WAIT_CONTEXT,
    CUPTI_CALL_WAIT_THAT_CONTEXT, CUPTI_CALL_EVENT_RECORD, CUPTI_CALL_STREAM_WAIT, CUPTI_CALL_EVENT_DESTROY, CUPTI_CALL_CAPTURE_BEGIN, CUPTI_CALL_CAPTURE_END,
    CUPTI_CALL_PER_THREAD = 0x80 /* stream 0 is the calling thread's own (the interface's names in _ptsz) */
};
enum { CUPTI_DRIVER_CALLS = 1024 };
static const struct {
    uint16_t first, last;
    uint8_t call;
} cupti_driver_calls[] = {
    {115, 117, CUPTI_CALL_LAUNCH}, {307, 307, CUPTI_CALL_LAUNCH}, {442, 442, CUPTI_CALL_LAUNCH}, {477, 478, CUPTI_CALL_LAUNCH}, {480, 480, CUPTI_CALL_LAUNCH},
    {652, 653, CUPTI_CALL_LAUNCH}, /* kernels */
    {514, 514, CUPTI_CALL_GRAPH_LAUNCH}, {515, 515, CUPTI_CALL_GRAPH_LAUNCH | CUPTI_CALL_PER_THREAD}, {819, 819, CUPTI_CALL_LAUNCH}, /* graphs */
    {216, 216, CUPTI_CALL_LAUNCH}, {218, 218, CUPTI_CALL_LAUNCH}, {220, 220, CUPTI_CALL_LAUNCH}, {222, 222, CUPTI_CALL_LAUNCH}, {224, 224, CUPTI_CALL_LAUNCH},
    {226, 226, CUPTI_CALL_LAUNCH}, {249, 254, CUPTI_CALL_LAUNCH}, {411, 416, CUPTI_CALL_LAUNCH}, {428, 433, CUPTI_CALL_LAUNCH}, /* memsets */
    {276, 293, CUPTI_CALL_COPY}, {305, 306, CUPTI_CALL_COPY}, {318, 321, CUPTI_CALL_COPY}, {397, 410, CUPTI_CALL_COPY}, {418, 427, CUPTI_CALL_COPY},
    {776, 779, CUPTI_CALL_COPY}, {796, 799, CUPTI_CALL_COPY}, {837, 840, CUPTI_CALL_COPY}, /* cuMemcpy... of every kind */
    {38, 38, CUPTI_CALL_FREE}, {245, 245, CUPTI_CALL_FREE}, /* cuMemFreeHost, cuMemFree_v2 */
    {126, 126, CUPTI_CALL_WAIT_STREAM}, {440, 440, CUPTI_CALL_WAIT_STREAM | CUPTI_CALL_PER_THREAD}, /* cuStreamSynchronize */
    {121, 121, CUPTI_CALL_WAIT_EVENT}, /* cuEventSynchronize */
    {17, 17, CUPTI_CALL_WAIT_CONTEXT}, {800, 800, CUPTI_CALL_WAIT_THAT_CONTEXT}, /* cuCtxSynchronize, _v2 */
    {119, 119, CUPTI_CALL_EVENT_RECORD}, {441, 441, CUPTI_CALL_EVENT_RECORD | CUPTI_CALL_PER_THREAD}, {587, 587, CUPTI_CALL_EVENT_RECORD},
    {588, 588, CUPTI_CALL_EVENT_RECORD | CUPTI_CALL_PER_THREAD}, /* cuEventRecord, cuEventRecordWithFlags */
    {295, 295, CUPTI_CALL_STREAM_WAIT}, {436, 436, CUPTI_CALL_STREAM_WAIT | CUPTI_CALL_PER_THREAD}, /* cuStreamWaitEvent */
    {122, 122, CUPTI_CALL_EVENT_DESTROY}, {325, 325, CUPTI_CALL_EVENT_DESTROY},
    {495, 495, CUPTI_CALL_CAPTURE_BEGIN}, {496, 496, CUPTI_CALL_CAPTURE_BEGIN | CUPTI_CALL_PER_THREAD}, {539, 539, CUPTI_CALL_CAPTURE_BEGIN},
    {540, 540, CUPTI_CALL_CAPTURE_BEGIN | CUPTI_CALL_PER_THREAD}, {720, 720, CUPTI_CALL_CAPTURE_BEGIN}, {721, 721, CUPTI_CALL_CAPTURE_BEGIN | CUPTI_CALL_PER_THREAD},
    {497, 497, CUPTI_CALL_CAPTURE_END}, {498, 498, CUPTI_CALL_CAPTURE_END | CUPTI_CALL_PER_THREAD},
};

#endif
