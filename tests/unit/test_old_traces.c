/* The promise of FORMAT.md: every old trace still opens. tests/fixtures/v1.tvg was written by an early recorder's encoder (gap and duration
 * columns zigzag-coded) and never changes; the figures below are worked out from what it was made of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "analyzer/profile.h"

static const char fixture[] = "tests/fixtures/v1.tvg";

/* Two threads with 100 products each. Number i of thread t: starts 16000 i + 1600 t ticks after tick 10^12, takes 16 (100 + i) ticks, has op id
 * i mod 8, m = 8 + id, n = k = 384, and addresses that go round in 5, 7 and 11 places. */
static void every_op_of_version_1(void **state)
{
    (void)state;
    struct tvg_reader *reader;
    struct tvg_error error;
    struct tvg_event event;
    uint32_t blocks[16] = {0}, ops = 0, of_thread[2] = {0};
    uint64_t duration = 0, flop = 0;
    assert_true(tvg_reader_open(&reader, fixture, &error));
    const struct tvg_trace_header *header = tvg_reader_header(reader);
    assert_int_equal(header->version, 1);
    assert_int_equal(header->pid, 4321);
    assert_int_equal(header->grid_shift, 4);
    assert_string_equal(header->command, "python infer.py");
    while (tvg_reader_next(reader, &event)) {
        blocks[event.block]++;
        if (event.kind != TVG_EVENT_OPS)
            continue;
        uint32_t thread = event.info->ring;
        assert_in_range(thread, 0, 1);
        assert_int_equal(event.info->tid, 5000 + thread);
        for (uint32_t row = 0; row < event.info->count; row++) {
            const struct tvg_ops_columns *columns = event.columns;
            uint32_t i = of_thread[thread]++;
            assert_true(columns->start[row] == 1000000000000 + 16000ull * i + 1600 * thread);
            assert_true(columns->duration[row] == 16 * (100 + i));
            assert_int_equal(columns->op_id[row], i % 8);
            assert_true(columns->a[row] == 0x7f0000000000u + i % 5 * 4096);
            assert_true(columns->b[row] == 0x7e0000000000u + i % 7 * 0x240000);
            assert_true(columns->c[row] == 0x7f0000000000u + i % 11 * 64);
            const struct tvg_op *op = tvg_reader_op(reader, columns->op_id[row]);
            assert_string_equal(op->function, "cblas_sgemm");
            assert_string_equal(op->library, "libopenblas.so.0");
            assert_true(op->m == 8 + i % 8 && op->n == 384 && op->k == 384 && op->type_a == TVG_TYPE_F32);
            duration += columns->duration[row];
            flop += op->flop;
            ops++;
        }
    }
    assert_int_equal(ops, 200);
    assert_true(duration == 478400);                   /* 2 x 16 x (100 x 100 + 99 x 100 / 2) */
    assert_true(flop == 2ull * 384 * 384 * 2 * 1142);  /* rows of the 100 products of a thread: 12 x (8 + ... + 15) + 8 + 9 + 10 + 11 */
    const struct tvg_damage *damage = tvg_reader_damage(reader);
    assert_false(damage->no_end || damage->cut_off || damage->blocks_damaged || damage->records_missing || damage->bytes_skipped);
    assert_true(damage->ops_lost == 3);
    static const uint32_t expected[16] = {[TVG_BLOCK_OPS] = 2, [TVG_BLOCK_MANIFEST] = 1, [TVG_BLOCK_COVERAGE] = 3, [TVG_BLOCK_ENERGY] = 3, [TVG_BLOCK_COUNTERS] = 1,
                                          [TVG_BLOCK_STACKS] = 1, [TVG_BLOCK_MARK] = 4, [TVG_BLOCK_THREAD] = 2, [TVG_BLOCK_LOST] = 1, [TVG_BLOCK_KERNELS] = 1,
                                          [TVG_BLOCK_END] = 1};
    assert_memory_equal(blocks, expected, sizeof blocks);
    tvg_reader_close(reader);
}

static void its_other_blocks_still_mean_the_same(void **state)
{
    (void)state;
    struct tvg_profile *profile;
    struct tvg_error error;
    assert_true(tvg_profile_load(&profile, fixture, NULL, &error));
    assert_string_equal(tvg_profile_manifest(profile, "cpu.model"), "AMD EPYC 9575F 64-Core Processor");
    assert_string_equal(profile->cpu_id, "AuthenticAMD-26-2");
    assert_int_equal(profile->cpus_allowed, 2);
    assert_int_equal(profile->threads, 2);
    bool package = false, tokens = false;
    for (uint32_t i = 0; i < profile->meter_count; i++)
        if (strcmp(profile->meters[i].name, "package-0") == 0) {
            package = true; /* 900000, +40000 five times, one wrap of a counter that ends at 10^6: 200000 uJ */
            assert_true(profile->meters[i].joules > 0.1999999 && profile->meters[i].joules < 0.2000001);
            assert_int_equal(profile->meters[i].wraps, 1);
        }
    for (uint32_t i = 0; i < profile->unit_count; i++)
        if (strcmp(profile->units[i].kind, "output_token") == 0) {
            tokens = true;
            assert_true(profile->units[i].value == 12);
        }
    assert_true(package && tokens);
    assert_int_equal(profile->activity_count > 0, 1);
    tvg_profile_free(profile);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_op_of_version_1), cmocka_unit_test(its_other_blocks_still_mean_the_same)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
