/* cuDNN's direct convolutions (cudnnConvolutionForward and its kin; ONNX Runtime and older programs call them): tensors are read from their
 * descriptors through cuDNN's own accessors in each call. */
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "../intercept/resolve.h"
#include "../intercept/wrapper.h"
#include "../record/record.h"
#include "../sources/gpu.h"
#include "cudnn.h"

uint8_t tvg_cudnn_type(int64_t type)
{
    static const uint8_t types[] = {TVG_TYPE_F32, TVG_TYPE_F64, TVG_TYPE_F16, TVG_TYPE_I8, TVG_TYPE_I32, TVG_TYPE_I8, TVG_TYPE_U8, TVG_TYPE_U8, TVG_TYPE_I8,
                                    TVG_TYPE_BF16, TVG_TYPE_I64, TVG_TYPE_BOOL, TVG_TYPE_F8_E4M3, TVG_TYPE_F8_E5M2};
    return type >= 0 && type < (int64_t)sizeof types ? types[type] : TVG_TYPE_NONE;
}

uint64_t tvg_cudnn_elements(const struct tvg_cudnn_tensor *tensor)
{
    uint64_t count = tensor->rank ? 1 : 0;
    for (int i = 0; i < tensor->rank; i++) count *= (uint64_t)(tensor->dim[i] > 0 ? tensor->dim[i] : 0);
    return count;
}

uint64_t tvg_cudnn_bytes(const struct tvg_cudnn_tensor *tensor) { return tvg_type_bytes(tensor->type, tvg_cudnn_elements(tensor)); }

void tvg_cudnn_convolution(struct tvg_op *op, const struct tvg_cudnn_tensor *x, const struct tvg_cudnn_tensor *w, const struct tvg_cudnn_tensor *y)
{
    int spatial = x->rank - 2, at = 0;
    if (spatial < 1 || spatial > 3 || w->rank != x->rank || y->rank != x->rank) return;
    op->kind = TVG_KIND_CONV;
    op->dim_spatial = (uint8_t)spatial;
    op->dim[at++] = x->dim[0], op->dim[at++] = x->dim[1];
    for (int i = 0; i < spatial; i++) op->dim[at++] = x->dim[2 + i];
    op->dim[at++] = y->dim[1];
    for (int i = 0; i < spatial; i++) op->dim[at++] = w->dim[2 + i];
    for (int i = 0; i < spatial; i++) op->dim[at++] = y->dim[2 + i];
    op->dim[at++] = w->dim[1] > 0 ? x->dim[1] / w->dim[1] : 1;
    op->dim_count = (uint8_t)at;
    op->type_a = x->type, op->type_b = w->type, op->type_c = y->type;
    op->type_compute = x->type;
    uint64_t kernel = 1;
    for (int i = 1; i < w->rank; i++) kernel *= (uint64_t)w->dim[i];
    op->flop += 2 * tvg_cudnn_elements(y) * kernel;
    op->bytes_a = tvg_cudnn_bytes(x), op->bytes_b = tvg_cudnn_bytes(w), op->bytes_c = tvg_cudnn_bytes(y);
}

typedef int get_tensor(const void *descriptor, int most, int *type, int *rank, int dims[], int strides[]);
typedef int get_filter(const void *descriptor, int most, int *type, int *format, int *rank, int dims[]);
static _Atomic(get_tensor *) tensor_of;
static _Atomic(get_filter *) filter_of;

static bool prepare(void)
{
    if (atomic_load_explicit(&filter_of, memory_order_acquire)) return true;
    static const char *const names[] = {"libcudnn.so.9", "libcudnn.so.8", "libcudnn.so"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        void *handle = dlopen(names[i], RTLD_LAZY | RTLD_NOLOAD);
        void *tensor = handle ? dlsym(handle, "cudnnGetTensorNdDescriptor") : NULL, *filter = handle ? dlsym(handle, "cudnnGetFilterNdDescriptor") : NULL;
        if (!tensor || !filter) continue;
        atomic_store(&tensor_of, (get_tensor *)(uintptr_t)tensor);
        atomic_store_explicit(&filter_of, (get_filter *)(uintptr_t)filter, memory_order_release);
        return true;
    }
    return false;
}

static bool fill(struct tvg_cudnn_tensor *tensor, int status, int type, int rank, const int *dims)
{
    if (status != 0 || rank < 0 || rank > TVG_CUDNN_RANK) return false;
    tensor->type = tvg_cudnn_type(type);
    tensor->rank = (uint8_t)rank;
    for (int i = 0; i < rank; i++) tensor->dim[i] = dims[i];
    return true;
}

static bool read_tensor(struct tvg_cudnn_tensor *tensor, const void *descriptor)
{
    int type = -1, rank = 0, dims[TVG_CUDNN_RANK], strides[TVG_CUDNN_RANK];
    int status = atomic_load(&tensor_of)(descriptor, TVG_CUDNN_RANK, &type, &rank, dims, strides);
    return fill(tensor, status, type, rank, dims);
}

static bool read_filter(struct tvg_cudnn_tensor *tensor, const void *descriptor)
{
    int type = -1, rank = 0, format, dims[TVG_CUDNN_RANK];
    int status = atomic_load(&filter_of)(descriptor, TVG_CUDNN_RANK, &type, &format, &rank, dims);
    return fill(tensor, status, type, rank, dims);
}

