/* Names, type sizes, and FLOP: every formula against multiplications and additions counted one by one in the textbook loops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "trace/op.h"

/* --- counting: loops written from the definitions, never from the formulas --- */

static uint64_t brute_gemm(int m, int n, int k)
{
    uint64_t flop = 0;
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++)
            for (int p = 0; p < k; p++)
                flop += 2; /* c += a * b */
    return flop;
}

static uint64_t brute_triangle_update(int n, int k, int products)
{
    uint64_t flop = 0;
    for (int i = 0; i < n; i++)
        for (int j = 0; j <= i; j++)
            for (int p = 0; p < k; p++)
                flop += 2 * (uint64_t)products;
    return flop;
}

/* B := A B with a triangular A of order `order`, on `other` right-hand sides: the first product needs no addition. */
static uint64_t brute_triangular_product(int order, int other)
{
    uint64_t flop = 0;
    for (int column = 0; column < other; column++)
        for (int i = 0; i < order; i++)
            for (int p = i; p < order; p++)
                flop += p == i ? 1 : 2;
    return flop;
}

/* Solving: for each unknown, a subtraction and product per known one, then a division. */
static uint64_t brute_triangular_solve(int order, int other)
{
    uint64_t flop = 0;
    for (int column = 0; column < other; column++)
        for (int i = 0; i < order; i++) {
            for (int p = 0; p < i; p++)
                flop += 2;
            flop += 1;
        }
    return flop;
}

static uint64_t brute_band_entries(int m, int n, int kl, int ku)
{
    uint64_t entries = 0;
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++)
            entries += i - j <= kl && j - i <= ku;
    return entries;
}

static struct tvg_op op_of(enum tvg_kind kind, int64_t m, int64_t n, int64_t k)
{
    return (struct tvg_op){.kind = kind, .type_a = TVG_TYPE_F32, .type_b = TVG_TYPE_F32, .type_c = TVG_TYPE_F32, .type_compute = TVG_TYPE_F32, .m = m, .n = n, .k = k};
}

static uint64_t flop_of(struct tvg_op op)
{
    tvg_op_count(&op);
    return op.flop;
}

/* --- tests --- */

static void matrix_products(void **state)
{
    (void)state;
    for (int m = 0; m < 6; m++)
        for (int n = 0; n < 6; n++)
            for (int k = 0; k < 6; k++) {
                assert_int_equal(flop_of(op_of(TVG_KIND_GEMM, m, n, k)), brute_gemm(m, n, k));
                struct tvg_op batched = op_of(TVG_KIND_GEMM, m, n, k);
                batched.batch = 7;
                assert_int_equal(flop_of(batched), 7 * brute_gemm(m, n, k));
                batched.type_a = batched.type_b = batched.type_c = TVG_TYPE_C64; /* a complex multiply-add is 4 real ones */
                assert_int_equal(flop_of(batched), 4 * 7 * brute_gemm(m, n, k));
                assert_int_equal(flop_of(op_of(TVG_KIND_GEMMT, 0, n, k)), brute_triangle_update(n, k, 1));
                assert_int_equal(flop_of(op_of(TVG_KIND_SYRK, 0, n, k)), brute_triangle_update(n, k, 1));
                assert_int_equal(flop_of(op_of(TVG_KIND_SYR2K, 0, n, k)), brute_triangle_update(n, k, 2));
            }
    struct tvg_op herk = op_of(TVG_KIND_HERK, 0, 5, 3), her2k = op_of(TVG_KIND_HER2K, 0, 5, 3);
    herk.type_a = herk.type_c = her2k.type_a = her2k.type_c = TVG_TYPE_C128;
    assert_int_equal(flop_of(herk), 4 * brute_triangle_update(5, 3, 1));
    assert_int_equal(flop_of(her2k), 4 * brute_triangle_update(5, 3, 2));
}

static void two_sided(void **state)
{
    (void)state;
    for (int m = 0; m < 7; m++)
        for (int n = 0; n < 7; n++)
            for (int right = 0; right < 2; right++) {
                int order = right ? n : m, other = right ? m : n;
                struct tvg_op symm = op_of(TVG_KIND_SYMM, m, n, 0), trmm = op_of(TVG_KIND_TRMM, m, n, 0), trsm = op_of(TVG_KIND_TRSM, m, n, 0);
                symm.flags = trmm.flags = trsm.flags = right ? TVG_OP_RIGHT : 0;
                assert_int_equal(flop_of(symm), brute_gemm(order, other, order));
                assert_int_equal(flop_of(trmm), brute_triangular_product(order, other));
                assert_int_equal(flop_of(trsm), brute_triangular_solve(order, other));
            }
}

