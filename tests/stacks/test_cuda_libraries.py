"""The real cuBLAS, cuBLASLt, cuDNN, cuSPARSELt and NCCL without a driver: every call is refused, but its arguments pass through the shim, and its op is
described. And every name that they export is caught, or no operation for a reason (cuda_names.py)."""
import json
import subprocess

import cuda_names
import pytest
from stack_lib import BUILD, PROGRAMS, THREADS, run_under_shim, stack_files, stack_python, tvg_json

import trace_blocks
from tvg_testlib import ROOT

# in the versions of versions.txt, which torch 2.15 asks for as well: a newer one may export names that nobody has looked at
PACKAGES = ["nvidia-cublas", "nvidia-cudnn-cu13", "nvidia-nccl-cu13", "nvidia-cusparselt-cu13"]
# kinds, types and flags of trace/op.h
GEMM, GEMMT, GEMV, GER, SYMM, HEMM, SYRK, HERK, SYR2K, HER2K, TRMM, TRSM, GBMV, SYMV, SBMV, SPMV, TRMV, TBMV, TPMV, TRSV, TBSV, TPSV, SYR, SPR, SYR2, SPR2 = range(1, 27)
CONV, ATTENTION, RNN, SOFTMAX, NORM, ACTIVATION, ELEMENTWISE, REDUCE, POOL, COLLECTIVE = 28, 29, 30, 31, 32, 33, 34, 35, 36, 44
F64, F32, TF32, F16, BF16, E4M3, E5M2, FP4, C64, C128, I64, I32, I16, I8, U8 = range(1, 16)
TRANS_A, TRANS_B, BETA_ZERO, STRIDED, POINTERS = 1, 2, 1 << 10, 1 << 11, 1 << 12


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    python = stack_python("cuda", *PACKAGES)
    result = run_under_shim([python, PROGRAMS / "cuda_cases.py"], tmp_path_factory.mktemp("cuda"), env=THREADS, timeout=240)
    answer = json.loads(result.stdout.splitlines()[-1])
    if answer["create"] == 0:
        pytest.skip("a driver is here: the calls would run on operands that are no device memory")
    assert all(answer[call] for call in ("sgemm", "gemm_ex", "strided", "symm", "lt matmul", "dnn forward", "all reduce"))
    return result.trace


