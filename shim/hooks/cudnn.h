/* What the two doors of cuDNN share, its graphs (cudnn.c) and its direct convolutions (cudnn_convolution.c): tensors and what they compute. */
#ifndef TVG_SHIM_CUDNN_H
#define TVG_SHIM_CUDNN_H

#include <stdint.h>

#include "../../trace/op.h"

enum { TVG_CUDNN_RANK = 8 };
struct tvg_cudnn_tensor {
    uint8_t rank, type; /* type: enum tvg_type */
    int64_t dim[TVG_CUDNN_RANK];
};

/* The type of a cudnnDataType_t; TVG_TYPE_NONE for one that has no name here. */
uint8_t tvg_cudnn_type(int64_t type);
uint64_t tvg_cudnn_elements(const struct tvg_cudnn_tensor *tensor);
uint64_t tvg_cudnn_bytes(const struct tvg_cudnn_tensor *tensor);
/* Makes `op` a convolution of x (N C spatial...) by w (K C/groups kernel...) to y (N K spatial...) and adds its FLOP: 2 N K prod(out) prod(kernel) C/groups.
 * For a transposed convolution x is what it writes and y what it reads. Nothing when the ranks contradict each other.
 * The compute type is that of x: half types go through their own units whatever they accumulate in; whether f32 became tf32, the kernel's name tells. */
void tvg_cudnn_convolution(struct tvg_op *op, const struct tvg_cudnn_tensor *x, const struct tvg_cudnn_tensor *w, const struct tvg_cudnn_tensor *y);

#endif
