/* Columns of a block as differences from row to row: zigzag varints, each column compressed by LZ4 where that is smaller.
 * A table says which member of a row each key is; FORMAT.md, "KERNELS", is the specification. */
#ifndef TVG_TRACE_COLUMNS_H
#define TVG_TRACE_COLUMNS_H

#include <stddef.h>
#include <stdint.h>

#include "block.h"

struct tvg_column {
    const char *key;
    uint16_t offset;  /* of the member in its row */
    uint16_t bytes;   /* 4 or 8 */
    uint16_t behind;  /* 0: the difference is to the previous row's value; else 1 + offset of an 8-byte member that is added to it: a start
                       * is told against the previous row's end. That member's column comes before */
};
#define TVG_COLUMN(type, key, member) {key, offsetof(type, member), sizeof(((type *)0)->member), 0}
#define TVG_COLUMN_BEHIND(type, key, member, length) {key, offsetof(type, member), sizeof(((type *)0)->member), 1 + offsetof(type, length)}

/* Bytes of scratch for encoding and for decoding `n` rows. */
#define TVG_COLUMNS_SCRATCH(n) (4096u + (size_t)(n) * 24u)

/* Adds `count` and the columns of `count` rows of `row_bytes` each to a map. */
void tvg_columns_put(struct tvg_map *map, const struct tvg_column *columns, int column_count, const void *rows, size_t row_bytes, size_t count, void *scratch);
/* Decodes a payload into `rows` (zeroed; room for `most`). `device` may be NULL; else it receives the map's key of that name, -1 when there is none. A
 * column that is absent is all zeros. Returns the number of rows, or -1 when the payload contradicts itself. */
long tvg_columns_get(const void *payload, size_t length, const struct tvg_column *columns, int column_count, void *rows, size_t row_bytes, size_t most, int *device, void *scratch,
                     size_t scratch_bytes);

#endif
