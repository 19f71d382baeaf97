/* XNNPACK's operators around the products, under TVG_OPS=all: what they read and write is said when they are shaped, where it lies when they are
 * given their data; they run like products do (xnnpack.c). */
#include "xnnpack_others.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "../intercept/any_arguments.h"
#include "../intercept/inline.h"
#include "../intercept/resolve.h"
#include "../intercept/wrapper.h"
#include "../record/record.h"
#include "registry.h"

enum { OPERATORS_MAX = 8192, DIMS_MAX = 6, ARGUMENTS = 12, SUCCESS = 0 };

/* How an operator is shaped: the order of the arguments of reshape. */
enum shaping { ROWS, ROWS_BEHIND, TWO_SHAPES, PERMUTED, REDUCED, IMAGES };
/* By how its name begins: its kind of work, where its creation says the types of input and output (0: nowhere, its name does) and where the new
 * operator goes; the arguments of setup. */
static const struct family {
    const char *name;
    enum shaping shaping;
    uint8_t kind, input_type, output_type, made, setup_a, setup_b, setup_c;
} families[] = {
    {"unary_elementwise_nc", ROWS, TVG_KIND_ELEMENTWISE, 1, 2, 8, 1, 0, 2},
    {"binary_elementwise_nd", TWO_SHAPES, TVG_KIND_ELEMENTWISE, 1, 1, 6, 1, 2, 3},
    {"reduce_nd", REDUCED, TVG_KIND_REDUCE, 1, 1, 5, 2, 0, 3},
    {"convert_nc_", ROWS, TVG_KIND_QUANTIZE, 0, 0, 0, 1, 0, 2},
    {"copy_nc_", ROWS, TVG_KIND_COPY, 0, 0, 0, 1, 0, 2},
    {"softmax_nc_", ROWS_BEHIND, TVG_KIND_SOFTMAX, 0, 0, 0, 1, 0, 2},
    {"transpose_nd_", PERMUTED, TVG_KIND_TRANSPOSE, 0, 0, 0, 1, 0, 2},
    {"max_pooling2d_nhwc_", IMAGES, TVG_KIND_POOL, 0, 0, 0, 1, 0, 2},
    {"average_pooling2d_nhwc_", IMAGES, TVG_KIND_POOL, 0, 0, 0, 1, 0, 2},
};

/* What stands behind such a name. Where only a width is said, the type stays unknown. */
static const struct { const char *suffix; uint8_t a, c, bytes; } forms[] = {
    {"f32", TVG_TYPE_F32, TVG_TYPE_F32, 0}, {"f16", TVG_TYPE_F16, TVG_TYPE_F16, 0}, {"s8", TVG_TYPE_I8, TVG_TYPE_I8, 0}, {"u8", TVG_TYPE_U8, TVG_TYPE_U8, 0},
    {"x8", 0, 0, 1}, {"x16", 0, 0, 2}, {"x32", 0, 0, 4},
    {"f32_qd8", TVG_TYPE_F32, TVG_TYPE_I8, 0}, {"f16_qd8", TVG_TYPE_F16, TVG_TYPE_I8, 0}, {"f32_qdu8", TVG_TYPE_F32, TVG_TYPE_U8, 0},
    {"f16_qdu8", TVG_TYPE_F16, TVG_TYPE_U8, 0}, {"qs8_qc8", TVG_TYPE_I8, TVG_TYPE_I8, 0},
};

/* enum xnn_datatype. */
static uint8_t type_of(uintptr_t number)
{
    static const uint8_t types[] = {[1] = TVG_TYPE_F32, [2] = TVG_TYPE_F16, [3] = TVG_TYPE_I8, [4] = TVG_TYPE_U8, [5] = TVG_TYPE_I32, [9] = TVG_TYPE_I8,
                                    [11] = TVG_TYPE_I32, [14] = TVG_TYPE_BF16, [15] = TVG_TYPE_U8};
    return (uint32_t)number < sizeof types ? types[(uint32_t)number] : TVG_TYPE_NONE;
}

static struct tvg_pool pool = TVG_POOL(struct tvg_xnn_other, OPERATORS_MAX);
static struct tvg_registry known;

