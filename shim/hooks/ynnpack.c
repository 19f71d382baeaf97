/* YNNPACK, below XLA's CPU backend (jax): a graph's shapes are followed while it is defined, and each time it is run its products and the
 * elementwise work around them are recorded, with shares of the run's time. What only rearranges data is no op: the library folds it in. */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "../../trace/op.h"
#include "../intercept/inline.h"
#include "../intercept/resolve.h"
#include "../intercept/wrapper.h"
#include "../record/record.h"
#include "../record/sys.h"
#include "described.h"
#include "registry.h"
#include "share.h"

enum { RANK_MAX = 10, WINDOW_MAX = 6, ARGUMENTS = 11, PREFIX = sizeof "ynn_define_" - 1 };
static const uint32_t NO_VALUE = UINT32_MAX;

/* A value of a graph. */
struct value {
    int64_t dim[RANK_MAX];
    const void *data;  /* of a constant */
    uint32_t origin;   /* the value that it is another view of; itself when it is none's */
    uint8_t rank, type;
    bool known, transposed;
    uint32_t windowed; /* the value that its windows were copied from: windows[i] elements along that value's dimension axis[i] */
    uint8_t window_count;
    int8_t axis[WINDOW_MAX];
    int64_t window[WINDOW_MAX];
};

/* Something that is computed when the graph is run, and the values that are its operands. */
struct node {
    struct tvg_op op;
    uint32_t value[3];
    const void *data[3];
    uint32_t weight;
};

struct graph {
    struct value *values;
    struct node *nodes;
    uint32_t value_count, value_room, node_count, node_room, external_count;
};

/* A graph made ready to run: what it computes, and where its external values lie. */
struct runtime {
    size_t bytes;
    uint64_t weight;
    uint32_t node_count, external_count;
    const void **external;
    struct node nodes[];
};

static struct tvg_registry graphs, runtimes;

/* Room for one more element of `size` bytes behind `count`. */
static bool grow(void *array, uint32_t count, uint32_t *room, size_t size)
{
    void *old, *new;
    if (count < *room)
        return true;
    size_t bytes = *room ? *room * size * 2 : 4096;
    memcpy(&old, array, sizeof old);
    if (!(new = tvg_sys_memory(bytes)))
        return false;
    if (old) {
        memcpy(new, old, count * size);
        munmap(old, *room * size);
    }
    *room = (uint32_t)(bytes / size);
    memcpy(array, &new, sizeof new);
    return true;
}

static void drop_graph(struct graph *graph)
{
    if (!graph)
        return;
    if (graph->values)
        munmap(graph->values, graph->value_room * sizeof *graph->values);
    if (graph->nodes)
        munmap(graph->nodes, graph->node_room * sizeof *graph->nodes);
    munmap(graph, sizeof *graph);
}

static void drop_runtime(struct runtime *runtime)
{
    if (runtime)
        munmap(runtime, runtime->bytes);
}

/* The value `id`, made unknown when it is new. NULL for no value at all. */
static struct value *value_at(struct graph *graph, uint32_t id)
{
    if (id > 1u << 20)
        return NULL;
    while (graph->value_count <= id) {
        if (!grow(&graph->values, graph->value_count, &graph->value_room, sizeof *graph->values))
            return NULL;
        graph->values[graph->value_count] = (struct value){.origin = graph->value_count, .windowed = NO_VALUE};
        graph->value_count++;
    }
    return &graph->values[id];
}

/* By the name that the library itself gives to a number: numbers have moved between versions. */
static uint8_t type_of(uint32_t number, const void *code)
{
    static const struct { const char *name; uint8_t type; } types[] = {
        {"fp32", TVG_TYPE_F32}, {"fp64", TVG_TYPE_F64}, {"fp16", TVG_TYPE_F16}, {"bf16", TVG_TYPE_BF16}, {"int32", TVG_TYPE_I32},
        {"int8", TVG_TYPE_I8}, {"uint8", TVG_TYPE_U8}, {"int4", TVG_TYPE_I4}, {"uint4", TVG_TYPE_U4}};
    typedef const char *to_string_function(uint32_t);
    to_string_function *to_string = TVG_FUNCTION(to_string_function, tvg_inline_symbol(code, "_ZN3ynn9to_stringE8ynn_type"));
    const char *name = to_string ? to_string(number) : NULL;
    for (size_t i = 0; name && i < sizeof types / sizeof *types; i++)
        if (strcmp(name, types[i].name) == 0)
            return types[i].type;
    tvg_note("unknown-version", "YNNPACK", "an element type without a name: its operands have no type");
    return TVG_TYPE_NONE;
}

