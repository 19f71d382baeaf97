/* Every rewrite against figures worked out by hand from the fixture's round coefficients, and every reason to refuse. */
#include "rewrite_fixture.h"

/* One product 100 x 1000 x 1000, ten calls of 4 ms: FLOP 2e8, bytes 4 (1e5 + 1e6 + 1e5) = 4.8e6; by roofline 2 ms, bound by FLOP. */
static struct fixture *compute_bound(void)
{
    struct fixture *f = fixture_new();
    fixture_gemm(f, 100, 1000, 1000, 10, 4e-3);
    fixture_price(f, 0.01);
    return f;
}

/* One row: FLOP 2e6 (20 us), bytes 4 (1000 + 1e6 + 1000) = 4.008e6 (400.8 us): bound by the weight's bytes. Ten calls of 0.5 ms. */
static struct fixture *memory_bound(void)
{
    struct fixture *f = fixture_new();
    fixture_gemm(f, 1, 1000, 1000, 10, 0.5e-3);
    fixture_price(f, 0.01);
    return f;
}

static void bf16_halves_what_it_should(void **state)
{
    (void)state;
    struct fixture *f = compute_bound();
    struct tvg_replay r = fixture_run(f, "bf16");
    applied(&r);
    near(r.outcome.covered_flop, 1, 1e-9);
    /* time: 1 us stays, 3999 us x (1 ms / 2 ms) */
    double new_mean = 1e-6 + 3999e-6 / 2;
    near(r.time_saved, 10 * (4e-3 - new_mean), 1e-9);
    near(r.seconds, 0.05 - 10 * (4e-3 - new_mean), 1e-9);
    /* energy: 2e8 (10 - 5) pJ + 2.4e6 x 100 pJ a call */
    double marginal = 10 * (2e8 * 5e-12 + 2.4e6 * 100e-12);
    near(r.saved_rate.value, marginal, 1e-9);
    near(r.saved_work.value, marginal + 10 * r.time_saved, 1e-9); /* 10 W for the time saved */
    near(r.saved_rate.low, marginal / 2, 1e-9);                   /* all coefficients at their low end */
    near(r.saved_rate.high, marginal * 2, 1e-9);
    double longer = 10 * (4e-3 - new_mean * 1.4), shorter = 10 * (4e-3 - new_mean * 0.6);
    near(r.saved_work.low, marginal / 2 + 5 * longer, 1e-9);
    near(r.saved_work.high, marginal * 2 + 20 * shorter, 1e-9);
    near(r.energy.value, f->energy->total.value - r.saved_work.value, 1e-12);
    near(r.ops.value + r.idle.value + f->energy->other.value, r.energy.value, 1e-12); /* the parts add up */
    near(r.flop, 2e9, 1e-12);
    near(r.bytes, 2.4e7, 1e-12);
    fixture_free(f);
}

static void a_rate_that_is_a_guess_widens_the_saving(void **state)
{
    (void)state;
    struct fixture *f = compute_bound();
    f->device->peak[TVG_TYPE_BF16].value.low = 80e9; /* perhaps slower than fp32 */
    struct tvg_replay r = fixture_run(f, "bf16");
    applied(&r);
    near(r.outcome.time_uncertainty, 1.5, 1e-9);
    double mean = 1e-6 + 3999e-6 / 2, marginal = 10 * (2e8 * 5e-12 + 2.4e6 * 100e-12);
    near(r.saved_work.low, fmin(marginal / 2 + 5 * 10 * (4e-3 - 2.5 * mean), marginal * 2 + 20 * 10 * (4e-3 - 2.5 * mean)), 1e-9);
    assert_true(r.saved_work.low < 0 && r.saved_work.value > 0); /* no saving shown */
    fixture_free(f);
}

