/* Where CPU time goes, ops or not: every thread of the process sampled by a perf event of the kernel's software clock, without a signal.
 * A thread of ours looks for new threads and empties their rings; which samples fell into recorded ops is worked out by the analyzer. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../trace/perf_ring.h"
#include "../record/record.h"
#include "../record/sys.h"
#include "mapped.h"
#include "tables.h"

enum {
    TICK_NS = 100000000,
    SETTLE_NS = 2000000000,
    WRITE_NS = 1000000000,
    THREADS_MAX = 2048,
    OBJECTS_A_BLOCK = 256
};

static struct sampled_thread {
    struct perf_event_mmap_page *ring; /* NULL: the kernel refused, or there is no room for its ring */
    uint32_t tid;
    bool alive;
} threads[THREADS_MAX];
static uint32_t thread_count;

static struct tvg_cpu_sample waiting[TVG_SAMPLES_MAX];
static struct tvg_samples_info info;
static struct tvg_sampled_object fresh[OBJECTS_A_BLOCK];
static uint8_t block[TVG_SAMPLES_ENCODED_MAX(TVG_SAMPLES_MAX, OBJECTS_A_BLOCK)], scratch[TVG_SAMPLES_SCRATCH(TVG_SAMPLES_MAX)];
static uint64_t ticked_ns, settled_ns, written_ns;
static uint64_t kept, turn;       /* samples kept since the last thinning; samples seen */
static uint32_t keep_one_of = 1;
static uint32_t own_tid;
static pid_t owner;
static int busy, stopped = 1;
static bool threaded;             /* the thread looks: those that record need not */
static bool by_name;              /* the user asked for this source */
static size_t ring_bytes;

