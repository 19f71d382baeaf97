/* ONNX Runtime's CPU operators: each OpKernel::Compute is one op; what lies below it (MLAS, Eigen) is part of it. */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "../intercept/inline.h"
#include "../intercept/resolve.h"
#include "../intercept/wrapper.h"
#include "../record/record.h"
#include "onnxruntime.h"

/* Both give their status through a pointer passed in front, as C++ does. */
typedef void *compute_function(void *status, void *kernel, void *context);
typedef void *prepack_function(void *status, void *kernel, const void *tensor, int input, void *allocator, bool *packed, void *shared);

compute_function tvg_hook_ort_compute;
TVG_HOOK_BODY void *tvg_hook_ort_compute(void *status, void *kernel, void *context)
{
    TVG_TAKE_ENTRY(entry);
    void *const target = tvg_target(entry, NULL), *const caller = __builtin_return_address(0);
    compute_function *const real = TVG_FUNCTION(compute_function, target);
    struct tvg_call call __attribute__((cleanup(tvg_call_release)));
    if (!tvg_call_begin(&call, __builtin_frame_address(0)))
        return real(status, kernel, context);
    uint64_t start = tvg_now();
    void *result = real(status, kernel, context);
    uint64_t end = tvg_now();
    int saved = errno;
    tvg_call_release(&call);
    call.thread = NULL;
    void *base = NULL;
    const void *failed = *(void *const *)result; /* a status without error is a null pointer */
    const char *library = failed ? NULL : tvg_object_name(caller, &base);
    struct tvg_ort_call arguments;
    if (failed)
        ;
    else if (!tvg_ort_open(&arguments, context, kernel, base, caller))
        tvg_note("unknown-version", library, "the context of an operator is laid out in an unknown way: no operator is recorded");
    else {
        char function[64], name[128];
        struct tvg_ort_tensor a = {0}, b = {0}, c = {0};
        struct tvg_op op = {.library = library, .function = entry->name, .net = TVG_NET_VTABLE, .device = -1, .caller = (uint64_t)(uintptr_t)caller};
        tvg_ort_describe(&op, &arguments, entry->name, function, &a, &b, &c);
        if (tvg_all_operations() && arguments.name.length < sizeof name) { /* what stands around a product is told by the node */
            memcpy(name, arguments.name.at, arguments.name.length);
            name[arguments.name.length] = 0;
            op.name = name;
        }
        tvg_op_count(&op);
        uint32_t id = tvg_op_intern(&op);
        if (id != UINT32_MAX)
            tvg_op_record(id, start, end, a.data, b.data, c.data);
        else
            tvg_op_record_wide(&op, start, end, a.data, b.data, c.data);
    }
    errno = saved;
    return result;
}

prepack_function tvg_hook_ort_prepack;
TVG_HOOK_BODY void *tvg_hook_ort_prepack(void *status, void *kernel, const void *tensor, int input, void *allocator, bool *packed, void *shared)
{
    TVG_TAKE_ENTRY(entry);
    prepack_function *const real = TVG_FUNCTION(prepack_function, tvg_target(entry, NULL));
    int saved = errno;
    tvg_ort_keep_weights(kernel, input, tensor);
    errno = saved;
    return real(status, kernel, tensor, input, allocator, packed, shared);
}
