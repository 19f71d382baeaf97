/* XNNPACK, below LiteRT and TensorFlow Lite: an operator's sizes are said in parts, when it is created, when it is shaped and when it is given its
 * data; it is recorded when it runs, with its own time. */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "../../trace/op.h"
#include "../intercept/any_arguments.h"
#include "../intercept/inline.h"
#include "../intercept/resolve.h"
#include "../intercept/wrapper.h"
#include "../record/record.h"
#include "described.h"
#include "registry.h"
#include "xnnpack_others.h"

enum { OPERATORS_MAX = 8192, ARGUMENTS = 6 + TVG_STACK_ARGUMENTS, TRANSPOSE_WEIGHTS = 1 };

/* By what stands behind the operator's name: the types of input, weights and output, and how many arguments of quantization stand before the
 * weights, and in all, floating-point ones not counted. */
static const struct form {
    const char *suffix;
    uint8_t type_a, type_b, type_c, before_weights, in_all;
} forms[] = {
    {"f32", TVG_TYPE_F32, TVG_TYPE_F32, TVG_TYPE_F32, 0, 0},
    {"f16", TVG_TYPE_F16, TVG_TYPE_F16, TVG_TYPE_F16, 0, 0},
    {"bf16_f32", TVG_TYPE_BF16, TVG_TYPE_BF16, TVG_TYPE_F32, 0, 0},
    {"f32_f16", TVG_TYPE_F32, TVG_TYPE_F16, TVG_TYPE_F32, 0, 0},
    {"f32_qc8w", TVG_TYPE_F32, TVG_TYPE_I8, TVG_TYPE_F32, 1, 1},
    {"f32_qc4w", TVG_TYPE_F32, TVG_TYPE_I4, TVG_TYPE_F32, 2, 2},
    {"qd8_f32_qc8w", TVG_TYPE_I8, TVG_TYPE_I8, TVG_TYPE_F32, 1, 1},
    {"qd8_f16_qc8w", TVG_TYPE_I8, TVG_TYPE_I8, TVG_TYPE_F16, 1, 1},
    {"qdu8_f32_qc8w", TVG_TYPE_U8, TVG_TYPE_I8, TVG_TYPE_F32, 1, 1},
    {"qdu8_f16_qc8w", TVG_TYPE_U8, TVG_TYPE_I8, TVG_TYPE_F16, 1, 1},
    {"qd8_f32_qc4w", TVG_TYPE_I8, TVG_TYPE_I4, TVG_TYPE_F32, 2, 2},
    {"qd8_f16_qc4w", TVG_TYPE_I8, TVG_TYPE_I4, TVG_TYPE_F16, 2, 2},
    {"qdu8_f32_qc4w", TVG_TYPE_U8, TVG_TYPE_I4, TVG_TYPE_F32, 2, 2},
    {"qdu8_f16_qc4w", TVG_TYPE_U8, TVG_TYPE_I4, TVG_TYPE_F16, 2, 2},
    {"qd8_f32_qb4w", TVG_TYPE_I8, TVG_TYPE_I4, TVG_TYPE_F32, 3, 3},
    {"qd8_f16_qb4w", TVG_TYPE_I8, TVG_TYPE_I4, TVG_TYPE_F16, 3, 3},
    {"qd8_bf16_qb4w", TVG_TYPE_I8, TVG_TYPE_I4, TVG_TYPE_BF16, 3, 3},
    {"qd8_f32_qb4w_f16_scales", TVG_TYPE_I8, TVG_TYPE_I4, TVG_TYPE_F32, 3, 3},
    {"qd8_f16_qb4w_f16_scales", TVG_TYPE_I8, TVG_TYPE_I4, TVG_TYPE_F16, 3, 3},
    {"qdu8_f32_qb4w", TVG_TYPE_U8, TVG_TYPE_I4, TVG_TYPE_F32, 3, 3},
    {"qdu8_f32_qb4w_f16_scales", TVG_TYPE_U8, TVG_TYPE_I4, TVG_TYPE_F32, 3, 3},
    {"qdu8_bf16_qb4w", TVG_TYPE_U8, TVG_TYPE_I4, TVG_TYPE_BF16, 3, 3},
    {"qs8", TVG_TYPE_I8, TVG_TYPE_I8, TVG_TYPE_I8, 1, 4},
    {"qs8_qc8w", TVG_TYPE_I8, TVG_TYPE_I8, TVG_TYPE_I8, 2, 5},
    {"qs8_qc4w", TVG_TYPE_I8, TVG_TYPE_I4, TVG_TYPE_I8, 3, 6},
    {"qu8", TVG_TYPE_U8, TVG_TYPE_U8, TVG_TYPE_U8, 2, 5},
    {"f32_const_weights", TVG_TYPE_F32, TVG_TYPE_F32, TVG_TYPE_F32, 0, 0},
    {"f16_const_weights", TVG_TYPE_F16, TVG_TYPE_F16, TVG_TYPE_F16, 0, 0},
    {"f32_qc8w_const_weights", TVG_TYPE_F32, TVG_TYPE_I8, TVG_TYPE_F32, 0, 1},
    {"qd8_f32_qc8w_const_weights", TVG_TYPE_I8, TVG_TYPE_I8, TVG_TYPE_F32, 0, 1},
    {"qdu8_f32_qc8w_const_weights", TVG_TYPE_U8, TVG_TYPE_I8, TVG_TYPE_F32, 0, 1},
    {"qs8_const_weights", TVG_TYPE_I8, TVG_TYPE_I8, TVG_TYPE_I8, 0, 4},
};

