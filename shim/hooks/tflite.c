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

enum { RANK_MAX = 8, KERNEL_SUCCESS = 0 };

/* How a TfLiteTensor begins. Its `bytes` must be what type and dimensions say, or nothing of it is believed. */
struct layout {
    int32_t type;
    const void *data;
    const struct { int32_t size, value[]; } *dims;
    struct { float scale; int32_t zero_point; } quantization;
    int32_t allocation;
    size_t bytes;
};

struct tensor {
    int rank;
    int64_t dim[RANK_MAX];
    uint64_t elements;
    uint8_t type;
    const void *data;
};

static bool read_tensor(struct tensor *tensor, const struct layout *layout)
{
    static const uint8_t types[] = {TVG_TYPE_NONE, TVG_TYPE_F32, TVG_TYPE_I32, TVG_TYPE_U8, TVG_TYPE_I64, TVG_TYPE_NONE, TVG_TYPE_BOOL, TVG_TYPE_I16, TVG_TYPE_C64,
                                    TVG_TYPE_I8, TVG_TYPE_F16, TVG_TYPE_F64, TVG_TYPE_C128, TVG_TYPE_NONE, TVG_TYPE_NONE, TVG_TYPE_NONE, TVG_TYPE_NONE,
                                    TVG_TYPE_NONE, TVG_TYPE_I4};
    if (!layout || !layout->dims || layout->dims->size < 1 || layout->dims->size > RANK_MAX || layout->type < 0 || layout->type >= (int32_t)sizeof types)
        return false;
    *tensor = (struct tensor){.rank = layout->dims->size, .elements = 1, .type = types[layout->type], .data = layout->data};
    for (int i = 0; i < tensor->rank; i++) {
        tensor->dim[i] = layout->dims->value[i];
        if (tensor->dim[i] < 0)
            return false;
        tensor->elements *= (uint64_t)tensor->dim[i];
    }
    return tensor->type != TVG_TYPE_NONE && layout->bytes == tvg_type_bytes(tensor->type, tensor->elements);
}

enum class { CONVOLUTION, DEPTHWISE, TRANSPOSED, FULLY_CONNECTED, BATCHED };
/* By the kernel's name space, and where input and weights stand among the node's inputs. */
static const struct kernel {
    const char *name;
    enum class class;
    uint8_t a, b;
} kernels[] = {
    {"conv", CONVOLUTION, 0, 1}, {"depthwise_conv", DEPTHWISE, 0, 1}, {"transpose_conv", TRANSPOSED, 2, 1}, {"fully_connected", FULLY_CONNECTED, 0, 1},
    {"batch_matmul", BATCHED, 0, 1},
};

/* _ZN6tflite3ops7builtin4conv4Eval...: the name behind "builtin", with its length before it. */
static const struct kernel *kernel_of(const char *name)
{
    const char *at = strstr(name, "7builtin");
    unsigned length = 0;
    for (at = at ? at + strlen("7builtin") : ""; *at >= '0' && *at <= '9'; at++)
        length = length * 10 + (unsigned)(*at - '0');
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
        if (strlen(kernels[i].name) == length && strncmp(at, kernels[i].name, length) == 0)
            return &kernels[i];
    return NULL;
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

static bool describe(struct tvg_op *op, enum class class, const struct tensor *a, const struct tensor *b, const struct tensor *c)
{
    op->type_a = a->type, op->type_b = b->type, op->type_c = c->type, op->type_compute = b->type; /* a float input of integer weights is quantized first */
    op->flags = TVG_OP_ROW_MAJOR | TVG_OP_BETA_ZERO;
    switch (class) {
    case CONVOLUTION:
    case DEPTHWISE:
        return shape_convolution(op, a, b, c, class == DEPTHWISE);
    case FULLY_CONNECTED:
    case BATCHED:
        return shape_product(op, a, b, c, class == BATCHED);
    case TRANSPOSED: /* each input element meets each kernel element of its channel */
        if (a->rank != 4 || a->dim[3] < 1)
            return false;
        op->kind = TVG_KIND_CONV;
        op->flags |= TVG_OP_FLOP_GIVEN;
        op->flop = 2u * (a->elements / (uint64_t)a->dim[3]) * b->elements;
        op->bytes_a = tvg_type_bytes(a->type, a->elements), op->bytes_b = tvg_type_bytes(b->type, b->elements), op->bytes_c = tvg_type_bytes(c->type, c->elements);
        op->bytes = op->bytes_a + op->bytes_b + op->bytes_c;
        return true;
    }
    return false;
}

static bool read_operands(struct tensor operand[3], const struct kernel *kernel, void *context, const void *node, const void *code)
{
    typedef const void *input_function(const void *context, const void *node, int index);
    typedef const void *output_function(void *context, const void *node, int index);
    input_function *input = TVG_FUNCTION(input_function, tvg_inline_symbol(code, "_ZN6tflite8GetInputEPK13TfLiteContextPK10TfLiteNodei"));
    output_function *output = TVG_FUNCTION(output_function, tvg_inline_symbol(code, "_ZN6tflite9GetOutputEP13TfLiteContextPK10TfLiteNodei"));
    return input && output && read_tensor(&operand[0], input(context, node, kernel->a)) && read_tensor(&operand[1], input(context, node, kernel->b)) &&
           read_tensor(&operand[2], output(context, node, 0));
}

/* A result whose size is only known when it has been computed. */
static void record_late(struct tvg_call *call, uint64_t end, struct tvg_op *op, const struct kernel *kernel, void *context, const void *node,
                        const void *code, void *caller)
{
    int saved = errno;
    struct tensor operand[3];
    uint64_t start = call->start;
    tvg_call_release(call);
    call->thread = NULL;
    if (kernel && read_operands(operand, kernel, context, node, code) && describe(op, kernel->class, &operand[0], &operand[1], &operand[2])) {
        op->library = tvg_object_name(code, NULL);
        op->caller = (uint64_t)(uintptr_t)caller;
        tvg_op_count(op);
        tvg_op_record(tvg_op_intern(op), start, end, operand[0].data, operand[1].data, operand[2].data);
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
    struct tensor operand[3];
    struct tvg_op op = {.function = kernel ? kernel->name : entry->name, .net = TVG_NET_INLINE, .device = -1};
    struct tvg_slot *slot = NULL;
    if (kernel && read_operands(operand, kernel, context, node, code) && describe(&op, kernel->class, &operand[0], &operand[1], &operand[2]))
        slot = tvg_slot_described(&call, entry, &op, caller);
    errno = saved;
    call.start = tvg_now();
    int status = real(context, node);
    if (slot && status == KERNEL_SUCCESS)
        tvg_call_end(&call, slot, operand[0].data, operand[1].data, operand[2].data);
    else if (status == KERNEL_SUCCESS)
        record_late(&call, tvg_now(), &op, kernel, context, node, code, caller);
    return status;
}
