"""Paddle on the CPU: products by the MKL that it looks up by name, and by its oneDNN, a library of its own, below the predictor."""
from stack_lib import Pair, stack_python

# version that these figures were seen with: 3.3.1
RUNS, CONVOLUTION, LINEAR, BATCHED = 3, 2 * 2 * 8 * 16 * 16 * 3 * 9, 2 * 2 * 32 * 8 * 16 * 16, 2 * 4 * 10 * 10 * 12


def test_layers_by_mkl(tmp_path):
    pair = Pair(stack_python("paddle", "paddlepaddle", "numpy"), "paddle_cases.py", tmp_path, "eager", tmp_path)
    assert pair.flop() == RUNS * (CONVOLUTION + LINEAR + BATCHED)
    assert {op["net"] for op in pair.ops} == {"dlsym"} and {op["library"] for op in pair.ops} == {"libmklml_intel.so"}
    assert sum(op["flop"] for op in pair.ops if op["function"] == "cblas_sgemm_batch") == RUNS * BATCHED


def test_a_predictor_by_onednn(tmp_path):
    pair = Pair(stack_python("paddle", "paddlepaddle", "numpy"), "paddle_cases.py", tmp_path, "predictor", tmp_path)
    assert pair.flop("conv") == RUNS * CONVOLUTION and pair.flop("gemm") == RUNS * LINEAR
    assert pair.flop() == RUNS * (CONVOLUTION + LINEAR)
    assert all(op["net"] == "inline" and op["library"].startswith("libdnnl.so") for op in pair.ops)
