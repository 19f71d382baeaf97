/* oneDNN: every primitive that is executed, its shapes and types read from its descriptors through the library's own functions, found by
 * name in the same object. The numbers below are oneDNN's public enumerations, which have not changed since version 1. */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "../../trace/op.h"
#include "../intercept/inline.h"
#include "../intercept/resolve.h"
#include "../intercept/wrapper.h"
#include "../record/record.h"
#include "described.h"

enum { QUERY_KIND = 2, QUERY_SOURCE = 129, QUERY_WEIGHTS = 131, QUERY_DESTINATION = 133, QUERY_DIFF = 1, QUERY_RANK = 256, QUERY_DIMS = 257, QUERY_TYPE = 258 };
enum { KIND_REORDER = 1, KIND_CONVOLUTION = 5, KIND_DECONVOLUTION = 6, KIND_INNER_PRODUCT = 10, KIND_RNN = 11, KIND_MATMUL = 14 };
enum { ARGUMENT_SOURCE = 1, ARGUMENT_DESTINATION = 17, ARGUMENT_WEIGHTS = 33, ARGUMENT_DIFF = 128 };
enum { LIBRARIES = 8, RANK_MAX = 12, KEPT = 4096, KEPT_PROBES = 16 };

/* The accessors of one copy of oneDNN. */
struct library {
    const void *code; /* an address that stands for the copy: its original dnnl_primitive_execute */
    char name[64];
    int (*get_primitive_desc)(const void *primitive, const void **desc);
    int (*desc_query)(const void *desc, int what, int index, void *result);
    const void *(*desc_query_md)(const void *desc, int what, int index);
    int (*memory_desc_query)(const void *memory_desc, int what, void *result);
    int (*get_data_handle)(const void *memory, void **data);
    int (*get_data_handle_v2)(const void *memory, void **data, int index); /* instead of it, in some copies */
    bool complete;
};
static struct library libraries[LIBRARIES];
static int library_count; /* read and written atomically */

static const struct library *library_of(const void *code)
{
    int count = __atomic_load_n(&library_count, __ATOMIC_ACQUIRE);
    for (int i = 0; i < count; i++)
        if (libraries[i].code == code)
            return libraries[i].complete ? &libraries[i] : NULL;
    static int busy;
    if (count == LIBRARIES || __atomic_exchange_n(&busy, 1, __ATOMIC_ACQUIRE))
        return NULL;
    if (__atomic_load_n(&library_count, __ATOMIC_ACQUIRE) != count) { /* another thread was here in between */
        __atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
        return library_of(code);
    }
    const void *inside = tvg_inline_code(code); /* who calls may be another object: oneDNN has a library of its own in some stacks */
    struct library *library = &libraries[count];
    *library = (struct library){.code = code};
    strncpy(library->name, tvg_object_name(inside, NULL), sizeof library->name - 1);
    struct { const char *name; void *place; bool needed; } wanted[] = {
        {"dnnl_primitive_get_primitive_desc", &library->get_primitive_desc, false}, {"dnnl_primitive_desc_query", &library->desc_query, true},
        {"dnnl_primitive_desc_query_md", &library->desc_query_md, true}, {"dnnl_memory_desc_query", &library->memory_desc_query, true},
        {"dnnl_memory_get_data_handle", &library->get_data_handle, false}, {"dnnl_memory_get_data_handle_v2", &library->get_data_handle_v2, false},
    };
    library->complete = true;
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        void *symbol = tvg_inline_symbol(inside, wanted[i].name);
        memcpy(wanted[i].place, &symbol, sizeof symbol);
        if (!symbol && wanted[i].needed) {
            library->complete = false;
            tvg_note("unknown-version", library->name, wanted[i].name);
            break;
        }
    }
    __atomic_store_n(&library_count, count + 1, __ATOMIC_RELEASE);
    __atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
    return library->complete ? library : NULL;
}

struct tensor {
    int rank, type;
    int64_t dim[RANK_MAX];
    uint64_t elements;
};

