/* The op vocabulary's names and types, and the one place where FLOP and least bytes are counted. */
#include "op.h"

#include <string.h>

#define PLAIN(n, bytes) {.name = n, .block_elements = 1, .block_bytes = bytes}
#define COMPLEX(n, bytes) {.name = n, .block_elements = 1, .block_bytes = bytes, .is_complex = true}
#define INTEGER(n, elements, bytes) {.name = n, .block_elements = elements, .block_bytes = bytes, .is_integer = true}
#define BLOCK(n, elements, bytes) {.name = n, .block_elements = elements, .block_bytes = bytes}

/* ggml block sizes: sizeof(block_*) of ggml-common.h; fp16 scales are 2 bytes, super-blocks hold 256 elements. */
static const struct tvg_type_info types[TVG_TYPE_COUNT] = {
    [TVG_TYPE_NONE] = PLAIN("none", 0),
    [TVG_TYPE_F64] = PLAIN("f64", 8),
    [TVG_TYPE_F32] = PLAIN("f32", 4),
    [TVG_TYPE_TF32] = PLAIN("tf32", 4), /* stored as f32, multiplied with 10 mantissa bits */
    [TVG_TYPE_F16] = PLAIN("f16", 2),
    [TVG_TYPE_BF16] = PLAIN("bf16", 2),
    [TVG_TYPE_F8_E4M3] = PLAIN("f8_e4m3", 1),
    [TVG_TYPE_F8_E5M2] = PLAIN("f8_e5m2", 1),
    [TVG_TYPE_F4_E2M1] = BLOCK("f4_e2m1", 2, 1),
    [TVG_TYPE_C64] = COMPLEX("c64", 8),
    [TVG_TYPE_C128] = COMPLEX("c128", 16),
    [TVG_TYPE_I64] = INTEGER("i64", 1, 8),
    [TVG_TYPE_I32] = INTEGER("i32", 1, 4),
    [TVG_TYPE_I16] = INTEGER("i16", 1, 2),
    [TVG_TYPE_I8] = INTEGER("i8", 1, 1),
    [TVG_TYPE_U8] = INTEGER("u8", 1, 1),
    [TVG_TYPE_I4] = INTEGER("i4", 2, 1),
    [TVG_TYPE_U4] = INTEGER("u4", 2, 1),
    [TVG_TYPE_BOOL] = INTEGER("bool", 1, 1),
    [TVG_TYPE_Q4_0] = BLOCK("q4_0", 32, 18),
    [TVG_TYPE_Q4_1] = BLOCK("q4_1", 32, 20),
    [TVG_TYPE_Q5_0] = BLOCK("q5_0", 32, 22),
    [TVG_TYPE_Q5_1] = BLOCK("q5_1", 32, 24),
    [TVG_TYPE_Q8_0] = BLOCK("q8_0", 32, 34),
    [TVG_TYPE_Q8_1] = BLOCK("q8_1", 32, 36),
    [TVG_TYPE_Q2_K] = BLOCK("q2_k", 256, 84),
    [TVG_TYPE_Q3_K] = BLOCK("q3_k", 256, 110),
    [TVG_TYPE_Q4_K] = BLOCK("q4_k", 256, 144),
    [TVG_TYPE_Q5_K] = BLOCK("q5_k", 256, 176),
    [TVG_TYPE_Q6_K] = BLOCK("q6_k", 256, 210),
    [TVG_TYPE_Q8_K] = BLOCK("q8_k", 256, 292),
    [TVG_TYPE_IQ2_XXS] = BLOCK("iq2_xxs", 256, 66),
    [TVG_TYPE_IQ2_XS] = BLOCK("iq2_xs", 256, 74),
    [TVG_TYPE_IQ3_XXS] = BLOCK("iq3_xxs", 256, 98),
    [TVG_TYPE_IQ1_S] = BLOCK("iq1_s", 256, 50),
    [TVG_TYPE_IQ4_NL] = BLOCK("iq4_nl", 32, 18),
    [TVG_TYPE_IQ3_S] = BLOCK("iq3_s", 256, 110),
    [TVG_TYPE_IQ2_S] = BLOCK("iq2_s", 256, 82),
    [TVG_TYPE_IQ4_XS] = BLOCK("iq4_xs", 256, 136),
    [TVG_TYPE_IQ1_M] = BLOCK("iq1_m", 256, 56),
    [TVG_TYPE_TQ1_0] = BLOCK("tq1_0", 256, 54),
    [TVG_TYPE_TQ2_0] = BLOCK("tq2_0", 256, 66),
    [TVG_TYPE_MXFP4] = BLOCK("mxfp4", 32, 17),
};

