"""MNN: every product of single operators against the textbook, and of converted models against torch's own count."""
import json
import shutil

import pytest
from stack_lib import PROGRAMS, THREADS, Pair, pinned_python, run, silent, stack_files, stack_python, tvg_json
from tvg_testlib import clean_environment

# version that these figures were seen with: 3.6.1
CASES = [(group, how) for group in ("convolution", "transposed", "products") for how in ("float", "int8", "int4")]
MODELS = {"resnet": {"Convolution"}, "mobilenet": {"Convolution", "ConvolutionDepthwise"}, "vit": {"Convolution", "Loop"}, "encoder": {"Convolution", "Loop"}}


def python():
    return stack_python("mnn", "MNN", "numpy", "onnx")


def figures(pair):
    return [op["flop"] for op in pair.ops]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("group, how", CASES)
def test_operators(tmp_path, group, how, threads):
    pair = Pair(python(), "mnn_cases.py", tmp_path, group, threads, how)
    assert figures(pair) == [flop for _, flop in pair.answer["cases"]]
    assert all(op["net"] == "inline" and op["duration_ns"] > 0 and int(op["a"], 16) and int(op["c"], 16) for op in pair.ops)
    for op in pair.ops:  # depthwise and transposed convolutions have their weights expanded, products of two inputs have none
        is_quantized = how != "float" and op["function"] == "Convolution"
        assert op["types"] == (["f32", {"int8": "i8", "int4": "i4"}[how], "f32", "i8"] if is_quantized else ["f32"] * 4)
    assert silent(pair.trace)


@pytest.mark.parametrize("version", ["3.0.0", "3.2.0"])
def test_other_versions(tmp_path, version):
    pair = Pair(pinned_python(f"mnn-{version}", f"MNN=={version}", "numpy", "onnx"), "mnn_cases.py", tmp_path, "products", 2)
    assert figures(pair) == [flop for _, flop in pair.answer["cases"]]
    assert silent(pair.trace)


def test_stripped(tmp_path):
    """A build without names: nothing is recorded, and that is said."""
    copy = tmp_path / "stripped"
    copy.mkdir()
    for pattern in ("MNN", "mnn.libs", "_tools*", "_mnncengine*"):
        for path in stack_files(python(), pattern):
            (shutil.copytree if path.is_dir() else shutil.copy)(path, copy / path.name)
    run(["strip", *copy.glob("_mnncengine*.so")], check=True)
    pair = Pair(python(), "mnn_cases.py", tmp_path, "products", 1, environment={"PYTHONPATH": str(copy)})
    assert not pair.ops
    notes = tvg_json("coverage", "--json", pair.trace)["notes"]
    assert [note for note in notes if note["what"] == "found-not-catchable" and note["subject"] == "MNN"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


def make(folder, model):
    interpreter = stack_python("mnn_models", "MNN", "numpy", "onnx", "onnxscript", "torch", "torchvision")
    made = run([interpreter, PROGRAMS / "mnn_models.py", "make", folder, model], env=clean_environment(**THREADS), check=True, timeout=240)
    return interpreter, json.loads(made.stdout.splitlines()[-1])["flop"]


@pytest.mark.stack("mnn_models")
@pytest.mark.parametrize("model", MODELS)
def test_models(tmp_path, models, model):
    """By sessions, by modules, and with weights of 8 bits."""
    interpreter, written = make(models, model)
    for how in ("session", "module", "int8"):
        folder = tmp_path / how
        folder.mkdir()
        pair = Pair(interpreter, "mnn_models.py", folder, "run", models, model, how, 2)
        assert pair.flop() == written * pair.answer["runs"]
        assert {op["function"] for op in pair.ops} == MODELS[model]
        assert {op["types"][1] for op in pair.ops if op["function"] == "Convolution"} == {"i8" if how == "int8" else "f32"}
        assert silent(pair.trace)


@pytest.mark.stack("mnn_models")
def test_quantized_whole(tmp_path, models):
    interpreter, written = make(models, "mobilenet")
    pair = Pair(interpreter, "mnn_models.py", tmp_path, "run", models, "mobilenet", "whole", 1)
    assert pair.flop() == written * pair.answer["runs"]
    assert all(op["types"] == ["i8"] * 4 for op in pair.ops) and silent(pair.trace)


@pytest.mark.stack("mnn_models")
def test_all_operations(tmp_path, models):
    interpreter, written = make(models, "encoder")
    pair = Pair(interpreter, "mnn_models.py", tmp_path, "run", models, "encoder", "session", 1, environment={"TVG_OPS": "all"})
    assert pair.flop() == written * pair.answer["runs"]
    kinds = {op["kind"] for op in pair.ops if op["library"].startswith("_mnncengine")}
    assert kinds >= {"softmax", "norm", "elementwise", "copy"} and all(op["bytes"] > 0 for op in pair.ops if op["library"].startswith("_mnncengine"))


@pytest.mark.stack("mnn_models")
def test_numpy(tmp_path):
    """MNN's own numpy: operators are made as they are asked for."""
    interpreter = stack_python("mnn_models", "MNN", "numpy", "onnx", "onnxscript", "torch", "torchvision")
    pair = Pair(interpreter, "mnn_models.py", tmp_path, "run", tmp_path, "numpy", "session", 1)
    assert [op["flop"] for op in pair.ops] == [2 * 20 * 30 * 40] * pair.answer["runs"]
