/* ONNX Runtime's attention operators: how many pairs of query and key each has to look at, from shapes, caches and lengths.
 * Padding masks given as tensors are not looked into: the pairs that they hide are counted, as the operators compute them. */
#include "onnxruntime_describe.h"

#include <string.h>

enum { UNLIMITED = 1 << 30 };

/* Query i sees the keys from i + offset - left to i + offset + right, as far as there are any. */
static uint64_t pairs_seen(int64_t queries, int64_t keys, int64_t offset, int64_t left, int64_t right)
{
    uint64_t sum = 0;
    if (left >= UNLIMITED && right >= UNLIMITED)
        return queries > 0 && keys > 0 ? (uint64_t)(queries * keys) : 0;
    for (int64_t i = 0; i < queries; i++) {
        int64_t first = i + offset - left, last = i + offset + right;
        first = first > 0 ? first : 0;
        last = last < keys - 1 ? last : keys - 1;
        sum += last >= first ? (uint64_t)(last - first + 1) : 0;
    }
    return sum;
}

struct attention {
    int64_t batch, queries, keys;       /* keys: the most of any sequence */
    int64_t hidden, value_hidden;       /* of the queries and of the output: heads times width */
    int64_t key_hidden, key_value_hidden; /* elements per key and per value: fewer where heads share them */
    int64_t heads, key_heads;           /* 0: unknown */
    bool causal;
    uint64_t pairs;                     /* of one head, summed over the batch */
    uint64_t keys_read;                 /* positions of the cache, summed over the batch */
    uint64_t projection;                /* FLOP of projections that are part of the operator */
    uint64_t projection_bytes;
};

/* FLOP: two products of `pairs` rows, one of the width of a key and one of the width of a value. */
static bool finish(struct tvg_op *op, const struct tvg_ort_call *call, const struct tvg_ort_operator *operator, const struct attention *shape)
{
    if (shape->batch < 1 || shape->queries < 0 || shape->keys < 0 || shape->hidden < 1 || shape->value_hidden < 1)
        return false;
    struct tvg_ort_tensor past, present, value_present, output;
    op->kind = TVG_KIND_ATTENTION;
    op->flags |= TVG_OP_FLOP_GIVEN;
    if (shape->heads > 0 && shape->key_heads > 0 && shape->hidden % shape->heads == 0) {
        int64_t dims[] = {shape->batch, shape->heads, shape->key_heads, shape->queries, shape->keys, shape->hidden / shape->heads, shape->causal};
        memcpy(op->dim, dims, sizeof dims);
        op->dim_count = sizeof dims / sizeof *dims;
    }
    op->flop = 2 * shape->pairs * (uint64_t)(shape->hidden + shape->value_hidden) + shape->projection;
    tvg_ort_output(call, 0, &output);
    uint8_t cache_type = op->type_b;
    if (tvg_ort_output(call, 1, &present))
        cache_type = present.type;
    uint64_t per_position = (uint64_t)(shape->key_hidden + shape->key_value_hidden);
    op->bytes_a = tvg_type_bytes(op->type_a, (uint64_t)(shape->batch * shape->queries * shape->hidden));
    op->bytes_b = tvg_type_bytes(cache_type, shape->keys_read * per_position) + shape->projection_bytes;
    op->bytes_c = tvg_ort_bytes(&output);
    if (present.type) { /* a cache that is kept in place gets the new positions; one that grows is written whole */
        bool in_place = tvg_ort_input(call, operator->past, &past) && past.data == present.data;
        tvg_ort_output(call, 2, &value_present);
        op->bytes_c += in_place ? tvg_type_bytes(cache_type, (uint64_t)(shape->batch * shape->queries) * per_position)
                                : tvg_ort_bytes(&present) + tvg_ort_bytes(&value_present);
    }
    op->bytes = op->bytes_a + op->bytes_b + op->bytes_c;
    return true;
}

