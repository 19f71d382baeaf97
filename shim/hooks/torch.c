/* PyTorch's functions of tensors: shapes, types and addresses come from the library's own C functions, found by name beside the function that
 * was caught. No layout of a C++ object is relied on, but that a tensor is passed by reference and a tuple of them lies in memory last first. */
#include "torch.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "../../trace/op.h"
#include "../intercept/inline.h"
#include "../intercept/resolve.h"

enum { DEVICE_CPU = 0, LAYOUT_STRIDED = 0, WEIGHTS_MAX = 1 << 12, WEIGHTS_PROBES = 64 };

/* Each gives 0 when it worked. On a tensor that is undefined, or has no strides, they would write to stderr: it is asked first, where that can
 * be asked. 2.7 can't: there, what may be undefined is not read. Functions below the dispatcher get no tensors without strides. */
static struct accessors {
    int (*is_defined)(const void *tensor, bool *defined);
    int (*get_dim)(const void *tensor, int64_t *rank);
    int (*get_sizes)(const void *tensor, int64_t **sizes);
    int (*get_strides)(const void *tensor, int64_t **strides);
    int (*get_dtype)(const void *tensor, int32_t *type);
    int (*get_layout)(const void *tensor, int32_t *layout);
    int (*get_device_type)(const void *tensor, int32_t *device);
    int (*get_const_data_ptr)(const void *tensor, const void **data); /* since 2.10; without it an op has no addresses */
} accessors;
static enum { UNKNOWN, COMPLETE, MISSING } state;

/* Threads that come here at the same time write the same. */
static bool find_accessors(const struct tvg_entry *entry)
{
    const struct { const char *name; size_t place; bool needed; } wanted[] = {
        {"aoti_torch_is_defined", offsetof(struct accessors, is_defined), false}, {"aoti_torch_get_dim", offsetof(struct accessors, get_dim), true},
        {"aoti_torch_get_sizes", offsetof(struct accessors, get_sizes), true}, {"aoti_torch_get_strides", offsetof(struct accessors, get_strides), true},
        {"aoti_torch_get_dtype", offsetof(struct accessors, get_dtype), true}, {"aoti_torch_get_layout", offsetof(struct accessors, get_layout), false},
        {"aoti_torch_get_device_type", offsetof(struct accessors, get_device_type), true},
        {"torch_get_const_data_ptr", offsetof(struct accessors, get_const_data_ptr), false}};
    const void *code = tvg_inline_code(tvg_target(entry, NULL));
    int found = COMPLETE;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        void *symbol = tvg_inline_symbol(code, wanted[i].name);
        memcpy((char *)&accessors + wanted[i].place, &symbol, sizeof symbol);
        if (!symbol && wanted[i].needed) {
            tvg_note("unknown-version", tvg_object_name(code, NULL), wanted[i].name);
            found = MISSING;
        }
    }
    __atomic_store_n(&state, found, __ATOMIC_RELEASE);
    return found == COMPLETE;
}

/* c10::ScalarType. */
static uint8_t type_of(int32_t type)
{
    static const uint8_t types[] = {
        TVG_TYPE_U8, TVG_TYPE_I8, TVG_TYPE_I16, TVG_TYPE_I32, TVG_TYPE_I64, TVG_TYPE_F16, TVG_TYPE_F32, TVG_TYPE_F64, TVG_TYPE_NONE, TVG_TYPE_C64,
        TVG_TYPE_C128, TVG_TYPE_BOOL, TVG_TYPE_I8, TVG_TYPE_U8, TVG_TYPE_I32, TVG_TYPE_BF16, [23] = TVG_TYPE_F8_E5M2, [24] = TVG_TYPE_F8_E4M3};
    return type >= 0 && type < (int32_t)sizeof types ? types[type] : TVG_TYPE_NONE;
}

