/* How the shim came into the process. */
#ifndef TVG_SHIM_PRELOAD_H
#define TVG_SHIM_PRELOAD_H

#include <stdbool.h>

/* Looks at the order of the loaded objects, once, at load. False: another copy of the shim stands before this one, which then does nothing,
 * so that nothing is counted twice. A copy behind this one, and a shim that was loaded by the running program, are noted. No malloc. */
bool tvg_preload_look(void);
/* Whether the object with this dynamic section is such a copy: its names are no BLAS. */
bool tvg_preload_is_copy(const void *dynamic);

#endif
