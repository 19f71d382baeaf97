/* The difference between a profile and its rewritten copy in joules and seconds. Internal to the replay. */
#ifndef TVG_SETTLE_H
#define TVG_SETTLE_H

#include "rewrite.h"

/* Totals of the rewritten run: calls, FLOP, bytes, op seconds. */
void tvg_settle_totals(struct tvg_replay *replay, const struct tvg_profile *rewritten);
/* Of boards: kernel joules by each end of the coefficients and of the times, wall time by replay of host and cards under both readings of its
 * waits. `uncertainty`: of each op's time, relative. False: memory is out. */
bool tvg_settle_boards(struct tvg_replay *replay, const struct tvg_profile *profile, const struct tvg_profile *rewritten, const double *uncertainty,
                       const struct tvg_energy *energy, const struct tvg_rewrite_context *context);
/* One end of an interval: 0 low, 1 value, 2 high. */
double tvg_interval_end(struct tvg_interval interval, int end);
/* Widens `interval` to hold `value`; `middle`: it is also the value. Begin with TVG_NOTHING. */
void tvg_interval_hold(struct tvg_interval *interval, double value, bool middle);
#define TVG_NOTHING ((struct tvg_interval){NAN, INFINITY, -INFINITY})

#endif
