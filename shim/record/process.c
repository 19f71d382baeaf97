/* A process starts to record at its first caught op, a forked child anew at its own; it ends after the last destructor. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "../sources/tables.h"
#include "state.h"
#include "sys.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

/* Of no object: atexit() would tie the handler to ours and run it with our destructors. */
extern int __cxa_atexit(void (*function)(void *), void *argument, void *object);

enum { WITHOUT_OPS_NS = 100000000 };

struct tvg_state tvg_state;
static uint64_t before_start; /* the word until there is a page: 0 */
uint64_t *tvg_generation = &before_start;

static void in_child(void)
{
    __atomic_store_n(tvg_generation, 0, __ATOMIC_RELEASE);
}

/* The page whose word a fork zeroes, even one by a raw system call. */
static bool make_generation(void)
{
    if (tvg_generation != &before_start) return true;
    uint64_t *page = tvg_sys_mmap(4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!page) return false;
    if (tvg_sys_madvise(page, 4096, MADV_WIPEONFORK) != 0 && pthread_atfork(NULL, NULL, in_child) != 0) return false;
    __atomic_store_n(&tvg_generation, page, __ATOMIC_RELEASE);
    return true;
}

/* What our parent left in our memory is its own. Inside the starting lock. */
static void forget_parent(void)
{
    tvg_file_forget();
    tvg_rings_close(true);
    tvg_notes_forget();
    struct tvg_state fresh = {0};
    fresh.epoch = tvg_state.epoch;
    fresh.paused = tvg_state.paused;
    fresh.starting = tvg_state.starting;
    fresh.ticks_per_ns = tvg_state.ticks_per_ns;
    fresh.grid_shift = tvg_state.grid_shift;
    fresh.op_ticks = tvg_state.op_ticks;
    fresh.ending = tvg_state.ending;
    tvg_state = fresh;
    tvg_sources_stop();
    tvg_guard.thread = NULL;
}

/* The coarsest grid of at most 16 ns. */
static unsigned grid(double ticks_per_ns)
{
    unsigned shift = 0;
    while (shift < 12 && (double)(2u << shift) <= 16.0 * ticks_per_ns) shift++;
    return shift;
}

/* Inside the starting lock. */
static bool start(uint32_t pid)
{
    bool child = tvg_state.pid != 0 && tvg_state.pid != pid;
    if (tvg_state.failed && !child) return false;
    if (child) forget_parent();
    tvg_state.pid = pid;
    tvg_state.epoch++;
    if (!make_generation() || !tvg_dictionary_start()) {
        tvg_log("nothing is recorded", "no memory");
        tvg_state.failed = true;
        return false;
    }
    if (tvg_state.ticks_per_ns == 0) {
        tvg_clock_choose();
        tvg_state.ticks_per_ns = tvg_clock_rate();
        tvg_state.grid_shift = grid(tvg_state.ticks_per_ns);
    }
    tvg_state.start_mono_ns = child ? tvg_clock_monotonic() : tvg_settings.load_mono_ns;
    if (!tvg_file_open()) {
        tvg_state.failed = true;
        return false;
    }
    tvg_notes_flush();
    __atomic_store_n(tvg_generation, tvg_state.epoch << 32 | 2 | tvg_state.paused, __ATOMIC_RELEASE);
    tvg_log("recording to", tvg_file_path());
    return true;
}

/* What recording one op takes here, encoding not counted: the hot path run on a ring that goes nowhere. The quickest of a few turns, some
 * 7 us in all. */
static uint64_t measure_op(void)
{
    enum { TURNS = 4, OPS = 64 };
    static union {
        struct tvg_ring ring;
        uint8_t bytes[TVG_RINGS_PAGE + (OPS + 1) * sizeof(struct tvg_record)];
    } room;
    static struct tvg_thread thread;
    static struct tvg_slot slot = {.key = {{TVG_ENTRY_NONE, 1, 2, 3, 4, 5}}};
    static const struct tvg_entry entry = {.name = ""};
    struct tvg_guard saved = tvg_guard;
    uint64_t least = UINT64_MAX;
    if (tvg_generation_word() & 1) return 0;
    thread.generation = tvg_generation_word();
    thread.ring = &room.ring;
    thread.limit = tvg_ring_slots(&room.ring) + OPS + 1;
    for (int i = 0; i < TVG_CACHE_SLOTS; i++) thread.cache[i] = &slot;
    for (int turn = 0; turn < TURNS; turn++) {
        uint64_t begin = tvg_now();
        tvg_guard = (struct tvg_guard){.thread = &thread};
        thread.next = tvg_ring_slots(&room.ring);
        for (int i = 0; i < OPS; i++) {
            struct tvg_call call;
            struct tvg_key key = slot.key;
            __asm__ volatile("" : "+m"(key));
            if (!tvg_call_begin(&call, __builtin_frame_address(0))) break;
            struct tvg_slot *found = tvg_slot_find(&call, &entry, &key);
            call.start = tvg_now();
            tvg_call_end(&call, found, &room, &room, &room);
            tvg_call_release(&call);
        }
        uint64_t took = tvg_now() - begin;
        if (took < least) least = took;
    }
    tvg_guard = saved;
    return least / OPS;
}

