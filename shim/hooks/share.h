/* The time of a graph, shared out among its nodes: no node's own time can be seen from outside, so each gets a part by a roofline estimate,
 * and says so (TVG_OP_TIME_SHARED). The parts lie end to end and add up to the graph's measured time exactly. */
#ifndef TVG_SHIM_HOOKS_SHARE_H
#define TVG_SHIM_HOOKS_SHARE_H

#include <stdint.h>

#include "../../trace/op.h"

/* A node's claim on its graph's time: the larger of bytes and FLOP over the ridge of a current processor, plus a barrier; in 256 bytes. */
static inline uint32_t tvg_share_weight(const struct tvg_op *op)
{
    uint64_t by_flop = op->flop / 8, by_bytes = op->bytes;
    uint64_t share = (2048 + (by_flop > by_bytes ? by_flop : by_bytes)) >> 8;
    return share > 0xffffffffu ? 0xffffffffu : (uint32_t)share;
}

/* The graph's ticks, and the weights of all its nodes and of those that have had their part. */
struct tvg_share {
    uint64_t start, end, total, done;
};

/* Where the part of the next node ends, which weighs `weight`. */
static inline uint64_t tvg_share_next(struct tvg_share *share, uint32_t weight)
{
    share->done += weight;
    return share->done == share->total ? share->end :
                                         share->start + (uint64_t)((double)(share->end - share->start) * ((double)share->done / (double)share->total));
}

#endif
