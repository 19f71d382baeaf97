"""ncnn: every layer that multiplies, against the textbook, and converted models against torch's own count."""
import json

import pytest
from stack_lib import PROGRAMS, THREADS, Pair, pinned_python, silent, stack_python, tvg_json
from tvg_testlib import clean_environment, run

# version that these figures were seen with: 1.0.20261020
GROUPS = ["convolution", "transposed", "products", "blocks", "attention", "scaled", "kept", "recurrent"]


def python():
    return stack_python("ncnn", "ncnn", "numpy")


def figures(pair):
    return [[op["flop"], op["types"][1]] for op in pair.ops]


def expected(pair):
    return [[flop, weights] for _, flop, weights in pair.answer["cases"]]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("group", GROUPS)
def test_layers(tmp_path, group, threads):
    """With two threads the products inside attention run on both: they are parts of it."""
    pair = Pair(python(), "ncnn_cases.py", tmp_path, group, threads, environment={"OMP_NUM_THREADS": str(threads)})
    assert figures(pair) == expected(pair)
    assert all(op["net"] == "vtable" and op["duration_ns"] > 0 and int(op["a"], 16) and int(op["c"], 16) for op in pair.ops)
    assert silent(pair.trace)


def test_half_precision(tmp_path):
    """Blobs in bf16, where a layer can: MatMul can't."""
    pair = Pair(python(), "ncnn_cases.py", tmp_path, "products", 1, "bf16")
    assert [op["flop"] for op in pair.ops] == [flop for _, flop, _ in pair.answer["cases"]]
    for op in pair.ops:
        weights = "i8" if op["types"][1] == "i8" else "f32" if op["function"] == "MatMul" else "bf16"
        assert op["types"][1] == weights
    assert {"bf16", "f32", "i8"} == {op["types"][1] for op in pair.ops}


def test_uncounted(tmp_path):
    pair = Pair(python(), "ncnn_cases.py", tmp_path, "uncounted", 1)
    assert [op["flop"] for op in pair.ops] == [0] * len(pair.answer["cases"]) and pair.ops
    assert "ncnn Spectrogram" in str(tvg_json("coverage", "--json", pair.trace)["notes"])


@pytest.mark.parametrize("version, is_known", [("20250503", True), ("20240102", False)])
def test_other_versions(tmp_path, version, is_known):
    """An older one with smaller blobs is read the same way; one whose virtual functions lie elsewhere is refused, and said."""
    pair = Pair(pinned_python(f"ncnn-{version}", f"ncnn==1.0.{version}", "numpy"), "ncnn_cases.py", tmp_path, "transposed", 1)
    assert figures(pair) == (expected(pair) if is_known else [])
    assert ("unknown-version" in str(tvg_json("coverage", "--json", pair.trace))) != is_known


MODELS = {"resnet": {"Convolution", "InnerProduct"}, "mobilenet": {"Convolution", "ConvolutionDepthWise", "InnerProduct"}, "lstm": {"LSTM", "Gemm"},
          "vit": {"Convolution", "Gemm", "InnerProduct", "MultiHeadAttention"}, "encoder": {"Gemm", "MultiHeadAttention"}}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.mark.stack("ncnn_models")
@pytest.mark.parametrize("model", MODELS)
def test_models(tmp_path, models, model):
    interpreter = stack_python("ncnn_models", "ncnn", "pnnx", "torch", "torchvision", "numpy")
    made = run([interpreter, PROGRAMS / "ncnn_models.py", "make", models, model], env=clean_environment(**THREADS), check=True, timeout=240)
    written = json.loads(made.stdout.splitlines()[-1])["flop"]
    pair = Pair(interpreter, "ncnn_models.py", tmp_path, "run", models, model, 2)
    assert pair.flop() == written * pair.answer["runs"]
    assert {op["function"] for op in pair.ops} == MODELS[model]
    assert silent(pair.trace)


@pytest.mark.stack("ncnn_models")
def test_all_operations(tmp_path, models):
    interpreter = stack_python("ncnn_models", "ncnn", "pnnx", "torch", "torchvision", "numpy")
    run([interpreter, PROGRAMS / "ncnn_models.py", "make", models, "vit"], env=clean_environment(**THREADS), check=True, timeout=240)
    pair = Pair(interpreter, "ncnn_models.py", tmp_path, "run", models, "vit", 2, environment={"TVG_OPS": "all"})
    layers = [line.split()[0] for line in (models / "vit.ncnn.param").read_text().splitlines()[2:]]
    for layer in ("LayerNorm", "GELU", "BinaryOp", "Permute", "MultiHeadAttention", "Gemm"):
        seen = [op for op in pair.ops if op["function"] == layer]
        assert len(seen) == layers.count(layer) * pair.answer["runs"] and all(op["bytes"] > 0 for op in seen)
