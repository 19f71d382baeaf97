/* Finding the function that a caller would have reached without the shim.
 * Per caller, not per name: two RTLD_LOCAL libraries may each bring their own BLAS. */
#ifndef TVG_SHIM_RESOLVE_H
#define TVG_SHIM_RESOLVE_H

#include <stdbool.h>

struct tvg_entry;

/* The real function behind entry->name for code at `caller` (a return address): the search scope that the dynamic linker keeps for the
 * caller's object (global scope behind the shim first, then its own object and dependencies), then every loaded object; never the shim
 * itself. For an entry that dlsym() bound to a handle: what that handle gave. NULL when there is none. Takes no lock but the linker's short
 * one, allocates nothing, leaves dlerror() and errno alone. Slow path only. */
void *tvg_resolve(const struct tvg_entry *entry, const void *caller);
/* The same without the last resort: what the dynamic linker would find. `caller` NULL: global scope only. */
void *tvg_resolve_in_scope(const struct tvg_entry *entry, const void *caller);
/* tvg_resolve() behind a cache, for calls that go unrecorded. When there is no real function, this is where a call without the shim would have
 * ended: NULL, which the host then calls. */
void *tvg_target(const struct tvg_entry *entry, const void *caller);
/* Forgets every cached target. */
void tvg_targets_forget(void);

/* File name (no folder) of the loaded object that holds `address` and its load base; "" when none. The string lives as long as the process. */
const char *tvg_object_name(const void *address, void **base);
/* For dlsym: the library that holds `code`; NULL where that is the program or nothing. It is never closed: what is found in it stays. */
void *tvg_library_handle(const void *code);

#endif
