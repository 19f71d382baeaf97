/* MNN on the CPU: each command of a session that runs is one op, whatever computes it. What it was asked for is read from the model's operator when
 * the backend makes its execution (a table of the public schema, told by field numbers); sizes come with the tensors of each call. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../intercept/inline.h"
#include "../intercept/resolve.h"
#include "../intercept/rtti.h"
#include "../intercept/wrapper.h"
#include "../record/record.h"
#include "described.h"
#include "registry.h"

enum { EXECUTIONS_MAX = 16384, RANK_MAX = 10, TENSORS_MAX = 64, EXTENSION = 13, TABLE_BYTES_MAX = 512, COMMANDS_MAX = 64 };

/* --- the schema --------------------------------------------------------------------------------------------------------------------------- */
/* Field numbers of its tables, and the values that are asked for. They are only ever appended to. */
enum { OP_MAIN_TYPE = 1, OP_MAIN = 2, OP_TYPE = 5 };
enum { CONVOLUTION_COMMON = 0, CONVOLUTION_QUANTIZED = 3, CONVOLUTION_SYMMETRIC = 4 };
enum { QUANTIZED_SCALE_IN = 5, QUANTIZED_BITS = 7 };
enum { COMMON_KERNEL_X = 2, COMMON_KERNEL_Y = 3, COMMON_GROUP = 9, COMMON_OUTPUTS = 10 };
enum { MATMUL_TRANSPOSE_A = 1, MATMUL_TRANSPOSE_B = 2 };
enum { LOOP_NUMBER = 5, LOOP_COMMANDS = 6, COMMAND_OP = 0, COMMAND_SIZE = 2 };
enum { MAIN_CONVOLUTION = 9, MAIN_MATMUL = 25, MAIN_LOOP = 92 };
enum { TYPE_MATMUL = 39 };

enum form { BEYOND, UNCOUNTED, CONVOLUTION, DECONVOLUTION, MATMUL, LOOP };
static const struct type {
    const char *name;
    int32_t number;
    uint8_t form, kind, main;
} types[] = {
    {"Convolution", 12, CONVOLUTION, TVG_KIND_CONV, MAIN_CONVOLUTION},
    {"ConvolutionDepthwise", 13, CONVOLUTION, TVG_KIND_CONV, MAIN_CONVOLUTION},
    {"ConvInt8", 513, CONVOLUTION, TVG_KIND_CONV, MAIN_CONVOLUTION},
    {"DepthwiseConvInt8", 515, CONVOLUTION, TVG_KIND_CONV, MAIN_CONVOLUTION},
    {"Deconvolution", 17, DECONVOLUTION, TVG_KIND_CONV, MAIN_CONVOLUTION},
    {"DeconvolutionDepthwise", 18, DECONVOLUTION, TVG_KIND_CONV, MAIN_CONVOLUTION},
    {"MatMul", TYPE_MATMUL, MATMUL, TVG_KIND_GEMM, MAIN_MATMUL},
    {"Loop", 600, LOOP, TVG_KIND_GEMM, MAIN_LOOP},
    {"Attention", 299, UNCOUNTED, TVG_KIND_ATTENTION, 0},
    {"LinearAttention", 305, UNCOUNTED, TVG_KIND_ATTENTION, 0},
    {"FusedLinear", 307, UNCOUNTED, TVG_KIND_OTHER, 0},
    {"MoE", 40, UNCOUNTED, TVG_KIND_OTHER, 0},
    {"RNNSequenceGRU", 105, UNCOUNTED, TVG_KIND_RNN, 0},
    {"TfQuantizedConv2D", 96, UNCOUNTED, TVG_KIND_CONV, 0},
    {"QuantizedDepthwiseConv2D", 55, UNCOUNTED, TVG_KIND_CONV, 0},
    {"Conv2DBackPropFilter", 265, UNCOUNTED, TVG_KIND_CONV, 0},
    {"Stft", 156, UNCOUNTED, TVG_KIND_OTHER, 0},
    {"Softmax", 85, BEYOND, TVG_KIND_SOFTMAX, 0},
    {"LayerNorm", 603, BEYOND, TVG_KIND_NORM, 0},
    {"BinaryOp", 7, BEYOND, TVG_KIND_ELEMENTWISE, 0},
    {"UnaryOp", 101, BEYOND, TVG_KIND_ELEMENTWISE, 0},
    {"Eltwise", 22, BEYOND, TVG_KIND_ELEMENTWISE, 0},
    {"Scale", 77, BEYOND, TVG_KIND_ELEMENTWISE, 0},
    {"ReLU", 69, BEYOND, TVG_KIND_ACTIVATION, 0},
    {"ReLU6", 70, BEYOND, TVG_KIND_ACTIVATION, 0},
    {"PReLU", 49, BEYOND, TVG_KIND_ACTIVATION, 0},
    {"Pooling", 47, BEYOND, TVG_KIND_POOL, 0},
    {"Reduction", 68, BEYOND, TVG_KIND_REDUCE, 0},
    {"Raster", 128, BEYOND, TVG_KIND_COPY, 0},
    {"FloatToInt8", 517, BEYOND, TVG_KIND_QUANTIZE, 0},
    {"Int8ToFloat", 514, BEYOND, TVG_KIND_DEQUANTIZE, 0},
};
static const struct type other_type = {"other", -1, BEYOND, TVG_KIND_OTHER, 0};

