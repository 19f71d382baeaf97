/* Inline patches: a function that is called directly inside its own library is replaced at its first bytes by a jump to a typed C
 * wrapper, which calls the original through a moved copy of those bytes. Return addresses are never touched.
 * Five bytes of text can't change at one moment for a thread that runs them. So they change when no thread can: between a library's mapping and
 * its constructors, or while the process has one thread (which is not in them: calls are never moved, so no return address lies there). */
#ifndef TVG_SHIM_PATCH_H
#define TVG_SHIM_PATCH_H

#include <stddef.h>

enum { TVG_PATCH_BYTES = 5 }; /* jmp rel32 */

/* Replaces the function of `size` bytes at `target` (0: unknown) by `wrapper`, which is entered with `context` in the scratch register r11 (as
 * wrapper.h's bodies are) and the caller's arguments and return address. A leading endbr64 stays in front of the jump. Returns a pointer
 * that behaves as the original did, or NULL with *reason set to a literal: too short, a breakpoint in the first bytes, a jump into the bytes
 * to be replaced, an instruction that can't be moved, a call, no memory within reach, text that can't be written. When NULL is returned nothing
 * has been changed. Not thread-safe: the caller holds the loader's event. Calls no malloc. */
void *tvg_patch_function(void *target, size_t size, void *wrapper, const void *context, const char **reason);

/* To be called when the object of a patched function is gone: the memory of `original` (what tvg_patch_function returned) will be used again.
 * begin..end: where it lay, for whoever keeps such pointers. */
void tvg_patch_forget(void *original, const void **begin, const void **end);

/* The jump alone, for `_dl_debug_state`, whose body is a bare return: `target` (after an endbr64) must be a ret followed by padding up to
 * TVG_PATCH_BYTES; the replacement then stands for the whole function. Safe while other threads run it. 0, or -1 with *reason. */
int tvg_patch_empty_function(void *target, void *replacement, const char **reason);

#endif
