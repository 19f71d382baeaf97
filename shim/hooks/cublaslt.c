/* cublasLtMatmul: what it computes lies in descriptors, read through cuBLASLt's own accessors, found beside the real function. */
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "blas.h"
#include "described.h"
#include "gpu_call.h"

typedef int get_attribute(const void *descriptor, int attribute, void *out, size_t size, size_t *written);
static _Atomic(get_attribute *) get_layout, get_product;

enum { LAYOUT_TYPE = 0, LAYOUT_ORDER = 1, LAYOUT_ROWS = 2, LAYOUT_COLUMNS = 3, LAYOUT_LEADING = 4, LAYOUT_BATCH = 5, LAYOUT_STRIDE = 6, LAYOUT_BATCH_MODE = 8 };
enum { PRODUCT_COMPUTE = 0, PRODUCT_SCALE_TYPE = 1, PRODUCT_POINTER_MODE = 2, PRODUCT_TRANSA = 3, PRODUCT_TRANSB = 4, PRODUCT_EPILOGUE = 7, PRODUCT_A_SCALE = 17,
       PRODUCT_AUX_TYPE = 22, PRODUCT_A_SCALE_MODE = 31, PRODUCT_B_SCALE_MODE = 32, PRODUCT_D_OUT_SCALE_MODE = 37 };
enum { ORDER_ROW = 1, BATCH_POINTERS = 1, BATCH_GROUPED = 2, POINTERS_HOST = 0, POINTERS_BETA_ZERO = 3, POINTERS_BETA_HOST = 4 };
/* Bits of CUBLASLT_EPILOGUE; AUX: another matrix is written (or, of gradients, read). */
enum { EPILOGUE_RELU = 2, EPILOGUE_BIAS = 4, EPILOGUE_RELU_GRADIENT = 8, EPILOGUE_GELU = 32, EPILOGUE_AUX = 128 };

/* How operands are scaled: what a reader knows it by, how many elements share one scale (0: few enough to be left out of the bytes) and its bytes. */
static const struct { const char *name; uint16_t elements, bytes; } scale_modes[] = {
    {"scaled per tensor", 0, 0}, {"scaled per 16 (nvfp4)", 16, 1}, {"scaled per 32 (mx)", 32, 1}, {"scaled per row", 0, 0}, {"scaled per 128", 128, 4},
    {"scaled per 128 x 128", 128 * 128, 4}, {"scaled per matrix of a batch", 0, 0}};
enum { SCALE_MODES = sizeof scale_modes / sizeof *scale_modes };

static uint64_t read_attribute(get_attribute *get, const void *descriptor, int attribute, size_t size, uint64_t otherwise)
{
    uint64_t value = 0;
    size_t written = 0;
    return descriptor && get(descriptor, attribute, &value, size, &written) == 0 ? value : otherwise;
}

static uint32_t epilogue_of(unsigned value)
{
    uint32_t epilogue = TVG_EPILOGUE_NONE;
    if (value & EPILOGUE_RELU)
        epilogue |= TVG_EPILOGUE_RELU;
    if (value & EPILOGUE_BIAS)
        epilogue |= TVG_EPILOGUE_BIAS;
    if (value & EPILOGUE_GELU)
        epilogue |= TVG_EPILOGUE_GELU;
    if (value & ~(1u | EPILOGUE_RELU | EPILOGUE_BIAS | EPILOGUE_GELU | EPILOGUE_AUX))
        epilogue |= TVG_EPILOGUE_OTHER;
    return epilogue;
}

static bool prepare(const void *code)
{
    if (atomic_load_explicit(&get_layout, memory_order_acquire))
        return true;
    void *handle = tvg_library_handle(code);
    void *layout = handle ? dlsym(handle, "cublasLtMatrixLayoutGetAttribute") : NULL;
    void *product = handle ? dlsym(handle, "cublasLtMatmulDescGetAttribute") : NULL;
    if (!layout || !product) {
        tvg_note("unknown-version", "cublasLtMatmul", "no accessors beside it: its calls go unrecorded");
        return false;
    }
    atomic_store(&get_product, TVG_FUNCTION(get_attribute, product));
    atomic_store_explicit(&get_layout, TVG_FUNCTION(get_attribute, layout), memory_order_release);
    return true;
}