/* A flatbuffer's table: a distance back to a list of where its fields are. NULL: it is none. */
static const uint16_t *fields_of(const uint8_t *table, bool known)
{
    if (!table || (uintptr_t)table % 4 || (!known && !tvg_can_read((const void *)((uintptr_t)table & ~(uintptr_t)7), 8)))
        return NULL;
    const uint16_t *fields = (const uint16_t *)(const void *)(table - *(const int32_t *)(const void *)table);
    uintptr_t aligned = (uintptr_t)fields & ~(uintptr_t)7;
    if ((uintptr_t)fields % 2 || (!known && !tvg_can_read((const void *)aligned, 8)) || fields[0] < 4 || fields[0] > TABLE_BYTES_MAX || fields[0] % 2 ||
        fields[1] < 4 || fields[1] > TABLE_BYTES_MAX || (!known && !tvg_can_read((const void *)aligned, fields[0] + 8u)))
        return NULL;
    return fields;
}

/* Where a field lies; NULL when it has been left out. */
static const uint8_t *field(const uint8_t *table, unsigned number)
{
    const uint16_t *fields = fields_of(table, true);
    unsigned at = 4 + 2 * number, offset = fields && at < fields[0] ? fields[at / 2] : 0;
    return offset ? table + offset : NULL;
}

static int32_t number_in(const uint8_t *table, unsigned number, int32_t otherwise)
{
    const uint8_t *at = field(table, number);
    int32_t value = otherwise;
    if (at)
        memcpy(&value, at, sizeof value);
    return value;
}

static bool flag_in(const uint8_t *table, unsigned number)
{
    const uint8_t *at = field(table, number);
    return at && *at;
}

static const uint8_t *follow(const uint8_t *at)
{
    uint32_t distance;
    if (!at)
        return NULL;
    memcpy(&distance, at, sizeof distance);
    return at + distance;
}

static const uint8_t *table_in(const uint8_t *table, unsigned number)
{
    return follow(field(table, number));
}

/* --- tensors ------------------------------------------------------------------------------------------------------------------------------ */
/* MNN::Tensor begins with the public buffer of Halide. */
struct buffer {
    uint64_t device;
    const void *interface;
    const void *host;
    uint64_t flags;
    struct { int32_t code; uint8_t bits, filler; uint16_t lanes; } type;
    int32_t rank;
    const struct dimension { int32_t least, extent, stride; uint32_t flags; } *dim;
};
struct tensor {
    int rank;
    int64_t dim[RANK_MAX];
    uint64_t elements;
    uint8_t type;
    const void *data;
};
struct tensors {
    const struct buffer *const *begin, *const *end, *const *room;
};

