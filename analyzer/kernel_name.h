/* What a GPU kernel's name tells: which units it keeps busy, the type it multiplies in, whether it only passes over elements. Libraries name
 * their kernels after the instruction; the table in kernel_name.c says how. What a name does not tell stays unknown. */
#ifndef TVG_KERNEL_NAME_H
#define TVG_KERNEL_NAME_H

#include "../trace/op.h"

enum tvg_kernel_class { TVG_KERNEL_OTHER = 0, TVG_KERNEL_FMA, TVG_KERNEL_TENSOR };
enum tvg_kernel_role { TVG_ROLE_UNKNOWN = 0, TVG_ROLE_PRODUCT, /* gemm, convolution */ TVG_ROLE_ATTENTION, TVG_ROLE_POINTWISE, /* one output an input element: chains of them fuse */
                       TVG_ROLE_LAYOUT /* copies that reorder or convert */ };

struct tvg_kernel_traits {
    enum tvg_kernel_class units;
    enum tvg_type compute; /* operand type of the multiply-adds; TVG_TYPE_NONE: the name does not tell */
    enum tvg_kernel_role role;
};

/* Traits of a kernel by its name (mangled or not; NULL: nothing known). Looks at the text alone, in time that is linear in its length. */
struct tvg_kernel_traits tvg_kernel_traits(const char *name);
/* What a kernel is for people, escaped: its name without template arguments ("cudnn::bn_fw_inf_1C11_kernel_NCHW"), or what a general kernel was made for
 * ("GeluCUDAKernelImpl" of a vectorized_elementwise_kernel); a name that is not mangled as it is. Returns `out`. */
char *tvg_kernel_title(char *out, size_t size, const char *name);

#endif
