/* The replay: identity, composition, same work and same rate, intervals, overlap of threads, GPUs that the host holds back, and whether one
 * run predicts another. */
#include "rewrite_fixture.h"

static struct fixture *two_products(void)
{
    struct fixture *f = fixture_new();
    fixture_gemm(f, 100, 200, 300, 40, 1e-3);
    fixture_gemm(f, 100, 800, 200, 10, 2e-3);
    f->groups[0] = (struct tvg_group){.kind = TVG_GROUP_SAME_A, .member_count = 3, .member = {0, 0, 0}, .run_length = 3, .count = 10, .independent = true};
    f->profile.group_count = 1;
    return f;
}

static struct tvg_replay run_set(struct fixture *f, const char *const *names, uint32_t count)
{
    const struct tvg_rewrite *rewrites[8];
    struct tvg_replay replay;
    struct tvg_error error;
    for (uint32_t i = 0; i < count; i++)
        assert_non_null(rewrites[i] = tvg_rewrite_find(names[i]));
    if (!tvg_replay_run(&replay, rewrites, count, &f->profile, f->energy, &f->context, &error))
        fail_msg("%s", error.message);
    return replay;
}

static void nothing_rewritten_is_the_run_itself(void **state)
{
    (void)state;
    struct fixture *f = two_products();
    fixture_price(f, 0.123);
    struct tvg_replay r = run_set(f, NULL, 0);
    assert_memory_equal(&r.energy, &f->energy->total, sizeof r.energy); /* to the last bit */
    assert_memory_equal(&r.ops, &f->energy->ops, sizeof r.ops);
    assert_memory_equal(&r.idle, &f->energy->idle, sizeof r.idle);
    assert_true(r.seconds == f->profile.wall_seconds && r.time_saved == 0 && r.saved_work.value == 0 && r.saved_work.high == 0 && r.saved_rate.low == 0);
    assert_true(r.flop == f->profile.flop && r.bytes == f->profile.bytes && r.op_count == f->profile.total_ops);
    near(r.op_seconds, f->profile.op_seconds, 1e-12);
    assert_true(isnan(r.energy_zero_at));
    assert_false(r.outcome.applied);
    fixture_free(f);
}

static void the_original_profile_stays(void **state)
{
    (void)state;
    struct fixture *f = two_products();
    fixture_price(f, 0);
    struct fixture before = *f;
    const char *all[] = {"qkv-merge", "bf16", "int8-w8a8", "pruning"};
    struct tvg_assumption prune = {"prune", 0.3};
    f->context.assumptions = before.context.assumptions = &prune;
    f->context.assumption_count = before.context.assumption_count = 1;
    run_set(f, all, 4);
    assert_memory_equal(f, &before, sizeof before);
    fixture_free(f);
}

static void rewrites_compose_by_pricing_anew(void **state)
{
    (void)state;
    struct fixture *f = two_products();
    fixture_price(f, 0.05);
    const char *one[] = {"qkv-merge", "bf16"}, *other[] = {"bf16", "qkv-merge"}, *merge[] = {"qkv-merge"}, *bf16[] = {"bf16"};
    struct tvg_replay merge_only = run_set(f, merge, 1), bf16_only = run_set(f, bf16, 1), both = run_set(f, one, 2), reversed = run_set(f, other, 2);
    assert_true(both.outcome.applied && reversed.outcome.applied);
    /* after the merge bf16 halves fewer bytes: less than the sum of both alone, by half of what the merge saved */
    near(both.saved_rate.value, merge_only.saved_rate.value + bf16_only.saved_rate.value - merge_only.saved_rate.value / 2, 1e-9);
    near(both.saved_rate.value, reversed.saved_rate.value, 1e-9); /* these two commute in energy */
    near(both.bytes, reversed.bytes, 1e-12);
    near(both.seconds, reversed.seconds, 1e-3);
    assert_non_null(strstr(both.outcome.reason, "qkv-merge applied, bf16 applied"));
    /* bf16 twice: the second has no fp32 left */
    const char *twice[] = {"bf16", "bf16"};
    struct tvg_replay again = run_set(f, twice, 2);
    near(again.saved_work.value, bf16_only.saved_work.value, 1e-12);
    assert_non_null(strstr(again.outcome.reason, "bf16 applied, bf16 refused"));
    fixture_free(f);
}

