/* The table of kernel names: first match wins. Parts of a pattern stand in a name in this order, whatever is between them. */
#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "kernel_name.h"
#include "result.h"

#define TENSOR TVG_KERNEL_TENSOR
#define FMA TVG_KERNEL_FMA
#define OTHER TVG_KERNEL_OTHER
#define T(type) TVG_TYPE_##type

/* Schemes: xmma (cuBLAS, cuDNN) a pair of operand types, then product and accumulator types, then the result's; nvjet (cuBLAS 12.5 on) a letter
 * for operand, accumulator and result, h half, t bfloat16, q and r the two fp8; CUTLASS and the older libraries the accumulator's
 * letter and the instruction's shape: s1688 and s16816 are tensor instructions, sgemm is multiply-add on the vector units. */
static const struct row {
    const char *pattern;
    enum tvg_kernel_class units;
    enum tvg_type compute;
    enum tvg_kernel_role role;
} rows[] = {
    /* attention comes first: its kernels carry product names inside */
    {"sdpa*_bf16", TENSOR, T(BF16), TVG_ROLE_ATTENTION},
    {"sdpa*_e4m3", TENSOR, T(F8_E4M3), TVG_ROLE_ATTENTION},
    {"sdpa", TENSOR, T(NONE), TVG_ROLE_ATTENTION}, /* cuDNN calls both 16-bit types f16 (seen: bf16 operands in ..._wgmma_f16_knob_...) */
    {"flash*bfloat16", TENSOR, T(BF16), TVG_ROLE_ATTENTION},
    {"flash*half_t", TENSOR, T(F16), TVG_ROLE_ATTENTION},
    {"flash*_bf16", TENSOR, T(BF16), TVG_ROLE_ATTENTION},
    {"flash*_fp16", TENSOR, T(F16), TVG_ROLE_ATTENTION},
    {"flash_fwd", TENSOR, T(NONE), TVG_ROLE_ATTENTION},
    {"flash_attn", TENSOR, T(NONE), TVG_ROLE_ATTENTION},
    {"fmha*_bf16", TENSOR, T(BF16), TVG_ROLE_ATTENTION},
    {"fmha*_f16", TENSOR, T(F16), TVG_ROLE_ATTENTION},
    {"fmha*_f32", TENSOR, T(TF32), TVG_ROLE_ATTENTION}, /* three TF32 products stand for one fp32 product */
    {"fmha", TENSOR, T(NONE), TVG_ROLE_ATTENTION},
    {"softmax", OTHER, T(NONE), TVG_ROLE_UNKNOWN},
    /* xmma */
    {"xmma_*_tf32f32_tf32f32_", TENSOR, T(TF32), TVG_ROLE_PRODUCT},
    {"xmma_*f32f32_tf32f32_", TENSOR, T(TF32), TVG_ROLE_PRODUCT},
    {"xmma_*f32f32_f32f32_", FMA, T(F32), TVG_ROLE_PRODUCT},
    {"xmma_*_bf16f32_", TENSOR, T(BF16), TVG_ROLE_PRODUCT},
    {"xmma_*_f16f32_", TENSOR, T(F16), TVG_ROLE_PRODUCT},
    {"xmma_*f16f16_f16f16_", TENSOR, T(F16), TVG_ROLE_PRODUCT},
    {"xmma_*_f64f64_", TENSOR, T(F64), TVG_ROLE_PRODUCT},
    {"xmma_*_i8i32_", TENSOR, T(I8), TVG_ROLE_PRODUCT},
    {"xmma_*_e4m3f32_", TENSOR, T(F8_E4M3), TVG_ROLE_PRODUCT},
    {"xmma_*_e5m2f32_", TENSOR, T(F8_E5M2), TVG_ROLE_PRODUCT},
    {"xmma_*ffma", FMA, T(F32), TVG_ROLE_PRODUCT},
    {"xmma_", TENSOR, T(NONE), TVG_ROLE_PRODUCT},
    /* nvjet, with and without the architecture */
    {"nvjet_sm*_hsh_", TENSOR, T(F16), TVG_ROLE_PRODUCT}, {"nvjet_hsh_", TENSOR, T(F16), TVG_ROLE_PRODUCT},
    {"nvjet_sm*_hss_", TENSOR, T(F16), TVG_ROLE_PRODUCT}, {"nvjet_hss_", TENSOR, T(F16), TVG_ROLE_PRODUCT},
    {"nvjet_sm*_tst_", TENSOR, T(BF16), TVG_ROLE_PRODUCT}, {"nvjet_tst_", TENSOR, T(BF16), TVG_ROLE_PRODUCT},
    {"nvjet_sm*_tss_", TENSOR, T(BF16), TVG_ROLE_PRODUCT}, {"nvjet_tss_", TENSOR, T(BF16), TVG_ROLE_PRODUCT},
    {"nvjet_sm*_qq", TENSOR, T(F8_E4M3), TVG_ROLE_PRODUCT}, {"nvjet_qq", TENSOR, T(F8_E4M3), TVG_ROLE_PRODUCT},
    {"nvjet", TENSOR, T(NONE), TVG_ROLE_PRODUCT},
    /* CUTLASS, and cuBLAS's generations before it */
    {"simt_dgemm", FMA, T(F64), TVG_ROLE_PRODUCT},
    {"simt_hgemm", FMA, T(F16), TVG_ROLE_PRODUCT},
    {"simt*sgemm", FMA, T(F32), TVG_ROLE_PRODUCT},
    {"simt", FMA, T(NONE), TVG_ROLE_PRODUCT},
    {"gemm_e4m3_e4m3", TENSOR, T(F8_E4M3), TVG_ROLE_PRODUCT},
    {"gemm_e5m2", TENSOR, T(F8_E5M2), TVG_ROLE_PRODUCT},
    {"tf32gemm", TENSOR, T(TF32), TVG_ROLE_PRODUCT},
    {"s1688bf16gemm", TENSOR, T(BF16), TVG_ROLE_PRODUCT},
    {"s1688f16gemm", TENSOR, T(F16), TVG_ROLE_PRODUCT},
    {"gemm_bf16_bf16", TENSOR, T(BF16), TVG_ROLE_PRODUCT},
    {"gemm_f16_f16", TENSOR, T(F16), TVG_ROLE_PRODUCT},
    {"bf16_s16816", TENSOR, T(BF16), TVG_ROLE_PRODUCT},
    {"s16816gemm_bf16", TENSOR, T(BF16), TVG_ROLE_PRODUCT},
    {"s16816fprop*_bf16", TENSOR, T(BF16), TVG_ROLE_PRODUCT},
    {"f16_s16816", TENSOR, T(F16), TVG_ROLE_PRODUCT},
    {"fp16_s16816", TENSOR, T(F16), TVG_ROLE_PRODUCT},
    {"s16816gemm_fp16", TENSOR, T(F16), TVG_ROLE_PRODUCT},
    {"s16816gemm_f16", TENSOR, T(F16), TVG_ROLE_PRODUCT},
    {"fp16_s1688", TENSOR, T(F16), TVG_ROLE_PRODUCT}, /* Turing: 16-bit operands in the shape that TF32 took over */
    {"f16_s1688", TENSOR, T(F16), TVG_ROLE_PRODUCT},
    {"s1688gemm_f16", TENSOR, T(F16), TVG_ROLE_PRODUCT},
    {"s1688gemm_fp16", TENSOR, T(F16), TVG_ROLE_PRODUCT},
    {"75_tensorop_s1688", TENSOR, T(F16), TVG_ROLE_PRODUCT},
    {"80_tensorop_s1688", TENSOR, T(TF32), TVG_ROLE_PRODUCT},
    {"ampere*_s1688", TENSOR, T(TF32), TVG_ROLE_PRODUCT},
    {"s884gemm", TENSOR, T(F16), TVG_ROLE_PRODUCT},
    {"h16816", TENSOR, T(F16), TVG_ROLE_PRODUCT},
    {"h1688", TENSOR, T(F16), TVG_ROLE_PRODUCT},
    {"h884", TENSOR, T(F16), TVG_ROLE_PRODUCT},
    {"i16832", TENSOR, T(I8), TVG_ROLE_PRODUCT},
    {"i8816", TENSOR, T(I8), TVG_ROLE_PRODUCT},
    {"i16864", TENSOR, T(I4), TVG_ROLE_PRODUCT},
    {"imma", TENSOR, T(I8), TVG_ROLE_PRODUCT},
    {"d884", TENSOR, T(F64), TVG_ROLE_PRODUCT},
    {"tensorop", TENSOR, T(NONE), TVG_ROLE_PRODUCT},
    {"wgmma", TENSOR, T(NONE), TVG_ROLE_PRODUCT},
    {"hmma", TENSOR, T(F16), TVG_ROLE_PRODUCT},
    {"hgemm", FMA, T(F16), TVG_ROLE_PRODUCT},
    {"dgemm", FMA, T(F64), TVG_ROLE_PRODUCT},
    {"sgemm", FMA, T(F32), TVG_ROLE_PRODUCT},
    {"gemvx", FMA, T(NONE), TVG_ROLE_PRODUCT},
    {"gemv", FMA, T(NONE), TVG_ROLE_PRODUCT},
    {"gemmSN", FMA, T(NONE), TVG_ROLE_PRODUCT},
    {"gemmk1", FMA, T(NONE), TVG_ROLE_PRODUCT},
    {"splitKreduce", OTHER, T(NONE), TVG_ROLE_UNKNOWN},
    {"implicit_convolve_sgemm", FMA, T(F32), TVG_ROLE_PRODUCT},
    {"winograd", FMA, T(NONE), TVG_ROLE_PRODUCT},
    {"ffma", FMA, T(F32), TVG_ROLE_PRODUCT},
    /* what only passes over elements */
    {"nchwToNhwc", OTHER, T(NONE), TVG_ROLE_LAYOUT},
    {"nhwcToNchw", OTHER, T(NONE), TVG_ROLE_LAYOUT},
    {"nhwcAddPadding", OTHER, T(NONE), TVG_ROLE_LAYOUT},
    {"distribution_elementwise", OTHER, T(NONE), TVG_ROLE_UNKNOWN}, /* random numbers: the state is shared */
    {"elementwise_kernel", OTHER, T(NONE), TVG_ROLE_POINTWISE},
    {"bn_fw_inf", OTHER, T(NONE), TVG_ROLE_POINTWISE},
    {"batch_norm_transform_input", OTHER, T(NONE), TVG_ROLE_POINTWISE},
    {"triton_poi_", OTHER, T(NONE), TVG_ROLE_POINTWISE},
};

