/* What a layer of ncnn computes: parameters by the numbers of ncnn's table of operators, sizes by the blobs of the call. Both must agree. */
#include <string.h>

#include "ncnn.h"

enum form { BEYOND, UNCOUNTED, CONVOLUTION, DECONVOLUTION, INNER_PRODUCT, GEMM, MATMUL, PROJECTED_ATTENTION, ATTENTION, RECURRENT };
enum { QUANTIZED_IN_BLOCKS = 400 };

/* `weights`, `quantized`: the numbers of the parameters that say how many weights there are, and whether they are of 8 bits (-1: none says so).
 * `more`: spatial dimensions; of recurrent layers gates. */
static const struct tvg_ncnn_class {
    const char *name;
    uint8_t form, kind, more;
    int8_t weights, quantized;
} classes[] = {
    {"Convolution", CONVOLUTION, TVG_KIND_CONV, 2, 6, 8},
    {"ConvolutionDepthWise", CONVOLUTION, TVG_KIND_CONV, 2, 6, 8},
    {"Convolution1D", CONVOLUTION, TVG_KIND_CONV, 1, 6, -1},
    {"ConvolutionDepthWise1D", CONVOLUTION, TVG_KIND_CONV, 1, 6, -1},
    {"Convolution3D", CONVOLUTION, TVG_KIND_CONV, 3, 6, -1},
    {"ConvolutionDepthWise3D", CONVOLUTION, TVG_KIND_CONV, 3, 6, -1},
    {"DeformableConv2D", CONVOLUTION, TVG_KIND_CONV, 2, 6, -1},
    {"Deconvolution", DECONVOLUTION, TVG_KIND_CONV, 2, 6, -1},
    {"DeconvolutionDepthWise", DECONVOLUTION, TVG_KIND_CONV, 2, 6, -1},
    {"Deconvolution1D", DECONVOLUTION, TVG_KIND_CONV, 1, 6, -1},
    {"DeconvolutionDepthWise1D", DECONVOLUTION, TVG_KIND_CONV, 1, 6, -1},
    {"Deconvolution3D", DECONVOLUTION, TVG_KIND_CONV, 3, 6, -1},
    {"DeconvolutionDepthWise3D", DECONVOLUTION, TVG_KIND_CONV, 3, 6, -1},
    {"InnerProduct", INNER_PRODUCT, TVG_KIND_GEMM, 0, 2, 8},
    {"Gemm", GEMM, TVG_KIND_GEMM, 0, -1, 18},
    {"MatMul", MATMUL, TVG_KIND_GEMM, 0, -1, -1},
    {"MultiHeadAttention", PROJECTED_ATTENTION, TVG_KIND_ATTENTION, 0, 2, 18},
    {"SDPA", ATTENTION, TVG_KIND_ATTENTION, 0, -1, 18},
    {"LSTM", RECURRENT, TVG_KIND_RNN, 4, 1, 8},
    {"GRU", RECURRENT, TVG_KIND_RNN, 3, 1, 8},
    {"RNN", RECURRENT, TVG_KIND_RNN, 1, 1, 8},
    {"Einsum", UNCOUNTED, TVG_KIND_OTHER, 0, -1, -1},
    {"Spectrogram", UNCOUNTED, TVG_KIND_OTHER, 0, -1, -1},
    {"InverseSpectrogram", UNCOUNTED, TVG_KIND_OTHER, 0, -1, -1},
    {"Softmax", BEYOND, TVG_KIND_SOFTMAX, 0, -1, -1},
    {"LayerNorm", BEYOND, TVG_KIND_NORM, 0, -1, -1},
    {"RMSNorm", BEYOND, TVG_KIND_NORM, 0, -1, -1},
    {"BatchNorm", BEYOND, TVG_KIND_NORM, 0, -1, -1},
    {"GroupNorm", BEYOND, TVG_KIND_NORM, 0, -1, -1},
    {"InstanceNorm", BEYOND, TVG_KIND_NORM, 0, -1, -1},
    {"Normalize", BEYOND, TVG_KIND_NORM, 0, -1, -1},
    {"MVN", BEYOND, TVG_KIND_NORM, 0, -1, -1},
    {"LRN", BEYOND, TVG_KIND_NORM, 0, -1, -1},
    {"ReLU", BEYOND, TVG_KIND_ACTIVATION, 0, -1, -1},
    {"PReLU", BEYOND, TVG_KIND_ACTIVATION, 0, -1, -1},
    {"GELU", BEYOND, TVG_KIND_ACTIVATION, 0, -1, -1},
    {"Swish", BEYOND, TVG_KIND_ACTIVATION, 0, -1, -1},
    {"HardSwish", BEYOND, TVG_KIND_ACTIVATION, 0, -1, -1},
    {"Sigmoid", BEYOND, TVG_KIND_ACTIVATION, 0, -1, -1},
    {"HardSigmoid", BEYOND, TVG_KIND_ACTIVATION, 0, -1, -1},
    {"TanH", BEYOND, TVG_KIND_ACTIVATION, 0, -1, -1},
    {"Mish", BEYOND, TVG_KIND_ACTIVATION, 0, -1, -1},
    {"Clip", BEYOND, TVG_KIND_ACTIVATION, 0, -1, -1},
    {"BinaryOp", BEYOND, TVG_KIND_ELEMENTWISE, 0, -1, -1},
    {"UnaryOp", BEYOND, TVG_KIND_ELEMENTWISE, 0, -1, -1},
    {"Eltwise", BEYOND, TVG_KIND_ELEMENTWISE, 0, -1, -1},
    {"Scale", BEYOND, TVG_KIND_ELEMENTWISE, 0, -1, -1},
    {"Pooling", BEYOND, TVG_KIND_POOL, 0, -1, -1},
    {"Reduction", BEYOND, TVG_KIND_REDUCE, 0, -1, -1},
    {"Embed", BEYOND, TVG_KIND_EMBEDDING, 0, -1, -1},
    {"RotaryEmbed", BEYOND, TVG_KIND_ROPE, 0, -1, -1},
    {"Permute", BEYOND, TVG_KIND_TRANSPOSE, 0, -1, -1},
    {"Packing", BEYOND, TVG_KIND_COPY, 0, -1, -1},
    {"Concat", BEYOND, TVG_KIND_COPY, 0, -1, -1},
    {"Slice", BEYOND, TVG_KIND_COPY, 0, -1, -1},
    {"Crop", BEYOND, TVG_KIND_COPY, 0, -1, -1},
    {"Padding", BEYOND, TVG_KIND_COPY, 0, -1, -1},
    {"Reshape", BEYOND, TVG_KIND_COPY, 0, -1, -1},
    {"Flatten", BEYOND, TVG_KIND_COPY, 0, -1, -1},
    {"Quantize", BEYOND, TVG_KIND_QUANTIZE, 0, -1, -1},
    {"Requantize", BEYOND, TVG_KIND_QUANTIZE, 0, -1, -1},
    {"Dequantize", BEYOND, TVG_KIND_DEQUANTIZE, 0, -1, -1},
};