static void bf16_autocast_pays_its_casts(void **state)
{
    (void)state;
    struct fixture *f = compute_bound();
    f->context.argument = "autocast";
    struct tvg_replay r = fixture_run(f, "bf16");
    applied(&r);
    /* two passes of 1e5 elements, 6 bytes each: 60 us and 6e5 B x 100 pJ = 60 uJ a pass */
    near(r.saved_rate.value, 10 * (2e8 * 5e-12 + 2.4e6 * 100e-12 - 2 * 6e5 * 100e-12), 1e-9);
    near(r.time_saved, 10 * (4e-3 - (1e-6 + 3999e-6 / 2) - 2 * 60e-6), 1e-9);
    assert_int_equal(r.op_count, 30);
    f->context.argument = "sideways";
    r = fixture_run(f, "bf16");
    refused(&r, f, "takes no argument but autocast");
    fixture_free(f);
}

static void bf16_refuses(void **state)
{
    (void)state;
    struct fixture *f = compute_bound();
    f->ops[0].b_distinct = 10; /* a new B on every call: an activation */
    struct tvg_replay r = fixture_run(f, "bf16");
    refused(&r, f, "no fp32 product has a proven weight");
    f->ops[0].b_distinct = 2;
    f->ops[0].b_written = 1; /* a recorded op wrote it */
    r = fixture_run(f, "bf16");
    refused(&r, f, "no fp32 product has a proven weight");
    f->ops[0].b_written = 0;
    f->pairs[0].key = (char *)"cpu_extensions";
    f->pairs[0].value = (char *)"avx2 avx512f avx512_bf16x"; /* no whole word of it */
    f->profile.manifest_count = 1;
    r = fixture_run(f, "bf16");
    refused(&r, f, "neither AVX512_BF16 nor AMX");
    f->pairs[0].value = (char *)"avx2 avx512_bf16 fma";
    r = fixture_run(f, "bf16");
    applied(&r);
    f->device->peak[TVG_TYPE_BF16].known = false;
    r = fixture_run(f, "bf16");
    refused(&r, f, "no bf16 rate");
    f->ops[0].op.type_a = f->ops[0].op.type_b = f->ops[0].op.type_c = f->ops[0].op.type_compute = TVG_TYPE_F64;
    r = fixture_run(f, "bf16");
    refused(&r, f, "no product runs in fp32");
    fixture_free(f);
}

static void attention_is_told_from_a_weight(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    fixture_gemm(f, 128, 128, 32, 100, 1e-4); /* scores: n follows m */
    fixture_gemm(f, 128, 32, 128, 100, 1e-4); /* scores x values: k follows m */
    fixture_price(f, 0);
    struct tvg_replay r = fixture_run(f, "bf16");
    refused(&r, f, "no fp32 product has a proven weight");
    fixture_gemm(f, 31, 32, 31, 100, 1e-4)->a_distinct = 2; /* scores that come back to their buffer are no weight either */
    fixture_price(f, 0);
    r = fixture_run(f, "bf16");
    refused(&r, f, "no fp32 product has a proven weight");
    fixture_gemm(f, 64, 128, 32, 100, 1e-4); /* the first shape with other rows: a weight after all */
    fixture_price(f, 0);
    r = fixture_run(f, "bf16");
    applied(&r);
    near(r.outcome.covered_flop, 2. * (128 + 64) * 128 * 32 * 100 / f->profile.flop, 1e-9);
    fixture_free(f);
}

static void a_batched_activation_is_no_weight(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    struct tvg_op_stat *stat = fixture_gemm(f, 10, 64, 32, 100, 1e-4);
    stat->op.batch = 12;
    stat->op.flags |= TVG_OP_BATCH_STRIDED;
    stat->op.stride_a = 320, stat->op.stride_b = 2048, stat->op.stride_c = 640;
    tvg_op_count(&stat->op);
    fixture_price(f, 0);
    struct tvg_replay r = fixture_run(f, "bf16");
    refused(&r, f, "no fp32 product has a proven weight");
    stat->op.stride_b = 0; /* one B for all members */
    tvg_op_count(&stat->op);
    r = fixture_run(f, "bf16");
    applied(&r);
    fixture_free(f);
}