/* Whether the scaling factor at `scalar`, of a cudaDataType, is zero. False where that type has no test here. */
static bool is_zero(const void *scalar, uint64_t type)
{
    if (!scalar)
        return false;
    switch (type) {
    case 0: return tvg_zero_pf32(scalar);
    case 1: return tvg_zero_pf64(scalar);
    case 2: return tvg_zero_phalf(scalar);
    case 4: return tvg_zero_pc64(scalar);
    case 5: return tvg_zero_pc128(scalar);
    case 10: return tvg_int32_at(scalar) == 0;
    default: return false;
    }
}

struct matrix {
    uint64_t rows, columns, batch;
    int64_t leading, stride;
    uint8_t type;
};

static struct matrix read_matrix(const void *descriptor)
{
    get_attribute *get = atomic_load_explicit(&get_layout, memory_order_acquire);
    return (struct matrix){.rows = read_attribute(get, descriptor, LAYOUT_ROWS, 8, 0), .columns = read_attribute(get, descriptor, LAYOUT_COLUMNS, 8, 0),
                           .batch = read_attribute(get, descriptor, LAYOUT_BATCH, 4, 1), .leading = (int64_t)read_attribute(get, descriptor, LAYOUT_LEADING, 8, 0),
                           .stride = (int64_t)read_attribute(get, descriptor, LAYOUT_STRIDE, 8, 0),
                           .type = tvg_cuda_type((unsigned)read_attribute(get, descriptor, LAYOUT_TYPE, 4, 255))};
}

static uint64_t scale_bytes(uint64_t mode, const struct matrix *matrix)
{
    if (mode >= SCALE_MODES || !scale_modes[mode].elements)
        return 0;
    const uint64_t elements = matrix->rows * matrix->columns * matrix->batch, each = scale_modes[mode].elements;
    return (elements + each - 1) / each * scale_modes[mode].bytes;
}

/* Adds what lies beside the operands: scales of blocks, and the matrix that an epilogue writes or reads. A vector of scales or bias is left out. */
static void add_beside(struct tvg_op *op, const void *product, uint64_t epilogue, const struct matrix *a, const struct matrix *b, const struct matrix *d)
{
    get_attribute *get = atomic_load(&get_product);
    const uint64_t mode = read_attribute(get, product, PRODUCT_A_SCALE_MODE, 4, 0);
    const uint64_t of_a = scale_bytes(mode, a), of_b = scale_bytes(read_attribute(get, product, PRODUCT_B_SCALE_MODE, 4, 0), b);
    uint64_t of_d = scale_bytes(read_attribute(get, product, PRODUCT_D_OUT_SCALE_MODE, 4, 0), d);
    if (epilogue & EPILOGUE_AUX) {
        const uint64_t elements = d->rows * d->columns * d->batch;
        const uint32_t type = (uint32_t)read_attribute(get, product, PRODUCT_AUX_TYPE, 4, UINT32_MAX);
        const bool bits = epilogue & (EPILOGUE_RELU | EPILOGUE_RELU_GRADIENT);
        of_d += bits ? (elements + 7) / 8 : tvg_type_bytes(type == UINT32_MAX ? op->type_c : tvg_cuda_type(type), elements);
    }
    if (mode < SCALE_MODES && (mode || read_attribute(get, product, PRODUCT_A_SCALE, 8, 0)))
        op->name = scale_modes[mode].name;
    if (!(of_a | of_b | of_d))
        return;
    tvg_op_count(op);
    op->bytes_a += of_a, op->bytes_b += of_b, op->bytes_c += of_d;
    op->bytes += of_a + of_b + of_d;
    op->flags |= TVG_OP_FLOP_GIVEN;
}