/* A ring keeps its event alive: no descriptor stays open in the host. NULL with a negated errno in *cause. */
static struct perf_event_mmap_page *open_ring(uint32_t tid, bool kernel, long *cause)
{
    struct perf_event_attr attributes = tvg_perf_sampling(kernel);
    long descriptor = tvg_sys6(SYS_perf_event_open, (long)&attributes, tid, -1, -1, PERF_FLAG_FD_CLOEXEC, 0);
    if (descriptor < 0) {
        *cause = descriptor;
        return NULL;
    }
    long ring = tvg_sys6(SYS_mmap, 0, (long)ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    tvg_sys_close((int)descriptor);
    *cause = ring < 0 && ring > -4096 ? ring : 0;
    return *cause ? NULL : (struct perf_event_mmap_page *)ring;
}

static void close_ring(struct perf_event_mmap_page *ring)
{
    if (ring) tvg_sys6(SYS_munmap, (long)ring, (long)ring_bytes, 0, 0, 0, 0);
}

/* True when a system call filter is in force on the calling thread: it may end the process for a call that it does not know. */
static bool is_filtered(void)
{
    static char text[4096];
    long descriptor = tvg_sys_open("/proc/thread-self/status", O_RDONLY | O_CLOEXEC, 0);
    long got = descriptor < 0 ? 0 : tvg_sys_read((int)descriptor, text, sizeof text - 1);
    if (descriptor >= 0) tvg_sys_close((int)descriptor);
    text[got > 0 ? got : 0] = 0;
    const char *line = strstr(text, "\nSeccomp:");
    return line && line[strspn(line, "\nSecomp:\t ")] != '0';
}

static void write_block(uint64_t now)
{
    uint32_t objects = tvg_mapped_fresh(fresh, OBJECTS_A_BLOCK);
    written_ns = now;
    if (info.count == 0 && objects == 0) return;
    info.period_ns = (uint64_t)TVG_PERF_PERIOD_NS * keep_one_of;
    size_t length = tvg_encode_samples(block, sizeof block, &info, waiting, fresh, objects, scratch);
    if (length) tvg_block_append(block, length);
    info.count = 0;
}

static void keep(uint64_t address, bool kernel, uint32_t tid, uint64_t time)
{
    if (turn++ % keep_one_of) return;
    if (info.count == TVG_SAMPLES_MAX) write_block(time);
    waiting[info.count++] = (struct tvg_cpu_sample){time, tid, tvg_mapped_object(address, kernel)};
    if (++kept < TVG_THIN_AFTER) return;
    write_block(time);
    kept = 0;
    keep_one_of *= 2;
}

static void drain(struct perf_event_mmap_page *ring)
{
    uint64_t tail = ring->data_tail;
    union tvg_perf_record record;
    bool paused = tvg_paused();
    while (tvg_perf_next(ring, &tail, &record))
        if (record.header.type == PERF_RECORD_LOST) info.lost += record.lost.lost;
        else if (!paused) keep(record.sample.address, tvg_perf_in_kernel(&record), record.sample.tid, record.sample.time);
}

static void meet(uint32_t tid)
{
    static uint32_t next; /* the kernel lists threads in order, the table has them mostly so */
    for (uint32_t i = 0; i < thread_count; i++) {
        uint32_t at = (next + i) % thread_count;
        if (threads[at].tid != tid) continue;
        threads[at].alive = true;
        next = at + 1;
        return;
    }
    if (thread_count == THREADS_MAX) {
        tvg_note("limit", "dark", "more threads than the table holds: the others are not sampled");
        return;
    }
    long cause = -EPERM;
    struct sampled_thread *thread = &threads[thread_count++];
    *thread = (struct sampled_thread){.tid = tid, .alive = true};
    if (by_name || !is_filtered()) thread->ring = open_ring(tid, info.kernel, &cause);
    if (!thread->ring && cause != -ESRCH) tvg_note("source-limited", "dark", "threads that could not be sampled: no locked memory for their rings, or not permitted any more");
}

/* Opens an event for each thread that is new; what a thread used of the CPU before that is not sampled. */
static void meet_threads(void)
{
    static char entries[8192];
    struct entry { uint64_t inode; int64_t next; uint16_t length; uint8_t type; char name[]; };
    long got, descriptor = tvg_sys_open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (descriptor < 0) return;
    for (uint32_t i = 0; i < thread_count; i++) threads[i].alive = false;
    while ((got = tvg_sys6(SYS_getdents64, descriptor, (long)entries, sizeof entries, 0, 0, 0)) > 0)
        for (long at = 0; at < got;) {
            const struct entry *entry = (const struct entry *)(const void *)(entries + at);
            uint32_t tid = 0;
            for (const char *digit = entry->name; *digit >= '0' && *digit <= '9'; digit++) tid = tid * 10 + (uint32_t)(*digit - '0');
            if (tid && tid != __atomic_load_n(&own_tid, __ATOMIC_RELAXED)) meet(tid);
            at += entry->length;
        }
    tvg_sys_close((int)descriptor);
}

/* Looks at every thread once, unless another thread is at it, the source has stopped, or the last look is younger than `interval` ns. */
static void tick(uint64_t interval, bool last)
{
    if (__atomic_exchange_n(&busy, 1, __ATOMIC_ACQUIRE)) return;
    uint64_t begin = tvg_mono_ns();
    if (__atomic_load_n(&stopped, __ATOMIC_ACQUIRE) || begin - ticked_ns < interval) {
        __atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
        return;
    }
    ticked_ns = begin;
    tvg_mapped_settle(begin - settled_ns >= SETTLE_NS);
    if (begin - settled_ns >= SETTLE_NS) settled_ns = begin;
    if (!last) meet_threads();
    for (uint32_t i = 0; i < thread_count;) {
        if (threads[i].ring) drain(threads[i].ring);
        if (threads[i].alive && !last) {
            i++;
            continue;
        }
        close_ring(threads[i].ring);
        threads[i] = threads[--thread_count];
    }
    if (last || begin - written_ns >= WRITE_NS) write_block(begin);
    info.cost_ns += tvg_mono_ns() - begin;
    __atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
}

static void sampling_loop(void)
{
    __atomic_store_n(&own_tid, (uint32_t)tvg_sys_gettid(), __ATOMIC_RELAXED);
    while (!__atomic_load_n(&stopped, __ATOMIC_ACQUIRE)) {
        struct timespec interval = {.tv_nsec = TICK_NS};
        tick(TICK_NS / 2, false);
        nanosleep(&interval, NULL);
    }
}

static bool refuse(long cause)
{
    char why[320];
    uint64_t level = 0;
    bool known = tvg_sysfs_number("/proc/sys/kernel/perf_event_paranoid", &level);
    if (cause == -EACCES || cause == -EPERM)
        snprintf(why, sizeof why, "perf_event_open is not permitted (kernel.perf_event_paranoid%s%.0llu; 2 or less allows it, and in a container a system call filter that lets it pass): "
                 "where CPU time outside recorded ops went is not known", known ? " is " : "", (unsigned long long)level);
    else
        snprintf(why, sizeof why, "perf_event_open failed with errno %ld: where CPU time outside recorded ops went is not known", -cause);
    tvg_note("source-refused", "dark", why);
    return false;
}

/* In a forked child the rings are the parent's: the kernel did not map them there. */
static void begin_anew(void)
{
    thread_count = 0;
    kept = turn = 0;
    keep_one_of = 1;
    own_tid = 0;
    threaded = false;
    busy = 0;
    tvg_mapped_forget();
    memset(&info, 0, sizeof info);
}

static bool dark_start(void)
{
    struct timespec used = {0, 0};
    long cause = 0;
    by_name = tvg_source_is_named(&tvg_source_dark);
    if (!by_name && is_filtered()) {
        tvg_note("source-refused", "dark", "a system call filter is in force, which may end the process for perf_event_open: ask by name (+dark) where it allows that call");
        return false;
    }
    begin_anew();
    ring_bytes = (1 + TVG_PERF_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    uint32_t tid = (uint32_t)tvg_sys_gettid();
    struct perf_event_mmap_page *ring = open_ring(tid, true, &cause);
    info.kernel = ring != NULL;
    if (!ring) ring = open_ring(tid, false, &cause);
    if (!ring) return refuse(cause);
    threads[thread_count++] = (struct sampled_thread){ring, tid, true};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    info.before_ns = (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
    owner = getpid();
    ticked_ns = 0;
    info.since_ns = settled_ns = written_ns = tvg_mono_ns();
    __atomic_store_n(&stopped, 0, __ATOMIC_RELEASE);
    tick(0, false);
    threaded = tvg_source_thread(sampling_loop);
    if (!threaded)
        tvg_note("source-limited", "dark", "no sampling thread: threads are looked for only when a block of ops is written");
    return true;
}

static void dark_block(void)
{
    if (!threaded) tick(TICK_NS, false);
}

/* Waits (at most 100 ms) for a look in progress, which is the thread's. */
static void wait_for_tick(void)
{
    for (int i = 0; i < 100 && __atomic_load_n(&busy, __ATOMIC_ACQUIRE); i++) {
        struct timespec moment = {.tv_nsec = 1000000};
        tvg_sys6(SYS_nanosleep, (long)&moment, 0, 0, 0, 0, 0);
    }
}

static void dark_stop(void)
{
    bool same_process = owner == getpid();
    if (same_process) {
        wait_for_tick();
        tick(0, true);
    }
    __atomic_store_n(&stopped, 1, __ATOMIC_RELEASE);
    if (same_process) wait_for_tick();
    else thread_count = 0;
}

const struct tvg_source tvg_source_dark = {
    .name = "dark",
    .by_default = false, /* one to two per cent on inferences of many small operations: tvg record asks for it, a plain preload does not */
    .start = dark_start,
    .on_block = dark_block,
    .stop = dark_stop,
};