/* The first place of `part` at or behind `name`, in any case of letters; NULL when there is none. */
static const char *find(const char *name, const char *part, size_t length)
{
    char lower = (char)tolower((unsigned char)*part);
    for (; *name; name++)
        if (tolower((unsigned char)*name) == lower && strncasecmp(name, part, length) == 0)
            return name;
    return NULL;
}

/* Leftmost places of the parts, one behind the other: where that fails, no other choice would do. */
static bool matches(const char *name, const char *pattern)
{
    while (*pattern) {
        size_t length = strcspn(pattern, "*");
        if (!(name = find(name, pattern, length)))
            return false;
        name += length;
        pattern += length + (pattern[length] == '*');
    }
    return true;
}

struct tvg_kernel_traits tvg_kernel_traits(const char *name)
{
    for (size_t i = 0; name && i < sizeof rows / sizeof *rows; i++)
        if (matches(name, rows[i].pattern))
            return (struct tvg_kernel_traits){rows[i].units, rows[i].compute, rows[i].role};
    return (struct tvg_kernel_traits){TVG_KERNEL_OTHER, TVG_TYPE_NONE, TVG_ROLE_UNKNOWN};
}

/* --- names for people ------------------------------------------------------------------------------------------------------- */

/* What wraps the thing computed, and what only says where it lies or in which type: none of them is what a kernel computes. */
static bool is_wrapper(const char *name, size_t length)
{
    static const char *const wrappers[] = {
        "vectorized_elementwise_kernel", "unrolled_elementwise_kernel", "elementwise_kernel", "elementwise_kernel_with_index", "index_elementwise_kernel",
        "_scatter_gather_elementwise_kernel", "distribution_elementwise_grid_stride_kernel", "reduce_kernel", "Kernel", "Kernel2", "ReduceOp", "func_wrapper_t",
        "gpu_kernel_impl", "gpu_kernel_impl_nocast", "gpu_index_kernel", "UnaryFunctor", "AUnaryFunctor", "BUnaryFunctor", "BinaryFunctor", "binary_internal", "at", "native", "c10",
        "std", "cutlass", "templates", "cuda", "detail", "memory", "Half", "BFloat16", NULL};
    for (const char *const *word = wrappers; *word; word++)
        if (strlen(*word) == length && memcmp(*word, name, length) == 0)
            return true;
    return false;
}

