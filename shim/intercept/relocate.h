/* A copy of a function's first instructions that does elsewhere what they did at their place. */
#ifndef TVG_SHIM_RELOCATE_H
#define TVG_SHIM_RELOCATE_H

#include <stddef.h>
#include <stdint.h>

struct tvg_function {
    const uint8_t *begin;
    size_t size; /* 0: unknown */
    size_t kept; /* bytes at its beginning that stay: 4 for an endbr64, else 0 */
};

/* Copies the whole instructions that begin in the `least` bytes behind the kept ones to `out`, which has room for TVG_RELOCATED_MAX bytes and will
 * run at `runs_at`. Returns the bytes written and in *consumed those they stood for, all within the function; 0 with *reason, a literal, when
 * one of them can't be moved, or a jump of the function leads into them or to its beginning. Calls are never moved: a return address in the
 * copy would be none that an unwinder knows, so that an exception could not pass. Where the size is unknown only the first jumps are looked at. */
enum { TVG_RELOCATED_MAX = 64 };
size_t tvg_relocate(const struct tvg_function *function, size_t least, uint8_t *out, uintptr_t runs_at, size_t *consumed, const char **reason);

#endif
