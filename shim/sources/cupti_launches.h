/* Who launched what: the launching thread, time and library call of each correlation id, and of each node of a CUDA graph, as CUPTI's
 * callbacks tell them while the launch or the capture goes on. cupti.c ties activity records to these. */
#ifndef TVG_SHIM_CUPTI_LAUNCHES_H
#define TVG_SHIM_CUPTI_LAUNCHES_H

#include <stdbool.h>
#include <stdint.h>

struct tvg_launch {
    uint32_t correlation, tid;
    uint32_t cause; /* op id of the recorded library call in progress; TVG_OP_ID_NONE: none */
    uint64_t start_ns;
};

/* Subscribes to CUPTI's callbacks; `library` is its dlopen handle. False with *why when it can't (a profiler of the host has the one place). */
bool tvg_launches_start(void *library, const char **why);
/* Ends the subscription: what was learnt stays readable. */
void tvg_launches_stop(void);
/* Recording goes on (after a pause) or stops for a while. */
void tvg_launches_enable(bool on);

/* The launch of `correlation`. False: not seen, or so long ago that its place was used again. */
bool tvg_launch_of(uint32_t correlation, struct tvg_launch *out);
/* The library call that was captured as graph node `node` (of a captured graph or of one instantiated from it). *first: the node is the first
 * kernel of that call, so that each replay of it is one execution of the call. TVG_OP_ID_NONE when no library call made the node. */
uint32_t tvg_node_cause(uint64_t node, bool *first);

#endif