/* Positions of the cache that are filled: told by an input where the cache has room for more, else all of it. */
static bool past_positions(const struct tvg_ort_call *call, const struct tvg_ort_operator *operator, int axis, int64_t *positions)
{
    struct tvg_ort_tensor past, length;
    *positions = 0;
    if (!tvg_ort_input(call, operator->past, &past))
        return true;
    *positions = past.dim[axis];
    if (!operator->past_length || !tvg_ort_input(call, operator->past_length, &length))
        return true;
    return tvg_ort_integer(&length, 0, positions) && *positions >= 0;
}

/* ONNX's own: Q, K, V of [batch, length, hidden] or [batch, heads, length, width]. */
bool tvg_ort_attention(struct tvg_op *op, const struct tvg_ort_call *call, const struct tvg_ort_operator *operator)
{
    struct tvg_ort_tensor q, k, v, y, lengths;
    int64_t past, causal = 0, left = -1, right = -1;
    if (!tvg_ort_input(call, 0, &q) || !tvg_ort_input(call, 1, &k) || !tvg_ort_input(call, 2, &v) || !tvg_ort_output(call, 0, &y) ||
        (q.rank != 3 && q.rank != 4) || k.rank != q.rank || v.rank != q.rank || y.rank != q.rank || !past_positions(call, operator, 2, &past))
        return false;
    bool split = q.rank == 4;
    struct attention shape = {.batch = q.dim[0], .queries = q.dim[split ? 2 : 1], .keys = k.dim[split ? 2 : 1] + past,
                              .hidden = split ? q.dim[1] * q.dim[3] : q.dim[2], .value_hidden = split ? y.dim[1] * y.dim[3] : y.dim[2],
                              .key_hidden = split ? k.dim[1] * k.dim[3] : k.dim[2], .key_value_hidden = split ? v.dim[1] * v.dim[3] : v.dim[2]};
    if (!tvg_ort_attribute(call, "is_causal", &causal) || !tvg_ort_attribute(call, "left_window_size", &left) ||
        !tvg_ort_attribute(call, "right_window_size", &right))
        return false;
    if (split)
        shape.heads = q.dim[1], shape.key_heads = k.dim[1];
    else if (!tvg_ort_attribute(call, "q_num_heads", &shape.heads) || !tvg_ort_attribute(call, "kv_num_heads", &shape.key_heads))
        return false;
    shape.causal = causal != 0;
    left = left < 0 ? UNLIMITED : left;
    right = causal ? 0 : right < 0 ? UNLIMITED : right;
    bool ragged = tvg_ort_input(call, 6, &lengths);
    for (int64_t i = 0; i < shape.batch; i++) {
        int64_t keys = shape.keys, offset = past;
        if (ragged) {
            if (!tvg_ort_integer(&lengths, (uint64_t)i, &keys) || keys < 0 || keys > shape.keys)
                return false;
            offset = keys - shape.queries;
        }
        shape.pairs += pairs_seen(shape.queries, keys, offset, left, right);
        shape.keys_read += (uint64_t)keys;
    }
    return finish(op, call, operator, &shape);
}

/* Input [batch, length, width] times weights [width, hidden of queries, keys and values]; the cache is [2, batch, heads, length, width]. */
bool tvg_ort_projected_attention(struct tvg_op *op, const struct tvg_ort_call *call, const struct tvg_ort_operator *operator)
{
    struct tvg_ort_tensor x, w, y;
    int64_t past, causal = 0;
    struct attention shape = {0};
    if (!tvg_ort_input(call, 0, &x) || !tvg_ort_input(call, 1, &w) || !tvg_ort_output(call, 0, &y) || x.rank != 3 || w.rank != 2 || y.rank != 3 ||
        w.dim[0] != x.dim[2] || w.dim[1] <= y.dim[2] || (w.dim[1] - y.dim[2]) % 2 != 0 || !past_positions(call, operator, 3, &past) ||
        !tvg_ort_attribute(call, "unidirectional", &causal) || !tvg_ort_attribute(call, "num_heads", &shape.heads))
        return false;
    shape.batch = x.dim[0], shape.queries = x.dim[1], shape.keys = past + x.dim[1];
    shape.value_hidden = shape.key_value_hidden = y.dim[2];
    shape.hidden = shape.key_hidden = (w.dim[1] - y.dim[2]) / 2;
    shape.key_heads = shape.heads;
    shape.causal = causal != 0;
    shape.pairs = (uint64_t)shape.batch * pairs_seen(shape.queries, shape.keys, past, UNLIMITED, causal ? 0 : UNLIMITED);
    shape.keys_read = (uint64_t)(shape.batch * past); /* the new ones are made inside */
    shape.projection = 2 * x.elements * (uint64_t)w.dim[1];
    shape.projection_bytes = tvg_ort_bytes(&w);
    if (!finish(op, call, operator, &shape))
        return false;
    op->bytes += tvg_ort_bytes(&x) - op->bytes_a;
    op->bytes_a = tvg_ort_bytes(&x);
    return true;
}

