/* ONNX Runtime's products: matrix products in all their types, convolutions, recurrent layers, Einsum, mixtures of experts. */
#include "onnxruntime_describe.h"

#include <string.h>

/* --- matrix products -------------------------------------------------------------------------------------------------------------------- */
/* C(m,n): the output's last two dimensions; k is what of A's matrix is left. B may be a form of its own, or gone: its shape is not needed. */
static bool shape_matmul(struct tvg_op *op, const struct tvg_ort_tensor *a, const struct tvg_ort_tensor *b, const struct tvg_ort_tensor *c)
{
    if (a->rank < 1 || c->elements == 0 || (c->rank < 1 && a->rank != 1))
        return false;
    op->n = c->rank >= 1 ? c->dim[c->rank - 1] : 1;
    op->m = c->rank >= 2 ? c->dim[c->rank - 2] : 1;
    op->batch = (int64_t)(c->elements / (uint64_t)(op->m * op->n));
    if (a->rank == 1) {
        op->k = a->dim[0];
        if (b->rank > 1 && c->rank >= 1) /* a vector: the output's last dimension but one belongs to the batch */
            op->m = 1, op->batch = (int64_t)(c->elements / (uint64_t)op->n);
    } else {
        if (b->rank == 1) /* times a vector: the output has no n */
            op->n = 1, op->m = a->dim[a->rank - 2], op->batch = (int64_t)(c->elements / (uint64_t)op->m);
        uint64_t matrix = (uint64_t)(a->dim[a->rank - 2] * a->dim[a->rank - 1]);
        if (op->m == 0 || matrix % (uint64_t)op->m != 0)
            return false;
        op->k = (int64_t)(matrix / (uint64_t)op->m);
    }
    if (b->rank == 2 && a->rank >= 2) { /* one B for all: the batch is more rows */
        if (b->elements != (uint64_t)(op->k * op->n) && (b->type == a->type))
            return false;
        if (a->dim[a->rank - 1] == op->k) {
            op->m *= op->batch;
            op->batch = 1;
        }
    } else if (b->rank > 2 && b->type == a->type && b->elements % (uint64_t)(op->k * op->n) != 0)
        return false;
    if (op->batch > 1) {
        op->flags |= TVG_OP_BATCH_STRIDED;
        op->stride_a = op->stride_c = 1;
        op->stride_b = b->elements > (uint64_t)(op->k * op->n);
    }
    return true;
}

static bool operands(const struct tvg_ort_call *call, const struct tvg_ort_operator *operator, struct tvg_ort_tensor *a, struct tvg_ort_tensor *b,
                     struct tvg_ort_tensor *c)
{
    tvg_ort_input(call, operator->b, b); /* what is gone has the type none */
    return tvg_ort_input(call, operator->a, a) && tvg_ort_output(call, 0, c);
}

/* FusedMatMul's transBatchA, transBatchB: the first dimension belongs behind the others but the last. */
static void rotate_batch(const struct tvg_ort_call *call, const char *attribute, struct tvg_ort_tensor *tensor)
{
    int64_t rotated = 0, first = tensor->dim[0];
    if (tensor->rank < 3 || !tvg_ort_attribute(call, attribute, &rotated) || !rotated)
        return;
    memmove(tensor->dim, tensor->dim + 1, (size_t)(tensor->rank - 2) * sizeof *tensor->dim);
    tensor->dim[tensor->rank - 2] = first;
}

bool tvg_ort_matmul(struct tvg_op *op, const struct tvg_ort_call *call, const struct tvg_ort_operator *operator)
{
    struct tvg_ort_tensor a, b, c;
    int64_t trans_a = 0, trans_b = 0;
    op->kind = TVG_KIND_GEMM;
    op->flags |= TVG_OP_ROW_MAJOR | TVG_OP_BETA_ZERO;
    if (!operands(call, operator, &a, &b, &c))
        return false;
    rotate_batch(call, "transBatchA", &a);
    rotate_batch(call, "transBatchB", &b);
    if (!shape_matmul(op, &a, &b, &c))
        return false;
    tvg_ort_attribute(call, "transA", &trans_a); /* FLOP don't depend on these two: unknown, they stay out */
    tvg_ort_attribute(call, "transB", &trans_b);
    op->flags |= (trans_a ? TVG_OP_TRANS_A : 0) | (trans_b ? TVG_OP_TRANS_B : 0);
    op->lda = trans_a ? op->m : op->k, op->ldb = trans_b ? op->k : op->n, op->ldc = op->n;
    return true;
}

