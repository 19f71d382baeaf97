/* A msgpack cursor for bytes that nobody vouches for. */
#include "cursor.h"

#include <string.h>

#include "block.h"

static uint64_t big_endian(const uint8_t *bytes, unsigned count)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < count; i++)
        value = value << 8 | bytes[i];
    return value;
}

/* Takes `count` bytes as an unsigned number; false when they are not there. */
static bool take(struct tvg_cursor *cursor, unsigned count, uint64_t *value)
{
    if ((size_t)(cursor->end - cursor->at) < count)
        return false;
    *value = big_endian(cursor->at, count);
    cursor->at += count;
    return true;
}

static struct tvg_token bytes_token(struct tvg_cursor *cursor, enum tvg_token_kind kind, uint64_t length)
{
    struct tvg_token token = {.kind = kind, .data = cursor->at, .length = (uint32_t)length};
    if (length > (uint64_t)(cursor->end - cursor->at))
        return (struct tvg_token){0};
    cursor->at += length;
    return token;
}

static struct tvg_token container(struct tvg_cursor *cursor, enum tvg_token_kind kind, uint64_t members)
{
    uint64_t least = kind == TVG_TOKEN_MAP ? 2 * members : members; /* every value is a byte at least */
    if (least > (uint64_t)(cursor->end - cursor->at))
        return (struct tvg_token){0};
    return (struct tvg_token){.kind = kind, .length = (uint32_t)members};
}

static struct tvg_token number(struct tvg_cursor *cursor, unsigned count, bool is_signed)
{
    uint64_t value;
    if (!take(cursor, count, &value))
        return (struct tvg_token){0};
    if (is_signed && (value >> (8 * count - 1) & 1)) {
        uint64_t extended = count == 8 ? value : value | UINT64_MAX << (8 * count);
        return (struct tvg_token){.kind = TVG_TOKEN_INT, .integer = (int64_t)extended};
    }
    return (struct tvg_token){.kind = TVG_TOKEN_UINT, .uint = value};
}

struct tvg_token tvg_cursor_next(struct tvg_cursor *cursor)
{
    struct tvg_token bad = {0};
    uint64_t value;
    if (cursor->at >= cursor->end)
        return bad;
    uint8_t tag = *cursor->at++;
    if (tag < 0x80)
        return (struct tvg_token){.kind = TVG_TOKEN_UINT, .uint = tag};
    if (tag < 0x90)
        return container(cursor, TVG_TOKEN_MAP, tag & 15);
    if (tag < 0xa0)
        return container(cursor, TVG_TOKEN_ARRAY, tag & 15);
    if (tag < 0xc0)
        return bytes_token(cursor, TVG_TOKEN_STRING, tag & 31);
    if (tag >= 0xe0)
        return (struct tvg_token){.kind = TVG_TOKEN_INT, .integer = (int8_t)tag};
    switch (tag) {
    case 0xc0:
        return (struct tvg_token){.kind = TVG_TOKEN_NIL};
    case 0xc2: case 0xc3:
        return (struct tvg_token){.kind = TVG_TOKEN_BOOL, .uint = tag & 1};
    case 0xc4: case 0xc5: case 0xc6:
        return take(cursor, 1u << (tag - 0xc4), &value) ? bytes_token(cursor, TVG_TOKEN_BINARY, value) : bad;
    case 0xc7: case 0xc8: case 0xc9:
        return take(cursor, 1u << (tag - 0xc7), &value) ? bytes_token(cursor, TVG_TOKEN_EXTENSION, value + 1) : bad;
    case 0xca: {
        float real;
        if (!take(cursor, 4, &value))
            return bad;
        uint32_t bits = (uint32_t)value;
        memcpy(&real, &bits, sizeof real);
        return (struct tvg_token){.kind = TVG_TOKEN_DOUBLE, .real = (double)real};
    }
    case 0xcb: {
        double real;
        if (!take(cursor, 8, &value))
            return bad;
        memcpy(&real, &value, sizeof real);
        return (struct tvg_token){.kind = TVG_TOKEN_DOUBLE, .real = real};
    }
    case 0xcc: case 0xcd: case 0xce: case 0xcf:
        return number(cursor, 1u << (tag - 0xcc), false);
    case 0xd0: case 0xd1: case 0xd2: case 0xd3:
        return number(cursor, 1u << (tag - 0xd0), true);
    case 0xd4: case 0xd5: case 0xd6: case 0xd7: case 0xd8:
        return bytes_token(cursor, TVG_TOKEN_EXTENSION, (1u << (tag - 0xd4)) + 1);
    case 0xd9: case 0xda: case 0xdb:
        return take(cursor, 1u << (tag - 0xd9), &value) ? bytes_token(cursor, TVG_TOKEN_STRING, value) : bad;
    case 0xdc: case 0xdd:
        return take(cursor, 2u << (tag - 0xdc), &value) ? container(cursor, TVG_TOKEN_ARRAY, value) : bad;
    case 0xde: case 0xdf:
        return take(cursor, 2u << (tag - 0xde), &value) ? container(cursor, TVG_TOKEN_MAP, value) : bad;
    default:
        return bad;
    }
}

