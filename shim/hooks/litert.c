/* Models that a program runs by LiteRT's C library: stripped, but its interface tells each node of a model with its tensors. They are read once, when
 * the model is compiled; a run's time is shared out among them (share.h). */
#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include "../intercept/inline.h"
#include "../intercept/resolve.h"
#include "../intercept/wrapper.h"
#include "../record/record.h"
#include "registry.h"
#include "share.h"
#include "tflite.h"

enum { STATUS_OK = 0, NODES_MAX = 4096, MODELS_MAX = 64, SIGNATURES_MAX = 16, IF = 118, WHILE = 119 };

/* LiteRtRankedTensorType. A dimension below 0 is not known before the run. */
struct ranked {
    int32_t type;
    uint32_t rank : 7, has_strides : 1;
    int32_t dimension[8];
    uint32_t stride[8];
};

/* A tensor as TensorFlow Lite has it, for tvg_tflite_describe. */
struct view {
    struct tvg_tflite_layout layout;
    struct { int32_t size, value[TVG_TFLITE_RANK_MAX]; } dims;
};

struct graph {
    uint32_t count;
    uint64_t weight;
    struct { uint32_t op_id, weight; const void *a, *b, *c; } node[NODES_MAX];
};
static struct tvg_registry graphs; /* by compiled model, plus the signature's number */
static struct tvg_pool pool = TVG_POOL(struct graph, MODELS_MAX);

/* What the library is asked by: found beside the function that was called. */
static struct {
    int (*model_signature)(void *model, size_t index, void **signature);
    int (*signature_subgraph)(void *signature, void **subgraph);
    int (*count_ops)(void *subgraph, size_t *count);
    int (*op)(void *subgraph, size_t index, void **op);
    int (*op_code)(void *op, int *code);
    int (*count_inputs)(void *op, size_t *count);
    int (*op_input)(void *op, size_t index, void **tensor);
    int (*count_outputs)(void *op, size_t *count);
    int (*op_output)(void *op, size_t index, void **tensor);
    int (*ranked_type)(void *tensor, struct ranked *type);
    int (*tensor_weights)(void *tensor, void **weights);
    int (*weights_bytes)(void *weights, const void **address, size_t *size);
    int (*elsewhere)(void *compiled, bool *all);
} api;

/* Operators by their numbers in the model file: products by TensorFlow Lite's name, the others by what kind of work they are. */
static const struct { const char *name; uint8_t kind; } operators[] = {
    [0] = {"add", TVG_KIND_ELEMENTWISE}, [1] = {"average_pool", TVG_KIND_POOL}, [2] = {"concatenation", TVG_KIND_COPY}, [3] = {"conv", 0},
    [4] = {"depthwise_conv", 0}, [6] = {"dequantize", TVG_KIND_DEQUANTIZE}, [7] = {"embedding_lookup", TVG_KIND_EMBEDDING}, [9] = {"fully_connected", 0},
    [14] = {"logistic", TVG_KIND_ACTIVATION}, [16] = {"lstm", 0}, [17] = {"max_pool", TVG_KIND_POOL}, [18] = {"mul", TVG_KIND_ELEMENTWISE},
    [19] = {"relu", TVG_KIND_ACTIVATION}, [21] = {"relu6", TVG_KIND_ACTIVATION}, [22] = {"reshape", TVG_KIND_COPY}, [24] = {"rnn", 0},
    [25] = {"softmax", TVG_KIND_SOFTMAX}, [27] = {"svdf", 0}, [28] = {"tanh", TVG_KIND_ACTIVATION}, [34] = {"pad", TVG_KIND_COPY},
    [35] = {"unidirectional_sequence_rnn", 0}, [36] = {"gather", TVG_KIND_EMBEDDING}, [39] = {"transpose", TVG_KIND_TRANSPOSE}, [40] = {"mean", TVG_KIND_REDUCE},
    [41] = {"sub", TVG_KIND_ELEMENTWISE}, [42] = {"div", TVG_KIND_ELEMENTWISE}, [44] = {"unidirectional_sequence_lstm", 0},
    [46] = {"bidirectional_sequence_rnn", 0}, [52] = {"bidirectional_sequence_lstm", 0}, [67] = {"transpose_conv", 0}, [74] = {"sum", TVG_KIND_REDUCE},
    [114] = {"quantize", TVG_KIND_QUANTIZE}, [117] = {"hard_swish", TVG_KIND_ACTIVATION}, [126] = {"batch_matmul", 0}, [132] = {"conv3d", 0},
    [141] = {"conv3d_transpose", 0},
};

