/* GPU board energy from NVML's total-energy counter, with power, clocks, temperature and throttle reasons beside it, on a thread of its own.
 * The counter moves every 100 ms: each sample is taken right after it moved, so that windows start and end on a tick.
 * Only devices that CUDA lets the process see are read. */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../trace/block.h"
#include "../record/record.h"
#include "gpm.h"
#include "gpu.h"
#include "tables.h"

enum { DEVICES_MAX = TVG_GPM_BOARDS, TICK_MS = 100, POLL_MS = 5, STATE_EVERY = 5 /* ticks */ };

static struct {
    int (*Init)(void);
    int (*DeviceGetHandleByUUID)(const char *uuid, void **device);
    int (*DeviceGetHandleByPciBusId)(const char *bus, void **device);
    int (*DeviceGetName)(void *device, char *name, unsigned length);
    int (*DeviceGetTotalEnergyConsumption)(void *device, unsigned long long *millijoules);
    int (*DeviceGetPowerUsage)(void *device, unsigned *milliwatts);
    int (*DeviceGetClockInfo)(void *device, int type, unsigned *mhz);
    int (*DeviceGetTemperature)(void *device, int sensor, unsigned *celsius);
    int (*DeviceGetThrottle)(void *device, unsigned long long *reasons);
    int (*DeviceGetComputeProcesses)(void *device, unsigned *count, void *infos);
    int (*DeviceGetUtilization)(void *device, void *rates);
    int (*DeviceGetMigMode)(void *device, unsigned *current, unsigned *pending);
    int (*SystemGetDriverVersion)(char *version, unsigned length);
    const char *(*ErrorString)(int result);
} nvml;

static struct board {
    void *handle;
    char name[16]; /* "gpu-0": the CUDA ordinal, as in kernel records */
    unsigned long long last_mj;
    struct { /* before this process had a context on it: the driver's average over the last second */
        unsigned milliwatts, sm_mhz, celsius, processes;
        bool known, written;
    } rest;
} boards[DEVICES_MAX];
static int board_count;
static pid_t owner;
static atomic_bool running;
static pthread_mutex_t sampling = PTHREAD_MUTEX_INITIALIZER;
static uint64_t cost_ns, tick_number;
static uint8_t block[1024];

/* NVML sleeps in the driver for most of a call: what it costs the process is CPU time. */
static uint64_t thread_cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void pause_ms(long ms)
{
    struct timespec pause = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&pause, NULL);
}

/* One ENERGY block a board: the counter as every meter gives it, and the board's state beside it every few ticks (each of those is a call
 * of up to a millisecond). */
static void write_sample(uint64_t mono)
{
    for (int i = 0; i < board_count; i++) {
        struct board *board = &boards[i];
        void *device = board->handle;
        struct tvg_map map;
        tvg_map_begin(&map, block, sizeof block);
        tvg_map_string(&map, "meter", board->name);
        tvg_map_string(&map, "boundary", "board");
        tvg_map_string(&map, "unit", "mJ");
        tvg_map_uint(&map, "range", 0);
        tvg_map_array(&map, "ns", 1);
        tvg_map_uint(&map, NULL, mono);
        tvg_map_array(&map, "value", 1);
        tvg_map_uint(&map, NULL, board->last_mj);
        tvg_map_uint(&map, "cost", i == 0 ? cost_ns : 0);
        tvg_gpm_sample(i, &map);
        if (board->rest.known && !board->rest.written) {
            tvg_map_uint(&map, "rest_mw", board->rest.milliwatts);
            tvg_map_uint(&map, "rest_sm_mhz", board->rest.sm_mhz);
            tvg_map_uint(&map, "rest_celsius", board->rest.celsius);
            tvg_map_uint(&map, "rest_processes", board->rest.processes);
            board->rest.written = true;
        }
        if (tick_number % STATE_EVERY == 0) {
            unsigned power = 0, sm = 0, memory = 0, celsius = 0, processes = 0;
            unsigned long long throttle = 0;
            struct { unsigned gpu, memory; } utilization = {0, 0};
            if (nvml.DeviceGetPowerUsage(device, &power) == 0)
                tvg_map_uint(&map, "power_mw", power); /* the driver's own average */
            if (nvml.DeviceGetClockInfo(device, 1, &sm) == 0)
                tvg_map_uint(&map, "sm_mhz", sm);
            if (nvml.DeviceGetClockInfo(device, 2, &memory) == 0)
                tvg_map_uint(&map, "memory_mhz", memory);
            if (nvml.DeviceGetTemperature(device, 0, &celsius) == 0)
                tvg_map_uint(&map, "celsius", celsius);
            if (nvml.DeviceGetThrottle && nvml.DeviceGetThrottle(device, &throttle) == 0)
                tvg_map_uint(&map, "throttle", throttle); /* NVML's clock event reasons, a bit mask */
            if (nvml.DeviceGetUtilization && nvml.DeviceGetUtilization(device, &utilization) == 0)
                tvg_map_uint(&map, "utilization", utilization.gpu); /* percent of time some kernel was resident */
            if (nvml.DeviceGetComputeProcesses) { /* asked for with no room: the count alone comes back */
                nvml.DeviceGetComputeProcesses(device, &processes, NULL);
                tvg_map_uint(&map, "processes", processes);
            }
        }
        size_t length = tvg_map_end(&map, TVG_BLOCK_ENERGY);
        if (length)
            tvg_block_append(block, length);
    }
    tick_number++;
}

