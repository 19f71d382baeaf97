"""ONNX Runtime: every product against ONNX shape inference of the model as written, and op by op against the runtime's own profile."""
import pytest
from stack_lib import Pair, stack_python, tvg_json

# version that these figures were seen with: 1.32.0


@pytest.mark.parametrize("model, how, level", [
    ("encoder", "float", "disable"), ("encoder", "float", "all"), ("encoder", "dynamic", "all"), ("encoder", "qdq", "all"),
    ("cnn", "float", "disable"), ("cnn", "float", "extended"), ("cnn", "float", "all"), ("cnn", "dynamic", "all"), ("cnn", "qdq", "all")])
def test_products(tmp_path, model, how, level):
    python = stack_python("onnxruntime", "onnxruntime", "onnx", "numpy", "sympy")
    pair = Pair(python, "onnxruntime_cases.py", tmp_path, tmp_path / "model", model, how, level)
    # Fusion and quantization change the operators, not the products; the order of independent ones may change.
    assert sorted(op["flop"] for op in pair.ops) == pair.answer["written"]
    # the profile calls a blocked convolution by its ONNX name, and a product with something fused behind by a name of its own
    expected = [[kind.removeprefix("Fused"), *elements] for kind, *elements in pair.answer["products"]]
    for op, product in zip(pair.ops, expected, strict=True):
        assert op["function"].removeprefix("Nchwc") == product[0]
        if op["kind"] == "gemm":
            batch = op.get("batch") or 1
            assert [op["m"] * op["k"] * batch, op["m"] * op["n"] * batch] == product[1:]
    assert all(op["net"] == "vtable" and op["duration_ns"] > 0 for op in pair.ops)
    assert bool({op["types"][0] for op in pair.ops} & {"i8", "u8"}) == (how != "float")
    notes = tvg_json("coverage", "--json", pair.trace)
    assert "unknown-version" not in str(notes)