static void column_major_weights_lie_in_a(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    struct tvg_op_stat *stat = fixture_gemm(f, 1000, 2, 500, 10, 0.5e-3); /* C' = W' X', two columns */
    stat->op.flags = TVG_OP_BETA_ZERO;
    stat->a_distinct = 2;
    stat->b_distinct = 10;
    fixture_price(f, 0);
    struct tvg_replay r = fixture_run(f, "int4-weights");
    applied(&r);
    /* A: 5e5 weights, from 2e6 B to 2.5e5 + 7,814 B of scales (3,907 groups) */
    near(r.bytes, 10 * (257814 + 4. * 500 * 2 + 4. * 1000 * 2), 1e-9);
    fixture_free(f);
}

static void weights_used_once_for_each_length_are_weights(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    for (int i = 0; i < 4; i++) { /* six layers, one pass for each length: no address comes back within an entry */
        fixture_gemm(f, 300 + 16 * i, 1536, 384, 6, 1e-3)->b_distinct = 6;
        fixture_gemm(f, 30 + i, 30 + i, 32, 6, 1e-4)->b_distinct = 6; /* attention: its shape follows */
    }
    fixture_price(f, 0);
    struct tvg_replay r = fixture_run(f, "bf16");
    applied(&r);
    double products = 0;
    for (int i = 0; i < 4; i++)
        products += 2. * (300 + 16 * i) * 1536 * 384 * 6;
    near(r.outcome.covered_flop, products / f->profile.flop, 1e-9);
    f->ops[2].b_written = 1; /* one of them was written: what lies there is no weight for any length */
    r = fixture_run(f, "bf16");
    refused(&r, f, "no fp32 product has a proven weight");
    fixture_free(f);
}

static void column_major_qkv_merges_along_m(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    struct tvg_op_stat *stat = fixture_gemm(f, 200, 100, 300, 40, 1e-3); /* C' = W' X' */
    stat->op.flags = TVG_OP_BETA_ZERO;
    stat->a_distinct = 2;
    stat->b_distinct = 40;
    f->groups[0] = (struct tvg_group){.kind = TVG_GROUP_SAME_A, .member_count = 3, .member = {0, 0, 0}, .run_length = 3, .count = 10, .independent = true};
    f->profile.group_count = 1;
    fixture_price(f, 0);
    struct tvg_replay r = fixture_run(f, "qkv-merge");
    applied(&r);
    assert_true(f->profile.bytes - r.bytes == 10. * 2 * 100 * 300 * 4);
    assert_true(r.flop == f->profile.flop);
    fixture_free(f);
}

static void merging_fast_calls_costs_no_more_at_a_busy_core(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    fixture_gemm(f, 100, 200, 300, 40, 1e-3)->seconds_min = 0.2e-3; /* the mean waited, the fastest did not */
    f->device->core_active.value = (struct tvg_interval){50, 50, 50};
    f->groups[0] = (struct tvg_group){.kind = TVG_GROUP_SAME_A, .member_count = 3, .member = {0, 0, 0}, .run_length = 3, .count = 10, .independent = true};
    f->profile.group_count = 1;
    fixture_price(f, 0);
    struct tvg_replay r = fixture_run(f, "qkv-merge");
    applied(&r);
    near(r.saved_rate.value, 10 * 50 * 2 * 1e-6, 1e-6); /* two shortest calls in three at 50 W */
    fixture_free(f);
}