/* Weights in blocks that share a scale: B(n,k) with scales and zero points behind it among the inputs. */
bool tvg_ort_block_quantized(struct tvg_op *op, const struct tvg_ort_call *call, const struct tvg_ort_operator *operator)
{
    struct tvg_ort_tensor a, b, c, part, none = {0};
    int64_t bits = 4, accuracy = 0;
    op->kind = TVG_KIND_GEMM;
    op->flags |= TVG_OP_ROW_MAJOR | TVG_OP_BETA_ZERO | TVG_OP_FLOP_GIVEN;
    if (!operands(call, operator, &a, &b, &c) || a.rank < 2 || !shape_matmul(op, &a, &none, &c) || !b.type || !tvg_ort_attribute(call, "bits", &bits) ||
        !tvg_ort_attribute(call, "accuracy_level", &accuracy))
        return false;
    op->m *= op->batch > 0 ? op->batch : 1, op->batch = 0; /* one B for all */
    op->flags &= ~(uint32_t)TVG_OP_BATCH_STRIDED;
    op->stride_a = op->stride_c = 0;
    op->lda = op->k, op->ldb = op->k, op->ldc = op->n;
    op->flags |= TVG_OP_TRANS_B;
    op->type_b = bits == 4 ? TVG_TYPE_U4 : bits == 8 ? TVG_TYPE_U8 : TVG_TYPE_NONE;
    op->type_compute = accuracy == 4 ? TVG_TYPE_I8 : a.type; /* level 4: A is made int8 first */
    op->flop = 2 * (uint64_t)(op->m * op->n * op->k);
    op->bytes_a = tvg_ort_bytes(&a), op->bytes_b = tvg_ort_bytes(&b), op->bytes_c = tvg_ort_bytes(&c);
    for (int i = operator->b + 1; i <= operator->b + 2; i++)
        if (tvg_ort_input(call, i, &part))
            op->bytes_b += tvg_ort_bytes(&part);
    op->bytes = op->bytes_a + op->bytes_b + op->bytes_c;
    return true;
}

/* --- convolutions ----------------------------------------------------------------------------------------------------------------------- */
/* Input [N, C, spatial], weights [K, C / groups, kernel], output [N, K, spatial]. */
static bool shape_convolution(struct tvg_op *op, const struct tvg_ort_tensor *x, const struct tvg_ort_tensor *w, const struct tvg_ort_tensor *y, bool last)
{
    int spatial = x->rank - 2, at = 0;
    if (spatial < 1 || spatial > 3 || w->rank != x->rank || y->rank != x->rank || w->dim[1] < 1 || x->dim[0] != y->dim[0])
        return false;
    int64_t channels = x->dim[1], outputs = y->dim[1], inputs = w->dim[1];
    if (last)
        channels = x->dim[x->rank - 1], outputs = y->dim[y->rank - 1];
    if (w->dim[0] != outputs || channels % inputs != 0)
        return false;
    op->dim_spatial = (uint8_t)spatial;
    op->dim[at++] = x->dim[0];
    op->dim[at++] = channels;
    for (int i = 0; i < spatial; i++)
        op->dim[at++] = x->dim[2 - last + i];
    op->dim[at++] = outputs;
    for (int i = 0; i < spatial; i++)
        op->dim[at++] = w->dim[2 + i];
    for (int i = 0; i < spatial; i++)
        op->dim[at++] = y->dim[2 - last + i];
    op->dim[at++] = channels / inputs;
    op->dim_count = (uint8_t)at;
    return true;
}

static const char nhwc[] = "com.ms.internal.nhwc";

bool tvg_ort_convolution(struct tvg_op *op, const struct tvg_ort_call *call, const struct tvg_ort_operator *operator)
{
    struct tvg_ort_tensor x, w, y;
    int64_t last = 0;
    op->kind = TVG_KIND_CONV;
    if (!tvg_ort_attribute(call, "channels_last", &last)) /* or said by the domain; or else unknown, and shapes that don't fit are refused */
        last = 0;
    last = last || (call->domain.length == strlen(nhwc) && memcmp(call->domain.at, nhwc, call->domain.length) == 0);
    return operands(call, operator, &x, &w, &y) && shape_convolution(op, &x, &w, &y, last);
}

