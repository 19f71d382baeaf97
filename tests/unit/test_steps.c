/* Repeated forward passes: encoders of mixed lengths, prefill and decode, networks that are neither, programs that repeat nothing. */
#include "profile_feed.h"

static uint64_t seed = 42;
static uint64_t chance(uint64_t below)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (seed >> 33) % below;
}
/* Where a fresh activation lies: allocators give a few places again and again. */
static uint64_t fresh(void)
{
    return 0x7f0000000000u + chance(40) * 0x100000;
}

enum { HIDDEN = 384, INNER = 1536, HEADS = 12, LAYERS = 6, WEIGHTS = 0x10000000, WEIGHT_BYTES = 0x400000 };

static void encoder_pass(struct feed *feed, uint32_t t, int64_t batch, int64_t length)
{
    int64_t rows = batch * length;
    for (uint64_t layer = 0; layer < LAYERS; layer++) {
        uint64_t weight = WEIGHTS + layer * 16 * WEIGHT_BYTES, x = fresh();
        for (uint64_t part = 0; part < 3; part++)
            feed_gemm(feed, t, rows, HIDDEN, HIDDEN, x, weight + part * WEIGHT_BYTES, 0x600000000000u + part * 0x1000000);
        uint64_t query = fresh(), key = fresh(), value = fresh();
        for (int64_t i = 0; i < batch * HEADS; i++)
            feed_gemm(feed, t, length, length, 32, query + (uint64_t)i * 128, key + (uint64_t)i * 128, fresh());
        for (int64_t i = 0; i < batch * HEADS; i++)
            feed_gemm(feed, t, length, 32, length, fresh(), value + (uint64_t)i * 128, fresh());
        feed_gemm(feed, t, rows, HIDDEN, HIDDEN, fresh(), weight + 3 * WEIGHT_BYTES, fresh());
        feed_gemm(feed, t, rows, INNER, HIDDEN, fresh(), weight + 4 * WEIGHT_BYTES, fresh());
        feed_gemm(feed, t, rows, HIDDEN, INNER, fresh(), weight + 5 * WEIGHT_BYTES, fresh());
        feed_host(feed, t, 5000);
    }
    feed_host(feed, t, 100000);
}

static const struct tvg_unit *unit(const struct tvg_profile *profile, const char *kind)
{
    for (uint32_t i = 0; i < profile->unit_count; i++)
        if (strcmp(profile->units[i].kind, kind) == 0)
            return &profile->units[i];
    return NULL;
}

static uint64_t steps_of(const struct tvg_profile *profile, enum tvg_step_kind kind)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < profile->step_count; i++)
        count += profile->steps[i].kind == kind ? profile->steps[i].count : 0;
    return count;
}

static void encoder(int passes, bool mixed)
{
    struct feed *feed = feed_new(NULL);
    double tokens = 0, sequences = 0;
    for (int i = 0; i < passes; i++) {
        int64_t batch = mixed && i % 7 == 6 ? 3 : 4, length = mixed ? 8 + (int64_t)chance(40) : 24;
        encoder_pass(feed, 0, batch, length);
        tokens += (double)(batch * length);
        sequences += (double)batch;
    }
    feed_gemm(feed, 0, 50, 50, HIDDEN, 0x1234560, 0x1234560, fresh()); /* likeness of the embeddings: belongs to no pass */
    struct tvg_profile *profile = feed_finish(feed);
    assert_int_equal(profile->step_count, 1);
    assert_int_equal(profile->steps[0].kind, TVG_STEP_PASS);
    assert_int_equal(profile->steps[0].count, passes);
    assert_string_equal(profile->units[0].kind, "input_token");
    assert_true(profile->units[0].value == tokens);
    assert_int_equal(profile->units[0].basis, TVG_BASIS_INFERRED);
    if (unit(profile, "sequence")->value != sequences) print_message("%f %f\n", unit(profile, "sequence")->value, sequences);
    assert_true(unit(profile, "sequence")->value == sequences);
    assert_true(unit(profile, "pass")->value == passes);
    assert_null(unit(profile, "output_token"));
    if (!mixed) {
        assert_int_equal(profile->steps[0].ops, LAYERS * (6 + 2 * 4 * HEADS));
        assert_true(profile->steps[0].seconds_median > 0 && profile->steps[0].seconds_min <= profile->steps[0].seconds_median);
    }
    assert_non_null(strstr(profile->steps[0].anchor, "n=384 k=384"));
    tvg_profile_free(profile);
}

