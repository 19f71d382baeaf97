/* PyTorch: functions whose operands are tensors. `tensors` lines of the spec tables say which argument is what; specgen makes a body of each. */
#ifndef TVG_SHIM_HOOKS_TORCH_H
#define TVG_SHIM_HOOKS_TORCH_H

#include <stdbool.h>
#include <stdint.h>

#include "../intercept/wrapper.h"
#include "../record/record.h"

/* The constants of one function. */
struct tvg_torch {
    const char *label; /* what people know it by */
    uint16_t kind;     /* enum tvg_kind */
    uint8_t type_a, type_b, type_c, type_compute; /* TVG_TYPE_NONE: as the tensor says; no compute type: that of B, or of A */
};

enum { TVG_TORCH_RANK_MAX = 16, TVG_TORCH_ALSO_MAX = 6 };

/* Where a call's operands are: addresses of tensors. `packed` owns weights. `also`: what is read or written besides, up to the first 0; one
 * more than the address of an optional tensor. */
struct tvg_torch_operands {
    const void *packed, *a, *b, *c;
    uintptr_t also[TVG_TORCH_ALSO_MAX + 1];
};

struct tvg_torch_tensor {
    int64_t rank;      /* -1: there is none, or it can't be read */
    int64_t type;      /* enum tvg_type */
    int64_t on_cpu;
    int64_t dim[TVG_TORCH_RANK_MAX], stride[TVG_TORCH_RANK_MAX];
    const void *data;
};

/* One call: the key is made from the shapes behind it, where describe() finds them again. */
struct tvg_torch_call {
    const struct tvg_entry *entry;
    struct tvg_key key;
    struct tvg_torch_tensor tensor[3];
    uint64_t also_bytes;
};

/* Reads what the C++ reference at `address` refers to. False when it is undefined or not strided, or when this library's accessors are missing (noted). */
bool tvg_torch_read(const struct tvg_entry *entry, struct tvg_torch_tensor *tensor, const void *address);

tvg_describe tvg_torch_describe;
/* Reads the operands but C, before the call: they may be gone behind it. */
void tvg_torch_before(struct tvg_torch_call *seen, const struct tvg_entry *entry, const struct tvg_torch_operands *operands);
/* Reads C and records the op. */
void tvg_torch_after(struct tvg_torch_call *seen, struct tvg_call *call, const void *caller, uint64_t start, uint64_t end, const void *c);

#define TVG_TORCH_BODY(entry, type, arguments, operands)                                     \
    type *const real = TVG_FUNCTION(type, tvg_target(entry, NULL));                          \
    const void *const caller = __builtin_return_address(0);                                  \
    struct tvg_call call __attribute__((cleanup(tvg_call_release)));                         \
    struct tvg_torch_call seen;                                                              \
    if (!tvg_call_begin(&call, __builtin_frame_address(0)))                                  \
        return real arguments;                                                               \
    tvg_torch_before(&seen, entry, &(operands));                                             \
    const uint64_t start = tvg_now();                                                        \
    const uintptr_t result = real arguments;                                                 \
    const uint64_t end = tvg_now();                                                          \
    tvg_torch_after(&seen, &call, caller, start, end, (operands).c);                         \
    return result

/* For functions that compute by themselves only when no product inside them is caught: the guard stays open while they run. */
#define TVG_TORCH_OTHERWISE(entry, type, arguments, operands)                                \
    type *const real = TVG_FUNCTION(type, tvg_target(entry, NULL));                          \
    const void *const caller = __builtin_return_address(0);                                  \
    struct tvg_call call __attribute__((cleanup(tvg_call_release))) = {0};                   \
    struct tvg_torch_call seen;                                                              \
    const uint64_t mark = tvg_recorded_mark();                                               \
    const uint64_t start = tvg_now();                                                        \
    const uintptr_t result = real arguments;                                                 \
    const uint64_t end = tvg_now();                                                          \
    if (tvg_recorded_mark() == mark && tvg_call_begin(&call, __builtin_frame_address(0))) {  \
        tvg_torch_before(&seen, entry, &(operands));                                         \
        tvg_torch_after(&seen, &call, caller, start, end, (operands).c);                     \
    }                                                                                        \
    return result

#endif
