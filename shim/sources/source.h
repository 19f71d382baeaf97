/* A source samples something beside the ops: counters, stacks, energy meters, CPU time. Each is optional at run time: it is opened by
 * dlopen or by its files, and when it can't be, it says why in the trace and the run goes on. Adding a source is one file and one line in sources.c. */
#ifndef TVG_SHIM_SOURCE_H
#define TVG_SHIM_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

struct tvg_slot;

struct tvg_source {
    const char *name; /* as in TVG_SOURCES: "rapl", "papi", "stacks", "cputime", "nvml", "cupti", "dark" */
    bool by_default;  /* used when TVG_SOURCES is unset */
    bool with_cuda;   /* started when the process has initialised CUDA, not with the trace */
    /* Called at load when the source is chosen, or NULL: opens the libraries it needs. Later another thread may hold the loader's lock while it
     * waits for the one that records (a constructor that joins a thread): a dlopen then would never return. */
    void (*prepare)(void);
    /* Called once, when the trace opens. False: it refused, and has said why with tvg_note("source-refused", name, why). */
    bool (*start)(void);
    /* Called on the slow path each time a block of ops is written (signals blocked, no malloc), or NULL. */
    void (*on_block)(void);
    /* Called right before and right after a recorded call, or NULL: only sources that count per op set these, and they make the
     * recorder take its slower path. */
    void (*on_begin)(const struct tvg_slot *slot);
    void (*on_end)(const struct tvg_slot *slot);
    /* Called when the host pauses the recording and when it goes on, or NULL. */
    void (*pause)(bool paused);
    /* Called at a clean end and in a forked child before it starts anew, or NULL. */
    void (*stop)(void);
};

extern const struct tvg_source *const tvg_sources[]; /* NULL-terminated */

/* What the recorder calls. All keep errno; none of them is needed for recording to work. A source that refused is not called again.
 * A forked child calls tvg_sources_stop (which then writes nothing: sources compare the process id) and tvg_sources_start anew. */

/* Reads TVG_SOURCES (a comma-separated list, "none", "default"; "+papi" adds to the defaults) and TVG_STACKS with secure_getenv. At load, once. */
void tvg_sources_configure(void);
/* Writes the MANIFEST block and starts the chosen sources: once per trace, right after its file is open and tvg_block_append works.
 * Not under a lock that tvg_block_append or tvg_note takes. */
void tvg_sources_start(void);
/* Starts the chosen sources that wait for CUDA: after cuInit succeeded (gpu.h). Once per process. */
void tvg_sources_start_cuda(void);
/* The host paused the recording (tvg_pause), or goes on. */
void tvg_sources_pause(bool paused);
/* After each block of ops was written. Several threads may call it at once. */
void tvg_sources_block(void);
/* At a clean end, before the END block; and in a forked child. */
void tvg_sources_stop(void);
/* True when a started source counts per op: only then does the recorder call the two below around each recorded call. */
extern bool tvg_sources_per_op;
void tvg_sources_begin(const struct tvg_slot *slot);
void tvg_sources_end(const struct tvg_slot *slot);

/* The MANIFEST block, written by tvg_sources_start (manifest.c). */
void tvg_manifest_write(void);
/* True when TVG_SOURCES asks for the source by its own name, not only by default. */
bool tvg_source_is_named(const struct tvg_source *source);
/* The root of /sys and /proc for sources: "" or, in tests, the folder named by TVG_SYSFS_ROOT (never in a setuid program). */
const char *tvg_sources_root(void);

#endif
