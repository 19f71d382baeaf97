/* Thread counts by the libraries' own getters. Only OpenBLAS's are called: they read one variable. Others allocate, or start their runtime. */
#include "threads.h"

#include <link.h>
#include <stdbool.h>
#include <stddef.h>

#include "../intercept/elf.h"
#include "../intercept/scope.h"

struct search {
    const void *function;
    int (*getter)(void);
};

static void look(void *context)
{
    static const char *const names[] = {"openblas_get_num_threads", "scipy_openblas_get_num_threads64_", "scipy_openblas_get_num_threads",
                                        "openblas_get_num_threads64_"};
    struct search *search = context;
    struct link_map *object = tvg_object_at(search->function);
    struct tvg_elf elf;
    if (!object || !tvg_elf_read(object->l_addr, object->l_ld, &elf))
        return;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && !search->getter; i++)
        search->getter = (int (*)(void))(uintptr_t)tvg_elf_symbol(&elf, names[i], tvg_gnu_hash(names[i]), NULL);
}

uint16_t tvg_library_threads(const void *function)
{
    struct search search = {function, NULL};
    if (!function)
        return 0;
    tvg_objects_hold(look, &search);
    int count = search.getter ? search.getter() : 0;
    return count > 0 && count < 65536 ? (uint16_t)count : 0;
}
