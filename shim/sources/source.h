/* A source samples something beside the ops: counters, stacks, energy meters, CPU time. Each is optional at run time: it is opened by
 * dlopen or by its files, and when it can't be, it says why in the trace and the run goes on. Adding a source is one file and one line in sources.c. */
#ifndef TVG_SHIM_SOURCE_H
#define TVG_SHIM_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

struct tvg_slot;

struct tvg_source {
    const char *name; /* as in TVG_SOURCES: "rapl", "papi", "stacks", "cputime", "nvml", "cupti" */
    bool by_default;  /* used when TVG_SOURCES is unset */
    /* Called once, when the trace opens. False: it refused, and has said why with tvg_note("source-refused", name, why). */
    bool (*start)(void);
    /* Called on the slow path each time a block of ops is written (signals blocked, no malloc), or NULL. */
    void (*on_block)(void);
    /* Called right before and right after a recorded call, or NULL: only sources that count per op set these, and they make the
     * recorder take its slower path. */
    void (*on_begin)(const struct tvg_slot *slot);
    void (*on_end)(const struct tvg_slot *slot);
    /* Called at a clean end and in a forked child before it starts anew, or NULL. */
    void (*stop)(void);
};

extern const struct tvg_source *const tvg_sources[]; /* NULL-terminated */

#endif