static void int8_lists_its_passes(void **state)
{
    (void)state;
    struct fixture *f = compute_bound();
    struct tvg_replay r = fixture_run(f, "int8-w8a8");
    applied(&r);
    assert_int_equal(r.op_count, 30); /* ten products, ten quantize, ten dequantize */
    /* product: 2e8 OP at 2 pJ, bytes 1e5 + 1e6 + 4e5; quantize 1e5 x 5 B, 3 FLOP; dequantize 1e5 x 8 B, 2 FLOP */
    double before = 2e8 * 10e-12 + 4.8e6 * 100e-12;
    double after = 2e8 * 2e-12 + 1.5e6 * 100e-12 + 5e5 * 100e-12 + 3e5 * 10e-12 + 8e5 * 100e-12 + 2e5 * 10e-12;
    near(r.saved_rate.value, 10 * (before - after), 1e-9);
    /* time: 1 us + 3999 us / 4 (0.5 ms over 2 ms), 50 us and 80 us of passes */
    near(r.time_saved, 10 * (4e-3 - 1e-6 - 3999e-6 / 4 - 50e-6 - 80e-6), 1e-9);
    f->device->peak[TVG_TYPE_I8].known = false;
    r = fixture_run(f, "int8-w8a8");
    refused(&r, f, "no int8 rate");
    fixture_free(f);
}

static void int8_can_lose(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(); /* many rows, hardly any inner dimension: the passes cost more than the product saves */
    fixture_gemm(f, 10000, 10, 4, 10, 45e-6);
    fixture_price(f, 0);
    struct tvg_replay r = fixture_run(f, "int8-w8a8");
    applied(&r);
    assert_true(r.saved_rate.value < 0 && r.saved_work.value < 0 && r.time_saved < 0);
    assert_true(r.energy.value > f->energy->total.value && r.seconds > f->profile.wall_seconds);
    fixture_free(f);
}

static void int4_gains_only_where_bytes_rule(void **state)
{
    (void)state;
    struct fixture *f = compute_bound();
    struct tvg_replay r = fixture_run(f, "int4-weights");
    refused(&r, f, "compute-bound");
    fixture_free(f);
    f = memory_bound();
    r = fixture_run(f, "int4-weights");
    applied(&r);
    /* weight: 1e6 x 4 bits + 7,813 scales of 2 B = 515,626 B; 2e6 FLOP more to unpack: roofline max(40 us, 52.36 us) */
    double bytes = 515626 + 8000;
    near(r.bytes, 10 * bytes, 1e-9);
    near(r.flop, 10 * 4e6, 1e-9);
    near(r.time_saved, 10 * (0.5e-3 - 1e-6 - 499e-6 * (bytes / 10e9) / 400.8e-6), 1e-6);
    near(r.saved_rate.value, 10 * ((4.008e6 - bytes) * 100e-12 - 2e6 * 10e-12), 1e-9);
    fixture_free(f);
}

static void merged_qkv_saves_the_input_read_twice(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    /* query, key, value and output projections are one shape; three of four calls share their input */
    fixture_gemm(f, 100, 200, 300, 40, 1e-3);
    f->groups[0] = (struct tvg_group){.kind = TVG_GROUP_SAME_A, .member_count = 3, .member = {0, 0, 0}, .run_length = 3, .count = 10, .independent = true};
    f->profile.group_count = 1;
    fixture_price(f, 0);
    struct tvg_replay r = fixture_run(f, "qkv-merge");
    applied(&r);
    /* exactly the A operand of two calls in three: 2 x 100 x 300 x 4 B, ten times; FLOP as before */
    assert_true(f->profile.bytes - r.bytes == 10. * 2 * 100 * 300 * 4);
    assert_true(r.flop == f->profile.flop);
    assert_int_equal(r.op_count, 20);
    near(r.saved_rate.value, 10. * 2 * 100 * 300 * 4 * 100e-12, 1e-9);
    /* one call: 1 us + 3 x 999 us x roofline(100 x 600 x 300) / 3 roofline(100 x 200 x 300) = both bound by FLOP: 1 */
    near(r.time_saved, 10 * 2 * 1e-6, 1e-6);
    struct tvg_replay other = fixture_run(f, "horizontal-batching");
    refused(&other, f, "same weight");
    f->groups[0].independent = false;
    r = fixture_run(f, "qkv-merge");
    refused(&r, f, "reads what an earlier one");
    f->groups[0].independent = true;
    f->ops[0].b_distinct = 40;
    r = fixture_run(f, "qkv-merge");
    refused(&r, f, "not proven weights");
    f->ops[0].b_distinct = 2;
    f->groups[0].count = 14; /* more than the calls that there are */
    r = fixture_run(f, "qkv-merge");
    refused(&r, f, "part of another merge");
    f->profile.group_count = 0;
    r = fixture_run(f, "qkv-merge");
    refused(&r, f, "no calls in a row");
    fixture_free(f);
}

