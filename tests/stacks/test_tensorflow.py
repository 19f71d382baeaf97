"""TensorFlow on the CPU: every product of a small network against the textbook, with and without its oneDNN kernels."""
import pytest
from stack_lib import Pair, stack_python, tvg_json

# version that these figures were seen with: 2.21.0


def python():
    return stack_python("tensorflow", "tensorflow-cpu")


def test_onednn(tmp_path):
    pair = Pair(python(), "tensorflow_cases.py", tmp_path)
    assert sorted(op["flop"] for op in pair.ops if op["flop"]) == sorted(pair.answer["products"] + pair.answer["batched"])
    assert all(op["net"] == "inline" and op["duration_ns"] > 0 for op in pair.ops)


def test_eigen(tmp_path):
    """TF_ENABLE_ONEDNN_OPTS=0: matrix products are caught above Eigen; convolutions are panels that call dnnl_sgemm, several to each."""
    pair = Pair(python(), "tensorflow_cases.py", tmp_path, environment={"TF_ENABLE_ONEDNN_OPTS": "0"})
    products = sorted(op["flop"] for op in pair.ops if op["function"] == "LaunchBatchMatMul")
    convolutions = 2 * [2 * 2 * 8 * 8 * 16 * 7 * 7 * 3, 2 * 2 * 8 * 8 * 16 * 3 * 3 * 16, 2 * 2 * 8 * 8 * 32 * 16]
    assert sorted(products + convolutions) == sorted(pair.answer["products"] + pair.answer["batched"])
    assert pair.flop() == sum(products) + sum(convolutions)


@pytest.mark.parametrize("onednn", ["0", "1"])
def test_products_on_two_threads(tmp_path, onednn):
    """Large, deep, broadcast, transposed products in seven types: Eigen's other threads multiply parts of them, which are no ops of their own."""
    pair = Pair(python(), "tensorflow_products.py", tmp_path, environment={"TF_ENABLE_ONEDNN_OPTS": onednn})
    assert sorted(op["flop"] for op in pair.ops if op["flop"]) == pair.answer["products"]
    assert all(op["net"] == "inline" and op["duration_ns"] > 0 for op in pair.ops if op["flop"])
    assert "found-not-catchable" not in str(tvg_json("coverage", "--json", pair.trace))


def test_compiled_by_its_own_xla(tmp_path):
    """jit_compile=True: graphs for YNNPACK, and Eigen, whose other threads call dnnl_sgemm for panels."""
    pair = Pair(python(), "tensorflow_jit.py", tmp_path)
    assert sorted(op["flop"] for op in pair.ops) == pair.answer["products"]
    assert {op["function"] for op in pair.ops} == {"dot", "EigenConv"}
    assert "found-not-catchable" not in str(tvg_json("coverage", "--json", pair.trace))
