/* When kernels are recorded. A record of each kernel costs the host about 1.3 us, most of it CUPTI's own: where many are launched a second, they are
 * recorded in windows of time only, and the trace says when. Library calls are recorded always, launches are counted always. */
#ifndef TVG_SHIM_KERNEL_WINDOWS_H
#define TVG_SHIM_KERNEL_WINDOWS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The number of the window that is open, counted from 1; 0: none is. Launching threads read it: what began in no window belongs to none, even where
 * CUPTI, which takes a while to be switched, records it. */
extern _Atomic uint32_t tvg_window_open;
static inline uint32_t tvg_window_now(void)
{
    return atomic_load_explicit(&tvg_window_open, memory_order_relaxed);
}

/* How recording is switched, all three by the thread that calls tvg_windows_step; `set_recording` by a host's thread that pauses too. */
struct tvg_windows_switch {
    bool (*set_recording)(bool on); /* false: CUPTI refused */
    void (*flush)(void);            /* gives what has ended on the card to the decoder */
};

/* Reads TVG_KERNELS with secure_getenv. At load, once. */
void tvg_windows_configure(void);
/* Recording has just been switched on. Says in the trace what TVG_KERNELS asks for in vain. */
void tvg_windows_start(const struct tvg_windows_switch *how);
/* Opens or closes a window when it is time. Gives the ns until it wants to be called again. */
uint64_t tvg_windows_step(void);
/* The host pauses the recording, or goes on. */
void tvg_windows_pause(bool paused);
/* Recording ends, for good where a profiler of the host takes over. */
void tvg_windows_stop(void);
/* The process ends: says what was launched until now. */
void tvg_windows_end(void);

/* Whether there was a gap yet: from then on a kernel whose launch is not known lies in no window. */
bool tvg_windows_begun(void);
/* What the decoder found: `launched` kernels so far and `replayed` ones of graphs; one that was launched in no window and began at `start_ns`. */
void tvg_windows_decoded(uint64_t launched, uint64_t replayed);
void tvg_windows_outside(uint64_t start_ns);

/* A launch of a kernel or of a graph of them, by a hook: a few ns. */
enum tvg_launched { TVG_LAUNCHED_KERNEL = 0, TVG_LAUNCHED_GRAPH, TVG_LAUNCHED_KINDS };
void tvg_windows_launched(enum tvg_launched what);

#endif