static void gate_and_up_of_different_widths_merge(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    fixture_gemm(f, 10, 64, 32, 4, 1e-3);
    fixture_gemm(f, 10, 48, 32, 4, 1e-3);
    fixture_gemm(f, 10, 48, 16, 4, 1e-3); /* another k */
    f->groups[0] = (struct tvg_group){.kind = TVG_GROUP_SAME_A, .member_count = 2, .member = {0, 1}, .run_length = 2, .count = 4, .independent = true};
    f->groups[1] = (struct tvg_group){.kind = TVG_GROUP_SAME_A, .member_count = 2, .member = {1, 2}, .run_length = 2, .count = 4, .independent = true};
    f->profile.group_count = 2;
    fixture_price(f, 0);
    struct tvg_replay r = fixture_run(f, "qkv-merge");
    applied(&r);
    assert_true(f->profile.bytes - r.bytes == 4. * 10 * 32 * 4);
    assert_int_equal(r.op_count, 8); /* four joined, four of the third */
    f->groups[0].count = 0; /* only the misfit is left */
    r = fixture_run(f, "qkv-merge");
    refused(&r, f, "do not fit together");
    fixture_free(f);
}

static void batching_reads_the_weight_once(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    fixture_gemm(f, 1, 1000, 1000, 40, 0.5e-3);
    f->groups[0] = (struct tvg_group){.kind = TVG_GROUP_SAME_B, .member_count = 8, .member = {0}, .run_length = 10, .count = 4, .independent = true};
    f->profile.group_count = 1;
    fixture_price(f, 0);
    struct tvg_replay r = fixture_run(f, "horizontal-batching");
    applied(&r);
    /* nine of ten reads of 4e6 B go; bringing ten rows of 1,000 together costs 2 x 4e4 B */
    near(f->profile.bytes - r.bytes, 4. * (9 * 4e6 - 2 * 4e4), 1e-12);
    assert_int_equal(r.op_count, 8); /* four products, four gathers */
    assert_true(r.time_saved > 0);
    struct tvg_replay other = fixture_run(f, "qkv-merge");
    refused(&other, f, "same input");
    fixture_free(f);
}

static void matrix_vector_calls_become_a_product(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    struct tvg_op_stat *stat = fixture_gemm(f, 1000, 500, 0, 30, 0.3e-3);
    stat->op.kind = TVG_KIND_GEMV; /* y(1000) = A(1000,500) x */
    tvg_op_count(&stat->op);
    stat->a_distinct = 1;
    stat->b_distinct = 30;
    /* groups are those of the row-major view: the matrix counts as B */
    f->groups[0] = (struct tvg_group){.kind = TVG_GROUP_SAME_B, .member_count = 3, .member = {0, 0, 0}, .run_length = 3, .count = 10, .independent = true};
    f->profile.group_count = 1;
    fixture_price(f, 0);
    struct tvg_replay r = fixture_run(f, "horizontal-batching");
    applied(&r);
    assert_true(r.flop == f->profile.flop);
    near(f->profile.bytes - r.bytes, 10. * (2 * 1000 * 500 * 4 - 2 * 3 * 500 * 4), 1e-9);
    fixture_free(f);
}

