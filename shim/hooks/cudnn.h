/* What the doors of cuDNN share, its graphs (cudnn.c) and its direct calls (cudnn_convolution.c, cudnn_direct.c): tensors and what they compute. */
#ifndef TVG_SHIM_CUDNN_H
#define TVG_SHIM_CUDNN_H

#include <stdbool.h>
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

/* Makes `op` a convolution and adds its FLOP: 2 N K prod(out) prod(kernel) C/groups in each direction. x (N C spatial...), w (K C/groups kernel...) and
 * y (N K spatial...) are those of the forward direction; what is read comes first among the op's operands. Nothing when the ranks contradict each other.
 * The compute type is that of what is read first: half types go through their own units whatever they accumulate in; whether f32 became tf32, the kernel's name tells. */
enum tvg_cudnn_direction { TVG_CUDNN_FORWARD, TVG_CUDNN_DATA, TVG_CUDNN_FILTER };
void tvg_cudnn_convolution(struct tvg_op *op, enum tvg_cudnn_direction direction, const struct tvg_cudnn_tensor *x, const struct tvg_cudnn_tensor *w,
                           const struct tvg_cudnn_tensor *y);

/* A function of the cuDNN that is loaded, or NULL. */
void *tvg_cudnn_accessor(const char *name);
/* Reads cuDNN's own tensor and filter descriptors through its accessors. False when there are none or they refuse. */
bool tvg_cudnn_read_tensor(struct tvg_cudnn_tensor *tensor, const void *descriptor);
bool tvg_cudnn_read_filter(struct tvg_cudnn_tensor *tensor, const void *descriptor);
/* Whether the scaling factor at `beta` (in host memory; double for double tensors, else float) is zero: the output is not read. */
bool tvg_cudnn_is_zero(const void *beta, uint8_t type);

#endif
