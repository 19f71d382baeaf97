/* cuDNN graphs: what a plan computes is learnt while the host builds it. Tensors, operations and graphs are descriptors that are set attribute
 * by attribute and mostly destroyed once a plan exists, so each descriptor that leads to a plan inherits the summary of its graph.
 * The numbers are cuDNN 8 and 9's public enumerations. */
#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "../../trace/op.h"
#include "../intercept/resolve.h"
#include "../intercept/wrapper.h"
#include "../record/record.h"
#include "../sources/gpu.h"
#include "cudnn.h"

enum { DESCRIPTOR_CONVOLUTION = 1, DESCRIPTOR_CONV_FORWARD = 10, DESCRIPTOR_CONV_FILTER = 11, DESCRIPTOR_CONV_DATA = 12, DESCRIPTOR_POINTWISE_OP = 13,
       DESCRIPTOR_GRAPH = 15, DESCRIPTOR_TENSOR = 17, DESCRIPTOR_MATMUL_OP = 19, DESCRIPTOR_REDUCTION_OP = 22, DESCRIPTOR_RESAMPLE_OP = 25,
       DESCRIPTOR_NORM_OP = 29, DESCRIPTOR_SDPA_OP = 41 };
enum { TYPE_DATA_TYPE = 1, TYPE_INT64 = 3, TYPE_DESCRIPTOR = 15 };
enum { GRAPH_OPS = 801, TENSOR_TYPE = 901, TENSOR_DIMS = 902, CONV_COMPUTE = 100,
       CONV_W = 703, CONV_X = 704, CONV_Y = 705, MATMUL_A = 1520, MATMUL_B = 1521, MATMUL_C = 1522,
       POINTWISE_X = 751, POINTWISE_Y = 753, NORM_X = 2002, NORM_Y = 2013, SDPA_Q = 2800, SDPA_K = 2801, SDPA_V = 2802, SDPA_O = 2803 };
enum { SLOTS = 1 << 14, SUMMARIES = 8192 };

/* One descriptor, by its address. Operations keep copies of their tensors, since those may be destroyed first. */
struct descriptor {
    const void *key;  /* NULL: free; (void *)1: was used */
    int32_t kind;
    int32_t summary;  /* index, or -1 */
    uint8_t compute;
    struct tvg_cudnn_tensor tensor[4]; /* a tensor descriptor: [0]; operations: X W Y, A B C, Q K V O */
};
static struct descriptor *table;
static struct tvg_op *summaries;
static uint32_t *summary_ids; /* op ids by summary; TVG_OP_ID_NONE not interned yet */
static uint32_t summary_count;
static tvg_lock lock;
static char library[64] = "libcudnn.so";

static bool hold(void)
{
    tvg_lock_take(&lock);
    if (!table) {
        const size_t bytes = SLOTS * sizeof *table + SUMMARIES * (sizeof *summaries + sizeof *summary_ids);
        void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            return false;
        summaries = memory;
        table = (struct descriptor *)(summaries + SUMMARIES);
        summary_ids = (uint32_t *)(table + SLOTS);
    }
    return true;
}

static void release(void) { tvg_lock_drop(&lock); }

static struct descriptor *find(const void *key, bool make)
{
    if (!key)
        return NULL;
    struct descriptor *spare = NULL;
    uint64_t at = (uint64_t)(uintptr_t)key * 0x9e3779b97f4a7c15u >> 50;
    for (unsigned tries = 0; tries < 256; tries++, at = (at + 1) & (SLOTS - 1)) {
        struct descriptor *slot = &table[at];
        if (slot->key == key)
            return slot;
        if (slot->key == (void *)1 && !spare)
            spare = slot;
        if (!slot->key) {
            if (!spare)
                spare = slot;
            break;
        }
    }
    if (!make || !spare)
        return NULL;
    *spare = (struct descriptor){.key = key, .kind = -1, .summary = -1};
    return spare;
}

