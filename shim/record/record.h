/* What a hook needs to turn a call into a recorded op, and what the rest of the shim needs of the recorder.
 * Hot path: tvg_call_begin, tvg_slot_find, tvg_now, tvg_call_end: no allocation, no lock, no system call, errno untouched.
 * The guard contract (re-entrancy, errno, signals, longjmp, exceptions, fork, ...) is stated in guard.h, each line with its test.
 *
 * A wrapper, in full:
 *
 *     TVG_EXPORT void cblas_sgemm(..., const float *a, ..., const float *b, ..., float *c, ...)
 *     {
 *         static const struct tvg_entry *const entry = &tvg_entry_cblas_sgemm;
 *         struct tvg_call call __attribute__((cleanup(tvg_call_release)));
 *         if (!tvg_call_begin(&call, __builtin_frame_address(0))) {
 *             ((cblas_sgemm_function *)(the real one for __builtin_return_address(0)))(...);
 *             return;
 *         }
 *         struct tvg_key key = {{entry->number | (uint64_t)order << 16 | ..., m, n, k, lda | ldb << 32, (uintptr_t)__builtin_return_address(0)}};
 *         struct tvg_slot *slot = tvg_slot_find(&call, entry, &key);
 *         cblas_sgemm_function *real = slot->target;
 *         call.start = tvg_now();
 *         real(...);
 *         tvg_call_end(&call, slot, a, b, c);
 *     }
 *
 * `call` must be declared before anything that can unwind. slot->target is never NULL in a slot that tvg_slot_find gave, unless the
 * real function does not exist anywhere. */
#ifndef TVG_SHIM_RECORD_H
#define TVG_SHIM_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../trace/op.h"

/* A name that the shim gives to the process. All else is hidden. */
#define TVG_EXPORT __attribute__((visibility("default")))

/* Identity of an op on the hot path: what the hook packs from the call's arguments. The low 16 bits of word 0 are the entry's number, so
 * that keys of different entries never meet; the last word is the return address. What else the words mean is between a hook and its describe(). */
enum { TVG_KEY_WORDS = 6 };
struct tvg_key {
    uint64_t word[TVG_KEY_WORDS];
};

struct tvg_entry;
/* Fills `op` from a key: called once per new key, on the slow path (signals blocked, no malloc). `op` comes zeroed, with library,
 * function, net, device, caller, caller_library and caller_offset already set; tvg_op_count() is called after it. */
typedef void tvg_describe(const struct tvg_entry *entry, const struct tvg_key *key, struct tvg_op *op);

/* One name that is stood in for: static data made from the spec tables. */
struct tvg_entry {
    const char *name;       /* exact symbol: "scipy_cblas_sgemm64_" */
    tvg_describe *describe;
    const void *detail;     /* for describe(): the family's own constants (types, kind, convention) */
    uint16_t number;        /* index in the table of all entries; 0xfff0 and up are the recorder's own */
    uint8_t net;            /* enum tvg_net */
};

/* A dictionary slot in the process: immutable once published. A library unload makes tvg_slot_find give a new one (tvg_forget_range). */
struct tvg_slot {
    struct tvg_key key;
    uint32_t op_id;
    uint32_t flags;
    void *target;           /* the real function for this caller */
};

/* One call in progress; lives on the wrapper's stack, released by tvg_call_release through __attribute__((cleanup)). */
struct tvg_call {
    struct tvg_thread *thread; /* NULL: not recording this call */
    uintptr_t frame;           /* the wrapper's frame address, and what tells a live frame from a dead one */
    uint64_t start;            /* ticks */
    const struct tvg_slot *slot;
};

/* Enters the guard. True when this is the outermost recorded call of the thread and recording is on: then the caller goes on with
 * tvg_slot_find, tvg_now, the real call, tvg_call_end. False: call the real function and nothing else. `frame` is __builtin_frame_address(0). */
static inline bool tvg_call_begin(struct tvg_call *call, void *frame);
/* Leaves the guard; runs on return, on a C++ exception and on forced unwinding. */
static inline void tvg_call_release(struct tvg_call *call);
/* The slot of `key`, made (described, resolved, written to the dictionary) when it is new. When the dictionary is full it is the thread's
 * own, good until its next tvg_slot_find. Never NULL. describe() is given this very `key`, so a hook may keep more behind it. */