static bool is_list(const struct tensors *list, bool known)
{
    if ((uintptr_t)list % 8 || (!known && !tvg_can_read(list, sizeof *list)))
        return false;
    size_t bytes = (size_t)((uintptr_t)list->end - (uintptr_t)list->begin);
    return list->begin <= list->end && list->end <= list->room && bytes % 8 == 0 && bytes <= TENSORS_MAX * 8 &&
           (known || bytes == 0 || tvg_can_read(list->begin, bytes));
}

static bool read_tensor(struct tensor *tensor, const struct buffer *buffer, bool known)
{
    static const struct { uint8_t code, bits, type; } names[] = {
        {0, 8, TVG_TYPE_I8}, {0, 16, TVG_TYPE_I16}, {0, 32, TVG_TYPE_I32}, {0, 64, TVG_TYPE_I64}, {1, 8, TVG_TYPE_U8},
        {2, 16, TVG_TYPE_F16}, {2, 32, TVG_TYPE_F32}, {2, 64, TVG_TYPE_F64}, {4, 16, TVG_TYPE_BF16}};
    memset(tensor, 0, sizeof *tensor);
    if (!buffer || (uintptr_t)buffer % 8 || (!known && !tvg_can_read(buffer, sizeof *buffer)) || buffer->rank < 0 || buffer->rank > RANK_MAX ||
        buffer->type.lanes != 1 || (buffer->rank > 0 && (!buffer->dim || (!known && !tvg_can_read(buffer->dim, (size_t)buffer->rank * sizeof *buffer->dim)))))
        return false;
    tensor->rank = buffer->rank;
    tensor->elements = 1;
    tensor->data = buffer->host;
    for (int i = 0; i < tensor->rank; i++) {
        if (buffer->dim[i].extent < 0)
            return false;
        tensor->dim[i] = buffer->dim[i].extent;
        tensor->elements *= (uint64_t)tensor->dim[i];
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].code == buffer->type.code && names[i].bits == buffer->type.bits)
            tensor->type = names[i].type;
    return tensor->type != TVG_TYPE_NONE;
}

/* --- executions --------------------------------------------------------------------------------------------------------------------------- */
struct execution {
    int taken;
    bool is_read;             /* what its calls pass has proved itself */
    const struct type *type;
    const uint8_t *loop;      /* the execution's own, read at each call: sizes in it may change */
    int64_t kernel_x, kernel_y, groups, outputs;
    bool trans_a, trans_b;
    uint8_t type_float, type_weights, type_compute, type_data; /* what tensors of "f32" are: data, if it is not none, else float */
};
static struct execution executions[EXECUTIONS_MAX];
static struct tvg_registry known;
/* Executions that the thread is making, one within the other: only the outermost is what a session runs. */
static __thread int making __attribute__((tls_model("initial-exec")));

static struct execution *take(void)
{
    static unsigned next;
    for (unsigned tries = 0; tries < EXECUTIONS_MAX; tries++) {
        struct execution *execution = &executions[__atomic_fetch_add(&next, 1, __ATOMIC_RELAXED) % EXECUTIONS_MAX];
        if (!__atomic_exchange_n(&execution->taken, 1, __ATOMIC_ACQUIRE))
            return execution;
    }
    tvg_note("limit", "MNN", "more executions than are remembered: those that came later are not counted");
    return NULL;
}

static void give_back(struct execution *execution)
{
    if (execution)
        __atomic_store_n(&execution->taken, 0, __ATOMIC_RELEASE);
}

/* The function that runs an execution, by the name that it was found under: virtual function 3. NULL: it is not one that is caught. */
static const char *runner_of(const void *object)
{
    enum { RUN = 3 };
    const void *const *const *execution = object;
    return tvg_can_read(object, 8) && tvg_can_read(*execution, 8 * (RUN + 1)) ? tvg_inline_name((*execution)[RUN]) : NULL;
}

