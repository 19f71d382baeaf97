/* The rare ways into and out of a call: first op of a thread, pause, left frames, other stacks, long and wide ops. */
#include <string.h>

#include "../intercept/inline.h"
#include "../intercept/resolve.h"
#include "../sources/source.h"
#include "guard.h"
#include "state.h"
#include "sys.h"

__thread struct tvg_guard tvg_guard __attribute__((tls_model("initial-exec")));

/* Whether 8 bytes at `address` can be read: the kernel reads a signal set there, then refuses the unknown action. */
static bool kernel_reads(uintptr_t address)
{
    return tvg_sys6(SYS_rt_sigprocmask, ~0L, (long)address, 0, TVG_SIGNAL_BYTES, 0, 0) == -22;
}

extern void *__libc_stack_end; /* of the first thread */

/* The thread's own stack ends at __libc_stack_end or, of other threads, below their thread-local memory. What can be read from `address` up to there
 * without a gap belongs to it, since stacks end with a page that can't. */
static void keep_stack(struct tvg_guard *guard, uintptr_t address)
{
    enum { PAGE = 4096, PAGES_MAX = 64 };
    uintptr_t low = address & ~(uintptr_t)(PAGE - 1), ends[] = {(uintptr_t)__libc_stack_end, (uintptr_t)guard}, high = 0;
    for (int i = 0; i < 2 && !high; i++)
        if (ends[i] - low <= PAGES_MAX * PAGE) high = ends[i];
    for (uintptr_t page = low; page < high; page += PAGE)
        if (!kernel_reads(page)) return;
    if (!high) return;
    guard->stack_high = 0; /* who interrupts here finds nothing kept */
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    guard->stack_low = low;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    guard->stack_high = high;
}

static bool readable(struct tvg_guard *guard, uintptr_t address)
{
    if (address >= guard->stack_low && address < guard->stack_high) return true;
    if (!kernel_reads(address)) return false;
    keep_stack(guard, address);
    return true;
}

static void forget_frame(struct tvg_guard *guard)
{
    __atomic_add_fetch(&tvg_state.dead_frames, 1, __ATOMIC_RELAXED);
    guard->call = NULL;
    guard->nested = 0;
    guard->writing = 0;
    guard->skipped = 0;
    if (guard->thread && guard->thread->slow->epoch == tvg_state.epoch) tvg_thread_resync(guard->thread);
}

/* A call seems nested: is the outer one still there? Its struct tvg_call lies in the stack between it and us; when the call was left by
 * longjmp, frames that came later have overwritten it. When it is whole but dead, or lies in a suspended stack next to ours, what gives
 * it away is our caller: the object that called the outer function, not the one that computes. */
static bool nested_is_live(struct tvg_guard *guard, const void *caller)
{
    const struct tvg_call *call = guard->call;
    uintptr_t first = (uintptr_t)call, last = first + sizeof *call - 8;
    if (!call || !readable(guard, first) || ((first ^ last) >> 12 && !readable(guard, last))) return false;
    if (call->frame - first > 4096 || call->thread != guard->thread) return false;
    /* Not at once: a signal handler inside the call looks the same, but it makes few calls. */
    if (guard->nested < 16 || !call->slot) return true;
    void *ours = NULL, *theirs = NULL, *computing = NULL;
    tvg_object_name(caller, &ours);
    tvg_object_name((const void *)(uintptr_t)call->slot->key.word[TVG_KEY_WORDS - 1], &theirs);
    tvg_object_name(tvg_inline_code(call->slot->target), &computing);
    return !ours || ours != theirs || ours == computing;
}

bool tvg_nested_is_live(struct tvg_guard *guard, const void *caller)
{
    /* Asked at the 2nd, 3rd, 4th, 5th, 8th, 9th, 16th, 17th... nested call: even and odd, since a cascade makes every other one an inner one. */
    uint32_t n = guard->nested;
    if (((n & (n - 1)) && ((n - 1) & (n - 2))) || guard->writing == 2) return true;
    return nested_is_live(guard, caller);
}

/* There is a stored frame, but it is below ours or far from it. True: this call is outermost. */
static bool outer_is_gone(struct tvg_guard *guard, uintptr_t frame)
{
    uintptr_t outer = (uintptr_t)guard->call;
    if (frame > outer && frame - outer <= TVG_STACK_SPAN) return true; /* the same stack, and it was left by a jump */
    struct {
        uintptr_t base;
        int flags;
        size_t size;
    } alternate = {0};
    bool known = tvg_sys6(SYS_sigaltstack, 0, (long)&alternate, 0, 0, 0, 0) == 0 && !(alternate.flags & SS_DISABLE);
    bool we_are_on_it = known && frame - alternate.base < alternate.size;
    bool outer_was_on_it = known && outer - alternate.base < alternate.size;
    if (we_are_on_it && !outer_was_on_it) return false; /* a handler interrupted the outer call */
    /* Another user-level stack. Its call may be suspended between its record's first and last byte: then the ring is not ours for now,
     * but not for ever, since it may as well be dead. */
    if (guard->writing && !outer_was_on_it && ++guard->skipped < 64) return false;
    return true;
}