/* By the operator: where weights and the new operator stand without quantization (255: no weights), and among the arguments of setup input,
 * weights and output. */
enum class { FULLY_CONNECTED, CONVOLUTION, DECONVOLUTION, BATCHED, BATCHED_CONSTANT, DYNAMIC };
enum { NONE = 255 };
static const struct family {
    const char *name;
    enum class class;
    uint8_t weights, out, setup_a, setup_b, setup_c;
} families[] = {
    {"fully_connected_nc_", FULLY_CONNECTED, 4, 8, 1, NONE, 2},
    {"dynamic_fully_connected_nc_", DYNAMIC, NONE, 1, 2, 3, 5},
    {"convolution2d_nhwc_", CONVOLUTION, 15, 19, 2, NONE, 3},
    {"convolution2d_nchw_", CONVOLUTION, 15, 19, 1, NONE, 2},
    {"deconvolution2d_nhwc_", DECONVOLUTION, 15, 19, 1, NONE, 2},
    {"batch_matrix_multiply_nc_", BATCHED, NONE, 1, 2, 3, 4},
};

/* One of XNNPACK's operators. */
struct operator {
    const struct family *family;
    enum class class;
    bool shaped;
    int64_t kernel[2], groups, group_input, group_output; /* fully connected: input and output channels */
    struct tvg_op op;
    const void *a, *b, *c;
};
static struct tvg_pool operators = TVG_POOL(struct operator, OPERATORS_MAX);
static struct tvg_registry known;

static struct operator *take(void)
{
    struct operator *operator = tvg_pool_take(&operators);
    if (!operator)
        tvg_note("limit", "XNNPACK", "more operators than are remembered: those that came later are not counted");
    return operator;
}

static const struct family *family_of(const char *name)
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (strncmp(name, families[i].name, strlen(families[i].name)) == 0)
            return &families[i];
    return NULL;
}

static const struct form *form_of(const char *suffix)
{
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (strcmp(suffix, forms[i].suffix) == 0)
            return &forms[i];
    return NULL;
}

/* What `create` was given for the operator that it made. */
static void describe(struct operator *operator, const struct form *form, const char *name, const uintptr_t *argument, const void *code)
{
    const struct family *family = operator->family;
    operator->class = family->class == BATCHED && strstr(name, "const_weights") ? BATCHED_CONSTANT : family->class;
    operator->shaped = false;
    operator->a = operator->b = operator->c = NULL;
    operator->op = (struct tvg_op){.library = tvg_object_name(code, NULL), .function = name, .net = TVG_NET_INLINE, .device = -1, .kind = TVG_KIND_GEMM,
                                   .type_a = form->type_a, .type_b = form->type_b, .type_c = form->type_c, .type_compute = form->type_a,
                                   .flags = TVG_OP_ROW_MAJOR | TVG_OP_BETA_ZERO};
    switch (operator->class) {
    case FULLY_CONNECTED: {
        uint32_t flags = (uint32_t)argument[family->out + form->in_all - 2];
        operator->group_input = (int64_t)argument[0];
        operator->group_output = (int64_t)argument[1];
        operator->b = (const void *)argument[family->weights + form->before_weights];
        if (!(flags & TRANSPOSE_WEIGHTS))
            operator->op.flags |= TVG_OP_TRANS_B;
        break;
    }
    case CONVOLUTION:
    case DECONVOLUTION:
        operator->kernel[0] = (int64_t)(uint32_t)argument[4], operator->kernel[1] = (int64_t)(uint32_t)argument[5];
        operator->groups = (int64_t)(uint32_t)argument[10];
        operator->group_input = (int64_t)argument[11], operator->group_output = (int64_t)argument[12];
        operator->b = (const void *)argument[family->weights + form->before_weights];
        break;
    case BATCHED_CONSTANT:
        operator->b = (const void *)argument[3];
        break;
    default:
        break;
    }
}

