/* What tells ops apart: 128 bits over all that an op says. */
#ifndef TVG_SHIM_CONTENT_H
#define TVG_SHIM_CONTENT_H

#include <stdbool.h>
#include <stdint.h>

#include "../../trace/op.h"

struct tvg_content {
    uint64_t low, high;
};

/* `by_text`: library, function and name are told apart by what they say; else by their addresses, for those that lie where they are for good. The caller is
 * not part of it, nor are FLOP and bytes that follow from the shape (no TVG_OP_FLOP_GIVEN). */
struct tvg_content tvg_content_of(const struct tvg_op *op, bool by_text);

#endif
