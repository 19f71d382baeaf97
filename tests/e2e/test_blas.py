"""BLAS calls of real programs on real libraries: number of ops, shapes and FLOP against counts made here by walking the textbook loops;
results with and without the shim are the same to the bit."""
import pathlib
import re
import shutil

import pytest
import tvg_testlib

LIBRARIES = pathlib.Path("/usr/lib/x86_64-linux-gnu")
HEADERS = "-I/usr/include/x86_64-linux-gnu/openblas-pthread"
OPENBLAS = LIBRARIES / "openblas-pthread" / "libopenblas.so.0"
BLIS = LIBRARIES / "blis-openmp" / "libblis.so.4"


def triangle(n):
    return [(i, j) for i in range(n) for j in range(i + 1)]


def band(rows, columns, below, above):
    return [(i, j) for i in range(rows) for j in range(columns) if i - j <= below and j - i <= above]


def textbook_flop(kind, letter, m, n, k, kl, ku, side):
    """Multiplications and additions (divisions count as multiplications) of the plain loops, alpha and beta left out, on real numbers; a
    complex multiply-add is 8 real operations where a real one is 2."""
    order = m if side == "L" else n
    others = n if side == "L" else m
    two = {  # entries of a matrix that meet a multiply-add each
        "gemm": lambda: m * n * k,
        "gemmt": lambda: len(triangle(n)) * k, "syrk": lambda: len(triangle(n)) * k, "herk": lambda: len(triangle(n)) * k,
        "syr2k": lambda: 2 * len(triangle(n)) * k, "her2k": lambda: 2 * len(triangle(n)) * k,
        "symm": lambda: order * order * others, "hemm": lambda: order * order * others,
        "gemv": lambda: m * n, "ger": lambda: m * n, "gbmv": lambda: len(band(m, n, kl, ku)),
        "symv": lambda: n * n, "spmv": lambda: n * n, "sbmv": lambda: len(band(n, n, k, k)),
        "syr": lambda: len(triangle(n)), "spr": lambda: len(triangle(n)), "syr2": lambda: 2 * len(triangle(n)), "spr2": lambda: 2 * len(triangle(n)),
        "batch": lambda: 2 * (5 * 3 * 6) + 3 * (4 * 2 * 7), "batch1": lambda: 2 * 5 * 3 * 6,
        "none": lambda: 0,
    }
    triangular = {  # the diagonal meets a multiplication only
        "trmm": lambda: others * sum(2 if i != j else 1 for i, j in triangle(order)),
        "trmv": lambda: sum(2 if i != j else 1 for i, j in triangle(n)),
        "tbmv": lambda: sum(2 if i != j else 1 for i, j in band(n, n, k, 0)),
    }
    for solve, product in (("trsm", "trmm"), ("trsv", "trmv"), ("tpmv", "trmv"), ("tpsv", "trmv"), ("tbsv", "tbmv")):
        triangular[solve] = triangular[product]
    flop = 2 * two[kind]() if kind in two else triangular[kind]()
    return flop * (4 if letter in "cz" else 1)


TYPES = {"s": "f32", "d": "f64", "c": "c64", "z": "c128"}


def check_calls(output, ops, library, net):
    lines = [line.split() for line in output.splitlines() if re.match(r"(cblas_)?[sdcz]\w+ \w+ [sdcz] ", line)]
    assert len(lines) > 150
    assert [op["function"] for op in ops] == [line[0] for line in lines]
    for op, (function, kind, letter, *sizes, side) in zip(ops, lines):
        m, n, k, kl, ku = map(int, sizes)
        where = f"{function} {kind} {sizes} {side}: {op}"
        assert op["flop"] == textbook_flop(kind, letter, m, n, k, kl, ku, side), where
        assert op["types"][0] == TYPES[letter], where
        assert op["library"] == library and op["net"] == net, where
        if kind == "batch":
            assert op["batch"] == 5, where
        elif kind != "none":
            assert op["kind"] == ("gemm" if kind == "batch1" else kind), where
            assert (op.get("m", 0), op.get("n", 0)) == (m, n), where
            assert op.get("k", 0) == (kl + ku + 1 if kind == "gbmv" else k), where
            assert op.get("batch", 0) == (kl if kind == "batch1" else 0), where
            assert ("right" in op["flags"]) == (side == "R"), where


