/* PyTorch's attention on a GPU: FlashAttention and the memory-efficient kernels are the library's own, below no library that is caught. Caught where
 * the operator is called, so that their kernels have shapes and FLOP. (cuDNN's attention is a cuDNN graph; the CPU's is made of products.) */
#include <string.h>

#include "../intercept/inline.h"
#include "../intercept/resolve.h"
#include "described.h"
#include "gpu_call.h"
#include "torch.h"

/* std::optional<double>: a structure of two words, passed in memory since no register is left. */
struct scale {
    uint64_t word[2];
};

/* [batch, heads, length, dimension]; with a causal mask a row sees itself and what is before it. */
static struct tvg_slot *slot_of(struct tvg_call *call, const struct tvg_entry *entry, const void *code, const void *caller, const char *label, const void *q_at,
                                const void *k_at, const void *v_at, bool causal)
{
    struct tvg_torch_tensor q, k, v;
    if (!tvg_torch_read(entry, &q, q_at) || q.on_cpu || !tvg_torch_read(entry, &k, k_at) || !tvg_torch_read(entry, &v, v_at)) return NULL;
    if (q.rank != 4 || k.rank != 4 || v.rank != 4 || k.dim[2] != v.dim[2] || q.dim[3] != k.dim[3]) {
        tvg_note("found-not-catchable", label, "its operands have shapes that are not understood: its FLOP are not counted");
        return NULL;
    }
    struct tvg_op op = {.library = tvg_object_name(code, NULL), .function = label, .net = entry->net, .kind = TVG_KIND_ATTENTION, .on_gpu = 1, .device = -1,
                        .type_a = (uint8_t)q.type, .type_b = (uint8_t)k.type, .type_c = (uint8_t)q.type, .type_compute = (uint8_t)q.type, .flags = TVG_OP_BETA_ZERO, .dim_count = 7,
                        .dim = {q.dim[0], q.dim[1], k.dim[1], q.dim[2], k.dim[2], q.dim[3], causal}};
    tvg_op_count(&op);
    if (v.dim[3] != q.dim[3]) { /* scores cost by the keys' dimension, their product with the values by the values' */
        op.flags |= TVG_OP_FLOP_GIVEN;
        op.flop = op.flop / 2 / (uint64_t)(q.dim[3] ? q.dim[3] : 1) * (uint64_t)(q.dim[3] + v.dim[3]);
    }
    return tvg_slot_described(call, entry, &op, caller);
}

#define ATTENTION(TYPE, LABEL, ARGUMENTS)                                                                                                         \
    TVG_GPU_BODY(uintptr_t, TVG_FUNCTION(TYPE, target) ARGUMENTS, slot_of(&call, entry, tvg_inline_code(target), caller, LABEL, q, k, v, causal & 0xff), 0, \
                 false, q, k, NULL)

typedef uintptr_t flash(void *result, const void *q, const void *k, const void *v, double dropout, uintptr_t causal, uintptr_t debug_mask, struct scale scale);
flash tvg_hook_torch_flash_attention;
TVG_HOOK_BODY uintptr_t tvg_hook_torch_flash_attention(void *result, const void *q, const void *k, const void *v, double dropout, uintptr_t causal, uintptr_t debug_mask,
                                                       struct scale scale)
{
    ATTENTION(flash, "aten::_scaled_dot_product_flash_attention", (result, q, k, v, dropout, causal, debug_mask, scale));
}

typedef uintptr_t efficient(void *result, const void *q, const void *k, const void *v, const void *bias, uintptr_t log_sums, double dropout, uintptr_t causal, struct scale scale);
efficient tvg_hook_torch_efficient_attention;
TVG_HOOK_BODY uintptr_t tvg_hook_torch_efficient_attention(void *result, const void *q, const void *k, const void *v, const void *bias, uintptr_t log_sums, double dropout,
                                                           uintptr_t causal, struct scale scale)
{
    ATTENTION(efficient, "aten::_scaled_dot_product_efficient_attention", (result, q, k, v, bias, log_sums, dropout, causal, scale));
}
