/* SYNC blocks: every column survives, damage is refused; and waits and events are tied to what ran, as a search through everything ties them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analyzer/sync_points.h"
#include "trace/block.h"

static struct tvg_sync rows[TVG_SYNC_MAX], back[TVG_SYNC_MAX];
static uint8_t block[TVG_SYNC_ENCODED_MAX(TVG_SYNC_MAX)], scratch[TVG_SYNC_SCRATCH(TVG_SYNC_MAX)];

static uint64_t state = 1;
static uint64_t next(uint64_t below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 20) % below;
}

/* Of two streams on each of two devices, three threads; starts all differ. */
static void fill(size_t count)
{
    uint64_t at = 1000000000, serial = 0;
    for (size_t i = 0; i < count; i++) {
        at += 1 + next(20000);
        uint32_t kind = 1 + (uint32_t)next(TVG_SYNC_KINDS - 1);
        bool placed = kind == TVG_SYNC_STREAM || kind == TVG_SYNC_RECORD || kind == TVG_SYNC_STREAM_WAIT || kind == TVG_SYNC_GRAPH_LAUNCH;
        rows[i] = (struct tvg_sync){.start_ns = at, .duration_ns = next(100000), .kind = kind, .tid = (uint32_t)next(3) + 500, .device = next(9) ? (uint32_t)next(2) : TVG_SYNC_UNKNOWN,
                                    .stream = placed ? (uint32_t)next(2) + 7 : TVG_SYNC_UNKNOWN};
        if (kind == TVG_SYNC_RECORD)
            rows[i].event = ++serial;
        else if (kind == TVG_SYNC_EVENT || kind == TVG_SYNC_STREAM_WAIT)
            rows[i].event = serial ? next(serial + 1) : 0;
    }
}

static void every_column_survives(void **unused)
{
    (void)unused;
    for (size_t count = 0; count <= TVG_SYNC_MAX; count = count * 3 + 1) {
        fill(count);
        size_t length = tvg_encode_sync(block, sizeof block, rows, count, scratch);
        assert_true(length > sizeof(struct tvg_block_header));
        const struct tvg_block_header *header = (const struct tvg_block_header *)block;
        assert_int_equal(tvg_block_header_check(header), 0);
        assert_int_equal(header->kind, TVG_BLOCK_SYNC);
        memset(back, 0xaa, sizeof back);
        assert_int_equal(tvg_decode_sync(block + sizeof *header, header->length, back, scratch, sizeof scratch), (long)count);
        assert_memory_equal(back, rows, count * sizeof *rows);
    }
}

static void damage_is_refused_or_harmless(void **unused)
{
    (void)unused;
    fill(500);
    size_t length = tvg_encode_sync(block, sizeof block, rows, 500, scratch) - sizeof(struct tvg_block_header);
    uint8_t *payload = block + sizeof(struct tvg_block_header), *copy = malloc(length);
    uint32_t refused = 0;
    for (int i = 0; i < 20000; i++) {
        memcpy(copy, payload, length);
        for (uint64_t k = 0; k <= next(3); k++)
            copy[next(length)] ^= (uint8_t)(1 + next(255));
        long count = tvg_decode_sync(copy, next(4) ? length : next(length), back, scratch, sizeof scratch);
        assert_true(count >= -1 && count <= TVG_SYNC_MAX);
        refused += count < 0;
    }
    assert_true(refused > 1000);
    free(copy);
    for (unsigned kind = 0; kind < TVG_SYNC_KINDS + 3; kind++)
        assert_non_null(tvg_sync_name(kind));
}

enum { CALLS = 400, ACTIVITIES = 1500 };
static struct tvg_sync_activity ran[ACTIVITIES];

static void run_some(void)
{
    uint64_t free_at[2][2] = {{0}}, at = 1000000000;
    for (int i = 0; i < ACTIVITIES; i++) {
        at += 1 + next(5000);
        uint32_t device = (uint32_t)next(2), stream = (uint32_t)next(2);
        uint64_t start = at + 7000 > free_at[device][stream] ? at + 7000 : free_at[device][stream];
        ran[i] = (struct tvg_sync_activity){.launch_ns = at, .start_ns = start, .end_ns = start + 1 + next(15000), .device = device, .stream = 7 + stream, .tid = (uint32_t)next(3) + 500, .row = (uint32_t)i};
        free_at[device][stream] = ran[i].end_ns + 1;
    }
}

static void take_later(const struct tvg_sync_activity **last, const struct tvg_sync_activity *activity)
{
    if (!*last || activity->end_ns > (*last)->end_ns)
        *last = activity;
}