bool tvg_process_start(void)
{
    if (tvg_generation_word() != 0) return __atomic_load_n(&tvg_state.recording, __ATOMIC_ACQUIRE);
    tvg_load(0, NULL, NULL);
    if (tvg_settings.off) return false;
    uint32_t pid = (uint32_t)tvg_sys_getpid();
    if (tvg_state.failed && tvg_state.pid == pid) return false;
    bool first = false;
    tvg_lock_take(&tvg_state.starting);
    if (tvg_generation_word() == 0) first = start(pid);
    tvg_lock_drop(&tvg_state.starting);
    if (first) {
        tvg_state.op_ticks = measure_op();
        if (tvg_state.ending) tvg_manifest_write();
        else tvg_sources_start();
    }
    return __atomic_load_n(&tvg_state.recording, __ATOMIC_ACQUIRE) && tvg_generation_word() != 0;
}

static void flush(void)
{
    for (struct tvg_thread *thread = __atomic_load_n(&tvg_state.threads, __ATOMIC_ACQUIRE); thread; thread = thread->slow->next)
        if (thread->slow->epoch == tvg_state.epoch) tvg_ring_encode(thread);
}

static void write_end(void)
{
    uint8_t block[512];
    struct tvg_map map;
    struct tvg_anchor now;
    uint32_t rings = 0;
    for (struct tvg_thread *thread = tvg_state.threads; thread; thread = thread->slow->next) rings++;
    tvg_clock_anchor(&now);
    tvg_map_begin(&map, block, sizeof block);
    tvg_map_uint(&map, "ops", tvg_state.recorded);
    tvg_map_string(&map, "how", "exit");
    tvg_map_uint(&map, "lost", tvg_state.lost);
    tvg_map_uint(&map, "rings", rings);
    tvg_map_uint(&map, "ticks", now.ticks);
    tvg_map_uint(&map, "mono_ns", now.mono_ns);
    tvg_map_uint(&map, "wall_ns", now.wall_ns);
    tvg_map_uint(&map, "cpu_process_ns", tvg_clock_cpu_process());
    tvg_map_uint(&map, "encode_ticks", tvg_state.encode_ticks);
    tvg_map_uint(&map, "encode_blocks", tvg_state.encode_blocks);
    tvg_map_uint(&map, "longest_ticks", tvg_state.encode_longest);
    tvg_map_uint(&map, "op_ticks", tvg_state.op_ticks);
    tvg_map_uint(&map, "negative_durations", tvg_state.clamped);
    tvg_map_uint(&map, "left_frames", tvg_state.dead_frames);
    size_t length = tvg_map_end(&map, TVG_BLOCK_END);
    if (length) tvg_file_write(block, length);
}

/* A process that ran no op leaves a trace all the same when it used CPU time and somebody would miss it: it runs under `tvg record`, the source that
 * samples CPU time was asked for by name, or a function of an inference library was caught in it. So silence is not taken for zero; shells and
 * small tools leave nothing. */
static void open_without_ops(void)
{
    if (tvg_settings.off || tvg_recording() || tvg_clock_cpu_process() < WITHOUT_OPS_NS) return;
    if (!tvg_settings.without_ops && !tvg_notes_caught() && !tvg_source_is_named(&tvg_source_dark)) return;
    tvg_state.ending = true;
    tvg_process_start();
}

/* After all destructors and exit handlers: what those still did is in the rings. */
static void end_late(void *unused)
{
    (void)unused;
    struct tvg_quiet quiet;
    tvg_quiet_begin(&quiet);
    open_without_ops();
    tvg_quiet_end(&quiet);
    if (!tvg_recording()) return;
    tvg_quiet_begin(&quiet);
    __atomic_or_fetch(tvg_generation, 1, __ATOMIC_RELEASE);
    tvg_guard.call = NULL;
    tvg_sources_stop();
    flush();
    tvg_file_say_lost();
    write_end();
    if (tvg_state.lost_unsaid == 0) tvg_rings_close(false);
    tvg_quiet_end(&quiet);
}

/* Destructors of other objects run after ours and may call BLAS. A handler registered now runs after all of them; when that can't be
 * had, the end is now, and what comes later stays in the rings file. */
void tvg_process_end(void)
{
    struct tvg_quiet quiet;
    if (__cxa_atexit(end_late, NULL, NULL) == 0 || !tvg_recording()) return;
    tvg_quiet_begin(&quiet);
    tvg_guard.call = NULL;
    tvg_sources_stop();
    flush();
    tvg_file_say_lost();
    write_end();
    tvg_quiet_end(&quiet);
}
