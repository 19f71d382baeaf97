/* KERNELS blocks: every column survives, damage is refused; and the board's pricing adds up. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analyzer/energy_gpu.h"
#include "trace/block.h"
#include "trace/kernels.h"

static struct tvg_kernel rows[TVG_KERNELS_MAX], back[TVG_KERNELS_MAX];
static uint8_t block[TVG_KERNELS_ENCODED_MAX(TVG_KERNELS_MAX)], scratch[1 << 20];

static uint64_t state = 1;
static uint64_t next(uint64_t below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 20) % below;
}

static void fill(size_t count)
{
    uint64_t at = 1000000000;
    for (size_t i = 0; i < count; i++) {
        at += next(20000);
        rows[i] = (struct tvg_kernel){.start_ns = at, .duration_ns = 1000 + next(50000), .launch_ns = next(10) ? at - next(100000) : 0, .bytes = next(3) ? 0 : next(1 << 20),
                                      .op_id = (uint32_t)next(300), .cause = next(2) ? UINT32_MAX : (uint32_t)next(40), .tid = (uint32_t)next(4) + 500,
                                      .stream = (uint32_t)next(3) + 7, .graph = (uint32_t)next(2)};
    }
}

static void every_column_survives(void **unused)
{
    (void)unused;
    for (size_t count = 1; count <= TVG_KERNELS_MAX; count = count * 3 + 1) {
        fill(count);
        size_t length = tvg_encode_kernels(block, sizeof block, 2, rows, count, scratch);
        assert_true(length > sizeof(struct tvg_block_header));
        const struct tvg_block_header *header = (const struct tvg_block_header *)block;
        assert_int_equal(tvg_block_header_check(header), 0);
        assert_int_equal(header->kind, TVG_BLOCK_KERNELS);
        int device = -1;
        memset(back, 0xaa, sizeof back);
        assert_int_equal(tvg_decode_kernels(block + sizeof *header, header->length, &device, back, scratch, sizeof scratch), (long)count);
        assert_int_equal(device, 2);
        assert_memory_equal(back, rows, count * sizeof *rows);
    }
}

static void damage_is_refused_or_harmless(void **unused)
{
    (void)unused;
    fill(500);
    size_t length = tvg_encode_kernels(block, sizeof block, 0, rows, 500, scratch) - sizeof(struct tvg_block_header);
    uint8_t *payload = block + sizeof(struct tvg_block_header), *copy = malloc(length);
    int device;
    for (int i = 0; i < 20000; i++) {
        memcpy(copy, payload, length);
        for (uint64_t k = 0; k <= next(3); k++)
            copy[next(length)] ^= (uint8_t)(1 + next(255));
        long count = tvg_decode_kernels(copy, next(4) ? length : next(length), &device, back, scratch, sizeof scratch);
        assert_true(count >= -1 && count <= TVG_KERNELS_MAX);
    }
    free(copy);
}

/* Names as they were seen in traces (H100, cuBLAS 12 and 13, cuDNN 9, PyTorch) and in the libraries' own lists. */
static void kernels_are_told_by_name(void **unused)
{
    (void)unused;
    static const struct { const char *name; enum tvg_kernel_class units; enum tvg_type compute; enum tvg_kernel_role role; } seen[] = {
        {"_ZN7cutlass7Kernel2I43cutlass_80_simt_sgemm_256x128_8x4_nn_align1EEvNT_6ParamsE", TVG_KERNEL_FMA, TVG_TYPE_F32, TVG_ROLE_PRODUCT},
        {"_ZN7cutlass7Kernel2I52cutlass_80_tensorop_s1688gemm_128x128_32x3_nn_align4EEvNT_6ParamsE", TVG_KERNEL_TENSOR, TVG_TYPE_TF32, TVG_ROLE_PRODUCT},
        {"cutlass_80_tensorop_bf16_s16816gemm_bf16_256x128_32x3_tn_align8", TVG_KERNEL_TENSOR, TVG_TYPE_BF16, TVG_ROLE_PRODUCT},
        {"cutlass_80_tensorop_i16832gemm_s8_256x128_128x3_tn_align16", TVG_KERNEL_TENSOR, TVG_TYPE_I8, TVG_ROLE_PRODUCT},
        {"ampere_fp16_s16816gemm_fp16_128x64_ldg8_f2f_stages_64x3_tn", TVG_KERNEL_TENSOR, TVG_TYPE_F16, TVG_ROLE_PRODUCT},
        {"ampere_h16816gemm_256x128_ldg8_stages_32x3_nn", TVG_KERNEL_TENSOR, TVG_TYPE_F16, TVG_ROLE_PRODUCT},
        {"turing_fp16_s1688gemm_fp16_128x128_ldg8_f2f_tn", TVG_KERNEL_TENSOR, TVG_TYPE_F16, TVG_ROLE_PRODUCT},
        {"volta_sgemm_128x64_nn", TVG_KERNEL_FMA, TVG_TYPE_F32, TVG_ROLE_PRODUCT},
        {"ampere_dgemm_64x64_tn", TVG_KERNEL_FMA, TVG_TYPE_F64, TVG_ROLE_PRODUCT},
        {"sm80_xmma_gemm_f32f32_f32f32_f32_nn_n_tilesize128x64x8_stage3_warpsize2x2x1_ffma_aligna4_alignc4_execute_kernel__5x_cublas", TVG_KERNEL_FMA, TVG_TYPE_F32,
         TVG_ROLE_PRODUCT},
        {"sm90_xmma_gemm_f32f32_tf32f32_f32_nn_n_tilesize64x128x32_warpgroupsize1x1x1_execute_segment_k_off_kernel__5x_cublas", TVG_KERNEL_TENSOR, TVG_TYPE_TF32, TVG_ROLE_PRODUCT},
        {"sm80_xmma_fprop_implicit_gemm_tf32f32_tf32f32_f32_nhwckrsc_nchw", TVG_KERNEL_TENSOR, TVG_TYPE_TF32, TVG_ROLE_PRODUCT},
        {"sm90_xmma_fprop_implicit_gemm_bf16bf16_bf16f32_bf16_nhwckrsc_nhwc", TVG_KERNEL_TENSOR, TVG_TYPE_BF16, TVG_ROLE_PRODUCT},
        {"sm90_xmma_fprop_implicit_gemm_f16f16_f16f32_f16_nhwckrsc_nhwc", TVG_KERNEL_TENSOR, TVG_TYPE_F16, TVG_ROLE_PRODUCT},
        {"sm89_xmma_gemm_e4m3bf16_e4m3f32_f32_tn_n", TVG_KERNEL_TENSOR, TVG_TYPE_F8_E4M3, TVG_ROLE_PRODUCT},
        {"nvjet_sm90_tst_256x128_64x4_1x2_h_bz_coopA_NNT", TVG_KERNEL_TENSOR, TVG_TYPE_BF16, TVG_ROLE_PRODUCT},
        {"nvjet_sm90_hsh_64x8_64x16_4x2_h_bz_bias_TNT", TVG_KERNEL_TENSOR, TVG_TYPE_F16, TVG_ROLE_PRODUCT},
        {"nvjet_qqtst_128x128_128x6_1x1_h_bz_TNT", TVG_KERNEL_TENSOR, TVG_TYPE_F8_E4M3, TVG_ROLE_PRODUCT},
        {"nvjet_sm100_zzz_128x128", TVG_KERNEL_TENSOR, TVG_TYPE_NONE, TVG_ROLE_PRODUCT}, /* letters that nobody explained: not guessed */
        {"cudnn_generated_fort_native_sdpa_sm90_flash_fprop_wgmma_f16_knob_7", TVG_KERNEL_TENSOR, TVG_TYPE_NONE, TVG_ROLE_ATTENTION},
        {"_ZN13pytorch_flash16flash_fwd_kernelI23Flash_fwd_kernel_traitsILi64ELi128ELi128ELi4ELb0ELb0EN7cutlass10bfloat16_tE", TVG_KERNEL_TENSOR, TVG_TYPE_BF16, TVG_ROLE_ATTENTION},
        {"_ZN2at6native29vectorized_elementwise_kernelILi8E", TVG_KERNEL_OTHER, TVG_TYPE_NONE, TVG_ROLE_POINTWISE},
        {"_ZN5cudnn26bn_fw_inf_1C11_kernel_NCHWIffLb1ELi1EEEvT0_", TVG_KERNEL_OTHER, TVG_TYPE_NONE, TVG_ROLE_POINTWISE},
        {"_ZN5cudnn19engines_precompiled16nchwToNhwcKernelIfffLb0E", TVG_KERNEL_OTHER, TVG_TYPE_NONE, TVG_ROLE_LAYOUT},
        {"void my_kernel(float*)", TVG_KERNEL_OTHER, TVG_TYPE_NONE, TVG_ROLE_UNKNOWN},
        {"", TVG_KERNEL_OTHER, TVG_TYPE_NONE, TVG_ROLE_UNKNOWN},
        {NULL, TVG_KERNEL_OTHER, TVG_TYPE_NONE, TVG_ROLE_UNKNOWN}};
    for (size_t i = 0; i < sizeof seen / sizeof *seen; i++) {
        struct tvg_kernel_traits traits = tvg_kernel_traits(seen[i].name);
        if (traits.units != seen[i].units || traits.compute != seen[i].compute || traits.role != seen[i].role)
            fail_msg("%s: units %d, %s, role %d", seen[i].name, (int)traits.units, tvg_type_info(traits.compute)->name, (int)traits.role);
    }
}