struct tvg_xnn_other *tvg_xnn_other(const void *address) { return tvg_registry_get(&known, address); }
void tvg_xnn_other_deleted(const void *address) { tvg_pool_give(&pool, tvg_registry_take(&known, address)); }

/* "xnn_reshape_softmax_nc_f32": the family of what stands behind the second underscore. */
static const struct family *family_of(const char *name)
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (strncmp(name, families[i].name, strlen(families[i].name)) == 0)
            return &families[i];
    return NULL;
}

static struct tvg_xnn_other *remember(const void *address)
{
    struct tvg_xnn_other *other = tvg_pool_take(&pool);
    if (other)
        tvg_pool_give(&pool, tvg_registry_put(&known, address, other));
    else
        tvg_note("limit", "XNNPACK", "more operators than are remembered: those that came later are not recorded");
    return other;
}

static uint64_t product(const size_t *dims, size_t count)
{
    uint64_t elements = 1;
    for (size_t i = 0; i < count; i++)
        elements *= dims[i];
    return elements;
}

/* How many elements are read, from a second operand too, and written. False where it is not known. */
static bool count(uint64_t elements[3], const struct family *family, const uintptr_t *argument)
{
    elements[1] = 0;
    switch (family->shaping) {
    case ROWS: /* (operator, rows, channels, strides, ...) */
        elements[0] = elements[2] = argument[1] * argument[2];
        return true;
    case ROWS_BEHIND: /* (operator, channels, strides, rows, ...) */
        elements[0] = elements[2] = argument[1] * argument[4];
        return true;
    case TWO_SHAPES: { /* (operator, count, sizes, count, sizes, ...), aligned at their ends */
        const size_t *a = (const size_t *)argument[2], *b = (const size_t *)argument[4];
        size_t of_a = argument[1], of_b = argument[3];
        if (of_a > DIMS_MAX || of_b > DIMS_MAX)
            return false;
        elements[0] = product(a, of_a), elements[1] = product(b, of_b), elements[2] = 1;
        for (size_t i = 1; i <= of_a || i <= of_b; i++) {
            size_t x = i <= of_a ? a[of_a - i] : 1, y = i <= of_b ? b[of_b - i] : 1;
            elements[2] *= x == 1 ? y : x;
        }
        return true;
    }
    case PERMUTED: /* (operator, count, sizes, order, ...) */
        if (argument[1] > DIMS_MAX)
            return false;
        elements[0] = elements[2] = product((const size_t *)argument[2], argument[1]);
        return true;
    case REDUCED: { /* (operator, number of axes, axes, count, sizes, ...) */
        const int64_t *axes = (const int64_t *)argument[2];
        const size_t *dims = (const size_t *)argument[4];
        size_t rank = argument[3];
        if (rank > DIMS_MAX || argument[1] > rank)
            return false;
        uint64_t reduced = 1;
        for (size_t i = 0; i < argument[1]; i++) {
            int64_t axis = axes[i] < 0 ? axes[i] + (int64_t)rank : axes[i];
            if (axis < 0 || axis >= (int64_t)rank)
                return false;
            reduced *= dims[axis];
        }
        elements[0] = product(dims, rank);
        elements[2] = reduced ? elements[0] / reduced : 0;
        return true;
    }
    case IMAGES: { /* (operator, batch, height, width, channels, strides, where the output's sizes go, ...) */
        const size_t *height = (const size_t *)argument[7], *width = (const size_t *)argument[8];
        if (!height || !width)
            return false;
        elements[0] = argument[1] * argument[2] * argument[3] * argument[4];
        elements[2] = argument[1] * *height * *width * argument[4];
        return true;
    }
    }
    return false;
}

tvg_any_function tvg_hook_xnn_create_other, tvg_hook_xnn_reshape_other, tvg_hook_xnn_setup_other;

