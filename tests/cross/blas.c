/* A small stand-in for a BLAS that can be built for any processor: it counts, and looks at its arguments. */
#include <stdio.h>
int cross_calls;
void dgemm_(const char *ta, const char *tb, const int *m, const int *n, const int *k, const double *alpha, const double *a, const int *lda, const double *b,
            const int *ldb, const double *beta, double *c, const int *ldc);
void dgemm_(const char *ta, const char *tb, const int *m, const int *n, const int *k, const double *alpha, const double *a, const int *lda, const double *b,
            const int *ldb, const double *beta, double *c, const int *ldc)
{
    if (*ta != 'N' || *tb != 'N' || *k != 5 || *alpha != 1.5 || *lda != *m || *ldb != *k || *beta != 0.5 || *ldc != *m)
        printf("arguments were changed\n");
    for (int i = 0; i < *m * *n; i++)
        c[i] = *alpha * a[0] * b[0] * *k + *beta * c[i];
    cross_calls++;
}
/* By value, beyond the eight argument registers. */
void cblas_dgemm(int order, int ta, int tb, int m, int n, int k, double alpha, const double *a, int lda, const double *b, int ldb, double beta, double *c, int ldc);
void cblas_dgemm(int order, int ta, int tb, int m, int n, int k, double alpha, const double *a, int lda, const double *b, int ldb, double beta, double *c, int ldc)
{
    if (order != 102 || ta != 111 || tb != 111 || alpha != 1.5 || lda != m || ldb != k || beta != 0.5 || ldc != m || !a || !b)
        printf("arguments were changed\n");
    c[0] += m + n + k;
    cross_calls++;
}
/* Not the BLAS's: only its name is. */
double sgemm(long a, double x, long b, double y, void *c);
double sgemm(long a, double x, long b, double y, void *c) { return c ? (double)a + x * 10 + (double)b * 100 + y * 1000 : -1; }