/* The plain backend as an extension is the one that keeps floats in bf16; its kind stands behind its vtable. `maker`: which backend's onCreate. */
static uint8_t float_type(const void *backend, const char *maker)
{
    return strstr(maker, "10CPUBackend") && ((const int32_t *)backend)[2] == EXTENSION ? TVG_TYPE_BF16 : TVG_TYPE_F32;
}

static const struct type *type_of(const uint8_t *op)
{
    int32_t number = number_in(op, OP_TYPE, 0);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].number == number)
            return &types[i];
    return &other_type;
}

/* A product in 8 bits. Where the model says at which scale its data comes in, that is of 8 bits too; else it is quantized on the way in. */
static void read_quantized(struct execution *execution, const uint8_t *main, const uint8_t *quantized)
{
    const bool is_whole = field(main, CONVOLUTION_SYMMETRIC) || (quantized && number_in(quantized, QUANTIZED_SCALE_IN, 0));
    const int32_t bits = quantized ? number_in(quantized, QUANTIZED_BITS, 0) : 0;
    execution->type_compute = TVG_TYPE_I8;
    execution->type_data = is_whole ? TVG_TYPE_I8 : TVG_TYPE_NONE;
    execution->type_weights = is_whole || bits > 4 ? TVG_TYPE_I8 : bits > 0 ? TVG_TYPE_I4 : TVG_TYPE_NONE;
    if (execution->type_weights == TVG_TYPE_NONE)
        tvg_note("found-not-catchable", "MNN quantized weights", "the model (made before 3.1.2) does not say of how many bits they are: their bytes are not counted");
}

/* False: the operator's parameters are not those of its type. */
static bool read_op(struct execution *execution, const uint8_t *op, const char *runner, uint8_t type_float)
{
    const struct type *type = type_of(op);
    const uint8_t *main_type = field(op, OP_MAIN_TYPE), *main = table_in(op, OP_MAIN);
    *execution = (struct execution){.taken = 1, .type = type, .type_float = type_float};
    if (type->form == LOOP && (!main_type || *main_type != MAIN_LOOP)) /* the same number stands for a loop of another kind, which runs graphs */
        execution->type = &other_type;
    else if (type->main && (!main_type || *main_type != type->main || !fields_of(main, false)))
        return false;
    type = execution->type;
    execution->type_compute = execution->type_weights = execution->type_float;
    if (type->form == CONVOLUTION || type->form == DECONVOLUTION) {
        const uint8_t *common = table_in(main, CONVOLUTION_COMMON), *quantized = table_in(main, CONVOLUTION_QUANTIZED);
        if (!fields_of(common, false))
            return false;
        execution->kernel_x = number_in(common, COMMON_KERNEL_X, 1), execution->kernel_y = number_in(common, COMMON_KERNEL_Y, 1);
        execution->groups = number_in(common, COMMON_GROUP, 1), execution->outputs = number_in(common, COMMON_OUTPUTS, 0);
        if (runner && strstr(runner, "Int8"))
            read_quantized(execution, main, fields_of(quantized, false) ? quantized : NULL);
    } else if (type->form == MATMUL) {
        execution->trans_a = flag_in(main, MATMUL_TRANSPOSE_A), execution->trans_b = flag_in(main, MATMUL_TRANSPOSE_B);
    } else if (type->form == LOOP)
        execution->loop = main;
    return true;
}

static bool any_made; /* an execution */