/* The tensor, or its gradient where a backward pass has only that. */
static bool tensor_of(const struct library *library, const void *desc, int what, struct tensor *tensor)
{
    const void *memory_desc = library->desc_query_md(desc, what, 0);
    const int64_t *dims = NULL;
    *tensor = (struct tensor){0};
    if (!memory_desc || library->memory_desc_query(memory_desc, QUERY_RANK, &tensor->rank) != 0 || tensor->rank < 1)
        memory_desc = library->desc_query_md(desc, what + QUERY_DIFF, 0);
    if (!memory_desc || library->memory_desc_query(memory_desc, QUERY_RANK, &tensor->rank) != 0 || tensor->rank < 1 || tensor->rank > RANK_MAX ||
        library->memory_desc_query(memory_desc, QUERY_DIMS, &dims) != 0 || !dims || library->memory_desc_query(memory_desc, QUERY_TYPE, &tensor->type) != 0)
        return false;
    tensor->elements = 1;
    for (int i = 0; i < tensor->rank; i++) {
        tensor->dim[i] = dims[i];
        tensor->elements *= (uint64_t)(dims[i] > 0 ? dims[i] : 0);
    }
    return true;
}

static uint8_t type_of(int type)
{
    static const uint8_t types[] = {TVG_TYPE_NONE, TVG_TYPE_F16, TVG_TYPE_BF16, TVG_TYPE_F32, TVG_TYPE_I32, TVG_TYPE_I8, TVG_TYPE_U8,
                                    TVG_TYPE_F64, TVG_TYPE_BOOL, TVG_TYPE_F8_E5M2, TVG_TYPE_F8_E4M3, TVG_TYPE_I4, TVG_TYPE_U4};
    return type >= 0 && type < (int)sizeof types ? types[type] : TVG_TYPE_NONE;
}

static void name_kind(struct tvg_op *op, int kind)
{
    static const struct { const char *name; uint8_t kind; } kinds[] = {
        {"other", TVG_KIND_OTHER}, {"reorder", TVG_KIND_COPY}, {"shuffle", TVG_KIND_COPY}, {"concat", TVG_KIND_COPY}, {"sum", TVG_KIND_ELEMENTWISE},
        {"convolution", TVG_KIND_CONV}, {"deconvolution", TVG_KIND_CONV}, {"eltwise", TVG_KIND_ACTIVATION}, {"lrn", TVG_KIND_NORM},
        {"batch_normalization", TVG_KIND_NORM}, {"inner_product", TVG_KIND_GEMM}, {"rnn", TVG_KIND_RNN}, {"gemm", TVG_KIND_GEMM},
        {"binary", TVG_KIND_ELEMENTWISE}, {"matmul", TVG_KIND_GEMM}, {"resampling", TVG_KIND_ELEMENTWISE}, {"pooling", TVG_KIND_POOL},
        {"reduction", TVG_KIND_REDUCE}, {"prelu", TVG_KIND_ACTIVATION}, {"softmax", TVG_KIND_SOFTMAX}, {"layer_normalization", TVG_KIND_NORM},
        {"group_normalization", TVG_KIND_NORM}};
    int at = kind >= 0 && kind < (int)(sizeof kinds / sizeof kinds[0]) ? kind : 0;
    op->function = kinds[at].name;
    op->kind = kinds[at].kind;
}

static void shape_matmul(struct tvg_op *op, const struct tensor *source, const struct tensor *weights, const struct tensor *destination)
{
    int rank = destination->rank;
    op->m = destination->dim[rank - 2];
    op->n = destination->dim[rank - 1];
    op->k = source->dim[source->rank - 1];
    op->batch = 1;
    for (int i = 0; i < rank - 2; i++)
        op->batch *= destination->dim[i];
    if (op->batch > 1) {
        op->flags |= TVG_OP_BATCH_STRIDED;
        op->stride_a = op->stride_c = 1;
        op->stride_b = weights->elements > (uint64_t)(op->n * op->k); /* 0: one B for the whole batch */
    }
}

static void shape_convolution(struct tvg_op *op, const struct tensor *source, const struct tensor *weights, const struct tensor *destination)
{
    int spatial = source->rank - 2, at = 0;
    bool grouped = weights->rank == source->rank + 1;
    op->dim_spatial = (uint8_t)spatial;
    op->dim[at++] = source->dim[0];
    op->dim[at++] = source->dim[1];
    for (int i = 0; i < spatial; i++)
        op->dim[at++] = source->dim[2 + i];
    op->dim[at++] = destination->dim[1];
    for (int i = 0; i < spatial; i++)
        op->dim[at++] = weights->dim[2 + grouped + i];
    for (int i = 0; i < spatial; i++)
        op->dim[at++] = destination->dim[2 + i];
    op->dim[at++] = grouped ? weights->dim[0] : 1;
    op->dim_count = (uint8_t)at;
}

