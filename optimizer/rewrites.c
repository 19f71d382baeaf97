/* The table of rewrites. A new one is one file under rewrites/ and one line here. */
#include "rewrite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
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

bool tvg_assumption_accepts(const struct tvg_rewrite *rewrite, double value, char *why, size_t size)
{
    if (value > rewrite->assumption_low && value <= rewrite->assumption_most)
        return true;
    snprintf(why, size, "%s=%g: it is above %g and at most %g", rewrite->assumption, value, rewrite->assumption_low, rewrite->assumption_most);
    return false;
}

bool tvg_rewrite_accepts(const struct tvg_rewrite *rewrite, const char *argument, char *why, size_t size)
{
    enum { COUNT_MAX = 65535 };
    char *end;
    if (!argument)
        return true;
    double value = strtod(argument, &end);
    bool number = end != argument && !*end && isfinite(value);
    if (rewrite->assumption) {
        if (number)
            return tvg_assumption_accepts(rewrite, value, why, size);
        snprintf(why, size, "%s takes a number (%s), not \"%.40s\"", rewrite->name, rewrite->assumption, argument);
        return false;
    }
    bool counts = rewrite->takes && strcmp(rewrite->takes, "N") == 0;
    if (counts ? number && value >= 1 && value <= COUNT_MAX && value == floor(value) : rewrite->takes && strcmp(argument, rewrite->takes) == 0)
        return true;
    if (counts)
        snprintf(why, size, "%s takes a whole number from 1 to %d, not \"%.40s\"", rewrite->name, COUNT_MAX, argument);
    else
        snprintf(why, size, rewrite->takes ? "%s takes no argument but %s, not \"%.40s\"" : "%s takes no argument%.0s, not \"%.40s\"", rewrite->name,
                 rewrite->takes ? rewrite->takes : "", argument);
    return false;
}
