/* The dynamic linker keeps, for every object, the lists that it searches. They lie in the private part of struct link_map, at offsets that
 * differ between glibc versions: they are found by what they hold (the list of objects at the start of the program), not by version.
 * Where they can't be found: objects of the start, then the object itself, then what it names as needed. */
#include "../record/record.h"
#include "../record/sys.h"
#include "scope.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "elf.h"

/* As in glibc's include/link.h; unchanged since 2.2. */
struct scope_list {
    struct link_map **objects;
    unsigned count;
};
enum { LINK_MAP_BYTES = 1024, LIST_MAX = 1 << 16, NEEDED_MAX = 256 };

static struct link_map *first_object, *self;
static unsigned start_count;             /* objects at the start of the program */
static size_t list_offset, scope_offset; /* in struct link_map; 0: not found */

extern const char __ehdr_start[] __attribute__((visibility("hidden")));

/* --- the list of objects ---------------------------------------------------------------------------------------------------------- */
struct hold {
    void (*body)(void *);
    void *context;
};

static int hold_once(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)info, (void)size;
    struct hold *hold = context;
    hold->body(hold->context);
    return 1;
}

void tvg_objects_hold(void (*body)(void *context), void *context)
{
    struct hold hold = {body, context};
    tvg_linker_iterate(hold_once, &hold);
}

struct link_map *tvg_object_first(void)
{
    return first_object ? first_object : _r_debug.r_map;
}

struct link_map *tvg_object_self(void)
{
    /* not by dl_iterate_phdr: a sanitizer stands in for that and may not be ready yet */
    for (struct link_map *object = tvg_object_first(); object && !self; object = object->l_next)
        if (object->l_addr == (uintptr_t)__ehdr_start)
            self = object;
    return self;
}

struct at {
    uintptr_t address;
    const void *dynamic;
};

static int find_dynamic(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    struct at *at = context;
    const void *dynamic = NULL;
    bool holds = false;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        uintptr_t begin = info->dlpi_addr + header->p_vaddr;
        if (header->p_type == PT_DYNAMIC)
            dynamic = (const void *)begin;
        else if (header->p_type == PT_LOAD && at->address >= begin && at->address - begin < header->p_memsz)
            holds = true;
    }
    if (!holds)
        return 0;
    at->dynamic = dynamic;
    return 1;
}

struct link_map *tvg_object_at(const void *address)
{
    struct at at = {(uintptr_t)address, NULL};
    if (!tvg_linker_iterate(find_dynamic, &at) || !at.dynamic)
        return NULL;
    for (struct link_map *object = tvg_object_first(); object; object = object->l_next)
        if (object->l_ld == at.dynamic)
            return object;
    return NULL;
}

/* --- finding the lists ------------------------------------------------------------------------------------------------------------ */
static bool is_mapped(const void *address, size_t length)
{
    static long page;
    if (page == 0)
        page = sysconf(_SC_PAGESIZE);
    uintptr_t begin = (uintptr_t)address & ~(uintptr_t)(page - 1), end = (uintptr_t)address + length;
    for (; begin < end; begin += (uintptr_t)page) {
        unsigned char resident;
        /* raw: a sanitizer that asks for its first function has no mincore of its own yet */
        if (tvg_sys6(SYS_mincore, (long)begin, 1, (long)&resident, 0, 0, 0) != 0)
            return false;
    }
    return true;
}

static bool lists_the_start(const struct scope_list *list)
{
    uintptr_t at = (uintptr_t)list->objects;
    if (list->count < start_count || list->count > LIST_MAX || at < 65536 || at % sizeof(void *) != 0 || !is_mapped(list->objects, list->count * sizeof(void *)))
        return false;
    struct link_map *object = tvg_object_first();
    for (unsigned i = 0; i < start_count; i++, object = object->l_next) {
        /* the linker itself and the vdso are in the chain, but not always at the same place in the list */
        bool found = false;
        for (unsigned j = 0; j < list->count && !found; j++)
            found = list->objects[j] == object;
        if (!found)
            return false;
    }
    return list->objects[0] == tvg_object_first();
}

static void find_lists(void)
{
    struct link_map *program = tvg_object_first();
    char *bytes = (char *)program;
    if (!program || !is_mapped(program, LINK_MAP_BYTES))
        return;
    for (size_t at = sizeof *program; at + sizeof(struct scope_list) <= LINK_MAP_BYTES && list_offset == 0; at += sizeof(void *))
        if (lists_the_start((const struct scope_list *)(bytes + at)))
            list_offset = at;
    if (list_offset == 0)
        return;
    const void *global = bytes + list_offset;
    for (size_t at = sizeof *program; at + sizeof(void *) <= LINK_MAP_BYTES; at += sizeof(void *)) {
        /* an array inside struct link_map that begins with the global list, and a later pointer to that array */
        if (*(const void **)(bytes + at) != global)
            continue;
        for (size_t pointer = at + sizeof(void *); pointer + sizeof(void *) <= LINK_MAP_BYTES; pointer += sizeof(void *))
            if (*(char **)(bytes + pointer) == bytes + at)
                scope_offset = pointer;
        if (scope_offset != 0)
            return;
    }
}

