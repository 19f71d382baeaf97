/* Counters per op by PAPI (dlopen): instructions, cycles and last-level misses of the calling thread; software events where it has no PMU.
 * Opt-in: TVG_SOURCES=papi. Whether an event works is told by adding, starting and reading it; queries say yes on machines without a PMU.
 * PAPI allocates and takes locks when it starts and at a thread's first op; a read is about 1 us. */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../trace/block.h"
#include "../record/record.h"
#include "tables.h"

enum { OPS_MAX = 1 << 16, EVENTS_MAX = 4, THREADS_MAX = 512, BLOCK_INTERVAL_NS = 100000000 };
enum { PAPI_OK = 0, PAPI_NULL = -1, PAPI_NOT_INITED = 0 };
#define PAPI_VERSION_NUMBER(major, minor) (((major) << 24) | ((minor) << 16)) /* PAPI_VER_CURRENT: the lower numbers don't count */

/* pthread_key_create and _setspecific have been in libc proper only since 2.34. */
#pragma weak pthread_key_create
#pragma weak pthread_setspecific

static struct {
    int (*library_init)(int version);
    int (*is_initialized)(void);
    int (*thread_init)(unsigned long (*id)(void));
    int (*unregister_thread)(void);
    int (*create_eventset)(int *set);
    int (*add_named_event)(int set, const char *name);
    int (*start)(int set);
    int (*stop)(int set, long long *values);
    int (*read)(int set, long long *values);
    int (*cleanup_eventset)(int set);
    int (*destroy_eventset)(int *set);
    char *(*strerror)(int code);
    void (*shutdown)(void);
} papi;
static bool ours;    /* we initialised the library in this process */
static bool by_papi; /* the events are PAPI's; else the kernel's software events */

static const char *const hardware[] = {"PAPI_TOT_INS", "PAPI_TOT_CYC", "PAPI_L3_TCM", NULL};
static const char *events[EVENTS_MAX];
static int event_count;

static struct row {
    uint64_t calls;
    uint64_t value[EVENTS_MAX];
} *rows; /* OPS_MAX of them, then one for ops beyond */
static uint32_t rows_used; /* one past the highest op id seen */

static struct counted_thread {
    int taken;
    int set;                  /* PAPI's */
    struct tvg_perf_set perf; /* else these */
    bool broken, open; /* open: on_begin has read */
    long long begin[EVENTS_MAX];
} threads[THREADS_MAX];
static struct counted_thread nobody = {.taken = 1, .broken = true};
static __thread struct counted_thread *mine __attribute__((tls_model("initial-exec")));
static pthread_key_t key;
static bool key_made;
static pid_t owner;
static int busy;
static uint64_t written_ns;
static uint8_t block[65536];

static unsigned long thread_id(void)
{
    return (unsigned long)syscall(SYS_gettid);
}

/* A running event set of this thread with `names` (those that work; their number in *count), or PAPI_NULL with PAPI's code in *code. */
static int open_set(const char *const *names, const char **working, int *count, int *code)
{
    int set = PAPI_NULL;
    *count = 0;
    if ((*code = papi.create_eventset(&set)) != PAPI_OK) return PAPI_NULL;
    for (int i = 0; names[i] && *count < EVENTS_MAX; i++) {
        long long values[EVENTS_MAX];
        int added = papi.add_named_event(set, names[i]);
        if (added != PAPI_OK) {
            *code = added;
            continue;
        }
        working[(*count)++] = names[i];
        int started = papi.start(set);
        if (started == PAPI_OK) {
            papi.stop(set, values);
            continue;
        }
        /* this one broke the set: build it again without it */
        *code = started;
        (*count)--;
        papi.cleanup_eventset(set);
        for (int k = 0; k < *count; k++) papi.add_named_event(set, working[k]);
    }
    if (*count && (*code = papi.start(set)) == PAPI_OK) return set;
    papi.cleanup_eventset(set);
    papi.destroy_eventset(&set);
    return PAPI_NULL;
}

