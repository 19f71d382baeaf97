/* cblas_sgemm calls sgemm_ through the procedure linkage table, as real libraries do. Nothing is computed. */
#include "fake_blas.h"

#include <errno.h>

void (*fake_blas_inside)(void);
int fake_blas_errno;
__thread unsigned long fake_blas_calls;

void sgemm_(const char *transa, const char *transb, const int *m, const int *n, const int *k, const float *alpha, const float *a, const int *lda,
            const float *b, const int *ldb, const float *beta, float *c, const int *ldc)
{
    (void)transa, (void)transb, (void)m, (void)n, (void)k, (void)alpha, (void)a, (void)lda, (void)b, (void)ldb, (void)beta, (void)c, (void)ldc;
    fake_blas_calls++;
    if (fake_blas_inside) fake_blas_inside();
    errno = fake_blas_errno;
}

void cblas_sgemm(int order, int transa, int transb, int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb, float beta, float *c,
                 int ldc)
{
    (void)order, (void)transa, (void)transb;
    sgemm_("n", "n", &m, &n, &k, &alpha, a, &lda, b, &ldb, &beta, c, &ldc);
    __asm__ volatile("" ::: "memory"); /* no tail call */
}
