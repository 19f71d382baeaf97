"""The real cuBLAS, cuBLASLt, cuDNN and NCCL without a driver: every call is refused, but its arguments pass through the shim, and its op is described."""
import json

import pytest
from stack_lib import PROGRAMS, THREADS, run_under_shim, stack_python, tvg_json

import trace_blocks

# versions that this was seen with: cublas 13.4, cudnn 9.26, nccl 2.30
PACKAGES = ["nvidia-cublas", "nvidia-cudnn-cu13", "nvidia-nccl-cu13"]
GEMM, SYMM, CONV, COLLECTIVE = 1, 5, 28, 44
F32, F16, BF16 = 2, 4, 5


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
    ("cublasLtMatmul", GEMM, [BF16] * 4, [96, 88, 80, 1], None, 2 * 96 * 88 * 80),
]


@pytest.mark.parametrize("function, kind, types, shape, leading, flop", PRODUCTS, ids=[row[0] for row in PRODUCTS])
def test_the_shape_of_a_product(trace, function, kind, types, shape, leading, flop):
    (op,) = [op for op in trace_blocks.of_kind(trace, trace_blocks.DICT) if op["fn"] == function]
    assert (op["kind"], op["types"], op["mnkb"], op["flop"], op["gpu"]) == (kind, types, shape, flop, 1)
    assert leading is None or op["ld"] == leading


def test_epilogue_convolution_and_collective(trace):
    ops = {op["fn"]: op for op in trace_blocks.of_kind(trace, trace_blocks.DICT)}
    assert ops["cublasLtMatmul"]["epi"] == 3  # bias and relu
    convolution = ops["cudnnConvolutionForward"]
    assert (convolution["kind"], convolution["types"][0]) == (CONV, F16)
    assert convolution["dim"] == [2, 6, 10, 12, 9, 3, 5, 8, 8, 2] and convolution["flop"] == 2 * 2 * 9 * 8 * 8 * 3 * 5 * 3
    assert ops["ncclAllReduce"]["kind"] == COLLECTIVE and ops["ncclAllReduce"]["bytes"][0] == 8000


def test_a_refused_call_is_counted_nowhere_and_said(trace):
    coverage = tvg_json("coverage", "--json", trace)
    failed = {note["subject"] for note in coverage["notes"] if note["what"] == "failed-call"}
    assert failed >= {row[0] for row in PRODUCTS} | {"cudnnConvolutionForward", "ncclAllReduce"}
    assert tvg_json("report", "--json", trace)["totals"]["flop"] == 0