/* What the pointers to alpha and beta tell. */
static uint32_t scalar_flags(const void *product, const void *beta)
{
    get_attribute *get = atomic_load(&get_product);
    const uint64_t mode = read_attribute(get, product, PRODUCT_POINTER_MODE, 4, POINTERS_HOST);
    if (mode == POINTERS_BETA_ZERO)
        return TVG_OP_BETA_ZERO;
    return (mode == POINTERS_HOST || mode == POINTERS_BETA_HOST) && is_zero(beta, read_attribute(get, product, PRODUCT_SCALE_TYPE, 4, UINT64_MAX)) ? TVG_OP_BETA_ZERO : 0;
}

static struct tvg_slot *slot_of(struct tvg_call *call, const struct tvg_entry *entry, const void *target, const void *caller, const void *product, const void *beta,
                                const void *a_layout, const void *b_layout, const void *d_layout)
{
    if (!prepare(target))
        return NULL;
    get_attribute *layout = atomic_load_explicit(&get_layout, memory_order_acquire), *get = atomic_load(&get_product);
    const uint64_t batch_mode = read_attribute(layout, d_layout, LAYOUT_BATCH_MODE, 4, 0);
    if (batch_mode == BATCH_GROUPED) {
        tvg_note("found-not-catchable", entry->name, "groups whose sizes lie in device memory: their kernels are recorded, their FLOP are not known");
        return NULL;
    }
    const struct matrix a = read_matrix(a_layout), b = read_matrix(b_layout), d = read_matrix(d_layout);
    const bool transa = read_attribute(get, product, PRODUCT_TRANSA, 4, 0), transb = read_attribute(get, product, PRODUCT_TRANSB, 4, 0);
    const unsigned compute = (unsigned)read_attribute(get, product, PRODUCT_COMPUTE, 4, 0);
    const uint64_t epilogue = read_attribute(get, product, PRODUCT_EPILOGUE, 4, 1);
    struct tvg_op op = {.function = entry->name, .net = entry->net, .kind = TVG_KIND_GEMM, .on_gpu = 1, .device = -1, .m = (int64_t)d.rows, .n = (int64_t)d.columns,
                        .k = (int64_t)(transa ? a.rows : a.columns), .batch = (int64_t)d.batch, .lda = a.leading, .ldb = b.leading, .ldc = d.leading,
                        .type_a = a.type, .type_b = b.type, .type_c = d.type, .type_compute = tvg_cublas_compute(compute, a.type),
                        .name = tvg_cublas_emulation(compute), .epilogue = epilogue_of((unsigned)epilogue), .flags = scalar_flags(product, beta)};
    if (transa)
        op.flags |= TVG_OP_TRANS_A;
    if (transb)
        op.flags |= TVG_OP_TRANS_B;
    if (read_attribute(layout, d_layout, LAYOUT_ORDER, 4, 0) == ORDER_ROW)
        op.flags |= TVG_OP_ROW_MAJOR;
    if (d.batch > 1) {
        op.flags |= batch_mode == BATCH_POINTERS ? TVG_OP_BATCH_POINTERS : TVG_OP_BATCH_STRIDED;
        op.stride_a = a.stride, op.stride_b = b.stride, op.stride_c = d.stride;
    }
    add_beside(&op, product, epilogue, &a, &b, &d);
    return tvg_slot_described(call, entry, &op, caller);
}

typedef int matmul(void *handle, void *product, const void *alpha, const void *a, void *a_layout, const void *b, void *b_layout, const void *beta,
                   const void *c, void *c_layout, void *d, void *d_layout, const void *algorithm, void *workspace, size_t workspace_bytes, void *stream);
matmul tvg_hook_cublasLtMatmul;
TVG_HOOK_BODY int tvg_hook_cublasLtMatmul(void *handle, void *product, const void *alpha, const void *a, void *a_layout, const void *b, void *b_layout,
                                          const void *beta, const void *c, void *c_layout, void *d, void *d_layout, const void *algorithm, void *workspace,
                                          size_t workspace_bytes, void *stream)
{
    TVG_GPU_STATUS_BODY(TVG_FUNCTION(matmul, target)(handle, product, alpha, a, a_layout, b, b_layout, beta, c, c_layout, d, d_layout, algorithm, workspace, workspace_bytes,
                                                     stream),
                        slot_of(&call, entry, target, caller, product, beta, a_layout, b_layout, d_layout), a, b, d);
}
