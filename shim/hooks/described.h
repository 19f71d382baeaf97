/* Ops that a hook has described in full before the call: found in the dictionary by what they are, without a system call once they are known. */
#ifndef TVG_SHIM_HOOKS_DESCRIBED_H
#define TVG_SHIM_HOOKS_DESCRIBED_H

#include "../record/record.h"

/* The slot of `op` for this caller, to be used like any that tvg_slot_find gives. `op` is read until this returns; its caller is set here.
 * `entry` must have tvg_described as its describe function (`inline NAME BODY tvg_described` in a spec). */
struct tvg_slot *tvg_slot_described(struct tvg_call *call, const struct tvg_entry *entry, const struct tvg_op *op, const void *caller);
tvg_describe tvg_described;

#endif
