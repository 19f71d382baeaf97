/* RAPL energy meters through /sys/class/powercap: packages, DRAM and psys, sampled at the trace's start, on blocks, once a second, and at its end.
 * The counters wrap (after minutes under load), so a program with rare ops is sampled by a thread of ours, the only one the shim starts. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../trace/block.h"
#include "../record/record.h"
#include "../record/sys.h"
#include "tables.h"

enum { METERS_MAX = 24, ZONES_MAX = 16, PARTS_MAX = 8 };
enum { BLOCK_INTERVAL_NS = 100000000, THREAD_INTERVAL_S = 1 };

static struct meter {
    char name[40];      /* "package-0" */
    char boundary[16];  /* package, dram, platform */
    char path[96];      /* .../energy_uj */
    uint64_t range;     /* the counter counts 0 .. range microjoules, then starts at 0 */
} meters[METERS_MAX];
static int meter_count;
static pid_t owner;
static int busy, stopped = 1;
static uint64_t sampled_ns; /* when the last sample was taken */
static uint64_t cost_ns;    /* what all samples have cost so far */
static uint8_t block[512];

/* Adds a zone's meter unless it is no additive part ("core", "uncore" lie within their package) or a second view of a meter we have (intel-rapl-mmio). */
static void add_zone(const char *zone, const char *parent_name)
{
    char path[96], name[40], full[40];
    const char *boundary;
    snprintf(path, sizeof path, "/sys/class/powercap/%s/name", zone);
    if (tvg_sysfs_read(path, name, sizeof name) <= 0) return;
    if (strncmp(name, "package", 7) == 0) {
        boundary = "package";
        snprintf(full, sizeof full, "%s", name);
    } else if (strcmp(name, "dram") == 0) {
        const char *which = parent_name ? strchr(parent_name, '-') : NULL;
        boundary = "dram";
        snprintf(full, sizeof full, "dram%.30s", which ? which : "");
    } else if (strcmp(name, "psys") == 0) {
        boundary = "platform";
        snprintf(full, sizeof full, "psys");
    } else {
        return;
    }
    for (int i = 0; i < meter_count; i++)
        if (strcmp(meters[i].name, full) == 0) return;
    if (meter_count == METERS_MAX) return;
    struct meter *meter = &meters[meter_count];
    snprintf(path, sizeof path, "/sys/class/powercap/%s/max_energy_range_uj", zone);
    if (!tvg_sysfs_number(path, &meter->range)) meter->range = 0;
    snprintf(meter->path, sizeof meter->path, "/sys/class/powercap/%s/energy_uj", zone);
    memcpy(meter->name, full, sizeof full);
    snprintf(meter->boundary, sizeof meter->boundary, "%s", boundary);
    meter_count++;
}

static void find_meters(void)
{
    static const char *const family[] = {"intel-rapl", "intel-rapl-mmio"};
    meter_count = 0;
    for (int f = 0; f < 2; f++)
        for (int zone = 0; zone < ZONES_MAX; zone++) {
            char name[48], path[96], title[40];
            snprintf(name, sizeof name, "%s:%d", family[f], zone);
            snprintf(path, sizeof path, "/sys/class/powercap/%s/name", name);
            if (tvg_sysfs_read(path, title, sizeof title) <= 0) continue;
            add_zone(name, NULL);
            for (int part = 0; part < PARTS_MAX; part++) {
                snprintf(name, sizeof name, "%s:%d:%d", family[f], zone, part);
                add_zone(name, title);
            }
        }
}