static void made(const void *object, const uint8_t *op, uint8_t type_float)
{
    const char *runner = runner_of(object);
    struct execution read;
    __atomic_store_n(&any_made, true, __ATOMIC_RELAXED);
    if (!fields_of(op, false) || !read_op(&read, op, runner, type_float)) {
        tvg_note("unknown-version", "MNN", "an operator is laid out in an unknown way: it is not recorded");
        return;
    }
    if (read.type->form == BEYOND && !tvg_all_operations()) {
        give_back(tvg_registry_take(&known, object));
        return;
    }
    if (!runner && read.type->form != BEYOND) {
        char subject[64];
        snprintf(subject, sizeof subject, "MNN %s", read.type->name);
        tvg_note("found-not-catchable", subject, "what runs it is of no class that is known here: it is not recorded");
    }
    struct execution *execution = runner ? take() : NULL;
    if (execution) {
        *execution = read;
        give_back(tvg_registry_put(&known, object, execution));
    }
}

static void leave(const int *unused)
{
    (void)unused;
    making--;
}

/* What a wrong slot may give is passed on whole. */
typedef uintptr_t member_function(uintptr_t object, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e, uintptr_t f);

/* Calls a function that may make executions; *depth: in how many such calls it was made. In line: the hook's frame is what exceptions pass through. */
TVG_HOT uintptr_t call_maker(member_function *real, uintptr_t object, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e, uintptr_t f, int *depth)
{
    int before __attribute__((cleanup(leave))) = making++;
    *depth = before;
    return real(object, b, c, d, e, f);
}

/* Backend::onCreate(inputs, outputs, operator) */
member_function tvg_hook_mnn_create;
TVG_HOOK_BODY uintptr_t tvg_hook_mnn_create(uintptr_t backend, uintptr_t inputs, uintptr_t outputs, uintptr_t op, uintptr_t e, uintptr_t f)
{
    TVG_TAKE_ENTRY(entry);
    void *const target = tvg_target(entry, NULL);
    int depth;
    uintptr_t object = call_maker(TVG_FUNCTION(member_function, target), backend, inputs, outputs, op, e, f, &depth);
    if (depth == 0 && object) {
        int saved = errno;
        made((const void *)object, (const uint8_t *)op, float_type((const void *)backend, entry->name));
        errno = saved;
    }
    return object;
}

/* Execution::onClone(backend, operator, where the copy goes) */
member_function tvg_hook_mnn_clone;
TVG_HOOK_BODY uintptr_t tvg_hook_mnn_clone(uintptr_t object, uintptr_t backend, uintptr_t op, uintptr_t copy, uintptr_t e, uintptr_t f)
{
    TVG_TAKE_ENTRY(entry);
    void *const target = tvg_target(entry, NULL);
    int depth;
    uintptr_t done = call_maker(TVG_FUNCTION(member_function, target), object, backend, op, copy, e, f, &depth);
    const struct execution *original = tvg_registry_get(&known, (const void *)object);
    const void *const *place = (const void *const *)copy;
    if (depth == 0 && (uint8_t)done && place && *place && original) {
        int saved = errno;
        made(*place, (const uint8_t *)op, original->type_float);
        errno = saved;
    }
    return done;
}

/* The deleting destructor. */
member_function tvg_hook_mnn_delete;
TVG_HOOK_BODY uintptr_t tvg_hook_mnn_delete(uintptr_t object, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e, uintptr_t f)
{
    TVG_TAKE_ENTRY(entry);
    give_back(tvg_registry_take(&known, (const void *)object));
    return TVG_FUNCTION(member_function, tvg_target(entry, NULL))(object, b, c, d, e, f);
}

/* --- ops ---------------------------------------------------------------------------------------------------------------------------------- */
static void give(struct tvg_op *op, uint64_t flop, uint64_t a, uint64_t b, uint64_t c)
{
    op->flags |= TVG_OP_FLOP_GIVEN;
    op->flop = flop;
    op->bytes_a = tvg_type_bytes(op->type_a, a), op->bytes_b = tvg_type_bytes(op->type_b, b), op->bytes_c = tvg_type_bytes(op->type_c, c);
    op->bytes = op->bytes_a + op->bytes_b + op->bytes_c;
}

