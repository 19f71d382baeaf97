/* The hot path of record.h. Everything here is inlined into the wrappers; what is rare calls into guard.c, dictionary.c or ring.c. */
#ifndef TVG_SHIM_RECORD_INLINE_H
#define TVG_SHIM_RECORD_INLINE_H

#include "../../trace/rings.h"

#define TVG_LIKELY(x) __builtin_expect(!!(x), 1)
#define TVG_UNLIKELY(x) __builtin_expect(!!(x), 0)

/* Inlined into every wrapper, however many there are. */
#define TVG_HOT static inline __attribute__((always_inline))

/* Two frames nearer than this are taken to be on one stack. */
#define TVG_STACK_SPAN ((uintptr_t)8 << 20)

enum { TVG_CACHE_BITS = 8, TVG_CACHE_SLOTS = 1 << TVG_CACHE_BITS };

/* What a ring's owner needs. One per ring, in the process's own memory: a forked child gets a copy that no longer matches the generation. */
struct tvg_thread {
    uint64_t generation;         /* equals *tvg_generation while this struct may be used */
    struct tvg_record *next;     /* where the next record goes */
    struct tvg_record *limit;    /* one past the ring's last slot */
    struct tvg_ring *ring;
    bool per_op;                 /* sources want to be called around each op */
    struct tvg_slot *cache[TVG_CACHE_SLOTS];
    struct tvg_thread_slow *slow;
};

/* The guard: all the thread-local memory there is. One word says which call is in progress, so that a handler between any two
 * instructions finds all of it or nothing. */
struct tvg_guard {
    struct tvg_call *call;       /* of the outermost recorded call in progress, in its wrapper's frame; NULL: none */
    struct tvg_thread *thread;
    uint32_t nested;             /* calls taken as nested since the last outermost one */
    uint32_t writing;            /* 1: a record is being written, the ring must not be touched by who interrupts; 2: in the slow path */
    uint32_t skipped;
    uint32_t beside;             /* recorded ops that hooks said are no products: see tvg_recorded_mark */
    uintptr_t stack_low, stack_high; /* part of the thread's own stack: it can be read as long as the thread runs */
};
extern __thread struct tvg_guard tvg_guard __attribute__((tls_model("initial-exec")));

/* One word in a page that the kernel zeroes in a forked child: even while recording, odd while paused, 0 before init and in a new child. */
extern uint64_t *tvg_generation;
static inline uint64_t tvg_generation_word(void)
{
    return __atomic_load_n(__atomic_load_n(&tvg_generation, __ATOMIC_ACQUIRE), __ATOMIC_ACQUIRE);
}
extern bool tvg_clock_is_tsc;

bool tvg_call_begin_slow(struct tvg_call *call, uintptr_t frame);
bool tvg_nested_is_live(struct tvg_guard *guard, const void *caller);
struct tvg_slot *tvg_slot_find_slow(struct tvg_call *call, const struct tvg_entry *entry, const struct tvg_key *key, uint64_t hash);
void tvg_call_end_slow(struct tvg_call *call, const struct tvg_slot *slot, uint64_t end, const void *a, const void *b, const void *c);
void tvg_ring_full(struct tvg_thread *thread);
uint64_t tvg_clock_monotonic(void);

TVG_HOT uint64_t tvg_now(void)
{
#if defined(__x86_64__)
    if (TVG_LIKELY(tvg_clock_is_tsc)) return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    if (TVG_LIKELY(tvg_clock_is_tsc)) {
        uint64_t ticks;
        __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
        return ticks;
    }
#endif
    return tvg_clock_monotonic();
}

/* The stack grows down: a stored call a little above this one may be a caller of ours, so we are nested. A stored call below us, or far
 * away, is no caller: it was left by longjmp or belongs to another stack; the slow path tells which. NULL is far from any stack. */
TVG_HOT bool tvg_call_begin(struct tvg_call *call, void *frame)
{
    struct tvg_guard *guard = &tvg_guard;
    uintptr_t outer = (uintptr_t)guard->call;
    call->thread = NULL;
    if (outer - (uintptr_t)call <= TVG_STACK_SPAN) {
        if (TVG_LIKELY(++guard->nested < 2 || tvg_nested_is_live(guard, __builtin_return_address(0)))) return false;
        outer = 1;
    }
    struct tvg_thread *thread = guard->thread;
    if (TVG_UNLIKELY(outer != 0 || thread == NULL || thread->generation != tvg_generation_word()))
        return tvg_call_begin_slow(call, (uintptr_t)frame);
    call->frame = (uintptr_t)frame;
    call->slot = NULL;
    call->thread = thread;
    __atomic_signal_fence(__ATOMIC_RELEASE);
    guard->call = call;
    return true;
}