/* "N4ncnn22Convolution_x86_avx512E": behind the name of the type a processor's may follow. */
const struct tvg_ncnn_class *tvg_ncnn_class_of(const char *typeinfo_name)
{
    const char *at = strncmp(typeinfo_name, "N4ncnn", 6) == 0 ? typeinfo_name + 6 : "";
    size_t length = 0;
    for (; *at >= '0' && *at <= '9' && length < 100; at++)
        length = length * 10 + (size_t)(*at - '0');
    if (strlen(at) < length)
        return NULL;
    const char *processor = memchr(at, '_', length);
    length = processor ? (size_t)(processor - at) : length;
    for (size_t i = 0; i < sizeof classes / sizeof *classes && length > 0; i++)
        if (strlen(classes[i].name) == length && memcmp(classes[i].name, at, length) == 0)
            return &classes[i];
    return NULL;
}

const char *tvg_ncnn_class_name(const struct tvg_ncnn_class *class)
{
    return class->name;
}

bool tvg_ncnn_is_product(const struct tvg_ncnn_class *class)
{
    return class->form != BEYOND;
}

static int64_t parameter(const struct tvg_ncnn_layer *layer, int number, int64_t otherwise)
{
    return layer->parameters.given >> number & 1 ? layer->parameters.value[number] : otherwise;
}

static int64_t last(const struct tvg_ncnn_blob *blob, int from_end)
{
    return blob->rank > from_end ? blob->dim[blob->rank - 1 - from_end] : 1;
}

static void give(struct tvg_op *op, uint64_t flop, uint64_t a, uint64_t b, uint64_t c)
{
    op->flags |= TVG_OP_FLOP_GIVEN;
    op->flop = flop;
    op->bytes_a = a, op->bytes_b = b, op->bytes_c = c;
    op->bytes = a + b + c;
}

