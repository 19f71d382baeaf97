/* Call stacks per op by libunwind (dlopen): at an op's 1st, 2nd, 4th, 8th... call, at most one a millisecond in the process. Opt-in: TVG_STACKS=1.
 * Taken on the host's thread after the recorded call, outside its time. unw_backtrace and dl_iterate_phdr take the loader's write lock, which is
 * not held while constructors run (dladdr's is: it is not used), so a constructor that waits for a thread in here does not deadlock. */
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "../../trace/block.h"
#include "../record/record.h"
#include "tables.h"

enum { OPS_MAX = 1 << 16, FRAMES_MAX = 96, KEPT_MAX = 64, LIBRARIES_MAX = 512, STACKS_KNOWN = 1 << 13, INTERVAL_NS = 1000000 };

static int (*backtrace_function)(void **frames, int size);
static struct op_state {
    uint64_t calls, next; /* sampled when calls reaches next; next 0 stands for 1 */
} *states;
static uint64_t last_ns;
static int busy;   /* one sample at a time; others skip theirs and are due at their next call */
static int inside; /* threads within libunwind: a child forked meanwhile can't use its locks */
static pid_t owner;

static struct known_library {
    uint64_t base;
    uint64_t path_hash;
} known_libraries[LIBRARIES_MAX];
static uint32_t known_library_count;
static struct known_stack {
    uint64_t hash;
    uint32_t id_plus_one;
} known_stacks[STACKS_KNOWN];
static uint32_t stack_count;

/* One sample in the making (under `busy`). */
static struct {
    void *frame[FRAMES_MAX];
    int count;
    uint32_t library[FRAMES_MAX];
    uint64_t offset[FRAMES_MAX];
    bool own[FRAMES_MAX];
    struct tvg_map map;
    struct fresh {
        uint32_t index;
        const char *path;
        uint8_t build_id[TVG_BUILD_ID_MAX];
        size_t build_id_length;
    } fresh[FRAMES_MAX];
    char paths[16384];
    size_t paths_used;
    uint32_t fresh_count;
} now;
static uint8_t block[65536];

#define NO_LIBRARY 0xffffffffu

/* The index of a loaded object, entered in now.fresh when it is new. */
static uint32_t library_index(const struct dl_phdr_info *object)
{
    char own[512];
    const char *path = object->dlpi_name;
    if (!path || !*path) {
        ssize_t n = readlink("/proc/self/exe", own, sizeof own - 1);
        own[n > 0 ? n : 0] = 0;
        path = own;
    }
    uint64_t hash = XXH3_64bits(path, strlen(path));
    for (uint32_t i = 0; i < known_library_count; i++)
        if (known_libraries[i].base == object->dlpi_addr && known_libraries[i].path_hash == hash) return i;
    size_t length = strlen(path) + 1;
    if (known_library_count == LIBRARIES_MAX || now.paths_used + length > sizeof now.paths) return NO_LIBRARY;
    known_libraries[known_library_count] = (struct known_library){object->dlpi_addr, hash};
    struct fresh *fresh = &now.fresh[now.fresh_count++];
    fresh->index = known_library_count;
    fresh->path = memcpy(now.paths + now.paths_used, path, length);
    now.paths_used += length;
    fresh->build_id_length = tvg_build_id(object, fresh->build_id);
    return known_library_count++;
}

/* Finds the frames that lie in one loaded object. */
static int place_frames(struct dl_phdr_info *object, size_t size, void *context)
{
    const uintptr_t own = (uintptr_t)&place_frames;
    uint32_t index = NO_LIBRARY;
    bool looked_up = false, is_own = false;
    (void)size;
    (void)context;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        uintptr_t low = object->dlpi_addr + object->dlpi_phdr[i].p_vaddr, high = low + object->dlpi_phdr[i].p_memsz;
        if (object->dlpi_phdr[i].p_type == PT_LOAD && own >= low && own < high) is_own = true;
    }
    for (int i = 0; i < object->dlpi_phnum; i++) {
        if (object->dlpi_phdr[i].p_type != PT_LOAD) continue;
        uintptr_t low = object->dlpi_addr + object->dlpi_phdr[i].p_vaddr, high = low + object->dlpi_phdr[i].p_memsz;
        for (int f = 0; f < now.count; f++) {
            uintptr_t address = (uintptr_t)now.frame[f];
            if (address < low || address >= high) continue;
            if (!looked_up) index = is_own ? NO_LIBRARY : library_index(object);
            looked_up = true;
            now.own[f] = is_own;
            if (index == NO_LIBRARY) continue;
            now.library[f] = index;
            now.offset[f] = address - object->dlpi_addr;
        }
    }
    return 0;
}

/* The id of the stack in now.*[first ..], and whether it has to be written. */
static uint32_t stack_id(int first, int kept, bool *fresh)
{
    uint64_t words[2 * FRAMES_MAX];
    for (int i = 0; i < kept; i++) {
        words[2 * i] = now.library[first + i];
        words[2 * i + 1] = now.offset[first + i];
    }
    uint64_t hash = XXH3_64bits(words, (size_t)kept * 16);
    for (uint32_t i = 0; i < 64; i++) {
        struct known_stack *known = &known_stacks[(hash + i) % STACKS_KNOWN];
        if (known->id_plus_one && known->hash == hash) {
            *fresh = false;
            return known->id_plus_one - 1;
        }
        if (known->id_plus_one) continue;
        known->hash = hash;
        known->id_plus_one = stack_count + 1;
        break;
    }
    *fresh = true; /* also when the table is full: then this stack may be written again under another id */
    return stack_count++;
}

