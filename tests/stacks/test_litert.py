"""LiteRT and TensorFlow Lite: every product of a CNN and of an attention layer, float and quantized, against the textbook, op by op."""
import pytest
from stack_lib import PROGRAMS, THREADS, Pair, stack_python, tvg_json
from tvg_testlib import clean_environment, run

# versions that these figures were seen with: ai-edge-litert 2.3.0, tensorflow 2.21.0
CASES = [(model, how, "litert") for model in ("cnn", "attention") for how in ("float", "dynamic", "int8")]
CASES += [(model, how, "litert-builtin") for model in ("cnn", "attention") for how in ("float", "dynamic", "int8")]
CASES += [("cnn", "float", "compiled"), ("attention", "int8", "compiled"), ("cnn", "int8", "tensorflow"), ("attention", "int8", "tensorflow")]


def python():
    return stack_python("litert", "tensorflow-cpu", "ai-edge-litert")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    run([python(), PROGRAMS / "litert_cases.py", "make", folder], env=clean_environment(**THREADS), check=True, timeout=240)
    return folder


@pytest.mark.parametrize("model, how, runtime", CASES)
def test_flop(tmp_path, models, model, how, runtime):
    pair = Pair(python(), "litert_cases.py", tmp_path, "run", models, model, how, runtime)
    assert sorted(op["flop"] for op in pair.ops) == pair.answer["products"]
    assert all(op["net"] == "inline" and op["duration_ns"] > 0 and int(op["b"], 16) for op in pair.ops)
    weights = {op["types"][1] for op in pair.ops}
    assert weights == {"float": {"f32"}, "dynamic": {"f32", "i8"}, "int8": {"i8"}}[how]
    # XNNPACK's operators carry their types in their names; TensorFlow Lite's own kernels have plain ones
    assert any("_nc_" in op["function"] or "nhwc" in op["function"] for op in pair.ops) == (runtime != "litert-builtin")
    notes = str(tvg_json("coverage", "--json", pair.trace))
    assert "found-not-catchable" not in notes and "unknown-version" not in notes


@pytest.mark.parametrize("runtime", ["litert", "litert-builtin", "tensorflow"])
@pytest.mark.parametrize("weights", ["float32", "int8"])
def test_recurrent_layers_and_volumes(tmp_path, weights, runtime):
    pair = Pair(python(), "litert_kernels.py", tmp_path, weights, runtime)
    assert [[op["function"], op["flop"]] for op in pair.ops] == pair.answer["products"]
    assert all(op["net"] == "inline" and op["duration_ns"] > 0 for op in pair.ops)
    assert "not counted" not in str(tvg_json("coverage", "--json", pair.trace))