static void read_tensor(struct tvg_torch_tensor *tensor, const void *address)
{
    bool defined = true;
    int32_t type = -1, layout = LAYOUT_STRIDED, device = -1;
    int64_t *sizes = NULL, *strides = NULL;
    tensor->rank = -1;
    tensor->type = TVG_TYPE_NONE;
    tensor->on_cpu = 0;
    tensor->data = NULL;
    if (!address || (accessors.is_defined && accessors.is_defined(address, &defined) != 0) || !defined ||
        (accessors.get_layout && accessors.get_layout(address, &layout) != 0) || layout != LAYOUT_STRIDED ||
        accessors.get_dim(address, &tensor->rank) != 0 || tensor->rank > TVG_TORCH_RANK_MAX || accessors.get_sizes(address, &sizes) != 0 ||
        accessors.get_strides(address, &strides) != 0 || accessors.get_dtype(address, &type) != 0 || accessors.get_device_type(address, &device) != 0) {
        tensor->rank = -1;
        return;
    }
    tensor->type = type_of(type);
    tensor->on_cpu = device == DEVICE_CPU;
    for (int64_t i = 0; i < tensor->rank; i++) {
        tensor->dim[i] = sizes[i];
        tensor->stride[i] = strides[i];
    }
    if (tensor->on_cpu && accessors.get_const_data_ptr)
        accessors.get_const_data_ptr(address, &tensor->data);
}

bool tvg_torch_read(const struct tvg_entry *entry, struct tvg_torch_tensor *tensor, const void *address)
{
    int known = __atomic_load_n(&state, __ATOMIC_ACQUIRE);
    tensor->rank = -1;
    if (known == COMPLETE || (known == UNKNOWN && find_accessors(entry)))
        read_tensor(tensor, address);
    return tensor->rank >= 0;
}

/* --- weights that a packed object keeps for itself --------------------------------------------------------------------------------------- */
static struct weights {
    const void *packed;
    struct tvg_torch_tensor tensor;
    bool transposed;
} weights[WEIGHTS_MAX];
static tvg_lock weights_busy;

static struct weights *weights_of(const void *packed, bool make)
{
    size_t begin = ((uintptr_t)packed >> 4) * 0x9e3779b97f4a7c15u >> 52;
    for (size_t i = 0; i < WEIGHTS_PROBES; i++) {
        struct weights *place = &weights[(begin + i) % WEIGHTS_MAX];
        const void *there = __atomic_load_n(&place->packed, __ATOMIC_ACQUIRE);
        if (there == packed)
            return place;
        if (!there)
            return make ? place : NULL;
    }
    return NULL;
}

/* PackedConvWeight<dims>::prepack: gives the packed object through `result`. */
typedef uintptr_t prepack_function(void *const *result, const void *weight, uintptr_t bias, uintptr_t stride, uintptr_t padding, uintptr_t output_padding,
                                   uintptr_t dilation, uintptr_t groups, uintptr_t transposed);
prepack_function tvg_hook_torch_prepack;
TVG_HOOK_BODY uintptr_t tvg_hook_torch_prepack(void *const *result, const void *weight, uintptr_t bias, uintptr_t stride, uintptr_t padding,
                                               uintptr_t output_padding, uintptr_t dilation, uintptr_t groups, uintptr_t transposed)
{
    TVG_TAKE_ENTRY(entry);
    struct tvg_torch_tensor shape = {.rank = -1};
    int saved = errno;
    if (__atomic_load_n(&state, __ATOMIC_ACQUIRE) == COMPLETE || find_accessors(entry))
        read_tensor(&shape, weight);
    errno = saved;
    uintptr_t returned = TVG_FUNCTION(prepack_function, tvg_target(entry, NULL))(result, weight, bias, stride, padding, output_padding, dilation, groups, transposed);
    saved = errno;
    tvg_lock_take(&weights_busy);
    struct weights *place = *result ? weights_of(*result, true) : NULL;
    if (place) { /* a packed object at the address of one that is gone takes its place */
        place->tensor = shape;
        place->transposed = (uint8_t)transposed != 0;
        __atomic_store_n(&place->packed, *result, __ATOMIC_RELEASE);
    }
    tvg_lock_drop(&weights_busy);
    errno = saved;
    return returned;
}

