/* cuDNN's direct convolutions (cudnnConvolutionForward and its kin; ONNX Runtime and older programs call them): tensors are read from their
 * descriptors through cuDNN's own accessors in each call. */
#include <stdint.h>

#include "cudnn.h"
#include "described.h"
#include "gpu_call.h"

void tvg_cudnn_convolution(struct tvg_op *op, enum tvg_cudnn_direction direction, const struct tvg_cudnn_tensor *x, const struct tvg_cudnn_tensor *w,
                           const struct tvg_cudnn_tensor *y)
{
    int spatial = x->rank - 2, at = 0;
    if (spatial < 1 || spatial > 3 || w->rank != x->rank || y->rank != x->rank)
        return;
    op->kind = TVG_KIND_CONV;
    op->dim_spatial = (uint8_t)spatial;
    op->dim[at++] = x->dim[0], op->dim[at++] = x->dim[1];
    for (int i = 0; i < spatial; i++)
        op->dim[at++] = x->dim[2 + i];
    op->dim[at++] = y->dim[1];
    for (int i = 0; i < spatial; i++)
        op->dim[at++] = w->dim[2 + i];
    for (int i = 0; i < spatial; i++)
        op->dim[at++] = y->dim[2 + i];
    op->dim[at++] = w->dim[1] > 0 ? x->dim[1] / w->dim[1] : 1;
    op->dim_count = (uint8_t)at;
    uint64_t kernel = 1;
    for (int i = 1; i < w->rank; i++)
        kernel *= (uint64_t)w->dim[i];
    op->flop += 2 * tvg_cudnn_elements(y) * kernel;
    const struct tvg_cudnn_tensor *const operands[][3] = {
        [TVG_CUDNN_FORWARD] = {x, w, y}, [TVG_CUDNN_DATA] = {y, w, x}, [TVG_CUDNN_FILTER] = {x, y, w}};
    static const char *const names[] = {[TVG_CUDNN_FORWARD] = NULL, [TVG_CUDNN_DATA] = "backward data", [TVG_CUDNN_FILTER] = "backward filter"};
    const struct tvg_cudnn_tensor *const *of = operands[direction];
    op->name = names[direction];
    op->type_a = op->type_compute = of[0]->type, op->type_b = of[1]->type, op->type_c = of[2]->type;
    op->bytes_a = tvg_cudnn_bytes(of[0]), op->bytes_b = tvg_cudnn_bytes(of[1]), op->bytes_c = tvg_cudnn_bytes(of[2]);
}

/* The slot of a convolution whose descriptors these are; NULL when they can't be read. */
static struct tvg_slot *slot_of(struct tvg_call *call, const struct tvg_entry *entry, const void *caller, enum tvg_cudnn_direction direction, const void *x_of,
                                const void *w_of, const void *y_of, const void *beta, uint32_t epilogue)
{
    struct tvg_cudnn_tensor x, w, y;
    struct tvg_op op = {.function = entry->name, .net = entry->net, .on_gpu = 1, .device = -1, .flags = TVG_OP_FLOP_GIVEN, .epilogue = epilogue};
    if (!tvg_cudnn_read_tensor(&x, x_of) || !tvg_cudnn_read_filter(&w, w_of) || !tvg_cudnn_read_tensor(&y, y_of)) {
        tvg_note("unknown-version", entry->name, "its descriptors can't be read: its kernels are recorded, its FLOP are not known");
        return NULL;
    }
    tvg_cudnn_convolution(&op, direction, &x, &w, &y);
    if (tvg_cudnn_is_zero(beta, op.type_c))
        op.flags |= TVG_OP_BETA_ZERO;
    else
        op.bytes_c *= 2; /* read as well */
    op.bytes = op.bytes_a + op.bytes_b + op.bytes_c;
    return tvg_slot_described(call, entry, &op, caller);
}

