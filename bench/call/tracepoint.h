/* The LTTng-UST tracepoints that the peer variant of call_loop.c hits: one before, one after each call. */
#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER tvg_bench
#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "bench/call/tracepoint.h"
#if !defined(TVG_BENCH_TRACEPOINT_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define TVG_BENCH_TRACEPOINT_H
#include <lttng/tracepoint.h>
LTTNG_UST_TRACEPOINT_EVENT(tvg_bench, call,
    LTTNG_UST_TP_ARGS(int, m, int, n, int, k, const float *, a, const float *, b, float *, c),
    LTTNG_UST_TP_FIELDS(lttng_ust_field_integer(int, m, m) lttng_ust_field_integer(int, n, n) lttng_ust_field_integer(int, k, k)
                        lttng_ust_field_integer_hex(unsigned long, a, (unsigned long)a) lttng_ust_field_integer_hex(unsigned long, b, (unsigned long)b)
                        lttng_ust_field_integer_hex(unsigned long, c, (unsigned long)c)))
#endif
#include <lttng/tracepoint-event.h>
