/* The part of CUPTI's binary interface that tvg uses, written down so that no CUDA header is needed to build.
 * Records only ever grew at their end since CUDA 11.0 (CUpti_ActivityKernel5); tests/unit/test_cupti_abi.c holds the offsets. */
#ifndef TVG_SHIM_CUPTI_ABI_H
#define TVG_SHIM_CUPTI_ABI_H

#include <stddef.h>
#include <stdint.h>

enum {
    CUPTI_KIND_MEMCPY = 1, CUPTI_KIND_MEMSET = 2, CUPTI_KIND_DRIVER = 4, CUPTI_KIND_RUNTIME = 5, CUPTI_KIND_CONCURRENT_KERNEL = 10,
    CUPTI_KIND_SYNCHRONIZATION = 38, CUPTI_KIND_EXTERNAL_CORRELATION = 39,
};
enum { CUPTI_OK = 0, CUPTI_REFUSED_PRIVILEGES = 35, CUPTI_TAKEN = 39 };
enum { CUPTI_THREAD_ID_SYSTEM = 1, CUPTI_FLUSH_FORCED = 1, CUPTI_EXTERNAL_CUSTOM0 = 3 };

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
    uint32_t device, context, stream, correlation;
} __attribute__((packed, aligned(8)));

struct cupti_memset {
    uint32_t kind, value;
    uint64_t bytes, start, end;
    uint32_t device, context, stream, correlation;
} __attribute__((packed, aligned(8)));

struct cupti_api {
    uint32_t kind, callback;
    uint64_t start, end;
    uint32_t process, thread, correlation, result;
} __attribute__((packed, aligned(8)));

struct cupti_external {
    uint32_t kind, external_kind;
    uint64_t external_id;
    uint32_t correlation, reserved;
} __attribute__((packed, aligned(8)));

struct cupti_synchronization {
    uint32_t kind, type;
    uint64_t start, end;
    uint32_t correlation, context, stream;
} __attribute__((packed, aligned(8)));

/* API calls that start device work; only these are recorded. The numbers are CUPTI's callback ids and never change. */
static const uint32_t cupti_runtime_launches[] = {13, 211, 213, 214, 269, 270, 272, 311, 312, 430, 431, 505, 506};
static const uint32_t cupti_driver_launches[] = {115, 116, 117, 307, 442, 477, 478, 480, 514, 515, 652, 653};

#endif
