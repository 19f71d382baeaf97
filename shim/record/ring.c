/* Who owns which ring, and turning a full ring into a block of the trace. */
#include <pthread.h>
#include <string.h>
#include <sys/prctl.h>

#include "../sources/source.h"
#include "state.h"
#include "sys.h"

enum { SCRATCHES = 16 };

static pthread_key_t leave_key;
static bool have_leave_key;

/* Rooms for encoding, as many as threads ever encoded at once. */
static void *scratches[SCRATCHES];
static const size_t encoded_bytes = (TVG_OPS_ENCODED_MAX(TVG_RING_SLOTS) + 4095) & ~(size_t)4095;
static const size_t scratch_bytes = (TVG_OPS_SCRATCH(TVG_RING_SLOTS) + 4095) & ~(size_t)4095;

static void *scratch_take(void)
{
    for (int i = 0; i < SCRATCHES; i++) {
        if (!__atomic_load_n(&scratches[i], __ATOMIC_RELAXED)) continue;
        void *scratch = __atomic_exchange_n(&scratches[i], NULL, __ATOMIC_ACQUIRE);
        if (scratch) return scratch;
    }
    return tvg_sys_mmap(encoded_bytes + scratch_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
}

static void scratch_give(void *scratch)
{
    for (int i = 0; i < SCRATCHES; i++) {
        void *none = NULL;
        if (__atomic_compare_exchange_n(&scratches[i], &none, scratch, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED)) return;
    }
    tvg_sys6(SYS_munmap, (long)scratch, (long)(encoded_bytes + scratch_bytes), 0, 0, 0, 0);
}

/* Writes what is committed and not yet encoded as one block, or counts it as lost. The owner and the final flush may come together. */
void tvg_ring_encode(struct tvg_thread *thread)
{
    struct tvg_thread_slow *slow = thread->slow;
    struct tvg_ring *ring = thread->ring;
    tvg_lock_take(&slow->encoding);
    uint64_t first = __atomic_load_n(&ring->encoded, __ATOMIC_RELAXED);
    uint64_t committed = __atomic_load_n(&ring->committed, __ATOMIC_ACQUIRE);
    if (committed > first) {
        uint64_t begin = tvg_now();
        uint32_t count = (uint32_t)(committed - first);
        uint64_t ops = count - (slow->extra - slow->extra_encoded);
        uint8_t *room = scratch_take();
        if (room) {
            struct tvg_ops_info info = {0};
            const struct tvg_record *records = tvg_ring_slots(ring) + first % ring->slots;
            info.ring = ring->number;
            info.tid = slow->tid;
            info.first_sequence = first;
            info.count = count;
            tvg_clock_anchor(&info.anchor);
            info.cpu_process_ns = tvg_clock_cpu_process();
            /* The final flush runs in another thread, which cannot ask for the owner's CPU time. */
            info.cpu_thread_ns = thread == tvg_guard.thread ? tvg_clock_cpu_thread() : 0;
            info.encode_ticks = slow->encode_ticks;
            size_t length = tvg_encode_ops(room, &info, tvg_state.grid_shift, records, room + encoded_bytes);
            if (tvg_file_write_ops(room, length, ops)) __atomic_add_fetch(&tvg_state.recorded, ops, __ATOMIC_RELAXED);
            scratch_give(room);
        } else {
            tvg_lost(ops, -12);
        }
        slow->extra_encoded = slow->extra;
        __atomic_store_n(&ring->encoded, committed, __ATOMIC_RELEASE);
        slow->tid = slow->owner_tid;
        slow->encode_ticks = tvg_now() - begin;
        __atomic_add_fetch(&tvg_state.encode_ticks, slow->encode_ticks, __ATOMIC_RELAXED);
        __atomic_add_fetch(&tvg_state.encode_blocks, 1, __ATOMIC_RELAXED);
        uint64_t longest = __atomic_load_n(&tvg_state.encode_longest, __ATOMIC_RELAXED);
        while (slow->encode_ticks > longest &&
               !__atomic_compare_exchange_n(&tvg_state.encode_longest, &longest, slow->encode_ticks, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
    }
    tvg_lock_drop(&slow->encoding);
}

void tvg_ring_full(struct tvg_thread *thread)
{
    struct tvg_quiet quiet;
    tvg_quiet_begin(&quiet);
    tvg_ring_encode(thread);
    thread->next = tvg_ring_slots(thread->ring);
    tvg_sources_block();
    tvg_quiet_end(&quiet);
}

void tvg_thread_resync(struct tvg_thread *thread)
{
    struct tvg_ring *ring = thread->ring;
    uint64_t at = ring->committed % ring->slots;
    if (at == 0 && ring->committed > ring->encoded) tvg_ring_encode(thread);
    thread->next = tvg_ring_slots(ring) + at;
}

/* All slots of one op, committed together. Inside a quiet section, by the owner. */
void tvg_ring_put(struct tvg_thread *thread, uint64_t start, uint64_t duration, uint32_t op_id, uint64_t a, uint64_t b, uint64_t c, const void *wide,
                  uint32_t wide_length)
{
    struct tvg_ring *ring = thread->ring;
    unsigned slots = tvg_record_slots(duration, wide_length);
    struct tvg_thread_slow *slow = thread->slow;
    uint64_t padding = 0;
    if (thread->next + slots > thread->limit) {
        tvg_lock_take(&slow->encoding);
        while (thread->next < thread->limit) {
            tvg_record_pad(thread->next++);
            padding++;
        }
        slow->extra += padding;
        __atomic_store_n(&ring->committed, ring->committed + padding, __ATOMIC_RELEASE);
        tvg_lock_drop(&slow->encoding);
        tvg_ring_full(thread);
    }
    tvg_lock_take(&slow->encoding);
    tvg_record_put(thread->next, start, duration, op_id, a, b, c, wide, wide_length);
    thread->next += slots;
    slow->extra += slots - 1 + (op_id == TVG_OP_ID_THREAD);
    __atomic_store_n(&ring->committed, ring->committed + slots, __ATOMIC_RELEASE);
    tvg_lock_drop(&slow->encoding);
    if (thread->next == thread->limit) tvg_ring_full(thread);
}

/* A thread ends: its ring stays as it is, for the next thread that needs one. */
static void leave(void *value)
{
    struct tvg_thread *thread = value;
    struct tvg_quiet quiet;
    tvg_quiet_begin(&quiet);
    struct tvg_guard *guard = &tvg_guard;
    if (guard->thread == thread) {
        guard->thread = NULL;
        guard->call = NULL;
        if (thread->slow->epoch == tvg_state.epoch) {
            __atomic_store_n(&thread->ring->state, TVG_RING_ORPHAN, __ATOMIC_RELAXED);
            __atomic_store_n(&thread->slow->owned, 0, __ATOMIC_RELEASE);
        }
    }
    tvg_quiet_end(&quiet);
}

void tvg_rings_load(void)
{
    have_leave_key = pthread_key_create(&leave_key, leave) == 0;
}

static struct tvg_thread *adopt(void)
{
    for (struct tvg_thread *thread = __atomic_load_n(&tvg_state.threads, __ATOMIC_ACQUIRE); thread; thread = thread->slow->next) {
        uint32_t free = 0;
        if (thread->slow->rings_epoch == tvg_rings_epoch && __atomic_load_n(&thread->slow->owned, __ATOMIC_RELAXED) == 0 &&
            __atomic_compare_exchange_n(&thread->slow->owned, &free, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return thread;
    }
    return NULL;
}

static struct tvg_thread *make(void)
{
    uint32_t number;
    size_t own = (sizeof(struct tvg_thread) + 63) & ~(size_t)63;
    uint8_t *memory = tvg_sys_memory(own + sizeof(struct tvg_thread_slow));
    if (!memory) return NULL;
    struct tvg_thread *thread = (struct tvg_thread *)memory;
    thread->slow = (struct tvg_thread_slow *)(memory + own);
    thread->ring = tvg_ring_make(&number);
    if (!thread->ring) {
        tvg_sys6(SYS_munmap, (long)memory, (long)(own + sizeof(struct tvg_thread_slow)), 0, 0, 0, 0);
        return NULL;
    }
    thread->slow->epoch = tvg_state.epoch;
    thread->slow->rings_epoch = tvg_rings_epoch;
    thread->slow->owned = 1;
    thread->limit = tvg_ring_slots(thread->ring) + thread->ring->slots;
    thread->slow->next = __atomic_load_n(&tvg_state.threads, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&tvg_state.threads, &thread->slow->next, thread, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {}
    return thread;
}

/* The thread's name, for people. */
static void say_thread(uint32_t tid, uint32_t ring)
{
    uint8_t block[256];
    char name[32] = "";
    struct tvg_map map;
    prctl(PR_GET_NAME, name, 0, 0, 0);
    tvg_map_begin(&map, block, sizeof block);
    tvg_map_uint(&map, "tid", tid);
    tvg_map_uint(&map, "ring", ring);
    tvg_map_string(&map, "name", name);
    tvg_map_uint(&map, "mono_ns", tvg_clock_monotonic());
    size_t length = tvg_map_end(&map, TVG_BLOCK_THREAD);
    if (length) tvg_file_write(block, length);
}

struct tvg_thread *tvg_thread_attach(void)
{
    struct tvg_guard *guard = &tvg_guard;
    struct tvg_thread *thread = guard->thread;
    bool mine = thread && thread->slow->epoch == tvg_state.epoch && thread->slow->rings_epoch == tvg_rings_epoch;
    if (!mine) {
        thread = adopt();
        if (!thread) thread = make();
        if (!thread) return guard->thread = NULL;
        struct tvg_ring *ring = thread->ring;
        uint32_t tid = (uint32_t)tvg_sys_gettid();
        tvg_lock_take(&thread->slow->encoding);
        thread->slow->owner_tid = tid;
        if (ring->committed == ring->encoded) thread->slow->tid = tid;
        tvg_lock_drop(&thread->slow->encoding);
        tvg_clock_anchor(&ring->anchor);
        ring->tid = tid;
        __atomic_store_n(&ring->state, TVG_RING_OWNED, __ATOMIC_RELAXED);
        tvg_thread_resync(thread);
        tvg_ring_put(thread, tvg_now(), 0, TVG_OP_ID_THREAD, tid, 0, 0, NULL, 0);
        say_thread(tid, ring->number);
        if (have_leave_key) pthread_setspecific(leave_key, thread);
    }
    thread->per_op = __atomic_load_n(&tvg_sources_per_op, __ATOMIC_ACQUIRE);
    thread->slow->wide.key = tvg_slot_none.key;
    for (int i = 0; i < TVG_CACHE_SLOTS; i++) thread->cache[i] = &tvg_slot_none;
    thread->generation = tvg_generation_word() & ~(uint64_t)1;
    return guard->thread = thread;
}
