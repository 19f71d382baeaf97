/* What the hooks on ncnn share: reading its blobs and parameters (ncnn_layout.c), describing a layer that ran (ncnn_describe.c), and catching it
 * (ncnn.c). Classes: namespace ncnn, as of 2024 to 2026. */
#ifndef TVG_SHIM_NCNN_H
#define TVG_SHIM_NCNN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../trace/op.h"

enum { TVG_NCNN_RANK_MAX = 4, TVG_NCNN_PARAMETERS = 32, TVG_NCNN_BLOBS_MAX = 8 };

/* ncnn::Mat, with the channels that it packs side by side counted as what they are. */
struct tvg_ncnn_blob {
    int rank;                            /* 0: an empty one */
    int64_t dim[TVG_NCNN_RANK_MAX];      /* outermost first: channels, depth, height, width */
    int64_t batch;
    uint64_t elements;                   /* of the whole batch */
    uint8_t type;                        /* enum tvg_type */
    const void *data;
};

/* ncnn::ParamDict: what a layer was told by number, as in ncnn's table of operators. */
struct tvg_ncnn_parameters {
    uint32_t given;                      /* a bit for each number that is there; lists and texts are not */
    int32_t value[TVG_NCNN_PARAMETERS];
    size_t blob_bytes;                   /* sizeof(ncnn::Mat) of this build; 0: the parameters leave it open */
};

struct tvg_ncnn_class;
struct tvg_ncnn_layer {
    int taken;
    const struct tvg_ncnn_class *class;
    struct tvg_ncnn_parameters parameters;
    bool is_part;                        /* of another layer, which is recorded */
    bool is_read, are_weights_sought;    /* what its calls pass has proved itself; where its weights lie is known, or that they can't be told */
    const void *weights;
    uint8_t weight_type;
};

/* The blobs of one call. */
struct tvg_ncnn_call {
    int inputs, outputs;
    struct tvg_ncnn_blob in[TVG_NCNN_BLOBS_MAX], out[TVG_NCNN_BLOBS_MAX];
};

/* False when `dictionary` is no ncnn::ParamDict whose layout proves itself in all of its places. */
bool tvg_ncnn_read_parameters(struct tvg_ncnn_parameters *parameters, const void *dictionary);
/* Where parameters did not tell a build's Mat from that of another, what the others of the process told is used. 0: nothing yet. */
size_t tvg_ncnn_blob_bytes(const struct tvg_ncnn_parameters *parameters);
/* One ncnn::Mat, or a std::vector of them: -1 or false when what lies there is none. `known`: the address needs no asking whether it can be read. */
bool tvg_ncnn_read_blob(struct tvg_ncnn_blob *blob, const void *mat, size_t blob_bytes, bool known);
int tvg_ncnn_read_blobs(struct tvg_ncnn_blob *blob, const void *vector, size_t blob_bytes, bool known);
/* The first blob among the fields of the object at `layer` that holds `elements` or, rearranged, up to eight times as many. False: there is none. */
bool tvg_ncnn_find_weights(struct tvg_ncnn_blob *blob, const void *layer, uint64_t elements, size_t blob_bytes);

/* What a class computes, by its typeinfo name; NULL: it is none of ncnn's, or only holds other layers. */
const struct tvg_ncnn_class *tvg_ncnn_class_of(const char *typeinfo_name);
/* The layer's type in a model: "Convolution". */
const char *tvg_ncnn_class_name(const struct tvg_ncnn_class *class);
bool tvg_ncnn_is_product(const struct tvg_ncnn_class *class);
/* Describes the call: kind, types, shape, FLOP, bytes. `object`: the layer itself. *b: where the second operand lies. False: it is a product whose
 * blobs are not as its parameters say, or one that is not counted. */
bool tvg_ncnn_describe(struct tvg_op *op, struct tvg_ncnn_layer *layer, const void *object, const struct tvg_ncnn_call *call, const void **b);

#endif
