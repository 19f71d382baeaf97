/* A library whose constructor waits for a thread that calls BLAS: the loader's lock is held meanwhile. */
#include <pthread.h>

#include <cblas.h>

static void *work(void *unused)
{
    float a[256] = {1}, c[256];
    for (int i = 0; i < 100; i++) cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, 16, 16, 16, 1, a, 16, a, 16, 0, c, 16);
    return unused;
}

__attribute__((constructor)) static void begin(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, work, NULL);
    pthread_join(thread, NULL);
}
