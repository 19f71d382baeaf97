/* The objects that came with the program stand in the order in which the dynamic linker searches them; what dlopen brings comes behind. */
#include "preload.h"

#include <link.h>
#include <string.h>

#include "../record/record.h"
#include "elf.h"

static const char mark[] = "tvg_warmup_done"; /* what a shim exports and nothing else does */
enum { COPIES_MAX = 4 };
static const void *copies[COPIES_MAX]; /* by their dynamic sections */
static unsigned copy_count;
extern const char __ehdr_start[] __attribute__((visibility("hidden")));

static bool is_shim(const struct link_map *object)
{
    struct tvg_elf elf;
    return object->l_name && strchr(object->l_name, '/') && tvg_elf_read(object->l_addr, object->l_ld, &elf) &&
           tvg_elf_symbol(&elf, mark, tvg_gnu_hash(mark), NULL);
}

bool tvg_preload_look(void)
{
    const struct link_map *self = NULL;
    bool late = false; /* the dynamic linker itself is the last of the objects of the start */
    for (const struct link_map *object = _r_debug.r_map; object; object = object->l_next) {
        if (object->l_addr == (uintptr_t)__ehdr_start) {
            self = object;
        } else if (!self && is_shim(object)) {
            return false;
        } else if (self && is_shim(object)) {
            if (copy_count < COPIES_MAX)
                copies[copy_count++] = object->l_ld;
            tvg_note("second-preload", object->l_name, "another copy of the shim, behind this one: it stands aside and records nothing");
        }
        if (!self && object->l_addr == _r_debug.r_ldbase)
            late = true;
    }
    if (self && late)
        tvg_note("late", self->l_name, "loaded by the running program, not by LD_PRELOAD: calls by name don't pass it; only what is patched, or looked "
                 "up by dlsym later, is seen");
    return true;
}

bool tvg_preload_is_copy(const void *dynamic)
{
    for (unsigned i = 0; i < copy_count; i++)
        if (copies[i] == dynamic)
            return true;
    return false;
}