static void a_kernels_title_says_what_it_computes(void **unused)
{
    (void)unused;
    static const struct { const char *name, *title; } seen[] = {
        {"_ZN5cudnn26bn_fw_inf_1C11_kernel_NCHWIffLb1ELi1EEEvT0_S1_17cudnnTensorStructPKT_S2_PS3_S2_PKS1_S8_S8_S8_S1_", "cudnn::bn_fw_inf_1C11_kernel_NCHW"},
        {"_ZN2at6native29vectorized_elementwise_kernelILi4ENS0_15CUDAFunctor_addIfEESt5arrayIPcLm3EEEEviT0_T1_", "CUDAFunctor_add"},
        {"_ZN2at6native18elementwise_kernelILi128ELi4EZNS0_22gpu_kernel_impl_nocastINS0_13BinaryFunctorIN3c108BFloat16ES5_S5_NS0_15binary_internal10MulFunctorIfEEEEEEvRNS_18TensorIterator"
         "BaseERKT_EUliE_EEviT1_", "MulFunctor"},
        {"_ZN2at6native29vectorized_elementwise_kernelILi4EZZZNS0_49_GLOBAL__N__d2ba64fb_16_TensorCompare_cu_71e06f4e19launch_clamp_scalarERNS_18TensorIteratorBaseE", "launch_clamp_scalar"},
        {"_ZN2at6native13reduce_kernelILi512ELi1ENS0_8ReduceOpIfNS0_14func_wrapper_tIfZNS0_11sum_functorIfffEclERNS_14TensorIteratorEEUlffE_EEjfLi4ELi4EEEEEvT1_", "sum_functor"},
        {"_ZN2at6native40_GLOBAL__N__0f1a8107_8_Shape_cu_49f7391c30CatArrayBatchedCopy_vectorizedINS1_10OpaqueTypeILj2EEE", "CatArrayBatchedCopy_vectorized"},
        {"_ZN7cutlass7Kernel2I52cutlass_80_tensorop_s1688gemm_128x128_32x3_nn_align4EEvNT_6ParamsE", "cutlass_80_tensorop_s1688gemm_128x128_32x3_nn_align4"},
        {"_Z39fmha_cutlassF_f32_aligned_64x64_rf_sm80N22PyTorchMemEffAttention15AttentionKernelIfN7cutlass4arch4Sm80ELb1E", "fmha_cutlassF_f32_aligned_64x64_rf_sm80"},
        {"_ZN2at6native18elementwise_kernelILi128ELi4E", "elementwise_kernel"}, /* nothing says for what: its own name */
        {"triton_poi_fused_gelu_0", "triton_poi_fused_gelu_0"}, {"_ZN9999999999999999999xE", "_ZN9999999999999999999xE"}, {"_Z", "_Z"}, {"\033[31m", "\\x1b[31m"}};
    for (size_t i = 0; i < sizeof seen / sizeof *seen; i++) {
        char title[128], shortest[8];
        assert_string_equal(tvg_kernel_title(title, sizeof title, seen[i].name), seen[i].title);
        assert_true(strlen(tvg_kernel_title(shortest, sizeof shortest, seen[i].name)) < sizeof shortest);
    }
}