# function, kind, types of a b c compute, m n k batch, leading dimensions, FLOP by the textbook
PRODUCTS = [
    ("cublasSgemm_v2", GEMM, [F32] * 4, [48, 40, 56, 0], [56, 56, 48], 2 * 48 * 40 * 56),
    ("cublasSgemm_v2_64", GEMM, [F32] * 4, [33, 35, 37, 0], [33, 37, 33], 2 * 33 * 35 * 37),
    ("cublasGemmEx", GEMM, [BF16, BF16, F32, BF16], [64, 24, 72, 0], [64, 24, 64], 2 * 64 * 24 * 72),
    ("cublasGemmStridedBatchedEx", GEMM, [F16] * 4, [16, 17, 18, 5], [16, 18, 16], 5 * 2 * 16 * 17 * 18),
    ("cublasSsymm_v2", SYMM, [F32] * 4, [21, 22, 0, 0], [21, 21, 21], 2 * 21 * 21 * 22),
]
# function: kind, types, m n k batch, FLOP. Complex multiplications count four times a real one.
MORE = {
    "cublasHgemm": (GEMM, [F16] * 4, [12, 13, 14, 0], 2 * 12 * 13 * 14),
    "cublasCgemm3m": (GEMM, [C64] * 4, [12, 13, 14, 0], 8 * 12 * 13 * 14),
    "cublasCgemm3mBatched": (GEMM, [C64] * 4, [12, 13, 14, 3], 3 * 8 * 12 * 13 * 14),
    "cublasCgemm3mStridedBatched": (GEMM, [C64] * 4, [12, 13, 14, 3], 3 * 8 * 12 * 13 * 14),
    "cublasZgemm_v2": (GEMM, [C128] * 4, [12, 13, 14, 0], 8 * 12 * 13 * 14),
    "cublasSgemmEx": (GEMM, [BF16, BF16, F32, BF16], [12, 13, 14, 0], 2 * 12 * 13 * 14),
    "cublasCgemmEx": (GEMM, [C64, C64, C64, F32], [12, 13, 14, 0], 8 * 12 * 13 * 14),
    "cublasGemmBatchedEx": (GEMM, [BF16] * 4, [12, 13, 14, 6], 6 * 2 * 12 * 13 * 14),
    "cublasDgemmBatched_64": (GEMM, [F64] * 4, [12, 13, 14, 6], 6 * 2 * 12 * 13 * 14),
    "cublasUint8gemmBias": (GEMM, [U8] * 4, [12, 13, 14, 0], 2 * 12 * 13 * 14),
    "cublasChemm_v2": (HEMM, [C64] * 4, [12, 13, 0, 0], 8 * 12 * 12 * 13),
    "cublasDsyrk_v2": (SYRK, [F64] * 4, [0, 12, 14, 0], 12 * 13 * 14),
    "cublasCherk_v2": (HERK, [C64] * 4, [0, 12, 14, 0], 4 * 12 * 13 * 14),
    "cublasCsyrkEx": (SYRK, [C64, C64, C64, F32], [0, 12, 14, 0], 4 * 12 * 13 * 14),
    "cublasCherk3mEx": (HERK, [C64, C64, C64, F32], [0, 12, 14, 0], 4 * 12 * 13 * 14),
    "cublasSsyr2k_v2": (SYR2K, [F32] * 4, [0, 12, 14, 0], 2 * 12 * 13 * 14),
    "cublasCher2k_v2": (HER2K, [C64] * 4, [0, 12, 14, 0], 4 * 2 * 12 * 13 * 14),
    "cublasSsyrkx": (GEMMT, [F32] * 4, [0, 12, 14, 0], 12 * 13 * 14),
    "cublasCherkx": (GEMMT, [C64] * 4, [0, 12, 14, 0], 4 * 12 * 13 * 14),
    "cublasStrsm_v2": (TRSM, [F32] * 4, [12, 13, 0, 0], 12 * 12 * 13),
    "cublasStrsmBatched": (TRSM, [F32] * 4, [12, 13, 0, 5], 5 * 12 * 13 * 13),  # from the right
    "cublasDtrmm_v2": (TRMM, [F64] * 4, [12, 13, 0, 0], 12 * 12 * 13),
    "cublasSgemv_v2": (GEMV, [F32] * 4, [12, 13, 0, 0], 2 * 12 * 13),
    "cublasSgbmv_v2": (GBMV, [F32] * 4, [12, 13, 4, 0], 2 * (12 + 11 + 10 + 12)),  # the diagonals: main, two below, one above
    "cublasSsymv_v2": (SYMV, [F32] * 4, [0, 12, 0, 0], 2 * 12 * 12),
    "cublasChbmv_v2": (SBMV, [C64] * 4, [0, 12, 2, 0], 8 * (12 + 2 * 11 + 2 * 10)),
    "cublasDspmv_v2": (SPMV, [F64] * 4, [0, 12, 0, 0], 2 * 12 * 12),
    "cublasStrmv_v2": (TRMV, [F32] * 4, [0, 12, 0, 0], 12 * 12),
    "cublasStbsv_v2": (TBSV, [F32] * 4, [0, 12, 2, 0], 2 * (12 + 11 + 10) - 12),
    "cublasStpmv_v2": (TPMV, [F32] * 4, [0, 12, 0, 0], 12 * 12),
    "cublasCgeru_v2": (GER, [C64] * 4, [12, 13, 0, 0], 8 * 12 * 13),
    "cublasSsyr_v2": (SYR, [F32] * 4, [0, 12, 0, 0], 12 * 13),
    "cublasDspr2_v2": (SPR2, [F64] * 4, [0, 12, 0, 0], 2 * 12 * 13),
    "cublasXtSgemm": (GEMM, [F32] * 4, [12, 13, 14, 0], 2 * 12 * 13 * 14),
    "cublasXtSspmm": (SYMM, [F32] * 4, [12, 13, 0, 0], 2 * 12 * 12 * 13),
    "cublasXtZsyrkx": (GEMMT, [C128] * 4, [0, 12, 14, 0], 4 * 12 * 13 * 14),
    "cublasSgemm": (GEMM, [F32] * 4, [12, 13, 14, 0], 2 * 12 * 13 * 14),
    "cublasCherk": (HERK, [C64] * 4, [0, 12, 14, 0], 4 * 12 * 13 * 14),
    "cublasZgemv": (GEMV, [C128] * 4, [12, 13, 0, 0], 8 * 12 * 13),
}
LEGACY = {"cublasSgemm", "cublasCherk", "cublasZgemv"}
# cublasLtMatmul by m: types, n, k, batch, FLOP, epilogue, name, bytes of A, B and D (D is read as well unless beta is zero)
LT = {
    96: ([BF16] * 4, 88, 80, 1, 2 * 96 * 88 * 80, 3, None, [2 * 96 * 80, 2 * 80 * 88, 2 * 2 * 96 * 88]),
    (32, 64): ([E4M3, E4M3, BF16, E4M3], 48, 64, 1, 2 * 32 * 48 * 64, 5, "scaled per tensor", [32 * 64, 48 * 64, 2 * 32 * 48]),
    (32, 128): ([E4M3, E4M3, BF16, E4M3], 48, 128, 1, 2 * 32 * 48 * 128, 0, "scaled per row", [32 * 128, 48 * 128, 2 * 32 * 48]),
    (32, 256): ([E4M3, E4M3, BF16, E4M3], 64, 256, 1, 2 * 32 * 64 * 256, 0, "scaled per 32 (mx)", [32 * 256 + 32 * 8, 64 * 256 + 64 * 8, 2 * 32 * 64]),
    64: ([FP4, FP4, BF16, FP4], 64, 512, 1, 2 * 64 * 64 * 512, 0, "scaled per 16 (nvfp4)", [64 * 256 + 64 * 32, 64 * 256 + 64 * 32, 2 * 64 * 64]),
    16: ([I8, I8, I32, I8], 16, 96, 1, 2 * 16 * 16 * 96, 0, None, [16 * 96, 16 * 96, 2 * 4 * 16 * 16]),
    8: ([F32, F32, F32, TF32], 16, 24, 5, 5 * 2 * 8 * 16 * 24, 0, None, [5 * 4 * 8 * 24, 5 * 4 * 16 * 24, 5 * 4 * 8 * 16]),
    40: ([F16] * 4, 24, 16, 1, 2 * 40 * 24 * 16, 5, None, [2 * 40 * 16, 2 * 24 * 16, 2 * 2 * 40 * 24]),  # what GELU was given is written too
    128: ([F16] * 4, 24, 16, 1, 2 * 128 * 24 * 16, 2, None, [2 * 128 * 16, 2 * 24 * 16, 2 * 128 * 24 + 128 * 24 // 8]),  # a bit each tells what ReLU let through
    56: ([F32] * 4, 24, 16, 1, 2 * 56 * 24 * 16, 0, "emulated by 9 bf16 products", [4 * 56 * 16, 4 * 24 * 16, 4 * 56 * 24]),
}


@pytest.mark.parametrize("function, kind, types, shape, leading, flop", PRODUCTS, ids=[row[0] for row in PRODUCTS])
def test_the_shape_of_a_product(trace, function, kind, types, shape, leading, flop):
    (op,) = [op for op in trace_blocks.of_kind(trace, trace_blocks.DICT) if op["fn"] == function]
    assert (op["kind"], op["types"], op["mnkb"], op["flop"], op["gpu"]) == (kind, types, shape, flop, 1)
    assert leading is None or op["ld"] == leading


@pytest.mark.parametrize("function", MORE)
def test_the_shape_of_a_call(trace, function):
    (op,) = [op for op in trace_blocks.of_kind(trace, trace_blocks.DICT) if op["fn"] == function]
    assert (op["kind"], op["types"], op["mnkb"], op["flop"], op["gpu"]) == (MORE[function][0], *MORE[function][1:], 1)


def test_products_of_cublaslt(trace):
    ops = [op for op in trace_blocks.of_kind(trace, trace_blocks.DICT) if op["fn"] == "cublasLtMatmul"]
    assert len(ops) == len(LT)
    for op in ops:
        m, n, k, batch = op["mnkb"]
        found = (op["types"], n, k, batch, op["flop"], op.get("epi", 0), op.get("name"), op["bytes"][1:])
        assert found == (LT.get(m) or LT[m, k])
        assert op["bytes"][0] == sum(op["bytes"][1:]) and op["ld"] == [k, k, m]
        assert op["flags"] & TRANS_A and bool(op["flags"] & BETA_ZERO) == (m not in (96, 16)) and bool(op["flags"] & STRIDED) == (m == 8)


def test_convolution_and_collective(trace):
    ops = {op["fn"]: op for op in trace_blocks.of_kind(trace, trace_blocks.DICT)}
    convolution = ops["cudnnConvolutionForward"]
    assert (convolution["kind"], convolution["types"][0]) == (CONV, F16)
    assert convolution["dim"] == [2, 6, 10, 12, 9, 3, 5, 8, 8, 2] and convolution["flop"] == 2 * 2 * 9 * 8 * 8 * 3 * 5 * 3
    assert ops["ncclAllReduce"]["kind"] == COLLECTIVE and ops["ncclAllReduce"]["bytes"][0] == 8000


def test_a_refused_call_is_counted_nowhere_and_said(trace):
    coverage = tvg_json("coverage", "--json", trace)
    failed = {note["subject"] for note in coverage["notes"] if note["what"] == "failed-call"}
    assert failed >= {row[0] for row in PRODUCTS} | {"cublasLtMatmul", "cudnnConvolutionForward", "ncclAllReduce"} | MORE.keys() - LEGACY
    counted = {op["function"]: op["flop"] for op in tvg_json("report", "--json", trace)["ops"] if op["flop"]}
    assert counted == {function: MORE[function][3] for function in LEGACY}  # these say nothing: a call that is refused looks like any other


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    python = stack_python("cuda", *PACKAGES)
    result = run_under_shim([python, PROGRAMS / "cudnn_cases.py"], tmp_path_factory.mktemp("cudnn"), env={**THREADS, "TVG_OPS": "all"}, timeout=240)
    answer = json.loads(result.stdout.splitlines()[-1])
    assert answer.pop("unsaid") == [] and answer.pop("rnn descriptors") == [0] * 4  # every attribute and descriptor is one that this cuDNN takes
    assert all(answer.values()), answer
    return result.trace


# In order. kind, name, types of a b c, dimensions, FLOP, epilogue, bytes in all and of a, b, c; m n k batch where the kind has them
GRAPHS = [
    (CONV, None, [F16] * 3, [2, 8, 10, 12, 16, 3, 3, 10, 12, 2], 2 * 2 * 16 * 10 * 12 * 9 * 4, 1 | 2,
     [2 * (2 * 8 * 120 + 16 * 36 + 16 + 2 * 16 * 120), 2 * 2 * 8 * 120, 2 * 16 * 36, 2 * 2 * 16 * 120]),  # what lies between the operations is not in memory
    (CONV, "backward data", [F16] * 3, [2, 8, 10, 12, 16, 3, 3, 10, 12, 1], 2 * 2 * 16 * 10 * 12 * 9 * 8, 0,
     [2 * (2 * 8 * 120 + 16 * 72 + 2 * 16 * 120), 2 * 2 * 16 * 120, 2 * 16 * 72, 2 * 2 * 8 * 120]),
    (CONV, "backward filter", [BF16] * 3, [2, 8, 10, 12, 16, 3, 3, 10, 12, 1], 2 * 2 * 16 * 10 * 12 * 9 * 8, 0,
     [2 * (2 * 8 * 120 + 16 * 72 + 2 * 16 * 120), 2 * 2 * 8 * 120, 2 * 2 * 16 * 120, 2 * 16 * 72]),
    (ATTENTION, None, [F16] * 3, [2, 4, 4, 32, 48, 64, 0], 4 * 2 * 4 * 32 * 48 * 64, 0,
     [2 * 2 * 4 * 64 * (32 + 48 + 48 + 32), 2 * 2 * 4 * 32 * 64, 2 * 2 * 2 * 4 * 48 * 64, 2 * 2 * 4 * 32 * 64]),
    (ACTIVATION, None, [BF16, 0, BF16], [1, 6, 128], 0, 0, [2 * 2 * 768, 2 * 768, 0, 2 * 768]),
    (REDUCE, None, [F32, 0, F32], [4, 5, 1], 0, 0, [4 * 140, 4 * 120, 0, 4 * 20]),
]


def test_graphs_of_cudnn(graphs):
    ops = [op for op in trace_blocks.of_kind(graphs, trace_blocks.DICT) if op["fn"] == "cudnnBackendExecute"]
    assert [(op["kind"], op.get("name"), op["types"][:3], op["dim"], op.get("flop", 0), op.get("epi", 0), op["bytes"]) for op in ops] == GRAPHS
    (product,) = [op for op in trace_blocks.of_kind(graphs, trace_blocks.DICT) if op["fn"] == "cudnnBackendPopulateCudaGraph"]
    assert (product["kind"], product["types"], product["mnkb"], product["flop"]) == (GEMM, [F16, F16, F32, F16], [24, 56, 40, 3], 3 * 2 * 24 * 56 * 40)
    assert product["bytes"][1:] == [3 * 2 * 24 * 40, 3 * 2 * 40 * 56, 3 * 4 * 24 * 56]


# function: kind, type of the output, its dimensions, bytes in all (2 x 3 x 4 x 5 elements is 120)
DIRECT = {
    "cudnnSoftmaxForward": (SOFTMAX, F32, [2, 3, 4, 5], 2 * 4 * 120),
    "cudnnActivationForward": (ACTIVATION, F16, [2, 3, 4, 5], 2 * 2 * 120),
    "cudnnPoolingForward": (POOL, F32, [2, 3, 2, 2], 4 * (120 + 24)),
    "cudnnAddTensor": (ELEMENTWISE, F32, [2, 3, 4, 5], 4 * (3 + 2 * 120)),
    "cudnnOpTensor": (ELEMENTWISE, F32, [2, 3, 4, 5], 4 * (120 + 3 + 120)),
    "cudnnBatchNormalizationForwardTraining": (NORM, F16, [2, 3, 4, 5], 2 * 2 * 120),
    "cudnnReduceTensor": (REDUCE, F32, [1, 3, 1, 1], 4 * (120 + 3)),
}


def test_direct_calls_of_cudnn(graphs):
    ops = {op["fn"]: op for op in trace_blocks.of_kind(graphs, trace_blocks.DICT)}
    assert {name: (ops[name]["kind"], ops[name]["types"][2], ops[name]["dim"], ops[name]["bytes"][0]) for name in DIRECT} == DIRECT
    gradient = ops["cudnnConvolutionBackwardFilter"]
    assert (gradient["kind"], gradient["types"], gradient["flop"]) == (CONV, [F16] * 4, 2 * 2 * 7 * 3 * 4 * 3 * 2 * 2)
    assert gradient["bytes"][1:] == [2 * 120, 2 * 2 * 7 * 12, 2 * 7 * 3 * 4]
    network = ops["cudnnRNNForward"]  # an LSTM of two layers, both ways, over 9 + 7 + 4 tokens
    assert (network["kind"], network["flop"]) == (RNN, 20 * 2 * 2 * 4 * 32 * ((24 + 32) + (64 + 32)))
    assert network["bytes"][1:] == [4 * 20 * 24, 4000, 4 * 20 * 64]
    failed = {note["subject"] for note in tvg_json("coverage", "--json", graphs)["notes"] if note["what"] == "failed-call"}
    assert failed >= DIRECT.keys() | {"cudnnRNNForward", "cudnnBackendExecute", "cudnnBackendPopulateCudaGraph"}


def exported(library):
    (path, *_) = stack_files(stack_python("cuda", *PACKAGES), f"nvidia/**/{library}.so.*")
    lines = subprocess.run(["nm", "-D", "--defined-only", path], capture_output=True, text=True, check=True).stdout.splitlines()
    return {line.split()[2].split("@")[0] for line in lines if line.split()[1] in "TWi"}


@pytest.mark.parametrize("library, least", [("libcublas", 700), ("libcublasLt", 150), ("libcudnn", 200), ("libcusparseLt", 25)])
def test_every_exported_name_is_caught_or_no_operation(library, least):
    specs = [ROOT / "shim" / "specs" / name for name in ("cublas.spec", "engines.spec")]
    listed = subprocess.run([BUILD / "specgen", "--list", *specs], capture_output=True, text=True, check=True).stdout
    caught = {line.split("\t")[0] for line in listed.splitlines()}
    names = {name for name in exported(library) if name.startswith(("cublas", "cudnn", "cusparse"))}
    assert len(names) >= least
    reasons = {name: cuda_names.reason(library, name) for name in names - caught}
    assert not [name for name, why in sorted(reasons.items()) if not why]
    assert not [name for name in names & caught if cuda_names.reason(library, name)]  # a reason for what is caught is out of date
