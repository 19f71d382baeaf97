/* The model inside an OpenVINO Subgraph node ("snippets": one kernel made at run time for several operators, attention above all). The node keeps it
 * to infer shapes. It is walked through the library's own exported functions; shapes are followed through it from the node's inputs as they are in
 * memory, and must come out as the node's outputs are. */
#include <string.h>

#include "../intercept/inline.h"
#include "../intercept/rtti.h"
#include "openvino.h"

enum { NODE_WORDS = 128, INFER_WORDS = 16, SUBGRAPH_WORDS = 128, MODEL_WORDS = 64, OPERATORS_MAX = 256, INPUTS_MAX = 4 };

static const struct tvg_wanted infer_wanted = {"N2ov9intel_cpu", "SnippetShapeInferE", false},
                               subgraph_wanted = {"N2ov8snippets2op8SubgraphE", "", false}, model_wanted = {"N2ov5ModelE", "", true},
                               results_wanted = {"N2ov", "6ResultE", true}, parameters_wanted = {"N2ov", "9ParameterE", true};

/* ov::PartialShape begins: whether the rank is known, a cached fact, the dimensions. */
struct partial {
    bool has_rank;
    const void *begin, *end;
};
/* Functions of ov::Node, ov::PartialShape and ov::Dimension, which libopenvino exports. */
static struct library {
    uint64_t (*input_size)(const void *node);
    const void *(*input_node)(const void *node, uint64_t input);
    const struct partial *(*output_partial)(const void *node, uint64_t output);
    const void *(*dimension)(const struct partial *partial, int64_t from_end);
    int64_t (*least)(const void *dimension), (*most)(const void *dimension);
} library;

static bool find_library(void)
{
    static int found; /* 1: complete, -1: not */
    int known = __atomic_load_n(&found, __ATOMIC_ACQUIRE);
    if (known)
        return known > 0;
    const struct { const char *name; void *place; } wanted[] = {
        {"_ZNK2ov4Node14get_input_sizeEv", &library.input_size}, {"_ZNK2ov4Node18get_input_node_ptrEm", &library.input_node},
        {"_ZNK2ov4Node24get_output_partial_shapeEm", &library.output_partial}, {"_ZNK2ov12PartialShapeixEl", &library.dimension},
        {"_ZNK2ov9Dimension14get_min_lengthEv", &library.least}, {"_ZNK2ov9Dimension14get_max_lengthEv", &library.most}};
    bool complete = true;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        void *symbol = tvg_inline_symbol(NULL, wanted[i].name);
        memcpy(wanted[i].place, &symbol, sizeof symbol);
        complete = complete && symbol;
    }
    __atomic_store_n(&found, complete ? 1 : -1, __ATOMIC_RELEASE);
    return complete;
}

/* What is followed of a tensor: its elements (0: not known yet), its last dimension, and where they are known all of them. */
struct tensor {
    uint64_t elements, last;
    int rank; /* 0: only the two above are known */
    int64_t dim[TVG_OV_RANK_MAX];
};
struct operator {
    const void *node;
    const char *class;
    struct tensor out;
    int inputs, from[INPUTS_MAX]; /* numbers of operators */
};
struct body {
    struct operator operators[OPERATORS_MAX];
    int count;
};

/* Its dimensions lie between begin and end, the last one just before the end. 0: it has none, or that is not so. */
static int compiled_rank(const struct partial *partial)
{
    if (!partial->has_rank || partial->begin == partial->end)
        return 0;
    uintptr_t begin = (uintptr_t)partial->begin, end = (uintptr_t)partial->end, last = (uintptr_t)library.dimension(partial, -1);
    if (begin != (uintptr_t)library.dimension(partial, 0) || last < begin || last >= end || (end - begin) % (end - last) != 0)
        return 0;
    return (int)((end - begin) / (end - last));
}

/* A dimension that the model was compiled with; -1 when it is left open. */
static int64_t compiled(const struct partial *partial, int64_t at)
{
    const void *dimension = library.dimension(partial, at);
    int64_t least = library.least(dimension);
    return least == library.most(dimension) ? least : -1;
}

static int64_t compiled_last(const void *node)
{
    const struct partial *partial = library.output_partial(node, 0);
    return compiled_rank(partial) ? compiled(partial, -1) : -1;
}

static int number_of(struct body *body, const void *node)
{
    int number = 0;
    while (number < body->count && body->operators[number].node != node)
        number++;
    if (number == OPERATORS_MAX)
        return -1;
    if (number == body->count)
        body->operators[body->count++] = (struct operator){.node = node, .class = tvg_class_of(node)};
    return body->operators[number].class ? number : -1;
}

