/* fp16: fp32 products with a weight run in half precision on a GPU's tensor units; see narrow.c. */
#include "narrow.h"

static void transform(struct tvg_profile *profile, const struct tvg_rewrite_context *context, struct tvg_rewrite_outcome *outcome)
{
    static const struct tvg_narrow narrow = {TVG_TYPE_F16, TVG_TYPE_F16, NULL, "CPU libraries convert fp16 to fp32 and back"};
    tvg_narrow_products(profile, context, outcome, &narrow);
}

const struct tvg_rewrite tvg_rewrite_fp16 = {
    .name = "fp16",
    .summary = "fp32 products with weights in half precision: half the bytes, the tensor units' rate",
    .what_to_do = "Load the weights as float16 (torch: model.half(), or torch.autocast); values beyond 65,504 overflow: check the accuracy, or take bf16. One line, can be undone.",
    .citation = "rates of the device file; times by roofline missed by -36 to +36 % for fp32 -> bf16 on one H100",
    .nature = TVG_FINDING,
    .loss = TVG_LOSS_BOUNDED,
    .takes = "autocast",
    .runs_on = TVG_ON_GPU,
    .transform = transform,
};