static bool find_functions(const void *code)
{
    static enum { UNTRIED, READY, UNKNOWN } state;
    const struct { const char *name; void *place; bool spared; } wanted[] = {
        {"LiteRtGetModelSignature", &api.model_signature, false}, {"LiteRtGetSignatureSubgraph", &api.signature_subgraph, false},
        {"LiteRtGetNumSubgraphOps", &api.count_ops, false}, {"LiteRtGetSubgraphOp", &api.op, false}, {"LiteRtGetOpCode", &api.op_code, false},
        {"LiteRtGetNumOpInputs", &api.count_inputs, false}, {"LiteRtGetOpInput", &api.op_input, false}, {"LiteRtGetNumOpOutputs", &api.count_outputs, false},
        {"LiteRtGetOpOutput", &api.op_output, false}, {"LiteRtGetRankedTensorType", &api.ranked_type, false},
        {"LiteRtGetTensorWeights", &api.tensor_weights, false}, {"LiteRtGetWeightsBytes", &api.weights_bytes, false},
        {"LiteRtCompiledModelIsNonCpuFullyAccelerated", &api.elsewhere, true},
    };
    if (state != UNTRIED)
        return state == READY;
    void *handle = tvg_library_handle(code);
    state = READY;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted && state == READY; i++) {
        void *symbol = handle ? dlsym(handle, wanted[i].name) : NULL;
        memcpy(wanted[i].place, &symbol, sizeof symbol);
        if (!symbol && !wanted[i].spared) {
            tvg_note("unknown-version", "LiteRT", wanted[i].name);
            state = UNKNOWN;
        }
    }
    return state == READY;
}

/* False for a tensor without known sizes. */
static bool look_at(struct view *view, void *tensor)
{
    struct ranked type;
    void *weights;
    uint64_t elements = 1;
    memset(view, 0, sizeof *view);
    if (!tensor || api.ranked_type(tensor, &type) != STATUS_OK || type.rank > TVG_TFLITE_RANK_MAX)
        return false;
    view->layout.type = type.type;
    view->dims.size = type.rank;
    for (int i = 0; i < (int)type.rank; i++) {
        if (type.dimension[i] < 0)
            return false;
        view->dims.value[i] = type.dimension[i];
        elements *= (uint64_t)type.dimension[i];
    }
    view->layout.dims = (const struct tvg_tflite_dims *)&view->dims;
    view->layout.bytes = tvg_type_bytes(tvg_tflite_type(type.type), elements);
    size_t size = 0;
    if (api.tensor_weights(tensor, &weights) != STATUS_OK || api.weights_bytes(weights, &view->layout.data, &size) != STATUS_OK || size == 0)
        view->layout.data = NULL;
    return true;
}

/* The node that is being described; compiling holds the lock. */
static struct {
    struct view input[TVG_TFLITE_INPUTS_MAX], output[2];
    bool has_input[TVG_TFLITE_INPUTS_MAX], has_output[2];
} now;
static tvg_lock describing;

static const void *input_of(const void *context, const void *node, int index)
{
    (void)context, (void)node;
    return index >= 0 && index < TVG_TFLITE_INPUTS_MAX && now.has_input[index] ? &now.input[index].layout : NULL;
}

static const void *output_of(void *context, const void *node, int index)
{
    (void)context, (void)node;
    return index >= 0 && index < 2 && now.has_output[index] ? &now.output[index].layout : NULL;
}

/* False where a size is not known. */
static bool gather(void *op)
{
    size_t inputs = 0, outputs = 0;
    memset(&now, 0, sizeof now);
    if (api.count_inputs(op, &inputs) != STATUS_OK || api.count_outputs(op, &outputs) != STATUS_OK)
        return false;
    for (size_t i = 0; i < inputs && i < TVG_TFLITE_INPUTS_MAX; i++) {
        void *tensor = NULL;
        if (api.op_input(op, i, &tensor) == STATUS_OK && tensor && !(now.has_input[i] = look_at(&now.input[i], tensor)))
            return false;
    }
    for (size_t i = 0; i < outputs && i < 2; i++) {
        void *tensor = NULL;
        if (api.op_output(op, i, &tensor) == STATUS_OK && tensor && !(now.has_output[i] = look_at(&now.output[i], tensor)))
            return false;
    }
    return true;
}

