/* TensorFlow Lite's own kernels (LiteRT without XNNPACK, or what XNNPACK does not take): each is called with a context and a node of the public C
 * interface, whose tensors are read by the library's own GetInput and GetOutput. */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "../../trace/op.h"
#include "../intercept/inline.h"
#include "../intercept/resolve.h"
#include "../intercept/wrapper.h"
#include "../record/record.h"
#include "described.h"
#include "tflite.h"

enum { KERNEL_SUCCESS = 0 };

struct tensor {
    int rank;
    int64_t dim[TVG_TFLITE_RANK_MAX];
    uint64_t elements;
    uint8_t type;
    const void *data;
};

uint8_t tvg_tflite_type(int32_t number)
{
    static const uint8_t types[] = {TVG_TYPE_NONE, TVG_TYPE_F32, TVG_TYPE_I32, TVG_TYPE_U8, TVG_TYPE_I64, TVG_TYPE_NONE, TVG_TYPE_BOOL, TVG_TYPE_I16, TVG_TYPE_C64,
                                    TVG_TYPE_I8, TVG_TYPE_F16, TVG_TYPE_F64, TVG_TYPE_C128, TVG_TYPE_NONE, TVG_TYPE_NONE, TVG_TYPE_NONE, TVG_TYPE_NONE,
                                    TVG_TYPE_NONE, TVG_TYPE_I4, TVG_TYPE_BF16};
    return number < 0 || number >= (int32_t)sizeof types ? TVG_TYPE_NONE : types[number];
}

static bool read_tensor(struct tensor *tensor, const struct tvg_tflite_layout *layout)
{
    if (!layout || !layout->dims || layout->dims->size < 1 || layout->dims->size > TVG_TFLITE_RANK_MAX)
        return false;
    *tensor = (struct tensor){.rank = layout->dims->size, .elements = 1, .type = tvg_tflite_type(layout->type), .data = layout->data};
    for (int i = 0; i < tensor->rank; i++) {
        tensor->dim[i] = layout->dims->value[i];
        if (tensor->dim[i] < 0)
            return false;
        tensor->elements *= (uint64_t)tensor->dim[i];
    }
    return tensor->type != TVG_TYPE_NONE && layout->bytes == tvg_type_bytes(tensor->type, tensor->elements);
}

enum { RECURRENT_TO_FORGET = 6 };
#define INPUTS(first, last) ((UINT64_C(2) << (last)) - (UINT64_C(1) << (first)))

enum class { CONVOLUTION, DEPTHWISE, VOLUME, TRANSPOSED, FULLY_CONNECTED, BATCHED, RECURRENT };
/* By the kernel's name space, and where input and weights stand among the node's inputs. Recurrent ones have several matrices, some of which a node may
 * lack, and bidirectional ones a second input. */
static const struct kernel {
    const char *name;
    enum class class;
    uint8_t a, b, second;
    uint64_t matrices;
} kernels[] = {
    {"conv", CONVOLUTION, 0, 1, 0, 0},
    {"depthwise_conv", DEPTHWISE, 0, 1, 0, 0},
    {"conv3d", VOLUME, 0, 1, 0, 0},
    {"transpose_conv", TRANSPOSED, 2, 1, 0, 0},
    {"conv3d_transpose", TRANSPOSED, 2, 1, 0, 0},
    {"fully_connected", FULLY_CONNECTED, 0, 1, 0, 0},
    {"batch_matmul", BATCHED, 0, 1, 0, 0},
    {"lstm", RECURRENT, 0, 2, 0, INPUTS(1, 8) | INPUTS(16, 16)},
    {"unidirectional_sequence_lstm", RECURRENT, 0, 2, 0, INPUTS(1, 8) | INPUTS(16, 16)},
    {"bidirectional_sequence_lstm", RECURRENT, 0, 2, 39, INPUTS(1, 8) | INPUTS(16, 16) | INPUTS(18, 25) | INPUTS(33, 33) | INPUTS(40, 47)},
    {"rnn", RECURRENT, 0, 1, 0, INPUTS(1, 2)},
    {"unidirectional_sequence_rnn", RECURRENT, 0, 1, 0, INPUTS(1, 2)},
    {"bidirectional_sequence_rnn", RECURRENT, 0, 1, 9, INPUTS(1, 2) | INPUTS(5, 6) | INPUTS(10, 11)},
    {"svdf", RECURRENT, 0, 1, 0, INPUTS(1, 2)},
};
/* The older form of LSTM has one matrix for all gates. */
static const uint64_t one_matrix = INPUTS(2, 2);

