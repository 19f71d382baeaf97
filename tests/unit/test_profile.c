/* What a profile says of made-up runs: sums, phases, groups, repeats, units, several processes, copies. */
#include <math.h>

#include "profile_feed.h"

static double sum_of_phases(const struct tvg_profile *profile)
{
    double sum = 0;
    for (int p = 0; p < 6; p++)
        sum += profile->phase[p].seconds;
    return sum;
}

static const struct tvg_op_stat *stat_of(const struct tvg_profile *profile, int64_t m, int64_t n)
{
    for (uint32_t i = 0; i < profile->op_count; i++)
        if (profile->ops[i].op.m == m && profile->ops[i].op.n == n)
            return &profile->ops[i];
    fail_msg("no op %lld x %lld", (long long)m, (long long)n);
    return NULL;
}

static void block(struct feed *feed, enum tvg_block_kind kind, void (*fill)(struct tvg_map *map))
{
    uint8_t data[1024];
    struct tvg_map map;
    tvg_map_begin(&map, data, sizeof data);
    fill(&map);
    size_t length = tvg_map_end(&map, kind);
    assert_true(length > sizeof(struct tvg_block_header));
    struct tvg_event event = {.kind = TVG_EVENT_BLOCK, .block = kind, .payload = data + sizeof(struct tvg_block_header),
                              .length = (uint32_t)(length - sizeof(struct tvg_block_header))};
    tvg_build_event(feed->process, &event);
}

static void sums_are_exact(void **state)
{
    (void)state;
    struct feed *feed = feed_new(NULL);
    double flop = 0, seconds = 0;
    uint64_t least = UINT64_MAX, most = 0;
    for (uint64_t i = 0; i < 10000; i++) {
        uint64_t ns = 1000 + i * 7919 % 5000;
        feed_host(feed, 0, 300);
        feed_op(feed, 0, feed_dictionary(feed, "cblas_sgemm", TVG_KIND_GEMM, 3, 5, 7, TVG_OP_ROW_MAJOR), 0x1000 + i % 3 * 64, 0x2000, 0x3000 + i % 2 * 64, ns);
        flop += 2. * 3 * 5 * 7;
        seconds += (double)ns * 1e-9;
        least = ns < least ? ns : least;
        most = ns > most ? ns : most;
    }
    struct tvg_profile *profile = feed_finish(feed);
    assert_int_equal(profile->op_count, 1);
    const struct tvg_op_stat *stat = &profile->ops[0];
    assert_int_equal(stat->count, 10000);
    assert_int_equal(profile->total_ops, 10000);
    assert_true(profile->flop == flop);
    assert_true(fabs(stat->seconds - seconds) < 1e-12);
    assert_true(fabs(profile->op_wall_seconds - seconds) < 1e-9 && profile->op_wall_error == 0);
    assert_true(fabs(stat->seconds_first - 1000e-9) < 1e-15);
    assert_true(fabs(stat->seconds_min - (double)least * 1e-9) < 1e-15 && fabs(stat->seconds_max - (double)most * 1e-9) < 1e-15);
    assert_int_equal(stat->repeats, 10000 - 6); /* six different triples of addresses */
    assert_int_equal(stat->a_distinct, 3);
    assert_int_equal(stat->b_distinct, 1);
    assert_int_equal(stat->a_written + stat->b_written, 0);
    assert_int_equal(profile->threads, 1);
    assert_int_equal(profile->processes, 1);
    assert_true(profile->own_seconds > 2e-6 && profile->own_seconds < 4e-6); /* three blocks, 1000 ns each */
    tvg_profile_free(profile);
}