def compare(command, folder):
    """Runs with and without the shim; output and exit status must be equal. Returns (output, ops)."""
    plain = tvg_testlib.run(command, env=tvg_testlib.clean_environment())
    run = tvg_testlib.run_under_shim(command, folder)
    assert (run.returncode, run.stdout, run.stderr) == (plain.returncode, plain.stdout, plain.stderr)
    return run.stdout, tvg_testlib.dump(run.trace)


@pytest.mark.parametrize("stripped", [False, True])
@pytest.mark.parametrize("library, flags", [(OPENBLAS, []), (BLIS, ["-DHAVE_BLIS"])])
def test_c_program_linked(library, flags, stripped, tmp_path):
    built = tvg_testlib.compile_c("blas_calls.c", "-w", HEADERS, *flags, library, f"-Wl,-rpath,{library.parent}", "-ldl", name=f"calls_{library.name}")
    program = tmp_path / "calls"
    shutil.copy(built, program)
    if stripped:
        tvg_testlib.run(["strip", "--strip-all", program], check=True)
    output, ops = compare([program], tmp_path)
    check_calls(output, ops, library.name, "symbol")


@pytest.mark.parametrize("library, flags", [(OPENBLAS, []), (BLIS, ["-DHAVE_BLIS"])])
def test_c_program_that_looks_names_up(library, flags, tmp_path):
    program = tvg_testlib.compile_c("blas_calls.c", "-w", HEADERS, "-DLOOK_UP", *flags, "-ldl", name=f"look_{library.name}")
    output, ops = compare([program, library], tmp_path)
    check_calls(output, ops, library.name, "dlsym")


def test_refused_calls_count_none(tmp_path):
    """OpenBLAS says which argument it refuses and goes on."""
    program = tvg_testlib.compile_c("blas_calls.c", "-w", HEADERS, OPENBLAS, f"-Wl,-rpath,{OPENBLAS.parent}", "-ldl", name=f"calls_{OPENBLAS.name}")
    output, ops = compare([program, "refused"], tmp_path)
    assert output.count("illegal value") == 6
    check_calls(output, ops, OPENBLAS.name, "symbol")


def test_fortran_string_lengths_arrive(tmp_path, under_shim):
    """A Fortran callee that asks for the length of its arguments, behind a Fortran caller."""
    (tmp_path / "callee.f90").write_text("""
subroutine sgemm(transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
  character(len=*) :: transa, transb
  integer :: m, n, k, lda, ldb, ldc
  real :: alpha, beta, a(*), b(*), c(*)
  print *, len(transa), len(transb), m, n, k, ldc
end subroutine""")
    (tmp_path / "caller.f90").write_text("""
program caller
  real :: a(99), b(99), c(99)
  a = 0; b = 0; c = 0
  call sgemm('No', 'Transposed', 3, 4, 5, 1.0, a, 3, b, 4, 0.0, c, 3)
  call sgemm('T', 'N', 5, 4, 3, 1.0, a, 3, b, 3, 0.0, c, 5)
end program""")
    library, program = tmp_path / "libcallee.so", tmp_path / "caller"
    tvg_testlib.run(["gfortran", "-shared", "-fPIC", "-o", library, tmp_path / "callee.f90"], check=True)
    tvg_testlib.run(["gfortran", "-o", program, tmp_path / "caller.f90", library, f"-Wl,-rpath,{tmp_path}"], check=True)
    run = under_shim([program])
    assert [line.split() for line in run.stdout.splitlines()] == [["2", "10", "3", "4", "5", "3"], ["1", "1", "5", "4", "3", "5"]]
    ops = tvg_testlib.dump(run.trace)
    assert [(op["m"], op["n"], op["k"], op["flop"]) for op in ops] == [(3, 4, 5, 120), (5, 4, 3, 120)]
    assert "trans_b" in ops[0]["flags"] and "trans_a" in ops[1]["flags"] and "trans_a" not in ops[0]["flags"]


NUMPY = """
import numpy as np
r = np.random.default_rng(3)
def show(x): print(x.dtype, x.shape, x.tobytes().hex())
for t in (np.float32, np.float64, np.complex64, np.complex128):
    a, b, v = (r.standard_normal(s).astype(t) for s in ((7, 5), (5, 6), 5))
    show(a @ b); show(a @ v); show(a @ a.T); show(b.T @ a.T)
batch = r.standard_normal((3, 4, 5)).astype(np.float32)
show(batch @ batch.transpose(0, 2, 1).copy())
"""


