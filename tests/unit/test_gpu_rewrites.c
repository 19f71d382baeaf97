/* The rewrites of GPU kernels on a small run made by hand: each on what it transforms, in numbers worked out here, and on what it refuses. */
#include "rewrite_fixture.h"

/* The run: `passes` of a pass each: a product in fp32 on the vector units (512 columns of a 1024 x 1024 weight), two elementwise kernels of one size, a convolution with a
 * kernel that turns its tensors around. Kernels of 20, 4, 6, 5 + 30 us, launched every 50 us: the host sets the pace. */
enum { PRODUCT, CONVOLUTION, SGEMM, BIAS, GELU, TURN, CONV, READ, OPS };
enum { PASSES = 40, KERNELS = 5 };

struct board {
    struct tvg_profile profile;
    struct tvg_op_stat ops[OPS];
    struct tvg_gpu_activity activity[OPS];
    struct tvg_launch rows[PASSES * (KERNELS + 1)];
    struct tvg_gpu gpu;
    struct tvg_device *device, *card;
    struct tvg_rewrite_context context;
    struct tvg_energy *energy;
};

static void kernel_op(struct board *b, int at, const char *name, int cause, double us)
{
    b->ops[at].op = (struct tvg_op){.library = "cuda", .function = "kernel", .name = name, .kind = TVG_KIND_KERNEL, .on_gpu = 1, .dim_count = 6, .dim = {264, 1, 1, 128, 1, 1}};
    b->ops[at].energy_scale = 1;
    b->activity[at] = (struct tvg_gpu_activity){.op = (uint32_t)at, .cause = cause < 0 ? UINT32_MAX : (uint32_t)cause, .count = PASSES, .seconds = us * 1e-6 * PASSES,
                                                .traits = tvg_kernel_traits(name)};
    struct tvg_op_stat *owner = &b->ops[cause < 0 ? at : cause];
    owner->seconds += us * 1e-6 * PASSES;
    owner->gpu_count += PASSES;
    owner->count = PASSES;
}

static struct board *board_new(void)
{
    struct board *b = calloc(1, sizeof *b);
    struct tvg_error error;
    b->device = fixture_device("cpu");
    if (!tvg_device_load(&b->card, "coeffs/h100-sxm.json", &error))
        fail_msg("%s", error.message);
    b->ops[PRODUCT].op = (struct tvg_op){.library = "libcublasLt.so.13", .function = "cublasLtMatmul", .kind = TVG_KIND_GEMM, .type_a = TVG_TYPE_F32, .type_b = TVG_TYPE_F32,
                                         .type_c = TVG_TYPE_F32, .type_compute = TVG_TYPE_F32, .on_gpu = 1, .flags = TVG_OP_BETA_ZERO, .m = 1024, .n = 512, .k = 1024};
    tvg_op_count(&b->ops[PRODUCT].op);
    b->ops[PRODUCT].a_distinct = 1; /* column-major: the weight is A */
    b->ops[PRODUCT].b_distinct = 3;
    b->ops[CONVOLUTION].op = (struct tvg_op){.library = "libcudnn.so.9", .function = "cudnnBackendExecute", .kind = TVG_KIND_CONV, .type_a = TVG_TYPE_F32, .type_b = TVG_TYPE_F32,
                                             .type_c = TVG_TYPE_F32, .type_compute = TVG_TYPE_TF32, .on_gpu = 1, .flags = TVG_OP_FLOP_GIVEN, .dim_count = 10, .dim_spatial = 2,
                                             .dim = {8, 64, 56, 56, 64, 3, 3, 56, 56, 1}, .flop = 1850000000, .bytes = 13000000};
    b->ops[PRODUCT].energy_scale = b->ops[CONVOLUTION].energy_scale = 1;
    kernel_op(b, SGEMM, "sm80_xmma_gemm_f32f32_f32f32_f32_tn_n_ffma", PRODUCT, 20);
    kernel_op(b, BIAS, "vectorized_elementwise_kernel_add", -1, 4);
    kernel_op(b, GELU, "vectorized_elementwise_kernel_gelu", -1, 6);
    kernel_op(b, TURN, "nchwToNhwcKernel", CONVOLUTION, 5);
    kernel_op(b, CONV, "sm90_xmma_fprop_implicit_gemm_f32f32_tf32f32_f32_nhwckrsc_nhwc", CONVOLUTION, 30);
    static const int order[KERNELS] = {SGEMM, BIAS, GELU, TURN, CONV};
    static const double us[KERNELS] = {20, 4, 6, 5, 30};
    uint64_t launch = 1000000000;
    struct tvg_timeline *timeline = &b->profile.timeline;
    for (int pass = 0; pass < PASSES; pass++)
        for (int i = 0; i < KERNELS; i++, launch += 50000)
            b->rows[timeline->count++] = (struct tvg_launch){.launch_ns = launch, .start_ns = launch + 7000, .duration_ns = (uint32_t)(us[i] * 1000), .activity = (uint32_t)order[i]};
    timeline->rows = b->rows;
    timeline->seen = timeline->count;
    timeline->seconds = timeline->seconds_kept = 65e-6 * PASSES;
    timeline->usual_gap_ns = tvg_timeline_usual_gap(timeline);
    b->gpu = (struct tvg_gpu){.name = "NVIDIA H100 80GB HBM3", .kernels = timeline->count, .first_ns = 1e9, .last_ns = (double)launch};
    b->profile.ops = b->ops;
    b->profile.op_count = OPS - 1;
    b->profile.activity = b->activity;
    b->profile.activity_count = OPS - 1;
    b->profile.gpus = &b->gpu;
    b->profile.gpu_count = 1;
    b->profile.cpus_online = b->profile.cpus_allowed = 1;
    b->profile.wall_seconds = b->profile.cpu_seconds = 0.05;
    for (int i = 0; i < OPS; i++)
        b->profile.flop += (double)b->ops[i].op.flop * (double)b->ops[i].count;
    /* PRODUCT and CONVOLUTION are callers: their kernels are activity 2.. */
    b->context = (struct tvg_rewrite_context){.device = b->device, .gpu = b->card, .cores = 1};
    return b;
}