static uint64_t elements(const struct value *value)
{
    uint64_t count = 1;
    for (int i = 0; i < value->rank; i++)
        count *= (uint64_t)value->dim[i];
    return count;
}

/* -- How a definition's result is shaped. `out` comes as a copy of the first operand, and is left as it is to be; false: it can't be told. -- */

typedef bool shape_function(struct graph *graph, const uintptr_t *argument, struct value *out);

static int axis_of(int32_t axis, int rank)
{
    int from_start = axis < 0 ? axis + rank : axis;
    return from_start >= 0 && from_start < rank ? from_start : -1;
}

static bool insert(struct value *value, int at, int64_t dim)
{
    if (at < 0 || at > value->rank || value->rank == RANK_MAX)
        return false;
    memmove(value->dim + at + 1, value->dim + at, (size_t)(value->rank - at) * sizeof *value->dim);
    value->dim[at] = dim;
    value->rank++;
    return true;
}

static bool same(struct graph *graph, const uintptr_t *argument, struct value *out)
{
    (void)graph, (void)argument, (void)out;
    return true;
}

/* Dimensions meet at the last; where one is 1 the other counts. */
static bool widen(struct value *out, const struct value *other)
{
    while (out->rank < other->rank)
        if (!insert(out, 0, 1))
            return false;
    for (int i = 0; i < other->rank; i++) {
        int64_t *dim = &out->dim[out->rank - 1 - i];
        if (*dim == 1)
            *dim = other->dim[other->rank - 1 - i];
    }
    return true;
}

static bool binary(struct graph *graph, const uintptr_t *argument, struct value *out)
{
    const struct value *b = value_at(graph, (uint32_t)argument[3]);
    return b && b->known && widen(out, b);
}

static bool take_dims(struct value *out, const uintptr_t *argument)
{
    const size_t *dims = (const size_t *)argument[2];
    struct value wanted = *out;
    if (argument[1] > RANK_MAX)
        return false;
    wanted.rank = (uint8_t)argument[1];
    for (int i = 0; i < wanted.rank; i++)
        wanted.dim[i] = (int64_t)dims[i];
    *out = wanted;
    return true;
}

static bool broadcast(struct graph *graph, const uintptr_t *argument, struct value *out)
{
    (void)graph;
    struct value before = *out;
    if (!take_dims(out, argument) || out->rank < before.rank)
        return false;
    for (int i = 0; i < out->rank; i++)
        if (out->dim[i] == 0) { /* passed through */
            int from = i - (out->rank - before.rank);
            out->dim[i] = from < 0 ? 1 : before.dim[from];
        }
    return true;
}

static bool reshape(struct graph *graph, const uintptr_t *argument, struct value *out)
{
    (void)graph;
    uint64_t all = elements(out), others = 1;
    int open = -1;
    if (!take_dims(out, argument))
        return false;
    for (int i = 0; i < out->rank; i++)
        if (out->dim[i])
            others *= (uint64_t)out->dim[i];
        else
            open = i;
    if (open >= 0 && others)
        out->dim[open] = (int64_t)(all / others);
    out->transposed = false;
    return true;
}

static bool expand_dims(struct graph *graph, const uintptr_t *argument, struct value *out)
{
    (void)graph;
    const int32_t *axes = (const int32_t *)argument[2];
    int rank = out->rank + (int)argument[1], from = 0;
    struct value before = *out;
    if (argument[1] > RANK_MAX || rank > RANK_MAX)
        return false;
    for (int i = 0; i < rank; i++) {
        bool new = false;
        for (size_t j = 0; j < argument[1]; j++)
            new |= axis_of(axes[j], rank) == i;
        out->dim[i] = new ? 1 : from < before.rank ? before.dim[from++] : 1;
    }
    out->rank = (uint8_t)rank;
    return from == before.rank;
}