static void sample(uint32_t op_id, uint64_t occurrence)
{
    now.count = 0;
    now.fresh_count = 0;
    now.paths_used = 0;
    __atomic_add_fetch(&inside, 1, __ATOMIC_ACQ_REL);
    int count = backtrace_function(now.frame, FRAMES_MAX);
    if (count > 0) {
        now.count = count < FRAMES_MAX ? count : FRAMES_MAX;
        for (int i = 0; i < now.count; i++) {
            now.library[i] = NO_LIBRARY;
            now.offset[i] = (uint64_t)(uintptr_t)now.frame[i];
            now.own[i] = false;
        }
        tvg_linker_iterate(place_frames, NULL);
    }
    __atomic_sub_fetch(&inside, 1, __ATOMIC_ACQ_REL);
    int first = 0;
    for (int i = 0; i < now.count && i < 16; i++)
        if (now.own[i]) first = i + 1; /* the shim's own frames come first */
    int kept = now.count - first;
    if (kept > KEPT_MAX) kept = KEPT_MAX;
    if (kept <= 0) return;
    bool fresh;
    uint32_t id = stack_id(first, kept, &fresh);
    struct tvg_map *map = &now.map;
    tvg_map_begin(map, block, sizeof block);
    tvg_map_array(map, "libs", now.fresh_count);
    for (uint32_t i = 0; i < now.fresh_count; i++) {
        tvg_map_array(map, NULL, 3);
        tvg_map_uint(map, NULL, now.fresh[i].index);
        tvg_map_string(map, NULL, now.fresh[i].path);
        tvg_map_binary(map, NULL, now.fresh[i].build_id, now.fresh[i].build_id_length);
    }
    tvg_map_array(map, "stacks", fresh);
    if (fresh) {
        tvg_map_array(map, NULL, (uint32_t)(1 + 2 * kept));
        tvg_map_uint(map, NULL, id);
        for (int i = first; i < first + kept; i++) {
            tvg_map_uint(map, NULL, now.library[i]);
            tvg_map_uint(map, NULL, now.offset[i]);
        }
    }
    tvg_map_array(map, "samples", 1);
    tvg_map_array(map, NULL, 3);
    tvg_map_uint(map, NULL, op_id);
    tvg_map_uint(map, NULL, id);
    tvg_map_uint(map, NULL, occurrence);
    size_t length = tvg_map_end(map, TVG_BLOCK_STACKS);
    if (length) tvg_block_append(block, length);
}

static void stacks_end(const struct tvg_slot *slot)
{
    if (slot->op_id >= OPS_MAX) return;
    struct op_state *state = &states[slot->op_id];
    uint64_t calls = __atomic_add_fetch(&state->calls, 1, __ATOMIC_RELAXED);
    if (calls < __atomic_load_n(&state->next, __ATOMIC_RELAXED)) return;
    uint64_t time = tvg_mono_ns();
    if (time - __atomic_load_n(&last_ns, __ATOMIC_RELAXED) < INTERVAL_NS) return;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (!__atomic_exchange_n(&busy, 1, __ATOMIC_ACQUIRE)) {
        if (calls >= __atomic_load_n(&state->next, __ATOMIC_RELAXED)) {
            __atomic_store_n(&state->next, 1ull << (64 - __builtin_clzll(calls)), __ATOMIC_RELAXED);
            __atomic_store_n(&last_ns, time, __ATOMIC_RELAXED);
            sample(slot->op_id, calls);
        }
        __atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void stacks_prepare(void)
{
    static const char *const name[] = {"libunwind.so.8", "libunwind.so.1", NULL};
    for (int i = 0; name[i] && !backtrace_function; i++) {
        void *library = dlopen(name[i], RTLD_NOW | RTLD_LOCAL);
        if (library) *(void **)&backtrace_function = dlsym(library, "unw_backtrace");
    }
    if (!backtrace_function) dlerror(); /* the failure is ours, not the host's */
}

static bool stacks_start(void)
{
    if (owner && owner != getpid() && __atomic_load_n(&inside, __ATOMIC_ACQUIRE)) {
        tvg_note("source-refused", "stacks", "the process was forked while another thread was in libunwind");
        return false;
    }
    if (!backtrace_function) {
        tvg_note("source-refused", "stacks", "libunwind.so.8 is not installed (Debian: libunwind8)");
        return false;
    }
    if (!states) {
        void *memory = mmap(NULL, OPS_MAX * sizeof *states, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) {
            tvg_note("source-refused", "stacks", "no memory for its table");
            return false;
        }
        states = memory;
    }
    /* a forked child's trace is a new one: nothing of the parent's is known in it */
    memset(states, 0, known_library_count || stack_count ? OPS_MAX * sizeof *states : 0);
    memset(known_stacks, 0, stack_count ? sizeof known_stacks : 0);
    known_library_count = 0;
    stack_count = 0;
    last_ns = 0;
    busy = 0;
    owner = getpid();
    return true;
}

const struct tvg_source tvg_source_stacks = {
    .name = "stacks",
    .prepare = stacks_prepare,
    .start = stacks_start,
    .on_end = stacks_end,
};
