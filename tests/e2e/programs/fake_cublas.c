#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "fake_gpu.h"
static uint64_t takes;
void fake_cublas_takes(uint64_t ns) { takes = ns; }
int cublasSgemm_v2(void *handle, int transa, int transb, int m, int n, int k, const float *alpha, const float *a, int lda, const float *b, int ldb, const float *beta, float *c, int ldc)
{
    (void)handle, (void)transa, (void)transb, (void)n, (void)k, (void)alpha, (void)a, (void)lda, (void)b, (void)ldb, (void)beta, (void)c, (void)ldc;
    if (m < 0)
        return 7; /* CUBLAS_STATUS_INVALID_VALUE */
    fake_cupti_launch("ampere_sgemm_128x64_nn", takes ? takes : 300000, 64);
    if (getenv("FAKE_CALL_US")) /* a call that is long in progress between its kernels */
        for (clock_t until = clock() + atoi(getenv("FAKE_CALL_US")); clock() < until;)
            ;
    fake_cupti_launch("splitKreduce_kernel", takes ? takes / 4 : 20000, 8);
    return 0;
}
int cublasGemmGroupedBatchedEx(void *handle, const int *ta, const int *tb, const int *m, const int *n, const int *k, const void *alpha, const void *const *a, int at, const int *lda,
                               const void *const *b, int bt, const int *ldb, const void *beta, void *const *c, int ct, const int *ldc, int groups, const int *sizes, int compute)
{
    (void)handle, (void)ta, (void)tb, (void)m, (void)n, (void)k, (void)alpha, (void)a, (void)at, (void)lda, (void)b, (void)bt, (void)ldb, (void)beta, (void)c, (void)ct, (void)ldc;
    (void)sizes, (void)compute;
    fake_cupti_launch("cutlass_80_tensorop_bf16_grouped", 70000, 64);
    return groups == 2 ? 0 : 7;
}
