/* The recorder under ThreadSanitizer: the hot path, full rings, new ops, handed-on rings, and the final flush while threads still record. Linked
 * statically with the recorder's sources and the stand-in hooks; `tsan` prints how many ops are in its trace. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "fake_blas.h"
#include "shim/record/state.h"

static int stop;
static unsigned long total;
static float room[16];

static void gemm(int m, int k)
{
    cblas_sgemm(101, 111, 111, m, 2, k, 1, room, k, room, 2, 0, room, 2);
}
static void *calls(void *number)
{
    for (int i = 0; i < 20000; i++) gemm((int)(intptr_t)number, 3 + i / 500);
    __atomic_add_fetch(&total, 20000, __ATOMIC_RELAXED);
    return NULL;
}
static void *calls_until_stop(void *unused)
{
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) gemm(9, 3);
    return unused;
}

int main(int argc, char **argv)
{
    pthread_t threads[4], endless;
    tvg_load(argc, argv, NULL);
    tvg_rings_load();
    for (int round = 0; round < 3; round++) {
        for (intptr_t i = 0; i < 4; i++) pthread_create(&threads[i], NULL, calls, (void *)(i + 1));
        tvg_note("late", "test", "from another thread");
        tvg_tokens(3);
        tvg_pause();
        tvg_resume();
        for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
        if (round == 1) tvg_forget_range((void *)1, (void *)UINTPTR_MAX); /* as when libraries unload */
    }
    pthread_create(&endless, NULL, calls_until_stop, NULL);
    usleep(100000);
    printf("{\"made\": %lu}\n", total);
    fflush(stdout);
    tvg_process_end(); /* and its handler runs at exit, while that thread goes on */
    return 0;
}