/* Length and hidden size of keys or values: [batch, length, hidden], or as a cache [batch, heads, length, width]. The packed forms of five
 * dimensions are not for the CPU. */
static bool key_form(const struct tvg_ort_tensor *keys, int64_t *length, int64_t *hidden)
{
    *length = keys->rank == 4 ? keys->dim[2] : keys->dim[1];
    *hidden = keys->rank == 4 ? keys->dim[1] * keys->dim[3] : keys->dim[2];
    return keys->rank == 3 || keys->rank == 4;
}

bool tvg_ort_multi_head_attention(struct tvg_op *op, const struct tvg_ort_call *call, const struct tvg_ort_operator *operator)
{
    struct tvg_ort_tensor q, k, v, y;
    int64_t past, causal = 0, length, ignored;
    struct attention shape = {0};
    if (!tvg_ort_input(call, 0, &q) || !tvg_ort_output(call, 0, &y) || y.rank != 3 || !key_form(&q, &shape.queries, &shape.hidden) || q.rank == 4)
        return false;
    if (!tvg_ort_input(call, 1, &k) || !tvg_ort_input(call, 2, &v) || !key_form(&k, &length, &shape.key_hidden) || !key_form(&v, &ignored, &shape.key_value_hidden) || !past_positions(call, operator, 2, &past) ||
        !tvg_ort_attribute(call, "unidirectional", &causal) || !tvg_ort_attribute(call, "num_heads", &shape.heads))
        return false;
    shape.batch = q.dim[0];
    shape.keys = past + length;
    shape.value_hidden = y.dim[2];
    shape.key_heads = shape.heads;
    shape.causal = causal != 0;
    shape.pairs = (uint64_t)shape.batch * pairs_seen(shape.queries, shape.keys, shape.keys - shape.queries, UNLIMITED, causal ? 0 : UNLIMITED);
    shape.keys_read = (uint64_t)(shape.batch * shape.keys);
    return finish(op, call, operator, &shape);
}

/* One new token, whose keys join a cache with room for more; or keys of another sequence, laid out as a cache. */
bool tvg_ort_decoder_attention(struct tvg_op *op, const struct tvg_ort_call *call, const struct tvg_ort_operator *operator)
{
    struct tvg_ort_tensor q, k, y;
    int64_t past;
    struct attention shape = {0};
    if (!tvg_ort_input(call, 0, &q) || q.rank != 3 || !tvg_ort_output(call, 0, &y) || y.rank != 3 || !past_positions(call, operator, 2, &past) ||
        !tvg_ort_attribute(call, "num_heads", &shape.heads))
        return false;
    shape.batch = q.dim[0], shape.queries = q.dim[1], shape.hidden = shape.value_hidden = shape.key_hidden = shape.key_value_hidden = y.dim[2];
    shape.key_heads = shape.heads;
    bool other = tvg_ort_input(call, 1, &k) && k.rank == 4;
    shape.keys = other ? k.dim[2] : past + shape.queries;
    shape.pairs = (uint64_t)(shape.batch * shape.queries * shape.keys);
    shape.keys_read = (uint64_t)(shape.batch * shape.keys);
    return finish(op, call, operator, &shape);
}