static void describe_plain(struct tvg_op *op, uint8_t kind)
{
    op->kind = kind;
    op->flags |= TVG_OP_FLOP_GIVEN; /* none */
    for (int i = 0; i < TVG_TFLITE_INPUTS_MAX; i++)
        *(i == 0 ? &op->bytes_a : &op->bytes_b) += now.has_input[i] ? now.input[i].layout.bytes : 0;
    if (kind == TVG_KIND_EMBEDDING) /* rows are gathered: the table is not read whole */
        op->bytes_a = op->bytes_b = now.output[0].layout.bytes;
    op->bytes_c = now.output[0].layout.bytes;
    op->bytes = op->bytes_a + op->bytes_b + op->bytes_c;
    op->type_a = now.has_input[0] ? tvg_tflite_type(now.input[0].layout.type) : TVG_TYPE_NONE;
    op->type_c = now.has_output[0] ? tvg_tflite_type(now.output[0].layout.type) : TVG_TYPE_NONE;
    op->dim_count = (uint8_t)now.output[0].dims.size;
    for (int i = 0; i < now.output[0].dims.size; i++)
        op->dim[i] = now.output[0].dims.value[i];
}

/* Why the graph can't be counted; NULL: it is in `graph`. */
static const char *read_graph(struct graph *graph, void *subgraph, const char *library)
{
    const struct tvg_tflite_node node = {.input = input_of, .output = output_of};
    size_t count = 0;
    if (api.count_ops(subgraph, &count) != STATUS_OK || count == 0 || count > NODES_MAX)
        return "a model without nodes, or with too many: it is not counted";
    for (size_t i = 0; i < count; i++) {
        void *at = NULL;
        int code = -1;
        if (api.op(subgraph, i, &at) != STATUS_OK || api.op_code(at, &code) != STATUS_OK || code < 0)
            return "a node that can't be read: its model is not counted";
        if (code == IF || code == WHILE)
            return "a model with branches or loops: how often they run is not known, and it is not counted";
        if (!gather(at))
            return "a model with open sizes: it is not counted";
        const char *name = code < (int)(sizeof operators / sizeof *operators) && operators[code].name ? operators[code].name : NULL;
        struct tvg_op op = {.library = library, .function = name ? name : "other", .net = TVG_NET_SYMBOL, .device = -1};
        const void *operand[3] = {now.input[0].layout.data, NULL, NULL};
        if (!name || operators[code].kind)
            describe_plain(&op, name ? operators[code].kind : TVG_KIND_OTHER);
        else if (!tvg_tflite_describe(&op, operand, name, &node))
            return "a product whose tensors don't fit it: its model is not counted";
        op.flags |= TVG_OP_TIME_SHARED;
        tvg_op_count(&op);
        graph->node[i].op_id = tvg_op_intern(&op);
        graph->node[i].weight = tvg_share_weight(&op);
        graph->node[i].a = operand[0], graph->node[i].b = operand[1], graph->node[i].c = operand[2];
        graph->weight += graph->node[i].weight;
    }
    graph->count = (uint32_t)count;
    return NULL;
}

static const void *key_of(const void *compiled, size_t signature) { return (const char *)compiled + signature; }

static void forget(const void *compiled)
{
    for (size_t i = 0; i < SIGNATURES_MAX; i++)
        tvg_pool_give(&pool, tvg_registry_take(&graphs, key_of(compiled, i)));
}

/* A model has been compiled. One that an accelerator runs as a whole is none of this processor's. */
static void learn(void *model, void *compiled, const void *code)
{
    bool elsewhere = false;
    const char *library = tvg_object_name(code, NULL), *why = NULL;
    if (!find_functions(code) || (api.elsewhere && api.elsewhere(compiled, &elsewhere) == STATUS_OK && elsewhere))
        return;
    tvg_lock_take(&describing);
    for (size_t i = 0; i < SIGNATURES_MAX && !why; i++) {
        void *signature = NULL, *subgraph = NULL;
        if (api.model_signature(model, i, &signature) != STATUS_OK || api.signature_subgraph(signature, &subgraph) != STATUS_OK)
            break;
        struct graph *graph = tvg_pool_take(&pool);
        why = graph ? read_graph(graph, subgraph, library) : "more models than there is room for: not all are counted";
        if (!graph)
            break;
        tvg_pool_give(&pool, why ? graph : tvg_registry_put(&graphs, key_of(compiled, i), graph));
    }
    tvg_lock_drop(&describing);
    if (why)
        tvg_note("found-not-catchable", "LiteRT", why);
}

static void record(const struct graph *graph, uint64_t start, uint64_t end)
{
    struct tvg_share share = {start, end, graph->weight, 0};
    for (uint32_t i = 0; i < graph->count; i++) {
        uint64_t until = tvg_share_next(&share, graph->node[i].weight);
        tvg_op_record(graph->node[i].op_id, start, until, graph->node[i].a, graph->node[i].b, graph->node[i].c);
        start = until;
    }
}

