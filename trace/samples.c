/* The codec of SAMPLES blocks: see samples.h and FORMAT.md. */
#include "samples.h"

#include <string.h>

#include "block.h"
#include "cursor.h"
#include "varint.h"

enum { COLUMNS = 3 };
static const char *const column_name[COLUMNS] = {"time", "tid", "object"};

/* Folders that frameworks compile into: what lies there was made for this run. */
static const char *const compiled_into[] = {"/torchinductor_", "/torch_extensions/", "/.triton/"};

/* torch.compile's libraries lie where the user says, as XY/cXY....so: the name is a hash of 52 characters of base 32, the folder two of them. */
static bool is_hash_in_its_folder(const char *path, size_t name)
{
    enum { HASH = 52 };
    if (name < 4 || path[name - 4] != '/' || strspn(path + name, "abcdefghijklmnopqrstuvwxyz234567") != HASH || path[name + HASH] != '.')
        return false;
    return path[name - 3] == path[name + 1] && path[name - 2] == path[name + 2];
}

enum tvg_object_kind tvg_object_of_path(const char *path, char *name)
{
    static const char deleted[] = " (deleted)";
    size_t length = strlen(path), cut = sizeof deleted - 1;
    enum tvg_object_kind kind = TVG_OBJECT_FILE;
    name[0] = 0;
    if (strcmp(path, "[vdso]") == 0 || strcmp(path, "[vsyscall]") == 0) {
        strcpy(name, path);
        return TVG_OBJECT_FILE;
    }
    if (path[0] != '/' || path[1] == '/' || strncmp(path, "/memfd:", 7) == 0 || strncmp(path, "/dev/zero", 9) == 0 || strncmp(path, "/SYSV", 5) == 0)
        return TVG_OBJECT_MADE;
    for (size_t i = 0; i < sizeof compiled_into / sizeof compiled_into[0]; i++)
        if (strstr(path, compiled_into[i]))
            kind = TVG_OBJECT_COMPILED;
    if (length > cut && strcmp(path + length - cut, deleted) == 0)
        length -= cut;
    size_t from = length;
    while (path[from - 1] != '/')
        from--;
    if (is_hash_in_its_folder(path, from))
        kind = TVG_OBJECT_COMPILED;
    length -= from;
    if (length >= TVG_OBJECT_NAME_MAX)
        length = TVG_OBJECT_NAME_MAX - 1;
    memcpy(name, path + from, length);
    name[length] = 0;
    return kind;
}

static const char *hex(const char *at, uint64_t *value)
{
    *value = 0;
    for (;; at++) {
        unsigned digit = *at >= '0' && *at <= '9' ? (unsigned)(*at - '0') : *at >= 'a' && *at <= 'f' ? (unsigned)(*at - 'a') + 10 : 16;
        if (digit == 16)
            return at;
        *value = *value << 4 | digit;
    }
}

/* "7f12a000-7f12b000 r-xp 00001000 08:01 1234    /usr/lib/libm.so.6" */
bool tvg_mapping_of_line(const char *line, struct tvg_mapping *mapping)
{
    const char *at = hex(line, &mapping->begin);
    if (*at != '-')
        return false;
    at = hex(at + 1, &mapping->end);
    if (strlen(at) < 4 || at[3] != 'x')
        return false;
    for (int field = 0; field < 4; field++) { /* rights, offset, device, inode */
        at += strspn(at, " ");
        at += strcspn(at, " ");
    }
    mapping->kind = tvg_object_of_path(at + strspn(at, " "), mapping->name);
    return true;
}

static uint64_t value_of(const struct tvg_cpu_sample *sample, int column)
{
    return column == 0 ? sample->mono_ns / 1000 : column == 1 ? sample->tid : sample->object;
}

static void set_value(struct tvg_cpu_sample *sample, int column, uint64_t value)
{
    if (column == 0)
        sample->mono_ns = value * 1000;
    else if (column == 1)
        sample->tid = (uint32_t)value;
    else
        sample->object = (uint32_t)value;
}

size_t tvg_encode_samples(void *out, size_t capacity, const struct tvg_samples_info *info, const struct tvg_cpu_sample *samples,
                          const struct tvg_sampled_object *objects, uint32_t object_count, void *scratch)
{
    struct tvg_map map;
    tvg_map_begin(&map, out, capacity);
    tvg_map_uint(&map, "period", info->period_ns);
    tvg_map_uint(&map, "since", info->since_ns);
    tvg_map_uint(&map, "before", info->before_ns);
    tvg_map_uint(&map, "lost", info->lost);
    tvg_map_uint(&map, "cost", info->cost_ns);
    tvg_map_uint(&map, "kernel", info->kernel);
    tvg_map_array(&map, "objects", object_count);
    for (uint32_t i = 0; i < object_count; i++) {
        tvg_map_array(&map, NULL, 3);
        tvg_map_uint(&map, NULL, objects[i].index);
        tvg_map_uint(&map, NULL, objects[i].kind);
        tvg_map_string(&map, NULL, objects[i].name);
    }
    tvg_map_uint(&map, "count", info->count);
    for (int column = 0; column < COLUMNS; column++) {
        uint8_t *at = scratch;
        uint64_t before = 0;
        for (uint32_t i = 0; i < info->count; i++) {
            uint64_t value = value_of(&samples[i], column);
            at = tvg_varint_put(at, value - before);
            before = value;
        }
        tvg_map_binary(&map, column_name[column], scratch, (size_t)(at - (uint8_t *)scratch));
    }
    return tvg_map_end(&map, TVG_BLOCK_SAMPLES);
}

