/* The op dictionary of the process: keys to slots. Looked up without a lock; a new entry is written to the trace before anyone can use
 * its id. When it is full, or its entry can't be written, an op carries its own description (a wide record): nothing is lost. */
#include <string.h>

#include "../hooks/threads.h"
#include "../intercept/inline.h"
#include "../intercept/resolve.h"
#include "../sources/source.h"
#include "content.h"
#include "state.h"
#include "sys.h"

#define GONE 0xffffffffu /* in the index: a forgotten slot */

static struct tvg_slot *slots;
static uint32_t *table;      /* slot number + 1, 0 empty, GONE */
static uint64_t table_mask;
static uint32_t used;
static tvg_lock lock;
static bool full_said;

struct tvg_slot tvg_slot_none = {.key = {{~(uint64_t)0, ~(uint64_t)0, ~(uint64_t)0, ~(uint64_t)0, ~(uint64_t)0, ~(uint64_t)0}}, .op_id = TVG_OP_ID_NONE};

/* Empty; after a fork too, since ids are those of one trace. */
bool tvg_dictionary_start(void)
{
    uint64_t entries = 1024;
    while (entries < (uint64_t)tvg_settings.dictionary_max * 2) entries *= 2;
    size_t slot_bytes = ((size_t)tvg_settings.dictionary_max + 1) * sizeof *slots;
    lock = 0;
    used = 0;
    full_said = false;
    /* A parent's tables stay mapped: a fork inside a call still holds a slot. */
    slots = tvg_sys_memory(slot_bytes);
    table = tvg_sys_memory(entries * sizeof *table);
    table_mask = entries - 1;
    return slots && table;
}

static struct tvg_slot *look_up(const struct tvg_key *key, uint64_t hash)
{
    for (uint64_t i = hash >> 20;; i++) {
        uint32_t entry = __atomic_load_n(&table[i & table_mask], __ATOMIC_ACQUIRE);
        if (entry == 0) return NULL;
        if (entry != GONE && tvg_key_equal(&slots[entry - 1].key, key)) return &slots[entry - 1];
    }
}

/* Enters `op` under `key` and writes its DICT block. NULL when there is no room or it could not be written. */
static struct tvg_slot *enter(const struct tvg_key *key, uint64_t hash, const struct tvg_op *op, void *target, uint8_t *block, size_t capacity)
{
    bool say_full = false;
    tvg_lock_take(&lock);
    struct tvg_slot *slot = look_up(key, hash); /* another thread may have been first */
    if (!slot && used < tvg_settings.dictionary_max) {
        size_t length = tvg_encode_dict(block, capacity, used, op);
        if (length && tvg_file_write(block, length)) {
            slot = &slots[used];
            slot->key = *key;
            slot->op_id = used;
            slot->target = target;
            uint64_t i = hash >> 20;
            while (table[i & table_mask] != 0 && table[i & table_mask] != GONE) i++; /* else a library that comes and goes makes a row of them */
            used++;
            __atomic_store_n(&table[i & table_mask], used, __ATOMIC_RELEASE);
        }
    } else if (!slot && !full_said) {
        full_said = say_full = true;
    }
    tvg_lock_drop(&lock);
    if (say_full) tvg_note("limit", "op dictionary", "further ops carry their description in each record");
    return slot;
}

static void describe(struct tvg_op *op, const struct tvg_entry *entry, const struct tvg_key *key, void *target)
{
    void *base = NULL;
    const void *caller = (const void *)(uintptr_t)key->word[TVG_KEY_WORDS - 1];
    memset(op, 0, sizeof *op);
    op->device = -1;
    op->library = tvg_object_name(tvg_inline_code(target), &base);
    op->function = entry->name;
    op->net = entry->net;
    op->caller = (uint64_t)(uintptr_t)caller;
    base = NULL;
    op->caller_library = tvg_object_name(caller, &base);
    op->caller_offset = base ? (uint64_t)((uintptr_t)caller - (uintptr_t)base) : 0;
    if (entry->describe) entry->describe(entry, key, op);
    if (!op->on_gpu && !op->threads) op->threads = tvg_library_threads(target);
    tvg_op_count(op);
}

