/* Calls one sgemm of the shape given as often as given, and says which core type OpenBLAS took. */
#include <stdio.h>
#include <stdlib.h>
extern void cblas_sgemm(int, int, int, int, int, int, float, const float *, int, const float *, int, float, float *, int);
extern char *openblas_get_corename(void);
int main(int argc, char **argv)
{
    int m = atoi(argv[1]), n = atoi(argv[2]), k = atoi(argv[3]), calls = atoi(argv[4]);
    float *a = malloc(sizeof *a * m * k), *b = malloc(sizeof *b * k * n), *c = malloc(sizeof *c * m * n);
    for (long i = 0; i < (long)m * k; i++) a[i] = i % 7;
    for (long i = 0; i < (long)k * n; i++) b[i] = i % 5;
    for (int i = 0; i < calls; i++)
        cblas_sgemm(101, 111, 111, m, n, k, 1, a, k, b, n, 0, c, n);
    puts(openblas_get_corename());
    return argc < 5;
}
