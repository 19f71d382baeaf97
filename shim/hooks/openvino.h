/* What the hooks on OpenVINO's CPU plugin share: reading a node of its graph (openvino_layout.c), the model inside a node (openvino_body.c), and
 * making an op of a node that ran (openvino.c). Classes: namespace ov::intel_cpu, as of 2023.1 to 2026.4. */
#ifndef TVG_SHIM_OPENVINO_H
#define TVG_SHIM_OPENVINO_H

#include <stdbool.h>
#include <stdint.h>

enum { TVG_OV_RANK_MAX = 12, TVG_OV_PRODUCTS_MAX = 16, TVG_OV_NAME_MAX = 128 };

struct tvg_ov_tensor {
    int rank;
    uint8_t type;     /* enum tvg_type; TVG_TYPE_NONE: one that is not known here */
    const void *data; /* NULL: its place could not be told */
    int64_t dim[TVG_OV_RANK_MAX];
    uint64_t elements;
};

struct tvg_ov_edges;
struct tvg_ov_node {
    const void *object;
    const char *class;              /* "FullyConnected": not terminated */
    int class_length;
    const struct tvg_ov_edges *in, *out;
    int inputs;                     /* edges that come in */
    char name[TVG_OV_NAME_MAX];     /* as in the model; "" when it could not be told */
};

/* Whether `argument` is a reference to an oneDNN stream: what the executing functions get, so that a wrong slot of a vtable shows. */
bool tvg_ov_is_stream(const void *argument);
/* Whether `code` lies in the plugin that is followed: the first one of the process, or one that comes when that has gone. Another beside it may be
 * laid out in another way. */
bool tvg_ov_is_followed(const void *code);
/* Opens the node at `object`. False, with a note, when its layout does not prove itself: each edge must name this very node and its port. */
bool tvg_ov_open(struct tvg_ov_node *node, const void *object);
bool tvg_ov_is(const struct tvg_ov_node *node, const char *class);
/* The tensor at an input or output port, with the shape that it has now. False when there is none, or its descriptor does not prove itself. */
bool tvg_ov_input(const struct tvg_ov_node *node, int port, struct tvg_ov_tensor *tensor);
bool tvg_ov_output(const struct tvg_ov_node *node, int port, struct tvg_ov_tensor *tensor);

/* The shape of what goes into a convolution that was fused into this node. False when there is none, or its sizes were left open. */
bool tvg_ov_fused_convolution(const struct tvg_ov_node *node, struct tvg_ov_tensor *input);
/* What a node keeps between inferences, as it is kept: of attention the keys of the tokens so far. False when it keeps nothing. */
bool tvg_ov_state(const struct tvg_ov_node *node, struct tvg_ov_tensor *tensor);

/* A matrix product in the model inside a node: out[..., m, n] over k. */
struct tvg_ov_product {
    int64_t m, n, k, batch;
    bool shared_b; /* one right operand for the whole batch */
};
/* The products inside a Subgraph node: their number, 0 when it has none, -1 when they can't be told for the shapes that ran. `attends`: a softmax
 * stands in the model. */
int tvg_ov_body(const struct tvg_ov_node *node, struct tvg_ov_product products[TVG_OV_PRODUCTS_MAX], bool *attends);

#endif
