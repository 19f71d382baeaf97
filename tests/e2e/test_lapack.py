"""LAPACK's factorizations and solutions as ops: FLOP against loops that count, OpenBLAS (whose products lie inside) and the reference LAPACK (whose products are
calls that could be caught as well), what is only said, arguments handed on."""
import subprocess

import pytest

import trace_blocks
import tvg_testlib as testlib

NUMPY = """
import numpy as np
rng = np.random.default_rng(0)
n, columns = 60, 7
A, B = rng.random((n, n)), rng.random((n, columns))
S = A @ A.T + n * np.eye(n)
print(np.linalg.solve(A, B).tobytes().hex()[:64])
np.linalg.det(A)
np.linalg.cholesky(S)
np.linalg.solve(A + 1j * A.T, B.astype(complex))
np.linalg.qr(rng.random((80, 50)))
print(np.linalg.eigvalsh(S).tobytes().hex()[:64])
np.linalg.svd(A)
try:
    np.linalg.cholesky(-S)
except np.linalg.LinAlgError:
    print("not positive definite")
"""
ONE_THREAD = {"OMP_NUM_THREADS": 1}


def lu(m, n):
    """Multiplications and additions of elimination, column by column: the pivot's reciprocal, the multipliers, the rest."""
    times = adds = 0
    for k in range(min(m, n)):
        times += 1 + (m - k - 1) + (m - k - 1) * (n - k - 1)
        adds += (m - k - 1) * (n - k - 1)
    return times, adds


def cholesky(n):
    times = adds = 0
    for k in range(n):  # a root is a multiplication
        times += 1 + (n - k - 1) + (n - k - 1) * (n - k) // 2
        adds += (n - k - 1) * (n - k) // 2
    return times, adds


