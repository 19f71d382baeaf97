/* The trace's clock: the processor's counter where it can be trusted, else CLOCK_MONOTONIC; anchors tie it to the kernel's clocks. */
#include <string.h>
#include <time.h>

#include "state.h"
#include "sys.h"
#if defined(__x86_64__)
#include <cpuid.h>
#endif

bool tvg_clock_is_tsc;

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    if (clock_gettime(clock, &now) != 0) return 0;
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t tvg_clock_monotonic(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t tvg_clock_cpu_process(void)
{
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

uint64_t tvg_clock_cpu_thread(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

/* The ticks are read on both sides of the monotonic clock and the tightest of a few tries is kept: an interrupt between the reads would
 * otherwise tilt the slope. */
void tvg_clock_anchor(struct tvg_anchor *anchor)
{
    uint64_t narrowest = UINT64_MAX;
    for (int i = 0; i < 3; i++) {
        uint64_t before = tvg_now();
        uint64_t mono = tvg_clock_monotonic();
        uint64_t after = tvg_now();
        if (after - before < narrowest) {
            narrowest = after - before;
            anchor->ticks = before + (after - before) / 2;
            anchor->mono_ns = mono;
        }
    }
    uint64_t mono = tvg_clock_monotonic();
    anchor->wall_ns = clock_ns(CLOCK_REALTIME) - (mono - anchor->mono_ns);
}

#if defined(__x86_64__)
static bool kernel_trusts_counter(void)
{
    char name[64];
    long descriptor = tvg_sys_open("/sys/devices/system/clocksource/clocksource0/current_clocksource", O_RDONLY | O_CLOEXEC, 0);
    if (descriptor < 0) return false;
    long got = tvg_sys_read((int)descriptor, name, sizeof name - 1);
    tvg_sys_close((int)descriptor);
    if (got <= 0) return false;
    name[got] = 0;
    static const char *const good[] = {"tsc", "kvm-clock", "hyperv_clocksource_tsc_page"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        size_t length = strlen(good[i]);
        if (strncmp(name, good[i], length) == 0 && (name[length] == '\n' || name[length] == 0)) return true;
    }
    return false;
}

static bool counter_is_invariant(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(0x80000007u, &a, &b, &c, &d) && (d & 1u << 8);
}
#endif

/* Not chosen twice: a forked child keeps its parent's clock. */
void tvg_clock_choose(void)
{
#if defined(__x86_64__)
    if (!counter_is_invariant()) {
        tvg_note("clock", "monotonic", "the processor does not promise a time-stamp counter of constant rate");
        return;
    }
    if (!kernel_trusts_counter()) {
        tvg_note("clock", "monotonic", "the kernel's clock source is not the time-stamp counter");
        return;
    }
    uint64_t begin = tvg_clock_monotonic();
    for (int i = 0; i < 64; i++) (void)__builtin_ia32_rdtsc();
    if (tvg_clock_monotonic() - begin > 64 * 100) { /* a hypervisor traps each read: or we were preempted; try once more */
        begin = tvg_clock_monotonic();
        for (int i = 0; i < 64; i++) (void)__builtin_ia32_rdtsc();
        if (tvg_clock_monotonic() - begin > 64 * 100) {
            tvg_note("clock", "monotonic", "reading the time-stamp counter takes over 100 ns here");
            return;
        }
    }
    tvg_clock_is_tsc = true;
#elif defined(__aarch64__)
    tvg_clock_is_tsc = true; /* the generic timer is architectural and of constant rate */
#endif
}

double tvg_clock_rate(void)
{
    if (!tvg_clock_is_tsc) return 1.0;
#if defined(__aarch64__)
    uint64_t frequency;
    __asm__("mrs %0, cntfrq_el0" : "=r"(frequency));
    if (frequency) return (double)frequency / 1e9;
#endif
    struct tvg_anchor now;
    do tvg_clock_anchor(&now);
    while (now.mono_ns - tvg_settings.load_mono_ns < 20000);
    return (double)(now.ticks - tvg_settings.load_ticks) / (double)(now.mono_ns - tvg_settings.load_mono_ns);
}
