/* A C++ exception, or the unwinding of a cancelled thread, that passes a wrapper pops the guard.
 * Not by landing pads: those call the unwinder that the shim was linked with, and two unwinders in one process can't share an exception
 * (a copy linked statically aborts, and a libgcc_s of our own choice could displace the one that the host brought along). So the wrappers'
 * personality only looks, and asks the very unwinder that called it for the one thing it needs. */
#include <link.h>
#include <stdint.h>
#include <unwind.h>

#include "elf.h"
#include "scope.h"
#include "wrapper.h"

#if defined(__x86_64__)
enum { FRAME_REGISTER = 6 }; /* rbp, in DWARF's numbers */
#elif defined(__aarch64__)
enum { FRAME_REGISTER = 29 };
#endif

typedef _Unwind_Word get_register(struct _Unwind_Context *, int);

struct unwinder {
    const void *caller;
    void *get_register;
};

static void find_unwinder(void *context)
{
    struct unwinder *unwinder = context;
    struct link_map *object = tvg_object_at(unwinder->caller);
    struct tvg_elf elf;
    if (object && tvg_elf_read(object->l_addr, object->l_ld, &elf))
        unwinder->get_register = tvg_elf_symbol(&elf, "_Unwind_GetGR", tvg_gnu_hash("_Unwind_GetGR"), NULL);
}

/* Where the unwinder is hidden in a program, nothing is popped here, and the guard finds the dead frame by itself as after a longjmp. */
_Unwind_Reason_Code tvg_personality(int version, _Unwind_Action actions, _Unwind_Exception_Class class, struct _Unwind_Exception *exception,
                                    struct _Unwind_Context *context);
__attribute__((used)) _Unwind_Reason_Code tvg_personality(int version, _Unwind_Action actions, _Unwind_Exception_Class class,
                                                          struct _Unwind_Exception *exception, struct _Unwind_Context *context)
{
    (void)class, (void)exception;
    if (version == 1 && (actions & _UA_CLEANUP_PHASE) && tvg_guard.call) {
        struct unwinder unwinder = {__builtin_return_address(0), NULL};
        tvg_objects_hold(find_unwinder, &unwinder);
        if (!unwinder.get_register)
            return _URC_CONTINUE_UNWIND;
        /* The call is only looked at where it lies in the very frame that is unwound: a dead one's memory may be gone. */
        uintptr_t frame = TVG_FUNCTION(get_register, unwinder.get_register)(context, FRAME_REGISTER);
        if (frame - (uintptr_t)tvg_guard.call < 4096 && tvg_guard.call->frame == frame)
            tvg_call_release(tvg_guard.call);
    }
    return _URC_CONTINUE_UNWIND;
}