static void encoder_of_one_length(void **state)
{
    (void)state;
    encoder(30, false);
    encoder(400, false); /* more ops than are learned from */
}
static void encoder_of_mixed_lengths(void **state)
{
    (void)state;
    encoder(30, true);
    encoder(400, true);
    encoder(3, true);
}

/* Several threads, each with its own passes, one of them late. */
static void encoders_in_threads(void **state)
{
    (void)state;
    struct feed *feed = feed_new(NULL);
    for (int i = 0; i < 200; i++) {
        encoder_pass(feed, (uint32_t)i % 3, 2, 8 + (int64_t)chance(20));
        if (i > 150)
            encoder_pass(feed, 5, 2, 12);
    }
    struct tvg_profile *profile = feed_finish(feed);
    assert_int_equal(steps_of(profile, TVG_STEP_PASS), 249);
    assert_int_equal(profile->threads, 4);
    tvg_profile_free(profile);
}

/* One token: every weight once, by gemv (column-major, transposed, as numpy and torch call it) or by gemm with one row. */
static void decoder_pass(struct feed *feed, int64_t rows, int64_t context, bool by_gemv, int64_t vocabulary)
{
    for (uint64_t layer = 0; layer <= 4; layer++) {
        bool logits = layer == 4;
        for (uint64_t part = 0; part < (logits ? 1 : 6); part++) {
            uint64_t weight = WEIGHTS + (layer * 16 + part) * WEIGHT_BYTES, x = fresh();
            int64_t n = logits ? vocabulary : part == 4 ? 1024 : 256, k = part == 5 ? 1024 : 256;
            if (part == 3)
                for (int head = 0; head < 8; head++) {
                    if (rows == 1) {
                        feed_op(feed, 0, feed_dictionary(feed, "cblas_sgemv", TVG_KIND_GEMV, 32, context, 0, TVG_OP_TRANS_A), fresh() + (uint64_t)head * 128,
                                fresh(), fresh(), 900);
                        feed_op(feed, 0, feed_dictionary(feed, "cblas_sgemv", TVG_KIND_GEMV, 32, context, 0, 0), fresh() + (uint64_t)head * 128, fresh(),
                                fresh(), 900);
                    } else {
                        feed_gemm(feed, 0, rows, context, 32, fresh() + (uint64_t)head * 128, fresh(), fresh());
                        feed_gemm(feed, 0, rows, 32, context, fresh(), fresh(), fresh());
                    }
                }
            int64_t m = logits ? 1 : rows;
            if (m == 1 && by_gemv)
                feed_op(feed, 0, feed_dictionary(feed, "cblas_sgemv", TVG_KIND_GEMV, k, n, 0, TVG_OP_TRANS_A), weight, x, fresh(), 2000);
            else
                feed_gemm(feed, 0, m, n, k, x, weight, fresh());
        }
    }
}

static void decoder(bool by_gemv, int requests, int outputs)
{
    struct feed *feed = feed_new(NULL);
    double prompt = 0;
    for (int request = 0; request < requests; request++) {
        int64_t context = 10 + (int64_t)chance(50);
        prompt += (double)context;
        decoder_pass(feed, context, context, by_gemv, 8000);
        for (int i = 1; i < outputs; i++)
            decoder_pass(feed, 1, ++context, by_gemv, 8000);
    }
    struct tvg_profile *profile = feed_finish(feed);
    assert_int_equal(steps_of(profile, TVG_STEP_PREFILL), requests);
    assert_int_equal(steps_of(profile, TVG_STEP_DECODE), requests * (outputs - 1));
    assert_string_equal(profile->units[0].kind, "output_token");
    assert_true(profile->units[0].value == requests * outputs);
    assert_true(unit(profile, "input_token")->value == prompt);
    assert_non_null(strstr(profile->units[0].how, "output projection"));
    tvg_profile_free(profile);
}

static void prefill_and_decode(void **state)
{
    (void)state;
    decoder(true, 20, 30);
    decoder(false, 20, 30);
    decoder(true, 1, 200);
}

/* A perceptron, one image at a time: one row a pass and no token anywhere. */
static void network_without_attention(void **state)
{
    (void)state;
    struct feed *feed = feed_new(NULL);
    for (int i = 0; i < 500; i++) {
        feed_gemm(feed, 0, 1, 512, 784, fresh(), WEIGHTS, fresh());
        feed_gemm(feed, 0, 1, 256, 512, fresh(), WEIGHTS + WEIGHT_BYTES, fresh());
        feed_gemm(feed, 0, 1, 10, 256, fresh(), WEIGHTS + 2 * WEIGHT_BYTES, fresh());
    }
    struct tvg_profile *profile = feed_finish(feed);
    assert_int_equal(steps_of(profile, TVG_STEP_PASS), 500);
    assert_int_equal(profile->unit_count, 1);
    assert_string_equal(profile->units[0].kind, "pass");
    assert_true(profile->units[0].value == 500);
    tvg_profile_free(profile);
}

