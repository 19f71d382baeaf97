/* What a cuDNN graph computes, out of its operations. The numbers are those of cuDNN 8 and 9's public enumerations. */
#ifndef TVG_SHIM_CUDNN_GRAPH_H
#define TVG_SHIM_CUDNN_GRAPH_H

#include "cudnn.h"

enum { TVG_CUDNN_OPERANDS = 9, TVG_CUDNN_OPERATIONS = 64 };

/* One tensor of an operation, copied: its own descriptor may be destroyed first. */
struct tvg_cudnn_operand {
    struct tvg_cudnn_tensor tensor;
    int64_t id;          /* unique in its graph */
    bool not_in_memory;  /* passed from one operation to the next, or by value */
    bool present;
};

/* A graph's one op, shared by all descriptors that lead to a plan of it. */
struct tvg_cudnn_summary {
    uint32_t references;
    struct tvg_op op;
};

/* One descriptor of the host. A tensor lies in its own operand[0]. */
struct tvg_cudnn_descriptor {
    int32_t kind, pointwise_mode;
    bool unsure; /* its sizes are bounds: true lengths lie in device memory; or, of what is run, others are given */
    struct tvg_cudnn_summary *summary;
    struct tvg_cudnn_operand operand[TVG_CUDNN_OPERANDS];
};

struct tvg_cudnn_graph {
    uint32_t count;
    bool incomplete; /* an operation is not known */
    const struct tvg_cudnn_descriptor *operation[TVG_CUDNN_OPERATIONS];
};

/* Which operand of its operation the attribute `name` sets; -1: none that counts. */
int tvg_cudnn_place(int name);
/* Whether the attribute `name` makes sizes unsure. */
bool tvg_cudnn_makes_unsure(int name);
/* One op for the whole graph, which cuDNN runs as one fused call: kind and shape of its greatest operation, FLOP of all its products, bytes of the tensors
 * that are in memory, each once. False when it can't be told (an operation is not known, or tensors contradict each other). */
bool tvg_cudnn_summarise(struct tvg_op *op, const struct tvg_cudnn_graph *graph);

#endif
