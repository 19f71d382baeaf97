/* Stand-ins for libcuda, libcupti, libnvidia-ml and libcublas: enough of each for the shim's GPU sources to run on a machine without one.
 * A launch makes what CUPTI would: the callback in the launching thread, the kernel's record. Times are CLOCK_MONOTONIC by the callback. */
#ifndef FAKE_GPU_H
#define FAKE_GPU_H
#include <stddef.h>
#include <stdint.h>

/* In the stand-in libcupti: a kernel of `ns` launched now by the calling thread. */
void fake_cupti_launch(const char *name, uint64_t ns, int blocks);
/* Launches go into a graph instead of running, until it is switched off and instantiated; then it can be replayed, 50 us a kernel. */
void fake_cupti_capture(int on);
void fake_cupti_replay(void);
/* In the stand-in libnvidia-ml: the counter has moved by so much. */
void fake_nvml_add(unsigned long long millijoules);
#endif
