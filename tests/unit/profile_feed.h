/* Feeds made-up ops to the aggregator, without files: a dictionary, a thread's clock, blocks of at most BLOCK ops. */
#ifndef PROFILE_FEED_H
#define PROFILE_FEED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analyzer/profile_build.h"

enum { FEED_OPS = 8192, FEED_BLOCK = 4096, FEED_THREADS = 8 };

struct feed {
    struct tvg_build *build;
    struct tvg_process *process;
    struct tvg_op op[FEED_OPS];
    uint32_t op_count;
    struct tvg_trace_header header;
    struct feed_thread {
        struct tvg_ops_columns columns;
        uint32_t count;
        uint64_t now, cpu_ns; /* ns; a tick is a ns */
        uint64_t sequence;
    } *thread[FEED_THREADS];
};

static const struct tvg_op *feed_lookup(const void *context, uint32_t id)
{
    const struct feed *feed = context;
    return id < feed->op_count ? &feed->op[id] : &feed->op[0];
}

static inline void feed_process(struct feed *feed, uint32_t pid, uint64_t start_ns)
{
    feed->header = (struct tvg_trace_header){.version = 1, .pid = pid, .ticks_per_ns = 1, .process_start_mono_ns = start_ns,
                                             .anchor = {start_ns + 1000, start_ns + 1000, start_ns + 5000000}};
    snprintf(feed->header.command, sizeof feed->header.command, "python infer.py");
    feed->process = tvg_build_process(feed->build, &feed->header, feed_lookup, feed);
    assert_non_null(feed->process);
    for (int t = 0; t < FEED_THREADS; t++) {
        if (!feed->thread[t])
            feed->thread[t] = malloc(sizeof *feed->thread[t]);
        feed->thread[t]->count = 0;
        feed->thread[t]->sequence = 0;
        feed->thread[t]->now = start_ns + 1000000;
        feed->thread[t]->cpu_ns = 0;
    }
}

static inline struct feed *feed_new(const struct tvg_profile_options *options)
{
    struct feed *feed = calloc(1, sizeof *feed);
    feed->build = tvg_build_new(options);
    assert_non_null(feed->build);
    feed_process(feed, 100, 1000000000);
    return feed;
}

static inline void feed_flush(struct feed *feed, uint32_t t)
{
    struct feed_thread *thread = feed->thread[t];
    if (!thread->count)
        return;
    uint64_t cpu = 0;
    for (int i = 0; i < FEED_THREADS; i++)
        cpu += feed->thread[i]->cpu_ns;
    struct tvg_ops_info info = {.ring = t, .tid = feed->header.pid + t, .first_sequence = thread->sequence, .count = thread->count,
                                .slots = thread->count, .anchor = {thread->now, thread->now, thread->now + 4000000}, .cpu_process_ns = cpu,
                                .cpu_thread_ns = thread->cpu_ns, .encode_ticks = 1000};
    struct tvg_event event = {.kind = TVG_EVENT_OPS, .block = TVG_BLOCK_OPS, .info = &info, .columns = &thread->columns};
    tvg_build_event(feed->process, &event);
    thread->sequence += thread->count;
    thread->count = 0;
}

/* The thread computes for `ns`. */
static inline void feed_host(struct feed *feed, uint32_t t, uint64_t ns)
{
    feed->thread[t]->now += ns;
    feed->thread[t]->cpu_ns += ns;
}

/* The thread sleeps for `ns`. */
static inline void feed_sleep(struct feed *feed, uint32_t t, uint64_t ns)
{
    feed->thread[t]->now += ns;
}

static inline void feed_op(struct feed *feed, uint32_t t, uint32_t id, uint64_t a, uint64_t b, uint64_t c, uint64_t ns)
{
    struct feed_thread *thread = feed->thread[t];
    uint32_t row = thread->count++;
    thread->columns.start[row] = thread->now;
    thread->columns.duration[row] = ns;
    thread->columns.op_id[row] = id;
    thread->columns.a[row] = a;
    thread->columns.b[row] = b;
    thread->columns.c[row] = c;
    feed_host(feed, t, ns);
    if (thread->count == FEED_BLOCK)
        feed_flush(feed, t);
}

/* The id of a product; the same product has the same id. */
static inline uint32_t feed_dictionary(struct feed *feed, const char *function, enum tvg_kind kind, int64_t m, int64_t n, int64_t k, uint32_t flags)
{
    for (uint32_t i = 0; i < feed->op_count; i++)
        if (feed->op[i].m == m && feed->op[i].n == n && feed->op[i].k == k && feed->op[i].flags == flags && strcmp(feed->op[i].function, function) == 0)
            return i;
    assert_true(feed->op_count < FEED_OPS);
    struct tvg_op *op = &feed->op[feed->op_count];
    *op = (struct tvg_op){.library = "libopenblas.so.0", .function = function, .kind = (uint16_t)kind, .net = TVG_NET_SYMBOL, .type_a = TVG_TYPE_F32,
                          .type_b = TVG_TYPE_F32, .type_c = TVG_TYPE_F32, .type_compute = TVG_TYPE_F32, .device = -1, .m = m, .n = n, .k = k,
                          .flags = flags, .threads = 1};
    if (kind == TVG_KIND_GEMM) {
        bool row_major = flags & TVG_OP_ROW_MAJOR;
        op->lda = row_major ? k : m;
        op->ldb = row_major ? n : k;
        op->ldc = row_major ? n : m;
    } else {
        op->lda = m;
    }
    tvg_op_count(op);
    return feed->op_count++;
}

static inline void feed_gemm(struct feed *feed, uint32_t t, int64_t m, int64_t n, int64_t k, uint64_t a, uint64_t b, uint64_t c)
{
    feed_op(feed, t, feed_dictionary(feed, "cblas_sgemm", TVG_KIND_GEMM, m, n, k, TVG_OP_ROW_MAJOR | TVG_OP_BETA_ZERO), a, b, c, 1000 + (uint64_t)(m * n * k) / 1000);
}

static inline struct tvg_profile *feed_finish(struct feed *feed)
{
    struct tvg_error error;
    for (uint32_t t = 0; t < FEED_THREADS; t++)
        feed_flush(feed, t);
    struct tvg_profile *profile = tvg_build_finish(feed->build, "feed", &error);
    for (int t = 0; t < FEED_THREADS; t++)
        free(feed->thread[t]);
    free(feed);
    assert_non_null(profile);
    return profile;
}

#endif
