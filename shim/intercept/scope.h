/* The order in which the dynamic linker would look for a symbol on behalf of an object: its own lists, read in place. */
#ifndef TVG_SHIM_SCOPE_H
#define TVG_SHIM_SCOPE_H

#include <link.h>
#include <stdbool.h>

/* Called for objects in search order until it returns true. */
typedef bool tvg_scope_visit(struct link_map *object, void *context);

/* Runs `body` while the list of objects stands still (the linker's short lock; not the one held while constructors run). */
void tvg_objects_hold(void (*body)(void *context), void *context);
/* The object that holds `address`, or NULL. Inside tvg_objects_hold only, as all below. */
struct link_map *tvg_object_at(const void *address);
/* The first of all objects of the process (the program itself); follow l_next. */
struct link_map *tvg_object_first(void);
/* The shim itself. */
struct link_map *tvg_object_self(void);
/* Visits the global scope behind the shim, then what else the linker searches for `object` (NULL: global scope only). True when a
 * visit returned true. */
bool tvg_scope_walk(struct link_map *object, tvg_scope_visit *visit, void *context);
/* Called once at load, when all objects are those of the program's start. */
void tvg_scope_init(void);

#endif