/* Shared heads and a cache in place; each sequence has its own length. */
bool tvg_ort_group_query_attention(struct tvg_op *op, const struct tvg_ort_call *call, const struct tvg_ort_operator *operator)
{
    struct tvg_ort_tensor q, y, lengths, valid;
    int64_t window = -1, causal = 1, sliding = 0;
    struct attention shape = {0};
    if (!tvg_ort_input(call, 0, &q) || q.rank != 3 || !tvg_ort_output(call, 0, &y) || y.rank != 3 || !tvg_ort_input(call, operator->past_length, &lengths) ||
        !tvg_ort_attribute(call, "num_heads", &shape.heads) || !tvg_ort_attribute(call, "kv_num_heads", &shape.key_heads) ||
        !tvg_ort_attribute(call, "local_window_size", &window) || !tvg_ort_attribute(call, "causal", &causal) ||
        !tvg_ort_attribute(call, "sliding_window_cache", &sliding) || sliding || shape.heads < 1 || y.dim[2] % shape.heads != 0)
        return false;
    shape.batch = q.dim[0], shape.queries = q.dim[1], shape.hidden = shape.value_hidden = y.dim[2];
    shape.key_hidden = shape.key_value_hidden = y.dim[2] / shape.heads * shape.key_heads;
    shape.causal = causal != 0;
    bool padded = tvg_ort_input(call, 16, &valid);
    window -= tvg_ort_is_1_24(call); /* before, the query itself did not count */
    for (int64_t i = 0; i < shape.batch; i++) {
        int64_t keys, queries = shape.queries;
        if (!tvg_ort_integer(&lengths, (uint64_t)i, &keys) || (padded && !tvg_ort_integer(&valid, (uint64_t)i, &queries)))
            return false;
        keys++; /* the input is the last position */
        queries = queries < keys ? queries : keys; /* a padded prompt */
        if (keys < 0 || queries < 0)
            return false;
        shape.pairs += pairs_seen(queries, keys, keys - queries, window < 0 ? UNLIMITED : window, causal ? 0 : UNLIMITED);
        shape.keys_read += (uint64_t)keys;
        shape.keys = keys > shape.keys ? keys : shape.keys;
    }
    return finish(op, call, operator, &shape);
}

/* Blocks of keys that a block of queries sees, in compressed rows: [layouts, blocks + 1] of beginnings in [layouts, columns]. Head h has layout
 * h modulo their number. */
static bool sparse_pairs(const struct tvg_ort_tensor *rows, const struct tvg_ort_tensor *columns, int64_t block, int64_t heads, int64_t first, int64_t total,
                         uint64_t *sum)
{
    if (rows->rank != 2 || columns->rank != 2 || rows->dim[0] < 1 || rows->dim[0] != columns->dim[0] || block < 1)
        return false;
    for (int64_t head = 0; head < heads; head++) {
        int64_t layout = head % rows->dim[0], begin, end, column;
        for (int64_t i = first; i < total; i++) {
            uint64_t row = (uint64_t)(layout * rows->dim[1] + i / block);
            if (i / block >= rows->dim[1] - 1 || !tvg_ort_integer(rows, row, &begin) || !tvg_ort_integer(rows, row + 1, &end) || end > columns->dim[1])
                return false;
            for (; begin < end; begin++) {
                if (!tvg_ort_integer(columns, (uint64_t)(layout * columns->dim[1] + begin), &column))
                    return false;
                int64_t seen = i + 1 - column * block; /* causal: up to the query itself */
                *sum += seen <= 0 ? 0 : seen < block ? (uint64_t)seen : (uint64_t)block;
            }
        }
    }
    return true;
}