static bool fuse_dim(struct graph *graph, const uintptr_t *argument, struct value *out)
{
    (void)graph;
    int axis = axis_of((int32_t)argument[1], out->rank), count = (int)argument[2];
    if (axis < 0 || count < 1 || axis + count > out->rank)
        return false;
    for (int i = 1; i < count; i++)
        out->dim[axis] *= out->dim[axis + i];
    memmove(out->dim + axis + 1, out->dim + axis + count, (size_t)(out->rank - axis - count) * sizeof *out->dim);
    out->rank = (uint8_t)(out->rank - count + 1);
    return true;
}

static bool split_dim(struct graph *graph, const uintptr_t *argument, struct value *out)
{
    (void)graph;
    int axis = axis_of((int32_t)argument[1], out->rank), count = (int)argument[2], open = -1;
    const size_t *splits = (const size_t *)argument[3];
    if (axis < 0 || count < 1 || count > RANK_MAX)
        return false;
    int64_t all = out->dim[axis], others = 1;
    for (int i = 1; i < count; i++)
        if (!insert(out, axis, 1))
            return false;
    for (int i = 0; i < count; i++) {
        out->dim[axis + i] = (int64_t)splits[i];
        if (splits[i])
            others *= (int64_t)splits[i];
        else
            open = axis + i;
    }
    if (open >= 0 && others)
        out->dim[open] = all / others;
    return true;
}

static bool concatenate(struct graph *graph, const uintptr_t *argument, struct value *out)
{
    int axis = axis_of((int32_t)argument[1], out->rank);
    const uint32_t *ids = (const uint32_t *)argument[3];
    for (size_t i = 1; i < argument[2]; i++) {
        const struct value *next = value_at(graph, ids[i]);
        if (axis < 0 || !next || !next->known || next->rank != out->rank)
            return false;
        out->dim[axis] += next->dim[axis];
    }
    return axis >= 0;
}

/* Only what a slice without SLICE_DIMS gives; where it removes dimensions the definition of the result has to say. */
static bool slice(struct graph *graph, const uintptr_t *argument, struct value *out)
{
    (void)graph;
    const int32_t *axes = (const int32_t *)argument[2];
    const int64_t *begins = (const int64_t *)argument[3], *ends = (const int64_t *)argument[4], *strides = (const int64_t *)argument[5];
    if ((uint32_t)argument[8] & 1)
        return false;
    for (size_t i = 0; i < argument[1]; i++) {
        int axis = axis_of(axes[i], out->rank);
        if (axis < 0)
            return false;
        int64_t dim = out->dim[axis], begin = begins[i] < 0 ? begins[i] + dim : begins[i], end = ends[i] <= 0 ? ends[i] + dim : ends[i];
        int64_t stride = strides && strides[i] > 0 ? strides[i] : 1;
        end = end > dim ? dim : end;
        out->dim[axis] = end > begin ? (end - begin + stride - 1) / stride : 0;
    }
    return true;
}

static bool transpose(struct graph *graph, const uintptr_t *argument, struct value *out)
{
    (void)graph;
    const int32_t *permutation = (const int32_t *)argument[2];
    struct value before = *out;
    if (argument[1] > RANK_MAX)
        return false;
    out->rank = (uint8_t)argument[1];
    for (int i = 0; i < out->rank; i++) {
        int axis = axis_of(permutation[i], before.rank);
        if (axis < 0)
            return false;
        out->dim[i] = before.dim[axis];
    }
    int last = out->rank - 1;
    if (last > 0 && out->rank == before.rank && axis_of(permutation[last], before.rank) == last - 1 && axis_of(permutation[last - 1], before.rank) == last)
        out->transposed = !before.transposed;
    return true;
}

static bool pad(struct graph *graph, const uintptr_t *argument, struct value *out)
{
    (void)graph;
    const int32_t *axes = (const int32_t *)argument[2];
    const int64_t *before = (const int64_t *)argument[3], *behind = (const int64_t *)argument[4];
    for (size_t i = 0; i < argument[1]; i++) {
        int axis = axis_of(axes[i], out->rank);
        if (axis < 0)
            return false;
        out->dim[axis] += before[i] + behind[i];
    }
    return true;
}

