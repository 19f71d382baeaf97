/* The table of rewrites. A new one is one file under rewrites/ and one line here. */
#include "rewrite.h"

#include <string.h>

#define REWRITES(X) X(tf32) X(bf16) X(fp16) X(int8_w8a8) X(fp8) X(int4_weights) X(qkv_merge) X(horizontal_batching) \
    X(fuse_pointwise) X(fuse_epilogue) X(layout_removal) X(cuda_graphs) X(batching) X(cpu_threads) X(pruning) X(sparsity_2_4) X(common_calls) X(idle_clocks)

#define DECLARE(name) extern const struct tvg_rewrite tvg_rewrite_##name;
REWRITES(DECLARE)

#define ENTRY(name) &tvg_rewrite_##name,
const struct tvg_rewrite *const tvg_rewrites[] = {REWRITES(ENTRY) NULL};

const struct tvg_rewrite *tvg_rewrite_find(const char *name)
{
    for (const struct tvg_rewrite *const *rewrite = tvg_rewrites; *rewrite; rewrite++)
        if (strcmp((*rewrite)->name, name) == 0)
            return *rewrite;
    return NULL;
}
