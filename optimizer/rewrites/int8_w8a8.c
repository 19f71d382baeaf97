/* int8-w8a8: weights and activations of fp32 and 16-bit products in 8-bit integers; see quantize.c. */
#include "quantize.h"

static void transform(struct tvg_profile *profile, const struct tvg_rewrite_context *context, struct tvg_rewrite_outcome *outcome)
{
    static const char *const cpu_flags[] = {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm", NULL};
    static const struct tvg_quantized to = {TVG_TYPE_I8, TVG_TYPE_I32, cpu_flags, "this CPU has neither VNNI nor AMX (nor dot products on Arm): no int8 product"};
    tvg_quantize_products(profile, context, outcome, &to);
}

const struct tvg_rewrite tvg_rewrite_int8_w8a8 = {
    .name = "int8-w8a8",
    .summary = "weights and activations of products with weights in int8, with their quantize and dequantize passes",
    .what_to_do = "Quantize the model statically or with SmoothQuant (onnxruntime, oneDNN, torchao, TensorRT); needs calibration data and an accuracy check. Can be undone: keep the float weights.",
    .citation = "SmoothQuant (Xiao et al., ICML'23): up to 1.56 times faster, half the memory of fp16",
    .nature = TVG_FINDING,
    .loss = TVG_LOSS_BOUNDED,
    .runs_on = TVG_ON_CPU | TVG_ON_GPU,
    .transform = transform,
};
