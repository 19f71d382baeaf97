/* XLA's CPU backend where it calls Eigen: products and convolutions that return before they are done when there are threads to do them. The
 * callback that they are given is wrapped, so that the end is when the result is there. */
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

enum { PENDING_MAX = 1024, DIMS_MAX = 29 };

/* What is called. Arguments: device, out, a, b, `dims` numbers, and a callback or what stands for one in older versions. */
struct function {
    uint8_t type_a, type_c, dims, spatial; /* spatial 0: a product: m, n, k, whether a is transposed, and b */
    enum { BY_CALLBACK, BY_RETURN, UNSEEN } end;
};

/* From the mangled name: the function, a device that older versions are told, the types. */
static bool read_name(struct function *function, const char *name)
{
    static const struct { const char *name; uint8_t dims, spatial; } functions[] = {{"11TypedMatMulI", 5, 0}, {"11EigenConv2DI", 21, 2}, {"11EigenConv3DI", 29, 3}};
    static const struct { const char *name; uint8_t end; } devices[] = {{"N5Eigen13DefaultDeviceE", BY_RETURN}, {"N5Eigen16ThreadPoolDeviceE", UNSEEN}};
    static const struct { const char *letters; uint8_t type_a, type_c; } types[] = {
        {"f", TVG_TYPE_F32, TVG_TYPE_F32}, {"d", TVG_TYPE_F64, TVG_TYPE_F64}, {"i", TVG_TYPE_I32, TVG_TYPE_I32}, {"aai", TVG_TYPE_I8, TVG_TYPE_I32},
        {"N5Eigen4half", TVG_TYPE_F16, TVG_TYPE_F16}, {"NS3_4half", TVG_TYPE_F16, TVG_TYPE_F16}, {"N5Eigen8bfloat16", TVG_TYPE_BF16, TVG_TYPE_BF16},
        {"St7complexIf", TVG_TYPE_C64, TVG_TYPE_C64}, {"St7complexId", TVG_TYPE_C128, TVG_TYPE_C128}};
    const char *at = NULL;
    *function = (struct function){.end = BY_CALLBACK};
    for (size_t i = 0; i < sizeof functions / sizeof *functions && !at; i++)
        if ((at = strstr(name, functions[i].name)) != NULL) {
            at += strlen(functions[i].name);
            function->dims = functions[i].dims, function->spatial = functions[i].spatial;
        }
    for (size_t i = 0; i < sizeof devices / sizeof *devices && at; i++)
        if (strncmp(at, devices[i].name, strlen(devices[i].name)) == 0) {
            at += strlen(devices[i].name);
            function->end = devices[i].end;
        }
    for (size_t i = 0; i < sizeof types / sizeof *types && at; i++)
        if (strncmp(at, types[i].letters, strlen(types[i].letters)) == 0) {
            function->type_a = types[i].type_a, function->type_c = types[i].type_c;
            return true;
        }
    return false;
}

