/* OpenVINO on the CPU: each node of a graph that runs is one op, with the shapes of the memory on its edges, whatever computes it (oneDNN, MLAS,
 * a kernel made at run time). Nodes inside nodes (loops, branches) are ops of their own. What can't be counted is noted. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "../../trace/op.h"
#include "../intercept/resolve.h"
#include "../intercept/wrapper.h"
#include "../record/record.h"
#include "openvino.h"

enum form { FULLY_CONNECTED, MATMUL, CONVOLUTION, DECONVOLUTION, RECURRENT, ATTENTION, SUBGRAPH, UNCOUNTED, BEYOND };

/* What the classes compute, and which inputs are the operands. Those that are not here are no products. */
static const struct node_class {
    const char *class;
    enum form form;
    uint8_t kind;
    int a, b;
} node_classes[] = {
    {"FullyConnected", FULLY_CONNECTED, TVG_KIND_GEMM, 0, 1},
    {"MatMul", MATMUL, TVG_KIND_GEMM, 0, 1},
    {"Convolution", CONVOLUTION, TVG_KIND_CONV, 0, 1},
    {"DeformableConvolution", CONVOLUTION, TVG_KIND_CONV, 0, 2},
    {"Deconvolution", DECONVOLUTION, TVG_KIND_CONV, 0, 1},
    {"RNN", RECURRENT, TVG_KIND_RNN, 0, 1},
    {"Subgraph", SUBGRAPH, TVG_KIND_ELEMENTWISE, 0, 1},
    {"ScaledDotProductAttention", ATTENTION, TVG_KIND_ATTENTION, 0, 1},
    {"PagedAttention", UNCOUNTED, TVG_KIND_ATTENTION, 0, 1},
    {"QKVProjection", UNCOUNTED, TVG_KIND_OTHER, 0, 1},
    {"LLMMLP", UNCOUNTED, TVG_KIND_OTHER, 0, 1},
    {"GatherMatmul", UNCOUNTED, TVG_KIND_OTHER, 0, 1},
    {"Interaction", UNCOUNTED, TVG_KIND_OTHER, 0, 1},
    {"BinaryConvolution", UNCOUNTED, TVG_KIND_CONV, 0, 1},
    {"GatedDeltaNet", UNCOUNTED, TVG_KIND_RNN, 0, 1},
    {"PagedGatedDeltaNet", UNCOUNTED, TVG_KIND_RNN, 0, 1},
    {"SelectiveSSM", UNCOUNTED, TVG_KIND_RNN, 0, 1},
    {"PagedSelectiveSSM", UNCOUNTED, TVG_KIND_RNN, 0, 1},
    {"PagedCausalConv1D", UNCOUNTED, TVG_KIND_CONV, 0, 1},
    {"Eltwise", BEYOND, TVG_KIND_ELEMENTWISE, 0, 1},
    {"SoftMax", BEYOND, TVG_KIND_SOFTMAX, 0, 1},
    {"LogSoftmax", BEYOND, TVG_KIND_SOFTMAX, 0, 1},
    {"MVN", BEYOND, TVG_KIND_NORM, 0, 1},
    {"RMSNorm", BEYOND, TVG_KIND_NORM, 0, 1},
    {"NormalizeL2", BEYOND, TVG_KIND_NORM, 0, 1},
    {"Lrn", BEYOND, TVG_KIND_NORM, 0, 1},
    {"Pooling", BEYOND, TVG_KIND_POOL, 0, 1},
    {"Reduce", BEYOND, TVG_KIND_REDUCE, 0, 1},
    {"RoPE", BEYOND, TVG_KIND_ROPE, 0, 1},
    {"Gather", BEYOND, TVG_KIND_EMBEDDING, 0, 1},
    {"Transpose", BEYOND, TVG_KIND_TRANSPOSE, 0, 1},
    {"Reorder", BEYOND, TVG_KIND_COPY, 0, 1},
    {"Convert", BEYOND, TVG_KIND_COPY, 0, 1},
    {"Concat", BEYOND, TVG_KIND_COPY, 0, 1},
    {"FakeQuantize", BEYOND, TVG_KIND_QUANTIZE, 0, 1},
};

