/* What the GPU sources share: they start when the process has initialised CUDA (not with the trace), and kernels are tied to the
 * recorded library call that launched them. */
#ifndef TVG_SHIM_GPU_H
#define TVG_SHIM_GPU_H

#include <stdbool.h>
#include <stdint.h>

/* Called by the cuInit wrapper after it succeeded, in the thread that called it. Starts what TVG_SOURCES allows; later calls do nothing. */
void tvg_gpu_initialised(void);

/* Around the real call of a recorded GPU library function: launches in between are tied to op `op_id`. _end gives false when the call did not
 * run but was captured into a CUDA graph: then it is not to be recorded, each replay of its first kernel counts it. (True while CUPTI is not ours.) */
void tvg_gpu_launches_begin(uint32_t op_id);
bool tvg_gpu_launches_end(void);
/* Says once for each function and status that a call returned an error: it computed nothing and is not recorded. Keeps errno. */
struct tvg_entry;
void tvg_gpu_call_failed(const struct tvg_entry *entry, int status);

/* The host took CUPTI for a profiler of its own: flush what is there, stop, say so. Called by the wrapper of cuptiActivityRegisterCallbacks
 * before the host's own call goes on. */
void tvg_cupti_yield(const char *to_whom);

#endif
