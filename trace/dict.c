/* Dictionary entries: struct tvg_op as a msgpack map and back. Fields that are zero are left out. */
#include "block.h"
#include "cursor.h"

static void put_uint(struct tvg_map *map, const char *key, uint64_t value)
{
    if (value)
        tvg_map_uint(map, key, value);
}

static void put_ints(struct tvg_map *map, const char *key, const int64_t *values, uint32_t count)
{
    bool any = false;
    for (uint32_t i = 0; i < count; i++)
        any |= values[i] != 0;
    if (!any)
        return;
    tvg_map_array(map, key, count);
    for (uint32_t i = 0; i < count; i++)
        tvg_map_int(map, NULL, values[i]);
}

static void put_op(struct tvg_map *map, const struct tvg_op *op)
{
    tvg_map_string(map, "lib", op->library);
    tvg_map_string(map, "fn", op->function);
    if (op->name)
        tvg_map_string(map, "name", op->name);
    tvg_map_uint(map, "kind", op->kind);
    put_uint(map, "net", op->net);
    put_ints(map, "types", (int64_t[]){op->type_a, op->type_b, op->type_c, op->type_compute}, 4);
    put_uint(map, "gpu", op->on_gpu);
    if (op->device)
        tvg_map_int(map, "device", op->device);
    put_uint(map, "threads", op->threads);
    put_uint(map, "flags", op->flags);
    put_uint(map, "epi", op->epilogue);
    put_ints(map, "mnkb", (int64_t[]){op->m, op->n, op->k, op->batch}, 4);
    put_ints(map, "ld", (int64_t[]){op->lda, op->ldb, op->ldc}, 3);
    put_ints(map, "stride", (int64_t[]){op->stride_a, op->stride_b, op->stride_c}, 3);
    put_ints(map, "dim", op->dim, op->dim_count <= TVG_DIMS_MAX ? op->dim_count : TVG_DIMS_MAX);
    put_uint(map, "dims", op->dim_count);
    put_uint(map, "spatial", op->dim_spatial);
    put_uint(map, "caller", op->caller);
    if (op->caller_library)
        tvg_map_string(map, "clib", op->caller_library);
    put_uint(map, "coff", op->caller_offset);
    put_uint(map, "flop", op->flop);
    if (op->bytes | op->bytes_a | op->bytes_b | op->bytes_c) {
        tvg_map_array(map, "bytes", 4);
        tvg_map_uint(map, NULL, op->bytes);
        tvg_map_uint(map, NULL, op->bytes_a);
        tvg_map_uint(map, NULL, op->bytes_b);
        tvg_map_uint(map, NULL, op->bytes_c);
    }
}

size_t tvg_encode_op(void *out, size_t capacity, const struct tvg_op *op)
{
    struct tvg_map map;
    tvg_map_begin_bare(&map, out, capacity);
    put_op(&map, op);
    return tvg_map_finish(&map);
}

size_t tvg_encode_dict(void *out, size_t capacity, uint32_t op_id, const struct tvg_op *op)
{
    struct tvg_map map;
    tvg_map_begin(&map, out, capacity);
    tvg_map_uint(&map, "id", op_id);
    put_op(&map, op);
    return tvg_map_end(&map, TVG_BLOCK_DICT);
}

/* Reads an array of at most `count` integers; members beyond are dropped. False when the payload is not whole. */
static bool get_ints(struct tvg_cursor *cursor, int64_t *values, uint32_t count)
{
    struct tvg_cursor members = *cursor;
    struct tvg_token array = tvg_cursor_next(&members);
    if (array.kind == TVG_TOKEN_ARRAY) {
        for (uint32_t i = 0; i < array.length && i < count; i++) {
            struct tvg_cursor member = members;
            struct tvg_token token = tvg_cursor_next(&member);
            values[i] = tvg_token_int(&token, 0);
            if (!tvg_cursor_skip(&members, 16))
                return false;
        }
    }
    return tvg_cursor_skip(cursor, 16);
}

static bool get_uints(struct tvg_cursor *cursor, uint64_t *values, uint32_t count)
{
    struct tvg_cursor members = *cursor;
    struct tvg_token array = tvg_cursor_next(&members);
    if (array.kind == TVG_TOKEN_ARRAY) {
        for (uint32_t i = 0; i < array.length && i < count; i++) {
            struct tvg_cursor member = members;
            struct tvg_token token = tvg_cursor_next(&member);
            values[i] = tvg_token_uint(&token, 0);
            if (!tvg_cursor_skip(&members, 16))
                return false;
        }
    }
    return tvg_cursor_skip(cursor, 16);
}

static uint8_t type_from(int64_t value)
{
    return value > 0 && value < TVG_TYPE_COUNT ? (uint8_t)value : TVG_TYPE_NONE;
}