/* Each axis shrinks to the places that a window has along it, and the window becomes a dimension of its own. */
static bool windows(struct graph *graph, const uintptr_t *argument, struct value *out)
{
    (void)graph;
    const int32_t *axes = (const int32_t *)argument[2], *new_axes = (const int32_t *)argument[3];
    const size_t *dims = (const size_t *)argument[4], *strides = (const size_t *)argument[5], *dilations = (const size_t *)argument[6];
    size_t count = argument[1];
    struct value before = *out;
    int rank = before.rank + (int)count, from = 0;
    if (count > WINDOW_MAX || rank > RANK_MAX)
        return false;
    bool padded = (uint32_t)argument[8] != NO_VALUE;
    for (size_t i = 0; i < count; i++) {
        int axis = axis_of(axes[i], before.rank);
        if (axis < 0 || strides[i] == 0)
            return false;
        int64_t span = padded ? 0 : ((int64_t)dims[i] - 1) * (int64_t)dilations[i];
        before.dim[axis] = before.dim[axis] > span ? (before.dim[axis] - span - 1) / (int64_t)strides[i] + 1 : 0;
        out->axis[i] = (int8_t)axis;
        out->window[i] = (int64_t)dims[i];
    }
    for (int i = 0; i < rank; i++) {
        size_t new = 0;
        while (new < count && axis_of(new_axes[new], rank) != i)
            new++;
        if (new == count && from == before.rank)
            return false;
        out->dim[i] = new < count ? (int64_t)dims[new] : before.dim[from++];
    }
    out->rank = (uint8_t)rank;
    out->window_count = (uint8_t)count;
    out->windowed = (uint32_t)argument[7];
    return from == before.rank;
}

static bool reduce(struct graph *graph, const uintptr_t *argument, struct value *out)
{
    (void)graph;
    const int32_t *axes = (const int32_t *)argument[3];
    bool keep = (uint32_t)argument[7] & 1;
    struct value before = *out;
    out->rank = 0;
    for (int i = 0; i < before.rank; i++) {
        bool gone = false;
        for (size_t j = 0; j < argument[2]; j++)
            gone |= axis_of(axes[j], before.rank) == i;
        if (!gone || keep)
            out->dim[out->rank++] = gone ? 1 : before.dim[i];
    }
    return true;
}

/* a [batch..., m, k...] times b [batch..., k..., n] */
static bool dot(struct graph *graph, const uintptr_t *argument, struct value *out)
{
    int sums = (int)argument[1];
    struct value batch = {0};
    const struct value *b = value_at(graph, (uint32_t)argument[3]);
    if (!b || !b->known || sums < 1 || out->rank < sums + 1 || b->rank < sums + 1)
        return false;
    batch.rank = (uint8_t)(b->rank - sums - 1);
    memcpy(batch.dim, b->dim, batch.rank * sizeof *b->dim);
    int64_t m = out->dim[out->rank - sums - 1];
    out->rank = (uint8_t)(out->rank - sums - 1);
    return widen(out, &batch) && insert(out, out->rank, m) && insert(out, out->rank, b->dim[b->rank - 1]);
}

/* -- What a definition computes. -- */

/* A product whose A is windows of an image is a convolution, when the dimensions lie as [N, spatial..., C]. */
static bool describe_convolution(struct tvg_op *op, struct graph *graph, const struct value *a, const struct value *b, int sums)
{
    const struct value *image = a->windowed != NO_VALUE ? value_at(graph, a->windowed) : NULL;
    int spatial = image ? image->rank - 2 : 0, at = 0;
    if (spatial < 1 || spatial > 3 || sums != spatial + 1)
        return false;
    const struct value *input = value_at(graph, image->origin); /* as it was before padding */
    if (!input || !input->known || input->rank != image->rank || input->dim[0] != image->dim[0] || input->dim[image->rank - 1] != image->dim[image->rank - 1])
        input = image;
    int64_t groups = 1, kernel[3] = {1, 1, 1}, channels = image->dim[image->rank - 1];
    for (int i = 0; i < a->window_count; i++)
        if (a->axis[i] == image->rank - 1)
            groups *= a->window[i];
        else if (a->axis[i] >= 1 && a->axis[i] <= spatial)
            kernel[a->axis[i] - 1] *= a->window[i];
        else
            return false;
    op->kind = TVG_KIND_CONV;
    op->dim_spatial = (uint8_t)spatial;
    op->dim[at++] = image->dim[0];
    op->dim[at++] = channels;
    for (int i = 0; i < spatial; i++)
        op->dim[at++] = input->dim[1 + i];
    op->dim[at++] = b->dim[b->rank - 1] * groups;
    for (int i = 0; i < spatial; i++)
        op->dim[at++] = kernel[i];
    for (int i = 0; i < spatial; i++)
        op->dim[at++] = a->dim[1 + i];
    op->dim[at++] = groups;
    op->dim_count = (uint8_t)at;
    return true;
}