static struct tvg_replay board_run(struct board *b, const char *name)
{
    struct tvg_replay replay;
    struct tvg_error error;
    const struct tvg_rewrite *rewrite = tvg_rewrite_find(name);
    tvg_energy_free(b->energy);
    b->energy = NULL;
    assert_non_null(rewrite);
    if (!tvg_energy_price(&b->energy, &b->profile, b->device, b->card, TVG_CHARGE_EXCLUSIVE, &error) ||
        !tvg_replay_run(&replay, &rewrite, 1, &b->profile, b->energy, &b->context, &error))
        fail_msg("%s", error.message);
    return replay;
}

static void board_free(struct board *b)
{
    tvg_energy_free(b->energy);
    tvg_device_free(b->device);
    tvg_device_free(b->card);
    free(b);
}

static void board_refuses(struct board *b, const char *name, const char *because)
{
    struct tvg_replay replay = board_run(b, name);
    if (replay.outcome.applied || !strstr(replay.outcome.reason, because))
        fail_msg("%s: %s: %s", name, replay.outcome.applied ? "applied" : "refused", replay.outcome.reason);
    assert_true(replay.saved_work.high == 0 && replay.saved_rate.high == 0 && replay.time_saved == 0);
}

/* Joules above awake of kernels that fill the card, by the device file's watts: t t/(t + 3 us) W. */
static double joules(double us, double watts)
{
    return PASSES * us * 1e-6 * us / (us + 3) * watts;
}

static void narrower_products_take_fewer_joules_and_no_time(void **state)
{
    (void)state;
    static const struct { const char *name; double rate; bool convolution; } types[] = {{"tf32", 494.7e12, false}, {"bf16", 989.4e12, true}, {"fp16", 989.4e12, true}};
    for (size_t i = 0; i < 3; i++) {
        struct board *b = board_new();
        struct tvg_replay r = board_run(b, types[i].name);
        applied(&r);
        /* the product by roofline: 1.07 GFLOP at 66.9 and at the type's TFLOP/s, both above the shortest launch of 3 us or not */
        double flop = 2.0 * 1024 * 512 * 1024, bytes = (i ? 2 : 4) * (1024.0 * 1024 + 2 * 1024 * 512), before = flop / 66.9e12;
        double after = fmax(3e-6, fmax(flop / types[i].rate, bytes / 3350e9)), us = 3 + 17 * after / before;
        double product = joules(20, 532) - joules(us, 478); /* vector units to matrix units */
        if (!types[i].convolution)
            near(r.saved_rate.value, product, 1e-6);
        else
            assert_true(r.saved_rate.value > product); /* the convolution ran in TF32: 16 bits are narrower still */
        assert_true(fabs(r.time_saved) < 30e-6 && r.saved_rate.low > 0); /* the last kernel of all ends sooner */
        for (int k = 0; k < OPS; k++) /* nothing left in fp32 to narrow */
            b->ops[k].op.type_a = b->ops[k].op.type_b = b->ops[k].op.type_c = TVG_TYPE_F16;
        board_refuses(b, types[i].name, "no product runs in fp32");
        board_free(b);
    }
}

static void fp8_pays_its_scales(void **state)
{
    (void)state;
    struct board *b = board_new();
    struct tvg_replay r = board_run(b, "fp8");
    applied(&r);
    assert_non_null(strstr(r.outcome.reason, "1 of 1 product shapes"));
    assert_int_equal(r.op_count, 2 * PASSES + 4 * PASSES - 2 * PASSES + PASSES); /* calls: product, convolution, two kernels of their own; a pass of scales a product */
    assert_true(r.time_saved < 0); /* one launch more each on a launch-bound run */
    near(r.time_saved, -PASSES * 50e-6, 0.2);
    b->card->peak[TVG_TYPE_F8_E4M3].known = false;
    board_refuses(b, "fp8", "no fp8 rate");
    board_free(b);
}

