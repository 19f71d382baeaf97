"""TensorFlow on the CPU: every product of a small network against the textbook, with and without its oneDNN kernels."""
from stack_lib import Pair, stack_python, tvg_json

# version that these figures were seen with: 2.21.0


def python():
    return stack_python("tensorflow", "tensorflow-cpu")


def test_onednn(tmp_path):
    pair = Pair(python(), "tensorflow_cases.py", tmp_path)
    assert sorted(op["flop"] for op in pair.ops if op["flop"]) == sorted(pair.answer["products"] + pair.answer["batched"])
    assert all(op["net"] == "inline" and op["duration_ns"] > 0 for op in pair.ops)


def test_eigen(tmp_path):
    """TF_ENABLE_ONEDNN_OPTS=0: Eigen cuts products into panels that call dnnl_sgemm; batched products stay inside Eigen, uncounted."""
    pair = Pair(python(), "tensorflow_cases.py", tmp_path, environment={"TF_ENABLE_ONEDNN_OPTS": "0"})
    assert pair.flop("gemm") == sum(pair.answer["products"])
    assert pair.flop() == pair.flop("gemm")
    assert "BatchMatMul" in str(tvg_json("coverage", "--json", pair.trace)), "what is not counted is said"
