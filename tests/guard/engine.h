/* What tests/guard/engine.c exports. */
#ifndef ENGINE_H
#define ENGINE_H
#ifndef ENGINE_BIAS
#define ENGINE_BIAS 0
#endif
typedef void engine_multiply(long m, long n, long k, const float *a, long lda, const float *b, long ldb, float *c, long ldc);
float engine_run(long count, long m);       /* multiplies `count` times, m x 3 x 2; the sum of the last product */
float engine_run_again(long count, long m); /* by a function that calls the other one */
engine_multiply *engine_pointer(void);      /* for callers outside */
#endif