static struct tvg_slot *make_wide(struct tvg_thread_slow *slow, const struct tvg_key *key, void *target)
{
    struct tvg_slot *slot = &slow->wide;
    slow->wide_length = (uint32_t)tvg_encode_op(slow->map, sizeof slow->map - sizeof(uint32_t), &slow->op);
    slot->key = *key;
    slot->op_id = TVG_OP_ID_WIDE;
    slot->flags = TVG_SLOT_WIDE;
    slot->target = target;
    return slot;
}

struct tvg_slot *tvg_slot_find_slow(struct tvg_call *call, const struct tvg_entry *entry, const struct tvg_key *key, uint64_t hash)
{
    struct tvg_quiet quiet;
    struct tvg_thread *thread = call->thread;
    struct tvg_thread_slow *slow = thread->slow;
    tvg_quiet_begin(&quiet);
    struct tvg_slot *slot = look_up(key, hash);
    if (!slot && slow->wide.flags && tvg_key_equal(&slow->wide.key, key)) slot = &slow->wide;
    if (!slot) {
        /* Resolving takes the dynamic linker's locks: never under ours. */
        void *target = tvg_resolve(entry, (const void *)(uintptr_t)key->word[TVG_KEY_WORDS - 1]);
        describe(&slow->op, entry, key, target);
        slot = enter(key, hash, &slow->op, target, slow->block, sizeof slow->block);
        if (!slot) slot = make_wide(slow, key, target);
    }
    thread->per_op = __atomic_load_n(&tvg_sources_per_op, __ATOMIC_ACQUIRE);
    /* Sources that count per op are called from here: then nothing is cached. */
    thread->cache[hash >> (64 - TVG_CACHE_BITS)] = thread->per_op ? &tvg_slot_none : slot;
    tvg_quiet_end(&quiet);
    if (thread->per_op) tvg_sources_begin(slot);
    return slot;
}

uint32_t tvg_op_intern(const struct tvg_op *op)
{
    struct tvg_content content = tvg_content_of(op, true);
    struct tvg_key key = {{TVG_ENTRY_INTERNED, content.low, content.high, op->caller, op->caller_offset, (uint64_t)(uintptr_t)op->caller_library}};
    uint64_t hash = tvg_key_hash(&key);
    /* Known already: no system call. A child that was just forked has no dictionary yet. */
    struct tvg_slot *slot = tvg_generation_word() != 0 && tvg_recording() ? look_up(&key, hash) : NULL;
    if (slot) return slot->op_id;
    struct tvg_quiet quiet;
    tvg_quiet_begin(&quiet);
    if (tvg_process_start()) {
        uint8_t block[TVG_WIDE_MAX + 64];
        slot = enter(&key, hash, op, NULL, block, sizeof block);
    }
    tvg_quiet_end(&quiet);
    return slot ? slot->op_id : TVG_OP_ID_NONE;
}

void tvg_forget_range(const void *begin, const void *end)
{
    uint64_t from = (uint64_t)(uintptr_t)begin, to = (uint64_t)(uintptr_t)end;
    struct tvg_quiet quiet;
    bool any = false;
    if (!tvg_recording()) return;
    tvg_quiet_begin(&quiet);
    tvg_lock_take(&lock);
    for (uint32_t i = 0; i < used; i++) {
        const struct tvg_slot *slot = &slots[i];
        uint64_t caller = slot->key.word[TVG_KEY_WORDS - 1], target = (uint64_t)(uintptr_t)slot->target;
        if ((uint16_t)slot->key.word[0] == TVG_ENTRY_INTERNED || slots[i].flags & TVG_SLOT_GONE) continue;
        if ((caller < from || caller >= to) && (target < from || target >= to)) continue;
        for (uint64_t at = tvg_key_hash(&slot->key) >> 20;; at++) {
            uint32_t entry = table[at & table_mask];
            if (entry == 0) break; /* forgotten before */
            if (entry != i + 1) continue;
            __atomic_or_fetch(&slots[i].flags, TVG_SLOT_GONE, __ATOMIC_RELAXED); /* a call in it ends on the slow path */
            __atomic_store_n(&table[at & table_mask], GONE, __ATOMIC_RELEASE);
            any = true;
            break;
        }
    }
    tvg_lock_drop(&lock);
    /* Caches of all threads are void when they next begin a call. */
    if (any || full_said) __atomic_add_fetch(tvg_generation, 2, __ATOMIC_ACQ_REL); /* full: threads keep slots of their own */
    tvg_quiet_end(&quiet);
}