bool tvg_call_begin_slow(struct tvg_call *call, uintptr_t frame)
{
    struct tvg_guard *guard = &tvg_guard;
    struct tvg_quiet quiet;
    if (tvg_generation_word() & 1 || tvg_settings.off || __atomic_load_n(&tvg_state.paused, __ATOMIC_RELAXED)) return false;
    tvg_quiet_begin(&quiet);
    bool outermost = guard->call == NULL;
    if (!outermost) {
        /* Near: tvg_nested_is_live said no. */
        outermost = (uintptr_t)guard->call - (uintptr_t)call <= TVG_STACK_SPAN || outer_is_gone(guard, (uintptr_t)call);
        if (outermost) forget_frame(guard);
    }
    if (outermost) {
        /* What runs from here on (sources, the dynamic linker) may call BLAS: that is nested. */
        call->frame = frame;
        call->slot = NULL;
        guard->nested = 0;
        guard->writing = 2;
        guard->call = call;
        if (tvg_process_start()) call->thread = tvg_thread_attach();
        if (!call->thread || tvg_generation_word() & 1) {
            call->thread = NULL;
            guard->call = NULL;
            outermost = false;
        }
        guard->writing = 0;
    }
    tvg_quiet_end(&quiet);
    return outermost;
}

static void record(struct tvg_thread *thread, uint64_t start, uint64_t end, uint32_t op_id, const void *a, const void *b, const void *c, const void *wide,
                   uint32_t wide_length)
{
    uint64_t duration = end - start;
    if ((int64_t)duration < 0) { /* counters of two processors that disagree */
        __atomic_add_fetch(&tvg_state.clamped, 1, __ATOMIC_RELAXED);
        duration = 0;
    }
    if (op_id == TVG_OP_ID_WIDE && wide_length == 0)
        tvg_lost(1, -90);
    else
        tvg_ring_put(thread, start, duration, op_id, (uintptr_t)a, (uintptr_t)b, (uintptr_t)c, wide, wide_length);
}

void tvg_call_end_slow(struct tvg_call *call, const struct tvg_slot *slot, uint64_t end, const void *a, const void *b, const void *c)
{
    struct tvg_quiet quiet;
    struct tvg_thread *thread = call->thread;
    tvg_quiet_begin(&quiet);
    /* A word of 0: this is a child forked inside the call, which its parent records. Otherwise a pause, or objects that were unloaded. */
    if (tvg_generation_word() != 0 && thread->slow->epoch == tvg_state.epoch) {
        if (thread->per_op) tvg_sources_end(slot);
        bool wide = slot->flags & TVG_SLOT_WIDE;
        record(thread, call->start, end, slot->op_id, a, b, c, wide ? thread->slow->map : NULL, wide ? thread->slow->wide_length : 0);
    }
    tvg_quiet_end(&quiet);
}

/* A recorded op outside any call. Inside a quiet section; the caller's own stored frame stays. */
static void record_apart(const struct tvg_op *op, uint32_t op_id, uint64_t start, uint64_t end, const void *a, const void *b, const void *c)
{
    struct tvg_guard *guard = &tvg_guard;
    if (!tvg_process_start() || tvg_generation_word() & 1 || guard->writing == 1) return;
    struct tvg_thread *thread = guard->thread;
    /* A call in progress keeps its thread: caches and ring must not change hands below it. */
    if (!thread || thread->slow->epoch != tvg_state.epoch || (!guard->call && thread->generation != tvg_generation_word()))
        thread = tvg_thread_attach();
    if (!thread) return;
    uint32_t length = 0;
    if (op) length = (uint32_t)tvg_encode_op(thread->slow->block, TVG_WIDE_MAX - sizeof(uint32_t), op);
    record(thread, start, end, op_id, a, b, c, op ? thread->slow->block : NULL, length);
}

void tvg_op_record(uint32_t op_id, uint64_t start, uint64_t end, const void *a, const void *b, const void *c)
{
    struct tvg_quiet quiet;
    struct tvg_guard *guard = &tvg_guard;
    struct tvg_thread *thread = guard->thread;
    if (op_id >= TVG_OP_ID_LIMIT) return;
    if (!guard->call && thread && thread->generation == tvg_generation_word() && end - start < TVG_DURATION_LONG) { /* a call of its own, for as long as it takes */
        struct tvg_call call __attribute__((cleanup(tvg_call_release)));
        if (!tvg_call_begin(&call, __builtin_frame_address(0))) return;
        tvg_ring_add(call.thread, start, (uint32_t)(end - start), op_id, a, b, c);
        return;
    }
    tvg_quiet_begin(&quiet);
    record_apart(NULL, op_id, start, end, a, b, c);
    tvg_quiet_end(&quiet);
}

void tvg_op_record_wide(const struct tvg_op *op, uint64_t start, uint64_t end, const void *a, const void *b, const void *c)
{
    struct tvg_quiet quiet;
    tvg_quiet_begin(&quiet);
    record_apart(op, TVG_OP_ID_WIDE, start, end, a, b, c);
    tvg_quiet_end(&quiet);
}
