/* Opens the library named by its argument, whose constructor waits for a thread that calls BLAS; BLAS was in use before when a second argument is given. */
#include <dlfcn.h>
#include <stdio.h>

#include <cblas.h>

int main(int argc, char **argv)
{
    float a[256] = {1}, c[256];
    if (argc > 2) cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, 16, 16, 16, 1, a, 16, a, 16, 0, c, 16);
    if (!dlopen(argv[1], RTLD_NOW)) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    puts("done");
    return argc < 2;
}