static const char *const kinds[TVG_KIND_COUNT] = {
    [TVG_KIND_OTHER] = "other", [TVG_KIND_GEMM] = "gemm", [TVG_KIND_GEMMT] = "gemmt", [TVG_KIND_GEMV] = "gemv", [TVG_KIND_GER] = "ger",
    [TVG_KIND_SYMM] = "symm", [TVG_KIND_HEMM] = "hemm", [TVG_KIND_SYRK] = "syrk", [TVG_KIND_HERK] = "herk", [TVG_KIND_SYR2K] = "syr2k",
    [TVG_KIND_HER2K] = "her2k", [TVG_KIND_TRMM] = "trmm", [TVG_KIND_TRSM] = "trsm", [TVG_KIND_GBMV] = "gbmv", [TVG_KIND_SYMV] = "symv",
    [TVG_KIND_SBMV] = "sbmv", [TVG_KIND_SPMV] = "spmv", [TVG_KIND_TRMV] = "trmv", [TVG_KIND_TBMV] = "tbmv", [TVG_KIND_TPMV] = "tpmv",
    [TVG_KIND_TRSV] = "trsv", [TVG_KIND_TBSV] = "tbsv", [TVG_KIND_TPSV] = "tpsv", [TVG_KIND_SYR] = "syr", [TVG_KIND_SPR] = "spr",
    [TVG_KIND_SYR2] = "syr2", [TVG_KIND_SPR2] = "spr2", [TVG_KIND_PACK] = "pack", [TVG_KIND_CONV] = "conv", [TVG_KIND_ATTENTION] = "attention",
    [TVG_KIND_RNN] = "rnn", [TVG_KIND_SOFTMAX] = "softmax", [TVG_KIND_NORM] = "norm", [TVG_KIND_ACTIVATION] = "activation",
    [TVG_KIND_ELEMENTWISE] = "elementwise", [TVG_KIND_REDUCE] = "reduce", [TVG_KIND_POOL] = "pool", [TVG_KIND_EMBEDDING] = "embedding",
    [TVG_KIND_ROPE] = "rope", [TVG_KIND_QUANTIZE] = "quantize", [TVG_KIND_DEQUANTIZE] = "dequantize", [TVG_KIND_COPY] = "copy",
    [TVG_KIND_TRANSPOSE] = "transpose", [TVG_KIND_MEMSET] = "memset", [TVG_KIND_COLLECTIVE] = "collective", [TVG_KIND_KERNEL] = "kernel",
    [TVG_KIND_SYNC] = "sync", [TVG_KIND_GRAPH] = "graph", [TVG_KIND_LAPACK] = "lapack",
};

static const char *const nets[TVG_NET_COUNT] = {"none", "symbol", "dlsym", "inline", "vtable", "activity"};

const struct tvg_type_info *tvg_type_info(unsigned type)
{
    return &types[type < TVG_TYPE_COUNT ? type : TVG_TYPE_NONE];
}

enum tvg_type tvg_type_by_name(const char *name)
{
    unsigned type = 0;
    while (type < TVG_TYPE_COUNT && strcmp(types[type].name, name) != 0)
        type++;
    return (enum tvg_type)type;
}

const char *tvg_kind_name(unsigned kind)
{
    return kinds[kind < TVG_KIND_COUNT ? kind : TVG_KIND_OTHER];
}

enum tvg_kind tvg_kind_by_name(const char *name)
{
    unsigned kind = 0;
    while (kind < TVG_KIND_COUNT && strcmp(kinds[kind], name) != 0)
        kind++;
    return (enum tvg_kind)kind;
}

const char *tvg_net_name(unsigned net)
{
    return nets[net < TVG_NET_COUNT ? net : TVG_NET_NONE];
}

