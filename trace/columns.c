/* The codec of blocks that are columns of differences: see columns.h.
 * Not on any hot path: rows are encoded by the threads that drain what was collected. */
#include "columns.h"

#include <lz4.h>
#include <msgpack.h>
#include <stdbool.h>
#include <string.h>

#include "varint.h"

enum { COLUMNS_MAX = 16 };

static uint64_t member(const void *row, uint16_t offset, uint16_t bytes)
{
    uint64_t wide;
    uint32_t narrow;
    memcpy(bytes == 8 ? (void *)&wide : &narrow, (const uint8_t *)row + offset, bytes);
    return bytes == 8 ? wide : narrow;
}

/* What a column's difference is told against. */
static uint64_t base(const struct tvg_column *column, const void *previous)
{
    if (!previous)
        return 0;
    return member(previous, column->offset, column->bytes) + (column->behind ? member(previous, (uint16_t)(column->behind - 1), 8) : 0);
}

void tvg_columns_put(struct tvg_map *map, const struct tvg_column *columns, int column_count, const void *rows, size_t row_bytes, size_t count, void *scratch)
{
    tvg_map_uint(map, "count", count);
    uint8_t *raw = scratch, *packed = raw + count * TVG_VARINT_MAX + 16;
    for (int c = 0; c < column_count; c++) {
        uint8_t *at = raw;
        const uint8_t *row = rows, *previous = NULL;
        for (size_t i = 0; i < count; i++, previous = row, row += row_bytes)
            at = tvg_varint_put(at, member(row, columns[c].offset, columns[c].bytes) - base(&columns[c], previous));
        int raw_bytes = (int)(at - raw);
        int packed_bytes = LZ4_compress_default((const char *)raw, (char *)packed, raw_bytes, raw_bytes);
        /* [raw length, data]: data shorter than the raw length is LZ4 */
        tvg_map_array(map, columns[c].key, 2);
        tvg_map_uint(map, NULL, (uint64_t)raw_bytes);
        if (packed_bytes > 0 && packed_bytes < raw_bytes)
            tvg_map_binary(map, NULL, packed, (size_t)packed_bytes);
        else
            tvg_map_binary(map, NULL, raw, (size_t)raw_bytes);
    }
}

struct column_data {
    const uint8_t *data;
    uint64_t data_bytes, raw_bytes;
};

static bool is_key(const msgpack_object *key, const char *name)
{
    size_t length = strlen(name);
    return key->via.str.size == length && memcmp(key->via.str.ptr, name, length) == 0;
}

static bool read_map(const msgpack_object *object, const struct tvg_column *columns, int column_count, int *device, uint64_t *count, struct column_data *data)
{
    if (object->type != MSGPACK_OBJECT_MAP)
        return false;
    *count = 0;
    if (device)
        *device = -1;
    for (uint32_t i = 0; i < object->via.map.size; i++) {
        const msgpack_object *key = &object->via.map.ptr[i].key, *value = &object->via.map.ptr[i].val;
        if (key->type != MSGPACK_OBJECT_STR)
            return false;
        if (is_key(key, "count") && value->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
            *count = value->via.u64;
        if (device && is_key(key, "device") && (value->type == MSGPACK_OBJECT_POSITIVE_INTEGER || value->type == MSGPACK_OBJECT_NEGATIVE_INTEGER) &&
            value->via.i64 >= -1 && value->via.i64 < 4096)
            *device = (int)value->via.i64;
        for (int c = 0; c < column_count; c++) {
            if (!is_key(key, columns[c].key))
                continue;
            if (value->type != MSGPACK_OBJECT_ARRAY || value->via.array.size != 2)
                return false;
            const msgpack_object *raw = &value->via.array.ptr[0], *bytes = &value->via.array.ptr[1];
            if (raw->type != MSGPACK_OBJECT_POSITIVE_INTEGER || bytes->type != MSGPACK_OBJECT_BIN || bytes->via.bin.size > raw->via.u64)
                return false;
            data[c] = (struct column_data){(const uint8_t *)bytes->via.bin.ptr, bytes->via.bin.size, raw->via.u64};
        }
    }
    return true;
}

static bool read_column(const struct tvg_column *column, const struct column_data *in, uint8_t *row, size_t row_bytes, uint64_t count, void *scratch, size_t scratch_bytes)
{
    const uint8_t *at = in->data, *previous = NULL;
    if (in->data_bytes < in->raw_bytes) {
        if (in->raw_bytes > scratch_bytes || in->raw_bytes > count * TVG_VARINT_MAX ||
            LZ4_decompress_safe((const char *)in->data, scratch, (int)in->data_bytes, (int)in->raw_bytes) != (int)in->raw_bytes)
            return false;
        at = scratch;
    }
    const uint8_t *end = at + in->raw_bytes;
    for (uint64_t i = 0; i < count; i++, previous = row, row += row_bytes) {
        uint64_t value;
        if (!(at = tvg_varint_get(at, end, &value)))
            return false;
        value += base(column, previous);
        uint32_t narrow = (uint32_t)value;
        memcpy(row + column->offset, column->bytes == 8 ? (const void *)&value : &narrow, column->bytes);
    }
    return true;
}

long tvg_columns_get(const void *payload, size_t length, const struct tvg_column *columns, int column_count, void *rows, size_t row_bytes, size_t most, int *device, void *scratch,
                     size_t scratch_bytes)
{
    if (tvg_msgpack_check(payload, length) != 0) /* msgpack-c allocates what a count promises before it looks for it */
        return -1;
    msgpack_unpacked message;
    msgpack_unpacked_init(&message);
    struct column_data data[COLUMNS_MAX] = {{0}};
    uint64_t count = 0;
    bool good = msgpack_unpack_next(&message, payload, length, NULL) == MSGPACK_UNPACK_SUCCESS && read_map(&message.data, columns, column_count, device, &count, data) && count <= most;
    if (good)
        memset(rows, 0, count * row_bytes);
    for (int c = 0; good && c < column_count; c++)
        if (data[c].data)
            good = read_column(&columns[c], &data[c], rows, row_bytes, count, scratch, scratch_bytes);
    msgpack_unpacked_destroy(&message);
    return good ? (long)count : -1;
}
