#include <stdint.h>

#include "fake_gpu.h"
int cublasSgemm_v2(void *handle, int transa, int transb, int m, int n, int k, const float *alpha, const float *a, int lda, const float *b, int ldb, const float *beta, float *c, int ldc)
{
    (void)handle, (void)transa, (void)transb, (void)n, (void)k, (void)alpha, (void)a, (void)lda, (void)b, (void)ldb, (void)beta, (void)c, (void)ldc;
    if (m < 0)
        return 7; /* CUBLAS_STATUS_INVALID_VALUE */
    fake_cupti_launch("ampere_sgemm_128x64_nn", 300000, 64);
    fake_cupti_launch("splitKreduce_kernel", 20000, 8);
    return 0;
}
