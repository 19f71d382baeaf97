/* Entry points of engines whose products are not followed: that they ran is said in the coverage record, so that their time is no riddle. */
#include <string.h>

#include "../intercept/any_arguments.h"
#include "../intercept/resolve.h"
#include "../intercept/wrapper.h"
#include "../record/record.h"

/* By the beginning of the entry's name: what a reader knows it by, and why it is not counted. */
static const struct { const char *prefix, *what, *why; } engines[] = {
    {"xnn_", "XNNPACK below XLA", "graphs that XLA hands to XNNPACK in some versions are not followed: their products are not counted"},
    {"_ZN3xla3cpu16EmitDotOperation", "XLA's own loops", "XLA compiled a product into code of its own (a matrix times a vector, or a small one): it is not counted"},
    {"_ZN2at6native", "PyTorch's sparse products", "products of sparse tensors are not counted"},
};

tvg_any_function tvg_hook_uncounted;
TVG_HOOK_BODY uintptr_t tvg_hook_uncounted(uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e, uintptr_t f, struct tvg_stack_arguments rest)
{
    TVG_TAKE_ENTRY(entry);
    static uint32_t said; /* a bit for each engine */
    for (unsigned i = 0; i < sizeof engines / sizeof *engines; i++)
        if (!(__atomic_load_n(&said, __ATOMIC_RELAXED) >> i & 1) && strncmp(entry->name, engines[i].prefix, strlen(engines[i].prefix)) == 0) {
            __atomic_fetch_or(&said, 1u << i, __ATOMIC_RELAXED);
            tvg_note("found-not-catchable", engines[i].what, engines[i].why);
            tvg_recording_begin();
        }
    return TVG_FUNCTION(tvg_any_function, tvg_target(entry, NULL))(a, b, c, d, e, f, rest);
}
