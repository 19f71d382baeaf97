/* Calls with many arguments, all of them integers and pointers, handed on without knowing how many: x86-64's calling convention puts a
 * structure passed by value where the seventh argument and those behind it lie. Words behind the last argument are the caller's own. */
#ifndef TVG_SHIM_ANY_ARGUMENTS_H
#define TVG_SHIM_ANY_ARGUMENTS_H

#include <stdint.h>

enum { TVG_STACK_ARGUMENTS = 28 };
struct tvg_stack_arguments {
    uintptr_t word[TVG_STACK_ARGUMENTS];
};
/* The first `count` of them in a row; `count` at most 6 + TVG_STACK_ARGUMENTS. */
static inline void tvg_gather_arguments(uintptr_t *argument, unsigned count, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e, uintptr_t f,
                                        const struct tvg_stack_arguments *rest)
{
    const uintptr_t first[6] = {a, b, c, d, e, f};
    for (unsigned i = 0; i < count; i++)
        argument[i] = i < 6 ? first[i] : rest->word[i - 6];
}
typedef uintptr_t tvg_any_function(uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, struct tvg_stack_arguments);

#endif