/* One card, one library call with two kernels, one kernel of its own: joules worked out by hand. */
static void boards_add_up(void **unused)
{
    (void)unused;
    struct tvg_device gpu = {.multiprocessors = 100};
    gpu.floor = (struct tvg_coefficient){.known = true, .value = {50, 45, 55}};
    gpu.awake = (struct tvg_coefficient){.known = true, .value = {100, 90, 110}};
    gpu.kernel_tensor = gpu.kernel_fma = gpu.kernel_other = (struct tvg_coefficient){.known = true, .value = {400, 300, 500}, .basis = TVG_BASIS_MODELLED};
    gpu.launch_floor = (struct tvg_coefficient){.known = true, .value = {1e-3, 1e-3, 1e-3}};
    struct tvg_op_stat ops[3] = {{.op = {.kind = TVG_KIND_GEMM, .on_gpu = 1}, .count = 2},
                                 {.op = {.kind = TVG_KIND_KERNEL, .on_gpu = 1, .name = "nvjet_x", .dim_count = 3, .dim = {50, 1, 1}}},
                                 {.op = {.kind = TVG_KIND_KERNEL, .on_gpu = 1, .name = "vectorized", .dim_count = 3, .dim = {10, 20, 1}}, .count = 1}};
    struct tvg_gpu_activity activity[2] = {{.op = 1, .cause = 0, .count = 2, .seconds = 2}, {.op = 2, .cause = UINT32_MAX, .count = 1, .seconds = 1}};
    for (int i = 0; i < 2; i++)
        activity[i].traits = tvg_kernel_traits(ops[activity[i].op].op.name);
    struct tvg_gpu card = {.first_ns = 1e9, .last_ns = 11e9};
    struct tvg_profile profile = {.ops = ops, .op_count = 3, .gpus = &card, .gpu_count = 1, .activity = activity, .activity_count = 2};
    struct tvg_interval per_op[3];
    struct tvg_energy energy = {.per_op = per_op};
    assert_true(tvg_energy_price_boards(&energy, &profile, &gpu));
    double ramp = 1 / 1.001, product = 400 * 2 * 0.5 * ramp, other = 400 * 1 * 1.0 * ramp, idle = 100 * 10;
    assert_float_equal(per_op[0].value, product, 1e-6);
    assert_float_equal(per_op[2].value, other, 1e-6);
    assert_float_equal(energy.total.value, idle + product + other, 1e-6);
    assert_int_equal(energy.basis, TVG_BASIS_MODELLED);
    /* With a meter the parts sum to it; what a scale of 1.25 can't absorb is unexplained. */
    struct tvg_meter meter = {.name = "gpu-0", .boundary = "board", .joules = 3000, .seconds = 12, .samples = 100};
    profile.meters = &meter, profile.meter_count = 1;
    assert_true(tvg_energy_price_boards(&energy, &profile, &gpu));
    assert_int_equal(energy.basis, TVG_BASIS_MEASURED);
    assert_float_equal(energy.meter_scale, 1.25, 1e-9);
    assert_float_equal(energy.ops.value + energy.idle.value + energy.other.value, 3000, 1e-6);
    /* awake power moves within its own interval first: up to 110 W */
    assert_float_equal(energy.idle.value, 1320, 1e-6);
    assert_float_equal(energy.unexplained.value, 3000 - 1320 - 1.25 * (product + other), 1e-6);
    meter.joules = 1200 + product + other; /* the model is right: nothing is scaled, nothing unexplained */
    assert_true(tvg_energy_price_boards(&energy, &profile, &gpu));
    assert_float_equal(energy.meter_scale, 1, 1e-9);
    assert_float_equal(energy.unexplained.value, 0, 1e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_column_survives), cmocka_unit_test(damage_is_refused_or_harmless),
                                       cmocka_unit_test(kernels_are_told_by_name), cmocka_unit_test(a_kernels_title_says_what_it_computes), cmocka_unit_test(boards_add_up)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