/* Convolutions by im2col: many rows, which are no tokens. */
static void convolutions_are_no_tokens(void **state)
{
    (void)state;
    struct feed *feed = feed_new(NULL);
    for (int i = 0; i < 100; i++)
        for (uint64_t layer = 0; layer < 8; layer++)
            feed_gemm(feed, 0, 112 * 112 >> layer, 64, 576, fresh(), WEIGHTS + layer * WEIGHT_BYTES, fresh());
    struct tvg_profile *profile = feed_finish(feed);
    assert_int_equal(steps_of(profile, TVG_STEP_PASS), 100);
    assert_string_equal(profile->units[0].kind, "pass");
    assert_null(unit(profile, "input_token"));
    tvg_profile_free(profile);
}

/* torch: column-major, weights in A, transposed. */
static void weights_in_the_first_operand(void **state)
{
    (void)state;
    struct feed *feed = feed_new(NULL);
    for (int i = 0; i < 300; i++) {
        int64_t rows = 5 + (int64_t)chance(50);
        for (uint64_t layer = 0; layer < 12; layer++)
            feed_op(feed, 0, feed_dictionary(feed, "sgemm_", TVG_KIND_GEMM, layer % 2 ? 256 : 1024, rows, layer % 2 ? 1024 : 256, TVG_OP_TRANS_A),
                    WEIGHTS + layer * WEIGHT_BYTES, fresh(), fresh(), 5000);
    }
    struct tvg_profile *profile = feed_finish(feed);
    assert_int_equal(steps_of(profile, TVG_STEP_PASS), 300);
    assert_int_equal(profile->steps[0].ops, 12);
    assert_true(profile->steps[0].rows_min >= 5 && profile->steps[0].rows_max < 55);
    tvg_profile_free(profile);
}

static void nothing_repeats(void **state)
{
    (void)state;
    struct feed *feed = feed_new(NULL);
    for (int i = 0; i < 150000; i++)
        feed_gemm(feed, 0, 10 + (int64_t)chance(60), 10 + (int64_t)chance(60), 10, chance(1u << 30) * 64, chance(1u << 30) * 64, fresh());
    struct tvg_profile *profile = feed_finish(feed);
    assert_int_equal(profile->step_count, 0);
    assert_int_equal(profile->unit_count, 1);
    assert_string_equal(profile->units[0].kind, "pass");
    assert_true(profile->units[0].value == 0);
    assert_int_equal(profile->units[0].basis, TVG_BASIS_NONE);
    tvg_profile_free(profile);
}

static void a_single_op_in_a_loop_is_no_pass(void **state)
{
    (void)state;
    struct feed *feed = feed_new(NULL);
    for (int i = 0; i < 1000; i++)
        feed_gemm(feed, 0, 64, 64, 64, 0x1000, 0x200000, 0x400000);
    struct tvg_profile *profile = feed_finish(feed);
    assert_int_equal(profile->step_count, 0);
    tvg_profile_free(profile);
}

/* The model is replaced while the process runs: the first anchor never comes again. */
static void a_second_model(void **state)
{
    (void)state;
    struct feed *feed = feed_new(NULL);
    for (int i = 0; i < 200; i++)
        encoder_pass(feed, 0, 2, 20);
    for (int i = 0; i < 60000; i++)
        for (uint64_t layer = 0; layer < 6; layer++)
            feed_gemm(feed, 0, 3, 100 + (int64_t)layer, 64, fresh(), 0x900000000u + layer * WEIGHT_BYTES, fresh());
    struct tvg_profile *profile = feed_finish(feed);
    uint64_t small = 0, large = 0;
    for (uint32_t i = 0; i < profile->step_count; i++)
        *(profile->steps[i].ops == 6 ? &small : &large) += profile->steps[i].count;
    assert_int_equal(large, 200);
    assert_true(small > 45000 && small <= 60000); /* those before it was noticed belong to none */
    tvg_profile_free(profile);
}

