/* What the ONNX Runtime hooks share: reading an operator's arguments and attributes out of the library's own objects (onnxruntime_layout.c),
 * and making an op of them (onnxruntime_operators.c). */
#ifndef TVG_SHIM_ONNXRUNTIME_H
#define TVG_SHIM_ONNXRUNTIME_H

#include <stdbool.h>
#include <stdint.h>

#include "../../trace/op.h"

enum { TVG_ORT_RANK_MAX = 8 };

struct tvg_ort_tensor {
    int rank;
    uint8_t type;           /* enum tvg_type; TVG_TYPE_NONE: there is no such tensor */
    const void *data;       /* NULL when only the shape is known */
    int64_t dim[TVG_ORT_RANK_MAX];
    uint64_t elements;
};

/* Characters that are the library's own, good during the call. */
struct tvg_ort_text {
    const char *at;
    uint64_t length;
};

struct tvg_ort_call {
    const void *kernel;
    const struct tvg_ort_build *build;
    const struct tvg_ort_value *values; /* of the whole graph, by number */
    uint64_t value_count;
    const int32_t *inputs, *outputs;    /* their numbers; negative: left out */
    int input_count, output_count;
    const void *node;                   /* NULL: the node could not be told */
    struct tvg_ort_text name, type, domain; /* of the node: "/encoder/0/MatMul", "MatMul", "com.microsoft"; empty when node is NULL */
};

/* Opens the context that `kernel` was called with. `library`: load address of the library that called; `code`: an address in its text. False when the layout does not prove
 * itself: then nothing is known of the call. */
bool tvg_ort_open(struct tvg_ort_call *call, const void *context, const void *kernel, const void *library, const void *code);

/* Whether the library is version 1.24 or newer, told by a class that came with it. */
bool tvg_ort_is_1_24(const struct tvg_ort_call *call);

/* Input or output by its number in the operator's description. False when it is left out, is no tensor, or lies outside of what can be read. A
 * constant input that the kernel rearranged for itself has a shape, but no data. */
bool tvg_ort_input(const struct tvg_ort_call *call, int number, struct tvg_ort_tensor *tensor);
bool tvg_ort_output(const struct tvg_ort_call *call, int number, struct tvg_ort_tensor *tensor);

/* An attribute of the node. Absent: `value` is left as it is, and true. False when the attributes can't be read. */
bool tvg_ort_attribute(const struct tvg_ort_call *call, const char *name, int64_t *value);
/* The same for one that is text; its length is 0 when it is absent. */
bool tvg_ort_attribute_text(const struct tvg_ort_call *call, const char *name, struct tvg_ort_text *value);

/* Keeps the shape of a constant input at the moment when the kernel is offered to rearrange it: after that the session drops the tensor. */
void tvg_ort_keep_weights(const void *kernel, int input, const void *tensor);

/* Describes the call: kind, types, shape, FLOP, bytes. `class`: typeinfo name of the kernel's class. a, b, c: the operands whose addresses are
 * recorded. What can't be counted is noted. `function`, of 64 bytes, keeps the operator's name for op->function. */
void tvg_ort_describe(struct tvg_op *op, const struct tvg_ort_call *call, const char *class, char *function, struct tvg_ort_tensor *a,
                      struct tvg_ort_tensor *b, struct tvg_ort_tensor *c);

#endif
