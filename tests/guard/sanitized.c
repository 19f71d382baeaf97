/* For test_sanitizers.py: products by two threads; with an argument, the mistake that the sanitizer is there to find. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_blas.h"

enum { CALLS = 50 };
static int shared;
static float *operand;

static void *multiply(void *mistake)
{
    for (int i = 0; i < CALLS; i++) cblas_sgemm(101, 111, 111, 2, 2, 2, 1, operand, 2, operand + 4, 2, 0, operand + 8, 2);
    if (mistake) shared++;
    return NULL;
}

int main(int argc, char **argv)
{
    (void)argv;
    pthread_t thread[2];
    operand = malloc(16 * sizeof *operand);
    memset(operand, 0, 16 * sizeof *operand);
    for (int i = 0; i < 2; i++) pthread_create(&thread[i], NULL, multiply, argc > 1 ? operand : NULL);
    for (int i = 0; i < 2; i++) pthread_join(thread[i], NULL);
    if (argc > 1) {
        volatile int bits = 31 + argc, behind = 16;
        int *unset = malloc(sizeof *unset);
        if (*unset > 1 << bits % 64) shared += 2; /* undefined shift; memory never written */
        operand[behind] = 1;                      /* behind the end */
        free(unset);
    }
    free(operand);
    printf("done %d\n", shared > 0);
    return 0;
}