/* Arithmetic that stops at UINT64_MAX instead of wrapping: shapes come from the host and from files. */
static uint64_t times(uint64_t a, uint64_t b)
{
    uint64_t product;
    return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

static uint64_t plus(uint64_t a, uint64_t b)
{
    uint64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static uint64_t times3(uint64_t a, uint64_t b, uint64_t c)
{
    /* An empty dimension gives 0 even where the other two saturate. */
    return c == 0 ? 0 : times(times(a, b), c);
}

/* Entries of a triangle with its diagonal: n(n+1)/2. */
static uint64_t triangle(uint64_t n)
{
    return n % 2 == 0 ? times(n / 2, plus(n, 1)) : times(n, n / 2 + 1);
}

static uint64_t size_of(int64_t dimension)
{
    return dimension > 0 ? (uint64_t)dimension : 0;
}

uint64_t tvg_type_bytes(unsigned type, uint64_t elements)
{
    const struct tvg_type_info *info = tvg_type_info(type);
    uint64_t blocks = elements / info->block_elements + (elements % info->block_elements != 0);
    return times(blocks, info->block_bytes);
}

/* Entries below a band that has `width` diagonals under the main one, in a matrix of rows x columns: columns of rows-1-width, one less each. */
static uint64_t outside_band(uint64_t rows, uint64_t columns, uint64_t width)
{
    if (rows == 0 || columns == 0 || width >= rows - 1)
        return 0;
    uint64_t longest = rows - 1 - width, count = longest < columns ? longest : columns;
    return plus(times(count, longest - count), triangle(count));
}

/* Entries of a triangular band: the main diagonal and k others, n x n. */
static uint64_t triangle_band(uint64_t n, uint64_t k)
{
    if (n == 0)
        return 0;
    if (k > n - 1)
        k = n - 1;
    return plus(n, plus(times(k, n - k), triangle(k - (k > 0))));
}

/* What an op works on: FLOP for real types, and elements of each operand. C counts twice when it is read and written. */
struct work {
    uint64_t flop, a, b, c;
    bool c_updated; /* C is read whatever beta says */
};

static uint64_t product(const int64_t *dim, unsigned count)
{
    uint64_t result = 1;
    for (unsigned i = 0; i < count; i++)
        if (dim[i] <= 0)
            return 0;
    for (unsigned i = 0; i < count; i++)
        result = times(result, (uint64_t)dim[i]);
    return result;
}

static struct work convolution(const struct tvg_op *op)
{
    unsigned s = op->dim_spatial;
    if (op->dim_count > TVG_DIMS_MAX || s == 0 || op->dim_count != 4 + 3 * s)
        return (struct work){0};
    uint64_t n = size_of(op->dim[0]), channels = size_of(op->dim[1]), filters = size_of(op->dim[2 + s]), groups = size_of(op->dim[3 + 3 * s]);
    uint64_t in = product(op->dim + 2, s), kernel = product(op->dim + 3 + s, s), out = product(op->dim + 3 + 2 * s, s);
    uint64_t per_group = groups > 1 ? channels / groups : channels;
    struct work work = {.a = times3(n, channels, in), .b = times3(filters, per_group, kernel), .c = times3(n, filters, out)};
    work.flop = times3(2, times3(n, filters, out), times3(kernel, per_group, 1));
    return work;
}

static struct work attention(const struct tvg_op *op)
{
    if (op->dim_count < 7)
        return (struct work){0};
    uint64_t batch = size_of(op->dim[0]), heads = size_of(op->dim[1]), key_heads = size_of(op->dim[2]);
    uint64_t queries = size_of(op->dim[3]), keys = size_of(op->dim[4]), width = size_of(op->dim[5]);
    uint64_t pairs = times(queries, keys);
    if (op->dim[6] > 0) /* query i sees keys up to i + keys - queries: the last query sees all */
        pairs = queries <= keys ? plus(times(queries, keys - queries), triangle(queries)) : triangle(keys);
    struct work work = {.a = times(times3(batch, heads, queries), width), .b = times3(2, times3(batch, key_heads, keys), width)};
    work.c = work.a;
    work.flop = times3(4, times3(batch, heads, pairs), width);
    return work;
}

static struct work count(const struct tvg_op *op)
{
    uint64_t m = size_of(op->m), n = size_of(op->n), k = size_of(op->k);
    bool right = op->flags & TVG_OP_RIGHT;
    uint64_t order = right ? n : m; /* of the symmetric or triangular operand, where there are two sides */
    struct work work = {0};
    switch (op->kind) {
    case TVG_KIND_GEMM:
        return (struct work){.flop = times3(2, times(m, n), k), .a = times(m, k), .b = times(k, n), .c = times(m, n)};
    case TVG_KIND_GEMMT:
        return (struct work){.flop = times3(2, triangle(n), k), .a = times(n, k), .b = times(k, n), .c = triangle(n)};
    case TVG_KIND_GEMV: {
        bool transposed = op->flags & TVG_OP_TRANS_A;
        return (struct work){.flop = times3(2, m, n), .a = times(m, n), .b = transposed ? m : n, .c = transposed ? n : m};
    }
    case TVG_KIND_GER:
        return (struct work){.flop = times3(2, m, n), .a = m, .b = n, .c = times(m, n), .c_updated = true};
    case TVG_KIND_SYMM: case TVG_KIND_HEMM:
        return (struct work){.flop = times3(2, times(order, m), n), .a = triangle(order), .b = times(m, n), .c = times(m, n)};
    case TVG_KIND_SYRK: case TVG_KIND_HERK:
        return (struct work){.flop = times3(2, triangle(n), k), .a = times(n, k), .c = triangle(n)};
    case TVG_KIND_SYR2K: case TVG_KIND_HER2K:
        return (struct work){.flop = times3(4, triangle(n), k), .a = times(n, k), .b = times(n, k), .c = triangle(n)};
    case TVG_KIND_TRMM: case TVG_KIND_TRSM: /* B is read and written: the write is counted as C */
        return (struct work){.flop = times3(order, m, n), .a = triangle(order), .b = times(m, n), .c = times(m, n)};
    case TVG_KIND_GBMV: {
        uint64_t entries = times(n, k < m ? k : m); /* without kl and ku: every column full */
        if (op->dim_count == 2) {
            uint64_t outside = plus(outside_band(m, n, size_of(op->dim[0])), outside_band(n, m, size_of(op->dim[1])));
            entries = times(m, n) > outside ? times(m, n) - outside : 0;
        }
        bool transposed = op->flags & TVG_OP_TRANS_A;
        return (struct work){.flop = times(2, entries), .a = entries, .b = transposed ? m : n, .c = transposed ? n : m};
    }
    case TVG_KIND_SYMV: case TVG_KIND_SPMV:
        return (struct work){.flop = times3(2, n, n), .a = triangle(n), .b = n, .c = n};
    case TVG_KIND_SBMV: {
        uint64_t stored = triangle_band(n, k);
        return (struct work){.flop = times(2, stored > UINT64_MAX / 2 ? UINT64_MAX : 2 * stored - n), .a = stored, .b = n, .c = n};
    }
    case TVG_KIND_TRMV: case TVG_KIND_TPMV: case TVG_KIND_TRSV: case TVG_KIND_TPSV:
        return (struct work){.flop = times(n, n), .a = triangle(n), .b = n, .c = n};
    case TVG_KIND_TBMV: case TVG_KIND_TBSV: {
        uint64_t stored = triangle_band(n, k);
        return (struct work){.flop = stored > UINT64_MAX / 2 ? UINT64_MAX : 2 * stored - n, .a = stored, .b = n, .c = n};
    }
    case TVG_KIND_SYR: case TVG_KIND_SPR:
        return (struct work){.flop = times(2, triangle(n)), .a = n, .c = triangle(n), .c_updated = true};
    case TVG_KIND_SYR2: case TVG_KIND_SPR2:
        return (struct work){.flop = times(4, triangle(n)), .a = n, .b = n, .c = triangle(n), .c_updated = true};
    case TVG_KIND_PACK: { /* the operand is m x k (A) or k x n (B) */
        uint64_t elements = times(k, m ? m : n);
        return (struct work){.a = elements, .c = elements};
    }
    case TVG_KIND_CONV:
        return convolution(op);
    case TVG_KIND_ATTENTION:
        return attention(op);
    default: /* memory-bound kinds: the tensor in dim[], FLOP unknown here */
        if (op->dim_count > 0 && op->dim_count <= TVG_DIMS_MAX)
            work.a = work.b = work.c = product(op->dim, op->dim_count);
        return work;
    }
}

/* Kinds whose C is an accumulator scaled by beta; the others write it outright or always update it. */
static bool has_beta(unsigned kind)
{
    switch (kind) {
    case TVG_KIND_GEMM: case TVG_KIND_GEMMT: case TVG_KIND_GEMV: case TVG_KIND_SYMM: case TVG_KIND_HEMM: case TVG_KIND_SYRK:
    case TVG_KIND_HERK: case TVG_KIND_SYR2K: case TVG_KIND_HER2K: case TVG_KIND_GBMV: case TVG_KIND_SYMV: case TVG_KIND_SBMV: case TVG_KIND_SPMV:
        return true;
    default:
        return false;
    }
}

void tvg_op_count(struct tvg_op *op)
{
    if (op->flags & TVG_OP_FLOP_GIVEN)
        return;
    struct work work = count(op);
    bool is_complex = tvg_type_info(op->type_a)->is_complex || tvg_type_info(op->type_c)->is_complex || tvg_type_info(op->type_compute)->is_complex;
    uint64_t batch = op->batch > 0 ? (uint64_t)op->batch : 1;
    bool strided = op->flags & TVG_OP_BATCH_STRIDED;
    bool c_read = work.c_updated || (has_beta(op->kind) && !(op->flags & TVG_OP_BETA_ZERO));

    op->flop = times3(work.flop, batch, is_complex ? 4 : 1);
    op->bytes_a = times(tvg_type_bytes(op->type_a, work.a), strided && op->stride_a == 0 ? 1 : batch);
    op->bytes_b = times(tvg_type_bytes(op->type_b, work.b), strided && op->stride_b == 0 ? 1 : batch);
    op->bytes_c = times3(tvg_type_bytes(op->type_c, work.c), batch, c_read ? 2 : 1);
    op->bytes = plus(plus(op->bytes_a, op->bytes_b), op->bytes_c);
}