/* Takes and writes one sample, unless another thread is at it, the source has stopped, or the last one is younger than `interval` ns. */
static void sample(uint64_t interval)
{
    struct tvg_map map;
    if (__atomic_exchange_n(&busy, 1, __ATOMIC_ACQUIRE)) return;
    uint64_t begin = tvg_mono_ns();
    if (__atomic_load_n(&stopped, __ATOMIC_ACQUIRE) || begin - sampled_ns < interval) {
        __atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
        return;
    }
    sampled_ns = begin;
    for (int i = 0; i < meter_count; i++) {
        uint64_t value, now = tvg_mono_ns();
        if (!tvg_sysfs_number(meters[i].path, &value)) continue;
        tvg_map_begin(&map, block, sizeof block);
        tvg_map_string(&map, "meter", meters[i].name);
        tvg_map_string(&map, "boundary", meters[i].boundary);
        tvg_map_string(&map, "unit", "uJ");
        tvg_map_uint(&map, "range", meters[i].range);
        tvg_map_array(&map, "ns", 1);
        tvg_map_uint(&map, NULL, now);
        tvg_map_array(&map, "value", 1);
        tvg_map_uint(&map, NULL, value);
        if (i == 0) tvg_map_uint(&map, "cost", cost_ns);
        size_t length = tvg_map_end(&map, TVG_BLOCK_ENERGY);
        if (length) tvg_block_append(block, length);
    }
    cost_ns += tvg_mono_ns() - begin;
    __atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
}

static void sampling_loop(void)
{
    while (!__atomic_load_n(&stopped, __ATOMIC_ACQUIRE)) {
        struct timespec interval = {.tv_sec = THREAD_INTERVAL_S};
        nanosleep(&interval, NULL);
        sample((uint64_t)THREAD_INTERVAL_S * 500000000u);
    }
}

static void start_thread(void)
{
    if (!tvg_source_thread(sampling_loop))
        tvg_note("source-limited", "rapl", "no sampling thread: meters are read only when a block of ops is written, a wrap between two may be missed");
}

static bool rapl_start(void)
{
    char why[256];
    int readable = 0;
    find_meters();
    if (meter_count == 0) {
        tvg_note("source-refused", "rapl", "no meter under /sys/class/powercap/intel-rapl:* (a virtual machine, or the module intel_rapl_msr is not loaded)");
        return false;
    }
    why[0] = 0;
    for (int i = 0; i < meter_count;) {
        uint64_t value;
        if (tvg_sysfs_number(meters[i].path, &value)) {
            readable++;
            i++;
            continue;
        }
        if (!why[0])
            snprintf(why, sizeof why, "%s: %s%s", meters[i].path, errno == EACCES || errno == EPERM ? "permission denied" : errno == ENODATA ? "no data" : "cannot be read",
                     errno == EACCES || errno == EPERM ? ": allow with sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj (see tvg doctor)" : "");
        memmove(&meters[i], &meters[i + 1], (size_t)(meter_count - i - 1) * sizeof meters[0]);
        meter_count--;
    }
    if (why[0]) tvg_note(readable ? "source-limited" : "source-refused", "rapl", why);
    if (!readable) return false;
    owner = getpid();
    busy = 0;
    sampled_ns = 0;
    cost_ns = 0;
    __atomic_store_n(&stopped, 0, __ATOMIC_RELEASE);
    sample(0);
    start_thread();
    return true;
}

static void rapl_block(void)
{
    sample(BLOCK_INTERVAL_NS);
}

/* Waits (at most 100 ms) for a sample in progress, which is the thread's. */
static void wait_for_sample(void)
{
    for (int i = 0; i < 100 && __atomic_load_n(&busy, __ATOMIC_ACQUIRE); i++) {
        struct timespec moment = {.tv_nsec = 1000000};
        tvg_sys6(SYS_nanosleep, (long)&moment, 0, 0, 0, 0, 0);
    }
}

static void rapl_stop(void)
{
    bool same_process = owner == getpid();
    if (same_process) {
        wait_for_sample();
        sample(0);
    }
    __atomic_store_n(&stopped, 1, __ATOMIC_RELEASE);
    if (same_process) wait_for_sample();
}

const struct tvg_source tvg_source_rapl = {
    .name = "rapl",
    .by_default = true,
    .start = rapl_start,
    .on_block = rapl_block,
    .stop = rapl_stop,
};