/* A recurrent layer's backward pass makes both gradients in one primitive: it has weights and their gradient. */
static bool is_backward(const struct library *library, const void *desc)
{
    const void *gradient = library->desc_query_md(desc, QUERY_WEIGHTS + QUERY_DIFF, 0);
    int rank = 0;
    return gradient && library->memory_desc_query(gradient, QUERY_RANK, &rank) == 0 && rank > 0;
}

/* Describes what a primitive of this descriptor computes. False when it can't be read. */
static bool describe(struct tvg_op *op, const struct library *library, const void *desc)
{
    int kind = 0;
    struct tensor source, weights, destination;
    if (library->desc_query(desc, QUERY_KIND, 0, &kind) != 0)
        return false;
    *op = (struct tvg_op){.library = library->name, .net = TVG_NET_INLINE, .device = -1};
    name_kind(op, kind);
    bool has_source = tensor_of(library, desc, QUERY_SOURCE, &source), has_weights = tensor_of(library, desc, QUERY_WEIGHTS, &weights),
         has_destination = tensor_of(library, desc, QUERY_DESTINATION, &destination);
    op->type_a = has_source ? type_of(source.type) : TVG_TYPE_NONE;
    op->type_b = has_weights ? type_of(weights.type) : TVG_TYPE_NONE;
    op->type_c = has_destination ? type_of(destination.type) : TVG_TYPE_NONE;
    if (has_source && has_weights && has_destination) {
        op->type_compute = op->type_b;
        op->flags |= TVG_OP_BETA_ZERO; /* what a sum post-op reads is its own business */
        switch (kind) {
        case KIND_MATMUL:
            if (destination.rank >= 2) {
                shape_matmul(op, &source, &weights, &destination);
                return true;
            }
            break;
        case KIND_INNER_PRODUCT:
            op->m = source.dim[0], op->n = destination.dim[1], op->k = (int64_t)(source.elements / (uint64_t)(source.dim[0] ? source.dim[0] : 1));
            op->batch = 1;
            op->flags |= TVG_OP_TRANS_B;
            return true;
        case KIND_CONVOLUTION:
            if (source.rank >= 3 && source.rank <= 5) {
                shape_convolution(op, &source, &weights, &destination);
                return true;
            }
            break;
        default:
            break;
        }
    }
    op->flags |= TVG_OP_FLOP_GIVEN;
    op->bytes_a = has_source ? tvg_type_bytes(op->type_a, source.elements) : 0;
    op->bytes_b = has_weights ? tvg_type_bytes(op->type_b, weights.elements) : 0;
    op->bytes_c = has_destination ? tvg_type_bytes(op->type_c, destination.elements) : 0;
    op->bytes = op->bytes_a + op->bytes_b + op->bytes_c;
    if (has_source) {
        op->dim_count = (uint8_t)source.rank;
        memcpy(op->dim, source.dim, (size_t)source.rank * sizeof op->dim[0]);
    }
    /* rnn: source [T, N, I], weights [L, D, I, gates, O]; each step multiplies input and state */
    if (kind == KIND_RNN && has_source && has_weights && source.rank == 3 && weights.rank == 5)
        op->flop = 2u * (uint64_t)(source.dim[0] * source.dim[1] * weights.dim[0] * weights.dim[1]) *
                   (uint64_t)(weights.dim[3] * weights.dim[4]) * (uint64_t)(weights.dim[2] + weights.dim[4]) * (is_backward(library, desc) ? 2 : 1);
    /* deconvolution: every input element meets every kernel element of its group */
    if (kind == KIND_DECONVOLUTION && has_source && has_weights)
        op->flop = 2u * weights.elements * (source.elements / (uint64_t)(source.dim[1] > 0 ? source.dim[1] : 1));
    return true;
}