typedef int create_function(void *environment, void *model, void *options, void **compiled);
create_function tvg_hook_LiteRtCreateCompiledModel;
TVG_HOOK_BODY int tvg_hook_LiteRtCreateCompiledModel(void *environment, void *model, void *options, void **compiled)
{
    TVG_TAKE_ENTRY(entry);
    void *const target = tvg_target(entry, __builtin_return_address(0));
    int status = TVG_FUNCTION(create_function, target)(environment, model, options, compiled);
    int saved = errno;
    /* Where TensorFlow Lite's own functions can be caught, products are seen with their own times. */
    if (status == STATUS_OK && !tvg_inline_symbol(target, "_ZN6tflite8GetInputEPK13TfLiteContextPK10TfLiteNodei"))
        learn(model, *compiled, target);
    errno = saved;
    return status;
}

typedef void destroy_function(void *compiled);
destroy_function tvg_hook_LiteRtDestroyCompiledModel;
TVG_HOOK_BODY void tvg_hook_LiteRtDestroyCompiledModel(void *compiled)
{
    TVG_TAKE_ENTRY(entry);
    forget(compiled);
    TVG_FUNCTION(destroy_function, tvg_target(entry, __builtin_return_address(0)))(compiled);
}

typedef int resize_function(void *compiled, size_t signature, size_t input, const int *dims, size_t count);
resize_function tvg_hook_LiteRtCompiledModelResizeInputTensor;
TVG_HOOK_BODY int tvg_hook_LiteRtCompiledModelResizeInputTensor(void *compiled, size_t signature, size_t input, const int *dims, size_t count)
{
    TVG_TAKE_ENTRY(entry);
    int saved = errno;
    struct graph *graph = signature < SIGNATURES_MAX ? tvg_registry_take(&graphs, key_of(compiled, signature)) : NULL;
    if (graph)
        tvg_note("found-not-catchable", "LiteRT", "a model whose inputs were given other sizes: it is not counted from there on");
    tvg_pool_give(&pool, graph);
    errno = saved;
    return TVG_FUNCTION(resize_function, tvg_target(entry, __builtin_return_address(0)))(compiled, signature, input, dims, count);
}

#define NOTHING
/* A run, with what the function takes behind the buffers. One that goes on when it has returned is not timed. */
#define RUN(function, parameters, arguments, went_on)                                                                                      \
    typedef int function##_function(void *, size_t, size_t, void *, size_t, void * parameters);                                            \
    int tvg_hook_##function(void *compiled, size_t signature, size_t inputs, void *given, size_t outputs, void *taken parameters);         \
    TVG_HOOK_BODY int tvg_hook_##function(void *compiled, size_t signature, size_t inputs, void *given, size_t outputs, void *taken parameters) \
    {                                                                                                                                      \
        TVG_TAKE_ENTRY(entry);                                                                                                             \
        function##_function *real = TVG_FUNCTION(function##_function, tvg_target(entry, __builtin_return_address(0)));                     \
        const struct graph *graph = signature < SIGNATURES_MAX ? tvg_registry_get(&graphs, key_of(compiled, signature)) : NULL;            \
        struct tvg_call call __attribute__((cleanup(tvg_call_release)));                                                                   \
        if (!graph || !tvg_call_begin(&call, __builtin_frame_address(0)))                                                                  \
            return real(compiled, signature, inputs, given, outputs, taken arguments);                                                     \
        uint64_t start = tvg_now();                                                                                                        \
        int status = real(compiled, signature, inputs, given, outputs, taken arguments);                                                   \
        uint64_t end = tvg_now();                                                                                                          \
        int saved = errno;                                                                                                                 \
        tvg_call_release(&call); /* nodes are recorded one by one, outside the guard */                                                    \
        call.thread = NULL;                                                                                                                \
        if (status == STATUS_OK && !(went_on))                                                                                             \
            record(graph, start, end);                                                                                                     \
        errno = saved;                                                                                                                     \
        return status;                                                                                                                     \
    }
#define COMMA ,
RUN(LiteRtRunCompiledModel, NOTHING, NOTHING, false)
RUN(LiteRtRunCompiledModelWithOptions, COMMA void *more, COMMA more, false)
RUN(LiteRtRunCompiledModelAsync, COMMA bool *async, COMMA async, async && *async)
RUN(LiteRtRunCompiledModelAsyncWithOptions, COMMA bool *async COMMA void *more, COMMA async COMMA more, async && *async)
