/* tf32: fp32 products multiply with 10 bits of mantissa on the tensor units; storage stays fp32, so no operand need be a weight. See narrow.c. */
#include "narrow.h"

static void transform(struct tvg_profile *profile, const struct tvg_rewrite_context *context, struct tvg_rewrite_outcome *outcome)
{
    static const struct tvg_narrow narrow = {TVG_TYPE_TF32, TVG_TYPE_NONE, NULL, "CPUs have no TF32 units"};
    tvg_narrow_products(profile, context, outcome, &narrow);
}

const struct tvg_rewrite tvg_rewrite_tf32 = {
    .name = "tf32",
    .summary = "fp32 products on the tensor units: 10 bits of mantissa, storage stays fp32",
    .what_to_do = "torch: torch.backends.cuda.matmul.allow_tf32 = True and torch.backends.cudnn.allow_tf32 = True; any CUDA library: NVIDIA_TF32_OVERRIDE=1. One line, can be undone.",
    .citation = "GEMM 8192^3 on one H100: 51 TFLOP/s fp32, 353 TF32, at 13.8 and 2.0 pJ/FLOP; ResNet-50 with TF32 convolutions 9.5 ms, without 26.1",
    .nature = TVG_FINDING,
    .loss = TVG_LOSS_BOUNDED,
    .runs_on = TVG_ON_GPU,
    .transform = transform,
};
