/* What fake_torch.c and its host share. The names are PyTorch's. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct tensor {
    int64_t rank, *size, *stride;
    int32_t type, device, layout;
    const char *data;
};
typedef struct tensor *const *reference;
struct optional {
    struct tensor *value;
    bool engaged;
};

#define SOFTMAX _ZN2at6native26structured_softmax_cpu_out4implERKNS_6TensorElbS4_
#define MAX_POOL _ZN2at6native42structured_max_pool2d_with_indices_out_cpu4implERKNS_6TensorEN3c108ArrayRefIlEES7_S7_S7_bS4_S4_
#define LAYER_NORM _ZN2at6native14layer_norm_cpuERKNS_6TensorEN3c108ArrayRefIlEERKSt8optionalIS1_ESA_d
#define COPY _ZN2at6native5copy_ERNS_6TensorERKS1_b
#define INT_MM _ZN2at6native15_int_mm_out_cpuERKNS_6TensorES3_RS1_
#define BMM _ZN2at6native22structured_bmm_out_cpu4implERKNS_6TensorES4_S4_
#define PREPACK _ZN16PackedConvWeightILi2EE7prepackEN2at6TensorESt8optionalIS2_EN3c104ListIlEES7_S7_S7_lb
#define CONVOLUTION _ZN16PackedConvWeightILi2EE10apply_implILb0EEEN2at6TensorERKS3_dl

void *SOFTMAX(void *, reference, int64_t, bool, reference);
void *MAX_POOL(void *, reference, const int64_t *, size_t, const int64_t *, size_t, const int64_t *, size_t, const int64_t *, size_t, bool, reference, reference);
struct tensor **LAYER_NORM(struct tensor **, reference, const int64_t *, size_t, const struct optional *, const struct optional *, double);
struct tensor **COPY(struct tensor **, reference, bool);
reference INT_MM(reference, reference, reference);
void *BMM(void *, reference, reference, reference);
void **PREPACK(void **, reference, const void *, const void *, const void *, const void *, const void *, int64_t, bool);
struct tensor **CONVOLUTION(struct tensor **, void *, reference, double, int64_t);
