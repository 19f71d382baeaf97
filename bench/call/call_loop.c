/* Calls cblas_sgemm in a loop over a dozen shapes and prints one JSON line: the fastest round's ns a call, the fastest round's ns of the
 * floor (two time-stamp reads and one 32-byte store), and of a pass that times each call by itself, the longest call of every round
 * in stretches that were not preempted.
 * Run bare or under a tool; the library behind cblas_sgemm is empty. Usage: call_loop ROUNDS CALLS_A_ROUND [floor|pause]... */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

void cblas_sgemm(int order, int transa, int transb, int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb, float beta, float *c,
                 int ldc);
#ifdef WITH_TRACEPOINT /* the LTTng-UST peer: one tracepoint with the same operands beside each call */
#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE
#include "tracepoint.h"
#define TRACEPOINT(m, n, k, a, b, c) lttng_ust_tracepoint(tvg_bench, call, m, n, k, a, b, c)
#else
#define TRACEPOINT(m, n, k, a, b, c)
#endif

static const struct { int m, n, k; } shapes[] = {{384, 128, 384}, {128, 384, 384}, {384, 384, 128}, {1536, 128, 384}, {384, 128, 1536}, {64, 64, 64},
                                                 {32, 128, 128}, {128, 32, 128}, {12, 128, 128}, {1, 384, 384}, {1, 1536, 384}, {1, 384, 1536}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static uint64_t ticks(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t now;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(now));
    return now;
#endif
}

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static float room[3][64];

static void call(unsigned i)
{
    unsigned s = i % SHAPES;
    const float *a = room[0] + s, *b = room[1] + s;
    float *c = room[2] + s;
    TRACEPOINT(shapes[s].m, shapes[s].n, shapes[s].k, a, b, c);
    cblas_sgemm(101, 111, 111, shapes[s].m, shapes[s].n, shapes[s].k, 1.0f, a, shapes[s].k, b, shapes[s].n, 0.0f, c, shapes[s].n);
}

static double floor_round(unsigned calls)
{
    static uint64_t store[4 * 2048] __attribute__((aligned(64)));
    double begin = now_ns();
    for (unsigned i = 0; i < calls; i++) {
        uint64_t *slot = store + 4 * (i % 2048);
        uint64_t first = ticks(), second = ticks();
        slot[0] = first;
        slot[1] = second - first;
        slot[2] = i;
        slot[3] = (uint64_t)(uintptr_t)slot;
        __asm__ volatile("" ::: "memory");
    }
    return (now_ns() - begin) / calls;
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 5, calls = argc > 2 ? (unsigned)atoi(argv[2]) : 240000;
    double fastest = 1e30, floor_ns = 1e30;
    call(0);
    for (unsigned r = 0; r < rounds; r++) {
        double begin = now_ns();
        for (unsigned i = 0; i < calls; i++) call(i);
        double each = (now_ns() - begin) / calls;
        if (each < fastest) fastest = each;
        if (argc > 3 && strcmp(argv[3], "floor") == 0) {
            each = floor_round(calls);
            if (each < floor_ns) floor_ns = each;
        }
    }
    printf("{\"ns\": %.3f, \"calls\": %u", fastest, rounds * calls + 1);
    if (floor_ns < 1e30) printf(", \"floor_ns\": %.3f", floor_ns);
    if (argc > 3 && strcmp(argv[3], "pause") == 0) {
        /* A pause is ours only where the scheduler left us alone: stretches of two blocks in which it did not are dropped, and counted. */
        unsigned kept = 0, stretches = 0;
        printf(", \"longest_ns\": [");
        for (unsigned r = 0; r < rounds; r++) {
            uint64_t longest = 0, first = ticks();
            double begin = now_ns();
            for (unsigned i = 0; i < calls; i += 8192) {
                struct rusage before, after;
                uint64_t here = 0;
                getrusage(RUSAGE_THREAD, &before);
                for (unsigned j = 0; j < 8192; j++) {
                    uint64_t start = ticks();
                    call(j);
                    uint64_t took = ticks() - start;
                    if (took > here) here = took;
                }
                getrusage(RUSAGE_THREAD, &after);
                stretches++;
                if (after.ru_nivcsw != before.ru_nivcsw || after.ru_nvcsw != before.ru_nvcsw) continue;
                kept++;
                if (here > longest) longest = here;
            }
            printf("%s%.0f", r ? ", " : "", (double)longest * (now_ns() - begin) / (double)(ticks() - first));
        }
        printf("], \"kept\": %.3f, \"pause_calls\": %u", (double)kept / stretches, rounds * ((calls + 8191) / 8192 * 8192));
    }
    printf("}\n");
    return 0;
}