TVG_HOOK_BODY uintptr_t tvg_hook_xnn_create_other(uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e, uintptr_t f, struct tvg_stack_arguments rest)
{
    TVG_TAKE_ENTRY(entry);
    uintptr_t status = TVG_FUNCTION(tvg_any_function, tvg_target(entry, NULL))(a, b, c, d, e, f, rest);
    int saved = errno;
    const struct family *family = family_of(entry->name + strlen("xnn_create_"));
    if ((uint32_t)status == SUCCESS && family) {
        uintptr_t argument[ARGUMENTS];
        tvg_gather_arguments(argument, ARGUMENTS, a, b, c, d, e, f, &rest);
        struct tvg_xnn_other *other = remember(*(void *const *)argument[family->made]);
        if (other) {
            other->type_a = type_of(argument[family->input_type]);
            other->type_c = type_of(argument[family->output_type]);
        }
    }
    errno = saved;
    return status;
}

TVG_HOOK_BODY uintptr_t tvg_hook_xnn_reshape_other(uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e, uintptr_t f, struct tvg_stack_arguments rest)
{
    TVG_TAKE_ENTRY(entry);
    void *const target = tvg_target(entry, NULL);
    uintptr_t status = TVG_FUNCTION(tvg_any_function, target)(a, b, c, d, e, f, rest);
    int saved = errno;
    const char *name = entry->name + strlen("xnn_reshape_");
    const struct family *family = family_of(name);
    struct tvg_xnn_other *other = tvg_registry_get(&known, (const void *)a);
    uint64_t width = 0, elements[3];
    if (!other && family && !family->made)
        other = remember((const void *)a);
    for (size_t i = 0; other && !family->made && i < sizeof forms / sizeof *forms; i++)
        if (strcmp(name + strlen(family->name), forms[i].suffix) == 0)
            other->type_a = forms[i].a, other->type_c = forms[i].c, width = forms[i].bytes;
    if (other && (uint32_t)status == SUCCESS) {
        uintptr_t argument[ARGUMENTS];
        tvg_gather_arguments(argument, ARGUMENTS, a, b, c, d, e, f, &rest);
        struct tvg_op op = {.library = tvg_object_name(tvg_inline_code(target), NULL), .function = name, .net = TVG_NET_INLINE, .device = -1, .kind = family->kind,
                            .type_a = other->type_a, .type_b = family->setup_b ? other->type_a : TVG_TYPE_NONE, .type_c = other->type_c, .flags = TVG_OP_FLOP_GIVEN};
        if (other->type_a != other->type_c && family->kind == TVG_KIND_ELEMENTWISE)
            op.kind = tvg_type_info(other->type_c)->is_integer ? TVG_KIND_QUANTIZE : TVG_KIND_DEQUANTIZE;
        other->shaped = count(elements, family, argument) && (width || (op.type_a != TVG_TYPE_NONE && op.type_c != TVG_TYPE_NONE));
        if (other->shaped) {
            op.bytes_a = width ? width * elements[0] : tvg_type_bytes(op.type_a, elements[0]);
            op.bytes_b = elements[1] ? tvg_type_bytes(op.type_b, elements[1]) : 0;
            op.bytes_c = width ? width * elements[2] : tvg_type_bytes(op.type_c, elements[2]);
            op.bytes = op.bytes_a + op.bytes_b + op.bytes_c;
        } else
            tvg_note("found-not-catchable", name, "an operator of XNNPACK's whose sizes or types are not known: it is not recorded");
        other->op = op;
        tvg_op_count(&other->op);
    }
    errno = saved;
    return status;
}

TVG_HOOK_BODY uintptr_t tvg_hook_xnn_setup_other(uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e, uintptr_t f, struct tvg_stack_arguments rest)
{
    TVG_TAKE_ENTRY(entry);
    struct tvg_xnn_other *other = tvg_registry_get(&known, (const void *)a);
    const struct family *family = family_of(entry->name + strlen("xnn_setup_"));
    if (other && family) {
        const uintptr_t argument[] = {0, b, c, d};
        other->a = (const void *)argument[family->setup_a];
        other->b = (const void *)argument[family->setup_b];
        other->c = (const void *)argument[family->setup_c];
    }
    return TVG_FUNCTION(tvg_any_function, tvg_target(entry, NULL))(a, b, c, d, e, f, rest);
}
