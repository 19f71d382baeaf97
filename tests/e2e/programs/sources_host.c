/* Calls sgemm from two named functions, in threads or children, for the tests of the sources.
 * Arguments: calls, threads (0: none but main), "fork" to do the same in a child first, milliseconds to sleep between two calls. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cblas.h>

enum { N = 48 };
static int calls, pause_ms;

__attribute__((noinline)) void multiply_here(float *a, float *c)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, N, N, N, 1, a, N, a, N, 0, c, N);
    __asm__ volatile("" ::: "memory");
}

__attribute__((noinline)) void multiply_there(float *a, float *c)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, N, N, N / 2, 1, a, N, a, N, 0, c, N);
    __asm__ volatile("" ::: "memory");
}

static void *work(void *unused)
{
    float a[N * N], c[N * N];
    (void)unused;
    for (int i = 0; i < N * N; i++) a[i] = (float)(i % 5);
    for (int i = 0; i < calls; i++) {
        multiply_here(a, c);
        multiply_there(a, c);
        if (pause_ms) usleep((unsigned)pause_ms * 1000);
    }
    return NULL;
}

static void everything(int threads)
{
    pthread_t thread[16];
    for (int i = 0; i < threads; i++) pthread_create(&thread[i], NULL, work, NULL);
    if (!threads) work(NULL);
    for (int i = 0; i < threads; i++) pthread_join(thread[i], NULL);
}

int main(int argc, char **argv)
{
    calls = argc > 1 ? atoi(argv[1]) : 10;
    int threads = argc > 2 ? atoi(argv[2]) : 0, status = 0;
    pause_ms = argc > 4 ? atoi(argv[4]) : 0;
    everything(threads);
    if (argc > 3 && strcmp(argv[3], "fork") == 0) {
        pid_t child = fork();
        if (child == 0) {
            everything(threads);
            exit(0);
        }
        waitpid(child, &status, 0);
    }
    puts("done");
    return status != 0;
}
