/* Which program, library or code made at run time an address of this process lies in. One caller at a time. */
#ifndef TVG_SHIM_MAPPED_H
#define TVG_SHIM_MAPPED_H

#include "../../trace/samples.h"

/* Forgets everything: before the first address of a trace. */
void tvg_mapped_forget(void);
/* Index of the object that `address` lies in; looks into /proc/self/maps when it was in none that is known, but once between two calls of
 * tvg_mapped_settle. TVG_OBJECT_UNKNOWN's own index when it is in none. `kernel`: the address is the kernel's. */
uint32_t tvg_mapped_object(uint64_t address, bool kernel);
/* To be called now and then: mappings may have changed, the next unknown address has them read again; with `all` they are read at the next address
 * whatever it is, since a library may have gone and another have come in its place. */
void tvg_mapped_settle(bool all);
/* Objects whose index was given out since the last call, at most `capacity` of them; their names stay. Returns how many. */
uint32_t tvg_mapped_fresh(struct tvg_sampled_object *out, uint32_t capacity);

#endif
