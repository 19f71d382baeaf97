/* Finding the function that a caller would have reached without the shim.
 * Per caller, not per name: two RTLD_LOCAL libraries may each bring their own BLAS. */
#ifndef TVG_SHIM_RESOLVE_H
#define TVG_SHIM_RESOLVE_H

struct tvg_entry;

/* The real function behind entry->name for code at `caller` (a return address): global scope first, then the caller's own object and
 * its dependencies, then every loaded object; never the shim itself. NULL when there is none. Slow path only. */
void *tvg_resolve(const struct tvg_entry *entry, const void *caller);
/* File name (no folder) of the loaded object that holds `address` and its load base; "" when none. The string lives as long as the process. */
const char *tvg_object_name(const void *address, void **base);

#endif
