/* What the passes over a block need to know of an op: its operands in one view, their extents, its identity without lengths. */
#include <string.h>

#include "profile_build.h"

static uint64_t hash_text(uint64_t h, const char *text)
{
    for (; text && *text; text++)
        h = tvg_mix(h, (unsigned char)*text);
    return tvg_mix(h, 0x100);
}

static uint64_t positive(int64_t value)
{
    return value > 0 ? (uint64_t)value : 0;
}

/* Bytes from the first to the last element of a stored rows x columns matrix, or of a batch of them. */
static uint64_t span(unsigned type, uint64_t rows, uint64_t columns, int64_t leading, bool row_major, uint64_t batch, int64_t stride)
{
    uint64_t lines = row_major ? rows : columns, line = row_major ? columns : rows;
    if (!lines || !line)
        return 0;
    uint64_t step = positive(leading) > line ? positive(leading) : line;
    double elements = (double)(lines - 1) * (double)step + (double)line;
    if (batch > 1)
        elements += (double)(batch - 1) * (double)positive(stride);
    return elements < 1e15 ? tvg_type_bytes(type, (uint64_t)elements) : 0;
}

static void gemm(struct tvg_op_facts *facts, const struct tvg_op *op)
{
    bool row_major = op->flags & TVG_OP_ROW_MAJOR, trans_a = op->flags & TVG_OP_TRANS_A, trans_b = op->flags & TVG_OP_TRANS_B;
    uint64_t m = positive(op->m), n = positive(op->kind == TVG_KIND_GEMMT ? (op->m > 0 ? op->m : op->n) : op->n), k = positive(op->k);
    if (op->kind == TVG_KIND_GEMMT)
        m = n = positive(op->n > 0 ? op->n : op->m);
    uint64_t batch = op->batch > 1 ? (uint64_t)op->batch : 1;
    uint64_t a = span(op->type_a, trans_a ? k : m, trans_a ? m : k, op->lda, row_major, batch, op->stride_a);
    uint64_t b = span(op->type_b, trans_b ? n : k, trans_b ? k : n, op->ldb, row_major, batch, op->stride_b);
    uint64_t c = span(op->type_c, m, n, op->ldc, row_major, batch, op->stride_c);
    if (op->flags & (TVG_OP_BATCH_POINTERS | TVG_OP_BATCH_GROUPED))
        a = b = c = 0; /* the addresses are those of pointer tables */
    facts->product = true;
    facts->swapped = !row_major;
    facts->rows = row_major ? m : n;
    facts->cols = row_major ? n : m;
    facts->depth = k;
    facts->span_a = row_major ? a : b;
    facts->span_b = row_major ? b : a;
    facts->span_c = c;
}

static void gemv(struct tvg_op_facts *facts, const struct tvg_op *op)
{
    bool trans = op->flags & TVG_OP_TRANS_A;
    uint64_t m = positive(op->m), n = positive(op->n);
    facts->product = facts->swapped = true;
    facts->rows = op->batch > 1 ? (uint64_t)op->batch : 1;
    facts->cols = trans ? n : m;
    facts->depth = trans ? m : n;
    facts->span_b = span(op->type_a, m, n, op->lda, op->flags & TVG_OP_ROW_MAJOR, 1, 0);
    facts->span_a = tvg_type_bytes(op->type_b, facts->depth * (op->ldb > 1 ? (uint64_t)op->ldb : 1));
    facts->span_c = tvg_type_bytes(op->type_c, facts->cols * (op->ldc > 1 ? (uint64_t)op->ldc : 1));
}

void tvg_op_facts_of(struct tvg_op_facts *facts, const struct tvg_op *op)
{
    memset(facts, 0, sizeof *facts);
    switch (op->kind) {
    case TVG_KIND_GEMM:
    case TVG_KIND_GEMMT:
        gemm(facts, op);
        break;
    case TVG_KIND_GEMV:
        gemv(facts, op);
        break;
    case TVG_KIND_CONV: /* A is the input, B the weights */
        facts->product = true;
        facts->rows = op->dim_count > 0 ? positive(op->dim[0]) : 0;
        facts->cols = op->dim_count > (unsigned)op->dim_spatial + 2 ? positive(op->dim[2 + op->dim_spatial]) : 0;
        facts->depth = op->dim_count > 1 ? positive(op->dim[1]) : 0;
        break;
    default:
        facts->rows = positive(op->m);
        facts->cols = positive(op->n);
        facts->depth = positive(op->k);
    }
    facts->square = facts->product && facts->rows == facts->cols && facts->rows > 1;
    facts->size = positive(op->m) + positive(op->n) + positive(op->k);
    facts->flop = (double)op->flop;
    facts->threads = op->threads ? op->threads : 1;
    uint64_t symbol = hash_text(1, op->function);
    symbol = tvg_mix(symbol, (uint64_t)op->kind << 32 | (uint64_t)op->type_a << 16 | (uint64_t)op->type_b << 8 | op->type_c);
    facts->symbol = (uint32_t)(symbol >> 16) | 1;
    facts->family = (uint32_t)(tvg_mix(tvg_mix(symbol, facts->cols), facts->depth) >> 16) | 1;
}
