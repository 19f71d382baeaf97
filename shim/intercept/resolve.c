/* Which real function a call goes on to. */
#include "resolve.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "catch.h"
#include "elf.h"
#include "load_event.h"
#include "preload.h"
#include "../record/quiet.h"
#include "../record/state.h"
#include "scope.h"

struct search {
    const char *name;
    uint32_t hash;
    const void *caller;
    bool in_scope_only;
    const char *version; /* that the caller's object was linked against, or NULL */
    void *found;
};

static bool look_in(struct link_map *object, void *context)
{
    struct search *search = context;
    struct tvg_elf elf;
    if (!tvg_preload_is_copy(object->l_ld) && tvg_elf_read(object->l_addr, object->l_ld, &elf))
        search->found = tvg_elf_symbol(&elf, search->name, search->hash, search->version);
    return search->found != NULL;
}

static void look(void *context)
{
    struct search *search = context;
    struct link_map *caller = search->caller ? tvg_object_at(search->caller) : NULL;
    struct tvg_elf elf;
    if (caller && tvg_elf_read(caller->l_addr, caller->l_ld, &elf))
        search->version = tvg_elf_wanted_version(&elf, search->name);
    if (tvg_scope_walk(caller, look_in, search) || search->in_scope_only)
        return;
    for (struct link_map *object = tvg_object_first(); object; object = object->l_next)
        if (object != tvg_object_self() && look_in(object, search))
            return;
}

static void *resolve(const struct tvg_entry *entry, const void *caller, bool in_scope_only)
{
    const struct tvg_catch *catch = tvg_catch_of(entry);
    if (tvg_catch_is_bound(catch))
        return catch->exported;
    int saved = errno;
    struct search search = {entry->name, catch->gnu_hash, caller, in_scope_only, NULL, NULL};
    tvg_objects_hold(look, &search);
    errno = saved;
    return search.found;
}

void *tvg_resolve_in_scope(const struct tvg_entry *entry, const void *caller)
{
    return resolve(entry, caller, true);
}

void *tvg_resolve_next_held(const char *name)
{
    struct search search = {name, tvg_gnu_hash(name), NULL, true, NULL, NULL};
    look(&search);
    return search.found;
}

void *tvg_resolve_next(const char *name)
{
    struct search search = {name, tvg_gnu_hash(name), NULL, true, NULL, NULL};
    tvg_objects_hold(look, &search);
    return search.found;
}

/* --- the cache for calls that go unrecorded: read without a lock, each line guarded by a version that is odd while it changes ------------ */
enum { LINES = 1024 };
static struct line {
    _Atomic uint32_t version;
    _Atomic uint32_t flags;
    _Atomic uintptr_t entry, caller, target;
} lines[LINES];

static struct line *line_of(const struct tvg_entry *entry, const void *caller)
{
    uint64_t hash = ((uint64_t)(uintptr_t)entry * 0x9e3779b97f4a7c15u) ^ ((uint64_t)(uintptr_t)caller * 0xc2b2ae3d27d4eb4fu);
    return &lines[hash >> 54];
}

static bool line_read(struct line *line, const struct tvg_entry *entry, const void *caller, void **target, uint32_t *flags)
{
    uint32_t version = atomic_load_explicit(&line->version, memory_order_acquire);
    bool match = atomic_load_explicit(&line->entry, memory_order_relaxed) == (uintptr_t)entry &&
                 atomic_load_explicit(&line->caller, memory_order_relaxed) == (uintptr_t)caller;
    *target = (void *)atomic_load_explicit(&line->target, memory_order_relaxed);
    *flags = atomic_load_explicit(&line->flags, memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire);
    return match && !(version & 1) && atomic_load_explicit(&line->version, memory_order_relaxed) == version;
}

static void line_write(struct line *line, const struct tvg_entry *entry, const void *caller, void *target, uint32_t flags)
{
    uint32_t version = atomic_load_explicit(&line->version, memory_order_relaxed);
    if (version & 1 || !atomic_compare_exchange_strong(&line->version, &version, version + 1))
        return; /* another thread is at it: this call just isn't cached */
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&line->entry, (uintptr_t)entry, memory_order_relaxed);
    atomic_store_explicit(&line->caller, (uintptr_t)caller, memory_order_relaxed);
    atomic_store_explicit(&line->target, (uintptr_t)target, memory_order_relaxed);
    atomic_store_explicit(&line->flags, flags, memory_order_relaxed);
    atomic_store_explicit(&line->version, version + 2, memory_order_release);
}

static void *find(const struct tvg_entry *entry, const void *caller, uint32_t *flags)
{
    const struct tvg_catch *catch = tvg_catch_of(entry);
    struct line *line = line_of(entry, caller);
    void *target = resolve(entry, caller, false);
    *flags = !catch->bare || (target && tvg_object_defines(target, catch->bare_witness));
    if (target)
        line_write(line, entry, caller, target, *flags);
    else
        tvg_note("unresolved", entry->name, "called, but no loaded object defines it: only a weak reference, or a lazily bound one that nothing "
                 "satisfies, gets here; the call goes to address 0, as the weak reference would have");
    return target;
}

static void *cached(const struct tvg_entry *entry, const void *caller, uint32_t *flags)
{
    void *target;
    if (line_read(line_of(entry, caller), entry, caller, &target, flags))
        return target;
    tvg_load_event_poll();
    return find(entry, caller, flags);
}

void *tvg_resolve(const struct tvg_entry *entry, const void *caller)
{
    uint32_t flags;
    tvg_load_event_poll(); /* it may empty the cache */
    return cached(entry, caller, &flags);
}

void *tvg_target(const struct tvg_entry *entry, const void *caller)
{
    uint32_t flags;
    return cached(entry, caller, &flags);
}

