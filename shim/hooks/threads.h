/* How many threads a library may use for one call. */
#ifndef TVG_SHIM_HOOKS_THREADS_H
#define TVG_SHIM_HOOKS_THREADS_H

#include <stdint.h>

/* The thread count that the library around `function` has set, by its own getter; 0 when it has none that is known to do nothing but
 * read a number (this runs inside the recorder's slow path). */
uint16_t tvg_library_threads(const void *function);

#endif