static void put_product(struct tvg_op *op, const struct descriptor *product, int products)
{
    const struct tvg_cudnn_tensor *a = &product->tensor[0], *c = &product->tensor[2];
    if (a->rank < 2 || c->rank < 2)
        return;
    int64_t k = a->dim[a->rank - 1];
    op->flop += 2 * tvg_cudnn_elements(c) * (uint64_t)k;
    if (products > 1)
        return;
    op->kind = TVG_KIND_GEMM;
    op->m = c->dim[c->rank - 2], op->n = c->dim[c->rank - 1], op->k = k;
    op->batch = op->m * op->n > 0 ? (int64_t)(tvg_cudnn_elements(c) / (uint64_t)(op->m * op->n)) : 0;
    op->type_a = a->type, op->type_b = product->tensor[1].type, op->type_c = c->type;
    op->type_compute = a->type;
    op->bytes_a = tvg_cudnn_bytes(a), op->bytes_b = tvg_cudnn_bytes(&product->tensor[1]), op->bytes_c = tvg_cudnn_bytes(c);
}

static void put_attention(struct tvg_op *op, const struct tvg_cudnn_tensor *q, const struct tvg_cudnn_tensor *k, const struct tvg_cudnn_tensor *v, bool counts)
{
    if (q->rank != 4 || k->rank != 4)
        return;
    op->kind = TVG_KIND_ATTENTION;
    op->dim_count = 7;
    op->dim[0] = q->dim[0], op->dim[1] = q->dim[1], op->dim[2] = k->dim[1], op->dim[3] = q->dim[2], op->dim[5] = q->dim[3], op->dim[6] = 0;
    op->dim[4] = v->rank == 4 ? v->dim[2] : k->dim[2];
    op->type_a = op->type_b = op->type_c = q->type;
    op->type_compute = q->type;
    op->bytes_a = tvg_cudnn_bytes(q), op->bytes_b = tvg_cudnn_bytes(k) + tvg_cudnn_bytes(v), op->bytes_c = tvg_cudnn_bytes(q);
    if (counts)
        op->flop += 2 * (uint64_t)(op->dim[0] * op->dim[1]) * (uint64_t)(op->dim[3] * op->dim[4]) * (uint64_t)(q->dim[3] + (v->rank == 4 ? v->dim[3] : q->dim[3]));
}

/* One op for the whole graph: cuDNN runs it as one fused call. */
static void summarise(struct descriptor *graph, int64_t count, void *const *operations)
{
    struct tvg_op op = {.library = library, .function = "cudnnBackendExecute", .net = TVG_NET_SYMBOL, .on_gpu = 1, .device = -1, .flags = TVG_OP_FLOP_GIVEN | TVG_OP_BETA_ZERO};
    int products = 0, convolutions = 0;
    const struct descriptor *first = NULL, *last = NULL;
    for (int64_t i = 0; i < count; i++) {
        const struct descriptor *operation = find(operations[i], false);
        if (!operation)
            continue;
        const struct tvg_cudnn_tensor *in = &operation->tensor[0], *out = &operation->tensor[2];
        switch (operation->kind) {
        case DESCRIPTOR_CONV_FORWARD:
            convolutions++;
            tvg_cudnn_convolution(&op, &operation->tensor[0], &operation->tensor[1], &operation->tensor[2]);
            break;
        case DESCRIPTOR_MATMUL_OP:
            put_product(&op, operation, ++products);
            if (!first)
                first = operation;
            last = operation;
            break;
        case DESCRIPTOR_SDPA_OP:
            put_attention(&op, in, &operation->tensor[1], out, true);
            break;
        case DESCRIPTOR_POINTWISE_OP:
            if (convolutions || products)
                op.epilogue |= TVG_EPILOGUE_OTHER;
            else
                op.kind = op.kind ? op.kind : TVG_KIND_ELEMENTWISE, op.bytes_a = tvg_cudnn_bytes(in), op.bytes_c = tvg_cudnn_bytes(out), op.type_a = in->type, op.type_c = out->type;
            break;
        case DESCRIPTOR_NORM_OP:
            op.kind = op.kind ? op.kind : TVG_KIND_NORM, op.bytes_a = tvg_cudnn_bytes(in), op.bytes_c = tvg_cudnn_bytes(out), op.type_a = in->type, op.type_c = out->type;
            break;
        case DESCRIPTOR_REDUCTION_OP:
            op.kind = op.kind ? op.kind : TVG_KIND_REDUCE;
            break;
        case DESCRIPTOR_RESAMPLE_OP:
            op.kind = op.kind ? op.kind : TVG_KIND_POOL;
            break;
        default:
            break;
        }
    }
    /* Attention arrives spelled out: scores = Q K', softmax in pieces, scores V. K is given transposed. */
    if (products == 2 && first && last) {
        struct tvg_cudnn_tensor k = first->tensor[1];
        if (k.rank == 4) {
            int64_t length = k.dim[3];
            k.dim[3] = k.dim[2], k.dim[2] = length;
        }
        put_attention(&op, &first->tensor[0], &k, &last->tensor[1], false);
        op.epilogue = TVG_EPILOGUE_NONE;
    }
    op.bytes = op.bytes_a + op.bytes_b + op.bytes_c;
    if (summary_count == SUMMARIES)
        return;
    summaries[summary_count] = op;
    summary_ids[summary_count] = TVG_OP_ID_NONE;
    graph->summary = (int32_t)summary_count++;
}

