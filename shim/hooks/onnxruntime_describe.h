/* Between the table of ONNX Runtime's operators and what describes each form of them. */
#ifndef TVG_SHIM_ONNXRUNTIME_DESCRIBE_H
#define TVG_SHIM_ONNXRUNTIME_DESCRIBE_H

#include "onnxruntime.h"

struct tvg_ort_operator;
/* Fills kind, shape, FLOP and bytes from the arguments; `op` has its types already. False: a dimension can't be known. */
typedef bool tvg_ort_describe_function(struct tvg_op *op, const struct tvg_ort_call *call, const struct tvg_ort_operator *operator);

struct tvg_ort_operator {
    const char *name;      /* operator type; or class, where a node can't be told and its class is called otherwise */
    const char *domain;    /* NULL: any */
    tvg_ort_describe_function *describe;
    int8_t a, b;           /* inputs that are the operands */
    int8_t past;           /* attention: the first input that is a cache; recurrent layers: gates; mixtures: distance between the experts' weights */
    int8_t past_length;    /* attention: the input that says how much of the cache is filled; 0: none */
};

/* onnxruntime_attention.c */
tvg_ort_describe_function tvg_ort_attention, tvg_ort_projected_attention, tvg_ort_multi_head_attention, tvg_ort_group_query_attention,
    tvg_ort_sparse_attention, tvg_ort_decoder_attention, tvg_ort_linear_attention, tvg_ort_gated_delta;
/* onnxruntime_products.c */
tvg_ort_describe_function tvg_ort_matmul, tvg_ort_block_quantized, tvg_ort_convolution, tvg_ort_transposed_convolution, tvg_ort_recurrent,
    tvg_ort_einsum, tvg_ort_mixture;

/* Bytes of a tensor; 0 for none. */
static inline uint64_t tvg_ort_bytes(const struct tvg_ort_tensor *tensor)
{
    return tensor->type ? tvg_type_bytes(tensor->type, tensor->elements) : 0;
}

/* Element `at` of a tensor of integers that lies in the host's memory. */
static inline bool tvg_ort_integer(const struct tvg_ort_tensor *tensor, uint64_t at, int64_t *value)
{
    if (!tensor->data || at >= tensor->elements || (tensor->type != TVG_TYPE_I32 && tensor->type != TVG_TYPE_I64))
        return false;
    *value = tensor->type == TVG_TYPE_I32 ? ((const int32_t *)tensor->data)[at] : ((const int64_t *)tensor->data)[at];
    return true;
}

#endif
