/* Replays the launches of a run on its host and stream lanes with other kernel times, fewer or more launches: when it would end. */
#ifndef TVG_GPU_REPLAY_H
#define TVG_GPU_REPLAY_H

#include "../analyzer/profile.h"

/* What a pause of the host that ended as the card ran dry is taken for. Traces without recorded waits only: they tell copies back to the host apart,
 * and no other waits. With them both readings are the same. */
enum tvg_wait_reading { TVG_WAIT_IS_HOST = 0, /* the host had work of its own: a faster card saves nothing there */ TVG_WAIT_IS_CARD /* the host waited for the card */ };

/* Wall seconds that `rewritten` (a changed copy of `profile`, its added ops behind) ends before `profile`, by replay of profile->timeline, stretched to the
 * whole run where the timeline holds a part of it. `stretch`: factor on the card time of each op of `rewritten`, or NULL. Negative: it
 * ends later. 0 with an empty timeline. False: memory is out. */
bool tvg_gpu_replay(double *saved, const struct tvg_profile *profile, const struct tvg_profile *rewritten, const double *stretch, enum tvg_wait_reading reading);

/* The launches that repeat: covered[row] is set for rows of the timeline that lie in a pass whose kernels, one by one, are those of the pass before it,
 * head[row] for the first launch of such a pass. Copies to the host end a graph. */
struct tvg_cycles {
    uint32_t period;          /* kernels of one pass; 0: nothing repeats */
    uint32_t passes, covered_rows, reads; /* passes covered; launches in them; copies to the host in them */
    double attention_seconds, seconds;    /* kernel time in them: of attention, of all */
    unsigned char *covered, *head;
};
/* False: memory is out. Freed with tvg_cycles_free. */
bool tvg_cycles_find(struct tvg_cycles *cycles, const struct tvg_profile *profile);
void tvg_cycles_free(struct tvg_cycles *cycles);

#endif