static bool read_object(struct tvg_cursor *cursor, struct tvg_sampled_object *object)
{
    struct tvg_token entry = tvg_cursor_next(cursor);
    if (entry.kind != TVG_TOKEN_ARRAY || entry.length < 3)
        return false;
    struct tvg_token index = tvg_cursor_next(cursor), kind = tvg_cursor_next(cursor), name = tvg_cursor_next(cursor);
    uint64_t number = tvg_token_uint(&index, UINT64_MAX), what = tvg_token_uint(&kind, TVG_OBJECT_UNKNOWN);
    if (number >= TVG_OBJECTS_MAX || name.kind != TVG_TOKEN_STRING)
        return false;
    *object = (struct tvg_sampled_object){(uint32_t)number, what < TVG_OBJECT_KINDS ? (uint32_t)what : TVG_OBJECT_UNKNOWN, (const char *)name.data, name.length};
    for (uint32_t i = 3; i < entry.length; i++)
        if (!tvg_cursor_skip(cursor, 16))
            return false;
    return true;
}

/* Walks the list, and calls `object` for each entry unless it is NULL. */
static bool read_objects(struct tvg_cursor cursor, uint32_t count, void (*object)(const struct tvg_sampled_object *, void *), void *context)
{
    for (uint32_t i = 0; i < count; i++) {
        struct tvg_sampled_object one;
        if (!read_object(&cursor, &one))
            return false;
        if (object)
            object(&one, context);
    }
    return true;
}

int tvg_decode_samples(const void *payload, size_t length, struct tvg_samples_info *info, struct tvg_cpu_sample *samples,
                       void (*object)(const struct tvg_sampled_object *, void *), void *context)
{
    struct tvg_cursor cursor = {payload, (const uint8_t *)payload + length}, objects = {NULL, NULL};
    struct tvg_token map = tvg_cursor_next(&cursor), column[COLUMNS];
    const struct { const char *name; uint64_t *place; } number[] = {
        {"period", &info->period_ns}, {"since", &info->since_ns}, {"before", &info->before_ns}, {"lost", &info->lost}, {"cost", &info->cost_ns}};
    uint64_t count = 0;
    uint32_t object_count = 0;
    memset(info, 0, sizeof *info);
    memset(column, 0, sizeof column);
    if (map.kind != TVG_TOKEN_MAP)
        return -1;
    for (uint32_t i = 0; i < map.length; i++) {
        struct tvg_token key = tvg_cursor_next(&cursor);
        struct tvg_cursor inside = cursor;
        struct tvg_token value = tvg_cursor_next(&inside);
        if (key.kind != TVG_TOKEN_STRING || !tvg_cursor_skip(&cursor, 16))
            return -1;
        for (size_t k = 0; k < sizeof number / sizeof number[0]; k++)
            if (tvg_token_is(&key, number[k].name))
                *number[k].place = tvg_token_uint(&value, 0);
        if (tvg_token_is(&key, "kernel"))
            info->kernel = tvg_token_uint(&value, 0) != 0;
        else if (tvg_token_is(&key, "count"))
            count = tvg_token_uint(&value, 0);
        else if (tvg_token_is(&key, "objects") && value.kind == TVG_TOKEN_ARRAY) {
            objects = inside;
            object_count = value.length;
        }
        for (int c = 0; c < COLUMNS; c++)
            if (tvg_token_is(&key, column_name[c]))
                column[c] = value;
    }
    if (count > TVG_SAMPLES_MAX || !read_objects(objects, object_count, NULL, NULL))
        return -1;
    for (int c = 0; c < COLUMNS; c++) {
        uint64_t value = 0, difference;
        const uint8_t *at = column[c].data;
        if (count && column[c].kind != TVG_TOKEN_BINARY)
            return -1;
        for (uint64_t i = 0; i < count; i++) {
            at = tvg_varint_get(at, column[c].data + column[c].length, &difference);
            if (!at)
                return -1;
            value += difference;
            set_value(&samples[i], c, value);
        }
    }
    info->count = (uint32_t)count;
    read_objects(objects, object_count, object, context);
    return 0;
}