/* All that an operator is given and gives, once. */
static void all_bytes(struct tvg_op *op, const struct tvg_ort_call *call)
{
    struct tvg_ort_tensor tensor;
    op->flags |= TVG_OP_FLOP_GIVEN;
    for (int i = 0; i < call->input_count; i++)
        if (tvg_ort_input(call, i, &tensor))
            *(i == 0 ? &op->bytes_a : &op->bytes_b) += tvg_ort_bytes(&tensor);
    for (int i = 0; i < call->output_count; i++)
        if (tvg_ort_output(call, i, &tensor))
            op->bytes_c += tvg_ort_bytes(&tensor);
    op->bytes = op->bytes_a + op->bytes_b + op->bytes_c;
}

/* Each element of the input meets each element of the kernel of its channel. */
bool tvg_ort_transposed_convolution(struct tvg_op *op, const struct tvg_ort_call *call, const struct tvg_ort_operator *operator)
{
    struct tvg_ort_tensor x, w, y;
    op->kind = TVG_KIND_CONV;
    if (!operands(call, operator, &x, &w, &y) || x.rank < 3 || w.rank != x.rank || w.dim[0] != x.dim[1] || w.dim[0] < 1)
        return false;
    op->flop = 2 * x.elements * (w.elements / (uint64_t)w.dim[0]);
    op->flags |= TVG_OP_FLOP_GIVEN;
    op->bytes_a = tvg_ort_bytes(&x), op->bytes_b = tvg_ort_bytes(&w), op->bytes_c = tvg_ort_bytes(&y);
    op->bytes = op->bytes_a + op->bytes_b + op->bytes_c;
    return true;
}

/* --- recurrent layers ------------------------------------------------------------------------------------------------------------------- */
/* X [steps, batch, inputs] (the first two exchanged in layout 1), the input's and the state's products for each gate, in one direction or two.
 * Outputs: Y [steps, directions, batch, hidden], and the last states [directions, batch, hidden]. */
bool tvg_ort_recurrent(struct tvg_op *op, const struct tvg_ort_call *call, const struct tvg_ort_operator *operator)
{
    enum { LENGTHS = 4 };
    struct tvg_ort_tensor x, y = {0}, lengths;
    int64_t layout = 0, length;
    if (!tvg_ort_input(call, 0, &x) || x.rank != 3 || !tvg_ort_attribute(call, "layout", &layout))
        return false;
    for (int i = 0; i < call->output_count && !y.type; i++)
        tvg_ort_output(call, i, &y);
    if (y.rank != 3 && y.rank != 4)
        return false;
    int64_t steps = x.dim[layout ? 1 : 0], batch = x.dim[layout ? 0 : 1], hidden = y.dim[y.rank - 1];
    int64_t directions = y.rank == 4 ? y.dim[layout ? 2 : 1] : y.dim[layout ? 1 : 0], rows = steps * batch;
    if (directions < 1 || directions > 2 || y.elements != (uint64_t)(directions * batch * hidden) * (uint64_t)(y.rank == 4 ? steps : 1))
        return false;
    if (tvg_ort_input(call, LENGTHS, &lengths)) {
        rows = 0;
        for (int64_t i = 0; i < batch; i++) {
            if (!tvg_ort_integer(&lengths, (uint64_t)i, &length) || length < 0 || length > steps)
                return false;
            rows += length;
        }
    }
    int64_t dims[] = {steps, batch, x.dim[2], hidden, directions, operator->past};
    memcpy(op->dim, dims, sizeof dims);
    op->dim_count = sizeof dims / sizeof *dims;
    op->kind = TVG_KIND_RNN;
    all_bytes(op, call);
    op->flop = 2 * (uint64_t)(rows * directions * operator->past * hidden) * (uint64_t)(x.dim[2] + hidden);
    return true;
}

/* --- Einsum ----------------------------------------------------------------------------------------------------------------------------- */
enum { LETTERS = 64, TERMS = 16 }; /* 52 letters; the rest stands for the dimensions of an ellipsis, counted from the last */

struct equation {
    int terms;
    uint64_t term[TERMS], output; /* letters, as bits */
    int64_t size[LETTERS];
};

static int letter_of(char letter)
{
    return letter >= 'a' && letter <= 'z' ? letter - 'a' : letter >= 'A' && letter <= 'Z' ? 26 + letter - 'A' : -1;
}

