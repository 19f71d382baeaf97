/* Reading msgpack from outside without allocation: a cursor over bytes that never leaves them. For the codec itself (op maps, OPS blocks,
 * the file header) and for checking payloads before a general unpacker sees them. */
#ifndef TVG_TRACE_CURSOR_H
#define TVG_TRACE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tvg_cursor {
    const uint8_t *at, *end;
};

enum tvg_token_kind { TVG_TOKEN_BAD = 0, TVG_TOKEN_NIL, TVG_TOKEN_BOOL, TVG_TOKEN_UINT, TVG_TOKEN_INT, TVG_TOKEN_DOUBLE, TVG_TOKEN_STRING,
                      TVG_TOKEN_BINARY, TVG_TOKEN_EXTENSION, TVG_TOKEN_ARRAY, TVG_TOKEN_MAP };
struct tvg_token {
    enum tvg_token_kind kind;
    union {
        uint64_t uint;   /* UINT; BOOL: 0 or 1 */
        int64_t integer; /* INT: negative */
        double real;     /* DOUBLE */
    };
    const uint8_t *data; /* STRING, BINARY, EXTENSION */
    uint32_t length;     /* of data; ARRAY: members; MAP: pairs */
};

/* The next token; containers give their count only, the members follow. TVG_TOKEN_BAD at the end, at a bad byte, or when a length or
 * count is more than the bytes left could hold. */
struct tvg_token tvg_cursor_next(struct tvg_cursor *cursor);
/* Steps over one whole value, containers included, at most `depth` deep. False when it is not whole. */
bool tvg_cursor_skip(struct tvg_cursor *cursor, unsigned depth);
/* True when `token` is a string equal to `text`. */
bool tvg_token_is(const struct tvg_token *token, const char *text);
/* The value as an integer; `otherwise` for tokens of other kinds or out of range. */
uint64_t tvg_token_uint(const struct tvg_token *token, uint64_t otherwise);
int64_t tvg_token_int(const struct tvg_token *token, int64_t otherwise);
double tvg_token_double(const struct tvg_token *token, double otherwise);

/* Strings copied out of a payload into the caller's memory, each with a NUL. */
struct tvg_strings {
    char *at;
    size_t left;
};
/* A copy of a string token, cut when it does not fit; "" for other kinds and when no byte is left; NULL for nil. NULs inside end it. */
const char *tvg_strings_copy(struct tvg_strings *strings, const struct tvg_token *token);

#endif