static void answers_forget(void);
void tvg_targets_forget(void)
{
    for (unsigned i = 0; i < LINES; i++)
        line_write(&lines[i], NULL, NULL, NULL, 0);
    answers_forget();
}

/* Where a call by a gated name goes: NULL for the wrapper; the real function when a bare name means something else than BLAS to this caller, or
 * when operations beyond products are not recorded. */
void *tvg_gate_choose(const struct tvg_catch *catch, const void *caller);
__attribute__((used)) void *tvg_gate_choose(const struct tvg_catch *catch, const void *caller)
{
    uint32_t is_blas;
    void *target = cached(&catch->entry, caller, &is_blas);
    return is_blas && (!catch->beyond || tvg_all_operations()) ? NULL : target;
}

/* --- objects by address ------------------------------------------------------------------------------------------------------------------ */
struct witness {
    const void *address;
    const char *name;
    bool defines;
};

static void find_witness(void *context)
{
    struct witness *witness = context;
    struct link_map *object = tvg_object_at(witness->address);
    struct tvg_elf elf;
    if (object && tvg_elf_read(object->l_addr, object->l_ld, &elf))
        witness->defines = tvg_elf_symbol(&elf, witness->name, tvg_gnu_hash(witness->name), NULL) != NULL;
}

bool tvg_object_defines(const void *address, const char *name)
{
    struct witness witness = {address, name, false};
    tvg_objects_hold(find_witness, &witness);
    return witness.defines;
}

/* Names are kept for good: an op names its library after that has gone. */
enum { NAMES_BYTES = 1 << 16 };
static char names[NAMES_BYTES];
static _Atomic uint32_t names_used;
static tvg_lock names_lock;

static const char *keep_name(const char *name)
{
    size_t length = strlen(name) + 1;
    tvg_lock_take(&names_lock);
    const char *kept = NULL;
    for (uint32_t at = 0; at < names_used && !kept; at += (uint32_t)strlen(names + at) + 1)
        if (strcmp(names + at, name) == 0)
            kept = names + at;
    if (!kept && names_used + length <= NAMES_BYTES) {
        /* Not by memcpy: ThreadSanitizer would see that write, but not how the name is handed on to threads that read it, and report a race. */
        kept = names + names_used;
        names_used = (uint32_t)tvg_text_add(names, NAMES_BYTES, names_used, name) + 1;
    }
    tvg_lock_drop(&names_lock);
    return kept ? kept : "";
}

static const char *file_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return keep_name(slash ? slash + 1 : path);
}

/* The linker's list has no name for the program itself. */
static const char *program_name(void)
{
    static _Atomic(const char *) kept;
    const char *name = atomic_load_explicit(&kept, memory_order_relaxed);
    if (!name) {
        char path[1024];
        ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
        path[length > 0 ? length : 0] = 0;
        atomic_store_explicit(&kept, name = file_of(path), memory_order_relaxed);
    }
    return name;
}

/* Answers that were given before, so that asking for an address again takes no lock and no walk; each guarded as the lines above are. */
enum { ANSWERS = 256 };
static struct answer {
    _Atomic uint32_t version;
    _Atomic uintptr_t address, base;
    _Atomic(const char *) name;
} answers[ANSWERS];

static struct answer *answer_of(const void *address)
{
    return &answers[(uint64_t)(uintptr_t)address * 0x9e3779b97f4a7c15u >> 56];
}

static bool answer_read(struct answer *answer, const void *address, uintptr_t *base, const char **name)
{
    uint32_t version = atomic_load_explicit(&answer->version, memory_order_acquire);
    bool match = atomic_load_explicit(&answer->address, memory_order_relaxed) == (uintptr_t)address;
    *base = atomic_load_explicit(&answer->base, memory_order_relaxed);
    *name = atomic_load_explicit(&answer->name, memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire);
    return match && !(version & 1) && atomic_load_explicit(&answer->version, memory_order_relaxed) == version;
}

static void answer_write(struct answer *answer, const void *address, uintptr_t base, const char *name)
{
    uint32_t version = atomic_load_explicit(&answer->version, memory_order_relaxed);
    if (version & 1 || !atomic_compare_exchange_strong(&answer->version, &version, version + 1))
        return;
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&answer->address, (uintptr_t)address, memory_order_relaxed);
    atomic_store_explicit(&answer->base, base, memory_order_relaxed);
    atomic_store_explicit(&answer->name, name, memory_order_relaxed);
    atomic_store_explicit(&answer->version, version + 2, memory_order_release);
}

static void answers_forget(void)
{
    for (unsigned i = 0; i < ANSWERS; i++)
        answer_write(&answers[i], NULL, 0, NULL);
}

struct naming {
    const void *address;
    const struct link_map *object;
};

static void find_object(void *context)
{
    struct naming *naming = context;
    naming->object = tvg_object_at(naming->address);
}

const char *tvg_object_name(const void *address, void **base)
{
    struct answer *answer = answer_of(address);
    uintptr_t object_base = 0;
    const char *name = "";
    if (address && !answer_read(answer, address, &object_base, &name)) {
        struct tvg_quiet quiet;
        struct naming naming = {address, NULL};
        tvg_quiet_begin(&quiet); /* a handler that asks too must not find the names locked */
        tvg_objects_hold(find_object, &naming);
        name = "";
        object_base = 0;
        if (naming.object) {
            name = naming.object->l_name[0] ? file_of(naming.object->l_name) : program_name();
            object_base = naming.object->l_addr;
            answer_write(answer, address, object_base, name);
        }
        tvg_quiet_end(&quiet);
    }
    if (base)
        *base = (void *)object_base;
    return name;
}

void *tvg_library_handle(const void *code)
{
    Dl_info info;
    return dladdr(code, &info) ? dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD) : NULL;
}
