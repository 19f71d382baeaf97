#include <stdlib.h>
#include <string.h>

#include "fake_gpu.h"

static unsigned long long energy = 1000;
void fake_nvml_add(unsigned long long millijoules) { __atomic_fetch_add(&energy, millijoules, __ATOMIC_RELAXED); }
int nvmlInit_v2(void) { return getenv("FAKE_NVML_REFUSES") ? 9 : 0; }
const char *nvmlErrorString(int result) { return result == 9 ? "Driver Not Loaded" : "?"; }
int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, void **device) { *device = (void *)1; return strcmp(bus, "0000:01:00.0"); }
int nvmlDeviceGetName(void *device, char *name, unsigned length) { (void)device; strncpy(name, "NVIDIA H100 80GB HBM3", length); return 0; }
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *mj) { (void)device; *mj = __atomic_load_n(&energy, __ATOMIC_RELAXED); return 0; }
int nvmlDeviceGetPowerUsage(void *device, unsigned *mw) { (void)device; *mw = 125000; return 0; }
int nvmlDeviceGetClockInfo(void *device, int type, unsigned *mhz) { (void)device, (void)type; *mhz = 1980; return 0; }
int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *celsius) { (void)device, (void)sensor; *celsius = 44; return 0; }
int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned *count, void *infos) { (void)device, (void)infos; *count = getenv("FAKE_NVML_PROCESSES") ? (unsigned)atoi(getenv("FAKE_NVML_PROCESSES")) : 0; return 0; }
int nvmlDeviceGetMigMode(void *device, unsigned *current, unsigned *pending) { (void)device; *current = *pending = getenv("FAKE_NVML_MIG") != NULL; return 0; }
int nvmlGpmQueryDeviceSupport(void *device, unsigned *support) { (void)device; support[1] = !getenv("FAKE_GPM_REFUSES"); return 0; }
int nvmlGpmSampleAlloc(void **sample) { *sample = calloc(1, 8); return 0; }
int nvmlGpmSampleGet(void *device, unsigned *sample) { static unsigned taken; (void)device; *sample = ++taken; return 0; }
struct fake_metrics { unsigned version, count; unsigned *first, *second; struct { unsigned id; int result; double value; const char *text[3]; } metric[32]; };
int nvmlGpmMetricsGet(struct fake_metrics *all) /* sane only for a pair in the order in which it was taken */
{
    for (unsigned i = 0; i < all->count; i++) {
        all->metric[i].value = *all->second == *all->first + 1 ? all->metric[i].id + 0.5 : -1;
        all->metric[i].result = all->metric[i].id == 11 ? 3 : 0;
    }
    return all->version == 1 ? 0 : 25;
}