static inline struct tvg_slot *tvg_slot_find(struct tvg_call *call, const struct tvg_entry *entry, const struct tvg_key *key);
/* Ticks of the trace's clock: TSC where it can be trusted, else CLOCK_MONOTONIC ns. */
static inline uint64_t tvg_now(void);
/* Records the op that began at call->start and ends now. Addresses are operands A, B, C (0 when none). */
static inline void tvg_call_end(struct tvg_call *call, const struct tvg_slot *slot, const void *a, const void *b, const void *c);

/* The same for one that ended at `end`, where its shape was known only afterwards. */
static inline void tvg_call_end_at(struct tvg_call *call, const struct tvg_slot *slot, uint64_t end, const void *a, const void *b, const void *c);
/* Changes whenever the thread records an op, but for those that tvg_guard.beside counts: tells whether a product was recorded in between. */
static inline uint64_t tvg_recorded_mark(void);

/* For nets that learn of an op after the fact (graph nodes, GPU kernels): one op with given ticks, outside any guard. The op is interned
 * by content: `op` is described in full. Slow on first sight, a hash lookup later. Returns the op id, or TVG_OP_ID_NONE when the
 * dictionary is full or nothing is being recorded (then record with tvg_op_record_wide, or not at all). */
uint32_t tvg_op_intern(const struct tvg_op *op);
void tvg_op_record(uint32_t op_id, uint64_t start, uint64_t end, const void *a, const void *b, const void *c);
/* The same for an op that has no id: it is written whole with each call. */
void tvg_op_record_wide(const struct tvg_op *op, uint64_t start, uint64_t end, const void *a, const void *b, const void *c);

/* A spin lock for slow paths, 0 when free; signal handlers that may want it too must be blocked. It holds its owner's process id, so that a forked
 * child does not wait for a thread of its parent's. */
typedef uint32_t tvg_lock;
void tvg_lock_take(tvg_lock *lock);
void tvg_lock_drop(tvg_lock *lock);

/* dl_iterate_phdr for the shim's own use: a fork waits for it, so that no child inherits the linker's lock. */
struct dl_phdr_info;
int tvg_linker_iterate(int (*visit)(struct dl_phdr_info *, size_t, void *), void *context);

/* Whether operations beyond matrix products are recorded too (TVG_OPS=all). The same from load to end. */
bool tvg_all_operations(void);

/* To be called when objects were unloaded: forgets every slot whose caller or target lies in begin..end, in all threads. */
void tvg_forget_range(const void *begin, const void *end);

/* Appends a whole sealed block (trace/block.h) to the trace: one write, errno kept, safe from any thread outside signal handlers.
 * Opens the trace file when it is not open yet. False when it could not be written; that is counted in the trace as soon as one can. */
bool tvg_block_append(const void *block, size_t length);
/* True once this process has a trace file (a call was caught, or a source appended something). */
bool tvg_recording(void);
/* Opens the trace although no op was recorded yet: for hooks that see work which they can't count, so that its time does not pass unseen. */
void tvg_recording_begin(void);
/* True between tvg_pause and tvg_resume. */
bool tvg_paused(void);

/* A coverage note: `what` is one of the words listed in FORMAT.md ("library", "caught", "found-not-catchable", "source-refused",
 * "late", "lost", "not-crash-safe", "child-without-preload", ...), `subject` what it is about, `detail` why. Written when the trace
 * file is open, kept in a small static buffer until then. Repeats of the same (what, subject) are dropped. */
void tvg_note(const char *what, const char *subject, const char *detail);

/* Units of work: what the host says it did (tvg_tokens(n) and the like). `kind` is a unit kind of FORMAT.md. */
void tvg_mark_units(const char *kind, double value);

/* A line on stderr when TVG_LOG asks for it; for slow paths. */
void tvg_log(const char *what, const char *detail);

/* What a host may call, found by name: `dlsym(RTLD_DEFAULT, "tvg_tokens")` in C, `ctypes.CDLL(None).tvg_tokens(128)` in Python (guard it
 * by hasattr: without the shim there is no such name), any foreign-function interface elsewhere. All are cheap and may be called at any time. */
TVG_EXPORT void tvg_tokens(uint64_t count);                        /* `count` output tokens were made since the last mark */
TVG_EXPORT void tvg_units(const char *kind, double value);         /* the same for other unit kinds: "image", "input_token", "request", ... */
TVG_EXPORT void tvg_pause(void);                                   /* ops of the whole process go unrecorded until tvg_resume */
TVG_EXPORT void tvg_resume(void);
TVG_EXPORT void tvg_warmup_done(void);                             /* what came before is warm-up: a mark in the trace */

#include "record_inline.h"

#endif
