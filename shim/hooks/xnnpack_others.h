/* XNNPACK's operators that are no products (TVG_OPS=all), told apart from those by a registry of their own. */
#ifndef TVG_SHIM_HOOKS_XNNPACK_OTHERS_H
#define TVG_SHIM_HOOKS_XNNPACK_OTHERS_H

#include "../../trace/op.h"

struct tvg_xnn_other {
    uint8_t type_a, type_c; /* as its creation or its name says */
    bool shaped;
    struct tvg_op op;
    const void *a, *b, *c;
};

/* What is known of the operator at this address; NULL: nothing, or it is a product. */
struct tvg_xnn_other *tvg_xnn_other(const void *address);
void tvg_xnn_other_deleted(const void *address);

#endif