static void give_elements(struct tvg_op *op, uint64_t flop, uint64_t a, uint64_t b, uint64_t c)
{
    give(op, flop, tvg_type_bytes(op->type_a, a), tvg_type_bytes(op->type_b, b), tvg_type_bytes(op->type_c, c));
}

static void product(struct tvg_op *op, int64_t batch, int64_t m, int64_t n, int64_t k)
{
    op->m = m, op->n = n, op->k = k, op->batch = batch;
    op->lda = op->flags & TVG_OP_TRANS_A ? m : k, op->ldb = op->flags & TVG_OP_TRANS_B ? k : n, op->ldc = n;
}

/* Width, height, depth of the kernel, in this order; the weights may be a blob of the call. False: they are not as many as they must be. */
static bool read_kernel(const struct tvg_ncnn_layer *layer, const struct tvg_ncnn_call *call, int64_t kernel[3], uint64_t *weights)
{
    const bool is_depthwise = strstr(layer->class->name, "DepthWise") != NULL, is_transposed = layer->class->form == DECONVOLUTION;
    const int spatial = layer->class->more;
    const int64_t groups = is_depthwise ? parameter(layer, 7, 1) : 1, channels = call->in[0].dim[0], outputs = call->out[0].dim[0];
    kernel[0] = parameter(layer, 1, 0);
    kernel[1] = spatial > 1 ? parameter(layer, 11, kernel[0]) : 1;
    kernel[2] = spatial > 2 ? parameter(layer, 21, kernel[0]) : 1;
    *weights = (uint64_t)parameter(layer, layer->class->weights, 0);
    if (parameter(layer, is_transposed ? 28 : 19, 0)) {
        if (call->inputs < 2)
            return false;
        *weights = call->in[1].elements;
        for (int i = 0; i < spatial; i++)
            kernel[i] = last(&call->in[1], i);
    }
    return groups > 0 && channels % groups == 0 && (int64_t)*weights == outputs * (channels / groups) * kernel[0] * kernel[1] * kernel[2];
}

static bool describe_convolution(struct tvg_op *op, const struct tvg_ncnn_layer *layer, const struct tvg_ncnn_call *call)
{
    const struct tvg_ncnn_blob *in = &call->in[0], *out = &call->out[0];
    const int spatial = layer->class->more;
    int64_t kernel[3];
    uint64_t weights;
    int at = 0;
    const bool is_flat = in->rank == 1 && out->rank == 1; /* a kernel of 1 x 1 upon a vector */
    if ((!is_flat && (in->rank != spatial + 1 || out->rank != spatial + 1)) || in->batch != out->batch || !read_kernel(layer, call, kernel, &weights))
        return false;
    op->dim_spatial = (uint8_t)spatial;
    op->dim[at++] = in->batch;
    op->dim[at++] = in->dim[0];
    for (int i = spatial - 1; i >= 0; i--)
        op->dim[at++] = is_flat ? 1 : last(in, i);
    op->dim[at++] = out->dim[0];
    for (int i = spatial - 1; i >= 0; i--)
        op->dim[at++] = kernel[i];
    for (int i = spatial - 1; i >= 0; i--)
        op->dim[at++] = is_flat ? 1 : last(out, i);
    op->dim[at++] = in->dim[0] * out->dim[0] * kernel[0] * kernel[1] * kernel[2] / (int64_t)weights;
    op->dim_count = (uint8_t)at;
    return true;
}

/* Each input element meets each kernel element of its channel. */
static bool describe_deconvolution(struct tvg_op *op, const struct tvg_ncnn_layer *layer, const struct tvg_ncnn_call *call)
{
    const struct tvg_ncnn_blob *in = &call->in[0], *out = &call->out[0];
    int64_t kernel[3];
    uint64_t weights;
    if (in->rank != layer->class->more + 1 || out->rank != in->rank || in->batch != out->batch || !read_kernel(layer, call, kernel, &weights))
        return false;
    give_elements(op, 2 * (in->elements / (uint64_t)in->dim[0]) * weights, in->elements, weights, out->elements);
    return true;
}

static bool describe_inner_product(struct tvg_op *op, const struct tvg_ncnn_layer *layer, const struct tvg_ncnn_call *call)
{
    int64_t n = parameter(layer, 0, 0), k = n > 0 ? parameter(layer, 2, 0) / n : 0;
    if (k <= 0 || call->in[0].elements % (uint64_t)k != 0)
        return false;
    op->flags |= TVG_OP_TRANS_B;
    product(op, 1, (int64_t)(call->in[0].elements / (uint64_t)k), n, k);
    return call->out[0].elements == (uint64_t)(op->m * n);
}