static void level_two(void **state)
{
    (void)state;
    for (int m = 0; m < 7; m++)
        for (int n = 0; n < 7; n++) {
            assert_int_equal(flop_of(op_of(TVG_KIND_GEMV, m, n, 0)), brute_gemm(m, 1, n));
            assert_int_equal(flop_of(op_of(TVG_KIND_GER, m, n, 0)), brute_gemm(m, n, 1));
            for (int kl = 0; kl < 8; kl++)
                for (int ku = 0; ku < 8; ku++) {
                    struct tvg_op op = op_of(TVG_KIND_GBMV, m, n, kl + ku + 1);
                    op.dim_count = 2;
                    op.dim[0] = kl;
                    op.dim[1] = ku;
                    assert_int_equal(flop_of(op), 2 * brute_band_entries(m, n, kl, ku));
                }
        }
    for (int n = 0; n < 8; n++) {
        assert_int_equal(flop_of(op_of(TVG_KIND_SYMV, 0, n, 0)), brute_gemm(n, 1, n));
        assert_int_equal(flop_of(op_of(TVG_KIND_SPMV, 0, n, 0)), brute_gemm(n, 1, n));
        assert_int_equal(flop_of(op_of(TVG_KIND_TRMV, 0, n, 0)), brute_triangular_product(n, 1));
        assert_int_equal(flop_of(op_of(TVG_KIND_TPMV, 0, n, 0)), brute_triangular_product(n, 1));
        assert_int_equal(flop_of(op_of(TVG_KIND_TRSV, 0, n, 0)), brute_triangular_solve(n, 1));
        assert_int_equal(flop_of(op_of(TVG_KIND_TPSV, 0, n, 0)), brute_triangular_solve(n, 1));
        assert_int_equal(flop_of(op_of(TVG_KIND_SYR, 0, n, 0)), brute_triangle_update(n, 1, 1));
        assert_int_equal(flop_of(op_of(TVG_KIND_SPR, 0, n, 0)), brute_triangle_update(n, 1, 1));
        assert_int_equal(flop_of(op_of(TVG_KIND_SYR2, 0, n, 0)), brute_triangle_update(n, 1, 2));
        assert_int_equal(flop_of(op_of(TVG_KIND_SPR2, 0, n, 0)), brute_triangle_update(n, 1, 2));
        for (int k = 0; k < 10; k++) {
            assert_int_equal(flop_of(op_of(TVG_KIND_SBMV, 0, n, k)), 2 * brute_band_entries(n, n, k, k));
            uint64_t triangular = 2 * brute_band_entries(n, n, 0, k) - (uint64_t)n; /* the diagonal's products need no addition */
            assert_int_equal(flop_of(op_of(TVG_KIND_TBMV, 0, n, k)), triangular);
            assert_int_equal(flop_of(op_of(TVG_KIND_TBSV, 0, n, k)), triangular);
        }
    }
}

static void convolution(void **state)
{
    (void)state;
    /* N, C, in, K, kernel, out, groups: no padding, stride 2, so outputs are counted from the inputs they read */
    enum { N = 2, C = 6, H = 9, W = 7, K = 4, R = 3, S = 2, GROUPS = 2, STRIDE = 2 };
    int out_h = 0, out_w = 0;
    for (int y = 0; y + R <= H; y += STRIDE)
        out_h++;
    for (int x = 0; x + S <= W; x += STRIDE)
        out_w++;
    uint64_t flop = 0;
    for (int n = 0; n < N; n++)
        for (int filter = 0; filter < K; filter++)
            for (int y = 0; y < out_h; y++)
                for (int x = 0; x < out_w; x++)
                    for (int c = 0; c < C; c++)
                        if (c / (C / GROUPS) == filter / (K / GROUPS))
                            for (int r = 0; r < R; r++)
                                for (int s = 0; s < S; s++)
                                    flop += 2;
    struct tvg_op op = op_of(TVG_KIND_CONV, 0, 0, 0);
    int64_t dim[] = {N, C, H, W, K, R, S, out_h, out_w, GROUPS};
    memcpy(op.dim, dim, sizeof dim);
    op.dim_count = 10;
    op.dim_spatial = 2;
    tvg_op_count(&op);
    assert_int_equal(op.flop, flop);
    assert_int_equal(op.bytes_a, 4 * N * C * H * W);
    assert_int_equal(op.bytes_b, 4 * K * (C / GROUPS) * R * S);
    assert_int_equal(op.bytes_c, 4 * N * K * out_h * out_w);
    op.dim_count = 9; /* contradicts the number of spatial dimensions */
    assert_int_equal(flop_of(op), 0);
}

