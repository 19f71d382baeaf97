/* Virtual functions whose first instructions can't be moved: their slots are redirected instead of their text. Calls that don't go through a
 * vtable are missed then. */
#ifndef TVG_SHIM_SLOTS_H
#define TVG_SHIM_SLOTS_H

#include "vtable.h"

/* Puts `stub` into slot `slot` of the primary vtable of every class that has `function` (a link-time address) there, in the object that is loaded at
 * `base`. Before the object is relocated that is done to what relocates the slot, after it to the slot. True when any was: then the stub must lead to
 * `function`. *reason: NULL when all were, else a literal. The caller holds the loader's event. No malloc. */
bool tvg_slots_redirect(const struct tvg_classes *classes, uintptr_t base, uintptr_t function, unsigned slot, const void *stub, const char **reason);

#endif