/* The identifier that begins at *at in a mangled name ("5scale"), which is then behind it; NULL: none begins there. Made-up namespaces are none. */
static const char *identifier(const char **at, size_t *length)
{
    char *name;
    if (!isdigit((unsigned char)**at) || **at == '0')
        return NULL;
    unsigned long wanted = strtoul(*at, &name, 10);
    if (wanted > strlen(name) || !(isalpha((unsigned char)*name) || *name == '_'))
        return NULL;
    for (unsigned long i = 0; i < wanted; i++)
        if (!isalnum((unsigned char)name[i]) && name[i] != '_')
            return NULL;
    *at = name + wanted;
    *length = wanted;
    return name;
}

/* Behind a literal ("Li128E"), a substitution or a parameter ("S0_", "T_"), which hold digits that begin no identifier; `at` itself otherwise. */
static const char *skip(const char *at)
{
    const char *end = at + 1;
    if (*at == 'L' && islower((unsigned char)at[1])) {
        for (end = at + 2; isdigit((unsigned char)*end) || *end == 'n'; end++)
            ;
        return *end == 'E' && end > at + 2 ? end + 1 : at;
    }
    if (*at != 'S' && *at != 'T')
        return at;
    while (isdigit((unsigned char)*end) || isupper((unsigned char)*end))
        end++;
    return *end == '_' ? end + 1 : at;
}

