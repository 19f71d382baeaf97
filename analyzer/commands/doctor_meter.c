/* Runs the phase test (doctor_meter.h) through the driver's own libraries: no CUDA toolkit is needed, work is memory filled by cuMemsetD32Async. */
#include <dlfcn.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "doctor_meter.h"

/* 25 ms bursts at four phases of a 100 ms tick, two passes over the phases with several bursts each: what showed no dependence on an H100. */
enum { PASSES = 2, BURSTS = 4, REPEATS = PASSES * BURSTS, TICKS_AWAKE = 10, TICKS_AFTER = 3 };
static const double poll_s = 1e-3, longest_tick_s = 1.5;
static const size_t largest_fill = (size_t)1 << 30;

static struct {
    int (*Init)(unsigned), (*DeviceGetCount)(int *), (*DeviceGet)(int *, int), (*DeviceGetPCIBusId)(char *, int, int), (*PrimaryCtxRetain)(void **, int),
        (*PrimaryCtxRelease)(int), (*CtxSetCurrent)(void *), (*MemGetInfo)(size_t *, size_t *), (*MemAlloc)(unsigned long long *, size_t), (*MemFree)(unsigned long long),
        (*MemsetD32Async)(unsigned long long, unsigned, size_t, void *), (*CtxSynchronize)(void);
} cuda;
static struct {
    int (*Init)(void), (*Shutdown)(void), (*DeviceGetHandleByPciBusId)(const char *, void **), (*DeviceGetName)(void *, char *, unsigned),
        (*DeviceGetTotalEnergyConsumption)(void *, unsigned long long *);
} nvml;

struct entry {
    const char *name;
    void *place;
};

static bool load(const char *library, const struct entry *entries, size_t count, char why[256])
{
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        snprintf(why, 256, "%s is not installed", library);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        void *symbol = dlsym(handle, entries[i].name);
        if (!symbol) {
            snprintf(why, 256, "%s has no %s", library, entries[i].name);
            return false;
        }
        memcpy(entries[i].place, &symbol, sizeof symbol);
    }
    return true;
}

static bool load_both(char why[256])
{
    const struct entry of_cuda[] = {{"cuInit", &cuda.Init}, {"cuDeviceGetCount", &cuda.DeviceGetCount}, {"cuDeviceGet", &cuda.DeviceGet},
                                    {"cuDeviceGetPCIBusId", &cuda.DeviceGetPCIBusId}, {"cuDevicePrimaryCtxRetain", &cuda.PrimaryCtxRetain},
                                    {"cuDevicePrimaryCtxRelease_v2", &cuda.PrimaryCtxRelease}, {"cuCtxSetCurrent", &cuda.CtxSetCurrent}, {"cuMemGetInfo_v2", &cuda.MemGetInfo},
                                    {"cuMemAlloc_v2", &cuda.MemAlloc}, {"cuMemFree_v2", &cuda.MemFree}, {"cuMemsetD32Async", &cuda.MemsetD32Async},
                                    {"cuCtxSynchronize", &cuda.CtxSynchronize}};
    const struct entry of_nvml[] = {{"nvmlInit_v2", &nvml.Init}, {"nvmlShutdown", &nvml.Shutdown}, {"nvmlDeviceGetHandleByPciBusId_v2", &nvml.DeviceGetHandleByPciBusId},
                                    {"nvmlDeviceGetName", &nvml.DeviceGetName}, {"nvmlDeviceGetTotalEnergyConsumption", &nvml.DeviceGetTotalEnergyConsumption}};
    return load("libcuda.so.1", of_cuda, sizeof of_cuda / sizeof *of_cuda, why) && load("libnvidia-ml.so.1", of_nvml, sizeof of_nvml / sizeof *of_nvml, why);
}

static double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec * 1e-9;
}

static void sleep_until(double moment)
{
    double left = moment - now();
    if (left <= 0)
        return;
    struct timespec pause = {(time_t)left, (long)((left - floor(left)) * 1e9)};
    nanosleep(&pause, NULL);
}

struct card {
    void *handle;
    unsigned long long memory;
    size_t words;      /* of 32 bits, filled at a time */
    double fill_s;     /* one filling takes */
};

/* Waits for the counter to move; the joules it then shows and when. False when it does not move. */
static bool next_tick(const struct card *card, double *joules, double *at)
{
    unsigned long long before, value;
    double begun = now();
    if (nvml.DeviceGetTotalEnergyConsumption(card->handle, &before) != 0)
        return false;
    do {
        sleep_until(now() + poll_s);
        if (nvml.DeviceGetTotalEnergyConsumption(card->handle, &value) != 0 || now() - begun > longest_tick_s)
            return false;
    } while (value == before);
    *at = now();
    *joules = (double)value * 1e-3;
    return true;
}

/* Keeps the card busy for about `seconds`; how long it really was. */
static double work(const struct card *card, double seconds)
{
    int fills = card->fill_s > 0 ? (int)fmax(1, round(seconds / card->fill_s)) : 1;
    double begun = now();
    for (int i = 0; i < fills; i++)
        cuda.MemsetD32Async(card->memory, 0x3f9d70a4u + (unsigned)i, card->words, NULL);
    cuda.CtxSynchronize();
    return now() - begun;
}

static int by_value(double a, double b)
{
    return (a > b) - (a < b);
}