static const struct kernel *kernel_named(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
        if (strlen(kernels[i].name) == length && strncmp(name, kernels[i].name, length) == 0)
            return &kernels[i];
    return NULL;
}

/* _ZN6tflite3ops7builtin4conv4Eval...: the name behind "builtin", with its length before it. */
static const struct kernel *kernel_of(const char *name)
{
    const char *at = strstr(name, "7builtin");
    unsigned length = 0;
    for (at = at ? at + strlen("7builtin") : ""; *at >= '0' && *at <= '9'; at++)
        length = length * 10 + (unsigned)(*at - '0');
    return kernel_named(at, length);
}

/* Images are [N, height, width, C], kernels [K, height, width, C / groups] ([1, height, width, K] when each channel has its own). */
static bool shape_convolution(struct tvg_op *op, const struct tensor *a, const struct tensor *b, const struct tensor *c, bool depthwise)
{
    if (a->rank != 4 || b->rank != 4 || c->rank != 4 || b->dim[3] < 1)
        return false;
    int64_t groups = depthwise ? a->dim[3] : a->dim[3] / b->dim[3];
    const int64_t dim[] = {a->dim[0], a->dim[3], a->dim[1], a->dim[2], c->dim[3], b->dim[1], b->dim[2], c->dim[1], c->dim[2], groups};
    op->kind = TVG_KIND_CONV;
    op->dim_spatial = 2;
    op->dim_count = sizeof dim / sizeof *dim;
    memcpy(op->dim, dim, sizeof dim);
    return true;
}

/* Volumes are [N, depth, height, width, C], kernels [depth, height, width, C, K]. */
static bool shape_volume(struct tvg_op *op, const struct tensor *a, const struct tensor *b, const struct tensor *c)
{
    if (a->rank != 5 || b->rank != 5 || c->rank != 5)
        return false;
    const int64_t dim[] = {a->dim[0], a->dim[4], a->dim[1], a->dim[2], a->dim[3], b->dim[4], b->dim[0], b->dim[1], b->dim[2],
                           c->dim[1], c->dim[2], c->dim[3], 1};
    op->kind = TVG_KIND_CONV;
    op->dim_spatial = 3;
    op->dim_count = sizeof dim / sizeof *dim;
    memcpy(op->dim, dim, sizeof dim);
    return true;
}

static bool shape_product(struct tvg_op *op, const struct tensor *a, const struct tensor *b, const struct tensor *c, bool batched)
{
    op->kind = TVG_KIND_GEMM;
    if (!batched) { /* weights [n, k]; what is not k in the input is rows */
        if (b->rank != 2 || b->dim[1] < 1 || a->elements % (uint64_t)b->dim[1] != 0)
            return false;
        op->n = b->dim[0], op->k = b->dim[1], op->m = (int64_t)(a->elements / (uint64_t)op->k), op->batch = 1;
        op->flags |= TVG_OP_TRANS_B;
    } else {
        if (a->rank < 2 || b->rank < 2 || c->rank < 2)
            return false;
        op->m = c->dim[c->rank - 2], op->n = c->dim[c->rank - 1];
        int64_t matrix = a->dim[a->rank - 1] * a->dim[a->rank - 2];
        if (op->m < 1 || op->n < 1 || matrix % op->m != 0)
            return false;
        op->k = matrix / op->m;
        op->batch = (int64_t)(c->elements / (uint64_t)(op->m * op->n));
        if (a->dim[a->rank - 1] != op->k)
            op->flags |= TVG_OP_TRANS_A;
        if (b->dim[b->rank - 1] != op->n)
            op->flags |= TVG_OP_TRANS_B;
        if (op->batch > 1) {
            op->flags |= TVG_OP_BATCH_STRIDED;
            op->stride_a = a->elements > (uint64_t)matrix ? matrix : 0;
            op->stride_b = b->elements > (uint64_t)(op->k * op->n) ? op->k * op->n : 0;
            op->stride_c = op->m * op->n;
        }
    }
    op->lda = op->flags & TVG_OP_TRANS_A ? op->m : op->k, op->ldb = op->flags & TVG_OP_TRANS_B ? op->k : op->n, op->ldc = op->n;
    return true;
}

