/* Objects that come are looked at when the shim next has a slow moment (a new kind of call, a dlsym, a dlclose). Objects that go are
 * seen at once, in dlclose: an address that is used again must not reach a function that has gone. */
#include "load_event.h"

#include <errno.h>
#include <link.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../record/record.h"
#include "catch.h"
#include "elf.h"
#include "preload.h"
#include "resolve.h"
#include "scope.h"

enum { OBJECTS_MAX = 2048 };
static struct object {
    uintptr_t begin, end;
    bool seen;
} objects[OBJECTS_MAX];
static unsigned object_count;
static bool overflowed;
static _Atomic unsigned long long last_adds, last_subs;
static _Atomic int owner; /* process that is looking; a forked child does not wait for its parent's thread */

struct counts {
    unsigned long long adds, subs;
};

static int read_counts(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    *(struct counts *)context = (struct counts){info->dlpi_adds, info->dlpi_subs};
    return 1;
}

/* What one look found; said after the linker's lock was left. */
enum { FRESH_MAX = 64 };
struct look {
    struct fresh {
        uintptr_t address;
        unsigned names;
        bool symbolic;
        const char *bypassed; /* a name whose reference is bound past the shim */
    } fresh[FRESH_MAX];
    unsigned fresh_count;
};

static unsigned count_names(const struct tvg_elf *elf)
{
    unsigned count = 0;
    for (const struct tvg_catch *catch = __start_tvg_catches; catch < __stop_tvg_catches; catch++)
        if (tvg_elf_may_define(elf, catch->gnu_hash) && tvg_elf_symbol(elf, catch->entry.name, catch->gnu_hash, NULL))
            count++;
    return count;
}

/* A bound reference to a name of the tables that does not lead to the shim: the object was loaded with RTLD_DEEPBIND, or its linker chose so.
 * References not bound yet point into the object's own procedure linkage table and tell nothing. */
static const char *find_bypass(const struct tvg_elf *elf, const ElfW(Rela) *rela, size_t count, uintptr_t begin, uintptr_t end)
{
    for (size_t i = 0; i < count; i++) {
#if defined(__x86_64__)
        unsigned type = ELF64_R_TYPE(rela[i].r_info);
        if (type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT)
            continue;
#else
        if (ELF64_R_SYM(rela[i].r_info) == 0)
            continue;
#endif
        const ElfW(Sym) *symbol = elf->symbols + ELF64_R_SYM(rela[i].r_info);
        const struct tvg_catch *catch = tvg_catch_by_name(elf->strings + symbol->st_name);
        if (!catch || catch->bare || catch->beyond)
            continue;
        uintptr_t value = *(const uintptr_t *)(elf->base + rela[i].r_offset);
        bool inside = value >= begin && value < end, unbound = inside && (symbol->st_shndx == SHN_UNDEF || value != elf->base + symbol->st_value);
        if (value != 0 && !unbound && !tvg_is_own((const void *)value))
            return catch->entry.name;
    }
    return NULL;
}

static int visit(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    struct look *look = context;
    uintptr_t begin = UINTPTR_MAX, end = 0;
    const ElfW(Dyn) *dynamic = NULL;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        uintptr_t at = info->dlpi_addr + header->p_vaddr;
        if (header->p_type == PT_DYNAMIC)
            dynamic = (const ElfW(Dyn) *)at;
        if (header->p_type != PT_LOAD)
            continue;
        begin = at < begin ? at : begin;
        end = at + header->p_memsz > end ? at + header->p_memsz : end;
    }
    for (unsigned i = 0; i < object_count; i++)
        if (objects[i].begin == begin && objects[i].end == end) {
            objects[i].seen = true;
            return 0;
        }
    if (object_count == OBJECTS_MAX)
        overflowed = true;
    else
        objects[object_count++] = (struct object){begin, end, true};
    struct tvg_elf elf;
    if (!dynamic || tvg_is_own(dynamic) || tvg_preload_is_copy(dynamic) || look->fresh_count == FRESH_MAX || !tvg_elf_read(info->dlpi_addr, dynamic, &elf))
        return 0;
    struct fresh fresh = {(uintptr_t)dynamic, count_names(&elf), elf.symbolic, find_bypass(&elf, elf.plt, elf.plt_count, begin, end)};
    if (!fresh.bypassed)
        fresh.bypassed = find_bypass(&elf, elf.rela, elf.rela_count, begin, end);
    if (fresh.names || fresh.bypassed)
        look->fresh[look->fresh_count++] = fresh;
    return 0;
}

static void say(const struct look *look)
{
    for (unsigned i = 0; i < look->fresh_count; i++) {
        const struct fresh *fresh = &look->fresh[i];
        const char *name = tvg_object_name((const void *)fresh->address, NULL);
        char text[160];
        if (fresh->names) {
            snprintf(text, sizeof text, "defines %u names of the tables%s", fresh->names, fresh->symbolic ? "; linked with -Bsymbolic" : "");
            tvg_note("library", name, text);
            if (fresh->symbolic)
                tvg_note("found-not-catchable", name, "linked with -Bsymbolic: calls that start inside it do not pass the shim");
        }
        if (fresh->bypassed) {
            snprintf(text, sizeof text, "its reference to %s is bound past the shim (RTLD_DEEPBIND, or a definition before the shim)", fresh->bypassed);
            tvg_note("found-not-catchable", name, text);
        }
    }
}

static void forget_gone(void)
{
    bool any = false;
    for (unsigned i = 0; i < object_count;) {
        if (objects[i].seen) {
            i++;
            continue;
        }
        tvg_forget_range((const void *)objects[i].begin, (const void *)objects[i].end);
        objects[i] = objects[--object_count];
        any = true;
    }
    if (any || overflowed)
        tvg_targets_forget();
    if (overflowed)
        tvg_forget_range(NULL, (const void *)UINTPTR_MAX);
}

void tvg_load_event_poll(void)
{
    struct counts now = {0, 0};
    tvg_linker_iterate(read_counts, &now);
    if (now.adds == last_adds && now.subs == last_subs)
        return;
    int saved = errno, free_value = 0, self = getpid();
    if (!atomic_compare_exchange_strong(&owner, &free_value, self)) {
        if (free_value == self || !atomic_compare_exchange_strong(&owner, &free_value, self)) {
            errno = saved;
            return; /* another thread is at it, or this one, in a note */
        }
    }
    bool unloaded = now.subs != last_subs;
    last_adds = now.adds;
    last_subs = now.subs;
    static struct look look;
    look.fresh_count = 0;
    for (unsigned i = 0; i < object_count; i++)
        objects[i].seen = false;
    tvg_linker_iterate(visit, &look);
    if (unloaded)
        forget_gone();
    say(&look);
    atomic_store(&owner, 0);
    errno = saved;
}