/* The letters of one term, from `at` to a comma, an arrow or the end; with the tensor's sizes unless it is NULL. */
static bool read_term(struct equation *equation, const char **at, const char *end, const struct tvg_ort_tensor *tensor, uint64_t *letters,
                      uint64_t *more_than_once)
{
    int count = 0, spelled = 0;
    for (const char *c = *at; c < end && *c != ',' && *c != '-'; c++)
        spelled += letter_of(*c) >= 0;
    for (; *at < end && **at != ',' && **at != '-'; (*at)++) {
        int letter = letter_of(**at), first = letter, dims = 1;
        if (**at == ' ')
            continue;
        if (**at == '.') {
            if (end - *at < 3 || memcmp(*at, "...", 3) != 0)
                return false;
            *at += 2;
            dims = tensor ? tensor->rank - spelled : 0;
            first = LETTERS - dims;
            if (!tensor)
                for (int i = 52; i < LETTERS; i++)
                    *letters |= (uint64_t)(equation->size[i] > 0) << i;
        }
        if (dims < 0 || dims > LETTERS - 52 || first < 0)
            return false;
        for (int i = 0; i < dims; i++) {
            int place = first + i;
            if (*letters >> place & 1)
                *more_than_once |= 1ull << place;
            *letters |= 1ull << place;
            if (!tensor)
                continue;
            if (count >= tensor->rank)
                return false;
            int64_t size = tensor->dim[count++];
            if (equation->size[place] > 1 && size > 1 && equation->size[place] != size)
                return false;
            equation->size[place] = equation->size[place] > size && equation->size[place] > 0 ? equation->size[place] : size;
        }
    }
    return !tensor || count == tensor->rank;
}

static bool read_equation(struct equation *equation, const struct tvg_ort_call *call, struct tvg_ort_text text)
{
    const char *at = text.at, *end = text.at + text.length;
    uint64_t seen = 0, again = 0;
    for (; equation->terms < TERMS; at++) {
        struct tvg_ort_tensor tensor;
        uint64_t *letters = &equation->term[equation->terms];
        if (!tvg_ort_input(call, equation->terms, &tensor) || !read_term(equation, &at, end, &tensor, letters, &again))
            return false;
        again |= seen & *letters;
        seen |= *letters;
        equation->terms++;
        if (at == end || *at != ',')
            break;
    }
    if (at == end) { /* no arrow: what occurs once, and the ellipsis */
        equation->output = (seen & ~again) | (seen & ~((1ull << 52) - 1));
        return true;
    }
    uint64_t ignored = 0;
    at++;
    if (at == end || *at++ != '>' || !read_term(equation, &at, end, NULL, &equation->output, &ignored))
        return false;
    return at == end && equation->terms == call->input_count;
}

static uint64_t volume(const struct equation *equation, uint64_t letters)
{
    uint64_t elements = 1;
    for (int i = 0; i < LETTERS; i++)
        elements *= letters >> i & 1 ? (uint64_t)equation->size[i] : 1;
    return elements;
}

/* Operands are multiplied one after the other, as they stand; what only one of them has and nothing later needs is summed before. A step that
 * sums is a product of 2 FLOP per element, one that does not multiplies only. Two operands are a matrix product with a batch. */
bool tvg_ort_einsum(struct tvg_op *op, const struct tvg_ort_call *call, const struct tvg_ort_operator *operator)
{
    struct equation equation = {0};
    struct tvg_ort_text text;
    (void)operator;
    if (!tvg_ort_attribute_text(call, "equation", &text) || text.length == 0 || !read_equation(&equation, call, text))
        return false;
    all_bytes(op, call);
    uint64_t left = equation.term[0];
    for (int i = 1; i < equation.terms; i++) {
        uint64_t later = equation.output, right = equation.term[i];
        for (int j = i + 1; j < equation.terms; j++)
            later |= equation.term[j];
        left &= right | later, right &= left | later;
        uint64_t summed = left & right & ~later;
        op->flop += (summed ? 2 : 1) * volume(&equation, left | right);
        if (equation.terms == 2) {
            op->kind = TVG_KIND_GEMM;
            op->flags |= TVG_OP_ROW_MAJOR | TVG_OP_BETA_ZERO;
            op->m = (int64_t)volume(&equation, left & ~right);
            op->n = (int64_t)volume(&equation, right & ~left);
            op->k = (int64_t)volume(&equation, summed);
            op->batch = (int64_t)volume(&equation, left & right & later);
        }
        left = (left | right) & later;
    }
    if (equation.terms != 2)
        op->kind = TVG_KIND_OTHER;
    return true;
}

