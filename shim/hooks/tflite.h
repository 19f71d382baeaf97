/* What TensorFlow Lite's operators compute, told from the tensors that a node is given: for its own kernels as they run (tflite.c), and for the
 * nodes of a model that LiteRT runs as a whole (litert.c). */
#ifndef TVG_SHIM_HOOKS_TFLITE_H
#define TVG_SHIM_HOOKS_TFLITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../trace/op.h"

enum { TVG_TFLITE_RANK_MAX = 8, TVG_TFLITE_INPUTS_MAX = 48 };

/* How a TfLiteTensor begins. Its `bytes` must be what type and dimensions say, or nothing of it is believed. */
struct tvg_tflite_layout {
    int32_t type;
    const void *data;
    const struct tvg_tflite_dims { int32_t size, value[]; } *dims;
    struct { float scale; int32_t zero_point; } quantization;
    int32_t allocation;
    size_t bytes;
};

/* A node of the graph, and the functions that give its tensors (struct tvg_tflite_layout): NULL for one that it lacks. */
struct tvg_tflite_node {
    void *context;
    const void *node;
    const void *(*input)(const void *context, const void *node, int index);
    const void *(*output)(void *context, const void *node, int index);
};

/* enum tvg_type by TensorFlow Lite's number; TVG_TYPE_NONE for one that is not known. */
uint8_t tvg_tflite_type(int32_t number);

/* Fills in what an operator of this kind ("conv", "lstm": its name space in TensorFlow Lite) computes, and where a, b and c lie. False for another
 * kind, and when the tensors don't fit it. */
bool tvg_tflite_describe(struct tvg_op *op, const void *operand[3], const char *kernel, const struct tvg_tflite_node *node);

#endif
