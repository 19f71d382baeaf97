/* Two multiplicative hashes side by side, so that the latency of one hides the other's. */
#include "content.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static inline void mix(struct tvg_content *content, uint64_t value)
{
    content->low = (content->low ^ value) * 0x9e3779b97f4a7c15u;
    content->low ^= content->low >> 32;
    content->high = (content->high + value) * 0xc2b2ae3d27d4eb4fu;
    content->high ^= content->high >> 29;
}

static uint64_t text(const char *string, bool by_text)
{
    return by_text && string ? XXH3_64bits(string, strlen(string)) : (uint64_t)(uintptr_t)string;
}

struct tvg_content tvg_content_of(const struct tvg_op *op, bool by_text)
{
    struct tvg_content content = {1, 2};
    mix(&content, text(op->function, by_text) ^ text(op->library, by_text) << 1);
    mix(&content, text(op->name, by_text));
    mix(&content, op->kind | (uint64_t)op->type_a << 16 | (uint64_t)op->type_b << 24 | (uint64_t)op->type_c << 32 | (uint64_t)op->type_compute << 40 |
                      (uint64_t)op->dim_count << 48 | (uint64_t)op->dim_spatial << 56);
    mix(&content, op->net | (uint64_t)op->on_gpu << 8 | (uint64_t)(uint16_t)op->device << 16 | (uint64_t)op->threads << 32);
    mix(&content, op->flags | (uint64_t)op->epilogue << 32);
    const int64_t number[] = {op->m, op->n, op->k, op->batch, op->lda, op->ldb, op->ldc, op->stride_a, op->stride_b, op->stride_c};
    for (size_t i = 0; i < sizeof number / sizeof *number; i++) mix(&content, (uint64_t)number[i]);
    for (int i = 0; i < op->dim_count && i < TVG_DIMS_MAX; i++) mix(&content, (uint64_t)op->dim[i]);
    if (op->flags & TVG_OP_FLOP_GIVEN) {
        mix(&content, op->flop);
        mix(&content, op->bytes_a);
        mix(&content, op->bytes_b);
        mix(&content, op->bytes_c);
        mix(&content, op->bytes);
    }
    return content;
}