bool tvg_ort_sparse_attention(struct tvg_op *op, const struct tvg_ort_call *call, const struct tvg_ort_operator *operator)
{
    struct tvg_ort_tensor q, y, rows, columns, lengths;
    int64_t block = 0;
    uint64_t sum = 0;
    struct attention shape = {.causal = true};
    if (!tvg_ort_input(call, 0, &q) || q.rank != 3 || !tvg_ort_output(call, 0, &y) || y.rank != 3 || !tvg_ort_input(call, 5, &rows) ||
        !tvg_ort_input(call, 6, &columns) || !tvg_ort_input(call, operator->past_length, &lengths) || !tvg_ort_attribute(call, "num_heads", &shape.heads) ||
        !tvg_ort_attribute(call, "kv_num_heads", &shape.key_heads) || !tvg_ort_attribute(call, "sparse_block_size", &block) || shape.heads < 1 ||
        y.dim[2] % shape.heads != 0)
        return false;
    shape.batch = q.dim[0], shape.queries = q.dim[1], shape.hidden = shape.value_hidden = y.dim[2];
    int64_t width = y.dim[2] / shape.heads;
    shape.key_hidden = shape.key_value_hidden = width * shape.key_heads;
    for (int64_t i = 0; i < shape.batch; i++) {
        int64_t keys;
        if (!tvg_ort_integer(&lengths, (uint64_t)i, &keys) || keys < 0 ||
            !sparse_pairs(&rows, &columns, block, shape.heads, keys > shape.queries ? keys - shape.queries : 0, keys, &sum))
            return false;
        shape.keys_read += (uint64_t)keys;
        shape.keys = keys > shape.keys ? keys : shape.keys;
    }
    if (!finish(op, call, operator, &shape))
        return false;
    op->flop = 4 * sum * (uint64_t)width; /* the heads differ: their pairs are summed above */
    return true;
}

/* A state of keys by values for each head: a new pair is added by one product, the query reads by another, and rules that correct read what
 * the state has for the key by a third. */
static bool finish_linear(struct tvg_op *op, const struct tvg_ort_call *call, int64_t tokens, int64_t heads, int64_t state_heads, int64_t width,
                          int64_t value_width)
{
    struct tvg_ort_text rule;
    if (tokens < 0 || heads < 1 || state_heads < 1 || width < 1 || value_width < 1 || !tvg_ort_attribute_text(call, "update_rule", &rule))
        return false;
    bool plain = (rule.length == 6 && memcmp(rule.at, "linear", 6) == 0) || (rule.length == 5 && memcmp(rule.at, "gated", 5) == 0);
    op->kind = TVG_KIND_RNN;
    op->flags |= TVG_OP_FLOP_GIVEN;
    op->flop = 2 * (uint64_t)(tokens * width * value_width) * (uint64_t)((plain ? 1 : 2) * state_heads + (heads > state_heads ? heads : state_heads));
    for (int i = 0; i < call->input_count; i++) {
        struct tvg_ort_tensor input;
        tvg_ort_input(call, i, &input);
        *(i == 0 ? &op->bytes_a : &op->bytes_b) += tvg_ort_bytes(&input);
    }
    for (int i = 0; i < call->output_count; i++) {
        struct tvg_ort_tensor output;
        tvg_ort_output(call, i, &output);
        op->bytes_c += tvg_ort_bytes(&output);
    }
    op->bytes = op->bytes_a + op->bytes_b + op->bytes_c;
    return true;
}

/* [batch, tokens, heads times width]. */
bool tvg_ort_linear_attention(struct tvg_op *op, const struct tvg_ort_call *call, const struct tvg_ort_operator *operator)
{
    struct tvg_ort_tensor q, v;
    int64_t heads = 0, state_heads = 0;
    (void)operator;
    if (!tvg_ort_input(call, 0, &q) || !tvg_ort_input(call, 2, &v) || q.rank != 3 || v.rank != 3 || !tvg_ort_attribute(call, "q_num_heads", &heads) ||
        !tvg_ort_attribute(call, "kv_num_heads", &state_heads) || heads < 1 || state_heads < 1)
        return false;
    return finish_linear(op, call, q.dim[0] * q.dim[1], heads, state_heads, q.dim[2] / heads, v.dim[2] / state_heads);
}

/* [tokens, heads, width], or [batch, tokens, heads, width]; every head of the values has a state and reads it. */
bool tvg_ort_gated_delta(struct tvg_op *op, const struct tvg_ort_call *call, const struct tvg_ort_operator *operator)
{
    struct tvg_ort_tensor q, v;
    (void)operator;
    if (!tvg_ort_input(call, 0, &q) || !tvg_ort_input(call, 2, &v) || q.rank < 3 || v.rank != q.rank)
        return false;
    int64_t heads = v.dim[v.rank - 2], tokens = v.dim[0] * (v.rank == 4 ? v.dim[1] : 1);
    return finish_linear(op, call, tokens, heads, heads, q.dim[q.rank - 1], v.dim[v.rank - 1]);
}
