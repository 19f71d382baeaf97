"""LiteRT and TensorFlow Lite: every product of a CNN and of an attention layer, float and quantized, against the textbook, op by op."""
import pytest
from stack_lib import PROGRAMS, THREADS, Pair, compile_c, silent, stack_files, stack_python, tvg_json
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


@pytest.mark.parametrize("weights, runtime", [("float32", "litert"), ("int8", "litert"), ("float32", "litert-builtin"), ("int8", "tensorflow")])
def test_recurrent_and_volumes(tmp_path, weights, runtime):
    """LSTM, RNN and SVDF, with one direction and with two, in all forms that their weights may take; 3-D convolutions: no XNNPACK takes them."""
    pair = Pair(python(), "litert_kernels.py", tmp_path, weights, runtime)
    assert [[op["function"], op["flop"]] for op in pair.ops] == pair.answer["products"]
    assert all(op["net"] == "inline" and op["duration_ns"] > 0 and int(op["b"], 16) for op in pair.ops)
    assert {op["types"][1] for op in pair.ops} == {"f32" if weights == "float32" else "i8"}
    assert {op["kind"] for op in pair.ops} == ({"rnn", "conv"} if weights == "float32" else {"rnn"})
    # every operand, by hand: a sequence's input, its eight matrices and four biases, peepholes, two states, its output
    sequence = next(op for op in pair.ops if op["function"] == "unidirectional_sequence_lstm")
    element = 4 if weights == "float32" else 1
    assert sequence["bytes"] == 4 * 2 * 5 * 12 + element * (4 * 8 * (12 + 8) + 3 * 8) + 4 * (4 * 8 + 2 * 2 * 8) + 4 * 2 * 5 * 8
    assert silent(pair.trace)


def test_operators_that_are_no_products(tmp_path):
    """XNNPACK's, when all operations are asked for: what each reads and writes, by hand."""
    pair = Pair(python(), "litert_kernels.py", tmp_path, "others", "litert", environment={"TVG_OPS": "all"})
    assert [[op["kind"], op["bytes"]] for op in pair.ops] == pair.answer["products"]
    assert all(op["net"] == "inline" and not op.get("flop") and int(op["a"], 16) and int(op["c"], 16) for op in pair.ops)
    assert silent(pair.trace)


@pytest.mark.parametrize("how, kinds", [("float", {"copy": 15, "transpose": 12, "softmax": 3}), ("int8", {"copy": 6, "quantize": 3, "dequantize": 3})])
def test_operators_around_products(tmp_path, models, how, kinds):
    model = "attention" if how == "float" else "cnn"
    pair = Pair(python(), "litert_cases.py", tmp_path, "run", models, model, how, "litert", environment={"TVG_OPS": "all"})
    found = [op["kind"] for op in pair.ops]
    assert {kind: found.count(kind) for kind in set(found) - {"gemm", "conv"}} == kinds
    assert sorted(op["flop"] for op in pair.ops if op.get("flop")) == pair.answer["products"]


PRODUCTS = {"conv", "depthwise_conv", "transpose_conv", "fully_connected", "batch_matmul"}


def test_a_program_of_the_c_library(tmp_path, models):
    """It is stripped: a model's nodes are read when it is compiled, and share the time of a run."""
    library = stack_files(python(), "ai_edge_litert/libLiteRt.so")[0]
    host = compile_c(PROGRAMS / "litert_api.c", f"-L{library.parent}", "-lLiteRt", f"-Wl,-rpath,{library.parent}", name="litert_api")
    runs, names = 3, [f"{model}-{how}" for model in ("cnn", "attention") for how in ("float", "dynamic", "int8")]
    pair = Pair(host, None, tmp_path, runs, *(models / f"{name}.tflite" for name in names))
    expected = {}
    for model in ("cnn", "attention"):
        known = Pair(python(), "litert_cases.py", tmp_path / model, "run", models, model, "float", "litert").answer["products"]
        for flop in known:  # each as often as there are runs, and for each type of weights
            expected[flop] = expected.get(flop, 0) + 3
    found = {}
    for op in pair.ops:
        if op["function"] in PRODUCTS:
            found[op["flop"]] = found.get(op["flop"], 0) + 1
    assert found == expected
    assert all(op.get("flop", 0) == 0 for op in pair.ops if op["function"] not in PRODUCTS)
    assert all("time_shared" in op["flags"] for op in pair.ops)
    assert "found-not-catchable" not in str(tvg_json("coverage", "--json", pair.trace))
