/* cublasLtMatmul: what it computes lies in descriptors, read through cuBLASLt's own accessors, found beside the real function.
 * Key: word 1 m | n << 32, word 2 k | batch << 32, word 3 types and layout, word 4 leading dimensions as a hash | epilogue << 32. */
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "blas.h"
#include "gpu_call.h"

typedef int get_attribute(const void *descriptor, int attribute, void *out, size_t size, size_t *written);
static _Atomic(get_attribute *) get_layout, get_product;

enum { LAYOUT_TYPE = 0, LAYOUT_ORDER = 1, LAYOUT_ROWS = 2, LAYOUT_COLS = 3, LAYOUT_LD = 4, LAYOUT_BATCH = 5 };
enum { PRODUCT_COMPUTE = 0, PRODUCT_TRANSA = 3, PRODUCT_TRANSB = 4, PRODUCT_EPILOGUE = 7 };

static uint64_t read_attribute(get_attribute *get, const void *descriptor, int attribute, size_t size, uint64_t otherwise)
{
    uint64_t value = 0;
    size_t written = 0;
    if (!descriptor || get(descriptor, attribute, &value, size, &written) != 0)
        return otherwise;
    return value;
}

/* CUBLASLT_EPILOGUE bits: relu 2, bias 4, gelu 32, d-relu 64, d-gelu 128 and so on. */
static uint32_t epilogue_of(unsigned value)
{
    uint32_t epilogue = TVG_EPILOGUE_NONE;
    if (value & 2)
        epilogue |= TVG_EPILOGUE_RELU;
    if (value & 4)
        epilogue |= TVG_EPILOGUE_BIAS;
    if (value & 32)
        epilogue |= TVG_EPILOGUE_GELU;
    if (value & ~(1u | 2 | 4 | 32 | 128))
        epilogue |= TVG_EPILOGUE_OTHER;
    return epilogue;
}

tvg_describe tvg_cublaslt_describe;
void tvg_cublaslt_describe(const struct tvg_entry *entry, const struct tvg_key *key, struct tvg_op *op)
{
    (void)entry;
    uint64_t types = key->word[3];
    op->kind = TVG_KIND_GEMM;
    op->on_gpu = 1;
    op->type_a = tvg_cuda_type(types & 0xff);
    op->type_b = tvg_cuda_type(types >> 8 & 0xff);
    op->type_c = tvg_cuda_type(types >> 16 & 0xff);
    op->type_compute = tvg_cublas_compute(types >> 24 & 0xff, op->type_a);
    if (types >> 32 & 3)
        op->flags |= TVG_OP_TRANS_A;
    if (types >> 34 & 3)
        op->flags |= TVG_OP_TRANS_B;
    if (types >> 36 & 1)
        op->flags |= TVG_OP_ROW_MAJOR;
    if (types >> 37 & 1)
        op->flags |= TVG_OP_BETA_ZERO;
    op->m = (int64_t)(uint32_t)key->word[1], op->n = (int64_t)(key->word[1] >> 32);
    op->k = (int64_t)(uint32_t)key->word[2], op->batch = (int64_t)(key->word[2] >> 32);
    if (op->batch > 1)
        op->flags |= TVG_OP_BATCH_STRIDED, op->stride_a = op->stride_b = op->stride_c = 1; /* different matrices; the distances are not kept */
    op->epilogue = epilogue_of((unsigned)(key->word[4] >> 32));
}

static bool prepare(const void *code)
{
    if (atomic_load_explicit(&get_layout, memory_order_acquire))
        return true;
    Dl_info info;
    void *handle = dladdr(code, &info) ? dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD) : NULL;
    void *layout = handle ? dlsym(handle, "cublasLtMatrixLayoutGetAttribute") : NULL;
    void *product = handle ? dlsym(handle, "cublasLtMatmulDescGetAttribute") : NULL;
    if (!layout || !product) {
        tvg_note("unknown-version", "cublasLtMatmul", "no accessors beside it: its calls go unrecorded");
        return false;
    }
    atomic_store(&get_product, (get_attribute *)(uintptr_t)product);
    atomic_store_explicit(&get_layout, (get_attribute *)(uintptr_t)layout, memory_order_release);
    return true;
}

typedef int matmul(void *handle, void *product, const void *alpha, const void *a, void *a_layout, const void *b, void *b_layout, const void *beta,
                   const void *c, void *c_layout, void *d, void *d_layout, const void *algorithm, void *workspace, size_t workspace_bytes, void *stream);

static struct tvg_slot *slot_of(struct tvg_call *call, const struct tvg_entry *entry, const void *target, const void *caller, const void *product, const void *a_layout,
                                const void *b_layout, const void *d_layout)
{
    if (!prepare(target))
        return NULL;
    get_attribute *layout = atomic_load_explicit(&get_layout, memory_order_acquire), *of_product = atomic_load(&get_product);
    uint64_t transa = read_attribute(of_product, product, PRODUCT_TRANSA, 4, 0), transb = read_attribute(of_product, product, PRODUCT_TRANSB, 4, 0);
    uint64_t rows = read_attribute(layout, d_layout, LAYOUT_ROWS, 8, 0), columns = read_attribute(layout, d_layout, LAYOUT_COLS, 8, 0);
    uint64_t k = read_attribute(layout, a_layout, transa ? LAYOUT_ROWS : LAYOUT_COLS, 8, 0), batch = read_attribute(layout, d_layout, LAYOUT_BATCH, 4, 1);
    uint64_t order = read_attribute(layout, d_layout, LAYOUT_ORDER, 4, 0);
    uint64_t leading = read_attribute(layout, a_layout, LAYOUT_LD, 8, 0) * 31 + read_attribute(layout, b_layout, LAYOUT_LD, 8, 0) * 17 +
                       read_attribute(layout, d_layout, LAYOUT_LD, 8, 0);
    struct tvg_key key = {{entry->number, (uint32_t)rows | columns << 32, (uint32_t)k | batch << 32,
                           (read_attribute(layout, a_layout, LAYOUT_TYPE, 4, 0) & 0xff) | (read_attribute(layout, b_layout, LAYOUT_TYPE, 4, 0) & 0xff) << 8 |
                               (read_attribute(layout, d_layout, LAYOUT_TYPE, 4, 0) & 0xff) << 16 |
                               (read_attribute(of_product, product, PRODUCT_COMPUTE, 4, 0) & 0xff) << 24 | (transa & 3) << 32 | (transb & 3) << 34 |
                               (uint64_t)(order == 1) << 36,
                           (uint32_t)leading | read_attribute(of_product, product, PRODUCT_EPILOGUE, 4, 1) << 32, (uintptr_t)caller}};
    return tvg_slot_find(call, entry, &key);
}

matmul tvg_hook_cublasLtMatmul;
TVG_HOOK_BODY int tvg_hook_cublasLtMatmul(void *handle, void *product, const void *alpha, const void *a, void *a_layout, const void *b, void *b_layout,
                                          const void *beta, const void *c, void *c_layout, void *d, void *d_layout, const void *algorithm, void *workspace,
                                          size_t workspace_bytes, void *stream)
{
    TVG_GPU_STATUS_BODY(TVG_FUNCTION(matmul, target)(handle, product, alpha, a, a_layout, b, b_layout, beta, c, c_layout, d, d_layout, algorithm, workspace, workspace_bytes,
                                                     stream),
                        slot_of(&call, entry, target, caller, product, a_layout, b_layout, d_layout), a, b, d);
}
