/* From the operations of a cuDNN graph to one op. See cudnn_graph.h. */
#include "cudnn_graph.h"

#include <stddef.h>

enum { CONVOLUTION_FORWARD = 10, CONVOLUTION_FILTER = 11, CONVOLUTION_DATA = 12, POINTWISE = 13, MATMUL = 19, REDUCTION = 22, ATTENTION = 41, EXPERTS = 42,
       ATTENTION_BACKWARD = 43, SOFTMAX = 45, EXPERTS_BACKWARD = 48 };
enum { ADD = 0, MUL = 1, ACTIVATION_FIRST = 100, RELU = 100, GELU = 104, SWISH = 106, GELU_TANH = 107, ACTIVATION_LAST = 207, COMPARISON_FIRST = 300,
       GREATER_EQUAL = 303, COMPARISON_LAST = 305, GENERATE_INDEX = 501 };
/* Operands: what is read and written of most operations, and of attention. */
enum { X = 0, W = 1, Y = 2, MORE = 3 };
enum { Q = 0, K = 1, V = 2, O = 3, STATISTICS = 4, DQ = 5, DK = 6, DV = 7, DO = 8 };

/* By descriptor: what an operation is, and how much it says about its graph: the greatest weight names it. A bit for each operand that is written. */
static const struct operation {
    int32_t kind;
    uint16_t op_kind, written;
    uint8_t weight;
} operations[] = {
    {CONVOLUTION_FORWARD, TVG_KIND_CONV, 1 << Y, 8}, {CONVOLUTION_FILTER, TVG_KIND_CONV, 1 << Y, 8}, {CONVOLUTION_DATA, TVG_KIND_CONV, 1 << Y, 8},
    {ATTENTION, TVG_KIND_ATTENTION, 1 << O | 1 << STATISTICS, 9}, {ATTENTION_BACKWARD, TVG_KIND_ATTENTION, 1 << DQ | 1 << DK | 1 << DV, 9},
    {MATMUL, TVG_KIND_GEMM, 1 << Y, 8}, {EXPERTS, TVG_KIND_GEMM, 1 << Y, 8}, {EXPERTS_BACKWARD, TVG_KIND_GEMM, 1 << Y, 8},
    {29, TVG_KIND_NORM, 1 << Y, 7}, {30, TVG_KIND_NORM, 1 << Y, 7},                         /* norm, backward */
    {14, TVG_KIND_NORM, 1 << Y, 6}, {20, TVG_KIND_NORM, 1 << Y, 6}, {23, TVG_KIND_NORM, 1 << Y, 6}, /* statistics of a batch, in parts */
    {SOFTMAX, TVG_KIND_SOFTMAX, 1 << Y, 5},
    {25, TVG_KIND_POOL, 1 << Y, 5}, {26, TVG_KIND_POOL, 1 << Y, 5},                         /* resample, backward */
    {49, TVG_KIND_ROPE, 1 << Y, 5}, {50, TVG_KIND_ROPE, 1 << Y, 5},
    {36, TVG_KIND_QUANTIZE, 1 << Y | 1 << MORE, 4}, {37, TVG_KIND_DEQUANTIZE, 1 << Y, 4},   /* by blocks */
    {REDUCTION, TVG_KIND_REDUCE, 1 << Y, 3},
    {POINTWISE, TVG_KIND_ELEMENTWISE, 1 << Y, 2},
    {44, TVG_KIND_ELEMENTWISE, 1 << Y, 2}, {33, TVG_KIND_ELEMENTWISE, 1 << Y, 2},           /* band mask, random numbers */
    {46, TVG_KIND_TRANSPOSE, 1 << Y, 1},
    {27, TVG_KIND_COPY, 1 << Y, 1}, {31, TVG_KIND_COPY, 1 << Y, 1}, {35, TVG_KIND_COPY, 1 << Y, 1}, /* concatenate, reshape, load of a paged cache */
    {39, TVG_KIND_COPY, 1 << Y, 1}, {40, TVG_KIND_COPY, 1 << Y, 1}, {47, TVG_KIND_COPY, 1 << Y, 1}, /* band matrix expanded, contracted; slice */
    {28, TVG_KIND_SYNC, 0, 0},                                                              /* signal */
};

