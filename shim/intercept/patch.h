/* Inline patches: a function that is called directly inside its own library is replaced at its first bytes by a jump to a typed C
 * wrapper, which calls the original through a relocated copy of those bytes. Return addresses are never touched.
 * Meant for the moment between a library's mapping and its constructors, when nothing runs in it yet. */
#ifndef TVG_SHIM_PATCH_H
#define TVG_SHIM_PATCH_H

#include <stddef.h>

enum { TVG_PATCH_BYTES = 5 }; /* jmp rel32 */

/* Replaces the function of `size` bytes at `target` (0: unknown) by `wrapper`, which is entered with `context` in the scratch register r11 (as
 * wrapper.h's bodies are) and the caller's arguments and return address. A leading endbr64 stays in front of the jump. Returns a pointer
 * that behaves as the original did, or NULL with *reason set to a literal: too short, a breakpoint on the first byte, a branch into the bytes
 * to be replaced, an instruction that can't be moved, no memory within reach, text that can't be written. When NULL is returned nothing
 * has been changed. Not thread-safe: the caller holds the loader's event. Calls no malloc. */
void *tvg_patch_function(void *target, size_t size, void *wrapper, const void *context, const char **reason);

/* The jump alone, for `_dl_debug_state`, whose body is a bare return: `target` (after an endbr64) must be a ret followed by padding up to
 * TVG_PATCH_BYTES; the replacement then stands for the whole function. 0, or -1 with *reason. */
int tvg_patch_empty_function(void *target, void *replacement, const char **reason);

#endif