static const struct node_class *class_of(const struct tvg_ov_node *node)
{
    static const struct node_class other = {"", BEYOND, TVG_KIND_OTHER, 0, 1};
    for (size_t i = 0; i < sizeof node_classes / sizeof *node_classes; i++)
        if (tvg_ov_is(node, node_classes[i].class))
            return &node_classes[i];
    return &other;
}

struct operands {
    struct tvg_ov_tensor a, b, c;
};

static int64_t last(const struct tvg_ov_tensor *tensor, int from_end)
{
    return tensor->rank > from_end ? tensor->dim[tensor->rank - 1 - from_end] : 1;
}

/* Rows of A times B stored as n rows of k, in groups when it is compressed. */
static bool shape_fully_connected(struct tvg_op *op, const struct operands *x)
{
    op->k = last(&x->a, 0), op->n = last(&x->c, 0);
    if (x->a.rank < 1 || x->c.rank < 1 || op->n == 0 || x->b.elements != (uint64_t)(op->k * op->n))
        return false;
    op->m = (int64_t)(x->c.elements / (uint64_t)op->n);
    op->flags |= TVG_OP_TRANS_B;
    return op->k == 0 || x->a.elements == (uint64_t)(op->m * op->k);
}

static void shape_product(struct tvg_op *op, const struct tvg_ov_product *product)
{
    op->m = product->m, op->n = product->n, op->k = product->k, op->batch = product->batch;
    if (product->shared_b) /* the batch is more rows */
        op->m *= op->batch, op->batch = 1;
    if (op->batch > 1) {
        op->flags |= TVG_OP_BATCH_STRIDED;
        op->stride_a = op->stride_b = op->stride_c = 1;
    }
}

/* C(m,n): the output's last two dimensions; k is what of A's matrix is left, transposed or not. */
static bool shape_matmul(struct tvg_op *op, const struct operands *x)
{
    if (x->a.rank < 2 || x->b.rank < 2 || x->c.rank < 2 || x->c.elements == 0)
        return false;
    int64_t m = last(&x->c, 1), n = last(&x->c, 0), matrix = last(&x->a, 0) * last(&x->a, 1), k = matrix / m;
    if (matrix % m != 0 || last(&x->b, 0) * last(&x->b, 1) != k * n)
        return false;
    op->flags |= (last(&x->a, 0) == k ? 0 : TVG_OP_TRANS_A) | (last(&x->b, 0) == n ? 0 : TVG_OP_TRANS_B);
    shape_product(op, &(struct tvg_ov_product){m, n, k, (int64_t)x->c.elements / (m * n), x->b.elements == (uint64_t)(k * n)});
    return true;
}

/* Input [N, C, spatial], weights [K, C / groups, kernel] or [groups, K / groups, C / groups, kernel], output [N, K, spatial]. */
static bool shape_convolution(struct tvg_op *op, const struct operands *x)
{
    int spatial = x->a.rank - 2, at = 0;
    bool grouped = x->b.rank == x->a.rank + 1;
    if (spatial < 1 || spatial > 3 || (!grouped && x->b.rank != x->a.rank) || x->c.rank != x->a.rank || x->a.dim[0] != x->c.dim[0])
        return false;
    int64_t groups = grouped ? x->b.dim[0] : 1, outputs = groups * x->b.dim[grouped], inputs = groups * x->b.dim[1 + grouped];
    if (outputs != x->c.dim[1] || inputs < 1 || x->a.dim[1] % inputs != 0)
        return false;
    op->dim_spatial = (uint8_t)spatial;
    op->dim[at++] = x->a.dim[0];
    op->dim[at++] = x->a.dim[1];
    for (int i = 0; i < spatial; i++)
        op->dim[at++] = x->a.dim[2 + i];
    op->dim[at++] = outputs;
    for (int i = 0; i < spatial; i++)
        op->dim[at++] = x->b.dim[2 + grouped + i];
    for (int i = 0; i < spatial; i++)
        op->dim[at++] = x->c.dim[2 + i];
    op->dim[at++] = groups * (x->a.dim[1] / inputs);
    op->dim_count = (uint8_t)at;
    return true;
}

