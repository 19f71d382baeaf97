/* The kernel's software events for one thread (task clock, page faults, context switches): what the counter source falls back to where PAPI has
 * no PMU that it knows. They need no PMU and, at perf_event_paranoid 2 or less, no privilege. */
#include <errno.h>
#include <linux/perf_event.h>
#include <string.h>

#include "../record/sys.h"
#include "tables.h"

static const struct {
    const char *name; /* PAPI's */
    uint64_t config;
    bool in_kernel;   /* counts nothing when the kernel is excluded */
} software[] = {
    {"perf::TASK-CLOCK", PERF_COUNT_SW_TASK_CLOCK, false},
    {"perf::PAGE-FAULTS", PERF_COUNT_SW_PAGE_FAULTS, false},
    {"perf::CONTEXT-SWITCHES", PERF_COUNT_SW_CONTEXT_SWITCHES, true},
};

/* Above 512, where hosts that count or close low descriptors leave it alone and do not get its number again. */
static int lift(int descriptor)
{
    long lifted = tvg_sys_fcntl(descriptor, F_DUPFD_CLOEXEC, 512);
    if (lifted < 0) return descriptor;
    tvg_sys_close(descriptor);
    return (int)lifted;
}

static bool open_all(struct tvg_perf_set *set, const char **names, bool exclude_kernel, int *cause)
{
    set->count = 0;
    for (size_t i = 0; i < sizeof software / sizeof software[0]; i++) {
        struct perf_event_attr attributes;
        if (exclude_kernel && software[i].in_kernel) continue;
        memset(&attributes, 0, sizeof attributes);
        attributes.size = sizeof attributes;
        attributes.type = PERF_TYPE_SOFTWARE;
        attributes.config = software[i].config;
        attributes.read_format = PERF_FORMAT_GROUP;
        attributes.exclude_kernel = exclude_kernel;
        attributes.exclude_hv = 1;
        long descriptor = tvg_sys6(SYS_perf_event_open, (long)&attributes, 0, -1, set->count ? set->descriptor[0] : -1, PERF_FLAG_FD_CLOEXEC, 0);
        if (descriptor < 0) {
            *cause = (int)-descriptor;
            tvg_perf_close(set);
            return false;
        }
        names[set->count] = software[i].name;
        set->descriptor[set->count++] = lift((int)descriptor);
    }
    return true;
}

bool tvg_perf_open(struct tvg_perf_set *set, const char **names, int *cause)
{
    return open_all(set, names, false, cause) || open_all(set, names, true, cause);
}

bool tvg_perf_read(const struct tvg_perf_set *set, long long *values)
{
    uint64_t group[1 + TVG_PERF_EVENTS];
    long wanted = (long)(sizeof(uint64_t) * (1 + (size_t)set->count));
    if (tvg_sys_read(set->descriptor[0], group, (size_t)wanted) != wanted || group[0] != (uint64_t)set->count) return false;
    for (int i = 0; i < set->count; i++) values[i] = (long long)group[1 + i];
    return true;
}

void tvg_perf_close(struct tvg_perf_set *set)
{
    while (set->count > 0) tvg_sys_close(set->descriptor[--set->count]);
}