/* --- mixtures of experts ---------------------------------------------------------------------------------------------------------------- */
/* How many experts get a token: those whose router value is among a row's k greatest. */
static bool experts_used(const struct tvg_ort_tensor *router, int64_t k, int64_t *used)
{
    enum { EXPERTS_MAX = 512 };
    uint8_t any[EXPERTS_MAX] = {0}, taken[EXPERTS_MAX];
    int64_t experts = router->dim[1];
    *used = 0;
    if (router->type != TVG_TYPE_F32 || !router->data || experts > EXPERTS_MAX)
        return false;
    for (int64_t row = 0; row < router->dim[0]; row++) {
        const float *value = (const float *)router->data + row * experts;
        memset(taken, 0, sizeof taken);
        for (int64_t i = 0; i < k; i++) {
            int64_t best = -1;
            for (int64_t j = 0; j < experts; j++)
                if (!taken[j] && (best < 0 || value[j] > value[best]))
                    best = j;
            if (best < 0)
                break;
            taken[best] = any[best] = 1;
        }
    }
    for (int64_t j = 0; j < experts; j++)
        *used += any[j];
    return true;
}

/* Every token goes through k experts: FC1 [experts, inner or twice it, hidden], FC2 [experts, hidden, inner], and FC3 like FC1 where the gate is
 * apart; the last dimension of quantized weights is packed into bytes. operator->past inputs lie from one to the next. */
bool tvg_ort_mixture(struct tvg_op *op, const struct tvg_ort_call *call, const struct tvg_ort_operator *operator)
{
    struct tvg_ort_tensor x, router, y, fc, tensor;
    int64_t k = 1, sparse = 0, used;
    if (!tvg_ort_input(call, 0, &x) || !tvg_ort_input(call, 1, &router) || !tvg_ort_output(call, 0, &y) || x.rank < 2 || router.rank != 2 ||
        !tvg_ort_attribute(call, "k", &k) || !tvg_ort_attribute(call, "use_sparse_mixer", &sparse))
        return false;
    int64_t hidden = x.dim[x.rank - 1], per_token = 0, inner = 0;
    uint64_t tokens = x.elements / (uint64_t)(hidden > 0 ? hidden : 1);
    bool exact = !sparse && experts_used(&router, k, &used);
    if (!exact) /* no more than these */
        used = (int64_t)tokens * k < router.dim[1] ? (int64_t)tokens * k : router.dim[1];
    for (int i = 0; i < 3; i++) {
        int64_t bits = 4;
        if (!tvg_ort_input(call, 2 + i * operator->past, &fc)) {
            if (i < 2)
                return false;
            continue;
        }
        char name[32] = "fc1_expert_weight_bits";
        name[2] = (char)('1' + i);
        bool packed = fc.type == TVG_TYPE_U8 || fc.type == TVG_TYPE_I8;
        if (packed && (!tvg_ort_attribute(call, "expert_weight_bits", &bits) || !tvg_ort_attribute(call, name, &bits)))
            return false;
        int64_t last = packed ? fc.dim[2] * 8 / bits : fc.dim[2];
        if (fc.rank != 3 || fc.dim[0] != router.dim[1] || (i == 1 ? fc.dim[1] != hidden : last != hidden) || (i == 2 && fc.dim[1] != inner))
            return false;
        if (i == 1)
            inner = last;
        per_token += fc.dim[1] * last;
        for (int part = 0; part < operator->past; part++) /* weights, scales, biases: of the experts that are used */
            if (tvg_ort_input(call, 2 + i * operator->past + part, &tensor))
                op->bytes_b += tvg_ort_bytes(&tensor) / (uint64_t)router.dim[1] * (uint64_t)used;
    }
    op->kind = TVG_KIND_OTHER;
    op->flags |= TVG_OP_FLOP_GIVEN | (exact ? 0 : TVG_OP_DIMS_UNSURE);
    op->flop = 2 * tokens * (uint64_t)(k * per_token);
    op->bytes_a = tvg_ort_bytes(&x) + tvg_ort_bytes(&router), op->bytes_c = tvg_ort_bytes(&y);
    op->bytes = op->bytes_a + op->bytes_b + op->bytes_c;
    return true;
}