/* Start 1 ms, then 400 requests of 20 ms with 80 ms sleep before each, one op of load first. */
static void phases_sum_to_the_wall_time(void **state)
{
    (void)state;
    struct feed *feed = feed_new(NULL);
    feed_gemm(feed, 0, 1000, 1000, 1, 0x1000, 0x900000000, 0x3000); /* packing: comes never again */
    for (int i = 0; i < 400; i++) {
        feed_sleep(feed, 0, 80000000);
        for (uint64_t layer = 0; layer < 4; layer++) {
            feed_host(feed, 0, 1000000);
            feed_op(feed, 0, feed_dictionary(feed, "cblas_sgemm", TVG_KIND_GEMM, 8, 64 + (int64_t)layer, 32, TVG_OP_ROW_MAJOR), 0x5000, 0x100000 * (layer + 1),
                    0x6000, 4000000);
        }
    }
    double last = (double)(feed->thread[0]->now - 1000000000) * 1e-9;
    struct tvg_profile *profile = feed_finish(feed);
    const struct tvg_phase *phase = profile->phase;
    assert_true(fabs(profile->wall_seconds - last) < 1e-9);
    assert_true(fabs(sum_of_phases(profile) - profile->wall_seconds) < 1e-9 * profile->wall_seconds);
    assert_true(fabs(phase[TVG_PHASE_START].seconds - 1e-3) < 1e-9);
    assert_int_equal(phase[TVG_PHASE_LOAD].ops, 1);
    assert_true(phase[TVG_PHASE_LOAD].seconds > 1e-3 && phase[TVG_PHASE_LOAD].seconds < 0.1);
    assert_int_equal(phase[TVG_PHASE_WARMUP].ops, 4);
    assert_int_equal(phase[TVG_PHASE_STEADY].ops, 1596);
    assert_int_equal(phase[TVG_PHASE_LOAD].ops + phase[TVG_PHASE_WARMUP].ops + phase[TVG_PHASE_STEADY].ops, profile->total_ops);
    print_message("waiting %.3f s of %.3f\n", phase[TVG_PHASE_WAITING].seconds, 400 * 0.08);
    assert_true(fabs(phase[TVG_PHASE_WAITING].seconds - 400 * 0.08) < 0.05 * 400 * 0.08);
    assert_int_equal(profile->step_count, 1);
    assert_int_equal(profile->steps[0].count, 400);
    assert_true(fabs(profile->steps[0].seconds_median - 19e-3) < 1e-6); /* first op to last op of a pass */
    tvg_profile_free(profile);
}

/* The same without sleep: the host computes in its gaps, so nobody waits. */
static void a_busy_host_waits_for_nothing(void **state)
{
    (void)state;
    struct feed *feed = feed_new(NULL);
    for (int i = 0; i < 3000; i++) {
        feed_host(feed, 0, 2000000);
        feed_gemm(feed, 0, 8, 64, 32, 0x5000, 0x100000, 0x6000);
        feed_host(feed, 0, 50000);
        feed_gemm(feed, 0, 8, 32, 64, 0x6000, 0x200000, 0x7000);
    }
    struct tvg_profile *profile = feed_finish(feed);
    assert_true(profile->phase[TVG_PHASE_WAITING].seconds == 0);
    assert_true(fabs(sum_of_phases(profile) - profile->wall_seconds) < 1e-9 * profile->wall_seconds);
    const struct tvg_op_stat *second = stat_of(profile, 8, 32);
    assert_int_equal(second->a_written, 3000);
    assert_int_equal(second->b_written, 0);
    tvg_profile_free(profile);
}

static const struct tvg_group *group_of(const struct tvg_profile *profile, enum tvg_group_kind kind, uint64_t length)
{
    for (uint32_t i = 0; i < profile->group_count; i++)
        if (profile->groups[i].kind == kind && profile->groups[i].run_length == length)
            return &profile->groups[i];
    return NULL;
}

static void runs_that_share_an_operand(void **state)
{
    (void)state;
    struct feed *feed = feed_new(NULL);
    for (int i = 0; i < 50; i++) {
        for (uint64_t part = 0; part < 3; part++) /* QKV: one input, three weights */
            feed_gemm(feed, 0, 16, 64, 64, 0x10000, 0x100000 + part * 0x10000, 0x200000 + part * 0x10000);
        for (uint64_t row = 0; row < 12; row++) /* the same weight for twelve inputs */
            feed_gemm(feed, 0, 4, 32, 64, 0x300000 + row * 0x1000, 0x400000, 0x500000 + row * 0x1000);
        for (uint64_t part = 0; part < 2; part++) /* two weights, but the second call reads what the first wrote */
            feed_gemm(feed, 0, 8, 64, 64, 0x600000, part ? 0x700000 + 512 : 0x800000, 0x700000);
        /* torch: column-major, weights first */
        uint32_t id = feed_dictionary(feed, "sgemm_", TVG_KIND_GEMM, 48, 16, 64, TVG_OP_TRANS_A);
        for (uint64_t part = 0; part < 3; part++)
            feed_op(feed, 0, id, 0x900000 + part * 0x10000, 0xa00000, 0xb00000 + part * 0x10000, 1000);
        /* decode: x by three matrices */
        id = feed_dictionary(feed, "cblas_sgemv", TVG_KIND_GEMV, 64, 64, 0, TVG_OP_ROW_MAJOR);
        for (uint64_t part = 0; part < 4; part++)
            feed_op(feed, 0, id, 0xc00000 + part * 0x10000, 0xd00000, 0xe00000 + part * 0x1000, 1000);
    }
    struct tvg_profile *profile = feed_finish(feed);
    uint64_t same_a_of_3 = 0, dependent = 0;
    for (uint32_t i = 0; i < profile->group_count; i++) {
        const struct tvg_group *group = &profile->groups[i];
        if (group->kind == TVG_GROUP_SAME_A && group->run_length == 3) {
            assert_true(group->independent);
            assert_int_equal(group->member_count, 3);
            same_a_of_3 += group->count;
        }
        if (group->kind == TVG_GROUP_SAME_A && group->run_length == 2) {
            assert_false(group->independent);
            dependent += group->count;
        }
    }
    assert_int_equal(same_a_of_3, 100); /* numpy's and torch's */
    assert_int_equal(dependent, 50);
    const struct tvg_group *batch = group_of(profile, TVG_GROUP_SAME_B, 12);
    assert_non_null(batch);
    assert_int_equal(batch->count, 50);
    assert_int_equal(batch->member_count, 8);
    assert_true(batch->independent);
    const struct tvg_group *decode = group_of(profile, TVG_GROUP_SAME_A, 4);
    assert_non_null(decode);
    assert_int_equal(decode->count, 50);
    tvg_profile_free(profile);
}