int tvg_decode_dict(const void *payload, size_t length, uint32_t *op_id, struct tvg_op *op, char *strings, size_t capacity)
{
    struct tvg_cursor cursor = {payload, (const uint8_t *)payload + length};
    struct tvg_strings store = {strings, capacity};
    struct tvg_token map = tvg_cursor_next(&cursor);
    uint64_t id = TVG_OP_ID_NONE;

    *op = (struct tvg_op){.library = "?", .function = "?"};
    if (map.kind != TVG_TOKEN_MAP)
        return -1;
    for (uint32_t i = 0; i < map.length; i++) {
        struct tvg_token key = tvg_cursor_next(&cursor);
        struct tvg_cursor value_at = cursor;
        struct tvg_token value = tvg_cursor_next(&value_at);
        int64_t ints[4] = {0};
        uint64_t uints[4] = {0};
        if (key.kind == TVG_TOKEN_BAD || key.kind == TVG_TOKEN_ARRAY || key.kind == TVG_TOKEN_MAP || value.kind == TVG_TOKEN_BAD)
            return -1;
        if (value.kind == TVG_TOKEN_ARRAY) {
            if (tvg_token_is(&key, "dim")) {
                if (!get_ints(&cursor, op->dim, TVG_DIMS_MAX))
                    return -1;
                continue;
            }
            if (tvg_token_is(&key, "bytes")) {
                if (!get_uints(&cursor, uints, 4))
                    return -1;
                op->bytes = uints[0], op->bytes_a = uints[1], op->bytes_b = uints[2], op->bytes_c = uints[3];
                continue;
            }
            if (!get_ints(&cursor, ints, 4))
                return -1;
            if (tvg_token_is(&key, "types")) {
                op->type_a = type_from(ints[0]), op->type_b = type_from(ints[1]);
                op->type_c = type_from(ints[2]), op->type_compute = type_from(ints[3]);
            } else if (tvg_token_is(&key, "mnkb")) {
                op->m = ints[0], op->n = ints[1], op->k = ints[2], op->batch = ints[3];
            } else if (tvg_token_is(&key, "ld")) {
                op->lda = ints[0], op->ldb = ints[1], op->ldc = ints[2];
            } else if (tvg_token_is(&key, "stride")) {
                op->stride_a = ints[0], op->stride_b = ints[1], op->stride_c = ints[2];
            }
            continue;
        }
        if (!tvg_cursor_skip(&cursor, 16))
            return -1;
        if (tvg_token_is(&key, "lib"))
            op->library = tvg_strings_copy(&store, &value);
        else if (tvg_token_is(&key, "fn"))
            op->function = tvg_strings_copy(&store, &value);
        else if (tvg_token_is(&key, "name"))
            op->name = tvg_strings_copy(&store, &value);
        else if (tvg_token_is(&key, "clib"))
            op->caller_library = tvg_strings_copy(&store, &value);
        else if (tvg_token_is(&key, "id"))
            id = tvg_token_uint(&value, id);
        else if (tvg_token_is(&key, "kind"))
            op->kind = (uint16_t)tvg_token_uint(&value, 0) < TVG_KIND_COUNT ? (uint16_t)tvg_token_uint(&value, 0) : TVG_KIND_OTHER;
        else if (tvg_token_is(&key, "net"))
            op->net = (uint8_t)tvg_token_uint(&value, 0);
        else if (tvg_token_is(&key, "gpu"))
            op->on_gpu = (uint8_t)tvg_token_uint(&value, 0);
        else if (tvg_token_is(&key, "device"))
            op->device = (int16_t)tvg_token_int(&value, 0);
        else if (tvg_token_is(&key, "threads"))
            op->threads = (uint16_t)tvg_token_uint(&value, 0);
        else if (tvg_token_is(&key, "flags"))
            op->flags = (uint32_t)tvg_token_uint(&value, 0);
        else if (tvg_token_is(&key, "epi"))
            op->epilogue = (uint32_t)tvg_token_uint(&value, 0);
        else if (tvg_token_is(&key, "dims"))
            op->dim_count = tvg_token_uint(&value, 0) <= TVG_DIMS_MAX ? (uint8_t)tvg_token_uint(&value, 0) : TVG_DIMS_MAX;
        else if (tvg_token_is(&key, "spatial"))
            op->dim_spatial = (uint8_t)tvg_token_uint(&value, 0);
        else if (tvg_token_is(&key, "caller"))
            op->caller = tvg_token_uint(&value, 0);
        else if (tvg_token_is(&key, "coff"))
            op->caller_offset = tvg_token_uint(&value, 0);
        else if (tvg_token_is(&key, "flop"))
            op->flop = tvg_token_uint(&value, 0);
    }
    if (!op->library)
        op->library = "?";
    if (!op->function)
        op->function = "?";
    if (op->net >= TVG_NET_COUNT)
        op->net = TVG_NET_NONE;
    *op_id = id <= UINT32_MAX ? (uint32_t)id : TVG_OP_ID_NONE;
    return 0;
}

int tvg_decode_op(const void *data, size_t length, struct tvg_op *op, char *strings, size_t capacity)
{
    uint32_t op_id;
    return tvg_decode_dict(data, length, &op_id, op, strings, capacity);
}
