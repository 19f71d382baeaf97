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
/* In the stand-in libcublas: how long its products' first kernel takes from now on; the second takes a quarter of it. */
void fake_cublas_takes(uint64_t ns);
/* Launches go into a graph instead of running, until it is switched off and instantiated; then it can be replayed, 50 us a kernel. */
void fake_cupti_capture(int on);
void fake_cupti_replay(void);
/* In the stand-in libnvidia-ml: the counter has moved by so much. */
void fake_nvml_add(unsigned long long millijoules);
#endif
