/* Products of fp32 in a narrower floating type. Internal to the rewrites that are such. */
#ifndef TVG_REWRITES_NARROW_H
#define TVG_REWRITES_NARROW_H

#include "../rewrite.h"

struct tvg_narrow {
    enum tvg_type compute, storage;   /* storage TVG_TYPE_NONE: operands stay as they are, and need not be weights */
    const char *const *cpu_flags;     /* one of them makes a CPU able to; NULL: none does */
    const char *cpu_lacks;            /* the reason to refuse on a CPU without */
};
void tvg_narrow_products(struct tvg_profile *profile, const struct tvg_rewrite_context *context, struct tvg_rewrite_outcome *outcome, const struct tvg_narrow *narrow);

#endif
