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
enum { CUPTI_DOMAIN_DRIVER = 1, CUPTI_DOMAIN_RESOURCE = 3, CUPTI_SITE_ENTER = 0, CUPTI_NODE_KERNEL = 0 };
enum { CUPTI_RESOURCE_GRAPHNODE_CREATED = 13, CUPTI_RESOURCE_GRAPHNODE_CLONED = 20 };

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

/* Driver calls that start device work, one for each piece of work, whatever the process called above them. The numbers are CUPTI's callback ids
 * and never change: launches of kernels and graphs, copies and memsets that don't wait. */
static const uint32_t cupti_driver_launches[] = {115, 116, 117, 307, 442, 477, 478, 480, 514, 515, 652, 653,
                                                 216, 218, 220, 222, 224, 226, 277, 279, 281, 306, 418, 421, 422, 423, 428, 429, 430, 431, 432, 433};

#endif