/* The board without us: called right after cuInit, when no context of this process is on it yet. */
static void read_rest(struct board *board)
{
    board->rest.known = nvml.DeviceGetComputeProcesses && nvml.DeviceGetPowerUsage(board->handle, &board->rest.milliwatts) == 0 &&
                        nvml.DeviceGetClockInfo(board->handle, 1, &board->rest.sm_mhz) == 0 &&
                        nvml.DeviceGetTemperature(board->handle, 0, &board->rest.celsius) == 0;
    if (board->rest.known)
        nvml.DeviceGetComputeProcesses(board->handle, &board->rest.processes, NULL);
}

/* Waits until the first board's counter moves (at most `limit_ms`), reads all of them, writes a sample. */
static void sample_at_tick(long limit_ms)
{
    pthread_mutex_lock(&sampling);
    uint64_t begin = tvg_mono_ns(), cpu = thread_cpu_ns();
    for (;;) {
        unsigned long long now_mj = boards[0].last_mj;
        if (nvml.DeviceGetTotalEnergyConsumption(boards[0].handle, &now_mj) != 0)
            break;
        uint64_t mono = tvg_mono_ns();
        if (now_mj != boards[0].last_mj || (mono - begin) / 1000000u > (uint64_t)limit_ms) {
            boards[0].last_mj = now_mj;
            for (int i = 1; i < board_count; i++)
                nvml.DeviceGetTotalEnergyConsumption(boards[i].handle, &boards[i].last_mj);
            write_sample(mono);
            break;
        }
        pause_ms(POLL_MS);
    }
    cost_ns += thread_cpu_ns() - cpu;
    pthread_mutex_unlock(&sampling);
}

static void sampling_loop(void)
{
    while (atomic_load_explicit(&running, memory_order_acquire)) {
        sample_at_tick(2 * TICK_MS);
        pause_ms(TICK_MS - 2 * POLL_MS);
    }
}

static void end_sampling(void)
{
    if (getpid() != owner || !atomic_exchange(&running, false))
        return;
    sample_at_tick(2 * TICK_MS); /* the last window ends on a tick, after the last work */
}

static bool refuse(const char *step, int result)
{
    char why[200];
    snprintf(why, sizeof why, "%s: %s", step, nvml.ErrorString ? nvml.ErrorString(result) : "refused");
    tvg_note("source-refused", "nvml", why);
    return false;
}