static bool describe_dot(struct tvg_op *op, struct graph *graph, const uintptr_t *argument, const struct value *c)
{
    int sums = (int)argument[1];
    const struct value *a = value_at(graph, (uint32_t)argument[2]), *b = value_at(graph, (uint32_t)argument[3]);
    if (!a || !b || !a->known || !b->known || sums < 1 || a->rank < sums + 1 || b->rank < sums + 1)
        return false;
    op->type_a = a->type, op->type_b = b->type, op->type_c = c->type, op->type_compute = b->type;
    op->flags |= TVG_OP_ROW_MAJOR;
    if ((uint32_t)argument[4] == NO_VALUE)
        op->flags |= TVG_OP_BETA_ZERO;
    if (describe_convolution(op, graph, a, b, sums))
        return true;
    uint64_t k = 1, batch_b = 1;
    for (int i = 0; i < sums; i++)
        k *= (uint64_t)a->dim[a->rank - 1 - i];
    for (int i = 0; i < b->rank - sums - 1; i++)
        batch_b *= (uint64_t)b->dim[i];
    op->kind = TVG_KIND_GEMM;
    op->k = (int64_t)k;
    op->m = a->dim[a->rank - sums - 1];
    op->n = b->dim[b->rank - 1];
    if (op->m <= 0 || op->n <= 0 || k == 0)
        return false;
    uint64_t batch_a = elements(a) / ((uint64_t)op->m * k);
    struct value both = *a, other = *b;
    both.rank = (uint8_t)(a->rank - sums - 1), other.rank = (uint8_t)(b->rank - sums - 1);
    if (!widen(&both, &other))
        return false;
    op->batch = (int64_t)elements(&both);
    if (batch_b == 1) /* one B for all: the batch is more rows */
        op->m *= op->batch, op->batch = 1;
    if (op->batch > 1) {
        op->flags |= TVG_OP_BATCH_STRIDED;
        op->stride_a = batch_a > 1 ? op->m * op->k : 0;
        op->stride_b = op->k * op->n;
        op->stride_c = op->m * op->n;
    }
    op->lda = op->k, op->ldb = b->transposed ? op->k : op->n, op->ldc = op->n;
    if (b->transposed)
        op->flags |= TVG_OP_TRANS_B;
    return true;
}

static void describe_plain(struct tvg_op *op, const struct value *a, const struct value *b, const struct value *c)
{
    op->flags |= TVG_OP_FLOP_GIVEN;
    op->type_a = a->type, op->type_b = b ? b->type : TVG_TYPE_NONE, op->type_c = c->type;
    op->bytes_a = tvg_type_bytes(a->type, elements(a));
    op->bytes_b = b && b->known ? tvg_type_bytes(b->type, elements(b)) : 0;
    op->bytes_c = tvg_type_bytes(c->type, elements(c));
    op->bytes = op->bytes_a + op->bytes_b + op->bytes_c;
    op->dim_count = c->rank;
    memcpy(op->dim, c->dim, c->rank * sizeof *c->dim);
}

/* What is defined: where its first operand, its second (0: none) and its result stand among the arguments. Kind 0: no op of its own. A view
 * has the bytes of its operand. */
