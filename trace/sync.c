/* The columns of SYNC blocks: see sync.h and FORMAT.md. */
#include "sync.h"

#include "columns.h"

static const struct tvg_column columns[TVG_SYNC_COLUMNS] = {
    TVG_COLUMN(struct tvg_sync, "duration", duration_ns), TVG_COLUMN_BEHIND(struct tvg_sync, "start", start_ns, duration_ns),
    TVG_COLUMN(struct tvg_sync, "kind", kind),            TVG_COLUMN(struct tvg_sync, "tid", tid),
    TVG_COLUMN(struct tvg_sync, "device", device),        TVG_COLUMN(struct tvg_sync, "stream", stream),
    TVG_COLUMN(struct tvg_sync, "event", event),
};

const char *tvg_sync_name(unsigned kind)
{
    static const char *const names[TVG_SYNC_KINDS] = {"?", "stream", "event", "context", "copy", "free", "record", "stream-wait", "graph-launch"};
    return kind < TVG_SYNC_KINDS ? names[kind] : names[0];
}

size_t tvg_encode_sync(void *out, size_t capacity, const struct tvg_sync *rows, size_t count, void *scratch)
{
    struct tvg_map map;
    tvg_map_begin(&map, out, capacity);
    tvg_columns_put(&map, columns, TVG_SYNC_COLUMNS, rows, sizeof *rows, count, scratch);
    return tvg_map_end(&map, TVG_BLOCK_SYNC);
}

long tvg_decode_sync(const void *payload, size_t length, struct tvg_sync *rows, void *scratch, size_t scratch_bytes)
{
    return tvg_columns_get(payload, length, columns, TVG_SYNC_COLUMNS, rows, sizeof *rows, TVG_SYNC_MAX, NULL, scratch, scratch_bytes);
}
