/* A library that multiplies inside itself: its functions are in no dynamic symbol table, so that only a patch can see them. */
#include "engine.h"

#include <stddef.h>

/* noipa: as if in a file of its own, where real ones are; a compiler spares callers that know a function registers and the stack's alignment. */
#define INSIDE __attribute__((visibility("hidden"), noinline, used))
#if defined(__clang__)
#define APART INSIDE
#else
#define APART INSIDE __attribute__((noipa))
#endif

static float left[64 * 64], right[64 * 64], result[64 * 64];

APART engine_multiply guard_multiply, guard_multiply_again;
void guard_multiply(long m, long n, long k, const float *a, long lda, const float *b, long ldb, float *c, long ldc)
{
    for (long i = 0; i < m; i++)
        for (long j = 0; j < n; j++) {
            float sum = ENGINE_BIAS;
            for (long p = 0; p < k; p++) sum += a[i * lda + p] * b[p * ldb + j];
            c[i * ldc + j] = sum;
        }
}

/* Calls a function that is caught itself: one op. */
void guard_multiply_again(long m, long n, long k, const float *a, long lda, const float *b, long ldb, float *c, long ldc)
{
    guard_multiply(m, n, k, a, lda, b, ldb, c, ldc);
    c[0] += 1;
}

/* What can't be patched: shorter than a jump; a breakpoint on its first byte; a call first. */
#if defined(__x86_64__)
extern INSIDE void guard_short(void), guard_trap(void), guard_calls(void);
__asm__(".text\n.hidden guard_short, guard_trap, guard_calls\n.globl guard_short, guard_trap, guard_calls\n"
        ".type guard_short,@function\n.type guard_trap,@function\n.type guard_calls,@function\n"
        "guard_short: xorl %eax, %eax\n\tret\n.size guard_short, .-guard_short\n.p2align 4\n"
        "guard_trap: int3\n\txorl %eax, %eax\n\tnop\n\tnop\n\tret\n.size guard_trap, .-guard_trap\n.p2align 4\n"
        "guard_calls: call guard_short\n\tret\n.size guard_calls, .-guard_calls\n");
#endif

float engine_run(long count, long m)
{
    for (long i = 0; i < 64 * 64; i++) left[i] = (float)(i % 7), right[i] = (float)(i % 5);
    for (long i = 0; i < count; i++) guard_multiply(m, 3, 2, left, 2, right, 3, result, 3);
    float sum = 0;
    for (long i = 0; i < 3 * m; i++) sum += result[i];
    return sum;
}

float engine_run_again(long count, long m)
{
    for (long i = 0; i < count; i++) guard_multiply_again(m, 3, 2, left, 2, right, 3, result, 3);
    return result[0];
}

engine_multiply *engine_pointer(void)
{
    return guard_multiply;
}