static void pruning_needs_a_share(void **state)
{
    (void)state;
    struct fixture *f = compute_bound();
    struct tvg_replay r = fixture_run(f, "pruning");
    refused(&r, f, "--assume prune=");
    struct tvg_assumption half = {"prune", 0.5}, nonsense = {"prune", 1.5};
    f->context.assumption_count = 1;
    f->context.assumptions = &half;
    r = fixture_run(f, "pruning");
    applied(&r);
    near(r.flop, 1e9, 1e-12);
    near(r.bytes, 10 * 4 * (1e5 + 5e5 + 5e4), 1e-12); /* n = 500 */
    near(r.saved_rate.value, 10 * (1e8 * 10e-12 + 4 * (5e5 + 5e4) * 100e-12), 1e-9);
    assert_true(r.energy_zero_at == 0); /* nothing pruned, nothing saved */
    f->context.assumptions = &nonsense;
    r = fixture_run(f, "pruning");
    refused(&r, f, "above 0 and at most 0.99");
    f->context.argument = "0.25";
    r = fixture_run(f, "pruning");
    applied(&r);
    near(r.flop, 1.5e9, 1e-12);
    fixture_free(f);
}

static void sparsity_is_for_gpu_units(void **state)
{
    (void)state;
    struct fixture *f = compute_bound();
    struct tvg_replay r = fixture_run(f, "sparsity-2-4");
    refused(&r, f, "--assume sparse24=");
    struct tvg_assumption speed = {"sparse24", 1.6};
    f->context.assumptions = &speed;
    f->context.assumption_count = 1;
    r = fixture_run(f, "sparsity-2-4");
    refused(&r, f, "run on the CPU");
    f->ops[0].op.on_gpu = 1;
    r = fixture_run(f, "sparsity-2-4");
    refused(&r, f, "no GEMM of a type");
    f->ops[0].op.type_a = f->ops[0].op.type_b = f->ops[0].op.type_c = f->ops[0].op.type_compute = TVG_TYPE_F16;
    tvg_op_count(&f->ops[0].op);
    f->ops[0].seconds = 10 * 2e-3;
    f->profile.op_seconds = f->profile.bytes = f->profile.flop = 0;
    f->profile.total_ops = 0;
    fixture_price(f, 0);
    r = fixture_run(f, "sparsity-2-4");
    applied(&r);
    /* f16 weight 2e6 B becomes 1e6 B and a 2-bit index for 5e5 kept weights = 1.25e5 B; half the FLOP at 5 pJ */
    near(r.bytes, 10 * (2e5 + 1.125e6 + 2e5), 1e-12);
    near(r.saved_rate.value, 10 * (1e8 * 5e-12 + 0.875e6 * 100e-12), 1e-9);
    near(r.time_saved, 10 * (2e-3 - 1e-6 - 1999e-6 / 1.6), 1e-6);
    /* sparse units slower than the dense ones cost time and floor, but still save the FLOP: zero lies below 1 */
    assert_true(r.energy_zero_at > 0.1 && r.energy_zero_at < 1);
    speed.value = r.energy_zero_at;
    r = fixture_run(f, "sparsity-2-4");
    assert_true(fabs(r.saved_work.value) < 1e-6 * f->energy->total.value);
    fixture_free(f);
}

static void threads_come_from_the_measured_curve(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    f->profile.cpus_online = f->profile.cpus_allowed = f->profile.cores_physical = 4;
    f->context.cores = 4;
    fixture_gemm(f, 100, 200, 300, 10, 1e-3)->op.threads = 4;
    fixture_gemm(f, 100, 200, 301, 10, 1e-3)->op.threads = 1;
    fixture_price(f, 0);
    struct tvg_replay r = fixture_run(f, "cpu-threads");
    refused(&r, f, "no shape ran with two thread counts");
    f->ops[0].op.threads = f->ops[1].op.threads = 0;
    r = fixture_run(f, "cpu-threads");
    refused(&r, f, "does not say how many threads");
    f->ops[0].op.threads = 4, f->ops[1].op.threads = 1;
    fixture_gemm(f, 100, 200, 300, 20, 0.6e-3)->op.threads = 1; /* one thread is faster for this shape */
    f->profile.op_seconds = f->profile.bytes = f->profile.flop = 0;
    f->profile.total_ops = 0;
    fixture_price(f, 0);
    r = fixture_run(f, "cpu-threads");
    applied(&r);
    near(r.time_saved, 10 * 0.4e-3, 1e-9);
    f->context.argument = "4"; /* asked for, though it is slower: a loss is printed */
    r = fixture_run(f, "cpu-threads");
    applied(&r);
    near(r.time_saved, -20 * 0.4e-3, 1e-9);
    assert_true(r.saved_work.value < 0);
    f->context.argument = "3";
    r = fixture_run(f, "cpu-threads");
    refused(&r, f, "no shape ran with 3 threads");
    f->context.argument = "many";
    r = fixture_run(f, "cpu-threads");
    refused(&r, f, "takes a whole number");
    fixture_free(f);
}