/* What a call should be tied to, by looking at everything. */
/* In whose order a row is: its own stream's, or that in which its graph was launched. */
static bool in_order_of(const struct tvg_sync_activity *activity, const struct tvg_sync *call)
{
    uint32_t device = activity->device, stream = activity->stream;
    for (int i = 0; i < CALLS; i++)
        if (rows[i].kind == TVG_SYNC_GRAPH_LAUNCH && rows[i].device != TVG_SYNC_UNKNOWN && rows[i].tid == activity->tid && rows[i].start_ns == activity->launch_ns) {
            device = rows[i].device;
            stream = rows[i].stream;
        }
    return device == call->device && stream == call->stream;
}

static const struct tvg_sync_activity *expected_last(const struct tvg_sync *call)
{
    const struct tvg_sync_activity *last = NULL;
    if (call->kind == TVG_SYNC_EVENT || call->kind == TVG_SYNC_STREAM_WAIT) {
        for (int i = 0; i < CALLS && call->event; i++)
            if (rows[i].kind == TVG_SYNC_RECORD && rows[i].event == call->event)
                return expected_last(&rows[i]);
        return NULL;
    }
    for (int i = 0; i < ACTIVITIES; i++) {
        bool before = ran[i].launch_ns <= call->start_ns, here = ran[i].device == call->device;
        bool one = call->kind == TVG_SYNC_COPY ? ran[i].launch_ns == call->start_ns && ran[i].tid == call->tid
                   : call->kind == TVG_SYNC_CONTEXT || call->kind == TVG_SYNC_FREE ? before && here : call->kind != TVG_SYNC_GRAPH_LAUNCH && before && in_order_of(&ran[i], call);
        if (one)
            take_later(&last, &ran[i]);
    }
    return last;
}

static const struct tvg_sync_activity *expected_next(const struct tvg_sync *call)
{
    const struct tvg_sync_activity *first = NULL;
    for (int i = 0; i < ACTIVITIES && call->kind == TVG_SYNC_STREAM_WAIT; i++)
        if (ran[i].launch_ns >= call->start_ns && in_order_of(&ran[i], call) && (!first || ran[i].start_ns < first->start_ns))
            first = &ran[i];
    return first;
}

static void calls_are_tied_to_what_ran(void **unused)
{
    (void)unused;
    for (int round = 0; round < 5; round++) {
        fill(CALLS);
        run_some();
        for (int i = 0; i < CALLS; i += 3) /* copies and graphs are calls that launch */
            if (rows[i].kind == TVG_SYNC_COPY || rows[i].kind == TVG_SYNC_GRAPH_LAUNCH) {
                rows[i].start_ns = ran[i].launch_ns;
                rows[i].tid = ran[i].tid;
            }
        struct tvg_sync_points *points = tvg_sync_points_new();
        assert_true(tvg_sync_points_add(points, rows, 100) && tvg_sync_points_add(points, rows + 100, CALLS - 100));
        assert_true(tvg_sync_points_ready(points));
        for (int i = 0; i < ACTIVITIES; i++) /* in another order than they ran */
            tvg_sync_points_activity(points, &ran[(i * 7) % ACTIVITIES]);
        uint32_t count, tied = 0, ordered = 0, waited = 0;
        const struct tvg_sync_point *found = tvg_sync_points_finish(points, &count);
        assert_int_equal(count, CALLS);
        for (uint32_t i = 0; i < count; i++) {
            const struct tvg_sync_activity *last = expected_last(&rows[i]), *behind = expected_next(&rows[i]);
            assert_memory_equal(&found[i].call, &rows[i], sizeof rows[i]);
            assert_true((found[i].last.end_ns != 0) == (last != NULL));
            if (last)
                assert_true(found[i].last.end_ns == last->end_ns);
            if (rows[i].kind == TVG_SYNC_STREAM_WAIT && behind)
                assert_int_equal(found[i].next.row, behind->row);
            tied += last != NULL;
            ordered += tvg_sync_point_orders(&found[i]);
            waited += tvg_sync_point_waited(&found[i]);
            if (tvg_sync_point_waited(&found[i]))
                assert_true(last->end_ns > rows[i].start_ns && rows[i].kind != TVG_SYNC_RECORD && rows[i].kind != TVG_SYNC_STREAM_WAIT && rows[i].kind != TVG_SYNC_GRAPH_LAUNCH);
        }
        assert_true(tied > CALLS / 3 && ordered > 3 && waited > 3);
        tvg_sync_points_free(points);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_column_survives), cmocka_unit_test(damage_is_refused_or_harmless), cmocka_unit_test(calls_are_tied_to_what_ran)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