static void set_attribute(const void *key, int name, int type, int64_t count, const void *values)
{
    struct descriptor *descriptor = find(key, true);
    if (!descriptor || !values)
        return;
    if (name == TENSOR_TYPE && type == TYPE_DATA_TYPE)
        descriptor->tensor[0].type = tvg_cudnn_type(*(const int32_t *)values);
    else if (name == TENSOR_DIMS && type == TYPE_INT64 && count > 0 && count <= TVG_CUDNN_RANK) {
        descriptor->tensor[0].rank = (uint8_t)count;
        memcpy(descriptor->tensor[0].dim, values, (size_t)count * sizeof(int64_t));
    } else if (type == TYPE_DESCRIPTOR && count > 0) {
        void *const *children = values;
        if (name == GRAPH_OPS) {
            summarise(descriptor, count, children);
            return;
        }
        const struct descriptor *child = find(children[0], false);
        if (!child)
            return;
        static const struct { int name, place; } places[] = {{CONV_X, 0}, {CONV_W, 1}, {CONV_Y, 2}, {MATMUL_A, 0}, {MATMUL_B, 1}, {MATMUL_C, 2},
                                                             {POINTWISE_X, 0}, {POINTWISE_Y, 2}, {NORM_X, 0}, {NORM_Y, 2}, {SDPA_Q, 0}, {SDPA_K, 1}, {SDPA_V, 2}, {SDPA_O, 3}};
        for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
            if (places[i].name == name)
                descriptor->tensor[places[i].place] = child->tensor[0];
        if (child->summary >= 0)
            descriptor->summary = child->summary;
    }
}

int tvg_hook_cudnnBackendCreateDescriptor(int kind, void **descriptor);
TVG_HOOK_BODY int tvg_hook_cudnnBackendCreateDescriptor(int kind, void **descriptor)
{
    TVG_TAKE_ENTRY(entry);
    int (*real)(int, void **) = (int (*)(int, void **))(uintptr_t)tvg_target(entry, __builtin_return_address(0));
    int status = real(kind, descriptor);
    if (status == 0 && descriptor && hold()) {
        struct descriptor *made = find(*descriptor, true);
        if (made)
            *made = (struct descriptor){.key = *descriptor, .kind = kind, .summary = -1};
    }
    if (status == 0 && descriptor)
        release();
    return status;
}

int tvg_hook_cudnnBackendDestroyDescriptor(void *descriptor);
TVG_HOOK_BODY int tvg_hook_cudnnBackendDestroyDescriptor(void *descriptor)
{
    TVG_TAKE_ENTRY(entry);
    int (*real)(void *) = (int (*)(void *))(uintptr_t)tvg_target(entry, __builtin_return_address(0));
    if (hold()) {
        struct descriptor *gone = find(descriptor, false);
        if (gone)
            gone->key = (void *)1;
    }
    release();
    return real(descriptor);
}