def solution(n, columns):  # two triangles, one of them with ones on its diagonal
    return columns * (n * (n - 1) // 2 + n * (n + 1) // 2), columns * n * (n - 1)


def ops(trace):
    return [op for op in testlib.dump(trace) if op["kind"] == "lapack"]


def stem(op):
    return op["function"].removeprefix("scipy_").split("_")[0].rstrip("64")


def test_flop_are_those_of_the_textbook(under_shim):
    run = under_shim(NUMPY, env=ONE_THREAD)
    found = {}
    for op in ops(run.trace):
        found.setdefault(stem(op), []).append(op)
    factor, solve = lu(60, 60), solution(60, 7)
    assert found["dgesv"][0]["flop"] == sum(factor) + sum(solve)
    assert found["zgesv"][0]["flop"] == 6 * (factor[0] + solve[0]) + 2 * (factor[1] + solve[1])
    assert [op["flop"] for op in found["dgetrf"]] == [sum(factor)]
    done, stopped = (op["flop"] for op in found["dpotrf"])
    assert done == sum(cholesky(60)) and stopped == 0  # the second one stopped at its first column
    assert found["dgeqrf"][0]["flop"] == pytest.approx(2 * 50 * 50 * (80 - 50 / 3), rel=0.05)  # Golub and Van Loan: 2 n^2 (m - n/3), to the second order
    assert found["dorgqr"][0]["flop"] == pytest.approx(4 * (80 * 50 * 50) - 2 * (80 + 50) * 50 * 50 + 4 / 3 * 50 ** 3, rel=0.05)
    assert len(found["dgeqrf"]) == 1  # a question for the workspace is none
    said = {subject for what, subject, detail in trace_blocks.notes(run.trace) if what == "found-not-catchable"}
    assert {name.removeprefix("scipy_").split("_")[0].rstrip("64") for name in said} == {"dsyevd", "dgesdd"}
    text = testlib.tvg("report", run.trace).stdout
    assert "factorize, solve" in text and "found but not catchable" in " ".join(text.split())


def test_results_are_the_same_to_the_bit(under_shim):
    environment = {**ONE_THREAD, "TVG_SOURCES": "none"}
    assert under_shim(NUMPY, env=environment).stdout == testlib.run(NUMPY, env=testlib.clean_environment(**ONE_THREAD), check=True).stdout


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """A LAPACK that calls a BLAS of its own, in another library, by the linker."""
    folder = tmp_path_factory.mktemp("reference")
    for name, source in {"blas": BLAS, "lapack": LAPACK}.items():
        (folder / f"{name}.c").write_text(source)
        needs = [] if name == "blas" else [f"-L{folder}", "-lrefblas", f"-Wl,-rpath,{folder}"]
        subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-o", folder / f"libref{name}.so", folder / f"{name}.c", *needs], check=True)
    host = folder / "host"
    subprocess.run(["gcc", "-O1", "-DMANY", "-o", host, testlib.PROGRAMS / "lapack_host.c", f"-L{folder}", "-lreflapack", "-lrefblas", f"-Wl,-rpath,{folder}"], check=True)
    return host


BLAS = """
void dgemm_(char *ta, char *tb, int *m, int *n, int *k, double *alpha, double *a, int *lda, double *b, int *ldb, double *beta, double *c, int *ldc)
{
    for (int i = 0; i < *m; i++) for (int j = 0; j < *n; j++) {
        double sum = 0;
        for (int l = 0; l < *k; l++) sum += a[i + l * *lda] * b[l + j * *ldb];
        c[i + j * *ldc] = *alpha * sum + *beta * c[i + j * *ldc];
    }
}
"""
LAPACK = """
#include <stdint.h>
#include <stdio.h>
void dgemm_(char *, char *, int *, int *, int *, double *, double *, int *, double *, int *, double *, double *, int *);
static void product(int n, double *a, double *b)
{
    double one = 1, zero = 0, c[n * n];
    dgemm_("N", "N", &n, &n, &n, &one, a, &n, b, &n, &zero, c, &n);
}
void dgesv_(int *n, int *columns, double *a, int *lda, int *pivots, double *b, int *ldb, int *info) { product(16, a, a); *info = 0; }
void dgetrf_(int *m, int *n, double *a, int *lda, int *pivots, int *info) { *info = *m < 0 ? -1 : a[0] == 0 ? 1 : 0; }
void dsyevd_(char *job, char *triangle, int *n, double *a, int *lda, double *w, double *work, int *lwork, int *iwork, int *liwork, int *info, uintptr_t one, uintptr_t two)
{
    if (*lwork != -1) product(32, a, a);
    w[*n - 1] = (double)(one + two);
    *info = 0;
}
void zheevr_(uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e, uintptr_t f, uintptr_t g, uintptr_t h, uintptr_t i, uintptr_t j, uintptr_t k, uintptr_t l, uintptr_t m,
             uintptr_t n, uintptr_t o, uintptr_t p, uintptr_t q, uintptr_t r, uintptr_t s, uintptr_t t, uintptr_t u, uintptr_t v, uintptr_t w, uintptr_t x, uintptr_t y, uintptr_t z)
{
    uintptr_t all[] = {a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z};
    int right = 0;
    for (int at = 0; at < 26; at++) right += all[at] == (uintptr_t)at + 1;
    printf("%d of 26 arguments arrived\\n", right);
}
"""


def test_the_outermost_call_counts_and_what_has_no_flop_hides_no_product(reference, under_shim):
    run = under_shim([reference, 40])
    rows = [(op["function"], op["m"], op["n"], op["flop"]) for op in testlib.dump(run.trace)]
    assert rows == [("dgesv_", 40, 7, sum(lu(40, 40)) + sum(solution(40, 7))),  # and not its product of 16 x 16
                    ("dgetrf_", 3, 3, sum(lu(3, 3))),                          # singular, but done; the refused one before it is none
                    ("dgemm_", 32, 32, 2 * 32 ** 3)]                           # below dsyevd_, which is only said
    assert "26 of 26 arguments arrived" in run.stdout
    assert run.stdout == testlib.run([reference, 40], check=True).stdout


def test_systems_lapack_gives_the_same_bits(tmp_path, under_shim):
    host = testlib.compile_c("lapack_host.c", "-llapack", "-lblas", name="lapack_host")
    run = under_shim([host, 120])
    assert run.stdout == testlib.run([host, 120], check=True).stdout
    assert [op["function"] for op in ops(run.trace)] == ["dgesv_", "dgetrf_"]
