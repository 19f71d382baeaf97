/* cuBLAS products in groups of different shapes (cublasGemmGroupedBatchedEx and its S and D forms): one op, whose FLOP and least bytes are the
 * sums over the groups. Shapes and layouts lie in host arrays; the arrays of operand pointers lie on the device and are only passed on.
 * Key: word 1 hash of all shapes, 2 FLOP, 3 least bytes, 4 products | types << 32. */
#include <stdint.h>
#include <string.h>

#include "blas.h"
#include "gpu_call.h"

struct groups {
    const int32_t *transa, *transb;
    const void *m, *n, *k, *lda, *ldb, *ldc, *sizes;
    int64_t count;
    uint32_t types; /* a b c compute, a byte each */
    bool wide;
};

static int64_t member(const void *array, int64_t at, bool wide)
{
    return wide ? ((const int64_t *)array)[at] : ((const int32_t *)array)[at];
}

static void set_types(struct tvg_op *op, uint32_t types)
{
    op->kind = TVG_KIND_GEMM;
    op->type_a = tvg_cuda_type(types & 0xff);
    op->type_b = tvg_cuda_type(types >> 8 & 0xff);
    op->type_c = tvg_cuda_type(types >> 16 & 0xff);
    op->type_compute = tvg_cublas_compute(types >> 24, op->type_a);
}

static void pack(struct tvg_key *key, const struct tvg_entry *entry, const struct groups *groups, const void *caller)
{
    uint64_t hash = (uint64_t)groups->count, flop = 0, bytes = 0, products = 0;
    for (int64_t g = 0; g < groups->count; g++) {
        struct tvg_op op = {.m = member(groups->m, g, groups->wide), .n = member(groups->n, g, groups->wide), .k = member(groups->k, g, groups->wide),
                            .batch = member(groups->sizes, g, groups->wide)};
        const uint64_t shape[] = {(uint64_t)op.m, (uint64_t)op.n, (uint64_t)op.k, (uint64_t)op.batch, (uint64_t)groups->transa[g] << 8 | (uint64_t)groups->transb[g],
                                  (uint64_t)member(groups->lda, g, groups->wide), (uint64_t)member(groups->ldb, g, groups->wide), (uint64_t)member(groups->ldc, g, groups->wide)};
        for (size_t i = 0; i < sizeof shape / sizeof shape[0]; i++) hash = (hash ^ shape[i]) * 0x9e3779b97f4a7c15u;
        if (op.m <= 0 || op.n <= 0 || op.k <= 0 || op.batch <= 0) continue;
        set_types(&op, groups->types);
        tvg_op_count(&op);
        flop += op.flop;
        bytes += op.bytes;
        products += (uint64_t)op.batch;
    }
    *key = (struct tvg_key){{entry->number, hash, flop, bytes, (uint32_t)products | (uint64_t)groups->types << 32, (uintptr_t)caller}};
}

tvg_describe tvg_cublas_grouped_describe;
void tvg_cublas_grouped_describe(const struct tvg_entry *entry, const struct tvg_key *key, struct tvg_op *op)
{
    (void)entry;
    set_types(op, (uint32_t)(key->word[4] >> 32));
    op->on_gpu = 1;
    op->flags |= TVG_OP_BATCH_POINTERS | TVG_OP_BATCH_GROUPED | TVG_OP_FLOP_GIVEN;
    op->batch = (uint32_t)key->word[4];
    op->flop = key->word[2];
    op->bytes = key->word[3];
}

static bool is_wide(const struct tvg_entry *entry)
{
    size_t length = strlen(entry->name);
    return length > 3 && strcmp(entry->name + length - 3, "_64") == 0;
}

static struct tvg_slot *slot_of(struct tvg_call *call, const struct tvg_entry *entry, const void *caller, const struct groups *groups)
{
    struct tvg_key key;
    pack(&key, entry, groups, caller);
    return tvg_slot_find(call, entry, &key);
}

/* `count` is an int in the forms that are not wide, so that the upper half of its register says nothing. */
#define GROUPED(RUN, TYPES)                                                                                                                             \
    TVG_GPU_STATUS_BODY(RUN, slot_of(&call, entry, caller, &(struct groups){transa, transb, m, n, k, lda, ldb, ldc, sizes, is_wide(entry) ? count : (int32_t)count, \
                                                                            TYPES, is_wide(entry)}), a, b, c)

enum { F32 = 0, F64 = 1, COMPUTE_F32 = 68, COMPUTE_F64 = 70 }; /* cudaDataType, cublasComputeType */

typedef int grouped(void *handle, const int32_t *transa, const int32_t *transb, const void *m, const void *n, const void *k, const void *alpha, const void *a, const void *lda,
                    const void *b, const void *ldb, const void *beta, void *c, const void *ldc, int64_t count, const void *sizes);
grouped tvg_hook_cublasSgemmGrouped, tvg_hook_cublasDgemmGrouped;
TVG_HOOK_BODY int tvg_hook_cublasSgemmGrouped(void *handle, const int32_t *transa, const int32_t *transb, const void *m, const void *n, const void *k, const void *alpha,
                                              const void *a, const void *lda, const void *b, const void *ldb, const void *beta, void *c, const void *ldc, int64_t count, const void *sizes)
{
    GROUPED(TVG_FUNCTION(grouped, target)(handle, transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, count, sizes),
            F32 | F32 << 8 | F32 << 16 | COMPUTE_F32 << 24);
}
TVG_HOOK_BODY int tvg_hook_cublasDgemmGrouped(void *handle, const int32_t *transa, const int32_t *transb, const void *m, const void *n, const void *k, const void *alpha,
                                              const void *a, const void *lda, const void *b, const void *ldb, const void *beta, void *c, const void *ldc, int64_t count, const void *sizes)
{
    GROUPED(TVG_FUNCTION(grouped, target)(handle, transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, count, sizes),
            F64 | F64 << 8 | F64 << 16 | COMPUTE_F64 << 24);
}

typedef int grouped_ex(void *handle, const int32_t *transa, const int32_t *transb, const void *m, const void *n, const void *k, const void *alpha, const void *a, int typea,
                       const void *lda, const void *b, int typeb, const void *ldb, const void *beta, void *c, int typec, const void *ldc, int64_t count, const void *sizes, int compute);
grouped_ex tvg_hook_cublasGemmGroupedBatchedEx;
TVG_HOOK_BODY int tvg_hook_cublasGemmGroupedBatchedEx(void *handle, const int32_t *transa, const int32_t *transb, const void *m, const void *n, const void *k, const void *alpha,
                                                      const void *a, int typea, const void *lda, const void *b, int typeb, const void *ldb, const void *beta, void *c, int typec,
                                                      const void *ldc, int64_t count, const void *sizes, int compute)
{
    GROUPED(TVG_FUNCTION(grouped_ex, target)(handle, transa, transb, m, n, k, alpha, a, typea, lda, b, typeb, ldb, beta, c, typec, ldc, count, sizes, compute),
            (uint32_t)(typea & 0xff) | (uint32_t)(typeb & 0xff) << 8 | (uint32_t)(typec & 0xff) << 16 | (uint32_t)(compute & 0xff) << 24);
}