int tvg_hook_cudnnBackendSetAttribute(void *descriptor, int name, int type, int64_t count, const void *values);
TVG_HOOK_BODY int tvg_hook_cudnnBackendSetAttribute(void *descriptor, int name, int type, int64_t count, const void *values)
{
    TVG_TAKE_ENTRY(entry);
    int (*real)(void *, int, int, int64_t, const void *) = (int (*)(void *, int, int, int64_t, const void *))(uintptr_t)tvg_target(entry, __builtin_return_address(0));
    int status = real(descriptor, name, type, count, values);
    if (status == 0) {
        if (hold())
            set_attribute(descriptor, name, type, count, values);
        release();
    }
    return status;
}

/* Heuristics hand out engine configurations for the graph they were given. */
int tvg_hook_cudnnBackendGetAttribute(const void *descriptor, int name, int type, int64_t requested, int64_t *count, void *values);
TVG_HOOK_BODY int tvg_hook_cudnnBackendGetAttribute(const void *descriptor, int name, int type, int64_t requested, int64_t *count, void *values)
{
    TVG_TAKE_ENTRY(entry);
    int (*real)(const void *, int, int, int64_t, int64_t *, void *) =
        (int (*)(const void *, int, int, int64_t, int64_t *, void *))(uintptr_t)tvg_target(entry, __builtin_return_address(0));
    int status = real(descriptor, name, type, requested, count, values);
    if (status == 0 && type == TYPE_DESCRIPTOR && values) {
        if (hold()) {
            const struct descriptor *from = find(descriptor, false);
            int64_t filled = count && *count < requested ? *count : requested;
            for (int64_t i = 0; from && from->summary >= 0 && i < filled; i++) {
                int32_t summary = from->summary;
                struct descriptor *to = find(((void **)values)[i], true);
                if (to)
                    to->summary = summary;
            }
        }
        release();
    }
    return status;
}

int tvg_hook_cudnnBackendExecute(void *handle, void *plan, void *pack);
TVG_HOOK_BODY int tvg_hook_cudnnBackendExecute(void *handle, void *plan, void *pack)
{
    TVG_TAKE_ENTRY(entry);
    void *const target = tvg_target(entry, __builtin_return_address(0));
    int (*real)(void *, void *, void *) = (int (*)(void *, void *, void *))(uintptr_t)target;
    struct tvg_call call __attribute__((cleanup(tvg_call_release)));
    if (!tvg_call_begin(&call, __builtin_frame_address(0)))
        return real(handle, plan, pack);
    int saved = errno;
    uint32_t op_id = TVG_OP_ID_NONE;
    if (hold()) {
        const struct descriptor *of = find(plan, false);
        int32_t summary = of ? of->summary : -1;
        if (summary >= 0) {
            if (summary_ids[summary] == TVG_OP_ID_NONE) {
                strncpy(library, tvg_object_name(target, NULL), sizeof library - 1);
                summary_ids[summary] = tvg_op_intern(&summaries[summary]);
            }
            op_id = summary_ids[summary];
        }
    }
    release();
    if (op_id == TVG_OP_ID_NONE)
        tvg_note("unknown-version", entry->name, "a plan whose graph was not seen being built: its kernels are recorded, its FLOP are not known");
    tvg_gpu_launches_begin(op_id);
    errno = saved;
    uint64_t start = tvg_now();
    int status = real(handle, plan, pack);
    uint64_t end = tvg_now();
    saved = errno;
    bool ran = tvg_gpu_launches_end();
    tvg_call_release(&call);
    call.thread = NULL;
    if (status != 0)
        tvg_gpu_call_failed(entry, status);
    else if (ran && op_id != TVG_OP_ID_NONE)
        tvg_op_record(op_id, start, end, NULL, NULL, NULL);
    errno = saved;
    return status;
}