/* --- from shapes to an op ------------------------------------------------------------------------------------------------------------------ */
static uint64_t elements(const struct tvg_torch_tensor *tensor)
{
    uint64_t count = tensor->rank >= 0;
    for (int64_t i = 0; i < tensor->rank; i++)
        count *= (uint64_t)tensor->dim[i];
    return count;
}

/* Elements that lie in memory: an expanded dimension repeats the same ones. */
static uint64_t stored(const struct tvg_torch_tensor *tensor)
{
    uint64_t count = tensor->rank >= 0;
    for (int64_t i = 0; i < tensor->rank; i++)
        if (tensor->stride[i] != 0 || tensor->dim[i] == 0)
            count *= (uint64_t)tensor->dim[i];
    return count;
}

/* Whether a copy reorders: two dimensions lie in one order here and in the other there. */
static bool reorders(const struct tvg_torch_tensor *a, const struct tvg_torch_tensor *c)
{
    for (int64_t i = 0; a->rank == c->rank && i < a->rank; i++)
        for (int64_t j = 0; j < i; j++)
            if (a->dim[i] > 1 && a->dim[j] > 1 && a->stride[i] && a->stride[j] && c->stride[i] && c->stride[j] &&
                (a->stride[i] < a->stride[j]) != (c->stride[i] < c->stride[j]))
                return true;
    return false;
}

/* C(m,n): n is its last dimension, k that of A. Weights that are packed have no shape of their own here. */
static bool shape_product(struct tvg_op *op, const struct tvg_torch_tensor *a, const struct tvg_torch_tensor *b, const struct tvg_torch_tensor *c)
{
    if (a->rank < 1 || c->rank < 1)
        return false;
    uint64_t all = elements(c);
    op->flags |= TVG_OP_ROW_MAJOR | TVG_OP_BETA_ZERO;
    if (b->rank == 1 && a->rank == 2) {
        op->kind = TVG_KIND_GEMV;
        op->m = a->dim[0], op->n = a->dim[1], op->lda = op->n;
        return c->dim[0] == op->m;
    }
    op->k = a->dim[a->rank - 1], op->n = c->dim[c->rank - 1];
    op->m = op->n ? (int64_t)(all / (uint64_t)op->n) : 0;
    op->batch = 1;
    if (b->rank == 3 && c->rank == 3) {
        op->batch = c->dim[0], op->m = c->dim[1];
        op->flags |= TVG_OP_BATCH_STRIDED;
        op->stride_a = op->m * op->k, op->stride_b = op->k * op->n, op->stride_c = op->m * op->n;
    }
    op->lda = op->k, op->ldb = op->n, op->ldc = op->n;
    if (b->rank < 0)
        op->flags |= TVG_OP_PACKED_B;
    else if (b->rank == 2 && b->dim[0] == op->n && b->dim[1] == op->k && (op->n != op->k || b->stride[0] == 1)) {
        op->flags |= TVG_OP_TRANS_B;
        op->ldb = op->k;
    }
    return elements(a) == (uint64_t)(op->batch * op->m * op->k);
}