static void close_set(int set)
{
    long long values[EVENTS_MAX];
    papi.stop(set, values);
    papi.cleanup_eventset(set);
    papi.destroy_eventset(&set);
}

static bool read_events(struct counted_thread *thread, long long *values)
{
    return by_papi ? papi.read(thread->set, values) == PAPI_OK : tvg_perf_read(&thread->perf, values);
}

static void thread_ends(void *thread)
{
    struct counted_thread *ended = thread;
    if (!ended || ended == &nobody || owner != getpid()) return;
    if (!by_papi) {
        tvg_perf_close(&ended->perf);
    } else {
        if (!ended->broken) close_set(ended->set);
        papi.unregister_thread();
    }
    mine = NULL;
    __atomic_store_n(&ended->taken, 0, __ATOMIC_RELEASE);
}

/* This thread's event set, made at its first counted op. */
static struct counted_thread *attach(void)
{
    struct counted_thread *thread = &nobody;
    for (int i = 0; i < THREADS_MAX; i++) {
        int expected = 0;
        if (!__atomic_compare_exchange_n(&threads[i].taken, &expected, 1, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) continue;
        thread = &threads[i];
        break;
    }
    if (thread == &nobody) tvg_note("source-limited", "papi", "more threads than its table holds: later ones are not counted");
    else {
        const char *wanted[EVENTS_MAX + 1] = {NULL}, *working[EVENTS_MAX];
        int count = 0, code;
        thread->open = false;
        thread->set = PAPI_NULL;
        if (by_papi) {
            memcpy(wanted, events, (size_t)event_count * sizeof events[0]);
            thread->set = open_set(wanted, working, &count, &code);
            thread->broken = thread->set == PAPI_NULL || count != event_count;
            if (thread->broken && thread->set != PAPI_NULL) close_set(thread->set);
        } else {
            thread->broken = !tvg_perf_open(&thread->perf, working, &code) || thread->perf.count != event_count;
        }
        if (thread->broken) tvg_note("source-limited", "papi", "the events could not be started in every thread");
        if (key_made) pthread_setspecific(key, thread);
    }
    mine = thread;
    return thread;
}

static void papi_begin(const struct tvg_slot *slot)
{
    struct counted_thread *thread = mine ? mine : attach();
    (void)slot;
    if (thread->broken) return;
    thread->open = read_events(thread, thread->begin);
}

static void papi_end(const struct tvg_slot *slot)
{
    long long end[EVENTS_MAX];
    struct counted_thread *thread = mine;
    if (!thread || thread->broken || !thread->open) return;
    thread->open = false;
    if (!read_events(thread, end)) {
        thread->broken = true; /* a host that closes descriptors it doesn't know closes the events' too */
        tvg_note("source-limited", "papi", "an event set stopped answering");
        return;
    }
    uint32_t id = slot->op_id < OPS_MAX ? slot->op_id : OPS_MAX;
    struct row *row = &rows[id];
    for (int i = 0; i < event_count; i++)
        if (end[i] > thread->begin[i]) __atomic_add_fetch(&row->value[i], (uint64_t)(end[i] - thread->begin[i]), __ATOMIC_RELAXED);
    __atomic_add_fetch(&row->calls, 1, __ATOMIC_RELEASE);
    uint32_t used = __atomic_load_n(&rows_used, __ATOMIC_RELAXED);
    while (used <= id && !__atomic_compare_exchange_n(&rows_used, &used, id + 1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
}

/* Writes rows first .. that fit one block; what is written is taken out of the table, so that blocks add up. Returns the next row. */
static uint32_t write_rows(uint32_t first, uint32_t used)
{
    enum { ROW_BYTES = 8 + 5 + 9 + 9 * EVENTS_MAX };
    struct tvg_map map;
    uint32_t next = first, count = 0;
    while (next < used && count < (sizeof block - 1024) / ROW_BYTES)
        if (__atomic_load_n(&rows[next++].calls, __ATOMIC_ACQUIRE)) count++;
    if (!count) return next;
    tvg_map_begin(&map, block, sizeof block);
    tvg_map_string(&map, "scope", "calling thread");
    tvg_map_array(&map, "events", (uint32_t)event_count);
    for (int i = 0; i < event_count; i++) tvg_map_string(&map, NULL, events[i]);
    tvg_map_array(&map, "rows", count);
    for (uint32_t i = first; i < next && count; i++) {
        if (!__atomic_load_n(&rows[i].calls, __ATOMIC_ACQUIRE)) continue;
        count--;
        tvg_map_array(&map, NULL, (uint32_t)(2 + event_count));
        tvg_map_uint(&map, NULL, i < OPS_MAX ? i : TVG_OP_ID_NONE);
        tvg_map_uint(&map, NULL, __atomic_exchange_n(&rows[i].calls, 0, __ATOMIC_ACQ_REL));
        for (int e = 0; e < event_count; e++) tvg_map_uint(&map, NULL, __atomic_exchange_n(&rows[i].value[e], 0, __ATOMIC_ACQ_REL));
    }
    size_t length = tvg_map_end(&map, TVG_BLOCK_COUNTERS);
    if (length) tvg_block_append(block, length);
    return next;
}

static void write_all(uint64_t interval)
{
    if (__atomic_exchange_n(&busy, 1, __ATOMIC_ACQUIRE)) return;
    uint64_t time = tvg_mono_ns();
    if (time - written_ns >= interval) {
        written_ns = time;
        uint32_t used = __atomic_load_n(&rows_used, __ATOMIC_RELAXED);
        for (uint32_t row = 0; row < used;) row = write_rows(row, used);
    }
    __atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
}

static void papi_block(void)
{
    write_all(BLOCK_INTERVAL_NS);
}

static bool refuse(const char *why)
{
    tvg_note("source-refused", "papi", why);
    return false;
}

static void *library;
static bool loaded;

static bool load(char *why, size_t capacity)
{
    static const char *const name[] = {"libpapi.so.7.2", "libpapi.so.7.1", "libpapi.so.7.0", "libpapi.so.7", "libpapi.so.6.0", "libpapi.so.6", "libpapi.so.5.7", "libpapi.so.5", "libpapi.so", NULL};
    static const struct {
        const char *name;
        void *slot;
    } functions[] = {
        {"PAPI_library_init", &papi.library_init}, {"PAPI_is_initialized", &papi.is_initialized}, {"PAPI_thread_init", &papi.thread_init},
        {"PAPI_unregister_thread", &papi.unregister_thread}, {"PAPI_create_eventset", &papi.create_eventset},
        {"PAPI_add_named_event", &papi.add_named_event}, {"PAPI_start", &papi.start}, {"PAPI_stop", &papi.stop}, {"PAPI_read", &papi.read},
        {"PAPI_cleanup_eventset", &papi.cleanup_eventset}, {"PAPI_destroy_eventset", &papi.destroy_eventset}, {"PAPI_strerror", &papi.strerror},
        {"PAPI_shutdown", &papi.shutdown}};
    for (int i = 0; name[i] && !library; i++) library = dlopen(name[i], RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        dlerror();
        snprintf(why, capacity, "libpapi.so is not installed (Debian: libpapi7.0)");
        return false;
    }
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        void *found = dlsym(library, functions[i].name);
        if (!found) {
            dlerror();
            snprintf(why, capacity, "libpapi lacks %s", functions[i].name);
            return false;
        }
        memcpy(functions[i].slot, &found, sizeof found);
    }
    loaded = true;
    return true;
}

/* PAPI_library_init wants the version it was built as and gives it back. The file's real name tells it first; then every one known. */
static bool initialise(void)
{
    static const int known[][2] = {{7, 0}, {7, 1}, {7, 2}, {6, 0}, {5, 7}, {5, 6}, {5, 5}, {5, 4}, {7, 3}, {8, 0}};
    struct link_map *map = NULL;
    char path[PATH_MAX];
    int major, minor;
    if (dlinfo(library, RTLD_DI_LINKMAP, &map) == 0 && map && map->l_name) {
        ssize_t n = readlink(map->l_name, path, sizeof path - 1);
        if (n < 0) n = snprintf(path, sizeof path, "%s", map->l_name);
        path[n > 0 && n < (ssize_t)sizeof path ? n : 0] = 0;
        const char *suffix = strstr(path, "libpapi.so.");
        if (suffix && sscanf(suffix, "libpapi.so.%d.%d", &major, &minor) == 2 &&
            papi.library_init(PAPI_VERSION_NUMBER(major, minor)) == PAPI_VERSION_NUMBER(major, minor))
            return true;
    }
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        int version = PAPI_VERSION_NUMBER(known[i][0], known[i][1]);
        if (papi.library_init(version) == version) return true;
    }
    return false;
}

/* Starts PAPI and finds out which hardware events count. False with the reason in `why`. */
static bool start_papi(char *why, size_t capacity)
{
    int code = PAPI_OK;
    if (!loaded && !load(why, capacity)) return false;
    if (papi.is_initialized() != PAPI_NOT_INITED && !ours) {
        snprintf(why, capacity, "the program uses PAPI itself");
        return false;
    }
    if (!ours && !initialise()) {
        snprintf(why, capacity, "PAPI_library_init refuses every version known");
        return false;
    }
    ours = true;
    if ((code = papi.thread_init(thread_id)) == PAPI_OK) {
        int set = open_set(hardware, events, &event_count, &code);
        if (set != PAPI_NULL) {
            close_set(set);
            return true;
        }
    }
    snprintf(why, capacity, "PAPI has no hardware counters here (%.80s)", papi.strerror(code));
    papi.shutdown();
    ours = false;
    return false;
}

static char why[160]; /* PAPI's own events can't be had */

static void papi_prepare(void)
{
    by_papi = start_papi(why, sizeof why);
    owner = getpid();
}

static bool papi_start_source(void)
{
    char text[320];
    bool child = owner != getpid();
    if (ours && child) {
        /* a forked child: the events count the parent's threads, close this copy of them */
        papi.shutdown();
        ours = false;
    }
    if (child) {
        for (int i = 0; i < THREADS_MAX && !by_papi; i++) tvg_perf_close(&threads[i].perf);
        memset(threads, 0, sizeof threads);
        mine = NULL;
    }
    owner = getpid();
    if (child && by_papi) by_papi = start_papi(why, sizeof why);
    if (!by_papi) {
        struct tvg_perf_set set;
        int cause = 0;
        if (!tvg_perf_open(&set, events, &cause)) {
            snprintf(text, sizeof text, "%s; software events: %s", why,
                     cause == EACCES || cause == EPERM ? "not permitted: sysctl kernel.perf_event_paranoid=2 or less, and no seccomp filter on perf_event_open" : "not available");
            return refuse(text);
        }
        event_count = set.count;
        tvg_perf_close(&set);
        snprintf(text, sizeof text, "%s: software events instead", why);
        tvg_note("source-limited", "papi", text);
    }
    if (!rows) {
        void *memory = mmap(NULL, (OPS_MAX + 1) * sizeof *rows, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) return refuse("no memory for its table");
        rows = memory;
    } else {
        memset(rows, 0, rows_used * sizeof *rows);
    }
    rows_used = 0;
    busy = 0;
    written_ns = tvg_mono_ns();
    if (!key_made && pthread_key_create) key_made = pthread_key_create(&key, thread_ends) == 0;
    return true;
}

static void papi_stop_source(void)
{
    if (owner == getpid()) write_all(0);
}

const struct tvg_source tvg_source_papi = {
    .name = "papi",
    .prepare = papi_prepare,
    .start = papi_start_source,
    .on_block = papi_block,
    .on_begin = papi_begin,
    .on_end = papi_end,
    .stop = papi_stop_source,
};