bool tvg_cursor_skip(struct tvg_cursor *cursor, unsigned depth)
{
    /* left[d]: values still to come at depth d. Each value is a byte at least, so the walk ends with the bytes. */
    uint64_t left[32] = {1};
    unsigned level = 0;
    if (depth >= sizeof left / sizeof left[0])
        return false;
    for (;;) {
        while (left[level] == 0) {
            if (level-- == 0)
                return true;
        }
        left[level]--;
        struct tvg_token token = tvg_cursor_next(cursor);
        if (token.kind == TVG_TOKEN_BAD)
            return false;
        if (token.kind == TVG_TOKEN_ARRAY || token.kind == TVG_TOKEN_MAP) {
            if (level == depth)
                return false;
            left[++level] = token.kind == TVG_TOKEN_MAP ? 2 * (uint64_t)token.length : token.length;
        }
    }
}

int tvg_msgpack_check(const void *data, size_t length)
{
    struct tvg_cursor cursor = {data, (const uint8_t *)data + length};
    struct tvg_cursor first = cursor;
    if (tvg_cursor_next(&first).kind != TVG_TOKEN_MAP)
        return -1;
    return tvg_cursor_skip(&cursor, 16) && cursor.at == cursor.end ? 0 : -1;
}

bool tvg_token_is(const struct tvg_token *token, const char *text)
{
    return token->kind == TVG_TOKEN_STRING && token->length == strlen(text) && memcmp(token->data, text, token->length) == 0;
}

uint64_t tvg_token_uint(const struct tvg_token *token, uint64_t otherwise)
{
    return token->kind == TVG_TOKEN_UINT || token->kind == TVG_TOKEN_BOOL ? token->uint : otherwise;
}

int64_t tvg_token_int(const struct tvg_token *token, int64_t otherwise)
{
    if (token->kind == TVG_TOKEN_INT)
        return token->integer;
    return token->kind == TVG_TOKEN_UINT && token->uint <= INT64_MAX ? (int64_t)token->uint : otherwise;
}

double tvg_token_double(const struct tvg_token *token, double otherwise)
{
    switch (token->kind) {
    case TVG_TOKEN_DOUBLE:
        return token->real;
    case TVG_TOKEN_UINT:
        return (double)token->uint;
    case TVG_TOKEN_INT:
        return (double)token->integer;
    default:
        return otherwise;
    }
}

const char *tvg_strings_copy(struct tvg_strings *strings, const struct tvg_token *token)
{
    if (token->kind == TVG_TOKEN_NIL)
        return NULL;
    if (token->kind != TVG_TOKEN_STRING || strings->left == 0)
        return "";
    size_t length = token->length < strings->left - 1 ? token->length : strings->left - 1;
    char *copy = strings->at;
    memcpy(copy, token->data, length);
    copy[length] = 0;
    strings->at += length + 1;
    strings->left -= length + 1;
    return copy;
}