/* Input [N, C, spatial], weights [K, C / groups, kernel], output [N, K, spatial]; an image without N is one. */
static bool shape_convolution(struct tvg_op *op, const struct tvg_torch_tensor *x, const struct weights *kept, const struct tvg_torch_tensor *y)
{
    const struct tvg_torch_tensor *w = &kept->tensor;
    int64_t spatial = w->rank - 2, bare = x->rank == spatial + 1;
    if (spatial < 1 || spatial > 3 || x->rank != spatial + 2 - bare || y->rank != x->rank || w->dim[0] < 1 || w->dim[1] < 1)
        return false;
    if (kept->transposed) { /* each input element meets each kernel element of its channel */
        op->flags |= TVG_OP_FLOP_GIVEN;
        op->flop = 2 * elements(x) * (elements(w) / (uint64_t)w->dim[0]);
        op->bytes_a = tvg_type_bytes(op->type_a, elements(x)), op->bytes_b = tvg_type_bytes(op->type_b, elements(w));
        op->bytes_c = tvg_type_bytes(op->type_c, elements(y)), op->bytes = op->bytes_a + op->bytes_b + op->bytes_c;
        return true;
    }
    int at = 0;
    int64_t channels = x->dim[1 - bare];
    if (y->dim[1 - bare] != w->dim[0] || channels % w->dim[1])
        return false;
    op->dim_spatial = (uint8_t)spatial;
    op->dim[at++] = bare ? 1 : x->dim[0];
    op->dim[at++] = channels;
    for (int64_t i = 0; i < spatial; i++)
        op->dim[at++] = x->dim[2 - bare + i];
    op->dim[at++] = w->dim[0];
    for (int64_t i = 0; i < spatial; i++)
        op->dim[at++] = w->dim[2 + i];
    for (int64_t i = 0; i < spatial; i++)
        op->dim[at++] = y->dim[2 - bare + i];
    op->dim[at++] = channels / w->dim[1];
    op->dim_count = (uint8_t)at;
    op->flags |= TVG_OP_BETA_ZERO;
    return true;
}

static void count_bytes(struct tvg_op *op, const struct tvg_torch_tensor tensor[3])
{
    op->flags |= TVG_OP_FLOP_GIVEN;
    op->bytes_a = tvg_type_bytes(op->type_a, stored(&tensor[0]));
    op->bytes_b = tvg_type_bytes(op->type_b, stored(&tensor[1]));
    op->bytes_c = tvg_type_bytes(op->type_c, stored(&tensor[2]));
    if (op->kind == TVG_KIND_EMBEDDING || (op->kind == TVG_KIND_COPY && tensor[0].rank < 0)) /* of a table only the rows that were asked for are read */
        op->bytes_a = op->bytes_c;
    op->bytes = op->bytes_a + op->bytes_b + op->bytes_c;
    const struct tvg_torch_tensor *shown = tensor[0].rank >= 0 ? &tensor[0] : &tensor[2];
    op->dim_count = (uint8_t)(shown->rank > 0 ? shown->rank : 0);
    memcpy(op->dim, shown->dim, op->dim_count * sizeof op->dim[0]);
}

void tvg_torch_describe(const struct tvg_entry *entry, const struct tvg_key *key, struct tvg_op *op)
{
    const struct tvg_torch *torch = entry->detail;
    const struct tvg_torch_call *seen = (const struct tvg_torch_call *)((const char *)key - offsetof(struct tvg_torch_call, key));
    const struct tvg_torch_tensor *a = &seen->tensor[0], *b = &seen->tensor[1], *c = &seen->tensor[2];
    op->function = torch->label;
    op->kind = torch->kind;
    op->type_a = torch->type_a ? torch->type_a : (uint8_t)a->type;
    op->type_b = torch->type_b ? torch->type_b : (uint8_t)b->type;
    op->type_c = torch->type_c ? torch->type_c : (uint8_t)c->type;
    bool counted = false, weights_alone = op->type_b && tvg_type_info(op->type_b)->is_integer && !tvg_type_info(op->type_a)->is_integer;
    if (op->kind == TVG_KIND_GEMM || op->kind == TVG_KIND_CONV) /* weights that alone are integers are multiplied in the type of A */
        op->type_compute = torch->type_compute ? torch->type_compute : op->type_b && !weights_alone ? op->type_b : op->type_a;
    if (op->kind == TVG_KIND_GEMM) {
        counted = shape_product(op, a, b, c);
    } else if (op->kind == TVG_KIND_CONV) {
        const struct weights *kept = (const struct weights *)(uintptr_t)key->word[4];
        const struct weights given = {.tensor = *b};
        counted = shape_convolution(op, a, kept ? kept : &given, c);
    } else {
        if (op->kind == TVG_KIND_COPY && a->rank >= 0 && reorders(a, c))
            op->kind = TVG_KIND_TRANSPOSE;
        count_bytes(op, seen->tensor);
        op->bytes += seen->also_bytes;
        counted = true;
    }
    if (!counted) {
        op->flags |= TVG_OP_DIMS_UNSURE;
        count_bytes(op, seen->tensor);
        tvg_note("found-not-catchable", torch->label, "its operands have shapes that are not understood: its FLOP are not counted");
    }
}