static void describe(struct tvg_op *op, const struct function *function, const int64_t *number)
{
    op->type_a = op->type_b = op->type_compute = function->type_a, op->type_c = function->type_c;
    op->flags = TVG_OP_BETA_ZERO;
    if (!function->spatial) {
        bool trans_a = (uint8_t)number[3], trans_b = (uint8_t)number[4];
        op->kind = TVG_KIND_GEMM;
        op->m = number[0], op->n = number[1], op->k = number[2];
        op->lda = trans_a ? op->k : op->m, op->ldb = trans_b ? op->n : op->k, op->ldc = op->m;
        op->flags |= (trans_a ? TVG_OP_TRANS_A : 0u) | (trans_b ? TVG_OP_TRANS_B : 0u);
        return;
    }
    /* batch, input, channels, kernel, channels of a group, filters, output, strides, paddings, dilations of input and kernel, groups */
    int spatial = function->spatial, at = 0;
    const int64_t *input = number + 1, *kernel = input + spatial + 1, *output = kernel + spatial + 2, *dilation = output + spatial + spatial + 2 * spatial;
    op->kind = TVG_KIND_CONV;
    op->dim_spatial = (uint8_t)spatial;
    op->dim[at++] = number[0];
    op->dim[at++] = input[spatial];
    for (int i = 0; i < spatial; i++)
        op->dim[at++] = input[i];
    op->dim[at++] = kernel[spatial + 1];
    for (int i = 0; i < spatial; i++)
        op->dim[at++] = kernel[i];
    for (int i = 0; i < spatial; i++)
        op->dim[at++] = output[i];
    op->dim[at++] = number[function->dims - 1];
    op->dim_count = (uint8_t)at;
    bool dilated = false;
    uint64_t multiplications = (uint64_t)number[0] * (uint64_t)kernel[spatial] * (uint64_t)kernel[spatial + 1];
    for (int i = 0; i < spatial; i++) {
        dilated |= dilation[i] > 1;
        multiplications *= (uint64_t)input[i] * (uint64_t)kernel[i];
    }
    if (dilated) { /* a transposed convolution: each input element meets each kernel element of its channel; the zeros in between are no work */
        op->flags |= TVG_OP_FLOP_GIVEN;
        op->flop = 2u * multiplications;
        uint64_t elements[3] = {(uint64_t)(number[0] * input[spatial]), (uint64_t)(kernel[spatial] * kernel[spatial + 1]),
                                (uint64_t)(number[0] * kernel[spatial + 1])};
        for (int i = 0; i < spatial; i++)
            elements[0] *= (uint64_t)input[i], elements[1] *= (uint64_t)kernel[i], elements[2] *= (uint64_t)output[i];
        op->bytes_a = tvg_type_bytes(op->type_a, elements[0]), op->bytes_b = tvg_type_bytes(op->type_b, elements[1]);
        op->bytes_c = tvg_type_bytes(op->type_c, elements[2]);
        op->bytes = op->bytes_a + op->bytes_b + op->bytes_c;
    }
}

/* absl::AnyInvocable<void()>: 16 bytes that are the function object or lead to it, a function that moves or destroys these, and one that
 * calls. An empty one has no such. Destroying is told from moving by its one place: the numbers have changed places between versions. Moving
 * is copying the bytes: what captures pointers and counted references knows no place of its own. */
struct invocable {
    void *state[2];
    void (*manage)(uint8_t what, void **from, void **to);
    void (*invoke)(void **state);
};

/* A call that is not done yet. */
static struct pending {
    int taken;
    struct invocable callback; /* the host's own */
    struct tvg_op op;
    struct tvg_product *product; /* whose panels other threads multiply */
    uint32_t op_id;
    uint64_t start;
    const void *a, *b, *c;
} pending[PENDING_MAX];

static void manage(uint8_t what, void **from, void **to)
{
    struct pending *call = from[0];
    if (from != to) {
        to[0] = call;
        return;
    }
    call->callback.manage(what, call->callback.state, call->callback.state);
    __atomic_store_n(&call->taken, 0, __ATOMIC_RELEASE);
}

static void invoke(void **state)
{
    struct pending *call = state[0];
    uint64_t end = tvg_now();
    int saved = errno;
    tvg_product_end(call->product);
    if (call->op_id != TVG_OP_ID_WIDE)
        tvg_op_record(call->op_id, call->start, end, call->a, call->b, call->c);
    else
        tvg_op_record_wide(&call->op, call->start, end, call->a, call->b, call->c);
    errno = saved;
    call->callback.invoke(call->callback.state);
}