/* By attribute: where its tensor goes. */
static const struct { int16_t name; uint8_t place; } places[] = {
    {704, X}, {703, W}, {705, Y}, {711, X}, {709, W}, {710, Y}, {716, X}, {717, W}, {715, Y}, /* convolution, backward data, backward filter: as they are read */
    {751, X}, {752, W}, {753, Y}, {756, Y}, {757, W}, {758, MORE},                           /* pointwise */
    {1520, X}, {1521, W}, {1522, Y}, {2902, X}, {2903, W}, {2905, Y}, {2952, X}, {2955, W}, {2953, Y}, /* product, by experts, backward */
    {1610, X}, {1611, Y}, {1710, X}, {1711, Y}, {1721, X}, {1720, Y},                        /* reduction, resample */
    {2002, X}, {2005, W}, {2006, MORE}, {2013, Y}, {2101, X}, {2104, W}, {2105, MORE}, {2109, Y}, {772, X}, {773, Y}, {782, X}, {792, Y}, /* norm */
    {3100, X}, {3101, Y}, {3400, X}, {3402, W}, {3401, Y}, {3410, X}, {3412, W}, {3411, Y},  /* softmax, rotary embedding */
    {1801, X}, {1803, Y}, {1950, X}, {1953, W}, {1951, Y}, {2200, X}, {2201, Y}, {3200, X}, {3201, Y}, {3300, X}, {3301, Y}, {2250, X}, {2251, Y}, {2270, X}, {2271, Y},
    {2310, Y}, {3000, X}, {3005, W}, {3006, Y},
    {2500, X}, {2501, Y}, {2502, MORE}, {2600, X}, {2601, W}, {2602, Y},                     /* blocks and their scales */
    {2800, Q}, {2801, K}, {2802, V}, {2803, O}, {2804, STATISTICS},                          /* attention */
    {2851, Q}, {2852, K}, {2853, V}, {2854, O}, {2855, STATISTICS}, {2859, DQ}, {2860, DK}, {2861, DV}, {2862, DO},
};

int tvg_cudnn_place(int name)
{
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (places[i].name == name)
            return places[i].place;
    return -1;
}

bool tvg_cudnn_makes_unsure(int name)
{
    static const int16_t names[] = {913 /* ragged */, 1525, 1526, 1527 /* true m, n, k */, 2809, 2810, 2820, 2821, 2857, 2858 /* lengths of sequences */,
                                    2811, 2806, 2867 /* masks */, 1011 /* other sizes for one run */};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i] == name)
            return true;
    return false;
}

static const struct operation *operation_of(const struct tvg_cudnn_descriptor *descriptor)
{
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
        if (operations[i].kind == descriptor->kind)
            return &operations[i];
    return NULL;
}

static const struct tvg_cudnn_tensor *tensor_of(const struct tvg_cudnn_descriptor *descriptor, int place) { return &descriptor->operand[place].tensor; }

static bool put_product(struct tvg_op *op, const struct tvg_cudnn_descriptor *product)
{
    const struct tvg_cudnn_tensor *a = tensor_of(product, X), *b = tensor_of(product, W), *c = tensor_of(product, Y);
    if (a->rank < 2 || b->rank < 2 || c->rank < 2)
        return false;
    const int64_t rows = c->dim[c->rank - 2], columns = c->dim[c->rank - 1];
    op->k = a->dim[a->rank - 1];
    if (product->kind == EXPERTS_BACKWARD) { /* tokens' x dy to the weights of all experts */
        op->m = rows, op->n = columns, op->k = a->dim[a->rank - 2];
        op->flop += 2 * tvg_cudnn_elements(a) * (uint64_t)columns;
    } else { /* each token meets one expert's weights */
        op->m = rows, op->n = columns;
        op->batch = rows * columns > 0 ? (int64_t)(tvg_cudnn_elements(c) / (uint64_t)(rows * columns)) : 0;
        op->flop += 2 * tvg_cudnn_elements(c) * (uint64_t)op->k;
    }
    op->type_a = op->type_compute = a->type, op->type_b = b->type, op->type_c = c->type;
    return true;
}