static void order_matters_where_it_must(void **state)
{
    (void)state;
    struct fixture *f = two_products();
    fixture_price(f, 0.05);
    /* int8 first leaves no fp32 product for bf16; bf16 first leaves 16-bit activations that int8 quantizes from fewer bytes */
    const char *one[] = {"int8-w8a8", "bf16"}, *other[] = {"bf16", "int8-w8a8"};
    struct tvg_replay int8_first = run_set(f, one, 2), bf16_first = run_set(f, other, 2);
    assert_non_null(strstr(int8_first.outcome.reason, "bf16 refused"));
    assert_non_null(strstr(bf16_first.outcome.reason, "int8-w8a8 applied"));
    assert_true(bf16_first.bytes < int8_first.bytes);
    fixture_free(f);
}

static void each_rewrite_has_its_own_argument(void **state)
{
    (void)state;
    struct fixture *f = two_products();
    fixture_price(f, 0.05);
    const char *names[] = {"bf16", "pruning"}, *arguments[] = {NULL, "0.5"};
    f->context.arguments = arguments;
    struct tvg_replay r = run_set(f, names, 2);
    assert_non_null(strstr(r.outcome.reason, "bf16 applied, pruning applied"));
    near(r.flop, f->profile.flop / 2, 1e-12);
    fixture_free(f);
}

static void overlapping_threads_save_their_share_of_wall_time(void **state)
{
    (void)state;
    struct fixture *f = two_products();
    fixture_price(f, 0.05);
    struct tvg_replay alone = fixture_run(f, "bf16");
    f->profile.op_wall_seconds = f->profile.op_seconds / 4; /* four threads ran ops at the same time */
    struct tvg_replay overlapped = fixture_run(f, "bf16");
    near(overlapped.time_saved, alone.time_saved / 4, 1e-9);
    near(overlapped.saved_rate.value, alone.saved_rate.value, 1e-12);
    fixture_free(f);
}

static void a_gpu_that_waits_for_the_host_saves_no_time(void **state)
{
    (void)state;
    for (int bound = 0; bound < 2; bound++) {
        struct fixture *f = two_products();
        f->profile.group_count = 0;
        for (int i = 0; i < 2; i++)
            f->ops[i].op.on_gpu = 1;
        fixture_price(f, bound ? 1e-3 : 1); /* busy 98 % or 6 % of the wall time */
        struct tvg_replay r = fixture_run(f, "bf16");
        applied(&r);
        assert_true(r.saved_rate.value > 0);
        if (bound)
            assert_true(r.time_saved > 0 && r.saved_work.value > r.saved_rate.value);
        else
            assert_true(r.time_saved == 0 && r.saved_work.value == r.saved_rate.value);
        fixture_free(f);
    }
}

static void the_meter_scales_ops_and_not_savings_by_luck(void **state)
{
    (void)state;
    struct fixture *f = two_products();
    fixture_price(f, 0.05);
    struct tvg_replay plain = fixture_run(f, "bf16");
    f->energy->meter_scale = 0.8;
    struct tvg_replay scaled = fixture_run(f, "bf16");
    near(scaled.saved_rate.value, 0.8 * plain.saved_rate.value, 1e-12);
    near(scaled.saved_work.value - scaled.saved_rate.value, plain.saved_work.value - plain.saved_rate.value, 1e-9); /* the floor's part is no op's */
    fixture_free(f);
}

/* Where a busy core's least power sets an op's energy, the energy goes with the time, and so does its uncertainty. */
static void an_op_that_costs_by_time_is_as_unsure_as_its_time(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    fixture_gemm(f, 100, 1000, 1000, 10, 4e-3);
    f->device->core_active.value = (struct tvg_interval){4, 4, 4}; /* 16 mJ a call; FLOP and bytes make 2.48 mJ, at the high end 4.96 */
    fixture_price(f, 0);
    struct tvg_replay r = fixture_run(f, "bf16");
    double mean = 1e-6 + 3999e-6 / 2;
    near(r.saved_rate.value, 10 * 4 * (4e-3 - mean), 1e-9);
    near(r.saved_rate.low, 10 * 4 * (4e-3 - 1.4 * mean), 1e-9);
    near(r.saved_rate.high, 10 * 4 * (4e-3 - 0.6 * mean), 1e-9);
    fixture_free(f);
}