char *tvg_kernel_title(char *out, size_t size, const char *name)
{
    char plain[256] = "";
    size_t length, used = 0;
    const char *at = strncmp(name, "_ZN", 3) == 0 ? name + 3 : strncmp(name, "_Z", 2) == 0 ? name + 2 : NULL, *part, *last = NULL;
    size_t last_length = 0;
    while (at && (part = identifier(&at, &length))) { /* its own, with the namespaces that it lies in */
        if (strncmp(part, "_GLOBAL__N_", 11) != 0 && !(is_wrapper(part, length) && identifier(&(const char *){at}, &(size_t){0}))) {
            used += (size_t)snprintf(plain + used, sizeof plain - used, "%s%.*s", used ? "::" : "", (int)length, part);
            used = used < sizeof plain ? used : sizeof plain - 1;
            last = part, last_length = length;
        }
        if (name[2] != 'N')
            break;
    }
    bool wrapper = last && is_wrapper(last, last_length);
    while (wrapper && *at) { /* the first argument that is none itself */
        const char *behind = skip(at);
        if (behind != at) {
            at = behind;
            continue;
        }
        part = identifier(&at, &length);
        if (!part)
            at++;
        else if (strncmp(part, "_GLOBAL__N_", 11) != 0 && !is_wrapper(part, length)) {
            snprintf(plain, sizeof plain, "%.*s", (int)length, part);
            break;
        }
    }
    return tvg_escape(out, size, last ? plain : name);
}
