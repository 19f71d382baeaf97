/* One call of every BLAS family at levels 2 and 3, in every precision, by CBLAS and by Fortran names, and the odd calls: empty, alpha = 0, refused.
 * Prints a line for each call: function, kind, letter, the sizes that were asked for; at the end a hash of all results.
 * -DLOOK_UP: names by dlsym from the library argv[1]. -DHAVE_BLIS: what only BLIS has. Argument "refused": the calls that BLAS refuses. */
#define _GNU_SOURCE
#include <complex.h>
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cblas.h>
#include <f77blas.h>

#ifdef LOOK_UP
static void *handle;
#define LOOK(function) ((__typeof__(&function))dlsym(handle, #function))
#else
#define LOOK(function) function
#endif
#define CALL(kind, letter, function, m, n, k, kl, ku, side, ...) \
    (LOOK(function)(__VA_ARGS__), printf("%s %s %s %d %d %d %d %d %s\n", #function, #kind, #letter, m, n, k, kl, ku, #side))

enum { N = 4096 };
static uint64_t hash = 1;
static void mix(const void *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ ((const unsigned char *)data)[i]) * 0x100000001b3u;
}

/* Diagonals well away from 0, so that solves stay finite. */
#define FILL(array) do { for (int i_ = 0; i_ < N; i_++) (array)[i_] = (i_ * 7 % 13 + 1) / 4.0; for (int i_ = 0; i_ < 60; i_++) (array)[i_ * 9] = 8; } while (0)

#define ARRAYS(T) static T a[N], b[N], c[N], x[N], y[N]; FILL(a); FILL(b); FILL(c); FILL(x); FILL(y); T al = 1.5, be = 0.5; (void)al; (void)be
#define DONE mix(a, sizeof a), mix(b, sizeof b), mix(c, sizeof c), mix(x, sizeof x), mix(y, sizeof y)

/* Families that all four precisions have. AL: how CBLAS takes alpha. */
#define COMMON(p, AL) \
    CALL(gemm, p, cblas_##p##gemm, 5, 4, 3, 0, 0, L, CblasColMajor, CblasNoTrans, CblasTrans, 5, 4, 3, AL(al), a, 8, b, 8, AL(be), c, 8); \
    CALL(gemm, p, cblas_##p##gemm, 5, 4, 3, 0, 0, L, CblasRowMajor, CblasTrans, CblasNoTrans, 5, 4, 3, AL(al), a, 8, b, 8, AL(be), c, 8); \
    CALL(symm, p, cblas_##p##symm, 5, 4, 0, 0, 0, L, CblasColMajor, CblasLeft, CblasUpper, 5, 4, AL(al), a, 8, b, 8, AL(be), c, 8); \
    CALL(symm, p, cblas_##p##symm, 5, 4, 0, 0, 0, R, CblasRowMajor, CblasRight, CblasLower, 5, 4, AL(al), a, 8, b, 8, AL(be), c, 8); \
    CALL(syrk, p, cblas_##p##syrk, 0, 5, 3, 0, 0, L, CblasColMajor, CblasUpper, CblasTrans, 5, 3, AL(al), a, 8, AL(be), c, 8); \
    CALL(syr2k, p, cblas_##p##syr2k, 0, 5, 3, 0, 0, L, CblasRowMajor, CblasUpper, CblasNoTrans, 5, 3, AL(al), a, 8, b, 8, AL(be), c, 8); \
    CALL(trmm, p, cblas_##p##trmm, 5, 4, 0, 0, 0, L, CblasColMajor, CblasLeft, CblasUpper, CblasNoTrans, CblasNonUnit, 5, 4, AL(al), a, 8, b, 8); \
    CALL(trsm, p, cblas_##p##trsm, 5, 4, 0, 0, 0, R, CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, 5, 4, AL(al), a, 8, b, 8); \
    CALL(gemv, p, cblas_##p##gemv, 6, 5, 0, 0, 0, L, CblasRowMajor, CblasTrans, 6, 5, AL(al), a, 8, x, 1, AL(be), y, 2); \
    CALL(gbmv, p, cblas_##p##gbmv, 7, 6, 0, 1, 2, L, CblasColMajor, CblasNoTrans, 7, 6, 1, 2, AL(al), a, 8, x, 1, AL(be), y, 1); \
    CALL(trmv, p, cblas_##p##trmv, 0, 5, 0, 0, 0, L, CblasColMajor, CblasUpper, CblasNoTrans, CblasNonUnit, 5, a, 8, x, 1); \
    CALL(tbmv, p, cblas_##p##tbmv, 0, 6, 2, 0, 0, L, CblasColMajor, CblasLower, CblasNoTrans, CblasNonUnit, 6, 2, a, 8, x, 1); \
    CALL(tpmv, p, cblas_##p##tpmv, 0, 5, 0, 0, 0, L, CblasRowMajor, CblasUpper, CblasTrans, CblasUnit, 5, a, x, 1); \
    CALL(trsv, p, cblas_##p##trsv, 0, 5, 0, 0, 0, L, CblasRowMajor, CblasUpper, CblasNoTrans, CblasNonUnit, 5, a, 8, x, 1); \
    CALL(tbsv, p, cblas_##p##tbsv, 0, 6, 2, 0, 0, L, CblasColMajor, CblasLower, CblasNoTrans, CblasNonUnit, 6, 2, a, 8, x, 1); \
    CALL(tpsv, p, cblas_##p##tpsv, 0, 5, 0, 0, 0, L, CblasColMajor, CblasLower, CblasNoTrans, CblasNonUnit, 5, a, x, 1); \
    CALL(gemm, p, p##gemm_, 5, 4, 3, 0, 0, L, "N", "t", &five, &four, &three, (void *)&al, (void *)a, &eight, (void *)b, &eight, (void *)&be, (void *)c, &eight); \
    CALL(symm, p, p##symm_, 5, 4, 0, 0, 0, R, "R", "u", &five, &four, (void *)&al, (void *)a, &eight, (void *)b, &eight, (void *)&be, (void *)c, &eight); \
    CALL(syrk, p, p##syrk_, 0, 5, 3, 0, 0, L, "L", "N", &five, &three, (void *)&al, (void *)a, &eight, (void *)&be, (void *)c, &eight); \
    CALL(syr2k, p, p##syr2k_, 0, 5, 3, 0, 0, L, "L", "N", &five, &three, (void *)&al, (void *)a, &eight, (void *)b, &eight, (void *)&be, (void *)c, &eight); \
    CALL(trmm, p, p##trmm_, 5, 4, 0, 0, 0, R, "R", "U", "N", "N", &five, &four, (void *)&al, (void *)a, &eight, (void *)b, &eight); \
    CALL(trsm, p, p##trsm_, 5, 4, 0, 0, 0, L, "L", "L", "N", "N", &five, &four, (void *)&al, (void *)a, &eight, (void *)b, &eight); \
    CALL(gemv, p, p##gemv_, 6, 5, 0, 0, 0, L, "N", &six, &five, (void *)&al, (void *)a, &eight, (void *)x, &one, (void *)&be, (void *)y, &one); \
    CALL(gbmv, p, p##gbmv_, 7, 6, 0, 2, 1, L, "T", &seven, &six, &two, &one, (void *)&al, (void *)a, &eight, (void *)x, &one, (void *)&be, (void *)y, &one); \
    CALL(trmv, p, p##trmv_, 0, 5, 0, 0, 0, L, "U", "N", "N", &five, (void *)a, &eight, (void *)x, &one); \
    CALL(tbmv, p, p##tbmv_, 0, 6, 2, 0, 0, L, "L", "N", "N", &six, &two, (void *)a, &eight, (void *)x, &one); \
    CALL(tpmv, p, p##tpmv_, 0, 5, 0, 0, 0, L, "L", "N", "N", &five, (void *)a, (void *)x, &one); \
    CALL(trsv, p, p##trsv_, 0, 5, 0, 0, 0, L, "U", "N", "N", &five, (void *)a, &eight, (void *)x, &one); \
    CALL(tbsv, p, p##tbsv_, 0, 6, 2, 0, 0, L, "L", "N", "N", &six, &two, (void *)a, &eight, (void *)x, &one); \
    CALL(tpsv, p, p##tpsv_, 0, 5, 0, 0, 0, L, "L", "N", "N", &five, (void *)a, (void *)x, &one)

#define REAL(p) \
    CALL(symv, p, cblas_##p##symv, 0, 5, 0, 0, 0, L, CblasColMajor, CblasUpper, 5, al, a, 8, x, 1, be, y, 1); \
    CALL(sbmv, p, cblas_##p##sbmv, 0, 6, 2, 0, 0, L, CblasColMajor, CblasUpper, 6, 2, al, a, 8, x, 1, be, y, 1); \
    CALL(spmv, p, cblas_##p##spmv, 0, 5, 0, 0, 0, L, CblasColMajor, CblasUpper, 5, al, a, x, 1, be, y, 1); \
    CALL(ger, p, cblas_##p##ger, 6, 5, 0, 0, 0, L, CblasColMajor, 6, 5, al, x, 1, y, 1, a, 8); \
    CALL(syr, p, cblas_##p##syr, 0, 5, 0, 0, 0, L, CblasColMajor, CblasUpper, 5, al, x, 1, a, 8); \
    CALL(spr, p, cblas_##p##spr, 0, 5, 0, 0, 0, L, CblasColMajor, CblasUpper, 5, al, x, 1, a); \
    CALL(syr2, p, cblas_##p##syr2, 0, 5, 0, 0, 0, L, CblasRowMajor, CblasUpper, 5, al, x, 1, y, 1, a, 8); \
    CALL(spr2, p, cblas_##p##spr2, 0, 5, 0, 0, 0, L, CblasColMajor, CblasUpper, 5, al, x, 1, y, 1, a); \
    CALL(symv, p, p##symv_, 0, 5, 0, 0, 0, L, "L", &five, &al, a, &eight, x, &one, &be, y, &one); \
    CALL(ger, p, p##ger_, 6, 5, 0, 0, 0, L, &six, &five, &al, x, &one, y, &one, a, &eight); \
    CALL(syr, p, p##syr_, 0, 5, 0, 0, 0, L, "L", &five, &al, x, &one, a, &eight)

#define COMPLEX(p) \
    CALL(hemm, p, cblas_##p##hemm, 5, 4, 0, 0, 0, L, CblasColMajor, CblasLeft, CblasUpper, 5, 4, &al, a, 8, b, 8, &be, c, 8); \
    CALL(herk, p, cblas_##p##herk, 0, 5, 3, 0, 0, L, CblasColMajor, CblasUpper, CblasNoTrans, 5, 3, 1.5, a, 8, 0.5, c, 8); \
    CALL(her2k, p, cblas_##p##her2k, 0, 5, 3, 0, 0, L, CblasColMajor, CblasUpper, CblasConjTrans, 5, 3, &al, a, 8, b, 8, 0.5, c, 8); \
    CALL(symv, p, cblas_##p##hemv, 0, 5, 0, 0, 0, L, CblasColMajor, CblasUpper, 5, &al, a, 8, x, 1, &be, y, 1); \
    CALL(sbmv, p, cblas_##p##hbmv, 0, 6, 2, 0, 0, L, CblasColMajor, CblasUpper, 6, 2, &al, a, 8, x, 1, &be, y, 1); \
    CALL(spmv, p, cblas_##p##hpmv, 0, 5, 0, 0, 0, L, CblasColMajor, CblasUpper, 5, &al, a, x, 1, &be, y, 1); \
    CALL(ger, p, cblas_##p##geru, 6, 5, 0, 0, 0, L, CblasColMajor, 6, 5, &al, x, 1, y, 1, a, 8); \
    CALL(ger, p, cblas_##p##gerc, 6, 5, 0, 0, 0, L, CblasRowMajor, 6, 5, &al, x, 1, y, 1, a, 8); \
    CALL(syr, p, cblas_##p##her, 0, 5, 0, 0, 0, L, CblasColMajor, CblasUpper, 5, 1.5, x, 1, a, 8); \
    CALL(spr, p, cblas_##p##hpr, 0, 5, 0, 0, 0, L, CblasColMajor, CblasUpper, 5, 1.5, x, 1, a); \
    CALL(syr2, p, cblas_##p##her2, 0, 5, 0, 0, 0, L, CblasColMajor, CblasUpper, 5, &al, x, 1, y, 1, a, 8); \
    CALL(spr2, p, cblas_##p##hpr2, 0, 5, 0, 0, 0, L, CblasColMajor, CblasUpper, 5, &al, x, 1, y, 1, a); \
    CALL(hemm, p, p##hemm_, 5, 4, 0, 0, 0, R, "R", "L", &five, &four, (void *)&al, (void *)a, &eight, (void *)b, &eight, (void *)&be, (void *)c, &eight); \
    CALL(gemm, p, cblas_##p##gemm3m, 5, 4, 3, 0, 0, L, CblasColMajor, CblasNoTrans, CblasTrans, 5, 4, 3, &al, a, 8, b, 8, &be, c, 8)

#ifdef HAVE_BLIS
void cblas_sgemmt(int, int, int, int, int, int, float, const float *, int, const float *, int, float, float *, int);
void dgemmt_(char *, char *, char *, int *, int *, double *, double *, int *, double *, int *, double *, double *, int *);
void cblas_dgemm_batch(int, const int *, const int *, const int *, const int *, const int *, const double *, const double **, const int *,
                       const double **, const int *, const double *, double **, const int *, int, const int *);
#endif

static int one = 1, two = 2, three = 3, four = 4, five = 5, six = 6, seven = 7, eight = 8;
#define VALUE(v) v
#define POINTER(v) &v

static void singles(void) { ARRAYS(float); COMMON(s, VALUE); REAL(s);
#ifdef HAVE_BLIS
    CALL(gemmt, s, cblas_sgemmt, 0, 5, 3, 0, 0, L, 102, 121, 111, 112, 5, 3, al, a, 8, b, 8, be, c, 8);
#endif
    DONE; }
static void doubles(void) { ARRAYS(double); COMMON(d, VALUE); REAL(d);
#ifdef HAVE_BLIS
    CALL(gemmt, d, dgemmt_, 0, 5, 3, 0, 0, L, "U", "N", "N", &five, &three, &al, a, &eight, b, &eight, &be, c, &eight);
    int trans[2] = {111, 112}, m[2] = {5, 4}, n[2] = {3, 2}, k[2] = {6, 7}, ld[2] = {8, 8}, sizes[2] = {2, 3};
    double alpha[2] = {1, 1}, beta[2] = {0, 1}, *at[5] = {a, a + 64, a, a, a}, *bt[5] = {b, b, b, b, b + 64}, *ct[5] = {c, c + 64, c + 128, c + 192, c + 256};
    CALL(batch, d, cblas_dgemm_batch, 0, 0, 0, 0, 0, L, 102, trans, trans, m, n, k, alpha, (const double **)at, ld, (const double **)bt, ld, beta, ct, ld, 2, sizes);
    CALL(batch1, d, cblas_dgemm_batch, 5, 3, 6, 2, 0, L, 102, trans, trans, m, n, k, alpha, (const double **)at, ld, (const double **)bt, ld, beta, ct, ld, 1, sizes);
#endif
    DONE; }
static void complexes(void) { ARRAYS(float _Complex); COMMON(c, POINTER); COMPLEX(c); DONE; }
static void double_complexes(void) { ARRAYS(double _Complex); COMMON(z, POINTER); COMPLEX(z); DONE; }
static void odd(void)
{
    ARRAYS(double);
    CALL(none, d, cblas_dgemm, 0, 4, 3, 0, 0, L, CblasColMajor, CblasNoTrans, CblasNoTrans, 0, 4, 3, al, a, 8, b, 8, be, c, 8);
    CALL(none, d, cblas_dgemm, 5, 4, 0, 0, 0, L, CblasColMajor, CblasNoTrans, CblasNoTrans, 5, 4, 0, al, a, 8, b, 8, be, c, 8);
    CALL(none, d, cblas_dgemm, 5, 4, 3, 0, 0, L, CblasColMajor, CblasNoTrans, CblasNoTrans, 5, 4, 3, 0.0, a, 8, b, 8, be, c, 8);
    CALL(none, d, cblas_dtrmv, 0, 0, 0, 0, 0, L, CblasColMajor, CblasUpper, CblasNoTrans, CblasNonUnit, 0, a, 8, x, 1);
    DONE;
}
static void refused(void)
{
    ARRAYS(double);
    int minus = -4, zero = 0;
    CALL(none, d, cblas_dgemm, 5, 4, 3, 0, 0, L, CblasColMajor, CblasNoTrans, CblasNoTrans, 5, 4, 3, al, a, 4, b, 8, be, c, 8);
    CALL(none, d, cblas_dgemm, 5, 4, 3, 0, 0, L, CblasRowMajor, CblasNoTrans, CblasNoTrans, 5, 4, 3, al, a, 8, b, 3, be, c, 8);
    CALL(none, d, dgemm_, 5, 0, 3, 0, 0, L, "N", "N", &five, &minus, &three, &al, a, &eight, b, &eight, &be, c, &eight);
    CALL(none, d, dgemm_, 5, 4, 3, 0, 0, L, "X", "N", &five, &four, &three, &al, a, &eight, b, &eight, &be, c, &eight);
    CALL(none, d, dgemv_, 6, 5, 0, 0, 0, L, "N", &six, &five, &al, a, &eight, x, &zero, &be, y, &one);
    CALL(none, d, dsyrk_, 0, 5, 3, 0, 0, L, "U", "N", &five, &three, &al, a, &four, &be, c, &eight);
    DONE;
}

int main(int argc, char **argv)
{
    (void)argc, (void)argv;
#ifdef LOOK_UP
    if (!(handle = dlopen(argv[1], RTLD_NOW)))
        return 3;
#endif
    singles(), doubles(), complexes(), double_complexes(), odd();
    if (argc > 1 && strcmp(argv[argc - 1], "refused") == 0)
        refused();
    printf("results %016llx\n", (unsigned long long)hash);
    return 0;
}