static void attention(void **state)
{
    (void)state;
    for (int queries = 0; queries < 6; queries++)
        for (int keys = 0; keys < 6; keys++)
            for (int causal = 0; causal < 2; causal++) {
                uint64_t flop = 0;
                for (int head = 0; head < 2 * 3; head++)
                    for (int i = 0; i < queries; i++)
                        for (int j = 0; j < keys; j++)
                            if (!causal || j <= i + keys - queries)
                                flop += 2 * 5 + 2 * 5; /* a score and its share of the output, 5 wide */
                struct tvg_op op = op_of(TVG_KIND_ATTENTION, 0, 0, 0);
                int64_t dim[] = {2, 3, 1, queries, keys, 5, causal};
                memcpy(op.dim, dim, sizeof dim);
                op.dim_count = 7;
                assert_int_equal(flop_of(op), flop);
            }
}

static void bytes(void **state)
{
    (void)state;
    struct tvg_op op = op_of(TVG_KIND_GEMM, 3, 5, 7);
    tvg_op_count(&op);
    assert_int_equal(op.bytes_a, 4 * 3 * 7);
    assert_int_equal(op.bytes_b, 4 * 7 * 5);
    assert_int_equal(op.bytes_c, 2 * 4 * 3 * 5); /* read and written */
    assert_int_equal(op.bytes, op.bytes_a + op.bytes_b + op.bytes_c);
    op.flags = TVG_OP_BETA_ZERO;
    tvg_op_count(&op);
    assert_int_equal(op.bytes_c, 4 * 3 * 5);
    op.batch = 10;
    op.flags |= TVG_OP_BATCH_STRIDED;
    op.stride_a = 21;
    op.stride_c = 15; /* B is the same for all */
    tvg_op_count(&op);
    assert_int_equal(op.bytes_a, 10 * 4 * 3 * 7);
    assert_int_equal(op.bytes_b, 4 * 7 * 5);
    assert_int_equal(op.bytes_c, 10 * 4 * 3 * 5);
    op.flags |= TVG_OP_FLOP_GIVEN;
    op.flop = 42;
    op.bytes = 43;
    tvg_op_count(&op);
    assert_int_equal(op.flop, 42);
    assert_int_equal(op.bytes, 43);

    struct tvg_op quantised = op_of(TVG_KIND_GEMM, 256, 4, 512);
    quantised.type_a = TVG_TYPE_Q4_K;
    tvg_op_count(&quantised);
    assert_int_equal(quantised.bytes_a, 256 * 512 / 256 * 144);

    struct tvg_op transposed = op_of(TVG_KIND_GEMV, 10, 20, 0);
    transposed.flags = TVG_OP_TRANS_A | TVG_OP_BETA_ZERO;
    tvg_op_count(&transposed);
    assert_int_equal(transposed.bytes_b, 4 * 10);
    assert_int_equal(transposed.bytes_c, 4 * 20);
}