/* Every operator that the results hang on. */
static bool read_body(struct body *body, const void *const *results)
{
    body->count = 0;
    for (const void *const *at = results[0], *const *end = results[1]; at < end; at += 2)
        if (number_of(body, *at) < 0)
            return false;
    for (int next = 0; next < body->count; next++) {
        struct operator *operator = &body->operators[next];
        uint64_t inputs = library.input_size(operator->node);
        if (inputs > INPUTS_MAX)
            return false;
        operator->inputs = (int)inputs;
        for (int i = 0; i < operator->inputs; i++)
            if ((operator->from[i] = number_of(body, library.input_node(operator->node, (uint64_t)i))) < 0)
                return false;
    }
    return true;
}

static bool is_product(const struct operator *operator)
{
    return strstr(operator->class, "MatMul") || strstr(operator->class, "Brgemm") || strstr(operator->class, "FullyConnected");
}

/* out[rows, n] over k; B(k,n) as often as its elements say. Operands are stored with k and n last; what is stored otherwise does not fit. */
static bool product_of(const struct tensor *a, const struct tensor *b, struct tensor *out, struct tvg_ov_product *product)
{
    uint64_t k = a->last, n = b->last, rows = a->elements / k;
    if (b->elements % (k * n) != 0 || (b->rank >= 2 && b->dim[b->rank - 2] != (int64_t)k))
        return false;
    uint64_t batch = b->elements / (k * n);
    if (batch == 0 || rows % batch != 0)
        return false;
    *product = (struct tvg_ov_product){(int64_t)(rows / batch), (int64_t)n, (int64_t)k, (int64_t)batch, false};
    *out = (struct tensor){.elements = rows * n, .last = n};
    return true;
}

/* Every order of the input's dimensions that agrees with what both sides were compiled with. */
struct orders {
    const struct tensor *in;
    int64_t compiled_in[TVG_OV_RANK_MAX], compiled_out[TVG_OV_RANK_MAX];
    int order[TVG_OV_RANK_MAX];
    bool first_stays;
    struct tensor found;
    bool is_found, is_ambiguous;
};

static void try_orders(struct orders *orders, int at)
{
    const struct tensor *in = orders->in;
    if (at == in->rank) {
        struct tensor out = {.elements = in->elements, .rank = in->rank};
        for (int i = 0; i < in->rank; i++)
            out.dim[i] = in->dim[orders->order[i]];
        out.last = (uint64_t)out.dim[in->rank - 1];
        orders->is_ambiguous = orders->is_ambiguous || (orders->is_found && memcmp(out.dim, orders->found.dim, sizeof out.dim) != 0);
        orders->found = out;
        orders->is_found = true;
        return;
    }
    for (int from = 0; from < in->rank; from++) {
        bool is_free = orders->compiled_out[at] == orders->compiled_in[from] && !(orders->first_stays && at == 0 && from != 0);
        for (int i = 0; i < at && is_free; i++)
            is_free = orders->order[i] != from;
        orders->order[at] = from;
        if (is_free)
            try_orders(orders, at + 1);
    }
}

/* A tensor whose dimensions are stored in another order. Where sizes were left open several orders may agree: then the batch comes first. */
static bool reorder(const struct operator *from, const void *node, struct tensor *out)
{
    const struct partial *in_partial = library.output_partial(from->node, 0), *out_partial = library.output_partial(node, 0);
    struct orders orders = {.in = &from->out};
    int rank = from->out.rank;
    if (rank < 2 || rank > 6 || compiled_rank(in_partial) != rank || compiled_rank(out_partial) != rank)
        return false;
    for (int i = 0; i < rank; i++)
        orders.compiled_in[i] = compiled(in_partial, i), orders.compiled_out[i] = compiled(out_partial, i);
    try_orders(&orders, 0);
    if (orders.is_ambiguous) {
        orders.first_stays = true;
        orders.is_found = orders.is_ambiguous = false;
        try_orders(&orders, 0);
    }
    *out = orders.found;
    return orders.is_found && !orders.is_ambiguous;
}

