/* Stand-ins for libcuda, libcupti, libnvidia-ml and libcublas: enough of each for the shim's GPU sources to run on a machine without one.
 * A launch makes what CUPTI would: the callback in the launching thread, the kernel's record. Times are CLOCK_MONOTONIC by the callback. */
#ifndef FAKE_GPU_H
#define FAKE_GPU_H
#include <stddef.h>
#include <stdint.h>

/* In the stand-in libcupti: a kernel of `ns` launched now by the calling thread. */
void fake_cupti_launch(const char *name, uint64_t ns, int blocks);
/* The same behind the driver's door: what cuLaunchKernel of the stand-in libcuda does. */
void fake_cupti_run(const char *name, uint64_t ns, int blocks);
/* From now on one kernel runs after the other, and launches go through `through`, the process's cuLaunchKernel (shared memory: the ns). */
typedef int fake_launch(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *, void **, void **);
void fake_cupti_serial(fake_launch *through);
/* What ran, recorded or not; the last one has no name. */
enum { FAKE_TOTALS = 16 };
struct fake_total {
    const char *name;
    uint64_t count, ns;
};
const struct fake_total *fake_cupti_totals(void);
/* A driver call (CUPTI's id and the arguments as its callbacks give them) in a context, which returns `status` at `until` (CLOCK_MONOTONIC ns; 0: at once). */
int fake_cupti_driver(uint32_t id, const void *parameters, void *context, int status, uint64_t until);
/* A stream is made (id 3) or goes (4); a graph node is made. */
void fake_cupti_stream(uint32_t id, void *context, void *stream);
void fake_cupti_node(void);
/* A kernel of `ns` in a stream by its number, not before `after`; a copy to the host (a call by its id; `waits`: until it is done). They give when it ends. */
uint64_t fake_cupti_kernel(uint32_t stream, const char *name, uint64_t after, uint64_t ns);
uint64_t fake_cupti_copy(uint32_t id, uint32_t stream, uint64_t bytes, uint64_t ns, int waits);
/* A graph of one kernel, launched in a stream, whose record names another one. Gives when it ends. */
uint64_t fake_cupti_graph(void *stream, uint32_t runs_in, const char *name, uint64_t ns);
uint64_t fake_cupti_until(uint64_t at);
/* In the stand-in libcublas: how long its products' first kernel takes from now on; the second takes a quarter of it. */
void fake_cublas_takes(uint64_t ns);
/* Launches go into a graph instead of running, until it is switched off and instantiated; then it can be replayed, 50 us a kernel. */
void fake_cupti_capture(int on);
void fake_cupti_replay(void);
/* In the stand-in libnvidia-ml: the counter has moved by so much. */
void fake_nvml_add(unsigned long long millijoules);
#endif