static void product(struct tvg_op *op, int64_t batch, int64_t m, int64_t n, int64_t k)
{
    op->batch = batch, op->m = m, op->n = n, op->k = k;
    op->lda = k, op->ldb = op->flags & TVG_OP_TRANS_B ? k : n, op->ldc = n;
}

/* (operator, batch, ...), after it was done. */
static bool shape(struct operator *operator, const uintptr_t *argument)
{
    struct tvg_op *op = &operator->op;
    int64_t batch = (int64_t)argument[1];
    switch (operator->class) {
    case FULLY_CONNECTED:
        product(op, 1, batch, operator->group_output, operator->group_input);
        return true;
    case DYNAMIC:
        product(op, 1, batch, (int64_t)argument[3], (int64_t)argument[2]);
        return true;
    case BATCHED:
    case BATCHED_CONSTANT: { /* (operator, number of batch dimensions, those of a, those of b, m, k, n, ...) */
        const size_t *dims_a = (const size_t *)argument[2], *dims_b = (const size_t *)argument[3];
        int64_t all = 1, all_a = 1, all_b = 1;
        for (int64_t i = 0; i < batch; i++) {
            all *= (int64_t)(dims_a[i] > dims_b[i] ? dims_a[i] : dims_b[i]);
            all_a *= (int64_t)dims_a[i], all_b *= (int64_t)dims_b[i];
        }
        product(op, all, (int64_t)argument[4], (int64_t)argument[6], (int64_t)argument[5]);
        if (all > 1) {
            op->flags |= TVG_OP_BATCH_STRIDED;
            op->stride_a = all_a > 1 ? op->m * op->k : 0, op->stride_b = all_b > 1 ? op->k * op->n : 0, op->stride_c = op->m * op->n;
        }
        return true;
    }
    case CONVOLUTION: { /* channels last: a workspace stands before where the output's size goes */
        const char *layout = strstr(operator->family->name, "nhwc");
        const size_t *height = (const size_t *)argument[layout ? 5 : 4], *width = (const size_t *)argument[layout ? 6 : 5];
        if (!height || !width)
            return false;
        const int64_t dim[] = {batch, operator->group_input * operator->groups, (int64_t)argument[2], (int64_t)argument[3],
                               operator->group_output * operator->groups,
                               operator->kernel[0], operator->kernel[1], (int64_t)*height, (int64_t)*width, operator->groups};
        op->kind = TVG_KIND_CONV;
        op->dim_spatial = 2;
        op->dim_count = sizeof dim / sizeof *dim;
        memcpy(op->dim, dim, sizeof dim);
        return true;
    }
    case DECONVOLUTION: { /* each input element meets each kernel element of its group */
        const size_t *height = (const size_t *)argument[6], *width = (const size_t *)argument[7];
        if (!height || !width)
            return false;
        uint64_t pixels = (uint64_t)(batch * (int64_t)argument[2] * (int64_t)argument[3]), out = (uint64_t)batch * *height * *width;
        uint64_t weights = (uint64_t)(operator->groups * operator->group_input * operator->group_output * operator->kernel[0] * operator->kernel[1]);
        op->kind = TVG_KIND_CONV;
        op->flags |= TVG_OP_FLOP_GIVEN;
        op->flop = 2u * pixels * weights;
        op->bytes_a = tvg_type_bytes(op->type_a, pixels * (uint64_t)(operator->group_input * operator->groups));
        op->bytes_b = tvg_type_bytes(op->type_b, weights);
        op->bytes_c = tvg_type_bytes(op->type_c, out * (uint64_t)(operator->group_output * operator->groups));
        op->bytes = op->bytes_a + op->bytes_b + op->bytes_c;
        return true;
    }
    }
    return false;
}

tvg_any_function tvg_hook_xnn_create, tvg_hook_xnn_reshape, tvg_hook_xnn_setup;

/* Where among the arguments of its creation a new operator's address goes. */
static unsigned place_of_new(const struct family *family, const struct form *form, const char *name)
{
    if (family->class == BATCHED && strstr(name, "const_weights"))
        return 5u + form->in_all;
    if (family->class == BATCHED) /* int8 has its zero points and scales before it */
        return form->type_c == TVG_TYPE_I8 ? 6 : 1;
    return family->out + form->in_all;
}

static bool is_mapped(const void *address)
{
    unsigned char page;
    return mincore((void *)((uintptr_t)address & ~(uintptr_t)4095), 1, &page) == 0;
}