static void repeated_calls_are_a_hint_only(void **state)
{
    (void)state;
    struct fixture *f = compute_bound();
    struct tvg_replay r = fixture_run(f, "common-calls");
    refused(&r, f, "no call has the operand addresses");
    f->ops[0].repeats = 4;
    r = fixture_run(f, "common-calls");
    refused(&r, f, "4 of 10 calls");
    assert_true(tvg_rewrite_find("common-calls")->diagnostic_only);
    fixture_free(f);
}

static void batching_reads_the_weight_once_for_all(void **state)
{
    (void)state;
    struct fixture *f = memory_bound();
    struct tvg_replay r = fixture_run(f, "batching");
    refused(&r, f, "--assume batch=");
    struct tvg_assumption batch = {"batch", 2};
    f->context.assumptions = &batch;
    f->context.assumption_count = 1;
    r = fixture_run(f, "batching");
    applied(&r);
    /* five calls of two rows: 4 (2000 + 1e6 + 2000) bytes, 401.6 us by roofline where one row took 400.8 */
    near(r.bytes, 5 * 4.016e6, 1e-12);
    near(r.flop, 10 * 2e6, 1e-12);
    near(r.time_saved, 10 * 0.5e-3 - 5 * (1e-6 + 499e-6 * 401.6 / 400.8), 1e-9);
    near(r.saved_rate.value, 100e-12 * (10 * 4.008e6 - 5 * 4.016e6), 1e-9);
    near(r.energy_zero_at, 1, 1e-9);
    batch.value = 3; /* three full batches and a rest: the FLOP's joules stay, the weight is read 10/3 times */
    r = fixture_run(f, "batching");
    near(r.saved_rate.value, 100e-12 * (10 * 4.008e6 - 10.0 / 3 * 4.024e6), 1e-9);
    batch.value = 11;
    r = fixture_run(f, "batching");
    refused(&r, f, "called 11 times or more");
    fixture_free(f);
}

static void every_rewrite_says_what_it_must(void **state)
{
    (void)state;
    size_t count = 0;
    for (const struct tvg_rewrite *const *rewrite = tvg_rewrites; *rewrite; rewrite++, count++) {
        assert_true((*rewrite)->name && *(*rewrite)->name && (*rewrite)->summary && *(*rewrite)->summary && (*rewrite)->what_to_do && (*rewrite)->citation);
        assert_true((*rewrite)->transform && tvg_rewrite_find((*rewrite)->name) == *rewrite);
        assert_true((*rewrite)->runs_on & (TVG_ON_CPU | TVG_ON_GPU));
        assert_int_equal((*rewrite)->nature == TVG_ASSUMPTION, (*rewrite)->assumption != NULL);
        if ((*rewrite)->assumption) {
            assert_true((*rewrite)->assumption_low < (*rewrite)->assumption_high && (*rewrite)->assumption_low < (*rewrite)->assumption_most);
            assert_non_null(strstr((*rewrite)->assumption_asks, (*rewrite)->assumption)); /* how to give it a value */
        }
    }
    assert_int_equal(count, 18);
    assert_null(tvg_rewrite_find("magic"));
}

