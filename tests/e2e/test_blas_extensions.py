"""What is said of a call beyond the reference BLAS: batches, packed operands, integer and 16-bit products, sizes beyond 2^31. The libraries that
have these (MKL, newer OpenBLAS) are stood in for by one that computes nothing."""
import blas_names
import blas_stand_in
import pytest
import tvg_testlib

HEAD = """
import ctypes as c, sys
lib = c.CDLL(sys.argv[1])
x = (c.c_int64 * 4096)()
p = c.cast(x, c.c_void_p)
I, L, F, D = c.c_int32, c.c_int64, c.c_float, c.c_double
def i32(*v): return (I * len(v))(*v)
def i64(*v): return (L * len(v))(*v)
def f32(*v): return (F * len(v))(*v)
def f64(*v): return (D * len(v))(*v)
def at(*v): return (c.c_void_p * len(v))(*[p.value + 64 * i for i in v])
def ref(v): return c.byref(v)
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    names = [entry for entry in blas_names.all_names() if "_batch" in entry[0] or "gemm" in entry[0] or "gemv" in entry[0]]
    return blas_stand_in.build(tmp_path_factory.mktemp("extensions"), names, "extensions")[1]


@pytest.fixture
def one(library, tmp_path):
    def call(code):
        script = tmp_path / "call.py"
        script.write_text(HEAD + code)
        run = tvg_testlib.run_under_shim([tvg_testlib.PYTHON, script, library], tmp_path)
        ops = tvg_testlib.dump(run.trace)
        assert len(ops) == 1
        return ops[0]
    return call


def shape(op):
    return tuple(op.get(key, 0) for key in ("m", "n", "k", "batch"))


def test_batch_of_one_group(one):
    op = one("lib.cblas_sgemm_batch(101, i32(111), i32(112), i32(7), i32(5), i32(3), f32(1), at(1, 2, 3, 4), i32(8), at(5, 6, 7, 8), i32(9), f32(0),"
             "at(9, 10, 11, 12), i32(10), 1, i32(4))")
    assert shape(op) == (7, 5, 3, 4) and (op["lda"], op["ldb"], op["ldc"]) == (8, 9, 10)
    assert op["flop"] == 4 * 2 * 7 * 5 * 3
    assert set(op["flags"]) == {"row_major", "trans_b", "beta_zero", "batch_pointers"}
    assert int(op["b"], 16) - int(op["a"], 16) == 4 * 64 and int(op["c"], 16) - int(op["a"], 16) == 8 * 64


@pytest.mark.parametrize("integers, name", [("i32", "cblas_zgemm_batch"), ("i64", "cblas_zgemm_batch"), ("i64", "cblas_zgemm_batch_64"), ("i64", "cblas_zgemm_batch64_")])
def test_batch_of_groups(one, integers, name):
    """A plain name may be called with integers of either width. Third group: alpha = 0; fourth: refused, its ldc is too small."""
    op = one(f"n = {integers}\nlib.{name}(102, i32(111, 112, 111, 111), i32(111, 111, 111, 111), n(7, 2, 9, 6), n(5, 3, 9, 6), n(3, 4, 9, 6), f64(1, 0, 0, 1, 0, 0, 1, 0),"
             "at(*range(10)), n(8, 8, 9, 6), at(*range(10)), n(9, 9, 9, 6), f64(*[0] * 8), at(*range(10)), n(10, 10, 9, 5), L(4), n(4, 2, 1, 3))")
    assert op["flop"] == 8 * (4 * 7 * 5 * 3 + 2 * 2 * 3 * 4) and op["batch"] == 4 + 2 + 1
    assert {"batch_grouped", "batch_pointers"} <= set(op["flags"]) and ("ilp64" in op["flags"]) == (integers == "i64")


def test_batch_by_fortran(one):
    op = one("lib.dgemm_batch_(b'NT', b'nn', i32(7, 2), i32(5, 3), i32(3, 4), f64(1, 1), at(*range(10)), i32(8, 8), at(*range(10)), i32(9, 9), f64(0, 1), at(*range(10)),"
             "i32(10, 10), ref(I(2)), i32(4, 2), L(2), L(2))")
    assert op["flop"] == 2 * (4 * 7 * 5 * 3 + 2 * 2 * 3 * 4) and op["batch"] == 6


def test_an_empty_batch_counts_none(one):
    op = one("lib.cblas_sgemm_batch(102, i32(111), i32(111), i32(7), i32(5), i32(3), f32(1), at(1), i32(8), at(5), i32(9), f32(0), at(9), i32(10), 0, i32(4))")
    assert op["flop"] == 0


def test_triangular_batch(one):
    op = one("lib.cblas_dtrsm_batch(102, i32(142), i32(121), i32(111), i32(131), i32(7), i32(5), f64(1), at(1, 2, 3), i32(8), at(4, 5, 6), i32(8), 1, i32(3))")
    assert op["kind"] == "trsm" and shape(op)[:2] == (7, 5) and op["flop"] == 3 * 7 * 5 * 5 and "right" in op["flags"]


@pytest.mark.parametrize("call", ["lib.cblas_sgemm_batch_strided(102, 111, 112, 7, 5, 3, F(1), p, 8, L(100), p, 9, L(0), F(1), p, 10, L(300), 6)",
                                  "lib.cblas_sgemm_batch_strided_64(102, 111, 112, L(7), L(5), L(3), F(1), p, L(8), L(100), p, L(9), L(0), F(1), p, L(10), L(300), L(6))",
                                  "lib.sgemm_batch_strided_(b'N', b'T', ref(I(7)), ref(I(5)), ref(I(3)), f32(1), p, ref(I(8)), ref(I(100)), p, ref(I(9)), ref(I(0)), f32(1),"
                                  "p, ref(I(10)), ref(I(300)), ref(I(6)), L(1), L(1))"])
def test_strided_batch(one, call):
    op = one(call)
    assert shape(op) == (7, 5, 3, 6) and op["flop"] == 6 * 2 * 7 * 5 * 3
    assert (op["lda"], op["ldb"], op["ldc"]) == (8, 9, 10)
    assert "batch_strided" in op["flags"] and "beta_zero" not in op["flags"]
    assert op["bytes"] == 4 * (6 * 7 * 3 + 3 * 5 + 2 * 6 * 7 * 5)  # one B for all


def test_strided_batch_of_large_matrices(one):
    op = one("lib.cblas_sgemm_batch_strided_64(102, 111, 111, L(3 << 20), L(5), L(3), F(1), p, L(3 << 20), L(1 << 40), p, L(9), L(100), F(1), p, L(3 << 20), L(1 << 41), L(6))")
    assert shape(op) == (3 << 20, 5, 3, 6) and op["flop"] == 6 * 2 * (3 << 20) * 5 * 3


def test_sizes_beyond_31_bits(one):
    op = one("lib.cblas_dgemm64_(101, 111, 111, L(3), L(5 << 30), L(2), D(1), p, L(7), p, L(5 << 31), D(0), p, L(5 << 30))")
    assert shape(op)[:3] == (3, 5 << 30, 2) and op["ldb"] == 5 << 31 and op["flop"] == 2 * 3 * (5 << 30) * 2
    assert "ilp64" in op["flags"]


def test_a_size_that_may_be_half_of_a_larger_one_is_marked(one):
    op = one("lib.cblas_dgemm(101, 111, 111, L(3), L(3 << 30), L(2), D(1), p, L(7), p, L(3 << 30), D(0), p, L(3 << 30))")
    assert op["flop"] == 0 and "dims_unsure" in op["flags"]


def test_pack_and_compute(one):
    op = one("lib.cblas_sgemm_pack(101, 162, 111, 7, 5, 3, F(1), p, 8, p)")
    assert op["kind"] == "pack" and op["flop"] == 0 and shape(op)[1:3] == (5, 3) and "packed_b" in op["flags"]
    assert op["bytes"] == 2 * 4 * 5 * 3


def test_compute_with_a_packed_operand(one):
    op = one("lib.cblas_sgemm_compute(101, 111, 151, 7, 5, 3, p, 3, p, 0, F(0), p, 5)")
    assert op["kind"] == "gemm" and shape(op)[:3] == (7, 5, 3) and op["flop"] == 2 * 7 * 5 * 3 and "packed_b" in op["flags"]


def test_pack_size_is_no_work(one):
    op = one("lib.cblas_sgemm_pack_get_size(161, 7, 5, 3)")
    assert op["kind"] == "other" and op["flop"] == 0


@pytest.mark.parametrize("layout, types", [(102, ["i8", "u8", "i32"]), (101, ["u8", "i8", "i32"])])
def test_integer_product(one, layout, types):
    op = one(f"lib.cblas_gemm_s8u8s32({layout}, 111, 111, 173, 7, 5, 3, F(1), p, 9, c.c_int8(-3), p, 9, c.c_int8(4), F(0), p, 9, i32(0))")
    assert op["types"][:3] == types and shape(op)[:3] == (7, 5, 3) and op["flop"] == 2 * 7 * 5 * 3 and "beta_zero" in op["flags"]


@pytest.mark.parametrize("call, types", [
    ("lib.cblas_sbgemm(102, 111, 111, 7, 5, 3, F(1), p, 9, p, 9, F(0), p, 9)", ["bf16", "bf16", "f32"]),
    ("lib.cblas_gemm_bf16bf16f32(102, 111, 111, 7, 5, 3, F(1), p, 9, p, 9, F(0), p, 9)", ["bf16", "bf16", "f32"]),
    ("lib.cblas_gemm_f16f16f32(102, 111, 111, 7, 5, 3, F(1), p, 9, p, 9, F(0), p, 9)", ["f16", "f16", "f32"]),
    ("lib.cblas_hgemm(102, 111, 111, 7, 5, 3, 0x3c00, p, 9, p, 9, 0x8000, p, 9)", ["f16", "f16", "f16"]),
    ("lib.cblas_bgemm(102, 111, 111, 7, 5, 3, 0x3f80, p, 9, p, 9, 0, p, 9)", ["bf16", "bf16", "bf16"]),
    ("lib.sbgemm_(b'N', b'N', ref(I(7)), ref(I(5)), ref(I(3)), f32(1), p, ref(I(9)), p, ref(I(9)), f32(0), p, ref(I(9)), L(1), L(1))", ["bf16", "bf16", "f32"]),
    ("lib.cblas_gemm_s16s16s32(102, 111, 111, 173, 7, 5, 3, F(1), p, 9, c.c_int16(0), p, 9, c.c_int16(0), F(0), p, 9, i32(0))", ["i16", "i16", "i32"]),
])
def test_narrow_products(one, call, types):
    op = one(call)
    assert op["types"][:3] == types and shape(op)[:3] == (7, 5, 3) and op["flop"] == 2 * 7 * 5 * 3 and "beta_zero" in op["flags"]