/* An operator whose inputs are known. False: not one that can be followed. */
static bool follow(struct body *body, struct operator *operator)
{
    static const char *const others[] = {"Convolution", "Transpose", "Reshape", "Broadcast", "Concat", "Gather", "Split"};
    const char *class = operator->class;
    const int64_t last = compiled_last(operator->node);
    struct tensor out = {.elements = 1, .last = 1};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strstr(class, others[i]))
            return false;
    for (int i = 0; i < operator->inputs; i++) { /* element by element: the larger of each dimension */
        const struct tensor *in = &body->operators[operator->from[i]].out;
        bool is_larger = in->elements > out.elements;
        if (in->last != out.last && in->last != 1 && out.last != 1)
            return false;
        uint64_t larger = in->last > out.last ? in->last : out.last;
        if (is_larger)
            out = *in;
        if (out.last != larger)
            out.rank = 0;
        out.last = larger;
    }
    if (strstr(class, "Reorder") && !reorder(&body->operators[operator->from[0]], operator->node, &out))
        return false;
    if (strstr(class, "Reduce"))
        out = (struct tensor){.elements = out.elements / out.last, .last = 1};
    operator->out = out;
    return last < 0 || last == (int64_t)out.last;
}

/* The parameters take the shapes of the node's inputs. */
static bool set_parameters(struct body *body, const void *const *parameters, const struct tvg_ov_node *node)
{
    int port = 0;
    for (const void *const *at = parameters[0], *const *end = parameters[1]; at < end; at += 2, port++) {
        struct tvg_ov_tensor tensor;
        int number = number_of(body, *at);
        if (number < 0 || !tvg_ov_input(node, port, &tensor) || tensor.elements == 0 || tensor.rank == 0)
            return false;
        struct tensor *out = &body->operators[number].out;
        *out = (struct tensor){tensor.elements, (uint64_t)tensor.dim[tensor.rank - 1], tensor.rank, {0}};
        memcpy(out->dim, tensor.dim, sizeof out->dim);
        int64_t last = compiled_last(*at);
        if (last >= 0 && last != tensor.dim[tensor.rank - 1])
            return false;
    }
    return port == node->inputs;
}

/* Products in the order in which they can be computed; -1: not all can be followed. */
static int follow_all(struct body *body, struct tvg_ov_product *products)
{
    int found = 0;
    for (bool moves = true; moves;) {
        moves = false;
        for (int i = body->count - 1; i >= 0; i--) {
            struct operator *operator = &body->operators[i];
            bool is_ready = operator->out.elements == 0;
            for (int j = 0; j < operator->inputs && is_ready; j++)
                is_ready = body->operators[operator->from[j]].out.elements != 0;
            if (!is_ready)
                continue;
            bool is_followed;
            if (is_product(operator)) {
                const struct tensor *a = operator->inputs >= 2 ? &body->operators[operator->from[0]].out : NULL;
                int64_t last = compiled_last(operator->node);
                is_followed = a && found < TVG_OV_PRODUCTS_MAX &&
                              product_of(a, &body->operators[operator->from[1]].out, &operator->out, &products[found++]) &&
                              (last < 0 || last == (int64_t)operator->out.last);
            } else
                is_followed = follow(body, operator);
            if (!is_followed)
                return -1;
            moves = true;
        }
    }
    return found;
}

int tvg_ov_body(const struct tvg_ov_node *node, struct tvg_ov_product products[TVG_OV_PRODUCTS_MAX], bool *attends)
{
    struct body body;
    *attends = false;
    const void *const *infer = find_library() ? tvg_field_of(node->object, NODE_WORDS, &infer_wanted) : NULL;
    const void *const *subgraph = infer ? tvg_field_of(*infer, INFER_WORDS, &subgraph_wanted) : NULL;
    const void *const *models = subgraph ? tvg_field_of(*subgraph, SUBGRAPH_WORDS, &model_wanted) : NULL;
    const void *model = models ? tvg_member_of(models, &model_wanted) : NULL;
    const void *const *results = model ? tvg_field_of(model, MODEL_WORDS, &results_wanted) : NULL;
    const void *const *parameters = results ? tvg_field_of(model, MODEL_WORDS, &parameters_wanted) : NULL;
    if (!parameters || !read_body(&body, results))
        return -1;
    bool has_products = false;
    for (int i = 0; i < body.count; i++) {
        has_products = has_products || is_product(&body.operators[i]) || strstr(body.operators[i].class, "Convolution");
        *attends = *attends || strstr(body.operators[i].class, "oft") || strstr(body.operators[i].class, "3ExpE");
    }
    if (!has_products)
        return 0;
    if (!set_parameters(&body, parameters, node))
        return -1;
    int found = follow_all(&body, products), port = 0;
    for (const void *const *at = results[0], *const *end = results[1]; at < end && found >= 0; at += 2, port++) {
        struct tvg_ov_tensor tensor;
        if (!tvg_ov_output(node, port, &tensor) || body.operators[port].out.elements != tensor.elements)
            return -1;
    }
    return found;
}
