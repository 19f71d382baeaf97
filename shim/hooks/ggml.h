/* Reading a ggml compute graph through the library's own functions, with the few structure offsets it does not offer checked live. */
#ifndef TVG_SHIM_HOOKS_GGML_H
#define TVG_SHIM_HOOKS_GGML_H

#include <stdint.h>

/* Records every computing node of `graph`, which ran from `start` to `end` (ticks). A node's own time can't be seen from outside the engine:
 * the graph's time is shared out over its nodes by a roofline estimate (flag TVG_OP_TIME_SHARED), so that their sum is the graph's, exactly.
 * `code` is an address inside the library that ran it. Says in the coverage record when the library's layout is not one that is known. */
void tvg_ggml_record_graph(const void *graph, uint64_t start, uint64_t end, const void *code);

#endif