/* cuDNN tells no addresses: a network of convolutions whose stages repeat a block, and a linear layer at its end. */
static void a_network_without_addresses_is_known_by_its_shapes(void **state)
{
    (void)state;
    struct feed *feed = feed_new(NULL);
    static const int64_t blocks[][2] = {{64, 64}, {64, 256}, {256, 128}, {128, 512}};
    for (int pass = 0; pass < 25; pass++) {
        for (int layer = -1; layer < 4 * 4; layer++) {
            uint32_t id = feed->op_count;
            int64_t in = layer < 0 ? 3 : blocks[layer / 4][layer % 2], out = layer < 0 ? 64 : blocks[layer / 4][(layer + 1) % 2];
            for (uint32_t i = 0; i < feed->op_count; i++)
                if (feed->op[i].dim[1] == in && feed->op[i].dim[4] == out)
                    id = i;
            if (id == feed->op_count) {
                struct tvg_op *op = &feed->op[feed->op_count++];
                *op = (struct tvg_op){.library = "libcudnn.so.9", .function = "cudnnBackendExecute", .kind = TVG_KIND_CONV, .type_a = TVG_TYPE_F32, .type_b = TVG_TYPE_F32,
                                      .type_c = TVG_TYPE_F32, .type_compute = TVG_TYPE_F32, .dim_count = 10, .dim_spatial = 2, .dim = {32, in, 56, 56, out, 3, 3, 56, 56, 1}};
                tvg_op_count(op);
            }
            feed_op(feed, 0, id, 0, 0, 0, 20000);
        }
        feed_gemm(feed, 0, 32, 1000, 512, fresh(), WEIGHTS, fresh());
    }
    struct tvg_profile *profile = feed_finish(feed);
    assert_true(unit(profile, "pass")->value == 25 && unit(profile, "pass")->basis == TVG_BASIS_INFERRED);
    assert_int_equal(profile->step_count, 1);
    assert_int_equal(profile->steps[0].ops, 18);
    tvg_profile_free(profile);
}

/* Each pass begins with a product of no weight that repeats its address: the anchor comes behind it, and the last pass has no other behind its end. */
static void the_last_pass_counts_where_a_pass_begins_before_its_anchor(void **state)
{
    (void)state;
    for (int passes = 2; passes < 14; passes += 11) {
        struct feed *feed = feed_new(NULL);
        for (int pass = 0; pass < passes; pass++) {
            feed_gemm(feed, 0, 77, 768, 3 * 16 * 16, 0, 0, 0);
            for (uint64_t layer = 0; layer < 4; layer++) {
                feed_gemm(feed, 0, 77, 2304, 768, fresh(), WEIGHTS + (2 * layer) * WEIGHT_BYTES, 0x600000000000u);
                feed_gemm(feed, 0, 77, 768, 2304, fresh(), WEIGHTS + (2 * layer + 1) * WEIGHT_BYTES, 0x600001000000u);
            }
        }
        struct tvg_profile *profile = feed_finish(feed);
        assert_true(unit(profile, "pass")->value == passes);
        tvg_profile_free(profile);
    }
}

/* One pass of eight layers alike: what goes to and fro between two buffers is no weight that comes back. */
static void activations_that_change_places_are_no_weights(void **state)
{
    (void)state;
    struct feed *feed = feed_new(NULL);
    for (uint64_t layer = 0; layer < 8; layer++)
        feed_gemm(feed, 0, 1024, 16, 1024, WEIGHTS + layer * WEIGHT_BYTES, 0x7fea07200000u + (layer % 2 ? 0 : 0x100000u), 0x7fea07200000u + (layer % 2 ? 0x100000u : 0));
    struct tvg_profile *profile = feed_finish(feed);
    assert_int_equal(profile->step_count, 0);
    assert_true(unit(profile, "pass")->value == 0);
    tvg_profile_free(profile);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_network_without_addresses_is_known_by_its_shapes), cmocka_unit_test(the_last_pass_counts_where_a_pass_begins_before_its_anchor),
        cmocka_unit_test(activations_that_change_places_are_no_weights),
        cmocka_unit_test(encoder_of_one_length),
        cmocka_unit_test(encoder_of_mixed_lengths),
        cmocka_unit_test(encoders_in_threads),
        cmocka_unit_test(prefill_and_decode),
        cmocka_unit_test(network_without_attention),
        cmocka_unit_test(convolutions_are_no_tokens),
        cmocka_unit_test(weights_in_the_first_operand),
        cmocka_unit_test(nothing_repeats),
        cmocka_unit_test(a_single_op_in_a_loop_is_no_pass),
        cmocka_unit_test(a_second_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
