"""ONNX Runtime: every product against ONNX shape inference of the model as written, and op by op against the runtime's own profile."""
import json

import pytest
from stack_lib import PROGRAMS, Pair, clean_environment, compile_c, pinned_python, run, silent, stack_files, stack_python

# version that these figures were seen with: 1.32.0


def newest():
    return stack_python("onnxruntime", "onnxruntime", "onnx", "numpy", "sympy")


def pinned(version):
    return pinned_python(f"onnxruntime-{version}", f"onnxruntime=={version}", "onnx<1.17", "numpy<2")


@pytest.mark.parametrize("model, how, level", [
    ("encoder", "float", "disable"), ("encoder", "float", "all"), ("encoder", "dynamic", "all"), ("encoder", "qdq", "all"),
    ("cnn", "float", "disable"), ("cnn", "float", "extended"), ("cnn", "float", "all"), ("cnn", "dynamic", "all"), ("cnn", "qdq", "all")])
def test_products(tmp_path, model, how, level):
    pair = Pair(newest(), "onnxruntime_cases.py", tmp_path, tmp_path / "model", model, how, level)
    # Fusion and quantization change the operators, not the products; the order of independent ones may change.
    assert sorted(op["flop"] for op in pair.ops) == pair.answer["written"]
    for op, product in zip(pair.ops, pair.answer["products"], strict=True):
        assert op["function"] == product[0]
        if op["kind"] == "gemm":
            batch = op.get("batch") or 1
            assert [op["m"] * op["k"] * batch, op["m"] * op["n"] * batch] == product[1:]
    assert all(op["net"] == "vtable" and op["duration_ns"] > 0 for op in pair.ops)
    assert bool({op["types"][0] for op in pair.ops} & {"i8", "u8"}) == (how != "float")
    assert silent(pair.trace)


# What each version lacks, by the beginnings of the cases' names; where nothing is said of a case it has to be counted.
LACKS = {"1.32.0": (), "1.28.2": ("GatedDeltaNet",),
         "1.20.1": ("MatMulNBits 8", "DeformConv", "CausalConv", "MoE", "QMoE", "Attention float", "LinearAttention", "GatedDeltaNet"),
         "1.16.3": ("MatMulNBits", "DeformConv", "CausalConv", "MoE", "QMoE", "Attention float", "LinearAttention", "GatedDeltaNet", "MultiHeadAttention 3",
                    "MultiHeadAttention 4", "MultiHeadAttention 5", "DecoderMasked", "GroupQuery", "SparseAttention")}


@pytest.mark.parametrize("version", ["1.32.0", "1.20.1", "1.16.3"])
def test_operators(tmp_path, version):
    """Attention in all its forms, recurrent layers, Einsum, mixtures of experts, weights in blocks: each operator's FLOP against the textbook."""
    pair = Pair(newest() if version == "1.32.0" else pinned(version), "onnxruntime_operators.py", tmp_path)
    unknown = [label for label, _ in pair.answer["unknown"]]
    assert [label for label in unknown if not label.startswith(LACKS[pair.answer["version"]])] == []
    assert len(pair.answer["runs"]) > 50
    for op, (label, function, flop) in zip(pair.ops, pair.answer["runs"], strict=True):
        assert (op["function"], op["flop"]) == (function, flop), label
        if function == "MatMulNBits":
            assert_blocks(op, *label.split()[1:])
    assert silent(pair.trace)


def assert_blocks(op, bits, dtype, points, level):
    """6 x 96 times 96 x 40 in blocks of 32: bytes of the weights, of a scale for each block, and of the packed zero points where there are any."""
    size, blocks = {"float32": 4, "float16": 2}[dtype], 96 // 32
    weights = 40 * 96 * int(bits) // 8 + 40 * blocks * size + (40 * ((blocks * int(bits) + 7) // 8) if points == "True" else 0)
    assert op["bytes"] == (6 * 96 + 6 * 40) * size + weights
    assert op["types"] == [f"f{8 * size}", f"u{bits}", f"f{8 * size}", "i8" if level == "4" else f"f{8 * size}"]
    assert (op["m"], op["n"], op["k"], op.get("batch", 0)) == (6, 40, 96, 0)


@pytest.mark.parametrize("operations", ["products", "all"])
def test_graphs_inside(tmp_path, operations):
    """If and Loop are no ops: what runs inside them is, once each."""
    pair = Pair(newest(), "onnxruntime_graphs.py", tmp_path, environment={"TVG_OPS": operations})
    assert [op["flop"] for op in pair.ops if op["function"] == "MatMul"] == [2 * 4 * 4 * 4] * 2 * (1 + 3)
    others = [op["function"] for op in pair.ops if op["function"] not in ("MatMul", "Identity")]
    assert others == (["Relu", "Sigmoid"] if operations == "all" else [])


@pytest.mark.parametrize("version", ["1.32.0", "1.20.1", "1.28.2"])
def test_c_library(tmp_path, version):
    """A program on the C API, with libonnxruntime.so of two wheels and with another's build of it: the operators above and a CNN in blocked layout."""
    python = newest() if version == "1.32.0" else pinned(version) if version == "1.20.1" else pinned_python("sherpa-onnx-core", "sherpa-onnx-core==2.0.1")
    library = stack_files(python, "sherpa_onnx/lib/libonnxruntime.so" if version == "1.28.2" else "onnxruntime/capi/libonnxruntime.so.*")[0]
    for name in "libonnxruntime.so", "libonnxruntime.so.1":
        (tmp_path / name).symlink_to(library)
    host = compile_c(PROGRAMS / "onnxruntime_api.c", f"-L{tmp_path}", "-lonnxruntime", name=f"onnxruntime_api_{version}")
    models = tmp_path / "models"
    models.mkdir()
    quiet = clean_environment(OMP_NUM_THREADS="1")
    written = json.loads(run([newest(), PROGRAMS / "onnxruntime_operators.py", models], env=quiet, check=True).stdout)["written"]
    for level, cases in ("0", written), ("99", None):
        if cases is None:
            answer = json.loads(run([newest(), PROGRAMS / "onnxruntime_cases.py", models, "cnn", "float", "all"], env=quiet, check=True).stdout)
            (models / "x").write_bytes(b"\0\0\x80\x3f" * (3 * 64 * 64))
            (models / "list").write_text(f"model {models}/model.onnx\ninput x 1 {models}/x 4 1 3 64 64\noutput y\nrun\n")
        pair = Pair(host, None, tmp_path / level, models / "list", level, environment={"LD_LIBRARY_PATH": tmp_path})
        assert pair.answer["version"] == version
        if cases is None:
            assert sorted(op["flop"] for op in pair.ops) == answer["written"]
        else:
            ran = [case for case, output in zip(cases, pair.answer["outputs"], strict=True) if output]
            refused = [label for (label, *_), output in zip(cases, pair.answer["outputs"], strict=True) if not output]
            assert [label for label in refused if not label.startswith(LACKS[version])] == [] and len(ran) > 60
            assert [[op["function"], op["flop"]] for op in pair.ops] == [[function, flop] for _, function, flop in ran]
        assert all(op["library"].startswith("libonnxruntime.so") for op in pair.ops) and silent(pair.trace)