/* Weights [directions, gates * H, I] and [directions, gates * H, H], a pair of inputs side by side; each step of each row meets both. */
static bool count_recurrent(struct tvg_op *op, const struct tvg_ov_node *node, struct operands *x)
{
    struct tvg_ov_tensor state, input, recurrent;
    if (!tvg_ov_input(node, 1, &state) || x->a.rank < 2 || state.rank < 2)
        return false;
    int64_t width = last(&x->a, 0), hidden = last(&state, 0);
    for (int port = 2; port + 1 < node->inputs; port++)
        if (tvg_ov_input(node, port, &input) && tvg_ov_input(node, port + 1, &recurrent) && input.rank >= 2 && input.rank == recurrent.rank &&
            last(&input, 0) == width && last(&recurrent, 0) == hidden && last(&input, 1) == last(&recurrent, 1) && hidden > 0 && width > 0 &&
            last(&input, 1) % hidden == 0) {
            op->flop = 2 * (x->a.elements / (uint64_t)width) * (input.elements + recurrent.elements);
            x->b = input;
            x->b.elements += recurrent.elements;
            return true;
        }
    return false;
}

/* Where `all` is longer than `past` by what `now` brings, and else alike: the dimension of the tokens. -1: no such dimension. */
static int token_dimension(const struct tvg_ov_tensor *all, const struct tvg_ov_tensor *past, const struct tvg_ov_tensor *now)
{
    int found = -1;
    for (int i = 0; i < all->rank; i++) {
        if (past->dim[i] == all->dim[i] && now->dim[i] == all->dim[i])
            continue;
        if (found >= 0 || past->dim[i] + now->dim[i] != all->dim[i])
            return -1;
        found = i;
    }
    return found;
}

/* Queries, keys, values of the new tokens, perhaps a mask, ..., keys and values of the tokens before; gives the result, and all keys and values. What
 * is masked out is computed, but without a mask it can't be seen whether later tokens are left out. */
static bool count_attention(struct tvg_op *op, const struct tvg_ov_node *node, struct operands *x)
{
    struct tvg_ov_tensor keys, values, past, mask, kept;
    if (!tvg_ov_output(node, 1, &keys) || !tvg_ov_output(node, 2, &values) || !tvg_ov_input(node, node->inputs - 2, &past) ||
        x->b.rank != keys.rank || past.rank != keys.rank || x->a.rank != keys.rank)
        return false;
    int tokens = token_dimension(&keys, &past, &x->b);
    if (tokens < 0)
        return false;
    bool has_mask = tvg_ov_input(node, 3, &mask) && mask.rank >= 2 && last(&mask, 0) == keys.dim[tokens];
    if (!has_mask && x->a.dim[tokens] != 1)
        return false;
    op->flop = 2 * (uint64_t)keys.dim[tokens] * (x->a.elements + x->c.elements);
    bool is_kept = tvg_ov_state(node, &kept) && kept.rank == keys.rank; /* perhaps in fewer bits than the node's edges say */
    op->type_b = is_kept ? kept.type : TVG_TYPE_NONE;
    x->b = is_kept ? kept : keys;
    x->b.elements = keys.elements + values.elements;
    return true;
}

/* Sets FLOP and bytes of what op.h has no formula for. */
static void give(struct tvg_op *op, const struct operands *x)
{
    op->flags |= TVG_OP_FLOP_GIVEN;
    op->bytes_a = tvg_type_bytes(op->type_a, x->a.elements);
    op->bytes_b = tvg_type_bytes(op->type_b, x->b.elements);
    op->bytes_c = tvg_type_bytes(op->type_c, x->c.elements);
    op->bytes = op->bytes_a + op->bytes_b + op->bytes_c;
}

/* On processors with AVX2 alone a depthwise convolution of 3 x 3 may run inside the one before it: its weights are then one more input. */
static bool has_depthwise(const struct tvg_ov_node *node, const struct operands *x, struct tvg_ov_tensor *weights)
{
    for (int port = 2; port < node->inputs; port++)
        if (tvg_ov_input(node, port, weights) && weights->rank == x->a.rank + 1)
            return true;
    return false;
}

