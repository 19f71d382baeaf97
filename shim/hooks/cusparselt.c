/* cuSPARSELt: products with one operand of which half is zero by structure (2 of 4). Shapes lie in opaque descriptors without accessors: they are
 * kept while the host initialises them, by address. FLOP are those of the multiply-adds that are done, half of the dense product's. */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "blas.h"
#include "described.h"
#include "gpu_call.h"
#include "registry.h"

struct matrix {
    int64_t rows, columns, leading, batches;
    int32_t type, order;
    bool sparse;
};
struct descriptor {
    struct matrix matrix[3]; /* a matrix's own is [0]; of products and plans: A, B, D */
    int32_t transa, transb;
};
enum { ATTRIBUTE_BATCHES = 0, ORDER_ROW = 2 };
static struct tvg_registry known;
static struct tvg_pool descriptors = TVG_POOL(struct descriptor, TVG_REGISTRY_PLACES);

/* Keeps a copy of `descriptor` for the host's at `key`: descriptors live on stacks, so an address that is known is used again. */
static void keep(const void *key, const struct descriptor *descriptor)
{
    struct descriptor *made = tvg_pool_take(&descriptors);
    if (made) {
        *made = *descriptor;
        tvg_pool_give(&descriptors, tvg_registry_put(&known, key, made));
    } else {
        tvg_pool_give(&descriptors, tvg_registry_take(&known, key));
        tvg_note("limit", "cuSPARSELt", "more descriptors at a time than are remembered: those that came later are not counted");
    }
}

static void keep_matrix(const void *key, const struct matrix *matrix)
{
    int saved = errno;
    keep(key, &(struct descriptor){.matrix = {*matrix}});
    errno = saved;
}

typedef int dense_init(const void *handle, void *matrix, int64_t rows, int64_t columns, int64_t leading, uint32_t alignment, int type, int order);
dense_init tvg_hook_cusparseLtDenseDescriptorInit;
TVG_HOOK_BODY int tvg_hook_cusparseLtDenseDescriptorInit(const void *handle, void *matrix, int64_t rows, int64_t columns, int64_t leading, uint32_t alignment, int type, int order)
{
    TVG_TAKE_ENTRY(entry);
    int status = TVG_FUNCTION(dense_init, tvg_target(entry, __builtin_return_address(0)))(handle, matrix, rows, columns, leading, alignment, type, order);
    if (status == 0) keep_matrix(matrix, &(struct matrix){rows, columns, leading, 1, type, order, false});
    return status;
}

typedef int structured_init(const void *handle, void *matrix, int64_t rows, int64_t columns, int64_t leading, uint32_t alignment, int type, int order, int sparsity);
structured_init tvg_hook_cusparseLtStructuredDescriptorInit;
TVG_HOOK_BODY int tvg_hook_cusparseLtStructuredDescriptorInit(const void *handle, void *matrix, int64_t rows, int64_t columns, int64_t leading, uint32_t alignment, int type,
                                                              int order, int sparsity)
{
    TVG_TAKE_ENTRY(entry);
    int status = TVG_FUNCTION(structured_init, tvg_target(entry, __builtin_return_address(0)))(handle, matrix, rows, columns, leading, alignment, type, order, sparsity);
    if (status == 0) keep_matrix(matrix, &(struct matrix){rows, columns, leading, 1, type, order, true});
    return status;
}

typedef int set_attribute(const void *handle, void *matrix, int attribute, const void *data, size_t bytes);
set_attribute tvg_hook_cusparseLtMatDescSetAttribute;
TVG_HOOK_BODY int tvg_hook_cusparseLtMatDescSetAttribute(const void *handle, void *matrix, int attribute, const void *data, size_t bytes)
{
    TVG_TAKE_ENTRY(entry);
    int status = TVG_FUNCTION(set_attribute, tvg_target(entry, __builtin_return_address(0)))(handle, matrix, attribute, data, bytes);
    if (status == 0 && attribute == ATTRIBUTE_BATCHES && data && bytes >= sizeof(int32_t)) {
        struct descriptor *descriptor = tvg_registry_get(&known, matrix);
        int32_t batches;
        memcpy(&batches, data, sizeof batches);
        if (descriptor) descriptor->matrix[0].batches = batches;
    }
    return status;
}

typedef int product_init(const void *handle, void *product, int transa, int transb, const void *a, const void *b, const void *c, const void *d, int compute);
product_init tvg_hook_cusparseLtMatmulDescriptorInit;
TVG_HOOK_BODY int tvg_hook_cusparseLtMatmulDescriptorInit(const void *handle, void *product, int transa, int transb, const void *a, const void *b, const void *c, const void *d,
                                                          int compute)
{
    TVG_TAKE_ENTRY(entry);
    int status = TVG_FUNCTION(product_init, tvg_target(entry, __builtin_return_address(0)))(handle, product, transa, transb, a, b, c, d, compute);
    if (status == 0) {
        const void *const operand[3] = {a, b, d};
        struct descriptor made = {.transa = transa, .transb = transb};
        for (int i = 0; i < 3; i++) {
            const struct descriptor *of = tvg_registry_get(&known, operand[i]);
            if (of) made.matrix[i] = of->matrix[0];
        }
        int saved = errno;
        keep(product, &made);
        errno = saved;
    }
    return status;
}

