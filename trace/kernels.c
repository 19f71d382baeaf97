/* The codec of KERNELS blocks: see kernels.h and FORMAT.md.
 * Not on any hot path: rows are encoded by the thread that drains the driver's activity buffers. */
#include "kernels.h"

#include <lz4.h>
#include <msgpack.h>
#include <stdbool.h>
#include <string.h>

#include "block.h"
#include "varint.h"

static const char *const column_name[TVG_KERNEL_COLUMNS] = {"duration", "start", "launch", "bytes", "op", "cause", "tid", "stream", "graph", "replayed"};

/* What a column holds. start is against the previous row's end, so durations come first. */
static uint64_t column_value(const struct tvg_kernel *row, const struct tvg_kernel *previous, int column)
{
    switch (column) {
    case 0: return row->duration_ns - previous->duration_ns;
    case 1: return row->start_ns - (previous->start_ns + previous->duration_ns);
    case 2: return row->launch_ns - previous->launch_ns;
    case 3: return row->bytes - previous->bytes;
    case 4: return (uint64_t)row->op_id - previous->op_id;
    case 5: return (uint64_t)row->cause - previous->cause;
    case 6: return (uint64_t)row->tid - previous->tid;
    case 7: return (uint64_t)row->stream - previous->stream;
    case 8: return (uint64_t)row->graph - previous->graph;
    default: return (uint64_t)row->replayed - previous->replayed;
    }
}

static void column_apply(struct tvg_kernel *row, const struct tvg_kernel *previous, int column, uint64_t difference)
{
    switch (column) {
    case 0: row->duration_ns = difference + previous->duration_ns; break;
    case 1: row->start_ns = difference + previous->start_ns + previous->duration_ns; break;
    case 2: row->launch_ns = difference + previous->launch_ns; break;
    case 3: row->bytes = difference + previous->bytes; break;
    case 4: row->op_id = (uint32_t)(difference + previous->op_id); break;
    case 5: row->cause = (uint32_t)(difference + previous->cause); break;
    case 6: row->tid = (uint32_t)(difference + previous->tid); break;
    case 7: row->stream = (uint32_t)(difference + previous->stream); break;
    case 8: row->graph = (uint32_t)(difference + previous->graph); break;
    default: row->replayed = (uint32_t)(difference + previous->replayed); break;
    }
}

size_t tvg_encode_kernels(void *out, size_t capacity, int device, const struct tvg_kernel *rows, size_t count, void *scratch)
{
    struct tvg_map map;
    tvg_map_begin(&map, out, capacity);
    tvg_map_int(&map, "device", device);
    tvg_map_uint(&map, "count", count);
    uint8_t *raw = scratch, *packed = raw + count * 10 + 16;
    for (int column = 0; column < TVG_KERNEL_COLUMNS; column++) {
        struct tvg_kernel zero = {0};
        const struct tvg_kernel *previous = &zero;
        uint8_t *at = raw;
        for (size_t i = 0; i < count; i++) {
            at = tvg_varint_put(at, column_value(&rows[i], previous, column));
            previous = &rows[i];
        }
        int raw_bytes = (int)(at - raw);
        int packed_bytes = LZ4_compress_default((const char *)raw, (char *)packed, raw_bytes, raw_bytes);
        /* [raw length, data]: data shorter than the raw length is LZ4 */
        tvg_map_array(&map, column_name[column], 2);
        tvg_map_uint(&map, NULL, (uint64_t)raw_bytes);
        if (packed_bytes > 0 && packed_bytes < raw_bytes)
            tvg_map_binary(&map, NULL, packed, (size_t)packed_bytes);
        else
            tvg_map_binary(&map, NULL, raw, (size_t)raw_bytes);
    }
    return tvg_map_end(&map, TVG_BLOCK_KERNELS);
}

struct column_data {
    const uint8_t *data;
    uint64_t data_bytes, raw_bytes;
};

static bool read_map(const msgpack_object *object, int *device, uint64_t *count, struct column_data columns[TVG_KERNEL_COLUMNS])
{
    if (object->type != MSGPACK_OBJECT_MAP)
        return false;
    *count = 0;
    *device = -1;
    for (uint32_t i = 0; i < object->via.map.size; i++) {
        const msgpack_object *key = &object->via.map.ptr[i].key, *value = &object->via.map.ptr[i].val;
        if (key->type != MSGPACK_OBJECT_STR)
            return false;
        const char *name = key->via.str.ptr;
        uint32_t length = key->via.str.size;
        if (length == 5 && !memcmp(name, "count", 5) && value->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
            *count = value->via.u64;
        if (length == 6 && !memcmp(name, "device", 6) && (value->type == MSGPACK_OBJECT_POSITIVE_INTEGER || value->type == MSGPACK_OBJECT_NEGATIVE_INTEGER) &&
            value->via.i64 >= -1 && value->via.i64 < 4096)
            *device = (int)value->via.i64;
        for (int column = 0; column < TVG_KERNEL_COLUMNS; column++) {
            if (length != strlen(column_name[column]) || memcmp(name, column_name[column], length))
                continue;
            if (value->type != MSGPACK_OBJECT_ARRAY || value->via.array.size != 2)
                return false;
            const msgpack_object *raw = &value->via.array.ptr[0], *data = &value->via.array.ptr[1];
            if (raw->type != MSGPACK_OBJECT_POSITIVE_INTEGER || data->type != MSGPACK_OBJECT_BIN || data->via.bin.size > raw->via.u64)
                return false;
            columns[column] = (struct column_data){(const uint8_t *)data->via.bin.ptr, data->via.bin.size, raw->via.u64};
        }
    }
    return *count <= TVG_KERNELS_MAX;
}

long tvg_decode_kernels(const void *payload, size_t length, int *device, struct tvg_kernel *rows, void *scratch, size_t scratch_bytes)
{
    if (tvg_msgpack_check(payload, length) != 0) /* msgpack-c allocates what a count promises before it looks for it */
        return -1;
    msgpack_unpacked message;
    msgpack_unpacked_init(&message);
    struct column_data columns[TVG_KERNEL_COLUMNS] = {{0}};
    uint64_t count = 0;
    long result = -1;
    if (msgpack_unpack_next(&message, payload, length, NULL) == MSGPACK_UNPACK_SUCCESS && read_map(&message.data, device, &count, columns)) {
        memset(rows, 0, count * sizeof *rows);
        result = (long)count;
        for (int column = 0; column < TVG_KERNEL_COLUMNS && result >= 0; column++) {
            const struct column_data *in = &columns[column];
            if (!in->data) /* a column that this trace does not have: zeros */
                continue;
            const uint8_t *at = in->data;
            if (in->data_bytes < in->raw_bytes) {
                if (in->raw_bytes > scratch_bytes || in->raw_bytes > count * 10 ||
                    LZ4_decompress_safe((const char *)in->data, scratch, (int)in->data_bytes, (int)in->raw_bytes) != (int)in->raw_bytes) {
                    result = -1;
                    break;
                }
                at = scratch;
            }
            const uint8_t *end = at + in->raw_bytes;
            struct tvg_kernel zero = {0};
            const struct tvg_kernel *previous = &zero;
            for (uint64_t i = 0; i < count; i++) {
                uint64_t difference;
                at = tvg_varint_get(at, end, &difference);
                if (!at) {
                    result = -1;
                    break;
                }
                column_apply(&rows[i], previous, column, difference);
                previous = &rows[i];
            }
        }
    }
    msgpack_unpacked_destroy(&message);
    return result;
}