/* CUDA's own view decides which boards count: CUDA_VISIBLE_DEVICES may hide or reorder them, and a MIG instance has a parent. */
static int find_boards(void)
{
    int (*device_count)(int *) = NULL;
    int (*bus_id)(char *, int, int) = NULL;
    void *cuda = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
    if (!cuda)
        return 0;
    void *symbol = dlsym(cuda, "cuDeviceGetCount");
    memcpy(&device_count, &symbol, sizeof symbol);
    symbol = dlsym(cuda, "cuDeviceGetPCIBusId");
    memcpy(&bus_id, &symbol, sizeof symbol);
    int count = 0;
    if (!device_count || !bus_id || device_count(&count) != 0)
        return 0;
    for (int ordinal = 0; ordinal < count && board_count < DEVICES_MAX; ordinal++) {
        char bus[32] = "";
        struct board *board = &boards[board_count];
        if (bus_id(bus, sizeof bus, ordinal) != 0 || nvml.DeviceGetHandleByPciBusId(bus, &board->handle) != 0)
            continue;
        snprintf(board->name, sizeof board->name, "gpu-%d", ordinal);
        unsigned mig = 0, pending = 0;
        if (nvml.DeviceGetMigMode && nvml.DeviceGetMigMode(board->handle, &mig, &pending) == 0 && mig)
            tvg_note("meter-shared", board->name, "MIG is on: the counter is that of the whole board");
        board_count++;
    }
    return board_count;
}

static bool nvml_start(void)
{
    void *handle = dlopen("libnvidia-ml.so.1", RTLD_LAZY | RTLD_LOCAL);
    if (!handle) {
        tvg_note("source-refused", "nvml", "libnvidia-ml.so.1 is not on the library path");
        return false;
    }
    struct { const char *name; void *place; bool needed; } wanted[] = {
        {"nvmlInit_v2", &nvml.Init, true},
        {"nvmlDeviceGetHandleByPciBusId_v2", &nvml.DeviceGetHandleByPciBusId, true},
        {"nvmlDeviceGetName", &nvml.DeviceGetName, true},
        {"nvmlDeviceGetTotalEnergyConsumption", &nvml.DeviceGetTotalEnergyConsumption, true},
        {"nvmlDeviceGetPowerUsage", &nvml.DeviceGetPowerUsage, true},
        {"nvmlDeviceGetClockInfo", &nvml.DeviceGetClockInfo, true},
        {"nvmlDeviceGetTemperature", &nvml.DeviceGetTemperature, true},
        {"nvmlDeviceGetCurrentClocksThrottleReasons", &nvml.DeviceGetThrottle, false},
        {"nvmlDeviceGetComputeRunningProcesses_v3", &nvml.DeviceGetComputeProcesses, false},
        {"nvmlDeviceGetUtilizationRates", &nvml.DeviceGetUtilization, false},
        {"nvmlDeviceGetMigMode", &nvml.DeviceGetMigMode, false},
        {"nvmlSystemGetDriverVersion", &nvml.SystemGetDriverVersion, false},
        {"nvmlErrorString", &nvml.ErrorString, false},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        void *symbol = dlsym(handle, wanted[i].name);
        if (!symbol && wanted[i].needed) {
            tvg_note("source-refused", "nvml", wanted[i].name);
            return false;
        }
        memcpy(wanted[i].place, &symbol, sizeof symbol);
    }
    int result = nvml.Init();
    if (result != 0)
        return refuse("nvmlInit", result);
    if (!find_boards()) {
        tvg_note("source-refused", "nvml", "no device that both CUDA and NVML see");
        return false;
    }
    result = nvml.DeviceGetTotalEnergyConsumption(boards[0].handle, &boards[0].last_mj);
    if (result != 0)
        return refuse("the energy counter (Volta and later have one)", result);
    for (int i = 0; i < board_count; i++) {
        char name[96] = "?";
        nvml.DeviceGetName(boards[i].handle, name, sizeof name);
        tvg_note("gpu", boards[i].name, name);
        read_rest(&boards[i]);
        tvg_gpm_open(handle, i, boards[i].handle);
    }
    char driver[80] = "";
    if (nvml.SystemGetDriverVersion && nvml.SystemGetDriverVersion(driver, sizeof driver) == 0)
        tvg_note("gpu-driver", driver, "");
    owner = getpid();
    atomic_store_explicit(&running, true, memory_order_release);
    atexit(end_sampling);
    if (!tvg_source_thread(sampling_loop)) {
        atomic_store(&running, false);
        tvg_note("source-refused", "nvml", "no thread to sample on");
        return false;
    }
    return true;
}

static void nvml_stop(void) { end_sampling(); }

const struct tvg_source tvg_source_nvml = {.name = "nvml", .by_default = true, .with_cuda = true, .start = nvml_start, .stop = nvml_stop};