static bool put_convolution(struct tvg_op *op, const struct tvg_cudnn_descriptor *convolution)
{
    const struct tvg_cudnn_tensor *first = tensor_of(convolution, X), *second = tensor_of(convolution, W), *third = tensor_of(convolution, Y);
    if (convolution->kind == CONVOLUTION_FORWARD)
        tvg_cudnn_convolution(op, TVG_CUDNN_FORWARD, first, second, third);
    else if (convolution->kind == CONVOLUTION_DATA)
        tvg_cudnn_convolution(op, TVG_CUDNN_DATA, third, second, first);
    else
        tvg_cudnn_convolution(op, TVG_CUDNN_FILTER, first, third, second);
    return op->dim_count > 0;
}

/* [batch, heads, length, dimension] each. Forward: scores and their product with V. Backward: scores again, dV, dP, dQ, dK. */
static bool put_attention(struct tvg_op *op, const struct tvg_cudnn_tensor *q, const struct tvg_cudnn_tensor *k, const struct tvg_cudnn_tensor *v, bool causal,
                          bool backward)
{
    if (q->rank != 4 || k->rank != 4 || v->rank != 4)
        return false;
    causal = causal && q->dim[2] == v->dim[2];
    op->kind = TVG_KIND_ATTENTION;
    op->dim_count = 7;
    const int64_t dims[7] = {q->dim[0], q->dim[1], k->dim[1], q->dim[2], v->dim[2], q->dim[3], causal};
    for (int i = 0; i < 7; i++)
        op->dim[i] = dims[i];
    op->type_a = op->type_c = op->type_compute = q->type, op->type_b = k->type;
    const uint64_t rows = (uint64_t)q->dim[2], pairs = causal ? rows * (rows + 1) / 2 : rows * (uint64_t)v->dim[2], dk = (uint64_t)q->dim[3], dv = (uint64_t)v->dim[3];
    op->flop = 2 * (uint64_t)(q->dim[0] * q->dim[1]) * pairs * (backward ? 3 * dk + 2 * dv : dk + dv);
    if (backward)
        op->name = "backward";
    return true;
}

/* What a graph holds beside its main operation. */
struct content {
    const struct tvg_cudnn_descriptor *main, *first_product, *last_product;
    unsigned products, convolutions, reductions, softmaxes, indices, comparisons;
    bool causal, unsure;
};

static bool look(struct content *content, const struct tvg_cudnn_graph *graph)
{
    uint8_t weight = 0;
    for (uint32_t i = 0; i < graph->count; i++) {
        const struct tvg_cudnn_descriptor *one = graph->operation[i];
        const struct operation *operation = operation_of(one);
        if (!operation)
            return false;
        if (!content->main || operation->weight > weight) {
            content->main = one;
            weight = operation->weight;
        }
        if (operation->op_kind == TVG_KIND_GEMM) {
            content->products++;
            content->first_product = content->first_product ? content->first_product : one;
            content->last_product = one;
        }
        content->convolutions += operation->op_kind == TVG_KIND_CONV;
        content->reductions += one->kind == REDUCTION;
        content->softmaxes += one->kind == SOFTMAX;
        if (one->kind == POINTWISE) {
            content->indices += one->pointwise_mode == GENERATE_INDEX;
            content->comparisons += one->pointwise_mode >= COMPARISON_FIRST && one->pointwise_mode <= COMPARISON_LAST;
            content->causal |= one->pointwise_mode == GREATER_EQUAL;
        }
        content->unsure |= one->unsure;
    }
    /* A mask by index: row >= column is causal; any other hides what can't be told from here. */
    content->causal = content->causal && content->comparisons == 1 && content->indices == 2;
    content->unsure |= content->indices > 0 && !content->causal;
    return content->main != NULL && !graph->incomplete;
}

static uint32_t epilogue_of(const struct tvg_cudnn_descriptor *pointwise)
{
    switch (pointwise->pointwise_mode) {
    case ADD:
        if (pointwise->operand[W].not_in_memory && pointwise->operand[X].not_in_memory)
            return TVG_EPILOGUE_OTHER;
        return tvg_cudnn_elements(tensor_of(pointwise, W)) < tvg_cudnn_elements(tensor_of(pointwise, Y)) ? TVG_EPILOGUE_BIAS : TVG_EPILOGUE_SUM;
    case MUL: return TVG_EPILOGUE_SCALE;
    case RELU: return TVG_EPILOGUE_RELU;
    case GELU: case GELU_TANH: return TVG_EPILOGUE_GELU;
    case SWISH: return TVG_EPILOGUE_SILU;
    default: return TVG_EPILOGUE_OTHER;
    }
}

