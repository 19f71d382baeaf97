"""Traces of attention, of number formats and of boards at rest, recorded on H100s. What replays of CUDA graphs count: test_gpu_truths.py."""
import json

import pytest

import trace_blocks
from tvg_testlib import ROOT, TVG, run

FIXTURES = ROOT / "tests" / "fixtures" / "gpu"


def report(name):
    return json.loads(run([TVG, "report", "--json", FIXTURES / f"{name}-h100.tvg"], check=True).stdout)


def products(data, **wanted):
    return [op for op in data["ops"] if op["flop"] and all(op[key] == value for key, value in wanted.items())]


def test_attention_of_pytorchs_own_kernels():
    data = report("bert-attention")
    assert data["totals"]["flop"] == 12 * 88_190_484_480
    attention = products(data, kind="attention")
    assert {op["function"] for op in attention} == {"aten::_scaled_dot_product_efficient_attention"}
    assert sum(op["count"] for op in attention) == 12 * 12 and sum(op["flop"] for op in attention) == 12 * 12 * 4 * 8 * 12 * 64 * 64 * 64
    assert all(op["seconds"] > 0 for op in attention)


def test_a_vit_by_the_textbook():
    batch, length, width, layers, heads = 32, 197, 768, 12, 12
    block = 2 * batch * length * width * (3 * width + width + 2 * 4 * width) + 4 * batch * heads * length * length * (width // heads)
    patches, classes = 2 * batch * 196 * width * 3 * 16 * 16, 2 * batch * width * 1000
    assert report("vit")["totals"]["flop"] == 12 * (layers * block + patches + classes)


@pytest.mark.parametrize("name, types, count, flop", [
    ("cublaslt", ("f32", "tf32"), 50, 2 * 512 * 256 * 1024),
    ("fp8", ("f8_e4m3", "f8_e4m3"), 12, 2 * 1024 ** 3),
    ("fp8", ("i8", "i8"), 12, 2 * 1024 ** 3),
])
def test_types_of_storage_and_of_the_units_that_multiply(name, types, count, flop):
    ops = [op for op in products(report(name)) if (op["type_a"], op["type_compute"]) == types]
    assert sum(op["count"] for op in ops) == count and sum(op["flop"] for op in ops) == count * flop
    assert all(op["seconds"] > 0 and op["function"] == "cublasLtMatmul" for op in ops)


@pytest.mark.parametrize("name", ["llama-graph", "compile"])
def test_a_board_that_was_only_visible_rested(name):
    """Both boards were metered; the process had a context on the first alone."""
    samples = [block for block in trace_blocks.of_kind(FIXTURES / f"{name}-h100.tvg", trace_blocks.ENERGY) if block["boundary"] == "board"]
    other = [block for block in samples if block["meter"] == "gpu-1"]
    assert other[0]["rest_processes"] == 0 and 60_000 < other[0]["rest_mw"] < 80_000 and other[0]["rest_sm_mhz"] < 400
    assert all(block["sm_active"] == 0 for block in other if "sm_active" in block)


@pytest.mark.parametrize("name, rest", [("llama-graph", True), ("compile", True), ("cublaslt", False)])
def test_rest_is_the_boards_own_and_only_the_used_one_was_kept_awake(name, rest):
    """Between the driver's own readings of the first board at rest (73.2 W) and with a context (120.6 W) lie 47.4 W. Before the third run clocks were up still."""
    text = run([TVG, "report", FIXTURES / f"{name}-h100.tvg"], check=True).stdout
    on, awake = (next(line for line in text.splitlines() if line.startswith(start)) for start in ("  card merely on", "  kept awake by you"))
    assert 70 <= float(on.split(" W x ")[0].split()[-1]) <= 190  # two boards, the third run's with clocks still up
    assert ("at rest was measured before" in " ".join(text.split())) == rest
    assert 43 <= float(awake.split(" W: a context")[0].split()[-1]) <= 52
    data = report(name)
    assert abs(data["totals"]["other_j"]) < 0.01 * data["totals"]["energy_j"]["value"]  # what the model leaves unexplained