static void what_a_rewrite_is_called_with(void **state)
{
    (void)state;
    static const struct { const char *name, *good, *bad, *why; } calls[] = {
        {"bf16", "autocast", "sideways", "autocast"}, {"tf32", NULL, "autocast", "no argument"}, {"cuda-graphs", NULL, "1", "no argument"},
        {"cpu-threads", "8", "2.5", "whole number"}, {"cpu-threads", "1", "0", "whole number"}, {"batching", "8", "1", "above 1 and at most 1024"},
        {"pruning", "0.3", "half", "prune"}, {"sparsity-2-4", "2", "-1", "at most 2"}, {"pruning", "0.99", "nan", "a number"}};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        char why[128] = "";
        const struct tvg_rewrite *rewrite = tvg_rewrite_find(calls[i].name);
        assert_true(tvg_rewrite_accepts(rewrite, calls[i].good, why, sizeof why) && !why[0]);
        assert_false(tvg_rewrite_accepts(rewrite, calls[i].bad, why, sizeof why));
        assert_non_null(strstr(why, calls[i].why));
        assert_non_null(strstr(why, calls[i].bad));
    }
}

/* No rewrite may fail on a profile without ops, without a GPU file, or whose groups point nowhere. */
static void odd_profiles_are_survived(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    fixture_price(f, 1);
    struct tvg_assumption both[] = {{"prune", 0.5}, {"sparse24", 1.5}};
    f->context.assumptions = both;
    f->context.assumption_count = 2;
    for (int turn = 0; turn < 2; turn++) {
        for (const struct tvg_rewrite *const *rewrite = tvg_rewrites; *rewrite; rewrite++) {
            struct tvg_replay r = fixture_run(f, (*rewrite)->name);
            assert_false(r.outcome.applied);
            assert_true(*r.outcome.reason);
        }
        fixture_gemm(f, 1, 1, 1, 0, 0);
        struct tvg_op_stat *gpu = fixture_gemm(f, 100, 200, 300, 10, 0);
        gpu->op.on_gpu = 1;
        f->context.gpu = NULL;
        f->groups[0] = (struct tvg_group){.kind = TVG_GROUP_SAME_A, .member_count = 2, .member = {900, 901}, .count = 3, .independent = true};
        f->groups[1] = (struct tvg_group){.kind = TVG_GROUP_SAME_A, .member_count = 200, .count = 3, .independent = true};
        f->groups[2] = (struct tvg_group){.kind = TVG_GROUP_SAME_A, .member_count = 2, .member = {0, 0}, .count = 3, .independent = true};
        f->profile.group_count = 3;
    }
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batching_reads_the_weight_once_for_all), cmocka_unit_test(bf16_halves_what_it_should), cmocka_unit_test(a_rate_that_is_a_guess_widens_the_saving),
        cmocka_unit_test(bf16_autocast_pays_its_casts), cmocka_unit_test(bf16_refuses),
        cmocka_unit_test(attention_is_told_from_a_weight), cmocka_unit_test(a_batched_activation_is_no_weight), cmocka_unit_test(column_major_weights_lie_in_a),
        cmocka_unit_test(weights_used_once_for_each_length_are_weights), cmocka_unit_test(column_major_qkv_merges_along_m),
        cmocka_unit_test(merging_fast_calls_costs_no_more_at_a_busy_core), cmocka_unit_test(int8_lists_its_passes), cmocka_unit_test(int8_can_lose), cmocka_unit_test(int4_gains_only_where_bytes_rule),
        cmocka_unit_test(merged_qkv_saves_the_input_read_twice), cmocka_unit_test(gate_and_up_of_different_widths_merge),
        cmocka_unit_test(batching_reads_the_weight_once), cmocka_unit_test(matrix_vector_calls_become_a_product), cmocka_unit_test(pruning_needs_a_share),
        cmocka_unit_test(sparsity_is_for_gpu_units), cmocka_unit_test(threads_come_from_the_measured_curve), cmocka_unit_test(repeated_calls_are_a_hint_only),
        cmocka_unit_test(every_rewrite_says_what_it_must), cmocka_unit_test(what_a_rewrite_is_called_with), cmocka_unit_test(odd_profiles_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
