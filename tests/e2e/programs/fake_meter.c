/* Stand-in for libnvidia-ml with a counter that integrates, or with FAKE_METER_PART only looks at the last quarter of each tick; and, with CUDA defined, for
 * libcuda, whose fillings draw power. FAKE_METER_TICK: the counter's tick in ms. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void fake_meter_busy(double from, double to); /* in the stand-in libnvidia-ml */

static inline double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec * 1e-9;
}

#ifdef CUDA
int cuInit(unsigned flags) { return (int)flags; }
int cuDeviceGetCount(int *count) { *count = getenv("FAKE_METER_NO_CARD") ? 0 : 1; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return 0; }
int cuDeviceGetPCIBusId(char *id, int length, int device) { (void)device; strncpy(id, "0000:01:00.0", (size_t)length); return 0; }
int cuDevicePrimaryCtxRetain(void **context, int device) { (void)device; *context = (void *)1; return 0; }
int cuDevicePrimaryCtxRelease_v2(int device) { return device; }
int cuCtxSetCurrent(void *context) { return context ? 0 : 1; }
int cuMemGetInfo_v2(size_t *free_bytes, size_t *all) { *free_bytes = *all = (size_t)1 << 30; return 0; }
int cuMemAlloc_v2(unsigned long long *memory, size_t bytes) { *memory = bytes; return 0; }
int cuMemFree_v2(unsigned long long memory) { return memory ? 0 : 1; }
static int queued;
int cuMemsetD32Async(unsigned long long memory, unsigned value, size_t words, void *stream) { (void)memory, (void)value, (void)words, (void)stream; queued++; return 0; }
int cuCtxSynchronize(void) /* half a millisecond a filling; what the sleep takes longer is work too */
{
    double from = now();
    long ns = queued * 500000L;
    nanosleep(&(struct timespec){ns / 1000000000, ns % 1000000000}, NULL);
    fake_meter_busy(from, now());
    queued = 0;
    return 0;
}
#else
enum { SPANS = 4096 };
static struct { double from, to; } spans[SPANS];
static int span_count;
static double began, watched = 100, working = 300;
void fake_meter_busy(double from, double to) { if (span_count < SPANS) spans[span_count].from = from, spans[span_count++].to = to; }
int nvmlInit_v2(void) { began = began ? began : now(); return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, void **device) { *device = (void *)1; return strcmp(bus, "0000:01:00.0"); }
int nvmlDeviceGetName(void *device, char *name, unsigned length) { (void)device; strncpy(name, "Made Up 9000", length); return 0; }
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *mj)
{
    double tick = (getenv("FAKE_METER_TICK") ? atof(getenv("FAKE_METER_TICK")) : 100) * 1e-3, looks = getenv("FAKE_METER_PART") ? tick / 4 : tick, joules = 0;
    long ticks = (long)((now() - began) / tick);
    (void)device;
    for (int i = 0; i < span_count; i++)
        for (long k = (long)((spans[i].from - began) / tick); k < ticks && began + (double)k * tick < spans[i].to; k++) {
            double end = began + (double)(k + 1) * tick, from = spans[i].from > end - looks ? spans[i].from : end - looks, to = spans[i].to < end ? spans[i].to : end;
            joules += to > from ? (to - from) * working * tick / looks : 0;
        }
    *mj = (unsigned long long)(1e3 * (joules + watched * (double)ticks * tick));
    return 0;
}
#endif
