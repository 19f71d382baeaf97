/* The file header: a fixed prefix with two checksums, then a msgpack map. */
#include "block.h"
#include "check.h"
#include "cursor.h"

size_t tvg_encode_file_header(void *out, size_t capacity, const struct tvg_file_header *header)
{
    struct tvg_file_prefix prefix = {.version = TVG_FORMAT_VERSION};
    struct tvg_map map;
    if (capacity < sizeof prefix)
        return 0;
    tvg_map_begin_bare(&map, (char *)out + sizeof prefix, capacity - sizeof prefix);
    tvg_map_uint(&map, "pid", header->pid);
    tvg_map_uint(&map, "ppid", header->ppid);
    tvg_map_uint(&map, "tid", header->tid);
    tvg_map_uint(&map, "grid", header->grid_shift);
    tvg_map_uint(&map, "tsc", header->ticks_are_tsc);
    tvg_map_double(&map, "rate", header->ticks_per_ns);
    tvg_map_array(&map, "at", 3);
    tvg_map_uint(&map, NULL, header->anchor.ticks);
    tvg_map_uint(&map, NULL, header->anchor.mono_ns);
    tvg_map_uint(&map, NULL, header->anchor.wall_ns);
    tvg_map_uint(&map, "began", header->process_start_mono_ns);
    tvg_map_uint(&map, "used", header->cpu_process_ns);
    tvg_map_string(&map, "command", header->command);
    tvg_map_string(&map, "host", header->host);
    tvg_map_string(&map, "rings", header->rings);
    tvg_map_string(&map, "tool", header->tool);
    size_t length = tvg_map_finish(&map);
    if (!length)
        return 0;
    memcpy(prefix.magic, TVG_FILE_MAGIC, sizeof prefix.magic);
    prefix.length = (uint32_t)length;
    prefix.payload_check = tvg_checksum((char *)out + sizeof prefix, length);
    prefix.prefix_check = tvg_checksum(&prefix, offsetof(struct tvg_file_prefix, prefix_check));
    memcpy(out, &prefix, sizeof prefix);
    return sizeof prefix + length;
}

static void get_anchor(struct tvg_cursor cursor, struct tvg_anchor *anchor)
{
    struct tvg_token array = tvg_cursor_next(&cursor);
    if (array.kind != TVG_TOKEN_ARRAY || array.length < 3)
        return;
    struct tvg_token ticks = tvg_cursor_next(&cursor), mono = tvg_cursor_next(&cursor), wall = tvg_cursor_next(&cursor);
    *anchor = (struct tvg_anchor){tvg_token_uint(&ticks, 0), tvg_token_uint(&mono, 0), tvg_token_uint(&wall, 0)};
}

int tvg_decode_file_header(const void *data, size_t length, struct tvg_file_header *header, size_t *size, char *strings, size_t capacity)
{
    struct tvg_file_prefix prefix;
    struct tvg_strings store = {strings, capacity};
    *header = (struct tvg_file_header){.command = "", .host = "", .rings = "", .tool = ""};
    if (length < sizeof prefix.magic || memcmp(data, TVG_FILE_MAGIC, sizeof prefix.magic) != 0)
        return TVG_HEADER_NOT_A_TRACE;
    if (length < sizeof prefix)
        return TVG_HEADER_CUT;
    memcpy(&prefix, data, sizeof prefix);
    if (prefix.prefix_check != tvg_checksum(&prefix, offsetof(struct tvg_file_prefix, prefix_check)))
        return TVG_HEADER_DAMAGED;
    header->version = prefix.version;
    if (prefix.version > TVG_FORMAT_VERSION)
        return TVG_HEADER_NEWER;
    if (prefix.version == 0 || prefix.length > TVG_BLOCK_LENGTH_MAX)
        return TVG_HEADER_DAMAGED;
    *size = sizeof prefix + prefix.length;
    if (length < *size)
        return TVG_HEADER_CUT;
    const uint8_t *payload = (const uint8_t *)data + sizeof prefix;
    if (tvg_checksum(payload, prefix.length) != prefix.payload_check || tvg_msgpack_check(payload, prefix.length) != 0)
        return TVG_HEADER_DAMAGED;

    struct tvg_cursor cursor = {payload, payload + prefix.length};
    struct tvg_token map = tvg_cursor_next(&cursor);
    for (uint32_t i = 0; i < map.length; i++) {
        struct tvg_token key = tvg_cursor_next(&cursor);
        struct tvg_cursor value_at = cursor, after_token = cursor;
        struct tvg_token value = tvg_cursor_next(&after_token);
        if (key.kind != TVG_TOKEN_STRING || !tvg_cursor_skip(&cursor, 16))
            return TVG_HEADER_DAMAGED;
        if (tvg_token_is(&key, "pid"))
            header->pid = (uint32_t)tvg_token_uint(&value, 0);
        else if (tvg_token_is(&key, "ppid"))
            header->ppid = (uint32_t)tvg_token_uint(&value, 0);
        else if (tvg_token_is(&key, "tid"))
            header->tid = (uint32_t)tvg_token_uint(&value, 0);
        else if (tvg_token_is(&key, "grid"))
            header->grid_shift = (uint32_t)tvg_token_uint(&value, 0);
        else if (tvg_token_is(&key, "tsc"))
            header->ticks_are_tsc = tvg_token_uint(&value, 0) != 0;
        else if (tvg_token_is(&key, "rate"))
            header->ticks_per_ns = tvg_token_double(&value, 0);
        else if (tvg_token_is(&key, "at"))
            get_anchor(value_at, &header->anchor);
        else if (tvg_token_is(&key, "began"))
            header->process_start_mono_ns = tvg_token_uint(&value, 0);
        else if (tvg_token_is(&key, "used"))
            header->cpu_process_ns = tvg_token_uint(&value, 0);
        else if (value.kind != TVG_TOKEN_STRING)
            continue;
        else if (tvg_token_is(&key, "command"))
            header->command = tvg_strings_copy(&store, &value);
        else if (tvg_token_is(&key, "host"))
            header->host = tvg_strings_copy(&store, &value);
        else if (tvg_token_is(&key, "rings"))
            header->rings = tvg_strings_copy(&store, &value);
        else if (tvg_token_is(&key, "tool"))
            header->tool = tvg_strings_copy(&store, &value);
    }
    /* A rate or grid that no recorder writes would turn times into nonsense or undefined shifts. */
    if (header->grid_shift > 32 || !(header->ticks_per_ns > 1e-6 && header->ticks_per_ns < 1e3))
        return TVG_HEADER_DAMAGED;
    return TVG_HEADER_OK;
}
