/* fp8: weights and activations of fp32 and 16-bit products in e4m3 on a GPU's tensor units, which scale their result themselves; see quantize.c. */
#include "quantize.h"

static void transform(struct tvg_profile *profile, const struct tvg_rewrite_context *context, struct tvg_rewrite_outcome *outcome)
{
    static const struct tvg_quantized to = {TVG_TYPE_F8_E4M3, TVG_TYPE_NONE, NULL, "CPUs have no fp8 products"};
    tvg_quantize_products(profile, context, outcome, &to);
}

const struct tvg_rewrite tvg_rewrite_fp8 = {
    .name = "fp8",
    .summary = "weights and activations of products with weights in fp8 (e4m3), with the passes that find the scale",
    .what_to_do = "Ada, Hopper or later: Transformer Engine, torchao float8, TensorRT or vLLM's fp8 checkpoints; needs an accuracy check. Can be undone: keep the wider weights.",
    .citation = "-30 % energy by fp8 in a published benchmark of LLM serving (TokenPowerBench); GEMM 8192^3 on one H100: 1,216 TFLOP/s at 0.58 pJ/FLOP",
    .nature = TVG_FINDING,
    .loss = TVG_LOSS_BOUNDED,
    .runs_on = TVG_ON_GPU,
    .transform = transform,
};