/* Rows and columns of a blob that stands for a matrix. */
static void matrix(const struct tvg_ncnn_blob *blob, bool is_transposed, int64_t *rows, int64_t *columns)
{
    int64_t width = last(blob, 0), others = width > 0 ? (int64_t)(blob->elements / (uint64_t)blob->batch) / width : 0;
    *rows = is_transposed ? width : others;
    *columns = is_transposed ? others : width;
}

static bool describe_gemm(struct tvg_op *op, const struct tvg_ncnn_layer *layer, const struct tvg_ncnn_call *call, const void **b)
{
    const bool trans_a = parameter(layer, 2, 0) != 0, trans_b = parameter(layer, 3, 0) != 0, has_a = parameter(layer, 4, 0) == 1, has_b = parameter(layer, 5, 0) == 1;
    int64_t m = parameter(layer, 7, 0), n = parameter(layer, 8, 0), k = parameter(layer, 9, 0), k_too = k, batch = 1;
    const int quantized = (int)parameter(layer, layer->class->quantized, 0);
    if (call->inputs < !has_a + !has_b)
        return false;
    const struct tvg_ncnn_blob *blob_a = &call->in[0], *blob_b = &call->in[!has_a];
    if (!has_a) {
        matrix(blob_a, trans_a, &m, &k);
        batch = blob_a->batch;
        if (has_b && k_too != k)
            return false;
    }
    if (!has_b) {
        matrix(blob_b, trans_b, &k_too, &n);
        *b = blob_b->data;
        batch = blob_b->batch > batch ? blob_b->batch : batch;
        op->type_b = quantized ? TVG_TYPE_I8 : blob_b->type; /* quantized as it is read */
    }
    if (k != k_too || k <= 0 || call->out[0].elements != (uint64_t)(m * n * batch))
        return false;
    op->flags |= (trans_a ? TVG_OP_TRANS_A : 0) | (trans_b ? TVG_OP_TRANS_B : 0);
    product(op, batch, m, n, k);
    if (quantized >= QUANTIZED_IN_BLOCKS) { /* bits in the hundreds, blocks of 32, 64 or 128 with a scale each in the units; expanded as they are read */
        uint64_t bits = (uint64_t)quantized / 100, block = 32u << quantized % 10, in_row = ((uint64_t)k * bits + 7) / 8 + 4 * (((uint64_t)k + block - 1) / block);
        op->type_b = bits == 4 ? TVG_TYPE_I4 : bits == 8 ? TVG_TYPE_I8 : TVG_TYPE_NONE;
        op->type_compute = op->type_a;
        give(op, 2 * (uint64_t)(m * n) * (uint64_t)(k * batch), tvg_type_bytes(op->type_a, (uint64_t)(m * k * batch)), (uint64_t)n * in_row,
             tvg_type_bytes(op->type_c, call->out[0].elements));
    }
    return true;
}

/* As numpy has it: C[..., m, n] = A[..., m, k] B[..., k, n]; vectors stand for one row or one column. */
static bool describe_matmul(struct tvg_op *op, const struct tvg_ncnn_layer *layer, const struct tvg_ncnn_call *call, const void **b)
{
    const struct tvg_ncnn_blob *in = call->in, *out = &call->out[0];
    const bool trans_b = parameter(layer, 0, 0) != 0;
    if (call->inputs != 2 || in[0].rank < 1 || in[1].rank < 1)
        return false;
    int64_t k = last(&in[0], 0), m = in[0].rank > 1 ? last(&in[0], 1) : 1;
    int64_t n = in[1].rank < 2 ? 1 : last(&in[1], trans_b ? 1 : 0), k_too = in[1].rank < 2 ? last(&in[1], 0) : last(&in[1], trans_b ? 0 : 1);
    if (k != k_too || out->elements % (uint64_t)(m * n) != 0)
        return false;
    int64_t batch = (int64_t)(out->elements / (uint64_t)(m * n));
    if (trans_b)
        op->flags |= TVG_OP_TRANS_B;
    bool has_many_a = in[0].elements > (uint64_t)(m * k), has_many_b = in[1].elements > (uint64_t)(k * n);
    if (batch > 1 && !has_many_b) { /* the batch is more rows */
        m *= batch;
        batch = 1;
    }
    product(op, batch, m, n, k);
    if (batch > 1) {
        op->flags |= TVG_OP_BATCH_STRIDED;
        op->stride_a = has_many_a ? m * k : 0, op->stride_b = k * n, op->stride_c = m * n;
    }
    op->type_b = in[1].type;
    *b = in[1].data;
    return true;
}