/* Both: what lies between them has no memory of its own, so its shape is that which the second one was made for. */
static bool count_two_convolutions(struct tvg_op *op, const struct tvg_ov_node *node, struct operands *x, const struct tvg_ov_tensor *depthwise)
{
    struct operands first = *x;
    if (!tvg_ov_fused_convolution(node, &first.c) || first.c.rank != x->c.rank || first.c.dim[1] != x->c.dim[1] || !shape_convolution(op, &first) ||
        depthwise->dim[0] != x->c.dim[1] || depthwise->elements % (uint64_t)depthwise->dim[0] != 0)
        return false;
    for (int i = 2; i < x->c.rank; i++) {
        int64_t out = x->c.dim[i], between = first.c.dim[i];
        if (depthwise->dim[i + 1] != 3 || (between != out && (between - 1) / 2 + 1 != out)) /* padding 1, stride 1 or 2 */
            return false;
    }
    tvg_op_count(op);
    uint64_t flop = op->flop;
    x->b.elements += depthwise->elements;
    op->dim_count = op->dim_spatial = 0;
    give(op, x);
    op->flop = flop + 2 * x->c.elements * (depthwise->elements / (uint64_t)depthwise->dim[0]);
    return true;
}

/* scores[Lq, Lk] over D, then mixed[Lq, D] over Lk: attention as op.h has it. Batch and heads are one dimension here. */
static bool shape_attention(struct tvg_op *op, const struct tvg_ov_product *scores, const struct tvg_ov_product *mixed)
{
    if (scores->m != mixed->m || scores->n != mixed->k || scores->k != mixed->n || scores->batch != mixed->batch)
        return false;
    const int64_t dims[] = {scores->batch, 1, 1, scores->m, scores->n, scores->k, 0};
    op->kind = TVG_KIND_ATTENTION;
    op->dim_count = sizeof dims / sizeof *dims;
    memcpy(op->dim, dims, sizeof dims);
    return true;
}

/* A Subgraph with one product is that; with two around a softmax, attention; else what all its products make. -1: not told; 0: it has none. */
static int shape_subgraph(struct tvg_op *op, const struct tvg_ov_node *node, struct operands *x)
{
    struct tvg_ov_product product[TVG_OV_PRODUCTS_MAX];
    bool attends;
    int count = tvg_ov_body(node, product, &attends);
    if (count == 1) {
        op->kind = TVG_KIND_GEMM;
        shape_product(op, &product[0]);
    }
    if (count <= 1 || (count == 2 && attends && (shape_attention(op, &product[0], &product[1]) || shape_attention(op, &product[1], &product[0]))))
        return count;
    op->kind = TVG_KIND_OTHER;
    for (int i = 0; i < count; i++)
        op->flop += 2 * (uint64_t)(product[i].m * product[i].n) * (uint64_t)(product[i].k * product[i].batch);
    struct tvg_ov_tensor tensor;
    for (int port = 2; port < node->inputs; port++)
        if (tvg_ov_input(node, port, &tensor))
            x->b.elements += tensor.elements; /* B stands for every input but the first */
    give(op, x);
    return count;
}

/* False: not to be recorded, or not yet: what is no product may have an output whose shape depends on its data. */
static bool describe(struct tvg_op *op, const struct tvg_ov_node *node, const struct node_class *class, struct operands *x)
{
    tvg_ov_input(node, class->a, &x->a);
    tvg_ov_input(node, class->b, &x->b);
    bool is_read = tvg_ov_output(node, 0, &x->c);
    op->kind = class->kind;
    op->type_a = x->a.type, op->type_b = x->b.type, op->type_c = x->c.type;
    if (class->form < RECURRENT && x->b.type == TVG_TYPE_F32 && (x->a.type == TVG_TYPE_BF16 || x->a.type == TVG_TYPE_F16))
        op->type_b = x->a.type; /* the node keeps a copy of its weights in the type that it computes in */
    op->type_compute = tvg_type_info(x->a.type)->is_integer ? x->b.type : x->a.type; /* compressed weights are expanded to A's type */
    op->flags |= TVG_OP_ROW_MAJOR | TVG_OP_BETA_ZERO;
    bool counted = false;
    struct tvg_ov_tensor depthwise;
    switch (class->form) {
    case FULLY_CONNECTED:
        counted = is_read && shape_fully_connected(op, x);
        break;
    case MATMUL:
        counted = is_read && shape_matmul(op, x);
        break;
    case CONVOLUTION:
        counted = is_read && (has_depthwise(node, x, &depthwise) ? count_two_convolutions(op, node, x, &depthwise) : shape_convolution(op, x));
        break;
    case DECONVOLUTION: /* each input element meets each kernel element of its channel */
        counted = is_read && x->a.rank > 2 && x->a.dim[1] > 0 && x->b.elements % (uint64_t)x->a.dim[1] == 0;
        if (counted) {
            give(op, x);
            op->flop = 2 * x->a.elements * (x->b.elements / (uint64_t)x->a.dim[1]);
        }
        break;
    case RECURRENT:
        counted = is_read && count_recurrent(op, node, x);
        if (counted)
            give(op, x);
        break;
    case ATTENTION:
        counted = is_read && count_attention(op, node, x);
        if (counted)
            give(op, x);
        break;
    case SUBGRAPH: {
        int told = shape_subgraph(op, node, x);
        if (told == 0 && !tvg_all_operations())
            return false;
        counted = told >= 0;
        if (told == 0)
            give(op, x);
        break;
    }
    case BEYOND:
        give(op, x);
        counted = true;
        if (!is_read)
            return false;
        break;
    case UNCOUNTED:
        break;
    }
    if (!counted) {
        op->m = op->n = op->k = op->batch = 0;
        op->dim_count = op->dim_spatial = 0;
        op->flop = 0;
        give(op, x);
        op->flags |= TVG_OP_DIMS_UNSURE;
        char subject[128];
        snprintf(subject, sizeof subject, "OpenVINO %.*s", node->class_length, node->class);
        if (is_read)
            tvg_note("found-not-catchable", subject, "its FLOP are not counted: only time and operands are known");
        else
            tvg_note("unknown-version", subject, "a tensor's descriptor is laid out in an unknown way");
    }
    return true;
}

