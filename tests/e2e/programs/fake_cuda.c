#include <stdint.h>
#include <string.h>
int cuInit(unsigned flags) { return (int)flags; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDeviceGetPCIBusId(char *id, int length, int device) { (void)device; strncpy(id, "0000:01:00.0", (size_t)length); return 0; }
/* The stand-in libcupti, where the process has it, is what runs kernels and graphs. */
void fake_cupti_run(const char *, uint64_t, int) __attribute__((weak));
void fake_cupti_replay(void) __attribute__((weak));
int cuLaunchKernel(void *name, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned ns, void *stream, void **parameters, void **extra)
{
    (void)gy, (void)gz, (void)bx, (void)by, (void)bz, (void)stream, (void)parameters, (void)extra;
    fake_cupti_run(name, ns, (int)gx);
    return 0;
}
int cuGraphLaunch(void *graph, void *stream) { (void)graph, (void)stream; fake_cupti_replay(); return 0; }
int cuGetProcAddress_v2(const char *name, void **function, int version, uint64_t flags, void *status)
{
    (void)version, (void)flags, (void)status;
    *function = strcmp(name, "cuInit") == 0           ? (void *)(uintptr_t)cuInit
                : strcmp(name, "cuLaunchKernel") == 0 ? (void *)(uintptr_t)cuLaunchKernel
                : strcmp(name, "cuGraphLaunch") == 0  ? (void *)(uintptr_t)cuGraphLaunch
                                                      : 0;
    return *function ? 0 : 500;
}
