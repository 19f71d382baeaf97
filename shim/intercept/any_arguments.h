/* Calls with many arguments, all of them integers and pointers, handed on without knowing how many: x86-64's calling convention puts a
 * structure passed by value where the seventh argument and those behind it lie. Words behind the last argument are the caller's own. */
#ifndef TVG_SHIM_ANY_ARGUMENTS_H
#define TVG_SHIM_ANY_ARGUMENTS_H

#include <stdint.h>

enum { TVG_STACK_ARGUMENTS = 28 };
struct tvg_stack_arguments {
    uintptr_t word[TVG_STACK_ARGUMENTS];
};
typedef uintptr_t tvg_any_function(uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, struct tvg_stack_arguments);

#endif
