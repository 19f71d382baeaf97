/* Products quantized to 8 bits. Internal to the rewrites that are such. */
#ifndef TVG_REWRITES_QUANTIZE_H
#define TVG_REWRITES_QUANTIZE_H

#include "../rewrite.h"

struct tvg_quantized {
    enum tvg_type type;
    enum tvg_type result;         /* what a pass turns back into the type before; TVG_TYPE_NONE: the product scales its result itself */
    const char *const *cpu_flags; /* one of them makes a CPU able to; NULL: none does */
    const char *cpu_lacks;        /* the reason to refuse on a CPU without */
};
void tvg_quantize_products(struct tvg_profile *profile, const struct tvg_rewrite_context *context, struct tvg_rewrite_outcome *outcome, const struct tvg_quantized *to);

#endif
