/* TensorFlow's matrix products on the CPU where oneDNN's primitives are not used: LaunchBatchMatMul, above Eigen. Eigen cuts some of them into panels
 * that call dnnl_sgemm, on threads of its own too: these are part of the product. */
#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "../../trace/op.h"
#include "../intercept/any_arguments.h"
#include "../intercept/inline.h"
#include "../intercept/resolve.h"
#include "../intercept/wrapper.h"
#include "../record/record.h"
#include "described.h"
#include "panel.h"

/* TensorFlow's own functions that read a tensor. A tensor begins with its shape. */
static struct {
    int64_t (*dim_size)(const void *shape, int dim);
    struct view { uintptr_t word[2]; } (*tensor_data)(const void *tensor); /* a string_view: address and length, in either order */
    enum { UNTRIED, READY, UNKNOWN } state;
} tensorflow;

static bool find_functions(const void *code)
{
    int state = __atomic_load_n((int *)&tensorflow.state, __ATOMIC_ACQUIRE);
    if (state != UNTRIED)
        return state == READY;
    void *handle = tvg_library_handle(code);
    struct { const char *name; void *place; } wanted[] = {
        {"_ZNK10tensorflow15TensorShapeBaseINS_11TensorShapeEE8dim_sizeEi", &tensorflow.dim_size},
        {"_ZNK10tensorflow6Tensor11tensor_dataEv", &tensorflow.tensor_data},
    };
    bool complete = true;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        void *symbol = handle ? dlsym(handle, wanted[i].name) : NULL;
        memcpy(wanted[i].place, &symbol, sizeof symbol);
        if (!symbol)
            tvg_note("unknown-version", "TensorFlow", wanted[i].name);
        complete &= symbol != NULL;
    }
    __atomic_store_n((int *)&tensorflow.state, complete ? READY : UNKNOWN, __ATOMIC_RELEASE);
    return complete;
}

struct tensor {
    int64_t dim[3];
    const char *data;
    uint64_t bytes;
};

/* A tensor of three dimensions. What its functions say must agree. */
static bool read_tensor(struct tensor *tensor, const void *at, uint8_t type)
{
    uint64_t elements = 1;
    for (int i = 0; i < 3; i++) {
        tensor->dim[i] = tensorflow.dim_size(at, i);
        if (tensor->dim[i] < 0)
            return false;
        elements *= (uint64_t)tensor->dim[i];
    }
    tensor->bytes = tvg_type_bytes(type, elements);
    struct view view = tensorflow.tensor_data(at);
    bool length_first = view.word[0] == tensor->bytes;
    tensor->data = (const char *)view.word[length_first];
    return view.word[!length_first] == tensor->bytes;
}

/* By the letters behind the device in the mangled name. */
static uint8_t type_of(const char *name)
{
    static const struct { const char *letters; uint8_t type; } types[] = {
        {"fE", TVG_TYPE_F32}, {"dE", TVG_TYPE_F64}, {"iE", TVG_TYPE_I32}, {"lE", TVG_TYPE_I64}, {"sE", TVG_TYPE_I16}, {"NS1_4half", TVG_TYPE_F16},
        {"NS1_8bfloat16", TVG_TYPE_BF16}, {"St7complexIfE", TVG_TYPE_C64}, {"St7complexIdE", TVG_TYPE_C128}};
    const char *at = strstr(name, "ThreadPoolDeviceE");
    at = at ? at + strlen("ThreadPoolDeviceE") : name;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strncmp(at, types[i].letters, strlen(types[i].letters)) == 0)
            return types[i].type;
    return TVG_TYPE_NONE;
}