/* What the thread is about to record, while its description may be asked for: the dictionary knows it by a hash of its content. */
static __thread const struct tvg_op *described __attribute__((tls_model("initial-exec")));

tvg_describe tvg_ov_describe;
void tvg_ov_describe(const struct tvg_entry *entry, const struct tvg_key *key, struct tvg_op *op)
{
    struct tvg_op found = *op; /* what is known of the call */
    (void)entry, (void)key;
    *op = *described;
    op->library = found.library, op->net = found.net, op->device = found.device;
    op->caller = found.caller, op->caller_library = found.caller_library, op->caller_offset = found.caller_offset;
}

static struct tvg_slot *find_slot(struct tvg_call *call, const struct tvg_entry *entry, const struct tvg_op *op, const void *caller)
{
    const size_t begin = offsetof(struct tvg_op, kind), end = offsetof(struct tvg_op, caller), counts = offsetof(struct tvg_op, flop);
    XXH128_hash_t content = XXH3_128bits((const char *)op + begin, end - begin);
    uint64_t given = XXH3_64bits((const char *)op + counts, sizeof *op - counts), texts = XXH3_64bits(op->function, strlen(op->function));
    if (op->name)
        texts = XXH3_64bits_withSeed(op->name, strlen(op->name), texts);
    struct tvg_key key = {{entry->number, content.low64, content.high64, texts, given, (uintptr_t)caller}};
    described = op;
    struct tvg_slot *slot = tvg_slot_find(call, entry, &key);
    described = NULL;
    return slot;
}

static struct tvg_slot *describe_and_find(struct tvg_call *call, const struct tvg_entry *entry, const struct tvg_ov_node *node, const struct node_class *class,
                                          struct operands *x, const void *caller)
{
    char function[64];
    struct tvg_op op;
    memset(&op, 0, sizeof op); /* padding too: it is hashed */
    memset(x, 0, sizeof *x);
    snprintf(function, sizeof function, "%.*s", node->class_length, node->class);
    op.function = function;
    if (tvg_all_operations() && node->name[0]) /* what stands around a product is told by the node */
        op.name = node->name;
    return describe(&op, node, class, x) ? find_slot(call, entry, &op, caller) : NULL;
}

static bool has_other_output(const struct tvg_ov_node *node, const struct operands *x)
{
    struct tvg_ov_tensor now;
    return tvg_ov_output(node, 0, &now) && (now.elements != x->c.elements || now.rank != x->c.rank);
}

static bool any_seen; /* a node that ran */

/* Whether the entry's slot is that of an executing function: one that once had a stream for its argument. */
static bool is_executing(const struct tvg_entry *entry, const void *argument)
{
    static uint8_t proved[1 << 16];
    if (!__atomic_load_n(&proved[entry->number], __ATOMIC_RELAXED)) {
        if (!tvg_ov_is_stream(argument))
            return false;
        __atomic_store_n(&proved[entry->number], 1, __ATOMIC_RELAXED);
    }
    return true;
}