static void product(struct tvg_op *op, int64_t batch, int64_t m, int64_t n, int64_t k)
{
    op->m = m, op->n = n, op->k = k, op->batch = batch;
    op->lda = op->flags & TVG_OP_TRANS_A ? m : k, op->ldb = op->flags & TVG_OP_TRANS_B ? k : n, op->ldc = n;
}

/* Images are [N, C, height, width], whatever lies side by side in memory. */
static bool describe_convolution(struct tvg_op *op, const struct execution *execution, const struct tensor *in, const struct tensor *out, bool transposed)
{
    if (in->rank != 4 || out->rank != 4 || in->dim[0] != out->dim[0] || execution->groups < 1 || in->dim[1] < 1 || in->dim[1] % execution->groups != 0)
        return false;
    const bool is_depthwise = strstr(execution->type->name, "epthwise") != NULL;
    const int64_t groups = is_depthwise ? in->dim[1] : execution->groups, kernel = execution->kernel_x * execution->kernel_y;
    if (out->dim[1] % groups != 0 || (execution->outputs > 0 && out->dim[1] != execution->outputs))
        return false;
    if (transposed) { /* each input element meets each kernel element of its channel */
        const uint64_t weights = (uint64_t)(out->dim[1] * (in->dim[1] / groups) * kernel);
        give(op, 2 * (in->elements / (uint64_t)in->dim[1]) * weights, in->elements, weights, out->elements);
        return true;
    }
    if (kernel == 1 && groups == 1 && in->dim[2] * in->dim[3] == 1 && out->dim[2] * out->dim[3] == 1) { /* how the converter writes a product with constant weights */
        op->kind = TVG_KIND_GEMM;
        op->flags |= TVG_OP_TRANS_B;
        product(op, 1, in->dim[0], out->dim[1], in->dim[1]);
        return true;
    }
    const int64_t dim[] = {in->dim[0], in->dim[1], in->dim[2], in->dim[3], out->dim[1], execution->kernel_y, execution->kernel_x, out->dim[2], out->dim[3], groups};
    op->dim_spatial = 2;
    op->dim_count = sizeof dim / sizeof *dim;
    memcpy(op->dim, dim, sizeof dim);
    return true;
}

static bool describe_matmul(struct tvg_op *op, const struct execution *execution, const struct tensor *a, const struct tensor *b, const struct tensor *c)
{
    if (a->rank < 2 || b->rank < 2 || c->rank < 2 || c->elements == 0)
        return false;
    const int64_t rows = a->dim[a->rank - 2], columns = a->dim[a->rank - 1];
    const int64_t m = execution->trans_a ? columns : rows, k = execution->trans_a ? rows : columns;
    const int64_t n = execution->trans_b ? b->dim[b->rank - 2] : b->dim[b->rank - 1], k_too = execution->trans_b ? b->dim[b->rank - 1] : b->dim[b->rank - 2];
    if (k != k_too || m < 1 || n < 1 || c->elements % (uint64_t)(m * n) != 0)
        return false;
    op->flags |= (execution->trans_a ? TVG_OP_TRANS_A : 0) | (execution->trans_b ? TVG_OP_TRANS_B : 0);
    product(op, (int64_t)(c->elements / (uint64_t)(m * n)), m, n, k);
    return true;
}