static const struct definition {
    const char *name;
    uint8_t a, b, c, kind;
    bool view;
    shape_function *shape;
} definitions[] = {
    {"unary", 2, 0, 3, TVG_KIND_ELEMENTWISE, false, same},
    {"convert", 1, 0, 5, TVG_KIND_ELEMENTWISE, false, same},
    {"quantize", 1, 0, 5, TVG_KIND_QUANTIZE, false, same},
    {"dequantize", 1, 0, 5, TVG_KIND_DEQUANTIZE, false, same},
    {"binary", 2, 3, 4, TVG_KIND_ELEMENTWISE, false, binary},
    {"reduce", 4, 0, 6, TVG_KIND_REDUCE, false, reduce},
    {"dot", 2, 3, 5, TVG_KIND_GEMM, false, dot},
    {"static_broadcast", 3, 0, 4, 0, true, broadcast},
    {"static_expand_dims", 3, 0, 4, 0, true, expand_dims},
    {"static_reshape", 3, 0, 4, 0, true, reshape},
    {"fuse_dim", 3, 0, 4, 0, true, fuse_dim},
    {"split_dim", 4, 0, 5, 0, true, split_dim},
    {"static_transpose", 3, 0, 4, 0, true, transpose},
    {"static_pad", 5, 0, 7, 0, true, pad},
    {"stencil_copy", 7, 0, 9, 0, true, windows},
    {"static_slice", 6, 0, 7, 0, true, slice},
    {"concatenate", 3, 0, 4, 0, false, concatenate},
};

static const struct definition *definition_of(const char *name)
{
    for (size_t i = 0; i < sizeof definitions / sizeof *definitions; i++)
        if (strcmp(definitions[i].name, name) == 0)
            return &definitions[i];
    return NULL;
}

static void add_node(struct graph *graph, const struct tvg_op *op, const uint32_t value[3])
{
    if (!grow(&graph->nodes, graph->node_count, &graph->node_room, sizeof *graph->nodes)) {
        tvg_note("lost", "YNNPACK", "no memory for what a graph computes");
        return;
    }
    struct node *node = &graph->nodes[graph->node_count++];
    *node = (struct node){.op = *op, .weight = tvg_share_weight(op)};
    for (int i = 0; i < 3; i++) {
        const struct value *operand = value_at(graph, value[i]), *origin = operand ? value_at(graph, operand->origin) : NULL;
        node->value[i] = origin ? operand->origin : NO_VALUE;
        node->data[i] = origin ? origin->data : NULL;
    }
}

static void define(struct graph *graph, const struct definition *definition, const char *function, const uintptr_t *argument, const void *code)
{
    uint32_t first = (uint32_t)argument[definition->a], result;
    if (definition->shape == concatenate) /* its operands are a list */
        memcpy(&first, (const void *)argument[definition->a], sizeof first);
    memcpy(&result, (const void *)argument[definition->c], sizeof result);
    if (!value_at(graph, first) || !value_at(graph, result))
        return;
    struct value a = *value_at(graph, first), *c = value_at(graph, result), out = a;
    out.data = NULL;
    out.windowed = NO_VALUE, out.window_count = 0;
    if (definition->kind)
        out.transposed = false;
    if (a.known && definition->shape(graph, argument, &out)) {
        c = value_at(graph, result);
        out.origin = definition->view ? a.origin : result;
        if (definition->shape == dot)
            out.type = tvg_type_info(a.type)->is_integer ? TVG_TYPE_I32 : TVG_TYPE_F32;
        if (c->type != TVG_TYPE_NONE)
            out.type = c->type; /* as it was defined */
        *c = out;
    }
    if (!definition->kind)
        return;
    struct tvg_op op = {.library = tvg_object_name(code, NULL), .function = function + PREFIX, .kind = definition->kind, .net = TVG_NET_INLINE, .device = -1};
    uint32_t value[3] = {first, definition->b ? (uint32_t)argument[definition->b] : NO_VALUE, result};
    const struct value *b = value_at(graph, value[1]);
    c = value_at(graph, result);
    if (definition->shape == dot) {
        if (!describe_dot(&op, graph, argument, c)) {
            tvg_note("found-not-catchable", "YNNPACK", "a product whose shape was not followed through its graph: it is not counted");
            return;
        }
    } else if (a.known && c->known)
        describe_plain(&op, &a, b, c);
    else
        return;
    tvg_op_count(&op);
    add_node(graph, &op, value);
}

