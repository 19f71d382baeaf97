/* Sampling CPU time by the kernel's software clock: how an event is asked for, and how its ring is read. No system call here: both the shim, inside a
 * host, and tvg record, outside of it, make their own. */
#ifndef TVG_TRACE_PERF_RING_H
#define TVG_TRACE_PERF_RING_H

#include <linux/perf_event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

enum {
    /* Of CPU time; a prime number of microseconds, so that it beats with no loop of the host's. A sample takes some 12 us on a virtual machine, where
     * timers are dear: 0.12 %. */
    TVG_PERF_PERIOD_NS = 9973000,
    TVG_PERF_PAGES = 2 /* of a ring, beside its first: 256 samples, 2.5 s of a thread that never sleeps */
};

/* A thread's event: a sample each period of its CPU time, in the kernel too if `kernel` (which needs more permission), times by CLOCK_MONOTONIC. */
static inline struct perf_event_attr tvg_perf_sampling(bool kernel)
{
    struct perf_event_attr attributes;
    memset(&attributes, 0, sizeof attributes);
    attributes.size = sizeof attributes;
    attributes.type = PERF_TYPE_SOFTWARE;
    attributes.config = PERF_COUNT_SW_TASK_CLOCK;
    attributes.sample_period = TVG_PERF_PERIOD_NS;
    attributes.sample_type = PERF_SAMPLE_IP | PERF_SAMPLE_TID | PERF_SAMPLE_TIME;
    attributes.exclude_kernel = !kernel;
    attributes.exclude_hv = 1;
    attributes.use_clockid = 1;
    attributes.clockid = CLOCK_MONOTONIC;
    return attributes;
}

/* One record of that event's ring. */
union tvg_perf_record {
    struct perf_event_header header;
    struct {
        struct perf_event_header header;
        uint64_t address;
        uint32_t pid, tid;
        uint64_t time;
    } sample; /* header.type PERF_RECORD_SAMPLE */
    struct {
        struct perf_event_header header;
        uint64_t id, lost;
    } lost;   /* PERF_RECORD_LOST */
};
static inline bool tvg_perf_in_kernel(const union tvg_perf_record *record)
{
    return (record->header.misc & PERF_RECORD_MISC_CPUMODE_MASK) == PERF_RECORD_MISC_KERNEL;
}

static inline void tvg_perf_copy(const struct perf_event_mmap_page *ring, uint64_t from, void *out, size_t length)
{
    const uint8_t *data = (const uint8_t *)ring + ring->data_offset;
    for (size_t i = 0; i < length; i++)
        ((uint8_t *)out)[i] = data[(from + i) % ring->data_size];
}

/* Takes the oldest record out of a ring. True with a sample or a count of lost ones in *record; false: the ring is empty, and its room given back. */
static inline bool tvg_perf_next(struct perf_event_mmap_page *ring, uint64_t *tail, union tvg_perf_record *record)
{
    uint64_t head = __atomic_load_n(&ring->data_head, __ATOMIC_ACQUIRE);
    while (*tail < head) {
        tvg_perf_copy(ring, *tail, record, sizeof record->header);
        size_t size = record->header.size;
        if (size < sizeof record->header || size > head - *tail)
            break; /* never written by the kernel */
        tvg_perf_copy(ring, *tail, record, size < sizeof *record ? size : sizeof *record);
        *tail += size;
        if ((record->header.type == PERF_RECORD_SAMPLE && size >= sizeof record->sample) || (record->header.type == PERF_RECORD_LOST && size >= sizeof record->lost))
            return true;
    }
    *tail = head;
    __atomic_store_n(&ring->data_tail, head, __ATOMIC_RELEASE);
    return false;
}

#endif