/* A second run of the same command: other counts, the same means. */
static void a_run_predicts_the_next(void **state)
{
    (void)state;
    struct fixture *a = two_products(), *b = two_products();
    struct tvg_prediction p;
    struct tvg_error error;
    fixture_price(a, 0.5);
    b->ops[0].count = 80, b->ops[0].seconds = 80 * 1.1e-3; /* 10 % slower that day */
    b->ops[1].count = 20, b->ops[1].seconds = 20 * 2e-3;
    fixture_price(b, 1.0);
    assert_true(tvg_replay_predict(&p, &a->profile, &b->profile, &error));
    near(p.predicted, 80 * 1e-3 + 20 * 2e-3 + 0.5 * 2, 1e-9); /* host time goes with the calls */
    near(p.measured, 80 * 1.1e-3 + 20 * 2e-3 + 1.0, 1e-9);
    near(p.op_error, (0.12 - 0.128) / 0.128, 1e-9);
    assert_int_equal(p.calls, 100);
    assert_int_equal(p.unmatched, 0);
    assert_true(tvg_replay_predict(&p, &a->profile, &a->profile, &error));
    assert_true(fabs(p.error) < 1e-12);
    /* start and load happen once, however many calls follow */
    a->profile.phase[TVG_PHASE_LOAD].seconds = 0.4;
    assert_true(tvg_replay_predict(&p, &a->profile, &b->profile, &error));
    near(p.predicted, 0.12 + 0.4 + 0.1 * 2, 1e-9);
    /* a shape that the first run never had is priced at its mean FLOP/s */
    b->ops[1].op.n = 400;
    tvg_op_count(&b->ops[1].op);
    assert_true(tvg_replay_predict(&p, &a->profile, &b->profile, &error));
    assert_int_equal(p.unmatched, 20);
    near(p.op_error, (80e-3 + 20 * (double)b->ops[1].op.flop * a->profile.op_seconds / a->profile.flop) / 0.128 - 1, 1e-9);
    a->profile.total_ops = 0;
    assert_false(tvg_replay_predict(&p, &a->profile, &b->profile, &error));
    assert_true(*error.message);
    fixture_free(a);
    fixture_free(b);
}

/* Delays put into one class of ops: replaying the first run with that class longer by d a call says what the delayed run takes. */
static void injected_delays_are_predicted(void **state)
{
    (void)state;
    for (int k = 1; k <= 5; k++) {
        double delay = k * 1e-4;
        struct fixture *a = two_products(), *b = two_products();
        struct tvg_prediction p;
        struct tvg_error error;
        fixture_price(a, 0.2);
        double base = a->profile.wall_seconds;
        a->ops[0].seconds += (double)a->ops[0].count * delay; /* the what-if */
        a->profile.op_seconds += (double)a->ops[0].count * delay;
        a->profile.op_wall_seconds = a->profile.op_seconds;
        a->profile.wall_seconds = base + (double)a->ops[0].count * delay;
        b->ops[0].seconds = (double)b->ops[0].count * (1e-3 + delay);
        fixture_price(b, 0.2);
        assert_true(tvg_replay_predict(&p, &a->profile, &b->profile, &error));
        near(p.predicted, base + 40 * delay, 1e-9);
        assert_true(fabs(p.error) < 1e-9);
        fixture_free(a);
        fixture_free(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_rewritten_is_the_run_itself), cmocka_unit_test(the_original_profile_stays), cmocka_unit_test(rewrites_compose_by_pricing_anew),
        cmocka_unit_test(order_matters_where_it_must), cmocka_unit_test(each_rewrite_has_its_own_argument), cmocka_unit_test(overlapping_threads_save_their_share_of_wall_time),
        cmocka_unit_test(a_gpu_that_waits_for_the_host_saves_no_time), cmocka_unit_test(the_meter_scales_ops_and_not_savings_by_luck),
        cmocka_unit_test(an_op_that_costs_by_time_is_as_unsure_as_its_time), cmocka_unit_test(a_run_predicts_the_next), cmocka_unit_test(injected_delays_are_predicted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