/* For every definition: at most eleven arguments, all of them integers and pointers. */
typedef int define_function(uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t);
define_function tvg_hook_ynn_define;
TVG_HOOK_BODY int tvg_hook_ynn_define(uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e, uintptr_t f, uintptr_t g, uintptr_t h, uintptr_t i,
                                      uintptr_t j, uintptr_t k)
{
    TVG_TAKE_ENTRY(entry);
    void *const target = tvg_target(entry, NULL);
    int status = TVG_FUNCTION(define_function, target)(a, b, c, d, e, f, g, h, i, j, k);
    int saved = errno;
    const struct definition *definition = definition_of(entry->name + PREFIX);
    struct graph *graph = status == 0 && definition ? tvg_registry_get(&graphs, (const void *)a) : NULL;
    if (graph) {
        const uintptr_t argument[ARGUMENTS] = {a, b, c, d, e, f, g, h, i, j, k};
        define(graph, definition, entry->name, argument, tvg_inline_code(target));
    }
    errno = saved;
    return status;
}

static void define_tensor(struct value *value, uint32_t type, size_t rank, const size_t *dims, const void *data, const void *code)
{
    value->type = type_of(type, code);
    value->data = data;
    value->known = rank == 0 || (dims && rank <= RANK_MAX);
    value->rank = (uint8_t)(value->known ? rank : 0);
    for (int i = 0; i < value->rank; i++) {
        value->dim[i] = (int64_t)dims[i];
        value->known &= dims[i] > 0; /* 0: said only when the graph is run */
    }
}

/* Versions until 2025 have two more arguments before the flags: the values that hold zero point and scale. */
typedef int define_tensor_function(void *subgraph, uint32_t type, size_t rank, const size_t *dims, const void *data, uintptr_t f, uintptr_t g, uintptr_t h,
                                   uintptr_t i);
define_tensor_function tvg_hook_ynn_define_tensor;
TVG_HOOK_BODY int tvg_hook_ynn_define_tensor(void *subgraph, uint32_t type, size_t rank, const size_t *dims, const void *data, uintptr_t f, uintptr_t g, uintptr_t h,
                                             uintptr_t i)
{
    TVG_TAKE_ENTRY(entry);
    void *const target = tvg_target(entry, NULL);
    int status = TVG_FUNCTION(define_tensor_function, target)(subgraph, type, rank, dims, data, f, g, h, i);
    int saved = errno;
    const uint32_t *id = (const uint32_t *)(strcmp(entry->name, "ynn_define_tensor") == 0 ? g : i);
    struct graph *graph = status == 0 ? tvg_registry_get(&graphs, subgraph) : NULL;
    struct value *value = graph ? value_at(graph, *id) : NULL;
    if (value)
        define_tensor(value, type, rank, dims, data, tvg_inline_code(target));
    errno = saved;
    return status;
}

typedef int create_subgraph_function(uint32_t external_count, uint32_t flags, void **subgraph);
create_subgraph_function tvg_hook_ynn_create_subgraph;
TVG_HOOK_BODY int tvg_hook_ynn_create_subgraph(uint32_t external_count, uint32_t flags, void **subgraph)
{
    TVG_TAKE_ENTRY(entry);
    int status = TVG_FUNCTION(create_subgraph_function, tvg_target(entry, NULL))(external_count, flags, subgraph);
    int saved = errno;
    struct graph *graph = status == 0 ? tvg_sys_memory(sizeof *graph) : NULL;
    if (graph) {
        graph->external_count = external_count;
        drop_graph(tvg_registry_put(&graphs, *subgraph, graph));
    }
    errno = saved;
    return status;
}

typedef void delete_function(void *object);
delete_function tvg_hook_ynn_delete_subgraph, tvg_hook_ynn_delete_runtime;
TVG_HOOK_BODY void tvg_hook_ynn_delete_subgraph(void *subgraph)
{
    TVG_TAKE_ENTRY(entry);
    int saved = errno;
    drop_graph(tvg_registry_take(&graphs, subgraph));
    errno = saved;
    TVG_FUNCTION(delete_function, tvg_target(entry, NULL))(subgraph);
}

TVG_HOOK_BODY void tvg_hook_ynn_delete_runtime(void *runtime)
{
    TVG_TAKE_ENTRY(entry);
    int saved = errno;
    drop_runtime(tvg_registry_take(&runtimes, runtime));
    errno = saved;
    TVG_FUNCTION(delete_function, tvg_target(entry, NULL))(runtime);
}

