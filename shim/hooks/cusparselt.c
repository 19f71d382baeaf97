/* cuSPARSELt: products with one operand of which half is zero by structure (2 of 4). Shapes lie in opaque descriptors without accessors: they are
 * kept while the host initialises them, by address. FLOP are those of the multiply-adds that are done, half of the dense product's. */
#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "../intercept/resolve.h"
#include "../intercept/wrapper.h"
#include "../record/record.h"
#include "../sources/gpu.h"
#include "blas.h"

struct matrix {
    int64_t rows, columns, leading, batches;
    int32_t type, order;
    bool sparse;
};
struct descriptor {
    const void *key; /* NULL: free */
    struct matrix matrix[3]; /* a matrix's own is [0]; of products and plans: A, B, D */
    int32_t transa, transb;
};
enum { SLOTS = 4096, ATTRIBUTE_BATCHES = 0, ORDER_ROW = 2 };
static struct descriptor table[SLOTS];
static tvg_lock lock;

static void hold(void)
{
    tvg_lock_take(&lock);
}
static void release(void) { tvg_lock_drop(&lock); }

/* The place of `key`; a table that is full forgets the one in the way: descriptors live on stacks and are rarely destroyed. */
static struct descriptor *find(const void *key, bool make)
{
    uint64_t first = (uint64_t)(uintptr_t)key * 0x9e3779b97f4a7c15u >> 52, at = first;
    for (unsigned tries = 0; tries < 64; tries++, at = (at + 1) & (SLOTS - 1)) {
        if (table[at].key == key) return &table[at];
        if (table[at].key) continue;
        if (!make) return NULL;
        table[at] = (struct descriptor){.key = key};
        return &table[at];
    }
    if (!make) return NULL;
    table[first] = (struct descriptor){.key = key};
    return &table[first];
}

static void keep_matrix(const void *key, const struct matrix *matrix)
{
    hold();
    struct descriptor *descriptor = find(key, true);
    descriptor->matrix[0] = *matrix;
    release();
}

typedef int dense_init(const void *handle, void *matrix, int64_t rows, int64_t columns, int64_t leading, uint32_t alignment, int type, int order);
dense_init tvg_hook_cusparseLtDenseDescriptorInit;
TVG_HOOK_BODY int tvg_hook_cusparseLtDenseDescriptorInit(const void *handle, void *matrix, int64_t rows, int64_t columns, int64_t leading, uint32_t alignment, int type, int order)
{
    TVG_TAKE_ENTRY(entry);
    dense_init *real = (dense_init *)(uintptr_t)tvg_target(entry, __builtin_return_address(0));
    int status = real(handle, matrix, rows, columns, leading, alignment, type, order);
    if (status == 0) keep_matrix(matrix, &(struct matrix){rows, columns, leading, 1, type, order, false});
    return status;
}

typedef int structured_init(const void *handle, void *matrix, int64_t rows, int64_t columns, int64_t leading, uint32_t alignment, int type, int order, int sparsity);
structured_init tvg_hook_cusparseLtStructuredDescriptorInit;
TVG_HOOK_BODY int tvg_hook_cusparseLtStructuredDescriptorInit(const void *handle, void *matrix, int64_t rows, int64_t columns, int64_t leading, uint32_t alignment, int type,
                                                              int order, int sparsity)
{
    TVG_TAKE_ENTRY(entry);
    structured_init *real = (structured_init *)(uintptr_t)tvg_target(entry, __builtin_return_address(0));
    int status = real(handle, matrix, rows, columns, leading, alignment, type, order, sparsity);
    if (status == 0) keep_matrix(matrix, &(struct matrix){rows, columns, leading, 1, type, order, true});
    return status;
}

typedef int set_attribute(const void *handle, void *matrix, int attribute, const void *data, size_t bytes);
set_attribute tvg_hook_cusparseLtMatDescSetAttribute;
TVG_HOOK_BODY int tvg_hook_cusparseLtMatDescSetAttribute(const void *handle, void *matrix, int attribute, const void *data, size_t bytes)
{
    TVG_TAKE_ENTRY(entry);
    set_attribute *real = (set_attribute *)(uintptr_t)tvg_target(entry, __builtin_return_address(0));
    int status = real(handle, matrix, attribute, data, bytes);
    if (status == 0 && attribute == ATTRIBUTE_BATCHES && data && bytes >= sizeof(int32_t)) {
        hold();
        struct descriptor *descriptor = find(matrix, false);
        int32_t batches;
        memcpy(&batches, data, sizeof batches);
        if (descriptor) descriptor->matrix[0].batches = batches;
        release();
    }
    return status;
}