#define CONVOLUTION(RUN, DIRECTION, X, W, Y, BETA, EPILOGUE, A, B, C) \
    TVG_GPU_STATUS_BODY(RUN, slot_of(&call, entry, caller, DIRECTION, X, W, Y, BETA, EPILOGUE), A, B, C)

typedef int forward(void *handle, const void *alpha, const void *x_of, const void *x, const void *w_of, const void *w, const void *convolution, int algorithm, void *space,
                    size_t bytes, const void *beta, const void *y_of, void *y);
forward tvg_hook_cudnnConvolutionForward, tvg_hook_cudnnConvolutionBackwardData, tvg_hook_cudnnConvolutionBackwardFilter;
TVG_HOOK_BODY int tvg_hook_cudnnConvolutionForward(void *handle, const void *alpha, const void *x_of, const void *x, const void *w_of, const void *w, const void *convolution,
                                                   int algorithm, void *space, size_t bytes, const void *beta, const void *y_of, void *y)
{
    CONVOLUTION(TVG_FUNCTION(forward, target)(handle, alpha, x_of, x, w_of, w, convolution, algorithm, space, bytes, beta, y_of, y), TVG_CUDNN_FORWARD, x_of, w_of, y_of,
                beta, TVG_EPILOGUE_NONE, x, w, y);
}

/* What a transposed convolution is made of: (w, dy) to dx. */
TVG_HOOK_BODY int tvg_hook_cudnnConvolutionBackwardData(void *handle, const void *alpha, const void *w_of, const void *w, const void *dy_of, const void *dy,
                                                        const void *convolution, int algorithm, void *space, size_t bytes, const void *beta, const void *dx_of, void *dx)
{
    CONVOLUTION(TVG_FUNCTION(forward, target)(handle, alpha, w_of, w, dy_of, dy, convolution, algorithm, space, bytes, beta, dx_of, dx), TVG_CUDNN_DATA, dx_of, w_of, dy_of,
                beta, TVG_EPILOGUE_NONE, dy, w, dx);
}

TVG_HOOK_BODY int tvg_hook_cudnnConvolutionBackwardFilter(void *handle, const void *alpha, const void *x_of, const void *x, const void *dy_of, const void *dy,
                                                          const void *convolution, int algorithm, void *space, size_t bytes, const void *beta, const void *dw_of, void *dw)
{
    CONVOLUTION(TVG_FUNCTION(forward, target)(handle, alpha, x_of, x, dy_of, dy, convolution, algorithm, space, bytes, beta, dw_of, dw), TVG_CUDNN_FILTER, x_of, dw_of, dy_of,
                beta, TVG_EPILOGUE_NONE, x, dy, dw);
}

/* alpha2 scales z, which is read beside what the product needs. */
typedef int fused(void *handle, const void *alpha1, const void *x_of, const void *x, const void *w_of, const void *w, const void *convolution, int algorithm, void *space,
                  size_t bytes, const void *alpha2, const void *z_of, const void *z, const void *bias_of, const void *bias, const void *activation, const void *y_of, void *y);
fused tvg_hook_cudnnConvolutionBiasActivationForward;
TVG_HOOK_BODY int tvg_hook_cudnnConvolutionBiasActivationForward(void *handle, const void *alpha1, const void *x_of, const void *x, const void *w_of, const void *w,
                                                                 const void *convolution, int algorithm, void *space, size_t bytes, const void *alpha2, const void *z_of,
                                                                 const void *z, const void *bias_of, const void *bias, const void *activation, const void *y_of, void *y)
{
    CONVOLUTION(TVG_FUNCTION(fused, target)(handle, alpha1, x_of, x, w_of, w, convolution, algorithm, space, bytes, alpha2, z_of, z, bias_of, bias, activation, y_of, y),
                TVG_CUDNN_FORWARD, x_of, w_of, y_of, alpha2, TVG_EPILOGUE_BIAS | TVG_EPILOGUE_OTHER, x, w, y);
}