def test_numpy(tmp_path):
    """numpy brings OpenBLAS with 64-bit integers and names of its own; it calls syrk for a @ a.T."""
    output, ops = compare(NUMPY, tmp_path)
    assert output
    want = []
    for letter in "sdcz":
        scale = 4 if letter in "cz" else 1
        want += [(f"scipy_cblas_{letter}gemm64_", 2 * 7 * 6 * 5 * scale), (f"scipy_cblas_{letter}gemv64_", 2 * 7 * 5 * scale),
                 (f"scipy_cblas_{letter}syrk64_", 2 * len(triangle(7)) * 5 * scale), (f"scipy_cblas_{letter}gemm64_", 2 * 6 * 7 * 5 * scale)]
    want += [("scipy_cblas_sgemm64_", 2 * 4 * 4 * 5)] * 3
    assert [(op["function"], op["flop"]) for op in ops] == want
    assert all("ilp64" in op["flags"] and op["library"].startswith("libscipy_openblas64_") for op in ops)
    assert (ops[0]["m"], ops[0]["n"], ops[0]["k"]) == (7, 6, 5)


SCIPY = """
import numpy as np
from scipy.linalg import blas
r = np.random.default_rng(4)
a, b = np.asfortranarray(r.standard_normal((6, 5))), np.asfortranarray(r.standard_normal((5, 4)))
t, v = np.asfortranarray(np.tril(r.standard_normal((5, 5))) + 5 * np.eye(5)), r.standard_normal(5)
for x in (blas.dgemm(1.0, a, b), blas.dsyrk(1.0, a), blas.dtrsm(1.0, t, b, lower=1), blas.dgemv(1.0, a, v), blas.dtrmv(t, v, lower=1),
          blas.dger(1.0, v, v), blas.zgemm(1.0, a.astype(complex), b.astype(complex)), blas.sgemm(1.0, a.astype("f"), b.astype("f"))):
    print(x.tobytes().hex())
"""


def test_scipy(tmp_path):
    output, ops = compare(SCIPY, tmp_path)
    assert output
    # The letter-by-letter list: n(n+1)k for the 6 x 6 triangle of syrk; m^2 n for a 5 x 5 triangle on 5 x 4; n^2; 2 n n.
    want = [("dgemm", 2 * 6 * 4 * 5), ("dsyrk", 2 * len(triangle(6)) * 5), ("dtrsm", 5 * 5 * 4), ("dgemv", 2 * 6 * 5), ("dtrmv", 5 * 5),
            ("dger", 2 * 5 * 5), ("zgemm", 8 * 6 * 4 * 5), ("sgemm", 2 * 6 * 4 * 5)]
    assert [(op["function"], op["flop"]) for op in ops] == [(f"scipy_{name}_", flop) for name, flop in want]


@pytest.mark.parametrize("module", ["ctypes", "cffi"])
def test_foreign_function_interfaces(module, tmp_path):
    if module == "cffi":
        opening = 'from cffi import FFI\nf = FFI()\nf.cdef("void cblas_sgemm(int, int, int, int, int, int, float, float *, int, float *, int, float, float *, int);")\n' \
                  'lib = f.dlopen("libopenblas.so.0")\nA = f.new("float[]", [1, 2, 3, 4, 5, 6])\nC = f.new("float[4]")\nF = float\n'
    else:
        opening = 'import ctypes\nlib = ctypes.CDLL("libopenblas.so.0")\nA = (ctypes.c_float * 6)(1, 2, 3, 4, 5, 6)\nC = (ctypes.c_float * 4)()\nF = ctypes.c_float\n'
    output, ops = compare(opening + "for i in range(3): lib.cblas_sgemm(101, 111, 111, 2, 2, 3, F(1), A, 3, A, 2, F(0), C, 2)\nprint(list(C))", tmp_path)
    assert output == "[22.0, 28.0, 49.0, 64.0]\n"
    assert [(op["function"], op["net"], op["flop"], op["library"]) for op in ops] == [("cblas_sgemm", "dlsym", 24, "libopenblas.so.0")] * 3