TVG_HOT void tvg_call_release(struct tvg_call *call)
{
    if (call->thread) {
        tvg_guard.nested = 0;
        __atomic_signal_fence(__ATOMIC_RELEASE);
        tvg_guard.call = NULL;
        call->frame = 0;
    }
}

TVG_HOT uint64_t tvg_key_hash(const struct tvg_key *key)
{
    return key->word[0] * 0x9e3779b97f4a7c15u + key->word[1] * 0xc2b2ae3d27d4eb4fu + key->word[2] * 0x165667b19e3779f9u +
           key->word[3] * 0xd6e8feb86659fd93u + key->word[4] * 0xa0761d6478bd642fu + key->word[5] * 0xe7037ed1a0b428dbu;
}

TVG_HOT bool tvg_key_equal(const struct tvg_key *x, const struct tvg_key *y)
{
    /* Written out, so that a key which was just made stays in registers. */
    return ((x->word[0] ^ y->word[0]) | (x->word[1] ^ y->word[1]) | (x->word[2] ^ y->word[2]) | (x->word[3] ^ y->word[3]) |
            (x->word[4] ^ y->word[4]) | (x->word[5] ^ y->word[5])) == 0;
}

TVG_HOT struct tvg_slot *tvg_slot_find(struct tvg_call *call, const struct tvg_entry *entry, const struct tvg_key *key)
{
    uint64_t hash = tvg_key_hash(key);
    struct tvg_slot *slot = call->thread->cache[hash >> (64 - TVG_CACHE_BITS)];
    if (TVG_UNLIKELY(!tvg_key_equal(&slot->key, key))) slot = tvg_slot_find_slow(call, entry, key, hash);
    call->slot = slot;
    return slot;
}

/* One record of one slot, by the ring's owner inside a call of its own. */
TVG_HOT void tvg_ring_add(struct tvg_thread *thread, uint64_t start, uint32_t duration, uint32_t op_id, const void *a, const void *b, const void *c)
{
    struct tvg_guard *guard = &tvg_guard;
    __atomic_store_n(&guard->writing, 1, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    struct tvg_record *record = thread->next;
    struct tvg_ring *ring = thread->ring;
    record->start = start;
    record->duration = duration;
    record->op_id = op_id;
    record->a = (uint64_t)(uintptr_t)a;
    record->b = (uint64_t)(uintptr_t)b;
    record->c = (uint64_t)(uintptr_t)c;
    thread->next = record + 1;
    __atomic_store_n(&ring->committed, ring->committed + 1, __ATOMIC_RELEASE);
    if (TVG_UNLIKELY(record + 1 == thread->limit)) tvg_ring_full(thread);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    __atomic_store_n(&guard->writing, 0, __ATOMIC_RELAXED);
}

TVG_HOT void tvg_call_end_at(struct tvg_call *call, const struct tvg_slot *slot, uint64_t end, const void *a, const void *b, const void *c)
{
    struct tvg_thread *thread = call->thread;
    uint64_t duration = end - call->start;
    /* The generation again: a child forked inside the call must not write into its parent's ring. */
    if (TVG_UNLIKELY(duration >= TVG_DURATION_LONG || slot->flags || thread->per_op ||
                     thread->generation != tvg_generation_word())) {
        tvg_call_end_slow(call, slot, end, a, b, c);
        return;
    }
    tvg_ring_add(thread, call->start, (uint32_t)duration, slot->op_id, a, b, c);
}

TVG_HOT void tvg_call_end(struct tvg_call *call, const struct tvg_slot *slot, const void *a, const void *b, const void *c)
{
    tvg_call_end_at(call, slot, tvg_now(), a, b, c);
}

TVG_HOT uint64_t tvg_recorded_mark(void)
{
    const struct tvg_thread *thread = tvg_guard.thread;
    return thread ? ((uintptr_t)thread->ring << 32) + __atomic_load_n(&thread->ring->committed, __ATOMIC_RELAXED) - tvg_guard.beside : 0;
}

#endif