/* Every row of the input, each step of each sequence, meets every matrix. A step whose input is all zeros may be spared: it was asked for. */
static bool describe_recurrent(struct tvg_op *op, const struct kernel *kernel, const struct tvg_tflite_node *node, const struct tensor *a, const struct tensor *c)
{
    struct tensor tensor;
    uint64_t matrices = kernel->matrices;
    if (matrices >> RECURRENT_TO_FORGET & 1 && !node->input(node->context, node->node, RECURRENT_TO_FORGET))
        matrices = one_matrix;
    int64_t width = a->dim[a->rank - 1];
    if (width < 1)
        return false;
    uint64_t weights = op->bytes_a = op->bytes_b = 0;
    for (int i = 0; i < TVG_TFLITE_INPUTS_MAX; i++) {
        const void *at = node->input(node->context, node->node, i);
        bool matrix = matrices >> i & 1, readable = at && read_tensor(&tensor, at);
        if (at && matrix && (!readable || tensor.rank != 2))
            return false;
        if (!readable)
            continue;
        weights += matrix ? tensor.elements : 0;
        *(i == kernel->a || i == kernel->second ? &op->bytes_a : &op->bytes_b) += tvg_type_bytes(tensor.type, tensor.elements);
    }
    op->bytes_c = tvg_type_bytes(c->type, c->elements);
    if (kernel->second && read_tensor(&tensor, node->output(node->context, node->node, 1)))
        op->bytes_c += tvg_type_bytes(tensor.type, tensor.elements);
    op->kind = TVG_KIND_RNN;
    op->flags |= TVG_OP_FLOP_GIVEN;
    op->flop = 2u * (a->elements / (uint64_t)width) * weights;
    op->bytes = op->bytes_a + op->bytes_b + op->bytes_c;
    op->dim_count = (uint8_t)a->rank;
    memcpy(op->dim, a->dim, sizeof *a->dim * (size_t)a->rank);
    return true;
}

static bool describe(struct tvg_op *op, const struct kernel *kernel, const struct tvg_tflite_node *node, const struct tensor *a, const struct tensor *b, const struct tensor *c)
{
    op->type_a = a->type, op->type_b = b->type, op->type_c = c->type, op->type_compute = b->type; /* a float input of integer weights is quantized first */
    op->flags = TVG_OP_ROW_MAJOR | TVG_OP_BETA_ZERO;
    switch (kernel->class) {
    case CONVOLUTION:
    case DEPTHWISE:
        return shape_convolution(op, a, b, c, kernel->class == DEPTHWISE);
    case VOLUME:
        return shape_volume(op, a, b, c);
    case FULLY_CONNECTED:
    case BATCHED:
        return shape_product(op, a, b, c, kernel->class == BATCHED);
    case TRANSPOSED: /* each input element meets each kernel element of its channel */
        if (a->rank < 4 || a->dim[a->rank - 1] < 1)
            return false;
        op->kind = TVG_KIND_CONV;
        op->flags |= TVG_OP_FLOP_GIVEN;
        op->flop = 2u * (a->elements / (uint64_t)a->dim[a->rank - 1]) * b->elements;
        op->bytes_a = tvg_type_bytes(a->type, a->elements), op->bytes_b = tvg_type_bytes(b->type, b->elements), op->bytes_c = tvg_type_bytes(c->type, c->elements);
        op->bytes = op->bytes_a + op->bytes_b + op->bytes_c;
        return true;
    case RECURRENT:
        return describe_recurrent(op, kernel, node, a, c);
    }
    return false;
}