/* LaunchBatchMatMul::Launch(context, x, y, adjoint x, y, transposed x, y (and two more in some versions), broadcast, out) */
static bool describe(struct tvg_op *op, struct tensor tensor[3], const uintptr_t argument[11], const char *name)
{
    const char *broadcast = strstr(name, "RKNS_11MatMulBCast");
    int flags = 0;
    while (broadcast && broadcast[-1 - flags] == 'b')
        flags++;
    uint8_t type = type_of(name);
    if (flags < 4 || flags > 6 || !type || !read_tensor(&tensor[0], (const void *)argument[1], type) || !read_tensor(&tensor[1], (const void *)argument[2], type) ||
        !read_tensor(&tensor[2], (const void *)argument[4 + flags], type))
        return false;
    bool adjoint_a = (uint8_t)argument[3], adjoint_b = (uint8_t)argument[4];
    bool trans_a = adjoint_a || (uint8_t)argument[5], trans_b = adjoint_b || (uint8_t)argument[6];
    const struct tensor *a = &tensor[0], *b = &tensor[1], *c = &tensor[2];
    op->kind = TVG_KIND_GEMM;
    op->type_a = op->type_b = op->type_c = op->type_compute = type;
    op->batch = c->dim[0];
    op->m = a->dim[trans_a ? 2 : 1], op->k = a->dim[trans_a ? 1 : 2], op->n = b->dim[trans_b ? 1 : 2];
    op->lda = a->dim[2], op->ldb = b->dim[2], op->ldc = c->dim[2];
    op->flags = TVG_OP_ROW_MAJOR | TVG_OP_BETA_ZERO | (trans_a ? TVG_OP_TRANS_A : 0u) | (trans_b ? TVG_OP_TRANS_B : 0u) | (adjoint_a ? TVG_OP_CONJ_A : 0u) |
                (adjoint_b ? TVG_OP_CONJ_B : 0u);
    if (op->batch > 1) {
        op->flags |= TVG_OP_BATCH_STRIDED;
        op->stride_a = a->dim[0] > 1 ? op->m * op->k : 0;
        op->stride_b = b->dim[0] > 1 ? op->k * op->n : 0;
        op->stride_c = op->m * op->n;
    }
    return op->k == b->dim[trans_b ? 2 : 1] && c->dim[1] == op->m && c->dim[2] == op->n;
}

tvg_any_function tvg_hook_tensorflow_matmul;
TVG_HOOK_BODY uintptr_t tvg_hook_tensorflow_matmul(uintptr_t context, uintptr_t x, uintptr_t y, uintptr_t a, uintptr_t b, uintptr_t c,
                                                   struct tvg_stack_arguments rest)
{
    TVG_TAKE_ENTRY(entry);
    void *const target = tvg_target(entry, NULL), *const caller = __builtin_return_address(0);
    tvg_any_function *const real = TVG_FUNCTION(tvg_any_function, target);
    struct tvg_call call __attribute__((cleanup(tvg_call_release)));
    if (!tvg_call_begin(&call, __builtin_frame_address(0)))
        return real(context, x, y, a, b, c, rest);
    int saved = errno;
    const uintptr_t argument[11] = {context, x, y, a, b, c, rest.word[0], rest.word[1], rest.word[2], rest.word[3], rest.word[4]};
    struct tvg_op op = {.function = "LaunchBatchMatMul", .net = TVG_NET_INLINE, .device = -1};
    struct tensor tensor[3];
    if (!find_functions(tvg_inline_code(target)) || !describe(&op, tensor, argument, entry->name)) {
        tvg_note("unknown-version", "TensorFlow",
                 "the tensors of a product don't read as in any version that is known: it is not counted, but for panels that reach dnnl_sgemm");
        tvg_call_release(&call);
        call.thread = NULL;
        errno = saved;
        return real(context, x, y, a, b, c, rest);
    }
    struct tvg_product *product = tvg_product_begin(tensor[2].data, tensor[2].bytes, op.k > op.m && op.k > op.n);
    struct tvg_slot *slot = tvg_slot_described(&call, entry, &op, caller);
    errno = saved;
    call.start = tvg_now();
    uintptr_t result = real(context, x, y, a, b, c, rest);
    tvg_call_end(&call, slot, tensor[0].data, tensor[1].data, tensor[2].data);
    tvg_product_end(product);
    return result;
}