typedef int plan_init(const void *handle, void *plan, const void *product, const void *selection);
plan_init tvg_hook_cusparseLtMatmulPlanInit;
TVG_HOOK_BODY int tvg_hook_cusparseLtMatmulPlanInit(const void *handle, void *plan, const void *product, const void *selection)
{
    TVG_TAKE_ENTRY(entry);
    int status = TVG_FUNCTION(plan_init, tvg_target(entry, __builtin_return_address(0)))(handle, plan, product, selection);
    const struct descriptor *of = status == 0 ? tvg_registry_get(&known, product) : NULL;
    int saved = errno;
    if (of) keep(plan, of);
    errno = saved;
    return status;
}

/* Of matrices and plans; products have none. */
typedef int destroy(const void *descriptor);
destroy tvg_hook_cusparselt_destroy;
TVG_HOOK_BODY int tvg_hook_cusparselt_destroy(const void *descriptor)
{
    TVG_TAKE_ENTRY(entry);
    tvg_pool_give(&descriptors, tvg_registry_take(&known, descriptor));
    return TVG_FUNCTION(destroy, tvg_target(entry, __builtin_return_address(0)))(descriptor);
}

static struct tvg_slot *slot_of(struct tvg_call *call, const struct tvg_entry *entry, const void *caller, const void *plan)
{
    struct tvg_op op = {.function = entry->name, .net = entry->net, .kind = TVG_KIND_GEMM, .on_gpu = 1, .device = -1};
    const struct descriptor *of = tvg_registry_get(&known, plan);
    const struct matrix *a = of ? &of->matrix[0] : NULL, *b = of ? &of->matrix[1] : NULL, *d = of ? &of->matrix[2] : NULL;
    if (!of || !a->rows || !b->rows || !d->rows) {
        tvg_note("unknown-version", entry->name, "a plan that was not seen being made: its kernels are recorded, its FLOP are not known");
        return NULL;
    }
    op.m = d->rows, op.n = d->columns, op.k = of->transa ? a->rows : a->columns;
    op.batch = d->batches;
    op.lda = a->leading, op.ldb = b->leading, op.ldc = d->leading;
    op.type_a = op.type_compute = tvg_cuda_type((unsigned)a->type);
    op.type_b = tvg_cuda_type((unsigned)b->type);
    op.type_c = tvg_cuda_type((unsigned)d->type);
    op.flags = (of->transa ? TVG_OP_TRANS_A : 0) | (of->transb ? TVG_OP_TRANS_B : 0) | (d->order == ORDER_ROW ? TVG_OP_ROW_MAJOR : 0) | TVG_OP_BETA_ZERO;
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
    return tvg_slot_described(call, entry, &op, caller);
}

typedef int product(const void *handle, const void *plan, const void *alpha, const void *a, const void *b, const void *beta, const void *c, void *d, void *space, void *streams,
                    int32_t count);
product tvg_hook_cusparseLtMatmul;
TVG_HOOK_BODY int tvg_hook_cusparseLtMatmul(const void *handle, const void *plan, const void *alpha, const void *a, const void *b, const void *beta, const void *c, void *d,
                                            void *space, void *streams, int32_t count)
{
    TVG_GPU_STATUS_BODY(TVG_FUNCTION(product, target)(handle, plan, alpha, a, b, beta, c, d, space, streams, count), slot_of(&call, entry, caller, plan), a, b, d);
}

/* Tries the plan's algorithms on the operands: as many products as it likes. */
typedef int search(const void *handle, void *plan, const void *alpha, const void *a, const void *b, const void *beta, const void *c, void *d, void *space, void *streams,
                   int32_t count);
search tvg_hook_cusparseLtMatmulSearch;
TVG_HOOK_BODY int tvg_hook_cusparseLtMatmulSearch(const void *handle, void *plan, const void *alpha, const void *a, const void *b, const void *beta, const void *c, void *d,
                                                  void *space, void *streams, int32_t count)
{
    TVG_TAKE_ENTRY(entry);
    int saved = errno;
    tvg_recording_begin();
    tvg_note("found-not-catchable", entry->name, "tries algorithms an unknown number of times: its kernels are recorded, its FLOP are not known");
    errno = saved;
    return TVG_FUNCTION(search, tvg_target(entry, __builtin_return_address(0)))(handle, plan, alpha, a, b, beta, c, d, space, streams, count);
}