static double median(double *values, int count)
{
    for (int i = 1; i < count; i++)
        for (int j = i; j > 0 && by_value(values[j], values[j - 1]) < 0; j--) {
            double swap = values[j];
            values[j] = values[j - 1];
            values[j - 1] = swap;
        }
    return count ? values[count / 2] : 0;
}

/* Period of the counter and power without work. */
static bool measure_awake(struct tvg_meter_test *test, const struct card *card)
{
    double gaps[TICKS_AWAKE], first, from, joules = 0, at = 0, last;
    if (!next_tick(card, &first, &from))
        return false;
    last = from;
    for (int i = 0; i < TICKS_AWAKE; i++, last = at) {
        if (!next_tick(card, &joules, &at))
            return false;
        gaps[i] = at - last;
    }
    double usual = median(gaps, TICKS_AWAKE), ticks = round((at - from) / usual); /* one may have passed unseen */
    test->period_s = (at - from) / fmax(1, ticks);
    test->awake_watts = (joules - first) / (at - from);
    return true;
}

/* One burst that begins `offset` seconds after a tick: watts above awake while it lasted. */
static bool burst(const struct tvg_meter_test *test, const struct card *card, double offset, double *watts, double *length)
{
    double before, from, after, to;
    if (!next_tick(card, &before, &from))
        return false;
    sleep_until(from + offset);
    *length = work(card, test->period_s / TVG_METER_PHASES);
    for (int i = 0; i < TICKS_AFTER; i++)
        if (!next_tick(card, &after, &to))
            return false;
    double window = round((to - from) / test->period_s) * test->period_s; /* the counter's own: it was looked at a little later */
    *watts = (after - before - test->awake_watts * window) / *length;
    return true;
}

static bool measure_phases(struct tvg_meter_test *test, const struct card *card)
{
    double each[TVG_METER_PHASES][REPEATS], mean = 0, deviation = 0, low = INFINITY, high = -INFINITY, length, lengths = 0;
    for (int repeat = 0; repeat < REPEATS; repeat++)
        for (int phase = 0; phase < TVG_METER_PHASES; phase++) {
            if (!burst(test, card, test->period_s * phase / TVG_METER_PHASES, &each[phase][repeat], &length))
                return false;
            lengths += length;
        }
    for (int phase = 0; phase < TVG_METER_PHASES; phase++) {
        double sum = 0, square = 0;
        for (int repeat = 0; repeat < REPEATS; repeat++)
            sum += each[phase][repeat];
        test->watts[phase] = sum / REPEATS;
        for (int repeat = 0; repeat < REPEATS; repeat++)
            square += (each[phase][repeat] - test->watts[phase]) * (each[phase][repeat] - test->watts[phase]);
        deviation += square / (REPEATS - 1);
        mean += test->watts[phase] / TVG_METER_PHASES;
        low = fmin(low, test->watts[phase]);
        high = fmax(high, test->watts[phase]);
    }
    test->repeats = REPEATS;
    test->burst_s = lengths / (REPEATS * TVG_METER_PHASES);
    test->spread = mean > 0 ? (high - low) / mean : INFINITY;
    test->noise = mean > 0 ? sqrt(deviation / TVG_METER_PHASES / REPEATS) / mean : INFINITY;
    return mean > 0;
}

static bool measure(struct tvg_meter_test *test, struct card *card, char why[256])
{
    size_t free_bytes = 0, all = 0;
    cuda.MemGetInfo(&free_bytes, &all);
    size_t bytes = free_bytes / 4 < largest_fill ? free_bytes / 4 : largest_fill;
    card->words = bytes / 4;
    if (!card->words || cuda.MemAlloc(&card->memory, card->words * 4) != 0) {
        snprintf(why, 256, "no memory is free on the card");
        return false;
    }
    work(card, 0); /* the first filling loads what it needs */
    double begun = now();
    for (int i = 0; i < 8; i++)
        work(card, 0);
    card->fill_s = (now() - begun) / 8;
    bool good = measure_awake(test, card) && measure_phases(test, card);
    if (!good)
        snprintf(why, 256, "the energy counter did not move, or bursts of work did not show in it");
    cuda.MemFree(card->memory);
    return good;
}

bool tvg_meter_test(struct tvg_meter_test *test, int device, char why[256])
{
    int count = 0, handle = 0;
    void *context = NULL;
    char bus[32] = "";
    struct card card = {0};
    memset(test, 0, sizeof *test);
    why[0] = '\0';
    if (!load_both(why))
        return false;
    if (cuda.Init(0) != 0 || cuda.DeviceGetCount(&count) != 0 || (count == 0 && device == 0)) {
        snprintf(why, 256, "CUDA finds no card");
        return false;
    }
    if (device >= count)
        return false;
    if (nvml.Init() != 0) {
        snprintf(why, 256, "NVML does not start");
        return false;
    }
    bool good = cuda.DeviceGet(&handle, device) == 0 && cuda.DeviceGetPCIBusId(bus, sizeof bus, handle) == 0 && nvml.DeviceGetHandleByPciBusId(bus, &card.handle) == 0;
    if (!good)
        snprintf(why, 256, "NVML does not know card %d", device);
    else if (!(good = cuda.PrimaryCtxRetain(&context, handle) == 0 && cuda.CtxSetCurrent(context) == 0))
        snprintf(why, 256, "no context can be made on card %d", device);
    if (good)
        nvml.DeviceGetName(card.handle, test->name, sizeof test->name);
    good = good && measure(test, &card, why);
    if (context)
        cuda.PrimaryCtxRelease(handle);
    nvml.Shutdown();
    return good;
}
