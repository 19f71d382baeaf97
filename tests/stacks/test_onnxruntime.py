"""ONNX Runtime: every product against ONNX shape inference of the model as written, and op by op against the runtime's own profile."""
import pytest
from stack_lib import Pair, pinned_python, stack_python, tvg_json

# version that these figures were seen with: 1.32.0


@pytest.mark.parametrize("model, how, level", [
    ("encoder", "float", "disable"), ("encoder", "float", "all"), ("encoder", "dynamic", "all"), ("encoder", "qdq", "all"),
    ("cnn", "float", "disable"), ("cnn", "float", "extended"), ("cnn", "float", "all"), ("cnn", "dynamic", "all"), ("cnn", "qdq", "all")])
def test_products(tmp_path, model, how, level):
    python = stack_python("onnxruntime", "onnxruntime", "onnx", "numpy", "sympy")
    pair = Pair(python, "onnxruntime_cases.py", tmp_path, tmp_path / "model", model, how, level)
    # Fusion and quantization change the operators, not the products; the order of independent ones may change.
    assert sorted(op["flop"] for op in pair.ops) == pair.answer["written"]
    for op, product in zip(pair.ops, pair.answer["products"], strict=True):
        assert op["function"] == product[0]
        if op["kind"] == "gemm":
            batch = op.get("batch") or 1
            assert [op["m"] * op["k"] * batch, op["m"] * op["n"] * batch] == product[1:]
    assert all(op["net"] == "vtable" and op["duration_ns"] > 0 for op in pair.ops)
    assert bool({op["types"][0] for op in pair.ops} & {"i8", "u8"}) == (how != "float")
    notes = tvg_json("coverage", "--json", pair.trace)
    assert "unknown-version" not in str(notes)


# What each version lacks, by the beginnings of the cases' names; where nothing is said of a case it has to be counted.
LACKS = {"1.32.0": (),
         "1.20.1": ("MatMulNBits 8", "DeformConv", "CausalConv", "MoE", "QMoE", "Attention float", "LinearAttention", "GatedDeltaNet"),
         "1.16.3": ("MatMulNBits", "DeformConv", "CausalConv", "MoE", "QMoE", "Attention float", "LinearAttention", "GatedDeltaNet", "MultiHeadAttention 3",
                    "MultiHeadAttention 4", "MultiHeadAttention 5", "DecoderMasked", "GroupQuery", "SparseAttention")}


@pytest.mark.parametrize("version", LACKS)
def test_operators(tmp_path, version):
    """Attention in all its forms, recurrent layers, Einsum, mixtures of experts, weights in blocks: each operator's FLOP against the textbook."""
    python = stack_python("onnxruntime", "onnxruntime", "onnx", "numpy", "sympy") if version == "1.32.0" else \
        pinned_python(f"onnxruntime-{version}", f"onnxruntime=={version}", "onnx<1.17", "numpy<2")
    pair = Pair(python, "onnxruntime_operators.py", tmp_path)
    unknown = [label for label, _ in pair.answer["unknown"]]
    assert [label for label in unknown if not label.startswith(LACKS.get(pair.answer["version"], ()))] == []
    assert len(pair.answer["runs"]) > 50
    for op, (label, function, flop) in zip(pair.ops, pair.answer["runs"], strict=True):
        assert (op["function"], op["flop"]) == (function, flop), label
    assert not [note for note in tvg_json("coverage", "--json", pair.trace)["notes"] if note["what"] in ("found-not-catchable", "unknown-version")]
