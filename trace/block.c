/* Blocks: sealing, checking, and the msgpack map writer that fills all but the OPS columns. */
#include "block.h"

#include <msgpack/pack.h>

#include "check.h"
#include "rings.h"

_Static_assert(sizeof(struct tvg_block_header) == 24, "layout of a block");
_Static_assert(sizeof(struct tvg_file_prefix) == 32, "layout of the file header");

static uint32_t header_checksum(struct tvg_block_header header)
{
    header.header_check = 0;
    return (uint32_t)tvg_checksum(&header, sizeof header);
}

size_t tvg_block_seal(void *block, enum tvg_block_kind kind, size_t payload_length)
{
    struct tvg_block_header header = {.magic = TVG_BLOCK_MAGIC, .kind = (uint16_t)kind, .length = (uint32_t)payload_length};
    header.payload_check = tvg_checksum((char *)block + sizeof header, payload_length);
    header.header_check = header_checksum(header);
    memcpy(block, &header, sizeof header);
    return sizeof header + payload_length;
}

int tvg_block_header_check(const struct tvg_block_header *header)
{
    return header->magic == TVG_BLOCK_MAGIC && header->header_check == header_checksum(*header) && header->length <= TVG_BLOCK_LENGTH_MAX ? 0 : -1;
}

int tvg_block_payload_check(const struct tvg_block_header *header, const void *payload)
{
    return tvg_checksum(payload, header->length) == header->payload_check ? 0 : -1;
}

void tvg_rings_header_seal(struct tvg_rings_header *header)
{
    memcpy(header->magic, TVG_RINGS_MAGIC, sizeof header->magic);
    header->version = TVG_RINGS_VERSION;
    header->ring_bytes = tvg_ring_bytes(header->slots);
    header->check = tvg_checksum(header, offsetof(struct tvg_rings_header, check));
}

int tvg_rings_header_check(const struct tvg_rings_header *header)
{
    return memcmp(header->magic, TVG_RINGS_MAGIC, sizeof header->magic) == 0 && header->version == TVG_RINGS_VERSION &&
                   header->check == tvg_checksum(header, offsetof(struct tvg_rings_header, check)) && header->slots >= 1 &&
                   header->slots <= TVG_OPS_MAX && header->ring_bytes == tvg_ring_bytes(header->slots)
               ? 0
               : -1;
}

/* --- the map writer --- */

static int map_write(void *data, const char *bytes, size_t length)
{
    struct tvg_map *map = data;
    if (map->failed || length > map->capacity - map->used) {
        map->failed = 1;
        return -1;
    }
    memcpy(map->out + map->used, bytes, length);
    map->used += length;
    return 0;
}

static msgpack_packer packer_of(struct tvg_map *map)
{
    msgpack_packer packer;
    msgpack_packer_init(&packer, map, map_write);
    return packer;
}

/* Writes the key and accounts for one member of the innermost open container. */
static void map_member(struct tvg_map *map, msgpack_packer *packer, const char *key)
{
    if (map->depth == 0) {
        map->members++;
    } else if (map->open[map->depth - 1].left-- == 0) {
        map->failed = 1;
        return;
    }
    bool wants_key = map->depth == 0 || map->open[map->depth - 1].is_map;
    if (wants_key != (key != NULL)) {
        map->failed = 1;
    } else if (key) {
        size_t length = strlen(key);
        msgpack_pack_str(packer, length);
        msgpack_pack_str_body(packer, key, length);
    }
}

static void map_close_full(struct tvg_map *map)
{
    while (map->depth > 0 && map->open[map->depth - 1].left == 0)
        map->depth--;
}

static void map_begin_at(struct tvg_map *map, void *out, size_t capacity, size_t start)
{
    /* The outermost map has a 16-bit count, patched in tvg_map_finish. */
    *map = (struct tvg_map){.out = out, .start = start, .used = start + 3, .capacity = capacity};
    if (capacity < map->used) {
        map->used = 0;
        map->failed = 1;
    } else {
        map->out[start] = 0xde;
    }
}

void tvg_map_begin(struct tvg_map *map, void *out, size_t capacity)
{
    map_begin_at(map, out, capacity, sizeof(struct tvg_block_header));
}

void tvg_map_begin_bare(struct tvg_map *map, void *out, size_t capacity)
{
    map_begin_at(map, out, capacity, 0);
}

void tvg_map_uint(struct tvg_map *map, const char *key, uint64_t value)
{
    msgpack_packer packer = packer_of(map);
    map_member(map, &packer, key);
    msgpack_pack_uint64(&packer, value);
    map_close_full(map);
}

void tvg_map_int(struct tvg_map *map, const char *key, int64_t value)
{
    msgpack_packer packer = packer_of(map);
    map_member(map, &packer, key);
    msgpack_pack_int64(&packer, value);
    map_close_full(map);
}

void tvg_map_double(struct tvg_map *map, const char *key, double value)
{
    msgpack_packer packer = packer_of(map);
    map_member(map, &packer, key);
    msgpack_pack_double(&packer, value);
    map_close_full(map);
}

void tvg_map_string(struct tvg_map *map, const char *key, const char *value)
{
    msgpack_packer packer = packer_of(map);
    map_member(map, &packer, key);
    if (value) {
        size_t length = strlen(value);
        msgpack_pack_str(&packer, length);
        msgpack_pack_str_body(&packer, value, length);
    } else {
        msgpack_pack_nil(&packer);
    }
    map_close_full(map);
}

void tvg_map_binary(struct tvg_map *map, const char *key, const void *data, size_t length)
{
    msgpack_packer packer = packer_of(map);
    map_member(map, &packer, key);
    msgpack_pack_bin(&packer, length);
    msgpack_pack_bin_body(&packer, data, length);
    map_close_full(map);
}

static void map_open(struct tvg_map *map, uint32_t members, uint32_t is_map)
{
    if (map->depth == (int)(sizeof map->open / sizeof map->open[0])) {
        map->failed = 1;
        return;
    }
    map->open[map->depth].left = members;
    map->open[map->depth++].is_map = is_map;
    map_close_full(map);
}

void tvg_map_map(struct tvg_map *map, const char *key, uint32_t members)
{
    msgpack_packer packer = packer_of(map);
    map_member(map, &packer, key);
    msgpack_pack_map(&packer, members);
    map_open(map, members, 1);
}

void tvg_map_array(struct tvg_map *map, const char *key, uint32_t members)
{
    msgpack_packer packer = packer_of(map);
    map_member(map, &packer, key);
    msgpack_pack_array(&packer, members);
    map_open(map, members, 0);
}

size_t tvg_map_finish(struct tvg_map *map)
{
    if (map->failed || map->depth != 0 || map->members > UINT16_MAX)
        return 0;
    map->out[map->start + 1] = (uint8_t)(map->members >> 8);
    map->out[map->start + 2] = (uint8_t)map->members;
    return map->used - map->start;
}

size_t tvg_map_end(struct tvg_map *map, enum tvg_block_kind kind)
{
    size_t length = tvg_map_finish(map);
    return length && length <= TVG_BLOCK_LENGTH_MAX ? tvg_block_seal(map->out, kind, length) : 0;
}