/* The op of a convolution whose descriptors these are; TVG_OP_ID_NONE when they can't be read. `transposed`: x is written, y is read. */
static uint32_t op_of(const struct tvg_entry *entry, const void *target, const void *x, const void *w, const void *y, bool transposed, uint32_t epilogue)
{
    struct tvg_cudnn_tensor tensor[3];
    struct tvg_op op = {.library = tvg_object_name(target, NULL), .function = entry->name, .net = entry->net, .on_gpu = 1, .device = -1,
                        .flags = TVG_OP_FLOP_GIVEN | TVG_OP_BETA_ZERO, .epilogue = epilogue};
    memset(tensor, 0, sizeof tensor);
    if (!prepare() || !read_tensor(&tensor[0], x) || !read_filter(&tensor[1], w) || !read_tensor(&tensor[2], y)) {
        tvg_note("unknown-version", entry->name, "its descriptors can't be read: its kernels are recorded, its FLOP are not known");
        return TVG_OP_ID_NONE;
    }
    tvg_cudnn_convolution(&op, &tensor[0], &tensor[1], &tensor[2]);
    if (transposed) { /* what is read comes first */
        uint64_t written = op.bytes_a;
        op.bytes_a = op.bytes_c, op.bytes_c = written;
    }
    op.bytes = op.bytes_a + op.bytes_b + op.bytes_c;
    return tvg_op_intern(&op);
}

#define CONVOLUTION(RUN, X, W, Y, TRANSPOSED, EPILOGUE, A, B, C)                                           \
    TVG_TAKE_ENTRY(entry);                                                                                 \
    void *const target = tvg_target(entry, __builtin_return_address(0));                                   \
    struct tvg_call call __attribute__((cleanup(tvg_call_release)));                                       \
    if (!tvg_call_begin(&call, __builtin_frame_address(0))) return RUN;                                    \
    int saved = errno;                                                                                     \
    const uint32_t op_id = op_of(entry, target, X, W, Y, TRANSPOSED, EPILOGUE);                            \
    tvg_gpu_launches_begin(op_id);                                                                         \
    errno = saved;                                                                                         \
    const uint64_t start = tvg_now();                                                                      \
    const int status = RUN;                                                                                \
    const uint64_t end = tvg_now();                                                                        \
    saved = errno;                                                                                         \
    const bool ran = tvg_gpu_launches_end();                                                               \
    tvg_call_release(&call);                                                                               \
    call.thread = NULL;                                                                                    \
    if (status != 0) tvg_gpu_call_failed(entry, status);                                                   \
    else if (ran && op_id != TVG_OP_ID_NONE) tvg_op_record(op_id, start, end, A, B, C);                    \
    errno = saved;                                                                                         \
    return status;

typedef int forward(void *handle, const void *alpha, const void *x_of, const void *x, const void *w_of, const void *w, const void *convolution, int algorithm, void *space,
                    size_t bytes, const void *beta, const void *y_of, void *y);
forward tvg_hook_cudnnConvolutionForward, tvg_hook_cudnnConvolutionBackwardData;
TVG_HOOK_BODY int tvg_hook_cudnnConvolutionForward(void *handle, const void *alpha, const void *x_of, const void *x, const void *w_of, const void *w, const void *convolution,
                                                   int algorithm, void *space, size_t bytes, const void *beta, const void *y_of, void *y)
{
    CONVOLUTION(((forward *)(uintptr_t)target)(handle, alpha, x_of, x, w_of, w, convolution, algorithm, space, bytes, beta, y_of, y), x_of, w_of, y_of, false,
                TVG_EPILOGUE_NONE, x, w, y)
}

/* What a transposed convolution is made of: (w, dy) to dx. */
TVG_HOOK_BODY int tvg_hook_cudnnConvolutionBackwardData(void *handle, const void *alpha, const void *w_of, const void *w, const void *dy_of, const void *dy,
                                                        const void *convolution, int algorithm, void *space, size_t bytes, const void *beta, const void *dx_of, void *dx)
{
    CONVOLUTION(((forward *)(uintptr_t)target)(handle, alpha, w_of, w, dy_of, dy, convolution, algorithm, space, bytes, beta, dx_of, dx), dx_of, w_of, dy_of, true,
                TVG_EPILOGUE_NONE, dy, w, dx)
}

typedef int fused(void *handle, const void *alpha1, const void *x_of, const void *x, const void *w_of, const void *w, const void *convolution, int algorithm, void *space,
                  size_t bytes, const void *alpha2, const void *z_of, const void *z, const void *bias_of, const void *bias, const void *activation, const void *y_of, void *y);
fused tvg_hook_cudnnConvolutionBiasActivationForward;
TVG_HOOK_BODY int tvg_hook_cudnnConvolutionBiasActivationForward(void *handle, const void *alpha1, const void *x_of, const void *x, const void *w_of, const void *w,
                                                                 const void *convolution, int algorithm, void *space, size_t bytes, const void *alpha2, const void *z_of,
                                                                 const void *z, const void *bias_of, const void *bias, const void *activation, const void *y_of, void *y)
{
    CONVOLUTION(((fused *)(uintptr_t)target)(handle, alpha1, x_of, x, w_of, w, convolution, algorithm, space, bytes, alpha2, z_of, z, bias_of, bias, activation, y_of, y), x_of,
                w_of, y_of, false, TVG_EPILOGUE_BIAS | TVG_EPILOGUE_OTHER, x, w, y)
}