static void init_held(void *context)
{
    (void)context;
    first_object = _r_debug.r_map;
    tvg_object_self();
    start_count = 0;
    for (struct link_map *object = first_object; object; object = object->l_next) {
        struct tvg_elf elf;
        /* the vdso is in the chain without being in any search list */
        if (!tvg_elf_read(object->l_addr, object->l_ld, &elf) || (object->l_name[0] != '/' && object != first_object))
            break;
        start_count++;
    }
}

void tvg_scope_init(void)
{
    int saved = errno;
    tvg_objects_hold(init_held, NULL);
    errno = saved;
}

/* --- walking ------------------------------------------------------------------------------------------------------------------------ */
static bool is_live(const struct link_map *object)
{
    for (const struct link_map *known = tvg_object_first(); known; known = known->l_next)
        if (known == object)
            return true;
    return false;
}

static bool walk_list(const struct scope_list *list, unsigned first, tvg_scope_visit *visit, void *context)
{
    for (unsigned i = first; i < list->count; i++)
        if (list->objects[i] != self && is_live(list->objects[i]) && visit(list->objects[i], context))
            return true;
    return false;
}

static bool walk_global(tvg_scope_visit *visit, void *context)
{
    if (list_offset != 0) {
        const struct scope_list *global = (const struct scope_list *)((char *)tvg_object_first() + list_offset);
        unsigned behind = 0;
        for (unsigned i = 0; i < global->count; i++)
            if (global->objects[i] == self)
                behind = i + 1;
        return walk_list(global, behind, visit, context);
    }
    bool behind = self == NULL;
    unsigned i = 0;
    for (struct link_map *object = tvg_object_first(); object && i < start_count; object = object->l_next, i++) {
        if (behind && visit(object, context))
            return true;
        behind |= object == self;
    }
    return false;
}

static const char *file_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static struct link_map *object_named(const char *name)
{
    for (struct link_map *object = tvg_object_first(); object; object = object->l_next)
        if (tvg_same_text(file_part(object->l_name), file_part(name)))
            return object;
    for (struct link_map *object = tvg_object_first(); object; object = object->l_next) {
        struct tvg_elf elf;
        if (!tvg_elf_read(object->l_addr, object->l_ld, &elf))
            continue;
        for (const ElfW(Dyn) *d = object->l_ld; d->d_tag != DT_NULL; d++)
            if (d->d_tag == DT_SONAME && tvg_same_text(elf.strings + d->d_un.d_val, file_part(name)))
                return object;
    }
    return NULL;
}

/* The object, then what it needs, breadth first. */
static bool walk_needed(struct link_map *object, tvg_scope_visit *visit, void *context)
{
    struct link_map *queue[NEEDED_MAX];
    unsigned count = 0;
    queue[count++] = object;
    for (unsigned i = 0; i < count; i++) {
        struct tvg_elf elf;
        if (queue[i] != self && visit(queue[i], context))
            return true;
        if (!tvg_elf_read(queue[i]->l_addr, queue[i]->l_ld, &elf))
            continue;
        for (const ElfW(Dyn) *d = queue[i]->l_ld; d->d_tag != DT_NULL && count < NEEDED_MAX; d++) {
            struct link_map *needed = d->d_tag == DT_NEEDED ? object_named(elf.strings + d->d_un.d_val) : NULL;
            bool known = needed == NULL;
            for (unsigned j = 0; j < count && !known; j++)
                known = queue[j] == needed;
            if (!known)
                queue[count++] = needed;
        }
    }
    return false;
}

bool tvg_scope_walk(struct link_map *object, tvg_scope_visit *visit, void *context)
{
    static bool looked;
    if (!first_object) /* called before our constructor */
        init_held(NULL);
    if (!looked) {
        find_lists();
        looked = true;
    }
    if (walk_global(visit, context))
        return true;
    if (!object)
        return false;
    if (scope_offset == 0)
        return walk_needed(object, visit, context);
    const struct scope_list *global = (const struct scope_list *)((char *)tvg_object_first() + list_offset);
    struct scope_list **lists = *(struct scope_list ***)((char *)object + scope_offset);
    for (; *lists; lists++)
        if (*lists != global && walk_list(*lists, 0, visit, context))
            return true;
    return false;
}