/* What the node computes, and where a, b and c lie. */
static bool describe_node(struct tvg_op *op, const void *operand[3], const struct kernel *kernel, const struct tvg_tflite_node *node)
{
    struct tensor a, b, c;
    if (!kernel || !node->input || !node->output || !read_tensor(&a, node->input(node->context, node->node, kernel->a)) ||
        !read_tensor(&b, node->input(node->context, node->node, kernel->b)) || !read_tensor(&c, node->output(node->context, node->node, 0)))
        return false;
    operand[0] = a.data, operand[1] = b.data, operand[2] = c.data;
    return describe(op, kernel, node, &a, &b, &c);
}

bool tvg_tflite_describe(struct tvg_op *op, const void *operand[3], const char *kernel, const struct tvg_tflite_node *node)
{
    return describe_node(op, operand, kernel_named(kernel, strlen(kernel)), node);
}

/* A node of TensorFlow Lite's, read by its own functions, which lie in the object of `code`. */
static struct tvg_tflite_node node_of(void *context, const void *address, const void *code)
{
    struct tvg_tflite_node node = {.context = context, .node = address};
    void *input = tvg_inline_symbol(code, "_ZN6tflite8GetInputEPK13TfLiteContextPK10TfLiteNodei");
    void *output = tvg_inline_symbol(code, "_ZN6tflite9GetOutputEP13TfLiteContextPK10TfLiteNodei");
    memcpy(&node.input, &input, sizeof input);
    memcpy(&node.output, &output, sizeof output);
    return node;
}

/* A result whose size is only known when it has been computed. */
static void record_late(struct tvg_call *call, uint64_t end, struct tvg_op *op, const struct kernel *kernel, const struct tvg_tflite_node *node,
                        const void *code, void *caller)
{
    int saved = errno;
    const void *operand[3];
    uint64_t start = call->start;
    tvg_call_release(call);
    call->thread = NULL;
    if (describe_node(op, operand, kernel, node)) {
        op->library = tvg_object_name(code, NULL);
        op->caller = (uint64_t)(uintptr_t)caller;
        tvg_op_count(op);
        tvg_op_record(tvg_op_intern(op), start, end, operand[0], operand[1], operand[2]);
    } else
        tvg_note("unknown-version", "TensorFlow Lite", "tensors of a kernel that don't read as in any version that is known: it is not counted");
    errno = saved;
}

typedef int kernel_function(void *context, void *node);
kernel_function tvg_hook_tflite_kernel;
TVG_HOOK_BODY int tvg_hook_tflite_kernel(void *context, void *node)
{
    TVG_TAKE_ENTRY(entry);
    void *const target = tvg_target(entry, NULL), *const caller = __builtin_return_address(0);
    const void *const code = tvg_inline_code(target);
    kernel_function *const real = TVG_FUNCTION(kernel_function, target);
    struct tvg_call call __attribute__((cleanup(tvg_call_release)));
    if (!tvg_call_begin(&call, __builtin_frame_address(0)))
        return real(context, node);
    int saved = errno;
    const struct kernel *kernel = kernel_of(entry->name);
    const struct tvg_tflite_node read = node_of(context, node, code);
    const void *operand[3];
    struct tvg_op op = {.function = kernel ? kernel->name : entry->name, .net = TVG_NET_INLINE, .device = -1};
    struct tvg_slot *slot = NULL;
    if (describe_node(&op, operand, kernel, &read))
        slot = tvg_slot_described(&call, entry, &op, caller);
    errno = saved;
    call.start = tvg_now();
    int status = real(context, node);
    if (slot && status == KERNEL_SUCCESS)
        tvg_call_end(&call, slot, operand[0], operand[1], operand[2]);
    else if (status == KERNEL_SUCCESS)
        record_late(&call, tvg_now(), &op, kernel, &read, code, caller);
    return status;
}