/* Each tensor in memory once: one that is written and read again inside counts as written. */
static void put_bytes(struct tvg_op *op, const struct content *content, const struct tvg_cudnn_graph *graph)
{
    struct { int64_t id; bool written; } seen[TVG_CUDNN_OPERATIONS * 4];
    size_t count = 0;
    op->bytes_a = op->bytes_b = op->bytes_c = op->bytes = 0;
    for (int written = 1; written >= 0; written--)
        for (uint32_t i = 0; i < graph->count; i++) {
            const struct tvg_cudnn_descriptor *one = graph->operation[i];
            for (int place = 0; place < TVG_CUDNN_OPERANDS; place++) {
                const struct tvg_cudnn_operand *operand = &one->operand[place];
                if (!operand->present || operand->not_in_memory || (operation_of(one)->written >> place & 1) != written)
                    continue;
                size_t at = 0;
                while (at < count && seen[at].id != operand->id)
                    at++;
                if (at < count || count == sizeof seen / sizeof *seen)
                    continue;
                seen[count++].id = operand->id;
                const uint64_t bytes = tvg_cudnn_bytes(&operand->tensor);
                op->bytes += bytes;
                if (written)
                    op->bytes_c += bytes;
                else if (one == content->main || operation_of(one)->op_kind == TVG_KIND_GEMM) /* attention in pieces: K and V belong to two products */
                    *(place == X ? &op->bytes_a : &op->bytes_b) += bytes;
            }
        }
}

bool tvg_cudnn_summarise(struct tvg_op *op, const struct tvg_cudnn_graph *graph)
{
    struct content content = {0};
    *op = (struct tvg_op){.on_gpu = 1, .device = -1, .flags = TVG_OP_FLOP_GIVEN | TVG_OP_BETA_ZERO};
    if (!look(&content, graph))
        return false;
    const struct tvg_cudnn_descriptor *main = content.main;
    op->kind = operation_of(main)->op_kind;
    if (content.unsure)
        op->flags |= TVG_OP_DIMS_UNSURE;
    bool understood = true, softmax = content.reductions >= 2 || content.softmaxes;
    if (main->kind == ATTENTION || main->kind == ATTENTION_BACKWARD)
        understood = put_attention(op, tensor_of(main, Q), tensor_of(main, K), tensor_of(main, V), content.causal, main->kind == ATTENTION_BACKWARD);
    else if (content.products == 2 && softmax) { /* attention spelled out: scores = Q K', softmax in pieces, scores V. K is given transposed. */
        struct tvg_cudnn_tensor k = *tensor_of(content.first_product, W);
        const int64_t length = k.rank == 4 ? k.dim[3] : 0;
        k.dim[3] = k.dim[2], k.dim[2] = length;
        understood = put_attention(op, tensor_of(content.first_product, X), &k, tensor_of(content.last_product, W), content.causal, false);
    } else if (content.products || content.convolutions) {
        for (uint32_t i = 0; i < graph->count; i++) {
            const struct tvg_cudnn_descriptor *one = graph->operation[i];
            const uint16_t kind = operation_of(one)->op_kind;
            if (kind == TVG_KIND_GEMM)
                understood &= put_product(op, one);
            else if (kind == TVG_KIND_CONV)
                understood &= put_convolution(op, one);
            else if (one->kind == POINTWISE)
                op->epilogue |= epilogue_of(one);
        }
        if (content.products + content.convolutions > 1) /* several: their FLOP are summed, no one shape is theirs */
            op->m = op->n = op->k = op->batch = 0, op->dim_count = 0, op->name = "several products";
    } else {
        const struct tvg_cudnn_tensor *x = tensor_of(main, X), *y = tensor_of(main, Y);
        op->type_a = x->type, op->type_c = y->type, op->type_compute = x->type;
        op->dim_count = y->rank;
        for (int i = 0; i < y->rank; i++)
            op->dim[i] = y->dim[i];
        if (main->kind == POINTWISE && main->pointwise_mode >= ACTIVATION_FIRST && main->pointwise_mode <= ACTIVATION_LAST)
            op->kind = TVG_KIND_ACTIVATION;
    }
    put_bytes(op, &content, graph);
    return understood;
}
