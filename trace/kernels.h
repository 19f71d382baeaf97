/* GPU activity as it lies in a KERNELS block: one row a kernel, copy, memset or graph launch, in the order in which it was learnt.
 * Columns of zigzag varint differences, each compressed by LZ4 where that is smaller. FORMAT.md, "KERNELS", is the specification. */
#ifndef TVG_TRACE_KERNELS_H
#define TVG_TRACE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

struct tvg_kernel {
    uint64_t start_ns;    /* CLOCK_MONOTONIC, on the device's clock as the driver converts it */
    uint64_t duration_ns;
    uint64_t launch_ns;   /* when the launching call began; 0 unknown */
    uint64_t bytes;       /* copies and memsets */
    uint32_t op_id;       /* dictionary entry of the activity itself: kernel name, grid, block, registers, shared memory */
    uint32_t cause;       /* dictionary entry of the recorded library call that launched it; TVG_OP_ID_NONE: none */
    uint32_t tid;         /* thread of the launching call; 0 unknown */
    uint32_t stream;
    uint32_t graph;       /* CUDA graph that replayed it; 0 none */
    uint32_t replayed;    /* 1: the first kernel of a library call that was captured into the graph, so one execution of that call; else 0 */
};

enum { TVG_KERNELS_MAX = 8192, TVG_KERNEL_COLUMNS = 10 };
#define TVG_KERNELS_ENCODED_MAX(n) (4096u + (size_t)(n) * 96u)
#define TVG_KERNELS_SCRATCH(n) (4096u + (size_t)(n) * 24u)

/* Encodes `count` rows of device `device` as a whole block at `out`; `scratch` is the caller's. Returns bytes written. */
size_t tvg_encode_kernels(void *out, size_t capacity, int device, const struct tvg_kernel *rows, size_t count, void *scratch);
/* Decodes a payload into `rows` (TVG_KERNELS_MAX entries). Returns the number of rows, or -1 when the payload contradicts itself. */
long tvg_decode_kernels(const void *payload, size_t length, int *device, struct tvg_kernel *rows, void *scratch, size_t scratch_bytes);

#endif