/* A loop over commands; those that multiply matrices say m, k and n. -1: not told; 0: it has none. */
static int describe_loop(struct tvg_op *op, const struct execution *execution, const struct tensor *a, const struct tensor *b, const struct tensor *c)
{
    const uint8_t *list = table_in(execution->loop, LOOP_COMMANDS);
    const int64_t times = number_in(execution->loop, LOOP_NUMBER, 0);
    uint32_t count = 0;
    uint64_t flop = 0;
    int products = 0;
    if (list)
        memcpy(&count, list, sizeof count);
    if (count > COMMANDS_MAX || times < 0)
        return -1;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *command = follow(list + 4 + 4 * i), *inner = table_in(command, COMMAND_OP), *size = table_in(command, COMMAND_SIZE);
        uint32_t sizes = 0;
        int32_t mkn[3];
        if (!inner || number_in(inner, OP_TYPE, 0) != TYPE_MATMUL)
            continue;
        if (size)
            memcpy(&sizes, size, sizeof sizes);
        if (sizes != 3)
            return -1;
        memcpy(mkn, size + 4, sizeof mkn);
        if (mkn[0] < 0 || mkn[1] < 0 || mkn[2] < 0)
            return -1;
        const uint8_t *main = table_in(inner, OP_MAIN);
        products++;
        flop += 2 * (uint64_t)mkn[0] * (uint64_t)mkn[1] * (uint64_t)mkn[2] * (uint64_t)times;
        op->flags |= (flag_in(main, MATMUL_TRANSPOSE_A) ? TVG_OP_TRANS_A : 0) | (flag_in(main, MATMUL_TRANSPOSE_B) ? TVG_OP_TRANS_B : 0);
        product(op, times, mkn[0], mkn[2], mkn[1]);
    }
    const bool is_batched = products == 1 && c->elements == (uint64_t)(op->batch * op->m * op->n);
    if (is_batched && op->batch > 1) {
        op->flags |= TVG_OP_BATCH_STRIDED;
        op->stride_a = a->elements > (uint64_t)(op->m * op->k) ? op->m * op->k : 0;
        op->stride_b = b->elements > (uint64_t)(op->k * op->n) ? op->k * op->n : 0;
        op->stride_c = op->m * op->n;
    }
    if (!is_batched) { /* several, or one that sums into the same place again */
        op->flags &= ~(uint32_t)(TVG_OP_TRANS_A | TVG_OP_TRANS_B);
        op->kind = products ? TVG_KIND_OTHER : TVG_KIND_ELEMENTWISE;
        op->m = op->n = op->k = op->batch = op->lda = op->ldb = op->ldc = 0;
        give(op, flop, a->elements, b->elements, c->elements);
    }
    return products;
}

struct operands {
    int inputs, outputs;
    struct tensor a, b, c;
    uint64_t read, written; /* bytes of all */
};

static bool read_operands(struct operands *x, const struct tensors *inputs, const struct tensors *outputs, const struct execution *execution)
{
    memset(x, 0, sizeof *x);
    if (!is_list(inputs, execution->is_read) || !is_list(outputs, execution->is_read))
        return false;
    x->inputs = (int)(inputs->end - inputs->begin), x->outputs = (int)(outputs->end - outputs->begin);
    for (int i = 0; i < x->inputs + x->outputs; i++) {
        struct tensor tensor;
        if (!read_tensor(&tensor, i < x->inputs ? inputs->begin[i] : outputs->begin[i - x->inputs], execution->is_read))
            return execution->type->form == BEYOND && i > 0; /* handles of strings and the like */
        if (tensor.type == TVG_TYPE_F32 && execution->type_float != TVG_TYPE_NONE)
            tensor.type = execution->type_data != TVG_TYPE_NONE ? execution->type_data : execution->type_float;
        if (i == 0)
            x->a = tensor;
        else if (i == 1 && i < x->inputs)
            x->b = tensor;
        if (i == x->inputs)
            x->c = tensor;
        *(i < x->inputs ? &x->read : &x->written) += tvg_type_bytes(tensor.type, tensor.elements);
    }
    return true;
}

