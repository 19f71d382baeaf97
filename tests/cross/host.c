/* Calls the BLAS beside it by symbol, by dlsym() and dlvsym(), and functions that bear a name of BLAS without being one. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>

typedef void gemm(const char *, const char *, const int *, const int *, const int *, const double *, const double *, const int *, const double *, const int *,
                  const double *, double *, const int *);
extern gemm dgemm_;
void cblas_dgemm(int, int, int, int, int, int, double, const double *, int, const double *, int, double, double *, int);
extern int cross_calls;

/* Two names that a BLAS has too: one of ours, looked up; and one of the library beside us, which has no sgemm_. */
double dgemm(double x);
double dgemm(double x) { return x * 2; }
double sgemm(long, double, long, double, void *);

int main(void)
{
    double a[64] = {2}, b[64] = {3}, c[64] = {4};
    int m = 3, n = 4, k = 5;
    double alpha = 1.5, beta = 0.5;
    dgemm_("N", "N", &m, &n, &k, &alpha, a, &m, b, &k, &beta, c, &m);
    m = 2;
    cblas_dgemm(102, 111, 111, m, n, k, alpha, a, m, b, k, beta, c, m);
    void *library = dlopen("libcrossblas.so", RTLD_NOW);
    gemm *found = (gemm *)dlsym(library, "dgemm_");
    if (!found)
        return 1;
    m = 7;
    found("N", "N", &m, &n, &k, &alpha, a, &m, b, &k, &beta, c, &m);
    if (dlsym(library, "nowhere_to_be_found") || dlerror() == NULL || dlvsym(library, "dgemm_", "NO_SUCH_VERSION") || dlerror() == NULL)
        return 2;
    double (*own)(double) = (double (*)(double))dlsym(RTLD_DEFAULT, "dgemm");
    printf("own %g, the library's %g\n", own ? own(21) : -1, sgemm(1, 2, 3, 4, c));
    dlclose(library);
    printf("calls %d, c %g\n", cross_calls, c[0]);
    return 0;
}