static bool describe_attention(struct tvg_op *op, const struct tvg_ncnn_layer *layer, const struct tvg_ncnn_call *call, const void **b)
{
    const struct tvg_ncnn_blob *query = &call->in[0], *key = &call->in[1], *value = &call->in[2];
    const bool has_mask = parameter(layer, 5, 0) != 0, keeps = parameter(layer, 7, 0) != 0;
    if (call->inputs < 3 + has_mask + 2 * keeps || query->batch != 1)
        return false;
    const int64_t width = last(query, 0), queries = last(query, 1), heads = last(query, 2), key_heads = last(key, 2), value_width = last(value, 0);
    const struct tvg_ncnn_blob *past = &call->in[3 + has_mask];
    const int64_t keys = last(key, 1) + (keeps && past->rank ? last(past, 1) : 0);
    if (last(key, 0) != width || last(value, 1) != last(key, 1) || key_heads < 1 || heads % key_heads != 0 ||
        call->out[0].elements != (uint64_t)(heads * queries * value_width) ||
        (keeps && call->outputs > 1 && call->out[1].elements != (uint64_t)(key_heads * keys * width)))
        return false;
    op->type_b = key->type;
    *b = key->data;
    if (value_width == width) {
        const int64_t dims[] = {1, heads, key_heads, queries, keys, width, 0};
        op->dim_count = sizeof dims / sizeof *dims;
        memcpy(op->dim, dims, sizeof dims);
    } else
        give_elements(op, 2 * (uint64_t)(heads * queries) * (uint64_t)(keys * (width + value_width)), query->elements,
                      (uint64_t)(key_heads * keys * (width + value_width)), call->out[0].elements);
    return true;
}

/* Projections of queries, keys, values and of the result around attention. Keys and values that are kept come out beside the result; when they are
 * another sequence's, they are not projected again. */
static bool describe_projected_attention(struct tvg_op *op, const struct tvg_ncnn_layer *layer, const struct tvg_ncnn_call *call)
{
    const int64_t width = parameter(layer, 0, 0), weights = parameter(layer, 2, 0), key_width = parameter(layer, 3, width), value_width = parameter(layer, 4, width);
    const bool has_mask = parameter(layer, 5, 0) != 0, keeps = parameter(layer, 7, 0) != 0;
    const int sequences = call->inputs - has_mask - 2 * keeps;
    if (width <= 0 || weights % width != 0 || sequences < 1 || sequences > 3)
        return false;
    const struct tvg_ncnn_blob *query = &call->in[0], *key = &call->in[sequences > 1], *value = &call->in[sequences - 1], *past = &call->in[sequences + has_mask];
    const int64_t query_width = weights / width, queries = last(query, 1), now = last(key, 1);
    const bool has_past = keeps && past->rank, is_kept_whole = has_past && sequences > 1;
    if (has_past && call->outputs < 2)
        return false;
    const int64_t keys = has_past ? (int64_t)call->out[1].elements / width : now, before = is_kept_whole ? keys : keys - now;
    if (last(query, 0) != query_width || last(key, 0) != key_width || last(value, 0) != value_width || last(value, 1) != now ||
        before < 0 || query->rank > 2 || key->rank > 2 || query->batch != 1 || call->out[0].elements != (uint64_t)(queries * query_width))
        return false;
    uint64_t projected = (uint64_t)(2 * queries * query_width + (is_kept_whole ? 0 : now * (key_width + value_width)));
    uint64_t read = query->elements + (key != query ? key->elements : 0) + (value != key ? value->elements : 0);
    give(op, 2 * (uint64_t)width * (projected + 2 * (uint64_t)(queries * keys)), tvg_type_bytes(op->type_a, read),
         tvg_type_bytes(op->type_b, (uint64_t)width * (uint64_t)(2 * query_width + (is_kept_whole ? 0 : key_width + value_width))) +
             tvg_type_bytes(op->type_a, 2 * (uint64_t)(before * width)),
         tvg_type_bytes(op->type_c, call->out[0].elements));
    return parameter(layer, layer->class->quantized, 0) < QUANTIZED_IN_BLOCKS;
}

