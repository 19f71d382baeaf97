/* NVML's GPU performance monitoring: see gpm.h. A metric is made of two samples of one board; each sample is the second of one pair and the
 * first of the next. Without the permission, or before Hopper, NVML says so and the meter goes on alone. */
#include "gpm.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "../record/record.h"

/* Structures of nvml.h, written down: they are versioned, and version 1 has been there since it appeared (driver 520). */
struct support {
    unsigned version, supported;
};
struct metric {
    unsigned id;
    int result;
    double value;
    const char *short_name, *long_name, *unit;
};
enum { ROOM = 512 }; /* of metrics: the library may look at its whole array, which has grown with the versions */
struct metrics {
    unsigned version, count;
    void *first, *second;
    struct metric metric[ROOM];
};

static struct {
    int (*QueryDeviceSupport)(void *device, struct support *support);
    int (*SampleAlloc)(void **sample);
    int (*SampleGet)(void *device, void *sample);
    int (*MetricsGet)(struct metrics *metrics);
} gpm;

/* Percent of the time between two samples, or MiB/s. */
static const struct { unsigned id; const char *key; } wanted[] = {
    {1, "graphics_active"}, {2, "sm_active"}, {3, "sm_occupancy"}, {4, "int_active"}, {5, "tensor_active"}, {10, "dram_active"},
    {11, "fp64_active"}, {12, "fp32_active"}, {13, "fp16_active"}, {20, "pcie_tx_mib_s"}, {21, "pcie_rx_mib_s"},
};
enum { WANTED = sizeof wanted / sizeof wanted[0] };

static struct {
    void *device, *sample[2];
    unsigned taken;
} boards[TVG_GPM_BOARDS];
static struct metrics metrics; /* one thread samples */

static bool bind(void *library)
{
    static const struct { const char *name; void *place; } functions[] = {
        {"nvmlGpmQueryDeviceSupport", &gpm.QueryDeviceSupport},
        {"nvmlGpmSampleAlloc", &gpm.SampleAlloc},
        {"nvmlGpmSampleGet", &gpm.SampleGet},
        {"nvmlGpmMetricsGet", &gpm.MetricsGet},
    };
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        void *symbol = dlsym(library, functions[i].name);
        if (!symbol) return false;
        memcpy(functions[i].place, &symbol, sizeof symbol);
    }
    return true;
}

void tvg_gpm_open(void *library, int index, void *device)
{
    struct support support = {.version = 1};
    const char *why = NULL;
    char text[64];
    int result = 0;
    if (index < 0 || index >= TVG_GPM_BOARDS) return;
    if (!bind(library)) why = "this driver's NVML has none";
    else if ((result = gpm.QueryDeviceSupport(device, &support)) == 0 && !support.supported) why = "this board has none (Hopper and later do)";
    else if (result || (result = gpm.SampleAlloc(&boards[index].sample[0])) || (result = gpm.SampleAlloc(&boards[index].sample[1])) ||
             (result = gpm.SampleGet(device, boards[index].sample[0]))) {
        snprintf(text, sizeof text, "NVML refused with %d%s", result, result == 4 ? ": no permission" : "");
        why = text;
    }
    if (why) {
        tvg_note("source-refused", "gpm", why);
        return;
    }
    boards[index].taken = 1;
    boards[index].device = device;
}

void tvg_gpm_sample(int index, struct tvg_map *map)
{
    if (index < 0 || index >= TVG_GPM_BOARDS || !boards[index].device) return;
    unsigned now = boards[index].taken & 1;
    if (gpm.SampleGet(boards[index].device, boards[index].sample[now]) != 0) return;
    metrics.version = 1;
    metrics.count = WANTED;
    metrics.first = boards[index].sample[!now];
    metrics.second = boards[index].sample[now];
    for (unsigned i = 0; i < WANTED; i++) metrics.metric[i].id = wanted[i].id;
    boards[index].taken++;
    if (gpm.MetricsGet(&metrics) != 0) return;
    for (unsigned i = 0; i < WANTED; i++)
        if (metrics.metric[i].result == 0) tvg_map_double(map, wanted[i].key, metrics.metric[i].value);
}