static void saturation(void **state)
{
    (void)state;
    assert_true(flop_of(op_of(TVG_KIND_GEMM, INT64_MAX, INT64_MAX, INT64_MAX)) == UINT64_MAX);
    assert_int_equal(flop_of(op_of(TVG_KIND_GEMM, INT64_MAX, INT64_MAX, 0)), 0);
    assert_int_equal(flop_of(op_of(TVG_KIND_GEMM, 0, INT64_MAX, INT64_MAX)), 0);
    assert_int_equal(flop_of(op_of(TVG_KIND_GEMM, -3, 4, 5)), 0);
    for (unsigned kind = 0; kind < TVG_KIND_COUNT; kind++) {
        struct tvg_op op = op_of((enum tvg_kind)kind, INT64_MAX, INT64_MAX, INT64_MAX);
        op.dim_count = TVG_DIMS_MAX;
        op.dim_spatial = 255;
        for (int i = 0; i < TVG_DIMS_MAX; i++)
            op.dim[i] = i % 3 ? INT64_MAX : INT64_MIN;
        op.batch = INT64_MAX;
        tvg_op_count(&op); /* no overflow: the sanitizers look */
        assert_true(op.bytes >= op.bytes_a);
    }
}

static void names(void **state)
{
    (void)state;
    for (unsigned type = 0; type < TVG_TYPE_COUNT; type++) {
        assert_non_null(tvg_type_info(type)->name);
        assert_int_equal(tvg_type_by_name(tvg_type_info(type)->name), type);
        assert_true(tvg_type_info(type)->block_elements > 0);
        assert_int_equal(tvg_type_info(type)->block_bytes == 0, type == TVG_TYPE_NONE);
    }
    for (unsigned kind = 0; kind < TVG_KIND_COUNT; kind++)
        assert_int_equal(tvg_kind_by_name(tvg_kind_name(kind)), kind);
    assert_int_equal(tvg_type_by_name("f33"), TVG_TYPE_COUNT);
    assert_int_equal(tvg_kind_by_name("gemmm"), TVG_KIND_COUNT);
    assert_string_equal(tvg_kind_name(9999), "other");
    assert_string_equal(tvg_type_info(9999)->name, "none");
    assert_string_equal(tvg_net_name(9999), "none");
    assert_string_equal(tvg_net_name(TVG_NET_DLSYM), "dlsym");
}

/* Bits a weight as ggml's documentation gives them, times elements of a block. */
static void quantised_sizes(void **state)
{
    (void)state;
    static const struct { enum tvg_type type; double bits; } known[] = {
        {TVG_TYPE_Q4_0, 4.5}, {TVG_TYPE_Q4_1, 5}, {TVG_TYPE_Q5_0, 5.5}, {TVG_TYPE_Q5_1, 6}, {TVG_TYPE_Q8_0, 8.5}, {TVG_TYPE_Q8_1, 9},
        {TVG_TYPE_Q2_K, 2.625}, {TVG_TYPE_Q3_K, 3.4375}, {TVG_TYPE_Q4_K, 4.5}, {TVG_TYPE_Q5_K, 5.5}, {TVG_TYPE_Q6_K, 6.5625}, {TVG_TYPE_Q8_K, 9.125},
        {TVG_TYPE_IQ2_XXS, 2.0625}, {TVG_TYPE_IQ2_XS, 2.3125}, {TVG_TYPE_IQ3_XXS, 3.0625}, {TVG_TYPE_IQ1_S, 1.5625}, {TVG_TYPE_IQ4_NL, 4.5},
        {TVG_TYPE_IQ3_S, 3.4375}, {TVG_TYPE_IQ2_S, 2.5625}, {TVG_TYPE_IQ4_XS, 4.25}, {TVG_TYPE_IQ1_M, 1.75}, {TVG_TYPE_TQ1_0, 1.6875},
        {TVG_TYPE_TQ2_0, 2.0625}, {TVG_TYPE_MXFP4, 4.25},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const struct tvg_type_info *info = tvg_type_info(known[i].type);
        assert_true(info->block_bytes * 8.0 / info->block_elements == known[i].bits);
        assert_int_equal(tvg_type_bytes(known[i].type, info->block_elements + 1u), 2 * info->block_bytes);
    }
    assert_int_equal(tvg_type_bytes(TVG_TYPE_I4, 5), 3);
    assert_int_equal(tvg_type_bytes(TVG_TYPE_F16, 5), 10);
    assert_true(tvg_type_bytes(TVG_TYPE_F64, UINT64_MAX) == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matrix_products), cmocka_unit_test(two_sided), cmocka_unit_test(level_two), cmocka_unit_test(convolution),
        cmocka_unit_test(attention), cmocka_unit_test(bytes), cmocka_unit_test(saturation), cmocka_unit_test(names), cmocka_unit_test(quantised_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