typedef int product_init(const void *handle, void *product, int transa, int transb, const void *a, const void *b, const void *c, const void *d, int compute);
product_init tvg_hook_cusparseLtMatmulDescriptorInit;
TVG_HOOK_BODY int tvg_hook_cusparseLtMatmulDescriptorInit(const void *handle, void *product, int transa, int transb, const void *a, const void *b, const void *c, const void *d,
                                                          int compute)
{
    TVG_TAKE_ENTRY(entry);
    product_init *real = (product_init *)(uintptr_t)tvg_target(entry, __builtin_return_address(0));
    int status = real(handle, product, transa, transb, a, b, c, d, compute);
    if (status == 0) {
        const void *const operand[3] = {a, b, d};
        struct descriptor made = {.key = product, .transa = transa, .transb = transb};
        hold();
        for (int i = 0; i < 3; i++) {
            const struct descriptor *of = find(operand[i], false);
            if (of) made.matrix[i] = of->matrix[0];
        }
        *find(product, true) = made;
        release();
    }
    return status;
}

typedef int plan_init(const void *handle, void *plan, const void *product, const void *selection);
plan_init tvg_hook_cusparseLtMatmulPlanInit;
TVG_HOOK_BODY int tvg_hook_cusparseLtMatmulPlanInit(const void *handle, void *plan, const void *product, const void *selection)
{
    TVG_TAKE_ENTRY(entry);
    plan_init *real = (plan_init *)(uintptr_t)tvg_target(entry, __builtin_return_address(0));
    int status = real(handle, plan, product, selection);
    if (status == 0) {
        hold();
        const struct descriptor *of = find(product, false);
        if (of) {
            struct descriptor made = *of;
            made.key = plan;
            *find(plan, true) = made;
        }
        release();
    }
    return status;
}

static uint32_t op_of(const struct tvg_entry *entry, const void *target, const void *plan)
{
    struct tvg_op op = {.library = tvg_object_name(target, NULL), .function = entry->name, .net = entry->net, .kind = TVG_KIND_GEMM, .on_gpu = 1, .device = -1};
    struct descriptor of = {0};
    hold();
    const struct descriptor *found = find(plan, false);
    if (found) of = *found;
    release();
    const struct matrix *a = &of.matrix[0], *b = &of.matrix[1], *d = &of.matrix[2];
    if (!a->rows || !b->rows || !d->rows) {
        tvg_note("unknown-version", entry->name, "a plan that was not seen being made: its kernels are recorded, its FLOP are not known");
        return TVG_OP_ID_NONE;
    }
    op.m = d->rows, op.n = d->columns, op.k = of.transa ? a->rows : a->columns;
    op.batch = d->batches;
    op.lda = a->leading, op.ldb = b->leading, op.ldc = d->leading;
    op.type_a = op.type_compute = tvg_cuda_type((unsigned)a->type);
    op.type_b = tvg_cuda_type((unsigned)b->type);
    op.type_c = tvg_cuda_type((unsigned)d->type);
    op.flags = (of.transa ? TVG_OP_TRANS_A : 0) | (of.transb ? TVG_OP_TRANS_B : 0) | (d->order == ORDER_ROW ? TVG_OP_ROW_MAJOR : 0) | TVG_OP_BETA_ZERO;
    op.name = a->sparse ? "A 2:4 sparse" : b->sparse ? "B 2:4 sparse" : NULL;
    tvg_op_count(&op);
    if (a->sparse || b->sparse) { /* half of the values, and two bits for each that say where it was */
        uint64_t *bytes = a->sparse ? &op.bytes_a : &op.bytes_b;
        uint64_t values = *bytes / 2, places = (uint64_t)op.k * (uint64_t)(a->sparse ? op.m : op.n) / 8;
        op.flags |= TVG_OP_FLOP_GIVEN;
        op.flop /= 2;
        op.bytes = op.bytes - *bytes + values + places;
        *bytes = values + places;
    }
    return tvg_op_intern(&op);
}

typedef int product(const void *handle, const void *plan, const void *alpha, const void *a, const void *b, const void *beta, const void *c, void *d, void *space, void *streams,
                    int32_t count);
product tvg_hook_cusparseLtMatmul;
TVG_HOOK_BODY int tvg_hook_cusparseLtMatmul(const void *handle, const void *plan, const void *alpha, const void *a, const void *b, const void *beta, const void *c, void *d,
                                            void *space, void *streams, int32_t count)
{
    TVG_TAKE_ENTRY(entry);
    void *const target = tvg_target(entry, __builtin_return_address(0));
    product *real = (product *)(uintptr_t)target;
    struct tvg_call call __attribute__((cleanup(tvg_call_release)));
    if (!tvg_call_begin(&call, __builtin_frame_address(0))) return real(handle, plan, alpha, a, b, beta, c, d, space, streams, count);
    int saved = errno;
    const uint32_t op_id = op_of(entry, target, plan);
    tvg_gpu_launches_begin(op_id);
    errno = saved;
    const uint64_t start = tvg_now();
    const int status = real(handle, plan, alpha, a, b, beta, c, d, space, streams, count);
    const uint64_t end = tvg_now();
    saved = errno;
    const bool ran = tvg_gpu_launches_end();
    tvg_call_release(&call);
    call.thread = NULL;
    if (status != 0) tvg_gpu_call_failed(entry, status);
    else if (ran && op_id != TVG_OP_ID_NONE) tvg_op_record(op_id, start, end, a, b, d);
    errno = saved;
    return status;
}