static void elementwise_kernels_in_a_row_become_one(void **state)
{
    (void)state;
    struct board *b = board_new();
    struct tvg_replay r = board_run(b, "fuse-pointwise");
    applied(&r); /* the longer one stays, 6 us; the other's 4 us and launch go */
    near(r.saved_rate.value, joules(4, 479), 1e-6);
    near(r.time_saved, PASSES * 50e-6, 0.05);
    b->ops[GELU].op.dim[0] = 264 * 9; /* another tensor's size */
    board_refuses(b, "fuse-pointwise", "no two elementwise kernels");
    b->activity[BIAS].traits = b->activity[GELU].traits = (struct tvg_kernel_traits){0};
    board_refuses(b, "fuse-pointwise", "no kernel is known as elementwise");
    board_free(b);
}

static void the_kernel_behind_a_product_joins_it(void **state)
{
    (void)state;
    struct board *b = board_new();
    struct tvg_replay r = board_run(b, "fuse-epilogue");
    applied(&r);
    near(r.saved_rate.value, joules(4, 479), 1e-6);
    near(r.time_saved, PASSES * 50e-6, 0.05);
    assert_true(r.saved_rate.low < r.saved_rate.value); /* the product may take longer for it */
    b->ops[PRODUCT].op.epilogue = TVG_EPILOGUE_GELU;
    board_refuses(b, "fuse-epilogue", "no elementwise kernel comes right behind");
    board_free(b);
}

static void kernels_that_turn_tensors_go(void **state)
{
    (void)state;
    struct board *b = board_new();
    struct tvg_replay r = board_run(b, "layout-removal");
    applied(&r);
    near(r.time_saved, PASSES * 50e-6, 0.05);
    near(r.saved_rate.value, joules(5, 479), 1e-6);
    b->activity[TURN].traits.role = TVG_ROLE_UNKNOWN;
    board_refuses(b, "layout-removal", "no convolution launched");
    board_free(b);
}

static void graphs_take_the_hosts_work(void **state)
{
    (void)state;
    struct board *b = board_new();
    struct tvg_replay r = board_run(b, "cuda-graphs");
    applied(&r);
    assert_non_null(strstr(r.outcome.reason, "39 passes of 5 kernels"));
    /* 250 us of launches a pass become one launch, and 65 us of kernels with four changes of 0.3 us then set the pace */
    near(r.time_saved, 39 * (250e-6 - 66.2e-6), 0.02);
    assert_true(r.saved_rate.low < 0 && r.saved_rate.high > 0 && r.saved_work.low > 0);
    b->activity[CONV].traits.role = TVG_ROLE_ATTENTION; /* capture may choose another way */
    struct tvg_replay unsure = board_run(b, "cuda-graphs");
    assert_true(unsure.saved_work.high - unsure.saved_work.low > 3 * (r.saved_work.high - r.saved_work.low));
    for (uint32_t i = 0; i < b->profile.timeline.count; i++)
        b->rows[i].in_graph = true;
    board_refuses(b, "cuda-graphs", "already");
    for (uint32_t i = 0, seed = 1; i < b->profile.timeline.count; i++) {
        seed = seed * 1664525 + 1013904223;
        b->rows[i].in_graph = false;
        b->rows[i].activity = SGEMM + (seed >> 20) % 5;
    }
    board_refuses(b, "cuda-graphs", "do not repeat");
    board_free(b);
}

static void batching_reads_weights_once(void **state)
{
    (void)state;
    struct board *b = board_new();
    board_refuses(b, "batching", "--assume batch=");
    struct tvg_assumption batch = {"batch", 4};
    b->context.assumptions = &batch;
    b->context.assumption_count = 1;
    struct tvg_replay r = board_run(b, "batching");
    applied(&r);
    near(r.flop, b->profile.flop, 1e-9); /* the same work */
    assert_true(r.bytes < 40 * (double)(b->ops[PRODUCT].op.bytes + b->ops[CONVOLUTION].op.bytes));
    assert_int_equal(r.op_count, PASSES / 4 * 4);
    assert_true(r.time_saved > 0); /* a quarter of the launches */
    batch.value = 1;
    board_refuses(b, "batching", "above 1");
    board_free(b);
}

static void what_is_for_cpus_is_refused_and_waiting_is_named(void **state)
{
    (void)state;
    struct board *b = board_new();
    board_refuses(b, "cpu-threads", "the board's");
    board_refuses(b, "idle-clocks", "never without work");
    b->gpu.pause_seconds = 2;
    board_refuses(b, "idle-clocks", "102 J at most"); /* (124.5 - 73.5) W x 2 s */
    assert_true(tvg_rewrite_find("idle-clocks")->diagnostic_only);
    board_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(narrower_products_take_fewer_joules_and_no_time), cmocka_unit_test(fp8_pays_its_scales), cmocka_unit_test(elementwise_kernels_in_a_row_become_one),
        cmocka_unit_test(the_kernel_behind_a_product_joins_it), cmocka_unit_test(kernels_that_turn_tensors_go), cmocka_unit_test(graphs_take_the_hosts_work),
        cmocka_unit_test(batching_reads_weights_once), cmocka_unit_test(what_is_for_cpus_is_refused_and_waiting_is_named)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