/* Virtual functions of a node whose second argument is the stream; any others that a wrong slot may give are passed on whole. */
typedef uintptr_t node_function(uintptr_t node, uintptr_t stream, uintptr_t c, uintptr_t d, uintptr_t e, uintptr_t f);

node_function tvg_hook_ov_execute;
TVG_HOOK_BODY uintptr_t tvg_hook_ov_execute(uintptr_t object, uintptr_t stream, uintptr_t c, uintptr_t d, uintptr_t e, uintptr_t f)
{
    TVG_TAKE_ENTRY(entry);
    void *const target = tvg_target(entry, NULL), *const caller = __builtin_return_address(0);
    node_function *const real = TVG_FUNCTION(node_function, target);
    struct tvg_call call __attribute__((cleanup(tvg_call_release)));
    if (!tvg_call_begin(&call, __builtin_frame_address(0)))
        return real(object, stream, c, d, e, f);
    int saved = errno;
    struct tvg_ov_node node;
    const struct node_class *class = NULL;
    struct operands operands = {0};
    struct tvg_slot *slot = NULL;
    __atomic_store_n(&any_seen, true, __ATOMIC_RELAXED);
    if (!tvg_ov_is_followed(caller))
        tvg_note("found-not-catchable", "OpenVINO", "a second copy of its CPU plugin is in the process: only the first is followed");
    else if (!is_executing(entry, (const void *)stream))
        tvg_note("unknown-version", tvg_object_name(caller, NULL), "the functions that execute a node are not where they are known to be: nothing is recorded");
    else if (tvg_ov_open(&node, (const void *)object)) {
        class = class_of(&node);
        if (class->form != ATTENTION)
            slot = describe_and_find(&call, entry, &node, class, &operands, caller);
    }
    errno = saved;
    call.start = tvg_now();
    uintptr_t result = real(object, stream, c, d, e, f);
    uint64_t end = tvg_now();
    /* Known now only: in which type attention keeps what it keeps, and sizes that depend on the data. */
    if (class && (class->form == ATTENTION || (class->form == BEYOND && has_other_output(&node, &operands)))) {
        saved = errno;
        slot = describe_and_find(&call, entry, &node, class, &operands, caller);
        errno = saved;
    }
    if (slot)
        tvg_call_end_at(&call, slot, end, operands.a.data, operands.b.data, operands.c.data);
    return result;
}

/* ov::InferRequest::infer, and wait of a request that was started: when they come back, nodes have run. Requests are kept by their addresses,
 * until a node was seen. */
static uintptr_t started[64];

static void say_when_nothing_was_seen(void)
{
    int saved = errno;
    if (!__atomic_load_n(&any_seen, __ATOMIC_RELAXED))
        tvg_note("found-not-catchable", "OpenVINO", "inference was done, and no product of its CPU plugin was seen by then: a model without products, another "
                 "device, or a build that is not known");
    errno = saved;
}

node_function tvg_hook_ov_infer;
TVG_HOOK_BODY uintptr_t tvg_hook_ov_infer(uintptr_t request, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e, uintptr_t f)
{
    TVG_TAKE_ENTRY(entry);
    uintptr_t result = TVG_FUNCTION(node_function, tvg_target(entry, NULL))(request, b, c, d, e, f);
    say_when_nothing_was_seen();
    return result;
}

node_function tvg_hook_ov_start;
TVG_HOOK_BODY uintptr_t tvg_hook_ov_start(uintptr_t request, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e, uintptr_t f)
{
    TVG_TAKE_ENTRY(entry);
    __atomic_store_n(&started[request / 8 % 64], request, __ATOMIC_RELAXED);
    return TVG_FUNCTION(node_function, tvg_target(entry, NULL))(request, b, c, d, e, f);
}

node_function tvg_hook_ov_wait;
TVG_HOOK_BODY uintptr_t tvg_hook_ov_wait(uintptr_t request, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e, uintptr_t f)
{
    TVG_TAKE_ENTRY(entry);
    uintptr_t result = TVG_FUNCTION(node_function, tvg_target(entry, NULL))(request, b, c, d, e, f);
    if (__atomic_load_n(&started[request / 8 % 64], __ATOMIC_RELAXED) == request)
        say_when_nothing_was_seen();
    return result;
}
