/* A BLAS whose inside the tests control. */
#ifndef FAKE_BLAS_H
#define FAKE_BLAS_H
#ifdef __cplusplus
extern "C" {
#endif
void cblas_sgemm(int order, int transa, int transb, int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb, float beta, float *c,
                 int ldc);
void sgemm_(const char *transa, const char *transb, const int *m, const int *n, const int *k, const float *alpha, const float *a, const int *lda,
            const float *b, const int *ldb, const float *beta, float *c, const int *ldc);
extern void (*fake_blas_inside)(void); /* called inside sgemm_, when set */
extern int fake_blas_errno;            /* errno is set to it at the end of each call */
extern __thread unsigned long fake_blas_calls;
#ifdef __cplusplus
}
#endif
#endif
