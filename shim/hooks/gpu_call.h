/* The one form of every recorded call of a GPU library: guard, op, launches tied to it, the real call, and the record when it computed something. */
#ifndef TVG_SHIM_HOOKS_GPU_CALL_H
#define TVG_SHIM_HOOKS_GPU_CALL_H

#include <errno.h>

#include "../intercept/resolve.h"
#include "../intercept/wrapper.h"
#include "../record/record.h"
#include "../sources/gpu.h"

/* Right before the real call: what it launches belongs to the slot's op. */
TVG_HOT void tvg_gpu_call_begin(struct tvg_call *call, const struct tvg_slot *slot)
{
    tvg_gpu_launches_begin(slot ? slot->op_id : TVG_OP_ID_NONE);
    call->start = tvg_now();
}

/* Right behind it: whether it computed something that is to be recorded. Not when it returned an error (said once), nor when it was captured. */
TVG_HOT bool tvg_gpu_call_ran(const struct tvg_entry *entry, int status)
{
    const bool ran = tvg_gpu_launches_end();
    if (TVG_UNLIKELY(status != 0))
        tvg_gpu_call_failed(entry, status);
    return ran && status == 0;
}

/* The body of a hook that returns `type`. RUN calls the function at `target`. SLOT gives the slot of the op, from `call`, `entry`, `target`, `caller`;
 * where it gives NULL (what is computed is not understood, and that was said) the call goes on without the guard, so that products inside are recorded on
 * their own. STATUS is 0 unless `returned` is an error. UNLESS is asked when it ran and is true when nothing is to be recorded now. A, B, C: operands. */
#define TVG_GPU_BODY(type, RUN, SLOT, STATUS, UNLESS, A, B, C)                                                                       \
    TVG_TAKE_ENTRY(entry);                                                                                                           \
    TVG_GPU_REST(type, RUN, SLOT, STATUS, UNLESS, A, B, C)

/* The same behind TVG_TAKE_ENTRY(entry). */
#define TVG_GPU_REST(type, RUN, SLOT, STATUS, UNLESS, A, B, C)                                                                       \
    void *const caller = __builtin_return_address(0), *const target = tvg_target(entry, caller);                                     \
    struct tvg_call call __attribute__((cleanup(tvg_call_release)));                                                                 \
    if (!tvg_call_begin(&call, __builtin_frame_address(0)))                                                                          \
        return RUN;                                                                                                                  \
    const int saved = errno;                                                                                                         \
    struct tvg_slot *const slot = SLOT;                                                                                              \
    errno = saved;                                                                                                                   \
    if (!slot) {                                                                                                                     \
        tvg_call_release(&call);                                                                                                     \
        call.thread = NULL;                                                                                                          \
        return RUN;                                                                                                                  \
    }                                                                                                                                \
    tvg_gpu_call_begin(&call, slot);                                                                                                 \
    const type returned = RUN;                                                                                                       \
    if (tvg_gpu_call_ran(entry, STATUS) && !(UNLESS))                                                                                \
        tvg_call_end(&call, slot, A, B, C);                                                                                          \
    return returned

/* The same for one whose result is a status. */
#define TVG_GPU_STATUS_BODY(RUN, SLOT, A, B, C) TVG_GPU_BODY(int, RUN, SLOT, returned, false, A, B, C)

#endif
