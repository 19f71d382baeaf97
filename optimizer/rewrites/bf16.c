/* bf16: fp32 products with a weight run in bfloat16; see narrow.c. */
#include "narrow.h"

static void transform(struct tvg_profile *profile, const struct tvg_rewrite_context *context, struct tvg_rewrite_outcome *outcome)
{
    static const char *const cpu_flags[] = {"avx512_bf16", "amx_bf16", "bf16", NULL};
    static const struct tvg_narrow narrow = {TVG_TYPE_BF16, TVG_TYPE_BF16, cpu_flags,
                                             "this CPU has neither AVX512_BF16 nor AMX (nor the bf16 extension on Arm): bf16 would be emulated"};
    tvg_narrow_products(profile, context, outcome, &narrow);
}

const struct tvg_rewrite tvg_rewrite_bf16 = {
    .name = "bf16",
    .summary = "fp32 products with weights in bfloat16: half the bytes, the bf16 rate",
    .what_to_do = "Load the weights as bfloat16 (torch: model.to(torch.bfloat16)); numpy has no bf16 products: move the forward pass to torch or oneDNN. One line, can be undone.",
    .citation = "fp32 -> bf16 on one H100: -14 to -16 % J/token in eager decode at batch 1, -43 to -54 % at batch 32; times by roofline missed by -36 to +36 %",
    .nature = TVG_FINDING,
    .loss = TVG_LOSS_BOUNDED,
    .takes = "autocast",
    .runs_on = TVG_ON_CPU | TVG_ON_GPU,
    .transform = transform,
};