/* --- one call -------------------------------------------------------------------------------------------------------------------------------- */
/* An optional value is followed by whether there is one. */
static uint64_t bytes_at(uintptr_t address)
{
    const void *place = (const void *)(address & ~(uintptr_t)1);
    struct tvg_torch_tensor tensor;
    if (address & 1 && (!accessors.is_defined || !((const bool *)place)[sizeof(void *)]))
        return 0;
    read_tensor(&tensor, place);
    return tvg_type_bytes((unsigned)tensor.type, stored(&tensor));
}

void tvg_torch_before(struct tvg_torch_call *seen, const struct tvg_entry *entry, const struct tvg_torch_operands *operands)
{
    int saved = errno;
    seen->entry = entry;
    seen->also_bytes = 0;
    seen->key.word[4] = operands->packed ? (uintptr_t)weights_of(operands->packed, false) : 0;
    int known = __atomic_load_n(&state, __ATOMIC_ACQUIRE);
    if (known == COMPLETE || (known == UNKNOWN && find_accessors(entry))) {
        read_tensor(&seen->tensor[0], operands->a);
        read_tensor(&seen->tensor[1], operands->b);
        for (const uintptr_t *also = operands->also; *also; also++)
            seen->also_bytes += bytes_at(*also);
    } else
        seen->entry = NULL;
    errno = saved;
}

static void mix(uint64_t hash[2], uint64_t value)
{
    hash[0] = (hash[0] ^ value) * 0x9e3779b97f4a7c15u;
    hash[0] ^= hash[0] >> 29;
    hash[1] = (hash[1] + value) * 0xc2b2ae3d27d4eb4fu;
    hash[1] ^= hash[1] >> 31;
}

void tvg_torch_after(struct tvg_torch_call *seen, struct tvg_call *call, const void *caller, uint64_t start, uint64_t end, const void *c)
{
    if (!seen->entry)
        return;
    int saved = errno;
    struct tvg_torch_tensor *tensor = seen->tensor;
    read_tensor(&tensor[2], c);
    bool any = false, elsewhere = false; /* what copies from or to a device, or computes on one, is not this processor's work */
    for (int i = 0; i < 3; i++) {
        any |= tensor[i].rank >= 0;
        elsewhere |= tensor[i].rank >= 0 && !tensor[i].on_cpu;
    }
    if (any && !elsewhere) {
        uint64_t hash[2] = {1, 2};
        for (int i = 0; i < 3; i++) {
            mix(hash, (uint64_t)(tensor[i].rank << 8 | tensor[i].type));
            for (int64_t j = 0; j < tensor[i].rank; j++) {
                mix(hash, (uint64_t)tensor[i].dim[j]);
                mix(hash, (uint64_t)tensor[i].stride[j]);
            }
        }
        seen->key.word[0] = seen->entry->number;
        seen->key.word[1] = hash[0];
        seen->key.word[2] = hash[1];
        seen->key.word[3] = seen->also_bytes;
        const struct weights *kept = (const struct weights *)(uintptr_t)seen->key.word[4];
        for (int64_t j = 0; kept && j < kept->tensor.rank; j++) /* the place stays, the weights in it may be others by now */
            seen->key.word[3] = (seen->key.word[3] ^ (uint64_t)kept->tensor.dim[j]) * 0x9e3779b97f4a7c15u;
        seen->key.word[5] = (uintptr_t)caller;
        uint16_t kind = ((const struct tvg_torch *)seen->entry->detail)->kind;
        if (kind != TVG_KIND_GEMM && kind != TVG_KIND_CONV)
            tvg_guard.beside++;
        call->start = start;
        tvg_call_end_at(call, tvg_slot_find(call, seen->entry, &seen->key), end, tensor[0].data, tensor[1].data, tensor[2].data);
    }
    errno = saved;
}