typedef int create_runtime_function(void *subgraph, void *pool, uint32_t flags, void **runtime);
create_runtime_function tvg_hook_ynn_create_runtime;
TVG_HOOK_BODY int tvg_hook_ynn_create_runtime(void *subgraph, void *pool, uint32_t flags, void **out)
{
    TVG_TAKE_ENTRY(entry);
    int status = TVG_FUNCTION(create_runtime_function, tvg_target(entry, NULL))(subgraph, pool, flags, out);
    int saved = errno;
    const struct graph *graph = status == 0 ? tvg_registry_get(&graphs, subgraph) : NULL;
    if (graph) {
        size_t bytes = sizeof(struct runtime) + graph->node_count * sizeof(struct node) + graph->external_count * sizeof(void *);
        struct runtime *runtime = tvg_sys_memory(bytes);
        if (runtime) {
            *runtime = (struct runtime){.bytes = bytes, .node_count = graph->node_count, .external_count = graph->external_count};
            runtime->external = (const void **)&runtime->nodes[graph->node_count];
            for (uint32_t i = 0; i < graph->node_count; i++) {
                runtime->nodes[i] = graph->nodes[i];
                runtime->weight += graph->nodes[i].weight;
                if (graph->node_count > 1)
                    runtime->nodes[i].op.flags |= TVG_OP_TIME_SHARED;
            }
            drop_runtime(tvg_registry_put(&runtimes, *out, runtime));
        }
    }
    errno = saved;
    return status;
}

typedef int set_data_function(void *runtime, uint32_t id, void *data);
set_data_function tvg_hook_ynn_set_external_value_data;
TVG_HOOK_BODY int tvg_hook_ynn_set_external_value_data(void *object, uint32_t id, void *data)
{
    TVG_TAKE_ENTRY(entry);
    struct runtime *runtime = tvg_registry_get(&runtimes, object);
    if (runtime && id < runtime->external_count)
        runtime->external[id] = data;
    return TVG_FUNCTION(set_data_function, tvg_target(entry, NULL))(object, id, data);
}

static const void *operand(const struct runtime *runtime, const struct node *node, int which)
{
    return node->data[which] ? node->data[which] : node->value[which] < runtime->external_count ? runtime->external[node->value[which]] : NULL;
}

static void record(struct runtime *runtime, uint64_t start, uint64_t end, void *caller)
{
    struct tvg_share share = {start, end, runtime->weight, 0};
    for (uint32_t i = 0; i < runtime->node_count; i++) {
        struct node *node = &runtime->nodes[i];
        const void *a = operand(runtime, node, 0), *b = operand(runtime, node, 1), *c = operand(runtime, node, 2);
        uint64_t until = tvg_share_next(&share, node->weight);
        node->op.caller = (uint64_t)(uintptr_t)caller;
        uint32_t id = tvg_op_intern(&node->op);
        if (id != UINT32_MAX)
            tvg_op_record(id, start, until, a, b, c);
        else
            tvg_op_record_wide(&node->op, start, until, a, b, c);
        start = until;
    }
}

typedef int invoke_function(void *runtime);
invoke_function tvg_hook_ynn_invoke_runtime;
TVG_HOOK_BODY int tvg_hook_ynn_invoke_runtime(void *object)
{
    TVG_TAKE_ENTRY(entry);
    void *const target = tvg_target(entry, NULL), *const caller = __builtin_return_address(0);
    invoke_function *const real = TVG_FUNCTION(invoke_function, target);
    struct tvg_call call __attribute__((cleanup(tvg_call_release)));
    if (!tvg_call_begin(&call, __builtin_frame_address(0)))
        return real(object);
    struct runtime *runtime = tvg_registry_get(&runtimes, object);
    if (runtime && runtime->node_count == 1) { /* most are one product */
        const struct node *node = &runtime->nodes[0];
        struct tvg_slot *slot = tvg_slot_described(&call, entry, &node->op, caller);
        call.start = tvg_now();
        int status = real(object);
        if (status == 0)
            tvg_call_end(&call, slot, operand(runtime, node, 0), operand(runtime, node, 1), operand(runtime, node, 2));
        return status;
    }
    uint64_t start = tvg_now();
    int status = real(object);
    uint64_t end = tvg_now();
    int saved = errno;
    tvg_call_release(&call);
    call.thread = NULL;
    if (!runtime)
        tvg_note("lost", "YNNPACK", "a graph whose making was not seen");
    else if (status == 0)
        record(runtime, start, end, caller);
    errno = saved;
    return status;
}