static void input_tokens(struct tvg_map *map)
{
    tvg_map_string(map, "kind", "input_token");
    tvg_map_double(map, "value", 17);
    tvg_map_uint(map, "mono_ns", 5);
}
static void pause_mark(struct tvg_map *map)
{
    tvg_map_string(map, "kind", "pause");
    tvg_map_double(map, "value", 1);
}
static void refused(struct tvg_map *map)
{
    tvg_map_string(map, "what", "source-refused");
    tvg_map_string(map, "subject", "rapl");
    tvg_map_string(map, "detail", "no permission");
}

static void two_layers(struct feed *feed)
{
    feed_gemm(feed, 0, 4, 64, 32, 0x5000, 0x100000, 0x6000);
    feed_gemm(feed, 0, 4, 32, 64, 0x6000, 0x200000, 0x7000);
}

static void units_by_what_is_known(void **state)
{
    (void)state;
    struct tvg_profile_options given = {.tokens = 123};
    for (int marks = 0; marks < 2; marks++)
        for (int options = 0; options < 2; options++) {
            struct feed *feed = feed_new(options ? &given : NULL);
            for (int i = 0; i < 10; i++) {
                two_layers(feed);
                if (marks)
                    block(feed, TVG_BLOCK_MARK, input_tokens);
                block(feed, TVG_BLOCK_MARK, pause_mark);
            }
            block(feed, TVG_BLOCK_COVERAGE, refused);
            block(feed, TVG_BLOCK_COVERAGE, refused);
            struct tvg_profile *profile = feed_finish(feed);
            const struct tvg_unit *unit = &profile->units[0];
            if (options) {
                assert_string_equal(unit->kind, "output_token");
                assert_true(unit->value == 123 && unit->basis == TVG_BASIS_GIVEN);
            } else if (marks) {
                assert_string_equal(unit->kind, "input_token");
                assert_true(unit->value == 170 && unit->basis == TVG_BASIS_EXACT);
            } else {
                assert_string_equal(unit->kind, "pass");
                assert_true(unit->value == 10 && unit->basis == TVG_BASIS_INFERRED);
            }
            assert_int_equal(profile->unit_count, 1 + (uint32_t)options + (uint32_t)marks);
            assert_int_equal(profile->note_count, 1);
            assert_int_equal(profile->notes[0].count, 2);
            assert_string_equal(profile->notes[0].subject, "rapl");
            tvg_profile_free(profile);
        }
}

