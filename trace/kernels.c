/* The columns of KERNELS blocks: see kernels.h and FORMAT.md. */
#include "kernels.h"

#include "columns.h"

static const struct tvg_column columns[TVG_KERNEL_COLUMNS] = {
    TVG_COLUMN(struct tvg_kernel, "duration", duration_ns), TVG_COLUMN_BEHIND(struct tvg_kernel, "start", start_ns, duration_ns),
    TVG_COLUMN(struct tvg_kernel, "launch", launch_ns),     TVG_COLUMN(struct tvg_kernel, "bytes", bytes),
    TVG_COLUMN(struct tvg_kernel, "op", op_id),             TVG_COLUMN(struct tvg_kernel, "cause", cause),
    TVG_COLUMN(struct tvg_kernel, "tid", tid),              TVG_COLUMN(struct tvg_kernel, "stream", stream),
    TVG_COLUMN(struct tvg_kernel, "graph", graph),          TVG_COLUMN(struct tvg_kernel, "replayed", replayed),
};

size_t tvg_encode_kernels(void *out, size_t capacity, int device, const struct tvg_kernel *rows, size_t count, void *scratch)
{
    struct tvg_map map;
    tvg_map_begin(&map, out, capacity);
    tvg_map_int(&map, "device", device);
    tvg_columns_put(&map, columns, TVG_KERNEL_COLUMNS, rows, sizeof *rows, count, scratch);
    return tvg_map_end(&map, TVG_BLOCK_KERNELS);
}

long tvg_decode_kernels(const void *payload, size_t length, int *device, struct tvg_kernel *rows, void *scratch, size_t scratch_bytes)
{
    return tvg_columns_get(payload, length, columns, TVG_KERNEL_COLUMNS, rows, sizeof *rows, TVG_KERNELS_MAX, device, scratch, scratch_bytes);
}