/* Weights of the input [directions, gates * hidden, width], of the state [directions, gates * hidden, outputs], of an LSTM's projection [outputs, hidden]. */
static bool describe_recurrent(struct tvg_op *op, const struct tvg_ncnn_layer *layer, const struct tvg_ncnn_call *call)
{
    const int64_t gates = layer->class->more, outputs = parameter(layer, 0, 0), directions = parameter(layer, 2, 0) == 2 ? 2 : 1;
    const int64_t hidden = gates == 4 ? parameter(layer, 3, outputs) : outputs, rows = directions * gates * hidden, width = last(&call->in[0], 0);
    if (rows <= 0 || parameter(layer, 1, 0) != rows * width || call->in[0].elements % (uint64_t)width != 0)
        return false;
    const uint64_t steps = call->in[0].elements / (uint64_t)width;
    const uint64_t weights = (uint64_t)(rows * (width + outputs) + (hidden != outputs ? directions * hidden * outputs : 0));
    give_elements(op, 2 * steps * weights, call->in[0].elements, weights, call->out[0].elements);
    return call->out[0].elements == steps * (uint64_t)(directions * outputs);
}

static void find_weights(struct tvg_ncnn_layer *layer, const void *object, uint8_t type_a)
{
    const struct tvg_ncnn_class *class = layer->class;
    uint64_t elements = class->weights >= 0 ? (uint64_t)parameter(layer, class->weights, 0) : 0;
    if (class->form == GEMM && parameter(layer, 5, 0) == 1)
        elements = (uint64_t)(parameter(layer, 8, 0) * parameter(layer, 9, 0));
    struct tvg_ncnn_blob blob;
    bool is_found = tvg_ncnn_find_weights(&blob, object, elements, tvg_ncnn_blob_bytes(&layer->parameters));
    uint8_t type = is_found ? blob.type : TVG_TYPE_NONE;
    layer->weights = is_found ? blob.data : NULL;
    layer->weight_type = type == TVG_TYPE_BF16 && type_a == TVG_TYPE_F32 ? TVG_TYPE_F16 : type; /* of 16 bits, for blobs of 32: fp16 */
    __atomic_store_n(&layer->are_weights_sought, true, __ATOMIC_RELEASE);
}

bool tvg_ncnn_describe(struct tvg_op *op, struct tvg_ncnn_layer *layer, const void *object, const struct tvg_ncnn_call *call, const void **b)
{
    const struct tvg_ncnn_class *class = layer->class;
    *b = NULL;
    op->function = class->name;
    op->kind = class->kind;
    op->flags = TVG_OP_ROW_MAJOR | TVG_OP_BETA_ZERO;
    op->type_a = op->type_b = op->type_compute = call->in[0].type, op->type_c = call->out[0].type;
    if (class->form == BEYOND || call->inputs < 1 || call->outputs < 1) {
        uint64_t read = 0, written = 0;
        for (int i = 0; i < call->inputs; i++)
            read += call->in[i].elements;
        for (int i = 0; i < call->outputs; i++)
            written += call->out[i].elements;
        op->type_b = TVG_TYPE_NONE;
        give_elements(op, 0, read, 0, written);
        return class->form == BEYOND;
    }
    if (class->form < MATMUL && !__atomic_load_n(&layer->are_weights_sought, __ATOMIC_ACQUIRE))
        find_weights(layer, object, call->in[0].type);
    if (layer->weights) {
        *b = layer->weights;
        op->type_b = layer->weight_type;
    }
    if (class->quantized >= 0 && parameter(layer, class->quantized, 0))
        op->type_b = op->type_compute = TVG_TYPE_I8; /* activations of 32 bits are quantized on the way in */
    bool counted = false;
    switch ((enum form)class->form) {
    case CONVOLUTION: counted = describe_convolution(op, layer, call); break;
    case DECONVOLUTION: counted = describe_deconvolution(op, layer, call); break;
    case INNER_PRODUCT: counted = describe_inner_product(op, layer, call); break;
    case GEMM: counted = describe_gemm(op, layer, call, b); break;
    case MATMUL: counted = describe_matmul(op, layer, call, b); break;
    case ATTENTION: counted = describe_attention(op, layer, call, b); break;
    case PROJECTED_ATTENTION: counted = describe_projected_attention(op, layer, call); break;
    case RECURRENT: counted = describe_recurrent(op, layer, call); break;
    case BEYOND: case UNCOUNTED: break;
    }
    if (!counted) {
        op->m = op->n = op->k = op->batch = 0;
        op->dim_count = op->dim_spatial = 0;
        op->flags |= TVG_OP_DIMS_UNSURE;
        give_elements(op, 0, call->in[0].elements, 0, call->out[0].elements);
    }
    return counted;
}