/* False: a loop without products, which is not recorded unless all operations are. */
static bool describe(struct tvg_op *op, const struct execution *execution, const struct operands *x)
{
    const struct type *type = execution->type;
    const bool has_weights = type->form == CONVOLUTION || type->form == DECONVOLUTION;
    bool counted = false;
    op->function = type->name;
    op->kind = type->kind;
    op->flags = TVG_OP_ROW_MAJOR | TVG_OP_BETA_ZERO;
    op->type_a = x->a.type, op->type_c = x->c.type;
    op->type_b = has_weights ? execution->type_weights : x->b.type;
    op->type_compute = has_weights ? execution->type_compute : x->a.type;
    switch ((enum form)type->form) {
    case CONVOLUTION: counted = describe_convolution(op, execution, &x->a, &x->c, false); break;
    case DECONVOLUTION: counted = describe_convolution(op, execution, &x->a, &x->c, true); break;
    case MATMUL: counted = x->inputs >= 2 && describe_matmul(op, execution, &x->a, &x->b, &x->c); break;
    case LOOP: {
        int told = describe_loop(op, execution, &x->a, &x->b, &x->c);
        if (told == 0 && !tvg_all_operations())
            return false;
        counted = told >= 0;
        break;
    }
    case BEYOND: counted = true; break;
    case UNCOUNTED: break;
    }
    if (type->form == BEYOND || !counted) {
        op->m = op->n = op->k = op->batch = 0;
        op->dim_count = op->dim_spatial = 0;
        op->flags |= TVG_OP_FLOP_GIVEN | (counted ? 0 : TVG_OP_DIMS_UNSURE);
        op->flop = 0;
        op->bytes_a = x->read, op->bytes_b = 0, op->bytes_c = x->written;
        op->bytes = x->read + x->written;
    }
    if (!counted) {
        char subject[64];
        snprintf(subject, sizeof subject, "MNN %s", type->name);
        tvg_note("found-not-catchable", subject, "its FLOP are not counted: only time and operands are known");
    }
    return true;
}

/* Execution::onExecute(inputs, outputs): 0 when it was done. */
member_function tvg_hook_mnn_execute;
TVG_HOOK_BODY uintptr_t tvg_hook_mnn_execute(uintptr_t object, uintptr_t inputs, uintptr_t outputs, uintptr_t d, uintptr_t e, uintptr_t f)
{
    TVG_TAKE_ENTRY(entry);
    member_function *const real = TVG_FUNCTION(member_function, tvg_target(entry, NULL));
    struct execution *execution = tvg_registry_get(&known, (const void *)object);
    if (!execution) /* a part of another, or no product */
        return real(object, inputs, outputs, d, e, f);
    struct tvg_call call __attribute__((cleanup(tvg_call_release)));
    if (!tvg_call_begin(&call, __builtin_frame_address(0)))
        return real(object, inputs, outputs, d, e, f);
    int saved = errno;
    struct operands operands;
    struct tvg_slot *slot = NULL;
    struct tvg_op op = {.net = entry->net, .device = -1};
    if (!read_operands(&operands, (const struct tensors *)inputs, (const struct tensors *)outputs, execution))
        tvg_note("unknown-version", "MNN", "tensors are laid out in an unknown way: what they belong to is not recorded");
    else {
        execution->is_read = true;
        if (describe(&op, execution, &operands))
            slot = tvg_slot_described(&call, entry, &op, __builtin_return_address(0));
    }
    errno = saved;
    call.start = tvg_now();
    uintptr_t status = real(object, inputs, outputs, d, e, f);
    if (slot && (uint32_t)status == 0)
        tvg_call_end(&call, slot, operands.a.data, operands.b.data, operands.c.data);
    return status;
}

/* Interpreter::runSession, Module::forward: exported by builds whose other names are stripped. */
member_function tvg_hook_mnn_run;
TVG_HOOK_BODY uintptr_t tvg_hook_mnn_run(uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e, uintptr_t f)
{
    TVG_TAKE_ENTRY(entry);
    uintptr_t result = TVG_FUNCTION(member_function, tvg_target(entry, NULL))(a, b, c, d, e, f);
    if (!__atomic_load_n(&any_made, __ATOMIC_RELAXED)) {
        int saved = errno;
        tvg_note("found-not-catchable", "MNN", "a model ran, and what runs its operators was not found by name (stripped, or a build that is not known): no product is recorded");
        tvg_recording_begin();
        errno = saved;
    }
    return result;
}