/* The layout proves itself once: both functions must belong to the library that passes the callback. */
static bool is_invocable(const struct invocable *callback, const void *code)
{
    static int verdict; /* 1 as expected, -1 not */
    if (!callback || (uintptr_t)callback % 8 || !callback->invoke || !callback->manage)
        return false;
    if (!__atomic_load_n(&verdict, __ATOMIC_RELAXED)) {
        void *library, *base[2];
        tvg_object_name(code, &library);
        tvg_object_name((const void *)(uintptr_t)callback->manage, &base[0]);
        tvg_object_name((const void *)(uintptr_t)callback->invoke, &base[1]);
        bool good = base[0] == library && base[1] == library;
        if (!good)
            tvg_note("unknown-version", "XLA",
                     "the callback of a product is laid out in an unknown way: durations of products that run on other threads are too short");
        __atomic_store_n(&verdict, good ? 1 : -1, __ATOMIC_RELAXED);
    }
    return __atomic_load_n(&verdict, __ATOMIC_RELAXED) > 0;
}

static struct pending *take_place(void)
{
    static unsigned next;
    unsigned begin = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < 16; i++) {
        struct pending *call = &pending[(begin + i) % PENDING_MAX];
        if (!__atomic_exchange_n(&call->taken, 1, __ATOMIC_ACQUIRE))
            return call;
    }
    return NULL;
}

static struct tvg_product *begin_product(const struct tvg_op *op, const void *out)
{
    struct tvg_op counted = *op;
    tvg_op_count(&counted);
    uint64_t results = counted.bytes_c / tvg_type_bytes(op->type_c, 1);
    return tvg_product_begin(out, counted.bytes_c, results && counted.flop / 2 / results > results); /* deep: longer sums than there are results */
}

tvg_any_function tvg_hook_xla_eigen;
TVG_HOOK_BODY uintptr_t tvg_hook_xla_eigen(uintptr_t device, uintptr_t out, uintptr_t a, uintptr_t b, uintptr_t first, uintptr_t second,
                                           struct tvg_stack_arguments rest)
{
    TVG_TAKE_ENTRY(entry);
    void *const target = tvg_target(entry, NULL), *const caller = __builtin_return_address(0);
    tvg_any_function *const real = TVG_FUNCTION(tvg_any_function, target);
    struct tvg_call call __attribute__((cleanup(tvg_call_release)));
    if (!tvg_call_begin(&call, __builtin_frame_address(0)))
        return real(device, out, a, b, first, second, rest);
    int saved = errno;
    struct function function;
    read_name(&function, entry->name);
    int64_t number[DIMS_MAX] = {(int64_t)first, (int64_t)second};
    for (int i = 2; i < function.dims; i++)
        number[i] = (int64_t)rest.word[i - 2];
    struct tvg_op op = {.function = function.spatial ? "EigenConv" : "TypedMatMul", .net = TVG_NET_INLINE, .device = -1};
    describe(&op, &function, number);
    struct tvg_slot *slot = tvg_slot_described(&call, entry, &op, caller);
    struct tvg_product *product = begin_product(&op, (const void *)out);
    if (function.end == UNSEEN)
        tvg_note("unknown-version", "XLA", "convolutions of this version end unseen on other threads: their durations are too short");
    struct invocable *callback = (struct invocable *)rest.word[function.dims - 2];
    struct pending *later = function.end == BY_CALLBACK && is_invocable(callback, tvg_inline_code(target)) ? take_place() : NULL;
    if (later) {
        later->op = op;
        later->op.caller = (uint64_t)(uintptr_t)caller;
        tvg_op_count(&later->op);
        later->op_id = slot->op_id;
        later->product = product;
        if (slot->op_id == TVG_OP_ID_WIDE)
            later->op.library = tvg_object_name(tvg_inline_code(target), NULL);
        later->a = (const void *)a, later->b = (const void *)b, later->c = (const void *)out;
        later->callback = *callback;
        *callback = (struct invocable){{later, NULL}, manage, invoke};
        later->start = tvg_now();
    }
    errno = saved;
    call.start = tvg_now();
    uintptr_t result = real(device, out, a, b, first, second, rest);
    if (!later) {
        tvg_call_end(&call, slot, (const void *)a, (const void *)b, (const void *)out);
        tvg_product_end(product);
    }
    return result;
}
