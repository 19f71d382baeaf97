/* Solves by the LAPACK it is linked with and prints the solution's bits; then a routine with as many arguments as any, each of which must arrive. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void dgesv_(int *n, int *columns, double *a, int *lda, int *pivots, double *b, int *ldb, int *info);
void dgetrf_(int *m, int *n, double *a, int *lda, int *pivots, int *info);
void dsyevd_(char *job, char *triangle, int *n, double *a, int *lda, double *w, double *work, int *lwork, int *iwork, int *liwork, int *info, size_t, size_t);
#ifdef MANY
typedef uintptr_t word;
#define WORDS word a, word b, word c, word d, word e, word f, word g, word h, word i, word j, word k, word l, word m, word n, word o, word p, word q, word r, word s, word t, word u, word v, word w, word x, word y, word z
void zheevr_(WORDS);
#endif

int main(int argc, char **argv)
{
    int n = argc > 1 ? atoi(argv[1]) : 120, columns = 7, info, pivots[512];
    double *a = malloc(sizeof *a * n * n), *again = malloc(sizeof *a * n * n), *b = malloc(sizeof *b * n * columns), *w = malloc(sizeof *w * n);
    for (int i = 0; i < n * n; i++)
        a[i] = again[i] = (double)((i * 7919) % 1009) / 1009 + (i % (n + 1) == 0 ? n : 0);
    for (int i = 0; i < n * columns; i++)
        b[i] = i % 13;
    dgesv_(&n, &columns, a, &n, pivots, b, &n, &info);
    uint64_t bits, sum = 0;
    for (int i = 0; i < n * columns; i++) {
        memcpy(&bits, &b[i], sizeof bits);
        sum = sum * 31 + bits;
    }
    printf("%d %016llx\n", info, (unsigned long long)sum);
    int bad = -1, singular = 3;
    dgetrf_(&bad, &n, again, &n, pivots, &info);
    double zeros[9] = {0};
    dgetrf_(&singular, &singular, zeros, &singular, pivots, &info);
    printf("%d\n", info);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++)
            again[j * n + i] = again[i * n + j];
    int query = -1, lwork = 1 + 6 * n + 2 * n * n, liwork = 3 + 5 * n, *iwork = malloc(sizeof *iwork * liwork);
    double *work = malloc(sizeof *work * lwork);
    dsyevd_("V", "L", &n, again, &n, w, work, &query, iwork, &query, &info, 1, 1);
    dsyevd_("V", "L", &n, again, &n, w, work, &lwork, iwork, &liwork, &info, 1, 1);
    printf("%d %.17g\n", info, w[n - 1]);
#ifdef MANY
    zheevr_(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26);
#endif
    return 0;
}
