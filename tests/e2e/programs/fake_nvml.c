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