/* Copies without dnnl_primitive_get_primitive_desc: what a primitive computes is kept when it is made. */
static struct kept {
    const void *primitive;
    struct tvg_op op;
} kept[KEPT];
static tvg_lock kept_busy;

static struct kept *kept_place(const void *primitive, bool make)
{
    size_t begin = ((uintptr_t)primitive >> 4) * 0x9e3779b97f4a7c15u >> 32;
    for (size_t i = 0; i < KEPT_PROBES; i++) {
        struct kept *place = &kept[(begin + i) % KEPT];
        const void *there = __atomic_load_n(&place->primitive, __ATOMIC_ACQUIRE);
        if (there == primitive || (make && !there))
            return place;
    }
    return make ? &kept[begin % KEPT] : NULL; /* primitives are made over and over: the one that was there is taken to be gone */
}

struct argument {
    int which;
    void *memory;
};

static const void *data_of(const struct library *library, const struct argument *arguments, int count, int which)
{
    void *data = NULL;
    for (int i = 0; i < count; i++)
        if ((arguments[i].which == which || arguments[i].which == which + ARGUMENT_DIFF) && (library->get_data_handle ? library->get_data_handle(arguments[i].memory, &data) :
                                            library->get_data_handle_v2 ? library->get_data_handle_v2(arguments[i].memory, &data, 0) : -1) == 0)
            return data;
    return NULL;
}

/* What `primitive` computes, from its descriptor or from what was kept. */
static bool describe_primitive(struct tvg_op *op, const struct library *library, const void *primitive)
{
    if (library->get_primitive_desc) {
        const void *desc = NULL;
        return library->get_primitive_desc(primitive, &desc) == 0 && desc && describe(op, library, desc);
    }
    const struct kept *place = kept_place(primitive, false);
    if (!place) {
        tvg_note("lost", library->name, "a primitive whose making was not seen");
        return false;
    }
    *op = place->op;
    return true;
}

typedef int create_function(const void **primitive, const void *desc);
create_function tvg_hook_dnnl_primitive_create;
TVG_HOOK_BODY int tvg_hook_dnnl_primitive_create(const void **primitive, const void *desc)
{
    TVG_TAKE_ENTRY(entry);
    void *const target = tvg_target(entry, NULL);
    int status = TVG_FUNCTION(create_function, target)(primitive, desc);
    int saved = errno;
    const struct library *library = status == 0 ? library_of(target) : NULL;
    struct tvg_op op;
    if (library && describe(&op, library, desc)) {
        tvg_lock_take(&kept_busy);
        struct kept *place = kept_place(*primitive, true);
        place->op = op;
        __atomic_store_n(&place->primitive, *primitive, __ATOMIC_RELEASE);
        tvg_lock_drop(&kept_busy);
    }
    errno = saved;
    return status;
}

int tvg_hook_dnnl_primitive_execute(const void *primitive, void *stream, int count, const struct argument *arguments);
TVG_HOOK_BODY int tvg_hook_dnnl_primitive_execute(const void *primitive, void *stream, int count, const struct argument *arguments)
{
    TVG_TAKE_ENTRY(entry);
    void *const target = tvg_target(entry, NULL), *const caller = __builtin_return_address(0);
    int (*real)(const void *, void *, int, const struct argument *) =
        (int (*)(const void *, void *, int, const struct argument *))(uintptr_t)target;
    struct tvg_call call __attribute__((cleanup(tvg_call_release)));
    if (!tvg_call_begin(&call, __builtin_frame_address(0)))
        return real(primitive, stream, count, arguments);
    int saved = errno;
    const struct library *library = library_of(target);
    struct tvg_op op;
    struct tvg_slot *slot = library && describe_primitive(&op, library, primitive) ? tvg_slot_described(&call, entry, &op, caller) : NULL;
    errno = saved;
    call.start = tvg_now();
    int status = real(primitive, stream, count, arguments);
    const uint64_t end = tvg_now();
    if (slot && status == 0)
        tvg_call_end_at(&call, slot, end, data_of(library, arguments, count, ARGUMENT_SOURCE), data_of(library, arguments, count, ARGUMENT_WEIGHTS),
                        data_of(library, arguments, count, ARGUMENT_DESTINATION));
    return status;
}
