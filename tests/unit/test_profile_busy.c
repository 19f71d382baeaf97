/* The union of op time over threads, against sorting all intervals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analyzer/profile_build.h"

enum { BLOCK = 4096 };

struct span {
    uint64_t start, end;
};

static uint64_t seed = 88172645463325252u;
static uint64_t chance(uint64_t below)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return seed % below;
}

static int by_start(const void *left, const void *right)
{
    const struct span *a = left, *b = right;
    return (a->start > b->start) - (a->start < b->start);
}

static double union_of(struct span *spans, size_t count)
{
    qsort(spans, count, sizeof *spans, by_start);
    double total = 0;
    uint64_t reached = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t from = spans[i].start > reached ? spans[i].start : reached;
        if (spans[i].end > from)
            total += (double)(spans[i].end - from);
        if (spans[i].end > reached)
            reached = spans[i].end;
    }
    return total;
}

/* Threads with ops of `length` and gaps of `gap` ticks on average, each until `until`; a thread's block arrives when it is full. */
struct thread {
    uint64_t length, gap, now;
    uint64_t start[BLOCK], duration[BLOCK];
    uint8_t first[BLOCK];
    uint32_t count;
};

static void hand_over(struct tvg_busy *busy, struct thread *thread, uint32_t lane, struct span *all, size_t *count)
{
    struct tvg_batch batch = {.count = thread->count, .start = thread->start, .duration = thread->duration, .first = thread->first};
    assert_true(tvg_busy_add(busy, lane, &batch));
    for (uint32_t i = 0; i < thread->count; i++)
        all[(*count)++] = (struct span){thread->start[i], thread->start[i] + thread->duration[i]};
    thread->count = 0;
}

static void check(struct thread *thread, uint32_t threads, uint64_t until, double tolerance)
{
    static struct span all[4000000];
    size_t count = 0;
    struct tvg_busy *busy = tvg_busy_new(UINT64_MAX);
    for (;;) { /* the thread that is furthest behind goes on */
        uint32_t next = 0;
        for (uint32_t t = 1; t < threads; t++)
            if (thread[t].now < thread[next].now)
                next = t;
        struct thread *it = &thread[next];
        if (it->now >= until)
            break;
        uint64_t start = it->now + chance(2 * it->gap + 1), duration = 1 + chance(2 * it->length);
        it->start[it->count] = start;
        it->duration[it->count] = duration;
        it->now = start + duration;
        if (++it->count == BLOCK)
            hand_over(busy, it, next, all, &count);
        assert_true(count < 3900000);
    }
    for (uint32_t t = 0; t < threads; t++)
        hand_over(busy, &thread[t], t, all, &count);
    struct tvg_busy_result result = {0};
    tvg_busy_finish(busy, &result);
    double got = result.busy[TVG_BUSY_LOAD] + result.busy[TVG_BUSY_FIRST] + result.busy[TVG_BUSY_STEADY], want = union_of(all, count);
    double gaps = result.gap[TVG_BUSY_LOAD] + result.gap[TVG_BUSY_FIRST] + result.gap[TVG_BUSY_STEADY];
    double off = got > want ? got - want : want - got;
    print_message("%zu intervals of %u threads: off by %.5f %%, stated %.5f %%\n", count, threads, 100 * off / want, 100 * result.error_ticks / want);
    assert_true(off <= tolerance * want);
    assert_true(off <= result.error_ticks + 1e-9 * want);
    if (tolerance == 0) {
        assert_int_equal(result.first_start, all[0].start);
        assert_true(got + gaps == (double)(result.last_end - result.first_start));
    }
    for (uint32_t t = 0; t < threads; t++)
        thread[t].count = 0;
}

static struct thread thread[64];

static void short_runs_are_exact(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        memset(thread, 0, sizeof thread);
        for (int t = 0; t < 5; t++) {
            thread[t].length = 1 + chance(5000);
            thread[t].gap = chance(5000);
        }
        check(thread, 1 + (uint32_t)chance(5), 20000000, 0);
    }
}

static void one_thread_is_exact_however_long(void **state)
{
    (void)state;
    memset(thread, 0, sizeof thread);
    thread[0].length = 3000, thread[0].gap = 2000;
    check(thread, 1, 10000000000, 0);
}

static void equal_threads_are_exact_however_long(void **state)
{
    (void)state;
    memset(thread, 0, sizeof thread);
    for (int t = 0; t < 16; t++)
        thread[t].length = 30000, thread[t].gap = 60000;
    check(thread, 16, 15000000000, 0);
}

/* A block of the slow thread spans several times what may wait. */
static void a_slow_thread_is_within_a_thousandth(void **state)
{
    (void)state;
    memset(thread, 0, sizeof thread);
    for (int t = 0; t < 4; t++)
        thread[t].length = 3000, thread[t].gap = 4000;
    thread[4].length = 200000, thread[4].gap = 4000000;
    check(thread, 5, 6000000000, 1e-3);
    memset(thread, 0, sizeof thread);
    thread[0].length = 1000, thread[0].gap = 1500;
    thread[1].length = 500, thread[1].gap = 1000000; /* shorter than a bucket of the histogram */
    check(thread, 2, 9000000000, 1e-3);
}

/* Ops of no duration move the frontier far beyond the histogram; then one comes that lies before it. */
static void a_late_op_far_out_is_counted(void **state)
{
    (void)state;
    enum { FAR_BLOCKS = 200 };
    static uint64_t start[BLOCK], duration[BLOCK];
    static uint8_t first[BLOCK];
    const uint64_t far = (uint64_t)1 << 50;
    struct tvg_batch batch = {.count = BLOCK, .start = start, .duration = duration, .first = first};
    struct tvg_busy *busy = tvg_busy_new(UINT64_MAX);
    for (uint64_t block = 0; block < FAR_BLOCKS; block++) {
        for (uint64_t i = 0; i < BLOCK; i++)
            start[i] = far + block * BLOCK + i;
        if (block == 0)
            start[0] = 1, duration[0] = 10;
        else
            duration[0] = 0;
        assert_true(tvg_busy_add(busy, 0, &batch));
    }
    start[0] = far / 2, duration[0] = 5;
    batch.count = 1;
    assert_true(tvg_busy_add(busy, 1, &batch));
    struct tvg_busy_result result = {0};
    tvg_busy_finish(busy, &result);
    double got = result.busy[TVG_BUSY_LOAD] + result.busy[TVG_BUSY_FIRST] + result.busy[TVG_BUSY_STEADY];
    assert_true(got > 14.9 && got < 15.1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_runs_are_exact),
        cmocka_unit_test(one_thread_is_exact_however_long),
        cmocka_unit_test(equal_threads_are_exact_however_long),
        cmocka_unit_test(a_slow_thread_is_within_a_thousandth),
        cmocka_unit_test(a_late_op_far_out_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