/* Floating-point arguments, three at most, ride in registers of their own. */
typedef uintptr_t create_function(uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, double, double, double, double, struct tvg_stack_arguments);
create_function tvg_hook_xnn_create_operator;
TVG_HOOK_BODY uintptr_t tvg_hook_xnn_create_operator(uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e, uintptr_t f, double w, double x,
                                                     double y, double z,
                                                     struct tvg_stack_arguments rest)
{
    TVG_TAKE_ENTRY(entry);
    void *const target = tvg_target(entry, NULL);
    uintptr_t argument[ARGUMENTS];
    tvg_gather_arguments(argument, ARGUMENTS, a, b, c, d, e, f, &rest);
    uintptr_t status = TVG_FUNCTION(create_function, target)(a, b, c, d, e, f, w, x, y, z, rest);
    int saved = errno;
    const char *name = entry->name + strlen("xnn_create_");
    const struct family *family = family_of(name);
    const struct form *form = family ? form_of(name + strlen(family->name)) : NULL;
    if ((uint32_t)status == 0 && form) {
        unsigned at = place_of_new(family, form, name);
        void *const *made = (void *const *)argument[at];
        struct operator *operator = made && (uintptr_t)made % 8 == 0 && is_mapped(made) && *made ? take() : NULL;
        if (operator) {
            operator->family = family;
            describe(operator, form, name, argument, tvg_inline_code(target));
            tvg_pool_give(&operators, tvg_registry_put(&known, *made, operator));
        }
    } else if ((uint32_t)status == 0)
        tvg_note("found-not-catchable", name, "an operator of XNNPACK's whose types are not known: it is not counted");
    errno = saved;
    return status;
}

TVG_HOOK_BODY uintptr_t tvg_hook_xnn_reshape(uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e, uintptr_t f, struct tvg_stack_arguments rest)
{
    TVG_TAKE_ENTRY(entry);
    uintptr_t status = TVG_FUNCTION(tvg_any_function, tvg_target(entry, NULL))(a, b, c, d, e, f, rest);
    int saved = errno;
    struct operator *operator = tvg_registry_get(&known, (const void *)a);
    if (!operator)
        tvg_note("unknown-version", "XNNPACK", "an operator was shaped whose making was not understood: it is not counted");
    else if ((uint32_t)status == 0) {
        uintptr_t argument[ARGUMENTS];
        tvg_gather_arguments(argument, ARGUMENTS, a, b, c, d, e, f, &rest);
        operator->shaped = shape(operator, argument);
        tvg_op_count(&operator->op);
    }
    errno = saved;
    return status;
}

TVG_HOOK_BODY uintptr_t tvg_hook_xnn_setup(uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e, uintptr_t f, struct tvg_stack_arguments rest)
{
    TVG_TAKE_ENTRY(entry);
    struct operator *operator = tvg_registry_get(&known, (const void *)a);
    if (operator) {
        const uintptr_t argument[6] = {a, b, c, d, e, f};
        const struct family *family = operator->family;
        operator->a = (const void *)argument[family->setup_a];
        if (family->setup_b != NONE && operator->class != BATCHED_CONSTANT)
            operator->b = (const void *)argument[family->setup_b];
        operator->c = (const void *)argument[family->setup_c];
    }
    return TVG_FUNCTION(tvg_any_function, tvg_target(entry, NULL))(a, b, c, d, e, f, rest);
}

typedef int delete_function(void *operator);
delete_function tvg_hook_xnn_delete_operator;
TVG_HOOK_BODY int tvg_hook_xnn_delete_operator(void *operator)
{
    TVG_TAKE_ENTRY(entry);
    tvg_pool_give(&operators, tvg_registry_take(&known, operator));
    tvg_xnn_other_deleted(operator);
    return TVG_FUNCTION(delete_function, tvg_target(entry, NULL))(operator);
}

typedef int run_function(void *operator, size_t node, size_t part, void *pool);
run_function tvg_hook_xnn_run_operator;
TVG_HOOK_BODY int tvg_hook_xnn_run_operator(void *address, size_t node, size_t part, void *pool)
{
    TVG_TAKE_ENTRY(entry);
    run_function *const real = TVG_FUNCTION(run_function, tvg_target(entry, NULL));
    const struct operator *operator = tvg_registry_get(&known, address);
    const struct tvg_xnn_other *other = operator ? NULL : tvg_xnn_other(address);
    if (operator ? !operator->shaped : !other || !other->shaped) /* one that has been said, or no product */
        return real(address, node, part, pool);
    struct tvg_call call __attribute__((cleanup(tvg_call_release)));
    if (!tvg_call_begin(&call, __builtin_frame_address(0)))
        return real(address, node, part, pool);
    struct tvg_slot *slot = tvg_slot_described(&call, entry, operator ? &operator->op : &other->op, __builtin_return_address(0));
    call.start = tvg_now();
    int status = real(address, node, part, pool);
    if (status == 0 && operator)
        tvg_call_end(&call, slot, operator->a, operator->b, operator->c);
    else if (status == 0)
        tvg_call_end(&call, slot, other->a, other->b, other->c);
    return status;
}