static void unit_values_are_checked(void **state)
{
    (void)state;
    struct tvg_error error;
    double value;
    char kind[24];
    const double bad[] = {0, -1, NAN, INFINITY};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(tvg_unit_value_check("--tokens", bad[i], &error));
    assert_true(tvg_unit_value_check("--tokens", 0.5, &error));
    const char *const wrong[] = {"image", "image=", "image=x", "image=3x", "image=0", "image=-4", "picture=3", "=3", "", "input_token_and_more_than_fits=3"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(tvg_unit_parse(wrong[i], kind, &value, &error));
    assert_true(tvg_unit_parse("audio_second=1.5", kind, &value, &error));
    assert_string_equal(kind, "audio_second");
    assert_true(value == 1.5);
    struct tvg_profile *profile;
    struct tvg_profile_options negative = {.tokens = -1};
    assert_false(tvg_profile_load(&profile, "/dev/null", &negative, &error));
    assert_non_null(strstr(error.message, "--tokens"));
}

/* Two forked processes: the same ops are the same rows; wall time is the union of their lives. */
static void processes_add_up(void **state)
{
    (void)state;
    struct feed *feed = feed_new(NULL);
    for (int i = 0; i < 20; i++)
        two_layers(feed);
    double first_end = (double)feed->thread[0]->now;
    feed_flush(feed, 0);
    struct tvg_damage killed = {.no_end = true, .ops_recovered = 3};
    tvg_build_process_end(feed->process, 1, &killed);
    uint64_t begin = 1000000000 + (uint64_t)(first_end - 1e9) / 2; /* overlaps the second half of the first */
    feed_process(feed, 200, begin);
    for (int i = 0; i < 30; i++)
        two_layers(feed);
    double end = (double)feed->thread[0]->now;
    struct tvg_profile *profile = feed_finish(feed);
    assert_int_equal(profile->processes, 2);
    assert_int_equal(profile->threads, 2);
    assert_int_equal(profile->op_count, 2);
    assert_int_equal(profile->ops[0].count, 50);
    assert_int_equal(profile->ops[0].count_by_phase[TVG_PHASE_WARMUP], 2);
    assert_true(fabs(profile->wall_seconds - (end - 1e9) * 1e-9) < 1e-9);
    assert_true(fabs(sum_of_phases(profile) - profile->wall_seconds) < 1e-9);
    assert_true(profile->op_wall_seconds <= profile->op_seconds);
    assert_true(profile->damage.no_end);
    assert_int_equal(profile->damage.ops_recovered, 3);
    assert_true(profile->units[0].value == 50);
    tvg_profile_free(profile);
}

static void a_copy_stands_alone(void **state)
{
    (void)state;
    struct feed *feed = feed_new(NULL);
    for (int i = 0; i < 10; i++)
        two_layers(feed);
    struct tvg_profile *profile = feed_finish(feed), *copy = tvg_profile_copy(profile);
    copy->ops[0].count = 1;
    assert_int_equal(profile->ops[0].count, 10);
    copy->ops = realloc(copy->ops, (copy->op_count + 1) * sizeof *copy->ops);
    tvg_profile_free(profile);
    assert_string_equal(copy->ops[1].op.function, "cblas_sgemm");
    assert_string_equal(copy->command, "python infer.py");
    tvg_profile_free(copy);
}

static void warmup_can_be_left_out(void **state)
{
    (void)state;
    struct tvg_profile_options skip = {.skip_warmup = true};
    struct feed *feed = feed_new(&skip);
    for (int i = 0; i < 10; i++)
        two_layers(feed);
    struct tvg_profile *profile = feed_finish(feed);
    assert_int_equal(profile->total_ops, 18);
    assert_int_equal(profile->ops[0].count, 9);
    assert_true(profile->flop == 18. * 2 * 4 * 64 * 32);
    tvg_profile_free(profile);
}

static void no_op_at_all(void **state)
{
    (void)state;
    struct feed *feed = feed_new(NULL);
    struct tvg_profile *profile = feed_finish(feed);
    assert_int_equal(profile->total_ops, 0);
    assert_true(sum_of_phases(profile) == profile->wall_seconds);
    assert_int_equal(profile->units[0].basis, TVG_BASIS_NONE);
    tvg_profile_free(profile);
}

/* Many shapes, many threads: the tables grow. */
static void many_shapes_and_threads(void **state)
{
    (void)state;
    struct feed *feed = feed_new(NULL);
    for (int64_t i = 0; i < 5000; i++)
        for (uint32_t t = 0; t < FEED_THREADS; t++)
            feed_op(feed, t, feed_dictionary(feed, "cblas_sgemm", TVG_KIND_GEMM, 1 + i % 1000, 1 + i / 1000, 3, TVG_OP_ROW_MAJOR), 0x1000 + (uint64_t)i * 64, 0x2000,
                    0x3000, 1000);
    struct tvg_profile *profile = feed_finish(feed);
    assert_int_equal(profile->op_count, 5000);
    assert_int_equal(profile->total_ops, 5000 * FEED_THREADS);
    assert_int_equal(profile->threads, FEED_THREADS);
    for (uint32_t i = 0; i < profile->op_count; i++)
        assert_int_equal(profile->ops[i].count, FEED_THREADS);
    tvg_profile_free(profile);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_exact),         cmocka_unit_test(phases_sum_to_the_wall_time), cmocka_unit_test(a_busy_host_waits_for_nothing),
        cmocka_unit_test(runs_that_share_an_operand), cmocka_unit_test(units_by_what_is_known), cmocka_unit_test(unit_values_are_checked),
        cmocka_unit_test(processes_add_up),       cmocka_unit_test(a_copy_stands_alone),        cmocka_unit_test(warmup_can_be_left_out),
        cmocka_unit_test(no_op_at_all),           cmocka_unit_test(many_shapes_and_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
