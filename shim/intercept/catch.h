/* The table of all names that are stood in for, and the entries that dlsym() binds to what a handle gave. */
#ifndef TVG_SHIM_CATCH_H
#define TVG_SHIM_CATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "wrapper.h"

/* The catch of an entry: it is its first member. */
static inline const struct tvg_catch *tvg_catch_of(const struct tvg_entry *entry)
{
    return (const struct tvg_catch *)entry;
}
/* The catch for a name, or NULL. */
const struct tvg_catch *tvg_catch_by_name(const char *name);
/* Whether `address` lies in the shim. */
bool tvg_is_own(const void *address);

/* An address to hand out instead of `target`: calls to it are recorded under catch->entry.name and go on to `target`, whoever calls. The
 * same pair gives the same address. `target` itself when there is no room left (noted). */
void *tvg_catch_bind(const struct tvg_catch *catch, void *target);
/* A bound catch made from `template` whose `exported` the caller sets before the stub is reached; *stub is its address. NULL: none is left. */
struct tvg_catch *tvg_catch_reserve(const struct tvg_catch *template, uint8_t net, void **stub);
void *tvg_catch_stub(const struct tvg_catch *bound);
bool tvg_catch_is_bound(const struct tvg_catch *catch);

/* The first definition of `name` behind the shim in the global scope. */
void *tvg_resolve_next(const char *name);
/* The same while the list of objects stands still anyway: at load. */
void *tvg_resolve_next_held(const char *name);
/* Finds the real dlsym, dlvsym and dlclose, at load: sanitizers ask our dlsym for the functions that finding them later would call. */
void tvg_dlsym_load(void);
/* Whether the object that holds `address` exports `name`. */
bool tvg_object_defines(const void *address, const char *name);

#endif
